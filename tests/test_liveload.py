"""How a load run comes along, as it is shown while it lasts."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.loadlogs import Storm, behind, four_workers, steady, write
from touchstone.cli.live import SET_UP_EVERY_S, LoadState, load_progress_on
from touchstone.facts.events import RunLog
from touchstone.facts.runlog import follow
from touchstone.loadgen.metrics import metrics


def events_of(log: RunLog, folder: Path) -> tuple[dict[str, Any], ...]:
    """The events of a run, as they are followed."""
    return next(follow(write(log, folder / "runlog.jsonl")))


def state_of(log: RunLog, folder: Path) -> LoadState:
    """What a run has come to at its end."""
    state = LoadState()
    for event in events_of(log, folder):
        state.add(event)
    return state


def drawn(state: LoadState, width: int) -> str:
    """The state on a terminal of this width."""
    stream = StringIO()
    Console(file=stream, width=width).print(state.picture())
    return stream.getvalue()


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_state_counts_as_the_report_does(tmp_path: Path) -> None:
    """At the end of a run, what was shown live is what the report says."""
    log = steady()
    state, numbers = state_of(log, tmp_path), metrics(log)

    assert state.total == numbers.total.whole.count
    assert dict(state.counts["getBuild"]) == {row.outcome: row.count for row in numbers.operations[1].outcomes}
    whole = numbers.operations[1].whole.response
    assert whole is not None
    assert state.times["getBuild"].quantile_s(0.99) == whole.at(0.99).value_s
    assert (state.scenario, state.duration_s, state.at_s) == ("steady", 60.0, 60)


def test_builds_in_flight_go_up_and_down(tmp_path: Path) -> None:
    """A start that is served is one build more, an end one less."""
    events = events_of(Storm().run(), tmp_path)
    state, seen = LoadState(), []
    for event in events:
        state.add(event)
        seen.append(state.builds)

    assert (max(seen), seen[-1]) == (40, 0)


def test_workers_behind_or_lost_are_named(tmp_path: Path) -> None:
    """Who cannot keep up, and who was lost, is said at once; the entry of the target is no worker."""
    (tmp_path / "b").mkdir()
    state = state_of(four_workers(), tmp_path)
    state.add({"type": "worker", "number": -1, "state": "lost", "late_p99_s": 9.0, "behind_from_s": 1.0})

    assert state.behind == {2}
    assert "behind or lost: worker 2" in drawn(state, 80)
    assert state_of(behind(), tmp_path / "b").behind == {0}


@pytest.mark.parametrize("width", [30, 40, 80, 120])
def test_picture_keeps_to_the_width(tmp_path: Path, width: int) -> None:
    """The table fits, however narrow the terminal is."""
    assert [line for line in drawn(state_of(steady(), tmp_path), width).splitlines() if cell_len(line) > width] == []


def test_picture_tells_what_matters(tmp_path: Path) -> None:
    """Time, operations and outcomes with counts and rates, percentiles, builds."""
    words = " ".join(drawn(state_of(steady(), tmp_path), 100).split())

    for part in (
        "steady 60 s of 60 s: 3,000 requests",
        "getBuild: 2,576 200, 57 404, 43.9 a second, p50 5.09 ms, p99 964 ms",
        "builds in flight 0",
    ):
        assert part in words


def test_end_of_arrivals_is_told(tmp_path: Path) -> None:
    """While the last flows come to their end, the picture says that nothing new comes."""
    assert "all 1 s of arrivals are over" in drawn(state_of(Storm().run(), tmp_path), 80)


def test_picture_before_the_first_event() -> None:
    """Before the run has said what it is to do, there is something to see as well."""
    assert drawn(LoadState(), 80) == "getting ready\n"


def test_nothing_moves_where_nobody_watches(tmp_path: Path) -> None:
    """Not on a terminal, there is a plain line now and then, and nothing else."""
    stream = StringIO()
    with load_progress_on(Console(file=stream, width=60)) as show:
        for event in events_of(steady(), tmp_path):
            show(event)
    lines = stream.getvalue().splitlines()

    assert len(lines) == 2
    assert re.fullmatch(r"30 s of 60 s: 1,49\d requests, p99 9\d\d ms, 1\d refused", lines[0])


def test_line_says_that_arrivals_are_over(tmp_path: Path) -> None:
    """A line beyond the schedule says that nothing new comes, as the picture does, and each number has its unit."""
    over = r"(\d+) s, all 1 s of arrivals are over: [\d,]+ requests, p99 [\d.]+ m?s, \d+ refused"

    assert re.fullmatch(over, state_of(Storm().run(), tmp_path).line())


def course(done: int, of: int, doing: str = "deleting templates", **more: str) -> dict[str, Any]:
    """How far the set-up or the clean-up has come, as it is told."""
    return {"type": "course", "doing": doing, "done": done, "of": of, **more}


def test_long_set_up_and_clean_up_are_told_at_the_beginning_and_now_and_then() -> None:
    """Not on a terminal, much to do is told as it begins, and whatever takes long every so many seconds."""
    stream, now = StringIO(), [0.0]
    with load_progress_on(Console(file=stream, width=30), lambda: now[0]) as show:
        for done in range(5_001):
            now[0] = done / 200
            show(course(done, 5_000, "publishing"))
        for done in range(5):
            now[0] += SET_UP_EVERY_S
            show(course(done, 4))
        show(course(0, 400, "cancelling what the run left", hint="once more, and the rest is left"))
        show(course(1, 400, "cancelling what the run left"))

    assert stream.getvalue().splitlines() == [
        *(f"publishing: {done:,} of 5,000" for done in (0, 2_000, 4_000)),
        *(f"deleting templates: {done} of 4" for done in (1, 2, 3, 4)),
        "cancelling what the run left: 0 of 400 (once more, and the rest is left)",
    ]


def test_picture_shows_set_up_and_clean_up(tmp_path: Path) -> None:
    """On a terminal both are seen: alone before the run has begun, and below the table when it is over."""
    before, after = LoadState(), state_of(steady(), tmp_path)
    before.add(course(120, 5_000, "publishing"))
    after.add(course(120, 400, hint="once more, and the rest is left"))

    assert drawn(before, 80) == "publishing: 120 of 5,000\n"
    assert drawn(after, 80).splitlines()[0].startswith("steady")
    assert drawn(after, 80).splitlines()[-1] == "deleting templates: 120 of 400 (once more, and the rest is left)"


def test_set_up_is_not_shown_while_the_load_lasts(tmp_path: Path) -> None:
    """Once the load has begun nothing is published any more."""
    state = LoadState()
    for event in (course(9, 9, "publishing"), *events_of(steady(), tmp_path)):
        state.add(event)

    assert "publishing" not in drawn(state, 80)


def test_terminal_shows_lines_that_go(tmp_path: Path) -> None:
    """On a terminal the lines are drawn, and are gone when the run is over."""
    stream = StringIO()
    with load_progress_on(Console(file=stream, width=100, force_terminal=True)) as show:
        for event in events_of(steady(), tmp_path):
            show(event)
        during = stream.getvalue()
    after = stream.getvalue()[len(during) :]

    assert "steady" in during or "getting ready" in during
    assert "\x1b[2K" in after


def test_finding_is_counted(tmp_path: Path) -> None:
    """A finding shows while the run lasts."""
    state = state_of(steady(), tmp_path)
    state.add({"type": "finding"})

    assert "1 finding" in drawn(state, 80)
