"""What came of requests over time, stacked; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from touchstone.facts.load_events import Attempt
from touchstone.facts.sample import CUT_OFF, NO_ANSWER
from touchstone.loadgen.metrics import Kind, kind_of
from touchstone.report.chart import SIDE, Chart, Key, Linear, Shape, bars, clock_axis, place, stairs
from touchstone.report.load_time import Columns, most
from touchstone.report.load_view import LoadView

# From below to above in a stack.
STACK: tuple[Kind, ...] = ("served", "declined", "refused", "error", "cut", "unsent")
KIND_WORDS: Mapping[Kind, str] = {
    "served": "served (2xx)",
    "declined": "nothing there or too late (404, 409)",
    "refused": "refused (429)",
    "error": "error (5xx, no answer, other)",
    "cut": "cut off when the run was stopped",
    "unsent": "due, but never sent",
}


@dataclass(frozen=True, slots=True)
class _Counted:
    """Requests by column: what came of them, and how many of them were new."""

    kinds: dict[Kind, list[int]]
    due: list[int]


def _empty(columns: Columns) -> _Counted:
    return _Counted({kind: [0] * columns.count for kind in STACK}, [0] * columns.count)


def requests_chart(load: LoadView, columns: Columns) -> Chart:
    """All requests, and what came due by schedule as a line."""
    counted = _empty(columns)
    for second in load.numbers.seconds:
        column = columns.column(second.at_s)
        for (_, outcome), number in second.counts.items():
            counted.kinds[kind_of(outcome)][column] += number
        counted.due[column] += sum(second.due.values())
    return _chart("Requests", "came due by schedule", counted, columns)


def starts_chart(attempts: Iterable[Attempt], columns: Columns) -> Chart:
    """
    Starts that need room on the host, and the first tries among them as a line; of a run without such starts, all.
    """
    counted = _empty(columns)
    starts = list(attempts)
    for attempt in [one for one in starts if one.fresh] or starts:
        outcome = str(attempt.status) if attempt.status else CUT_OFF if attempt.cut_off else NO_ANSWER
        counted.kinds[kind_of(outcome)][columns.column(attempt.sent_at)] += 1
        counted.due[columns.column(attempt.intended_at)] += attempt.number == 1
    return _chart("Starts", "first tries", counted, columns)


def _chart(what: str, line: str, counted: _Counted, columns: Columns) -> Chart:
    per_s = {kind: [number / columns.width_s for number in counted.kinds[kind]] for kind in STACK}
    tops = [sum(per_s[kind][n] for kind in STACK) for n in range(columns.count)]
    due = [number / columns.width_s for number in counted.due]
    scale = Linear(most([*tops, *due]))
    used = [kind for kind in STACK if any(counted.kinds[kind])]
    outline = [(n / columns.count, scale.share(number)) for n, number in enumerate(due)]
    shapes = (*_stack(per_s, scale), Shape(stairs(outline, 1.0), "due"), *_hits(columns, counted))
    return Chart(
        title=f"{what}, and how they were answered",
        words=_words(counted),
        x=clock_axis(columns.length_s),
        y=scale.axis(f"{what.lower()} a second"),
        shapes=tuple(shape for shape in shapes if shape.d),
        keys=(*(Key(f"k-{kind}", KIND_WORDS[kind]) for kind in used), Key("due", line, "line")),
    )


def _stack(per_s: Mapping[Kind, Sequence[float]], scale: Linear) -> Iterable[Shape]:
    floor = [0.0] * len(per_s["served"])
    for kind in STACK:
        ceiling = [low + more for low, more in zip(floor, per_s[kind], strict=True)]
        stack = [(scale.share(low), scale.share(high)) for low, high in zip(floor, ceiling, strict=True)]
        yield Shape(bars(stack, len(stack)), f"k-{kind}")
        floor = ceiling


def _hits(columns: Columns, counted: _Counted) -> Iterable[Shape]:
    """For each column with requests an invisible shape that says what is in it."""
    for n in range(columns.count):
        told = ", ".join(f"{counted.kinds[kind][n]:,} {kind}" for kind in STACK if counted.kinds[kind][n])
        if told:
            left, right = place(n / columns.count), place((n + 1) / columns.count)
            yield Shape(f"M{left} 0H{right}V{SIDE}H{left}z", "hit", f"{columns.name(n)}: {told}")


def _words(counted: _Counted) -> str:
    sums = {kind: sum(counted.kinds[kind]) for kind in STACK}
    told = ", ".join(f"{sums[kind]:,} {KIND_WORDS[kind]}" for kind in STACK if sums[kind])
    return f"Of {sum(sums.values()):,}: {told or 'none was sent'}."
