"""What charts are made of: axes, columns, bars, curves and the fields of a heat map."""

import math
import re
from dataclasses import replace

import pytest

from tests.loadlogs import Storm, behind, steady
from touchstone.facts.events import RunLog
from touchstone.facts.sample import Histogram
from touchstone.facts.wording import brief
from touchstone.loadgen.metrics import Times
from touchstone.report.charts import SIDE, Axis, Linear, Log, bars, clock_axis, line, stairs
from touchstone.report.load_charts import (
    MOST_COLUMNS,
    Columns,
    columns_between,
    curve,
    flight_chart,
    latency_charts,
    nines_axis,
    requests_chart,
    starts_chart,
)
from touchstone.report.load_view import LoadView, load_view


def seen(log: RunLog) -> LoadView:
    """The load of a run."""
    view = load_view(log)
    assert view is not None
    return view


def labels(axis: Axis) -> list[str]:
    """What an axis says."""
    return [tick.label for tick in axis.ticks]


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (1, ["0", "0.5", "1"]),
        (4, ["0", "1", "2", "3", "4"]),
        (7, ["0", "2", "4", "6", "8"]),
        (2001, ["0", "1,000", "2,000", "3,000"]),
    ],
)
def test_counts_have_round_marks(most: float, ticks: list[str]) -> None:
    """An axis of counts ends at or above the largest one, and its marks are round."""
    scale = Linear(most)

    assert labels(scale.axis("x")) == ticks
    assert scale.end >= most


@pytest.mark.parametrize(
    ("least", "most", "ticks"),
    [
        (0.003, 0.004, ["1 ms", "2 ms", "5 ms", "10 ms"]),
        (0.00002, 0.9, ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]),
        (0.2, 31, ["200 ms", "500 ms", "1 s", "2 s", "5 s", "10 s", "20 s", "50 s"]),
        (0.0, 0.0, ["0.5 µs", "1 µs", "2 µs", "5 µs"]),
    ],
)
def test_durations_have_round_marks(least: float, most: float, ticks: list[str]) -> None:
    """A logarithmic axis holds all durations, spans about a decade at least, and its marks are 1, 2 and 5."""
    scale = Log(least, most)

    assert labels(scale.axis("time")) == ticks
    assert 0 <= scale.share(least) <= scale.share(most) <= 1
    assert scale.at_s(scale.share(0.005)) == pytest.approx(min(max(0.005, scale.at_s(0)), scale.at_s(1)))


@pytest.mark.parametrize(
    ("length_s", "name", "last"),
    [
        (1, "seconds", "1"),
        (18, "seconds", "15"),
        (60, "seconds", "60"),
        (600, "minutes", "10"),
        (7200, "minutes", "120"),
    ],
)
def test_time_is_told_in_seconds_or_minutes(length_s: float, name: str, last: str) -> None:
    """A long run is told in minutes."""
    axis = clock_axis(length_s)

    assert axis.name == f"{name} since the schedule began"
    assert (labels(axis)[0], labels(axis)[-1]) == ("0", last)
    assert all(0 <= tick.share <= 1 for tick in axis.ticks)


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [
        *((0, "0 s"), (0.00002, "20 µs"), (0.000852, "852 µs"), (0.00434, "4.34 ms"), (0.09996, "100 ms")),
        *((0.9999, "1 s"), (1.012, "1.01 s"), (60, "60 s"), (99.94, "99.9 s"), (185, "3 min 05 s")),
    ],
)
def test_duration_has_three_digits(duration_s: float, words: str) -> None:
    """Whatever its size, a duration is told with three digits and the unit that suits it."""
    assert brief(duration_s) == words


@pytest.mark.parametrize(("length_s", "width_s", "count"), [(1, 1, 1), (240, 1, 240), (241, 2, 121), (7200, 30, 240)])
def test_long_run_is_drawn_in_few_columns(length_s: int, width_s: int, count: int) -> None:
    """No chart has more columns than a page has room for; each has as many whole seconds as any other."""
    columns = columns_between(3, 3.0 + length_s)

    assert (columns.width_s, columns.count) == (width_s, count)
    assert columns.count <= MOST_COLUMNS


def test_columns_hold_every_moment() -> None:
    """A moment falls into its column, one before the first or after the last into that."""
    columns = Columns(3, 2, 4)

    assert [columns.column(at) for at in (0.0, 3.0, 4.9, 5.0, 10.9, 99.0)] == [0, 0, 0, 1, 3, 3]
    assert (columns.share(3), columns.share(7), columns.share(99)) == (0, 0.5, 1)


def area(path: str) -> float:
    """The area of all bars of a path, in squares of the chart's side."""
    spelt = re.findall(r"M(\d+) (\d+)V(\d+)H(\d+)V(\d+)z", path)
    return sum((int(right) - int(left)) * (int(low) - int(high)) for left, low, high, right, _ in spelt) / SIDE**2


def test_bars_stand_for_counts() -> None:
    """Empty columns have no bar, and a bar is as high as its count."""
    assert bars([(0, 0), (0, 1)], 2) == "M500 1000V0H992V1000z"
    assert area(bars([(0.25, 0.75)], 1)) == pytest.approx(0.5, rel=0.02)


def test_stairs_keep_their_height() -> None:
    """Between two points a count stays what it was, and after the last one to the end."""
    assert stairs([(0.1, 0.5), (0.4, 1.0)], 1.0) == "M100 500H400V0H1000"
    assert stairs([], 1.0) == ""
    assert line([(0, 0), (1, 1)]) == "M0 1000L1000 0"


def test_requests_are_stacked_and_all_there() -> None:
    """Served, refused and failed ones have a shape each; the words add up to all of them."""
    load = seen(steady())
    chart = requests_chart(load, columns_between(load.origin_s, 63.0))

    assert [shape.css for shape in chart.shapes if shape.css != "hit"] == ["k-served", "k-declined", "k-refused", "due"]
    assert chart.caption == "Of 3,000: 2,909 served (2xx), 57 nothing there or too late (404, 409), 34 refused (429)."
    hits = [shape.title for shape in chart.shapes if shape.css == "hit"]
    assert len(hits) == 60
    assert sum(int(number) for title in hits for number in re.findall(r"(\d+) [a-z]", title.partition(":")[2])) == 3000


def test_unsent_arrivals_are_drawn() -> None:
    """What came due and was never sent is part of the stack."""
    load = seen(behind())

    assert "k-unsent" in [shape.css for shape in requests_chart(load, columns_between(load.origin_s, 63.0)).shapes]


def test_starts_are_those_that_need_room() -> None:
    """Starts of a version that is built already do not blur the picture of the storm."""
    log = Storm().run()
    burst = tuple(replace(log.attempts[0], fresh=False, status=429, want=900 + n) for n in range(500))
    load = seen(replace(log, attempts=log.attempts + burst))

    columns = columns_between(load.origin_s, 18.0)
    assert starts_chart(load.attempts, columns).caption == "Of 220: 40 served (2xx), 180 refused (429)."
    assert starts_chart(burst, columns).caption == "Of 500: 500 refused (429)."


def test_flight_keeps_below_the_capacity() -> None:
    """What was surely in flight is drawn up to the line of the capacity and never above it."""
    load = seen(Storm().run())
    assert load.capacity is not None
    chart = flight_chart(load.capacity, columns_between(load.origin_s, 18.0))
    shapes = {shape.css: shape.d for shape in chart.shapes}
    level = int(shapes["cap"].removeprefix("M0 ").partition("H")[0])
    heights = [int(number) for number in re.findall(r"V(\d+)", shapes["f-sure"])]

    assert min(heights) == level
    assert all(int(at) == level for at in re.findall(r"M\d+ (\d+)v", shapes["r-full"]))
    assert "r-below" not in shapes


def test_curve_follows_the_percentiles() -> None:
    """Each point is a percentile; what rests on fewer than ten samples is apart; the curve ends at the last sample."""
    cells = Histogram()
    for n in range(1, 501):
        cells.add(n / 1000)
    times = Times.of(cells)
    assert times is not None
    sure, unsure = curve(times, 3.0)

    for nines, value in (*sure, *unsure):
        assert value == pytest.approx(cells.quantile_s(1 - 10**-nines), rel=0.003)
    assert all(500 * 10**-nines >= 10 for nines, _ in sure)
    assert unsure[0] == sure[-1]
    assert unsure[-1][0] == pytest.approx(math.log10(500))


def test_percentiles_have_as_much_room_each() -> None:
    """90 to 99 % take as much of the axis as 99 to 99.9 %."""
    ticks = {tick.label: tick.share for tick in nines_axis(3.0).ticks}

    assert list(ticks) == ["min", "p50", "p90", "p99", "p99.9"]
    assert ticks["p90"] == pytest.approx(1 / 3)
    assert ticks["p99"] == pytest.approx(2 / 3)
    assert labels(nines_axis(2.0)) == ["min", "p50", "p90", "p99"]


def test_charts_of_operations_share_their_axes() -> None:
    """Operations can be compared at a look; a followed log, which lasts as long as its build, has its own axis."""
    charts = latency_charts(seen(steady()).numbers)
    axes = {chart.title.partition(":")[0]: labels(chart.y) for chart in charts}

    assert axes["getBuild"] == axes["startBuild"] == axes["All operations"] != axes["streamBuildEvents"]
    assert latency_charts(seen(steady(windows=())).numbers) == ()
