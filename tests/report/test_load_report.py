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
from touchstone.report.charts import columns_between, curve, starts_chart
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
