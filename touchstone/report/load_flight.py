"""Builds in flight over time: where the capacity is, at one look; pure."""

from collections.abc import Iterable, Sequence

from touchstone.facts.wording import plural
from touchstone.loadgen.capacity import Capacity
from touchstone.report.chart import SIDE, Chart, Key, Linear, Note, Shape, clock_axis, height, place, stairs
from touchstone.report.load_time import Columns, most

_MARK_SHARE = 0.08  # how high a refusal is drawn, as a share of the height
_MOST_MARKS = 320  # beside each other; refusals that lie closer share one


def flight_chart(found: Capacity, columns: Columns) -> Chart:
    """Builds in flight against the capacity, each refused start marked at the number that was in flight."""
    refused_at = [max(refusal.sure, min(refusal.at_most, found.at_least)) for refusal in found.refusals]
    tops = [float(step.sure + step.unsure) for step in found.steps]
    scale = Linear(most([*tops, *(level + 1.0 for level in refused_at), found.at_least + 1.0]))
    sure = [(columns.share(step.at_s), scale.share(step.sure)) for step in found.steps]
    unsure = [(columns.share(step.at_s), scale.share(step.sure + step.unsure)) for step in found.steps]
    level = scale.share(found.at_least)
    shapes = [
        Shape(_area(unsure), "f-unsure"),
        Shape(_area(sure), "f-sure"),
        Shape(f"M0 {height(level)}H{SIDE}", "cap"),
        *_refusals(found, refused_at, columns, scale),
    ]
    keys = [Key("f-sure", "surely in flight"), Key("f-unsure", "end not seen yet")]
    keys += [Key("r-full", "start refused, no room", "tick")] if found.refused_full else []
    keys += [Key("r-below", "start refused though there was room", "tick")] if found.refused_below else []
    return Chart(
        title="Builds in flight, and where starts were refused",
        words=_flight_words(found),
        x=clock_axis(columns.length_s),
        y=scale.axis("builds in flight"),
        shapes=tuple(shape for shape in shapes if shape.d),
        keys=tuple(keys),
        notes=(
            Note(level, f"capacity {level_words(found)}" if found.is_known else f"most seen: {found.at_least}", "cap"),
        ),
    )


def level_words(found: Capacity) -> str:
    """The capacity as a number, or as two where the run leaves room."""
    if found.at_most is None or found.at_most <= found.at_least:
        return str(found.at_least)
    return f"{found.at_least} to {found.at_most}"


def _flight_words(found: Capacity) -> str:
    full, below = found.refused_full, found.refused_below
    parts = [f"at most {plural(found.at_least, 'build')} surely in flight at once"]
    parts += [f"{plural(full, 'start')} refused while so many were"] if full else []
    parts += [f"{plural(below, 'start')} refused while fewer were"] if below else []
    words = "; ".join(parts)
    return f"{words[:1].upper()}{words[1:]}."


def _area(points: Sequence[tuple[float, float]]) -> str:
    path = stairs(points, 1.0)
    return f"{path}V{SIDE}H{place(points[0][0])}z" if path else ""


def _refusals(found: Capacity, levels: Sequence[int], columns: Columns, scale: Linear) -> Iterable[Shape]:
    """Refusals close to each other share a mark."""
    marks: dict[tuple[int, int, bool], int] = {}
    for refusal, level in zip(found.refusals, levels, strict=True):
        key = (round(columns.share(refusal.at_s) * _MOST_MARKS), level, refusal.below)
        marks[key] = marks.get(key, 0) + 1
    for below, css in ((False, "r-full"), (True, "r-below")):
        path = "".join(
            f"M{place(at / _MOST_MARKS)} {height(scale.share(level))}v{-round(_MARK_SHARE * SIDE)}"
            for at, level, is_below in sorted(marks)
            if is_below is below
        )
        yield Shape(path, css)
