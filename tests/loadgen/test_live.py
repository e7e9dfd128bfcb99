"""The progress of a load run while it lasts, on a terminal and elsewhere."""

import itertools
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.loadlogs import steady, write
from touchstone.cli.live import LoadState, progress_on
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


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_state_counts_as_the_report_does(tmp_path: Path) -> None:
    log = steady()
    state, numbers = state_of(*events_of(log, tmp_path), {"type": "finding"}), metrics(log)
    assert state.totals.sent == numbers.total.whole.count
    assert all(part in state.line(60.0) for part in ("60 s of 60 s", "3,000", "964 ms", "1 finding"))


def test_plain_output_has_a_line_now_and_then(tmp_path: Path) -> None:
    stream = StringIO()
    events = events_of(steady(), tmp_path)
    times = itertools.count(0, 70 / len(events))
    with progress_on(Console(file=stream, width=60), LoadState(), lambda: next(times)) as show:
        for event in events:
            show(event)
    lines = stream.getvalue().splitlines()
    assert [(line.partition(" s of 60 s: ")[1] != "", "requests" in line) for line in lines] == [(True, True)] * 2
