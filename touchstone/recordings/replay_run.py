"""A run of the contract tests with recordings instead of a target; pytest loads this module as a plugin.

In the run log the recordings follow each other in time, and their exchanges are numbered consecutively.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from touchstone.check.budget import Budget
from touchstone.check.examination import Examination, Ledger, transport_to
from touchstone.check.handover import CheckHandover
from touchstone.check.journal import Journal
from touchstone.check.pytest_plugin import RUN
from touchstone.check.run import Run
from touchstone.config import UNBOUNDED_BUILDS, TargetSettings
from touchstone.errors import HarnessError
from touchstone.facts.exchange import Exchange
from touchstone.facts.wording import some
from touchstone.recordings.recording import RUN_ID, Recording, cleaned, moved
from touchstone.recordings.replay import Playback, conclusion_of, in_short, judge_of, plays, target_of
from touchstone.target.clock import RecordedClock
from touchstone.target.transport import Transport

# Pause between two recordings in the run log.
PAUSE_S = 1.0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Replaces the target by recordings."""
    try:
        config.stash[RUN] = ReplayRun(CheckHandover.received())
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


class ReplayRun(Run):
    """A run that replays recordings one after the other and judges each separately."""

    is_replay = True

    def __init__(self, handover: CheckHandover) -> None:
        errand = handover.errand
        self._recordings = plays(errand.plays, tuple(errand.accounts.items()))
        self._speed = errand.speed
        self._clock = RecordedClock(self._speed or math.inf)
        self._playback = Playback(Recording("none", ()))
        self._last_seq = 0
        self._unjudged: list[Exchange] = []
        super().__init__(handover)

    def _transport(self) -> Transport:
        wire = httpx.MockTransport(lambda request: self._playback.serve(request))  # noqa: PLW0108 - it is replaced
        return transport_to(self.settings.target, self.contract, self._record, wire=wire, clock=self._clock)

    def _open_journal(self) -> Journal | None:
        return None

    def _examination(self, target: TargetSettings, latency_s: float) -> Examination:
        budget = Budget(UNBOUNDED_BUILDS, self.settings.max_seconds or float("inf"))
        return Examination(self.transport, target, RUN_ID, Ledger(), budget, latency_s)

    @contextmanager
    def playing(self, play_id: str, *, is_story: bool) -> Iterator[Examination]:
        """Serves one recording, then judges its unused exchanges; if *is_story* (a scenario ran), warns of them."""
        recording = self._recordings[play_id]
        if recording.is_changed:
            self._warn(f"{recording.place}: was changed after it was recorded")
        for reason, number in sorted(recording.left_out.items()):
            self._warn(f"{recording.place}: {number} left out: {reason}")
        # Times and *seq* numbers continue those of the previous recording.
        began_at = self._clock.now() + PAUSE_S if self._last_seq else 0.0
        exchanges = tuple(moved(each, each.seq + self._last_seq, began_at) for each in recording.exchanges)
        self._last_seq = max((exchange.seq for exchange in exchanges), default=self._last_seq)
        self._clock.come_to(began_at)
        playback = self._playback = Playback(replace(recording, exchanges=exchanges), self._speed, self._clock)
        playback.clean = self.transport.secrets.text
        self.judge = judge_of(recording)
        self._conclusion = conclusion_of(recording)
        case = self.exam.case
        self.exam = self._examination(target_of(recording, self.settings.target), recording.terms.latency_s)
        self.exam.case = case
        try:
            yield self.exam
        finally:
            unused = playback.left()
            for exchange in unused:
                self._clock.come_to(exchange.done_at)
                self._record(replace(cleaned(exchange, self.transport.secrets.text), case=self.exam.case))
            if unused and is_story:
                problem = f"{len(unused)} recorded, but not requested by the scenario"
                self._warn(f"{recording.place}: {problem}: {some(map(in_short, unused))}")

    def _record(self, exchange: Exchange) -> None:
        with self._lock:
            self._unjudged.append(exchange)

    def _catch_up(self) -> None:
        """Judges the replayed exchanges in the order in which they ended in the recording."""
        for exchange in sorted(self._unjudged, key=lambda each: each.done_at):
            self._write_and_judge(exchange)
        self._unjudged.clear()
