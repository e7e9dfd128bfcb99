"""Shows how a load run comes along: on a terminal as a table that moves, elsewhere as a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from touchstone.cli.live_state import RECENT_S, LiveState
from touchstone.cli.progress import is_watched
from touchstone.facts.figures import brief, figure
from touchstone.facts.histogram import Histogram
from touchstone.facts.sample import UNSENT
from touchstone.loadgen.metrics import LASTING, Kind, kind_of
from touchstone.report.paragraphs import KIND_STYLES
from touchstone.rules.verdict import plural

LINE_EVERY_S = 30
# The set-up and the clean-up are told of from the beginning where so much is to be done, and where they take so long.
COURSE_EVERY_S, _MANY = 10.0, 100
_DRAW_EVERY_S = 0.25
_SPARKS = "▁▂▃▄▅▆▇█"
_SPARK_SECONDS = 40
_WIDE_FROM_COLUMNS = 76
_WORDS: dict[Kind, str] = {"refused": "refused", "error": "errors", "cut": "cut off", "unsent": "never sent"}


@contextmanager
def load_progress_on(
    console: Console, now: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that takes each event of the run log of a load run, and shows on *console* what they come to.

    Events of the type ``course`` are in no run log: they tell how far the set-up or the clean-up has come.
    """
    state = LiveState()
    if not is_watched(console):
        yield _teller(console, state, now)
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        drawn_at = 0.0

        def show(event: dict[str, Any]) -> None:
            nonlocal drawn_at
            state.add(event)
            if now() - drawn_at >= _DRAW_EVERY_S or _begins(event):
                drawn_at = now()
                live.update(picture(state, console.width), refresh=True)

        yield show


def _teller(console: Console, state: LiveState, now: Callable[[], float]) -> Callable[[dict[str, Any]], None]:
    told_s, told_at = 0, now()

    def tell(event: dict[str, Any]) -> None:
        nonlocal told_s, told_at
        state.add(event)
        text = ""
        if event.get("type") == "course":
            if _begins(event):
                told_at = now()
                text = state.course if event["of"] >= _MANY else ""
            elif now() - told_at >= COURSE_EVERY_S:
                told_at = now()
                text = state.course
        elif state.seen_s >= told_s + LINE_EVERY_S:
            told_s = state.seen_s - state.seen_s % LINE_EVERY_S
            text = line(state)
        if text:
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    return tell


def _begins(event: dict[str, Any]) -> bool:
    return event.get("type") == "course" and not event["done"]


def line(state: LiveState) -> str:
    """The state in one line."""
    kinds = _kinds(state)
    parts = [f"{kinds[kind]:,} {word}" for kind, word in _WORDS.items() if kinds[kind]]
    parts += [plural(state.findings, "finding")] if state.findings else []
    whole = Histogram.merged(times for operation, times in state.times.items() if operation not in LASTING)
    times = f", p99 {brief(whole.quantile_s(0.99))}" if whole.cells else ""
    return ", ".join((f"{_clock(state)}: {plural(state.total, 'request')}{times}", *parts))


def _kinds(state: LiveState) -> dict[Kind, int]:
    kinds: dict[Kind, int] = dict.fromkeys(KIND_STYLES, 0)
    for (_, outcome), count in state.counts.items():
        kinds[kind_of(outcome)] += count
    return kinds


def picture(state: LiveState, width: int) -> RenderableType:
    """The state as it is drawn on a terminal of so many columns."""
    if not state.scenario:
        return Text(state.course or "getting ready")
    findings = f", {plural(state.findings, 'finding')}" if state.findings else ""
    head = Text.assemble(
        (state.scenario, "bold"), f"  {_clock(state)}  {plural(state.total, 'request')}", (findings, "bold red")
    )
    course = [Text(state.course, "bold")] if state.course else []
    return Group(head, _table(state, width), _foot(state), *course)


def _clock(state: LiveState) -> str:
    if state.seen_s > state.duration_s:
        return f"{state.seen_s} s, all {state.duration_s:g} s of arrivals are over"
    return f"{state.seen_s} s of {state.duration_s:g} s"


def _table(state: LiveState, width: int) -> Table:
    is_wide = width >= _WIDE_FROM_COLUMNS
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("operation", no_wrap=True)
    recent = f"last {RECENT_S} s"
    ranges = (f"{recent}\np50", f"{recent}\np99", "all\np50", "all\np99") if is_wide else ("p99",)
    titles = ("count", "per s", *ranges)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for operation in sorted({name for name, _ in state.counts}):
        near, far = state.recent(operation), state.times[operation]
        times = (_at(near, 0.5), _at(near, 0.99), _at(far, 0.5), _at(far, 0.99)) if is_wide else (_at(near, 0.99),)
        table.add_row(Text(operation, "bold"), *_rates(state, operation, None), *times)
        for outcome in sorted(outcome for name, outcome in state.counts if name == operation):
            style = KIND_STYLES[kind_of(outcome)]
            name = "never sent" if outcome == UNSENT else outcome
            table.add_row(Text(f"  {name}", style), *_rates(state, operation, outcome))
    return table


def _rates(state: LiveState, operation: str, outcome: str | None) -> tuple[str, str]:
    """Count and rate of one outcome, or of all that was sent."""
    known = [one for name, one in state.counts if name == operation and one != UNSENT]
    outcomes = known if outcome is None else [outcome]
    count = sum(state.counts[operation, one] for one in outcomes)
    return f"{count:,}", figure(sum(state.rate_per_s(operation, one) for one in outcomes))


def _at(times: Histogram, share: float) -> str:
    return brief(times.quantile_s(share)) if times.cells else "–"


def _foot(state: LiveState) -> Text:
    arrivals = [state.arrivals[n] for n in range(max(0, state.seen_s - _SPARK_SECONDS), state.seen_s)]
    behind = f"; behind or lost: worker {', '.join(map(str, sorted(state.behind)))}" if state.behind else ""
    return Text.assemble(
        f"builds in flight {state.builds}, late {brief(state.late_s)} at p99",
        (behind, "bold yellow"),
        f"\narrivals {sparks(arrivals)} at most {max(arrivals, default=0):,} a second",
    )


def sparks(values: list[int]) -> str:
    """A row of bars, the highest for the largest value."""
    most = max(values, default=0) or 1
    return "".join(_SPARKS[min(len(_SPARKS) - 1, value * len(_SPARKS) // (most + 1))] for value in values)
