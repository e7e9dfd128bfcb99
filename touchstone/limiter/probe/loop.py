"""The child's side of a probe: asks what comes next, sends it, tells what was answered, until nothing more is asked."""

import gc
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

import gevent

from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.errors import RunLogError
from touchstone.facts.events import Case, Occurrence
from touchstone.facts.exchange import Exchange
from touchstone.facts.identity import Identity, Step, Stretch, Why
from touchstone.facts.observed import Answer
from touchstone.facts.probe_events import Answered, Heard, Identified, ProbeStory, Sending
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.stimulus import Stimulus
from touchstone.limiter.probe.budget import Bounds
from touchstone.limiter.probe.connections import ProbeLink
from touchstone.limiter.probe.handover import ProbeHandover, terms_of
from touchstone.limiter.probe.knee_seek import KneeSeeker
from touchstone.limiter.probe.pool import Pool
from touchstone.limiter.probe.sender import STARTS, Sender
from touchstone.limiter.terms import Terms
from touchstone.loadgen.inline_judge import INLINE_RULES, Appraiser
from touchstone.loadgen.prepared_request import Shot
from touchstone.rules.history import History
from touchstone.target.answer import Answer as Wired
from touchstone.target.answer import kept_bytes
from touchstone.target.bounds import Room

CASE = "probe"

# Exchanges that are kept: all refusals and the first of what was let through, as far as there is room.
MOST_KEPT, FIRST_KEPT = 2_000, 50
# What ends later is left to whoever clears up.
LEAVE_S = 3.0

# A stimulus is to begin when it is thought of, and not before.
THINKS_TIMES, MOST_THINKS_S = 1.25, 10.0

T = TypeVar("T")


class Brain(Protocol):
    """Who decides what is asked; `touchstone.limiter.identify.Probe` is one."""

    steps: list[Step]

    def ask(self, now_at: float) -> Stimulus | None:
        """What is sent next."""

    def hear(self, stimulus: Stimulus, answers: Sequence[Answer]) -> None:
        """Takes in the answers."""

    def resume(self) -> None:
        """Goes on after an interruption."""

    def stop(self, why: Why) -> None:
        """Has nothing more asked."""

    def known(self) -> Identity:
        """What is known by now."""

    def stretch(self) -> Stretch | None:
        """What the limiter kept in mind."""


class ProbeRun:
    """One probe, or what is left of one that was interrupted."""

    def __init__(self, handover: ProbeHandover) -> None:
        self._handover = handover
        self._story = _story(Path(handover.run_log))
        self._log = RunLogWriter(Path(handover.run_log), drops=True)
        probing, settings = self._story.probing, handover.parsed_settings()
        terms = terms_of(probing.terms)
        self._brain = _brain(handover.brain, terms)
        self._bounds = Bounds(terms, handover.until_at, self.now, handover.spent_builds)
        contract = Contract.load()
        self._link = link = ProbeLink(handover.url, settings, contract, self.now)
        ledger, sources = ledger_of_claims.load(), settings.target.key_sources
        self._appraiser = Appraiser(History(contract), ledger, INLINE_RULES, link.shots, sources=sources)
        starts, patience_s = probing.operation == STARTS, settings.target.cancel_timeout_s
        pooled = (handover.refs, link.beside, self.now, patience_s, self._bounds.began_nothing)
        self._pool = Pool(*pooled) if starts else None
        self._sender = Sender(
            *(probing.operation, link, self._pool, handover.refs[0], self._bounds, self._tell, self.now, self._utc),
            first_seq=handover.first_seq - 1,
        )
        self._kept = self._accepted = 0
        self._room = Room(settings.target.bounds.max_total_bytes)
        self._thinks_s = 0.0
        self._seeker: KneeSeeker | None = None
        if probing.knee is not None:
            self._seeker = KneeSeeker(
                *(handover, link, self._sender, self._bounds, self._appraiser, self._log, self.now), case=CASE
            )
        self._unjudged: list[tuple[Answered, Shot, Wired]] = []

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

    def run(self) -> None:
        """Sends and hears until nothing more is asked, or may be; whatever happens, tells what is known."""
        try:
            self._go()
            if self._seeker and not self.is_lost:
                self._seeker.seek(_story(Path(self._handover.run_log)), _thought(self._brain.known))
        except Exception as error:  # noqa: BLE001 - an error of ours must not look like a pass
            self._bounds.end("interrupted", f"the probe failed: {type(error).__name__}: {error}")
        try:
            self._conclude()
        finally:
            if self._pool:
                self._pool.close(LEAVE_S)
            self._link.close()
            self._log.close()

    @property
    def is_lost(self) -> bool:
        """Whether the run log takes no more."""
        return self._log.lost is not None

    def _go(self) -> None:
        number = self._replayed()
        other = "getTemplate" if self._story.probing.operation == "getBuild" else "getBuild"
        self._link.warm(other, self._handover.refs[0])
        gc.collect()
        gc.freeze()
        while not (self._bounds.ended.is_set() or self.is_lost):
            if self._pool:
                self._pool.settle()
            stimulus = self._asked()
            if stimulus is None:
                break
            number += 1
            self._log.write(Sending(number, stimulus).event())
            gc.disable()
            answers = self._sender.send(number, stimulus)
            gc.enable()
            self._judge()
            self._hear(number, stimulus, answers)

    def _asked(self) -> Stimulus | None:
        """What is sent next, from a moment on at which that is known: to think of it takes as long as last time."""
        began_at = self.now()
        stimulus = _thought(self._brain.ask, began_at + min(self._thinks_s, MOST_THINKS_S))
        self._thinks_s = THINKS_TIMES * (self.now() - began_at)
        return stimulus

    def _replayed(self) -> int:
        """Tells the brain what an earlier session heard; the number of the last stimulus."""
        heard = {heard.stimulus for heard in self._story.heard}
        for answered in self._story.answers:
            self._bounds.recall(answered)
        for sending in self._story.sent:
            answers = self._story.answers_to(sending.number)
            if sending.number in heard:
                _thought(self._brain.hear, sending.stimulus, answers)
            else:
                self._hear(sending.number, sending.stimulus, answers)
        if self._story.sent:
            _thought(self._brain.resume)
        return max((sending.number for sending in self._story.sent), default=0)

    def _hear(self, number: int, stimulus: Stimulus, answers: Sequence[Answer]) -> None:
        at = max((answer.done_at for answer in answers), default=self.now())
        _thought(self._brain.hear, stimulus, answers)
        families = self._brain.steps[-1].families if self._brain.steps else {}
        bounds = self._bounds
        told = Heard(number, round(at, 6), dict(families), bounds.requests, bounds.refused, bounds.spent_builds)
        self._log.write(told.event())

    def _conclude(self) -> None:
        """Tells what is known, what the rules said of the answers, and what went wrong."""
        bounds = self._bounds
        # What ends the search for a knee does not end what was before.
        if bounds.why and not (self._seeker and self._seeker.began):
            self._brain.stop(bounds.why)
        known, stretch = _thought(self._brain.known), _thought(self._brain.stretch)
        self._log.write(Identified(known, tuple(self._brain.steps), stretch).event())
        for tally in self._appraiser.tallies(CASE):
            self._log.write(tally)
        for name, times in self._appraiser.occurrences().items():
            if times > 1:
                finding = self._appraiser.findings[name]
                self._log.write(Occurrence(finding, CASE, times - 1))
        failed = [f"the rule {rule} failed: {error}" for rule, error in self._appraiser.failed.items()]
        for text in [*([bounds.failure] if bounds.failure else []), *failed]:
            self._log.write(Case(CASE, "", "error", 0.0, (), self._link.shots.secrets.text(text)))

    def _tell(self, answered: Answered, shot: Shot, wired: Wired) -> None:
        """Writes one answer down. It is judged when there is time."""
        self._log.write(answered.event())
        self._unjudged.append((answered, shot, wired))

    def _judge(self) -> None:
        """Has the answers to a stimulus judged, and keeps what is worth keeping."""
        for answered, shot, wired in self._unjudged:
            if answered.heeded:
                self._judge_one(answered, shot, wired)
            else:
                self._keep(answered, shot, wired, None)
        self._unjudged.clear()

    def _judge_one(self, answered: Answered, shot: Shot, wired: Wired) -> None:
        seen = self._appraiser.see(shot, wired, answered.seq, CASE)
        self._accepted += answered.answer.accepted
        if seen.findings or not answered.answer.accepted or self._accepted <= FIRST_KEPT:
            self._keep(answered, shot, wired, seen.exchange, evidence=bool(seen.findings))
        for finding in seen.findings:
            self._log.write(Occurrence(finding, CASE))

    def _keep(
        self, answered: Answered, shot: Shot, wired: Wired, exchange: Exchange | None, *, evidence: bool = False
    ) -> None:
        if evidence or (self._kept < MOST_KEPT and self._room.take(kept_bytes(wired))):
            self._kept += 1
            self._log.write(exchange or self._link.shots.exchange(shot, wired, answered.seq, CASE, 0.0))

    def _utc(self, at: float) -> float:
        return self._story.probing.origin_utc + at


def _story(run_log: Path) -> ProbeStory:
    story = read(run_log).probe
    if story is None:
        raise RunLogError(f"{run_log}: says nothing of a probe")
    return story


def _brain(name: str, terms: Terms) -> Brain:
    module, _, member = name.partition(":")
    brain: Brain = getattr(import_module(module), member)(terms)
    return brain


def _thought(work: Callable[..., T], *arguments: Any) -> T:
    """What *work* comes to, in a thread of its own: builds are cancelled meanwhile."""
    done: T = gevent.get_hub().threadpool.apply(work, arguments)
    return done
