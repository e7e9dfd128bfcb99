"""The child's side of a probe: asks what comes next, sends it, records what was answered, until nothing more is asked.

`python -m touchstone.limiter.probe` runs it.
"""

import gc
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from touchstone.check.handover import UNWRITTEN, Carried, hold_lifeline
from touchstone.config import HANDOVER, TargetSettings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.errors import HarnessError, RunLogError, UsageError
from touchstone.facts.events import Case, Occurrence, Tally
from touchstone.facts.finding import Finding, Judgement, finding_id
from touchstone.facts.knee_trials import KneeTerms
from touchstone.facts.observed import Answer
from touchstone.facts.probe_events import Answered, Heard, Identified, ProbeStory, Sending
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.stimulus import Stimulus
from touchstone.limiter.identify import Probe
from touchstone.limiter.probe.connections import Link, Prepared, Reply
from touchstone.limiter.probe.sender import STARTS, Bounds, Pool, Sender
from touchstone.limiter.probe.trials import seek
from touchstone.limiter.terms import Terms
from touchstone.loadgen.inline_judge import INLINE_RULES
from touchstone.rules.history import History
from touchstone.rules.judge import finding_of, said
from touchstone.target.bounds import Room, head_bytes

CASE = "probe"

# Exchanges that are kept: all refusals and the first of what was let through, as far as there is room.
MOST_KEPT, FIRST_KEPT = 2_000, 50
# What ends later is left to whoever clears up.
LEAVE_S = 3.0

# A stimulus is to begin when it is thought of, and not before.
THINKS_TIMES, MOST_THINKS_S = 1.25, 10.0

# What the process ends with where nobody could ask anything; and where somebody stopped it.
FAULTY, INTERRUPTED = 2, 130
# Whoever waits for an answer is to notice it at once, whatever another thread computes.
_SWITCH_S = 0.0005

_Terms = TypeVar("_Terms", Terms, KneeTerms)


@dataclass(frozen=True, slots=True)
class ProbeHandover(Carried):
    """What the process is to do. What an interrupted probe has recorded already stands in the run log.

    Attributes:
        run_log: Path of the run log, which says in its event ``probe`` what is asked for.
        refs: The versions that may be started, none of which is built; of another operation, the one that is read.
        origin: The machine's monotonic clock at run second 0.
        until_at: Run second at which nothing more is sent.
        first_seq: Exchanges are numbered from here.
        spent_builds: Builds that began before it, or may have.
    """

    url: str
    run_log: str
    refs: tuple[str, ...]
    origin: float
    until_at: float
    first_seq: int
    spent_builds: int = 0


def received_probe(environ: Mapping[str, str]) -> ProbeHandover:
    """The hand-over that this process was started with.

    Raises:
        UsageError: there is none, or that of something else: it was started by hand.
    """
    try:
        values = json.loads(environ.get(HANDOVER) or "")
        return ProbeHandover(**values | {"refs": tuple(values["refs"])})
    except (ValueError, TypeError, KeyError):
        # It may hold keys, and is not shown.
        advice = "run `touchstone probe` (`touchstone probe --help`)"
        raise UsageError(f"probe: not started by touchstone; {advice}") from None


def terms_of(values: Mapping[str, Any], kind: type[_Terms]) -> _Terms:
    """What a run log says that a probe may cost, as an object.

    Raises:
        UsageError: another version of touchstone wrote it.
    """
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"terms of the probe: {error}; go on with the version of touchstone that wrote them") from None


class Verdicts:
    """Judges answers by the rules that need nothing else, and keeps what is worth keeping."""

    def __init__(self, link: Link, contract: Contract, target: TargetSettings, log: RunLogWriter) -> None:
        self._link, self._log, self._sources = link, log, target.key_sources
        self._history, self._ledger = History(contract), ledger_of_claims.load()
        self._findings: dict[str, Finding] = {}
        self._times: Counter[str] = Counter()
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._failed: dict[str, str] = {}
        self._room = Room(target.bounds.max_total_bytes)
        self._kept = 0

    def judge(self, prepared: Prepared, reply: Reply, seq: int, *, keeps: bool, times: int = 1) -> None:
        """Judges an answer that came *times* times.

        Args:
            keeps: Whether its exchange is kept also where nothing is wrong with it.
        """
        exchange, broken = self._link.exchange(prepared, reply, seq, CASE), dict[str, Judgement]()
        for judgement in [j for rule in INLINE_RULES for j in said(rule, exchange, self._history, self._failed)]:
            if judgement.outcome == "broken":
                name = finding_id(judgement.claim, judgement.operation, judgement.check, judgement.expected)
                broken.setdefault(name, judgement)
            else:
                self._count(judgement.check, judgement.claim, judgement.outcome, judgement.actual, times)
        self._times.update(dict.fromkeys(broken, times))
        new = {
            name: finding_of(judgement, exchange, self._ledger, self._sources)
            for name, judgement in broken.items()
            if name not in self._findings
        }
        self._findings |= new
        if new or keeps:
            self.keep(prepared, reply, seq, is_evidence=bool(new))
        for finding in new.values():
            self._log.write(Occurrence(finding, CASE))

    def keep(self, prepared: Prepared, reply: Reply, seq: int, *, is_evidence: bool = False) -> None:
        """Keeps an exchange, as long as there is room."""
        size = len(reply.body) + head_bytes(reply.headers)
        if is_evidence or (self._kept < MOST_KEPT and self._room.take(size)):
            self._kept += 1
            self._log.write(self._link.exchange(prepared, reply, seq, CASE))

    def _count(self, check: str, claim: str, outcome: str, why: str, times: int) -> None:
        before = self._tallies.get((check, claim), Tally(CASE, check, claim, 0, 0, ""))
        held, unclear = before.held, before.indeterminate
        if outcome == "held":
            self._tallies[check, claim] = Tally(CASE, check, claim, held + times, unclear, before.reason)
        elif outcome == "indeterminate":
            self._tallies[check, claim] = Tally(CASE, check, claim, held, unclear + times, before.reason or why)

    def conclude(self) -> list[str]:
        """Writes down what was counted; which rules failed, in a sentence each."""
        for tally in self._tallies.values():
            self._log.write(tally)
        for name, times in self._times.items():
            if times > 1:
                self._log.write(Occurrence(self._findings[name], CASE, times - 1))
        return [f"the rule {rule} failed: {error}" for rule, error in self._failed.items()]


class ProbeRun:
    """One probe, or what is left of one that was interrupted."""

    def __init__(self, handover: ProbeHandover, brain: Callable[[Terms], Probe]) -> None:
        self._handover = handover
        self._story = _story(Path(handover.run_log))
        self._log = RunLogWriter(Path(handover.run_log), drops=True)
        probing, target = self._story.probing, handover.parsed_settings().target
        terms = terms_of(probing.terms, Terms)
        self._brain = brain(terms)
        self._bounds = Bounds(terms, handover.until_at, self.now, handover.spent_builds)
        contract = Contract.load()
        self._link = Link(handover.url, target, contract, self.now)
        self._verdicts = Verdicts(self._link, contract, target, self._log)
        starts, patience_s = probing.operation == STARTS, target.cancel_timeout_s
        pooled = (handover.refs, self._link, patience_s, self._bounds.began_nothing)
        self._pool = Pool(*pooled) if starts else None
        self._sender = Sender(
            *(probing.operation, self._link, self._pool, handover.refs[0], self._bounds, self._record, self._utc),
            first_seq=handover.first_seq,
        )
        self._accepted = 0
        self._thinks_s = 0.0
        self._seeks = False
        self._unjudged: list[tuple[Answered, Prepared, Reply]] = []

    def now(self) -> float:
        """Seconds on the clock of the run."""
        return time.monotonic() - self._handover.origin

    def interrupt(self) -> None:
        """Has nothing more sent; what is under way is waited for."""
        self._bounds.end("interrupted")

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped it, and not the target."""
        return self._bounds.why == "interrupted" and not self._bounds.failure

    @property
    def is_lost(self) -> bool:
        """Whether the run log takes no more."""
        return self._log.lost is not None

    def run(self) -> None:
        """Sends and hears until nothing more is asked, or may be; whatever happens, writes what is known."""
        try:
            self._go()
            if self._story.probing.knee is not None and not self.is_lost:
                self._seek()
        except Exception as error:  # noqa: BLE001 - an error of ours must not look like a pass
            self._bounds.end("interrupted", f"the probe failed: {type(error).__name__}: {error}")
        try:
            self._conclude()
        finally:
            if self._pool:
                self._pool.close(LEAVE_S)
            self._link.close()
            self._log.close()

    def _go(self) -> None:
        number = self._replayed()
        other = "getTemplate" if self._story.probing.operation == "getBuild" else "getBuild"
        (line,) = self._link.take(1)
        line.exchange(self._link.prepared(other, self._handover.refs[0]))
        self._link.give_back([line])
        gc.collect()
        gc.freeze()
        while not (self._bounds.ended.is_set() or self.is_lost):
            if self._pool:
                self._pool.settle()
            stimulus = self._asked()
            if stimulus is None:
                break
            number += 1
            self._log.write(Sending(number, stimulus))
            gc.disable()
            answers = self._sender.send(number, stimulus)
            gc.enable()
            self._judge()
            self._hear(number, stimulus, answers)

    def _seek(self) -> None:
        """Looks for the knee, where the limiter is known."""
        story, identity = _story(Path(self._handover.run_log)), self._brain.known()
        terms = terms_of(story.probing.knee or {}, KneeTerms)
        bounds, sender = self._bounds, self._sender
        prepared = self._link.prepared(story.probing.operation, self._handover.refs[0])
        self._seeks = identity.sure and not bounds.ended.is_set()
        until_at = self._handover.until_at
        seek(story, identity, terms, self._link, prepared, bounds, until_at, self._verdicts, sender.next_seq, self._log)

    def _asked(self) -> Stimulus | None:
        """What is sent next, from a moment on at which that is known: to think of it takes as long as last time."""
        began_at = self.now()
        stimulus = self._brain.ask(began_at + min(self._thinks_s, MOST_THINKS_S))
        self._thinks_s = THINKS_TIMES * (self.now() - began_at)
        return stimulus

    def _replayed(self) -> int:
        """Tells the brain what an earlier session recorded; the number of the last stimulus."""
        heard = {heard.stimulus for heard in self._story.heard}
        for answered in self._story.answers:
            self._bounds.recall(answered)
        for sending in self._story.sent:
            answers = self._story.answers_to(sending.number)
            if sending.number in heard:
                self._brain.hear(sending.stimulus, answers)
            else:
                self._hear(sending.number, sending.stimulus, answers)
        if self._story.sent:
            self._brain.resume()
        return max((sending.number for sending in self._story.sent), default=0)

    def _hear(self, number: int, stimulus: Stimulus, answers: Sequence[Answer]) -> None:
        at = max((answer.done_at for answer in answers), default=self.now())
        self._brain.hear(stimulus, answers)
        families = self._brain.steps[-1].families if self._brain.steps else {}
        bounds = self._bounds
        heard = Heard(number, round(at, 6), dict(families), bounds.requests, bounds.refused, bounds.spent_builds)
        self._log.write(heard)

    def _conclude(self) -> None:
        """Writes what is known, what the rules said of the answers, and what went wrong."""
        bounds = self._bounds
        # What ends the search for a knee does not end what was before.
        if bounds.why and not self._seeks:
            self._brain.stop(bounds.why)
        self._log.write(Identified(self._brain.known(), tuple(self._brain.steps)))
        for text in [*([bounds.failure] if bounds.failure else []), *self._verdicts.conclude()]:
            self._log.write(Case(CASE, "", "error", 0.0, (), self._link.secrets.text(text)))

    def _record(self, answered: Answered, prepared: Prepared, reply: Reply) -> None:
        """Writes one answer down. It is judged when there is time."""
        self._log.write(answered)
        self._unjudged.append((answered, prepared, reply))

    def _judge(self) -> None:
        """Has the answers to a stimulus judged, and keeps what is worth keeping."""
        for answered, prepared, reply in self._unjudged:
            accepted = answered.answer.accepted
            self._accepted += accepted
            if answered.heeded:
                keeps = not accepted or self._accepted <= FIRST_KEPT
                self._verdicts.judge(prepared, reply, answered.seq, keeps=keeps)
            else:
                self._verdicts.keep(prepared, reply, answered.seq)
        self._unjudged.clear()

    def _utc(self, at: float) -> float:
        return self._story.probing.origin_utc + at


def _story(run_log: Path) -> ProbeStory:
    story = read(run_log).probe
    if story is None:
        raise RunLogError(f"{run_log}: says nothing of a probe")
    return story


def main(brain: Callable[[Terms], Probe] = Probe) -> int:
    """Runs the probe that the environment asks for; the exit code of the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a thread of its own waits for it
    sys.setswitchinterval(_SWITCH_S)
    hold_lifeline(os.environ)
    try:
        run = ProbeRun(received_probe(os.environ), brain)
        threading.Thread(target=_wait_for_interrupt, args=(run,), daemon=True).start()
        run.run()
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return FAULTY
    if run.is_lost:
        return UNWRITTEN
    return INTERRUPTED if run.interrupted else 0


def _wait_for_interrupt(run: ProbeRun) -> None:
    signal.sigwait({signal.SIGINT})
    run.interrupt()
