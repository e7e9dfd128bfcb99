"""A run of the contract tests with recordings in the place of a target; pytest loads this module as a plugin."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from touchstone.check.budget import Budget
from touchstone.check.examination import Examination, Ledger
from touchstone.check.handover import CheckHandover
from touchstone.check.journal import Journal
from touchstone.check.pytest_plugin import RUN
from touchstone.check.run import Run
from touchstone.config import UNBOUNDED_BUILDS, TargetSettings
from touchstone.errors import HarnessError
from touchstone.facts.exchange import Exchange
from touchstone.recordings.recording import RUN_ID
from touchstone.recordings.replay import (
    Replay,
    bounds_of,
    call_of,
    conclusion_of,
    given_of,
    plays,
    target_of,
    unused_words,
)
from touchstone.rules.judge import by_all_rules
from touchstone.target.call import Keys
from touchstone.target.transport import Transport


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Puts recordings in the place of the target."""
    try:
        config.stash[RUN] = ReplayRun(CheckHandover.received())
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


class ReplayRun(Run):
    """A run that plays recordings, one after the other, each judged by itself."""

    is_replay = True

    def __init__(self, handover: CheckHandover) -> None:
        self.replay = Replay(plays(handover.plays, tuple(handover.accounts.items())), handover.speed)
        self._unjudged: list[Exchange] = []
        super().__init__(handover)

    def _transport(self) -> Transport:
        target, replay = self.settings.target, self.replay
        keys = Keys(target.api_key or "", target.second_api_key, target.restricted_api_key, target.unused_keys)
        asked = (target.url or "", keys, self.contract, self._record, target.request_timeout_s)
        return Transport(*asked, wire=replay.wire, clock=replay.clock, bounds=target.bounds)

    def _open_journal(self) -> Journal | None:
        return None

    def _examination(self, target: TargetSettings, latency_s: float) -> Examination:
        budget = Budget(UNBOUNDED_BUILDS, self.settings.max_seconds or float("inf"))
        return Examination(self.transport, target, RUN_ID, Ledger(), budget, latency_s)

    @contextmanager
    def playing(self, play_id: str, *, is_story: bool) -> Iterator[Examination]:
        """
        What a scenario is played with: its recording is on, and what nobody asks for is played afterwards.

        Args:
            is_story: Whether a scenario asks; otherwise nothing is wrong with what nobody asks for.
        """
        playback = self.replay.put_on(play_id)
        recording = playback.recording
        if recording.is_changed:
            self._warn(f"{recording.place}: was changed since it was recorded")
        for reason, number in sorted(recording.left_out.items()):
            self._warn(f"{recording.place}: {number} left out: {reason}")
        playback.clean = self.transport.secrets.text
        self.judge = by_all_rules(bounds_of(recording), given_of(recording))
        self._conclusion = conclusion_of(recording)
        case = self.exam.case
        self.exam = self._examination(target_of(recording, self.settings.target), recording.terms.latency_s)
        self.exam.case = case
        try:
            yield self.exam
        finally:
            unused = playback.unused()
            for exchange in unused:
                self.transport.send(call_of(exchange), self.exam.case)
            if unused and is_story:
                self._warn(f"{recording.place}: {unused_words(unused)}")

    def _record(self, exchange: Exchange) -> None:
        with self._lock:
            self._unjudged.append(exchange)

    def _catch_up(self) -> None:
        """Sees what was replayed in the order in which it was over when it was recorded."""
        for exchange in sorted(self._unjudged, key=lambda each: each.done_at):
            self._see(exchange)
        self._unjudged.clear()
