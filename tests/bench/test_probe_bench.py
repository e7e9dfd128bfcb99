"""The bench of probes: what its step ramp finds, and what its tables say of runs that were made by hand."""

import math

import pytest

from tests.bench import probe_tables
from tests.bench.probe_tables import Run, wilson
from tests.bench.ramp import ramp, steady_per_s
from tests.limiter.judged import Judged, Spent, Time
from touchstone.facts.identity import Cost


@pytest.mark.parametrize(
    ("text", "per_s"),
    [
        ("fixed-window:8/4", 2.0),
        ("token-bucket:30/60,burst=5", 0.5),
        ("minimum-gap:4", 0.25),
        ("sliding-log:5/1+fixed-window:20/10", 2.0),
        ("concurrency:4,takes=0.5", 8.0),
        ("decaying-counter:2/1", 1 / math.log(2)),
        ("builds:4", math.inf),
    ],
)
def test_steady_rate_is_what_a_limiter_gives_for_good(text: str, per_s: float) -> None:
    """Its limit over its window, and the least of two tiers; none for what only counts builds that end at once."""
    assert steady_per_s(text) == pytest.approx(per_s)


def test_ramp_finds_a_rate_whose_window_is_short() -> None:
    """
    1, 2, 4 and 8 a second pass 10 in a second, 16 does not: five steps, and four bisections up to 10.5, a gap of which
    is forgiven.
    """
    found = ramp("sliding-log:10/1")
    assert found.requests == 5 * (1 + 2 + 4 + 8 + 16) + 60 + 50 + 55 + math.floor(5 * 10.5)
    assert found.seconds == 45.0
    assert found.error <= 0.05


def test_ramp_is_wrong_where_a_window_is_longer_than_a_step() -> None:
    """
    60 in a minute let 1, 2 and 4 a second pass for 5 s each, and the number that is found is twice too high or more.
    """
    assert ramp("fixed-window:60/60").error >= 1.0


def test_ramp_ends_where_nothing_is_refused() -> None:
    """At about a thousand requests a second it gives up."""
    found = ramp("builds:4")
    assert (found.per_s, found.error, found.seconds) == (1024.0, math.inf, 55.0)


def test_interval_of_a_share_is_that_of_wilson() -> None:
    """Nine of ten lie between 60 and 98 %, ten of ten between 72 and 100 %."""
    assert wilson(9, 10) == (pytest.approx(0.596, abs=1e-3), pytest.approx(0.982, abs=1e-3))
    assert wilson(10, 10) == (pytest.approx(0.722, abs=1e-3), 1.0)


def _run(family: str, *, right: bool) -> Run:
    times = (Time("window_s", 0.002, True),) if right else ()
    judged = Judged(right, right, right, times, not right)
    return Run(family, family, 1, "8/4", None, judged, Cost(26, 5, 21, 8.0), Spent(2.0, 4.2, 2.0), 36, 1.5, ramp("8/4"))


def test_tables_count_what_is_right_by_family() -> None:
    """A line for each family and one for all, and a line for each limiter that was not named rightly."""
    runs = [_run("sliding-log", right=True), _run("sliding-log", right=False), _run("fixed-window", right=True)]
    _, log, window, every = (line.split() for line in probe_tables.accuracy(runs))
    assert log[:3] == ["sliding-log", "2", "1/2"]
    assert window[:3] == ["fixed-window", "1", "1/1"]
    assert (every[:3], every[-1]) == (["all", "3", "2/3"], "1")
    _, log, *_ = (line.split() for line in probe_tables.costs(runs))
    assert log == ["sliding-log", "2", "2.00", "2.00", "4.2", "2.00", "2.00", "1.5", "1.5", "36"]
    _, *ramps = (line.split() for line in probe_tables.ramps(runs))
    assert [line[0] for line in ramps] == ["sliding-log", "fixed-window", "all"]
    (fault,) = probe_tables.faults(runs)
    assert fault.endswith(": 8/4 -> nothing: family, MISLED")


def test_table_of_ramps_is_left_out_where_there_is_none() -> None:
    """What only counts builds has no rate that a ramp could find."""
    assert list(probe_tables.ramps([Run("builds", "builds", 1, "builds:4")])) == []
