"""Waits for what a target is to come to: the end of a build, a cancel that settles, a log that closes.

A wait that ended in vain before is cut short the next time and given up in the end. What it shows is for the rules to
judge: they look at the times of the exchanges, so that a wait which was cut accuses nobody.
"""

import threading
from collections.abc import Collection
from dataclasses import replace

from touchstone.check.followers import Following
from touchstone.check.templates import Template
from touchstone.check.terms import Unsuited
from touchstone.config import TargetSettings
from touchstone.contract.lifecycle import STATUSES
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.patience import GIVEN_UP_AFTER, IDLE_POLLS, IDLE_S, SILENT_POLLS, SILENT_S, Vain, poll_s
from touchstone.target.transport import Call, Transport

ENDED = frozenset({"ready", "failed"})
IDLE = frozenset({"ready", "failed", "not_built"})

# What a wait is for: the end of a log that was opened while its build ran, or not.
_LOGS = {True: ("streamBuildEvents", "live"), False: ("streamBuildEvents", "at rest")}
# So long a log is followed where its end is not waited for any more.
_GLANCE_S = 1.0
# A state that no page knows.
_ODD = "without a documented status"


class Waits:
    """The part of an examination that waits."""

    transport: Transport
    target: TargetSettings
    templates: list[Template]
    _running: set[str]
    _dying: set[str]
    _owners: dict[str, Credential]
    _followings: list[Following]
    vain: Vain

    def send(self, call: Call) -> Exchange:
        """Sends one request."""
        raise NotImplementedError

    def read(self, ref: str, credential: Credential = "primary") -> Exchange:
        """Reads the status."""
        raise NotImplementedError

    def rest(self, seconds: float) -> None:
        """Waits."""
        raise NotImplementedError

    def wait(
        self, ref: str, until: Collection[str] = ENDED, within_s: float | None = None, by: Credential | None = None
    ) -> Exchange:
        """
        Polls the status until it is one of *until*, at most *within_s* seconds, by default as long as a build may take.

        The last read is returned whatever it says: a build that never ends is a finding, not an error here.

        Raises:
            Unsuited: waits for the end of the same state were in vain so often that it is not waited for again.
        """
        most_s = self.target.build_timeout_s if within_s is None else within_s
        began = seen_at = heard_at = self.transport.now()
        idle = silent = 0
        stuck = ""
        while True:
            exchange = self.read(ref, by or self._owners.get(ref, "primary"))
            status = str(exchange.body.get("status"))  # whatever kind of value it is
            idle, seen_at = (idle + 1, seen_at) if status == "not_built" else (0, self.transport.now())
            silent, heard_at = (0, self.transport.now()) if exchange.response else (silent + 1, heard_at)
            given_up = idle > IDLE_POLLS and self.transport.now() > seen_at + IDLE_S
            given_up |= silent > SILENT_POLLS and self.transport.now() > heard_at + SILENT_S
            waited_s = self.transport.now() - began
            if status in until and stuck:
                self.vain.lift(("getBuild", stuck), 1, waited_s)
            if status in until or given_up or exchange.status in (401, 403, 404):
                return exchange
            stuck = self._stuck(ref, status)
            limit_s = self._limit_s(ref, stuck, most_s)
            if waited_s > limit_s + 0.1:
                self.vain.add(("getBuild", stuck))
                return exchange
            self.rest(poll_s(waited_s))

    def _stuck(self, ref: str, status: str) -> str:
        """What a version that is waited for is stuck in, should this be its last status."""
        if status == "building" and ref in self._dying - self._running:
            return "cancelling"
        return status if status in STATUSES else _ODD

    def _limit_s(self, ref: str, stuck: str, most_s: float) -> float:
        """
        How long a version may be *stuck*. Its own steps take their time, and a status that is none is a fault at once.
        """
        if stuck == "cancelling":
            most_s = min(most_s, self.target.cancel_timeout_s)
        steps_s = max((template.sleep_s for template in self.templates if template.ref == ref), default=0.0)
        limit_s = self.vain.limit_s(("getBuild", stuck), most_s, steps_s, is_fault=stuck == _ODD)
        if not limit_s:
            raise Unsuited("could-not-run", f"{GIVEN_UP_AFTER} waits for the end of the state {stuck} were in vain")
        return limit_s

    def settle(self, ref: str) -> Exchange:
        """Waits until a cancelled build has left the state building."""
        return self.wait(ref, IDLE, self.target.cancel_timeout_s)

    def follow(self, ref: str, credential: Credential = "primary") -> Following:
        """Follows the build log in another thread; returns once the answer's head is there."""
        following, opened = Following(ref in self._running), threading.Event()
        # Known before anything is waited for: an interrupt would leave it for good.
        self._followings.append(following)
        limit_s = self.target.build_timeout_s + self.target.cancel_timeout_s
        call = Call("streamBuildEvents", ref, credential, stream_s=limit_s, until=following.until, opened=opened)
        following.begin(lambda: self.send(call))
        opened.wait(self.target.request_timeout_s)
        return following

    def closed(self, following: Following) -> Exchange:
        """The whole stream, once the server has closed it; left alone if it does not within cancel_timeout_s."""
        return self._closed(following, self._log_s(self.target.cancel_timeout_s, live=following.live))

    def ended(self, following: Following, ref: str) -> Exchange:
        """The whole stream of a build whose status nobody reads, so that the build may take its time besides.

        Raises:
            Unsuited: builds do not end.
        """
        most_s = self.target.build_timeout_s + self.target.cancel_timeout_s
        return self._closed(following, min(self._limit_s(ref, "building", most_s), self._log_s(most_s, live=True)))

    def _closed(self, following: Following, limit_s: float) -> Exchange:
        over, left, began = following.future.done(), following.until.is_set(), self.transport.now()
        exchange = following.result(limit_s)
        if exchange.closed == "client" and not left:
            self.vain.add(_LOGS[following.live])
        elif exchange.status == 200 and not over:
            self.vain.lift(_LOGS[following.live], 1, self.transport.now() - began)
        return exchange

    def followed(self, call: Call) -> Exchange:
        """Follows a log in this thread, of whatever version, for as long as one may take to close."""
        exchange = self.send(replace(call, stream_s=self._log_s(self.target.cancel_timeout_s, live=False)))
        if exchange.closed == "client":
            self.vain.add(_LOGS[False])
        return exchange

    def _log_s(self, most_s: float, *, live: bool) -> float:
        """How long the end of a log is waited for, which was opened while its build ran or not."""
        return self.vain.limit_s(_LOGS[live], most_s) or _GLANCE_S
