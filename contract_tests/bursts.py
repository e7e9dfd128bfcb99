"""Bursts of starts until one is refused, and the way back: how a case meets a limit. Note facts: rules/history.py."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import Template
from touchstone.contract.lifecycle import AT_REST
from touchstone.facts.backoff import back_off_s, retry_after_s
from touchstone.facts.exchange import Credential, Exchange
from touchstone.target.call import Call

# A limit that lets more starts than this through in one burst is not looked for: it would not bother a client.
LONGEST_BURST = 120

# Waited beyond Retry-After, so that a server that comes back on the second is not asked a moment too early.
MARGIN_S = 0.05

# After so many waits in vain, a Retry-After below this is not followed any more: the pauses double.
HONEST_WAITS, LEAST_WAIT_S = 2, 1.0

# What is waited for in vain where a limit does not end though nothing is in flight.
REFUSED = ("startBuild", "429", "nothing in flight")

# A case that is tried again has rounds of its own.
ROUNDS = itertools.count(1)


@dataclass
class Round:
    """One burst of starts until one is refused, and the way back.

    Attributes:
        versions: What is started in turn: one ready version, or versions that were never built.
        most: Starts after which no limit is expected any more.
        builds: What becomes of builds that the burst begins, see rules/history.py; empty for a ready version.
        at_once: Builds that may be in flight; the oldest one has to be over before another one is begun.
        polls: Whether the status is read while waiting, as clients do; not where reads themselves are compared.
        in_flight: Versions whose builds may still run, oldest first, and whether each was cancelled.
        witness: The first of them, which runs on until the refusal, so that one that ends running builds is noticed.
    """

    exam: Examination
    versions: Sequence[Template]
    most: int = LONGEST_BURST
    builds: str = ""
    at_once: int = LONGEST_BURST
    polls: bool = False
    number: int = field(default_factory=lambda: next(ROUNDS))
    served: int = 0
    refused: Exchange | None = None
    last_refused: Exchange | None = None
    is_other_refused: bool = False
    retries: int = 0
    waited_s: float = 0.0
    lasted_s: float = 0.0
    began_at: float = 0.0
    in_flight: dict[str, bool] = field(default_factory=dict)
    witness: str = ""

    def again(self, *, polls: bool = False) -> "Round":
        """Another round with the same versions."""
        most = len(self.versions) if self.builds else LONGEST_BURST
        return Round(self.exam, self.versions, most, self.builds, self.at_once, polls)

    def send(
        self, operation: str, phase: str, ref: str, credential: Credential = "primary", *, gave_up: bool = False
    ) -> Exchange:
        """Sends one request of the round."""
        note = {"round": self.number, "phase": phase}
        note |= ({"gave_up": True} if gave_up else {}) | ({"builds": self.builds} if self.builds else {})
        answer = self.exam.send(Call(operation, ref, credential, note={"limit": note}))
        if credential != "primary":
            self.is_other_refused |= answer.status == 429
        elif answer.status == 429:
            self.last_refused = answer
        if self.builds and operation == "startBuild" and credential == "primary" and answer.status < 400:
            self.in_flight[ref] = False
        return answer

    def burst(self, at_least_s: float = 0.0) -> None:
        """Starts one version after the other until a start is refused, and no shorter than *at_least_s*."""
        self.began_at = self.exam.transport.now()
        for template in itertools.cycle(self.versions):
            while template.ref in self.in_flight or len(self.in_flight) >= self.at_once:
                self._end(next(iter(self.in_flight)))
            answer = self.start(template.ref)
            if self.builds == "cancelled" and answer.status < 400:
                if self.at_once > 1 and not self.witness:
                    self.witness = template.ref
                else:
                    self._cancel(template.ref)
            if (self.refused and self.lasted_s >= at_least_s) or self.served >= self.most:
                return

    def start(self, ref: str) -> Exchange:
        """Sends one start of the burst."""
        answer = self.send("startBuild", "burst", ref)
        self.lasted_s = self.exam.transport.now() - self.began_at
        # A limit that is told otherwise than by 429 is one all the same, and only this shows it.
        if answer.status >= 400:
            self.refused = self.refused or answer
        elif self.refused is None:
            self.served += 1
        return answer

    def _cancel(self, ref: str) -> None:
        self.in_flight[ref] = True
        self.exam.cancel(ref)

    def _end(self, ref: str) -> None:
        """Waits until a build is over; cancels it where that was not done yet."""
        if not self.in_flight[ref]:
            self._cancel(ref)
        del self.in_flight[ref]
        if self.exam.settle(ref).body.get("status") not in AT_REST:
            raise Unsuited("indeterminate", f"the cancelled build of {ref} did not end and may take up room")

    def make_room(self) -> None:
        """Ends each build that the round has in flight.

        Raises:
            Unsuited: one does not end.
        """
        while self.in_flight:
            self._end(next(iter(self.in_flight)))
        self.witness = ""

    def reads(self, number: int, running: str) -> None:
        """
        Reads so many times, in turns what clients poll: this version, the one that is *running*, and the document.
        """
        own = self.versions[0].ref
        polled = itertools.cycle([("getBuild", own), ("getBuild", running), ("getTemplate", own)])
        for operation, ref in itertools.islice(polled, number):
            self.send(operation, "reads", ref)

    def look(self, *refs: str) -> None:
        """Reads versions right after a refusal, and twice a little later."""
        for pause_s in (0.0, 0.1, 0.2):
            self.exam.rest(pause_s)
            for ref in refs:
                self.exam.read(ref)

    def confirm(self, ref: str, other: Template | None) -> bool:
        """Starts the version of another account, then *ref*; whether that one is still refused."""
        if other:
            self.send("startBuild", "other-key", other.ref, other.owner)
        # After Retry-After: 0 this start is a retry already.
        self.retries += bool(self.refused and retry_after_s(self.refused.response) == 0)
        return self.send("startBuild", "confirm", ref).status >= 400

    @property
    def refused_ref(self) -> str:
        """The version whose start was refused first."""
        return (self.refused.ref if self.refused else None) or self.versions[0].ref

    def recover(self) -> None:
        """Waits as the server says, or doubling, until a start is served.

        Raises:
            Unsuited: none was, and the wait was cut short since earlier ones were in vain.
        """
        answer, waits = self.last_refused, self.exam.vain
        patience_s = waits.limit_s(REFUSED, self.exam.target.patience_s)
        # Not the refused version: a start that was refused must not come along with the next one that is served.
        ref = next((version.ref for version in self.versions if version.ref != self.refused_ref), self.refused_ref)
        for wait_s in back_off_s():
            asked_s = retry_after_s(answer.response) if answer else None
            if asked_s is not None and asked_s < LEAST_WAIT_S and self.retries >= HONEST_WAITS:
                asked_s = None
            # The patience bounds each wait, too: a server may ask for days.
            pause_s = min((wait_s if asked_s is None else asked_s) + MARGIN_S, patience_s)
            # It counts from the refusal: what was sent since then is part of the wait.
            if self.polls:
                self.exam.read(ref)
            gone_s = self.exam.transport.now() - answer.done_at if answer else 0.0
            self.exam.rest(max(0.0, pause_s - gone_s))
            self.waited_s += pause_s
            last = self.waited_s >= patience_s
            gave_up = last and patience_s >= self.exam.target.patience_s
            answer = self.send("startBuild", "retry", ref, gave_up=gave_up)
            self.retries += 1
            if answer.status < 400:
                waits.lift(REFUSED, 0, self.waited_s)
                return
            if last:
                waits.add(REFUSED)
                raise Unsuited("indeterminate", f"still refused after {self.waited_s:.0f} s of patience")
