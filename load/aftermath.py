"""Aftermath: after a storm, one client tests Retry-After, the end of refusals, and whether reads use up the limit.

The client sends three rounds of requests. touchstone/rules/history.py describes the note that each request has.
"""

import itertools
from collections.abc import Iterable

from touchstone.facts.backoff import back_off_s
from touchstone.loadgen.load_run import Flow, LoadRun
from touchstone.loadgen.plan import AFTERMATH_BURST
from touchstone.target.call import Answer

READS_PER_START = 3

# Seconds added to Retry-After: if a server counts whole seconds, a retry could otherwise come a moment too early.
MARGIN_S = 0.05


class Aftermath:
    """A client with the first key; no other client sends requests meanwhile."""

    def __init__(self, run: LoadRun) -> None:
        self.run = run
        (self.ref,) = run.go.stage.refs("ready")
        (self.beside,) = run.go.stage.refs("beside")
        self.flow = Flow(run, run.part.arrivals, run.now(), keep=True, paced=False)

    def probe(self) -> None:
        """Sends three bursts of starts, each until the limit is reached; many reads precede the third burst."""
        first = Round(self, 1)
        first.burst()
        if first.refused is None or not first.recover():
            return
        again = Round(self, 2)
        self.run.rest(first.waited_s)
        again.burst()
        if again.refused is None or not again.recover():
            return
        polled = Round(self, 3)
        polled.send("startBuild", "beside", self.beside)
        # The rest is at least as long as the rest before round two, so that rounds two and three can be compared.
        rested_s = again.began_at - first.refused_at
        self.run.rest(max(first.waited_s, again.refused_at + rested_s + MARGIN_S - self.run.now()))
        polled.reads(READS_PER_START * max(again.served, 1))
        polled.burst(at_least_s=1.2 * again.lasted_s + MARGIN_S)
        if polled.refused is not None:
            polled.recover()


class Round:
    """One burst of starts until a start is refused, and the retries until a start is served."""

    def __init__(self, aftermath: Aftermath, number: int) -> None:
        self._flow = aftermath.flow
        self._run = aftermath.run
        self._ref = aftermath.ref
        self._beside = aftermath.beside
        self._number = number
        self.served = 0
        self.refused: Answer | None = None
        self.waited_s = 0.0
        self.began_at = 0.0
        self.lasted_s = 0.0

    @property
    def refused_at(self) -> float:
        """Time when the last refusal arrived; 0 if no start was refused."""
        return self.refused.done_at if self.refused else 0.0

    def send(self, operation: str, phase: str, ref: str = "", *, gave_up: bool = False) -> Answer:
        """Sends one request of the round."""
        note = {"limit": {"round": self._number, "phase": phase} | ({"gave_up": True} if gave_up else {})}
        return self._flow.send(operation, ref or self._ref, note=note)

    def burst(self, at_least_s: float = 0.0) -> None:
        """Starts the ready version repeatedly, until a start is refused and *at_least_s* seconds have passed."""
        self.began_at = self._run.now()
        while self.served < AFTERMATH_BURST and not self._run.stopped.is_set():
            answer = self.send("startBuild", "burst")
            self.lasted_s = self._run.now() - self.began_at
            if answer.status >= 400 or not answer.status:
                self.refused = answer
            elif self.refused is None:
                self.served += 1
            if self.refused and self.lasted_s >= at_least_s:
                return
            if self.refused:
                # Spreads the further starts, at most AFTERMATH_BURST, over the remaining time.
                self._run.rest((at_least_s - self.lasted_s) / AFTERMATH_BURST)

    def reads(self, number: int) -> None:
        """Sends *number* reads of the build status, alternately for the two versions."""
        reads: Iterable[tuple[str, str]] = itertools.cycle([("getBuild", self._ref), ("getBuild", self._beside)])
        for operation, ref in itertools.islice(reads, number):
            self.send(operation, "reads", ref)

    def recover(self) -> bool:
        """Retries after Retry-After, or after doubling pauses, until a start is served; returns whether that happened.

        Gives up at once if Retry-After is longer than patience_s of the target.
        """
        answer = self.refused
        for wait_s in back_off_s():
            advised_s = answer.retry_after_s if answer else None
            if advised_s is not None and advised_s > self._run.target.patience_s:
                return False
            pause_s = (wait_s if advised_s is None else advised_s) + MARGIN_S
            gone_s = self._run.now() - answer.done_at if answer else 0.0
            if not self._run.rest(pause_s - gone_s):
                return False
            self.waited_s += pause_s
            last = self.waited_s >= self._run.target.patience_s
            answer = self.send("startBuild", "retry", gave_up=last)
            if answer.status < 400 or last:
                break
            self.refused = answer
        return answer is not None and 0 < answer.status < 400
