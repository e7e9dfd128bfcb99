"""The progress of a load run while it lasts, on a terminal and elsewhere."""

from pathlib import Path
from typing import Any

from tests.loadlogs import steady, write
from touchstone.cli.live import LoadState
from touchstone.facts.events import RunLog
from touchstone.facts.runlog import follow
from touchstone.loadgen.metrics import metrics


def events_of(log: RunLog, folder: Path) -> tuple[dict[str, Any], ...]:
    return next(follow(write(log, folder / "runlog.jsonl")))


def state_of(*events: dict[str, Any]) -> LoadState:
    state = LoadState()
    for event in events:
        state.add(event)
    return state


def test_state_counts_as_the_report_does(tmp_path: Path) -> None:
    log = steady()
    state, numbers = state_of(*events_of(log, tmp_path), {"type": "finding"}), metrics(log)
    assert state.totals.sent == numbers.total.whole.count
    assert all(part in state.line(60.0) for part in ("60 s of 60 s", "3,000", "964 ms", "1 finding"))
