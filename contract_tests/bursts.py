"""Provokes limits by bursts of starts, and retries. rules/history.py describes the notes of these requests.

A limit may refuse each start, so that starts expect nothing here.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from touchstone.check.examination import Examination, Unsuited
from touchstone.check.expectation import Reply
from touchstone.check.templates import Template
from touchstone.contract.answers import AT_REST
from touchstone.facts.backoff import back_off_s, retry_after_s

# Most starts in a burst, and most seconds of it: a limit above this would not affect clients.
LONGEST_BURST, LONGEST_BURST_S = 120, 10.0

# Seconds added to Retry-After, because a server may count whole seconds.
MARGIN_S = 0.05

# After HONEST_WAITS refused retries, a Retry-After below LEAST_WAIT_S is ignored, and the pauses double instead.
HONEST_WAITS, LEAST_WAIT_S = 2, 1.0

# Key of `exam.waits` for waits without success: a limit did not end although no build was in flight.
REFUSED = ("startBuild", "429", "nothing in flight")

# Numbers of the rounds; a case that runs again gets new numbers.
ROUNDS = itertools.count(1)


@dataclass
class Round:
    """One burst of starts until a start is refused, with the retries after the burst.

    Attributes:
        versions: Versions to start one after the other: one ready version, or several unbuilt ones.
        most: Number of served starts after which the burst ends.
        builds: ``cancelled`` or ``kept``: what becomes of builds, see rules/history.py. Empty for a ready version.
        at_once: Maximum of builds in flight. If it is reached, the oldest build is ended before the next start.
        polls: Whether to read the status during waits; False in rounds that test the effect of reads.
        in_flight: Versions whose builds may still run, oldest first, and whether each build was cancelled.
        witness: Version whose build runs until a start is refused, to show whether a refusal ends running builds.
    """

    exam: Examination
    versions: Sequence[Template]
    most: int = LONGEST_BURST
    builds: str = ""
    at_once: int = LONGEST_BURST
    polls: bool = False
    number: int = field(default_factory=lambda: next(ROUNDS))
    served: int = 0
    refused: Reply | None = None
    last_refused: Reply | None = None
    is_other_refused: bool = False
    retries: int = 0
    waited_s: float = 0.0
    lasted_s: float = 0.0
    began_at: float = 0.0
    in_flight: dict[Template, bool] = field(default_factory=dict)
    witness: Template | None = None

    def again(self, *, polls: bool = False) -> "Round":
        """Returns another round with the same versions."""
        most = len(self.versions) if self.builds else LONGEST_BURST
        return Round(self.exam, self.versions, most, self.builds, self.at_once, polls)

    def send(self, operation: str, phase: str, version: Template, *, gave_up: bool = False) -> Reply:
        """Sends one request of the round."""
        note = {"round": self.number, "phase": phase}
        note |= ({"gave_up": True} if gave_up else {}) | ({"builds": self.builds} if self.builds else {})
        reply = self.exam.send(replace(self.exam.call(operation, version), note={"limit": note}))
        if version.owner != "primary":
            self.is_other_refused |= reply.status == 429
        elif reply.status == 429:
            self.last_refused = reply
        if self.builds and operation == "startBuild" and version.owner == "primary" and reply.status < 400:
            self.in_flight[version] = False
        return reply

    def burst(self, at_least_s: float = 0.0) -> None:
        """Starts one version after the other, until a start is refused and *at_least_s* seconds have passed."""
        self.began_at = self.exam.transport.now()
        for version in itertools.cycle(self.versions):
            while version in self.in_flight or len(self.in_flight) >= self.at_once:
                self._end(next(iter(self.in_flight)))
            reply = self.start(version)
            if self.builds == "cancelled" and reply.status < 400:
                if self.at_once > 1 and not self.witness:
                    self.witness = version
                else:
                    self._cancel(version).expect(202, status="cancelling")
            if (self.refused and self.lasted_s >= at_least_s) or self.served >= self.most:
                return
            if not self.refused and not self.builds and self.lasted_s > LONGEST_BURST_S:
                return

    def start(self, version: Template) -> Reply:
        """Sends one start of the burst."""
        reply = self.send("startBuild", "burst", version)
        self.lasted_s = self.exam.transport.now() - self.began_at
        # A refusal with another status than 429 also shows a limit.
        if reply.status >= 400:
            self.refused = self.refused or reply
        elif self.refused is None:
            self.served += 1
        return reply

    def _cancel(self, version: Template) -> Reply:
        self.in_flight[version] = True
        return self.exam.cancel(version)

    def _end(self, version: Template) -> None:
        """Cancels a build if necessary, and waits until it is over; a build that was kept may have ended before."""
        if not self.in_flight[version]:
            self._cancel(version).expect(202, 404, status=("cancelling", "idle"))
        del self.in_flight[version]
        if self.exam.settled(version).expect(200).body.get("status") not in AT_REST:
            raise Unsuited("indeterminate", f"the cancelled build of {version.ref} did not end and may use capacity")

    def make_room(self) -> None:
        """Ends all builds in flight; raises `Unsuited` if a build does not end."""
        while self.in_flight:
            self._end(next(iter(self.in_flight)))
        self.witness = None

    def reads(self, number: int, running: Template) -> None:
        """Sends *number* reads in rotation: status of the first version, status of *running*, the first template.

        The API may have another limit on all requests.
        """
        own = self.versions[0]
        polled = itertools.cycle([("getBuild", own), ("getBuild", running), ("getTemplate", own)])
        for operation, version in itertools.islice(polled, number):
            self.send(operation, "reads", version).expect(200, 429)

    def read_after_refusal(self, *versions: Template) -> None:
        """Reads versions right after a refusal, and twice more within half a second."""
        for pause_s in (0.0, 0.1, 0.2):
            self.exam.rest(pause_s)
            for version in versions:
                self.exam.read(version).expect(200)

    def confirm(self, version: Template, other: Template | None) -> bool:
        """Starts *other*, of another account, then *version*; returns whether *version* is still refused."""
        if other:
            self.send("startBuild", "other-key", other)
        # After ``Retry-After: 0``, this start counts as the first retry.
        self.retries += bool(self.refused and retry_after_s(self.refused.response) == 0)
        return self.send("startBuild", "confirm", version).status >= 400

    @property
    def refused_version(self) -> Template:
        """Version of the first refused start; the first version if no start was refused."""
        ref = self.refused.ref if self.refused else None
        return next((version for version in self.versions if version.ref == ref), self.versions[0])

    def recover(self) -> None:
        """Retries after Retry-After, or after doubling pauses, until a start is served.

        Raises:
            Unsuited: no start was served within patience_s. The time is shorter after earlier waits that failed.
        """
        reply, waits = self.last_refused, self.exam.waits
        patience_s = waits.limit_s(REFUSED, self.exam.target.patience_s)
        # Retries start another version. When that start is served, the refused build must not begin as well.
        version = next((other for other in self.versions if other != self.refused_version), self.refused_version)
        for wait_s in back_off_s():
            requested_s = retry_after_s(reply.response) if reply else None
            if requested_s is not None and requested_s < LEAST_WAIT_S and self.retries >= HONEST_WAITS:
                requested_s = None
            # patience_s also limits each wait: a server may request days.
            pause_s = min((wait_s if requested_s is None else requested_s) + MARGIN_S, patience_s)
            # The wait began with the refusal, so the time for the requests since then counts.
            if self.polls:
                self.exam.read(version).expect(200)
            gone_s = self.exam.transport.now() - reply.done_at if reply else 0.0
            self.exam.rest(max(0.0, pause_s - gone_s))
            self.waited_s += pause_s
            last = self.waited_s >= patience_s
            gave_up = last and patience_s >= self.exam.target.patience_s
            reply = self.send("startBuild", "retry", version, gave_up=gave_up)
            self.retries += 1
            if reply.status < 400:
                waits.lift(REFUSED, 0, self.waited_s)
                return
            if last:
                waits.add(REFUSED)
                raise Unsuited("indeterminate", f"still refused after waiting {self.waited_s:.0f} s")
