"""Child process of a probe: sends one stimulus after the other, and records the responses in the run log."""

import gc
import itertools
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from touchstone.check.handover import UNWRITTEN, Handover, hold_lifeline
from touchstone.contract.document import Contract
from touchstone.errors import HarnessError, RunLogError, UsageError
from touchstone.facts import probe
from touchstone.facts.events import Case
from touchstone.facts.probe import Answer, Answered, Identified, ProbeStory, Segment, Sending, Stimulus, Terms
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.limiter.identify import Probe
from touchstone.limiter.pace import ceiling
from touchstone.limiter.probe.sender import STARTS, Bounds, Link, OpenLoop, Pool, Sender
from touchstone.loadgen.knee import Search
from touchstone.target.bounds import Room
from touchstone.target.call import Answer as Reply
from touchstone.target.call import OutgoingRequest, kept_bytes

CASE = "probe"
_COUNTS_ALL = (
    "a cancel was refused like a start, so the limit counts every request with this key; the cancels and reads of a "
    "probe of starts disturb it: use --operation getBuild, which sends nothing else"
)
_LAST_S = 1.0  # a last request so long before the end of the time, if all further ones are due after it


@dataclass(frozen=True, slots=True)
class ProbeHandover(Handover):
    """Task of the child process. If a probe is resumed, the run log already contains its earlier events."""

    refs: tuple[str, ...]  # unbuilt versions to start; for a probe of reads, the version to read
    origin: float  # reading of the machine's monotonic clock at run second 0
    until_at: float  # run second at which sending ends
    first_seq: int
    spent_builds: int = 0


def terms_of(values: Mapping[str, Any]) -> Terms:
    """Terms of a probe from its run log; raises `UsageError` if another version of touchstone wrote the log."""
    try:
        return Terms(**values)
    except TypeError as error:
        raise UsageError(f"terms of the probe: {error}; resume with the touchstone version that wrote them") from None


class ProbeRun:
    """One probe, or the rest of an interrupted one."""

    def __init__(self, handover: ProbeHandover, create_probe: Callable[[Terms], Probe]) -> None:
        self._handover = handover
        self._story = _story(handover)
        self._log = RunLogWriter(Path(handover.run_log), drops=True)
        probing, target = self._story.probing, handover.settings.target
        terms = terms_of(probing.terms)
        self._probe = create_probe(terms)
        self.bounds = Bounds(terms, handover.until_at, self.now, handover.spent_builds)
        self._link = Link(target.url or "", target, Contract.load(), self.now)
        # Limits for exchanges in the run log: their size in bytes, and their number.
        self._room, self._left = Room(target.bounds.max_total_bytes), 5_000
        starts = probing.operation == STARTS
        self._pool = Pool(handover.refs, self._link, target.cancel_timeout_s, terms.refusal) if starts else None
        self._seqs = itertools.count(handover.first_seq)
        self._sender = Sender(
            probing.operation, self._link, self._pool, handover.refs[0], self.bounds, self._record, self._seqs
        )
        self._pending: list[tuple[OutgoingRequest, Reply, int]] = []

    def now(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._handover.origin

    @property
    def is_lost(self) -> bool:
        """Whether the run log can no longer be written."""
        return self._log.lost is not None

    def run(self) -> None:
        """Sends stimuli until the probe ends; always writes the result."""
        self._attempt(self._go)
        if self.bounds.why:  # recorded before the knee search, which may end for another reason
            self._probe.stop(self.bounds.why)
        if self._story.probing.knee and not self.is_lost:
            self._attempt(self._seek)
        try:
            self._log.write(Identified(self._probe.known(), tuple(self._probe.steps)))
            if self.bounds.failure:
                self._log.write(Case(CASE, "", "error", 0.0, (), self._link.secrets.text(self.bounds.failure)))
        finally:
            if self._pool:
                self._pool.close()
            self._link.close()
            self._log.close()

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - an error of ours must not look like a pass
            self.bounds.end("interrupted", f"the probe failed: {type(error).__name__}: {error}")

    def _go(self) -> None:
        number, computes_s = self._replayed(), 0.0
        other = "getTemplate" if self._story.probing.operation == "getBuild" else "getBuild"
        self._link.send(self._link.prepared(other, self._handover.refs[0]))
        gc.collect()
        gc.freeze()
        while not (self.bounds.ended.is_set() or self.is_lost):
            if self._pool:
                self._pool.settle()
            began_at = self.now()
            # A stimulus is due once it has been computed, which takes about as long as for the last one.
            stimulus = self._probe.propose(began_at + min(1.25 * computes_s, 10.0))
            computes_s = self.now() - began_at
            if stimulus is None:
                break
            last_at = self._handover.until_at - _LAST_S
            if stimulus.segments[0].at[0] > last_at > self.now() + _LAST_S:  # how long it refuses can still be known
                stimulus = Stimulus("one request", (Segment((last_at,)),))
            number += 1
            self._log.write(Sending(number, stimulus))
            gc.disable()
            answers = self._sender.send(number, stimulus)
            gc.enable()
            for each in self._pending:
                self._keep(*each)
            self._pending.clear()
            self._observe(number, stimulus, answers)
            if self._pool and self._pool.refused.is_set():
                self.bounds.end("interrupted", _COUNTS_ALL)

    def _seek(self) -> None:
        """Searches for the knee; if the limiter is not certain, only records why the knee is unknown."""
        story, identity, bounds = _story(self._handover), self._probe.known(), self.bounds
        terms = story.probing.knee
        assert terms is not None
        highest_per_s, rest_s = ceiling(identity)
        took_s = [each.answer.took_s for each in story.answers if each.answer.accepted]
        left = replace(terms, most_requests=max(0, terms.most_requests - bounds.requests))
        search = Search(left, median(took_s) if took_s else 0.0, highest_per_s, story.probing.seed)
        for tried in story.tried:
            if tried.mark != "cut":
                search.propose(math.inf)
                search.observe(tried.trial, tried.outcome)
        if not identity.sure:
            search.stop("interrupted" if bounds.why == "interrupted" else "unsettled")
        prepared = self._link.prepared(story.probing.operation, self._handover.refs[0])
        rest_s, until_at = max(rest_s, 0.25), self._handover.until_at
        while not bounds.ended.is_set():
            trial = search.propose(until_at - self.now() - rest_s)
            if trial is None or bounds.ended.wait(rest_s):
                break
            self._log.write(trial)
            reads = OpenLoop(trial, terms.slo_s, self._link, prepared)
            outcome = reads.run(bounds, until_at)
            for reply in reads.distinct.values():
                self._keep(prepared, reply, next(self._seqs))
            self._log.write(search.observe(trial, outcome))
        if bounds.ended.is_set():
            search.stop("seconds" if bounds.why == "budget" else "interrupted")
        self._log.write(search.known())

    def _replayed(self) -> int:
        """Replays the responses of an earlier session; returns the number of the last stimulus."""
        ended = {end.stimulus for end in self._story.ended}
        for answered in self._story.answers:
            self.bounds.recall(answered)
        for sending in self._story.sent:
            answers = self._story.answers_to(sending.number)
            if sending.number in ended:
                self._probe.observe(sending.stimulus, answers)
            else:
                self._observe(sending.number, sending.stimulus, answers)
        if self._story.sent:
            self._probe.resume()
        return max((sending.number for sending in self._story.sent), default=0)

    def _observe(self, number: int, stimulus: Stimulus, answers: Sequence[Answer]) -> None:
        at = max((answer.done_at for answer in answers), default=self.now())
        self._probe.observe(stimulus, answers)
        families = self._probe.steps[-1].families if self._probe.steps else {}
        bounds = self.bounds
        counts = bounds.requests, bounds.refused, bounds.spent_builds
        self._log.write(probe.StimulusEnd(number, round(at, 6), dict(families), *counts))

    def _record(self, answered: Answered, prepared: OutgoingRequest, reply: Reply) -> None:
        """Records a response at once; its exchange is written after the end of the stimulus."""
        self._log.write(answered)
        self._pending.append((prepared, reply, answered.seq))

    def _keep(self, prepared: OutgoingRequest, reply: Reply, seq: int) -> None:
        if self._left and self._room.take(kept_bytes(reply)):
            self._left -= 1
            self._log.write(self._link.exchange(prepared, reply, seq, CASE))


def _story(handover: ProbeHandover) -> ProbeStory:
    story = read(Path(handover.run_log)).probe
    if story is None:
        raise RunLogError(f"{handover.run_log}: no probe in this run log; expected one that `touchstone probe` wrote")
    return story


def main(create_probe: Callable[[Terms], Probe] = Probe) -> int:
    """Runs the probe that the parent process handed over; returns the exit code: 2 if nothing could be sent."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a thread waits for it instead
    sys.setswitchinterval(0.0005)  # seconds: lets a thread wake up for its response while another thread computes
    hold_lifeline(os.environ)
    try:
        run = ProbeRun(ProbeHandover.received(), create_probe)

        def wait_for_interrupt() -> None:
            signal.sigwait({signal.SIGINT})
            run.bounds.end("interrupted")

        threading.Thread(target=wait_for_interrupt, daemon=True).start()
        run.run()
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if run.is_lost:
        return UNWRITTEN
    return 130 if run.bounds.why == "interrupted" and not run.bounds.failure else 0
