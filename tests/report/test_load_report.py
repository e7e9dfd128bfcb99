"""Reports of a load run: document, margins, charts."""

import math
from dataclasses import replace

import pytest

from tests.loadlogs import BEGAN_AT, Storm, fold, log_of, unsent, workload
from tests.report.examples import page
from tests.report.markup import Markup
from touchstone.facts.events import Limit
from touchstone.facts.sample import Histogram, Sample
from touchstone.loadgen.metrics import Times
from touchstone.loadgen.thresholds import Reading
from touchstone.report.charts import Axis, Linear, Log, clock_axis
from touchstone.report.load_charts import Columns, columns_between, curve, nines_axis, starts_chart
from touchstone.report.view import limit_lines, view


@pytest.mark.parametrize(
    ("statistic", "limit", "value", "margin"),
    [
        *(("p99_s", 0.5, 0.41, "18 %"), ("p99_s", 0.5, 0.0001, "99.9 %"), ("p99_s", 0.5, 0.55, "10 % above")),
        *(("p99_s", 0.5, 0.50005, "0.01 % above"), ("p99_s", 0.5, 2500.0, "5,000 "), ("p99_s", 0.5, None, "–")),
        *(("error_share", 0.001, 0.0, "100 %"), ("error_share", 0.0, 0.1, "–")),
        *(("throughput_per_s", 40.0, 48.48, "21.2 % above"), ("throughput_per_s", 40.0, 20.0, "50 % below")),
    ],
)
def test_margin_is_the_distance_from_the_limit(statistic: str, limit: float, value: float | None, margin: str) -> None:
    (row,) = limit_lines([Reading(Limit("*", statistic, limit), value, 100, "kept")])
    assert margin in row.margin


def test_value_just_beyond_its_limit_never_equals_it() -> None:
    rows = limit_lines([Reading(Limit("*", "p99_s", 0.5), 0.5 * (1 + hair), 9, "broken") for hair in (1e-6, 0, -1e-6)])
    assert [row.measured == row.limit for row in rows] == [False, True, False]
    assert [row.margin_share for row in rows] == pytest.approx([-1e-6, 0, 1e-6])


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        *((Linear(1).axis("x"), ["0", "0.5", "1"]), (Linear(4).axis("x"), ["0", "1", "2", "3", "4"])),
        *((Linear(2001).axis("x"), ["0", "1,000", "2,000", "3,000"]), (clock_axis(18), ["0", "5", "10", "15"])),
        *((clock_axis(600), ["0", "2", "4", "6", "8", "10"]), (nines_axis(2.0), ["min", "p50", "p90", "p99"])),
        (Log(0.003, 0.004).axis("time"), ["1 ms", "2 ms", "5 ms", "10 ms"]),
        (Log(0.00002, 0.9).axis("time"), ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]),
        (Log(0.0, 0.0).axis("time"), ["0.5 µs", "1 µs", "2 µs", "5 µs"]),
    ],
)
def test_axis_has_round_marks_in_order(axis: Axis, expected: list[str]) -> None:
    shares = [tick.share for tick in axis.ticks]
    assert [tick.label for tick in axis.ticks] == expected
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] <= 1


def test_columns_are_few_and_cover_every_moment() -> None:
    drawn = [columns_between(3, 3.0 + length_s) for length_s in (1, 240, 241, 7200)]
    assert [(one.width_s, one.count) for one in drawn] == [(1, 1), (1, 240), (2, 121), (30, 240)]
    columns = Columns(3, 2, 4)
    assert [columns.column(at) for at in (0.0, 3.0, 4.9, 5.0, 10.9, 99.0)] == [0, 0, 0, 1, 3, 3]
    assert (columns.share(3), columns.share(7), columns.share(99)) == (0, 0.5, 1)


def test_starts_of_built_versions_are_not_part_of_the_storm() -> None:
    log = Storm().run()
    burst = tuple(replace(log.attempts[0], fresh=False, status=429, want=900 + n) for n in range(500))
    columns = columns_between(3, 18.0)
    assert starts_chart((*log.attempts, *burst), columns) == starts_chart(log.attempts, columns)
    assert "500" in starts_chart(burst, columns).caption


def test_curve_follows_the_percentiles_and_has_an_unsure_part() -> None:
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


def test_run_of_one_request_or_none_has_a_page() -> None:
    one = fold([Sample("getBuild", "200", BEGAN_AT, BEGAN_AT, BEGAN_AT + 0.01)])
    for windows in ((), one, (unsent(3, "getBuild", 5),)):
        assert Markup(page(view(replace(log_of(workload(), windows=windows), footer=None)))).open == []
