"""How late each worker sent what was due, over time; pure."""

from touchstone.facts.sample import Histogram
from touchstone.facts.wording import brief
from touchstone.loadgen.lateness import WorkerLine
from touchstone.report.chart import Chart, Key, Log, Shape, clock_axis, line
from touchstone.report.load_time import Columns
from touchstone.report.load_view import LoadView

MOST_LINES = 6
_FEWEST_POINTS = 4  # fewer are told by the table just as well


def lateness_chart(load: LoadView, columns: Columns) -> Chart | None:
    """The lateness of each worker at p99, the latest ones where there are many; None where little was due."""
    lines = sorted((one for one in load.kept.workers if one.late), key=_late_s, reverse=True)[:MOST_LINES]
    if load.kept.late is None or not lines:
        return None
    drawn = {one.last.number: _by_column(load, columns, one.last.number) for one in lines}
    if max(map(len, drawn.values())) < _FEWEST_POINTS:
        return None
    values = [value for points in drawn.values() for _, value in points]
    scale = Log(min(values), max(values))
    numbers = sorted(drawn)
    return Chart(
        title="How late the generator sent, at p99",
        words=_words(load, lines[0]),
        x=clock_axis(columns.length_s),
        y=scale.axis("from due to sent"),
        shapes=tuple(
            Shape(line((x, scale.share(value)) for x, value in drawn[number]), f"w{place}", f"worker {number}")
            for place, number in enumerate(numbers)
        ),
        keys=tuple(Key(f"w{place}", f"worker {number}", "line") for place, number in enumerate(numbers)),
        height_px=130,
    )


def _late_s(one: WorkerLine) -> float:
    return one.late.at(0.99).value_s if one.late else 0.0


def _by_column(load: LoadView, columns: Columns, number: int) -> list[tuple[float, float]]:
    found: dict[int, Histogram] = {}
    for window in load.windows:
        if window.paced and window.worker == number and window.late.cells:
            found.setdefault(columns.column(window.at_s), Histogram()).merge(window.late)
    points = sorted(found.items())
    middle = 0.5 / columns.count
    return [(column / columns.count + middle, max(late.quantile_s(0.99), 1e-6)) for column, late in points]


def _words(load: LoadView, latest: WorkerLine) -> str:
    late = load.kept.late
    assert late is not None
    half, most, longest = brief(late.at(0.5).value_s), brief(late.at(0.99).value_s), brief(late.max_s)
    words = f"{half} late in the middle, {most} at p99, {longest} at most"
    if len(load.kept.workers) > 1:
        words += f"; worker {latest.last.number} was the latest, with {brief(_late_s(latest))} at p99"
    return f"{words}."
