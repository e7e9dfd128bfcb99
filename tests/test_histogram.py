"""The histogram: any quantile within its promise, whatever the magnitude, and parts that add up to the whole."""

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loadlogs import header
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.sample import Histogram, Window, cell, middle_s

NS = 1e-9
# From a nanosecond to three hours, as many of one magnitude as of any other.
DURATIONS = st.floats(-9.0, 4.0).map(lambda exponent: 10**exponent)
SAMPLES = st.lists(DURATIONS, min_size=1, max_size=60)
SHARES = st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0]) | st.floats(0.0, 1.0)


def of(samples: list[float]) -> Histogram:
    """The histogram of some durations."""
    histogram = Histogram()
    for value_s in samples:
        histogram.add(value_s)
    return histogram


def nearest_rank(samples: list[float], share: float) -> float:
    """The smallest sample that at least a share of all do not exceed, in exact numbers."""
    rank = max(1, math.ceil(Fraction(str(share)) * len(samples)))
    return sorted(samples)[rank - 1]


@settings(max_examples=200)
@given(DURATIONS)
def test_cell_holds_its_value_and_is_narrow(value_s: float) -> None:
    """A value lies in its cell, the next cell begins less than 0.1 % further on, and the middle is in between."""
    edge = cell(value_s)
    width = max(1, edge >> 10)

    assert edge <= value_s / NS * (1 + 1e-12)
    assert value_s / NS * (1 - 1e-12) < edge + width + 1
    assert edge <= middle_s(edge) / NS * (1 + 1e-12) <= edge + width
    assert cell(middle_s(edge) * (1 + 1e-12)) == edge


@settings(max_examples=300)
@given(SAMPLES, SHARES)
def test_quantile_is_that_of_the_sorted_samples(samples: list[float], share: float) -> None:
    """Each quantile is within 0.05 % of the sample at its rank, of what is very short within a nanosecond."""
    share = round(share, 6)
    expected = nearest_rank(samples, share)

    assert of(samples).quantile_s(share) == pytest.approx(expected, rel=0.0005, abs=NS)


def test_share_of_a_rank_is_that_rank() -> None:
    """
    A rank over the count is a share that the count times gives a bit more or less than the rank, which is no other one.
    """
    histogram = of([0.001 * number for number in range(1, 200)])
    counts = range(1, histogram.count + 1)

    assert [round(histogram.quantile_s(rank / histogram.count) / 0.001) for rank in counts] == list(counts)


@settings(max_examples=100)
@given(st.lists(st.lists(DURATIONS, max_size=12), max_size=6))
def test_parts_add_up_to_the_whole(parts: list[list[float]]) -> None:
    """
    However samples are dealt out and in whatever order parts are merged, the sum counts what one would have counted.
    """
    whole = of([value for part in parts for value in part])
    one_by_one = Histogram.merged(map(of, parts))
    backwards = Histogram.merged(of(part) for part in reversed(parts))
    nested = Histogram.merged([Histogram.merged(map(of, parts[:2])), Histogram.merged(map(of, parts[2:]))])

    for merged in (one_by_one, backwards, nested):
        assert (merged.cells, merged.count) == (whole.cells, whole.count)
        assert (merged.min_s, merged.max_s) == (whole.min_s, whole.max_s)
        assert merged.sum_s == pytest.approx(whole.sum_s)


def test_merging_leaves_the_parts_alone() -> None:
    """A part may be merged into several sums."""
    part = of([0.5, 0.25])
    Histogram.merged([part, of([1.0]), part])

    assert part == of([0.5, 0.25])


def test_several_at_once_count_as_often() -> None:
    """A duration that was met three times counts three times, in the sum as well."""
    histogram = Histogram()
    histogram.add(0.25, 3)

    assert (histogram.count, histogram.sum_s, histogram.mean_s) == (3, 0.75, 0.25)


def test_single_duration_is_exact() -> None:
    """Of one duration each quantile is itself, since no quantile lies beyond what was met."""
    histogram = of([0.123456789])

    assert [histogram.quantile_s(share) for share in (0.0, 0.5, 1.0)] == [0.123456789] * 3
    assert (histogram.min_s, histogram.max_s, histogram.mean_s) == (0.123456789,) * 3


def test_less_than_nothing_counts_as_nothing() -> None:
    """A clock that was set back makes no negative time."""
    histogram = of([-0.5, 0.0])

    assert histogram.cells == {0: 2}
    assert (histogram.min_s, histogram.max_s, histogram.sum_s, histogram.quantile_s(1.0)) == (0.0, 0.0, 0.0, 0.0)


def test_empty_one_has_no_numbers() -> None:
    """Without durations there is nothing to be told: 0, and no error."""
    empty = Histogram()

    assert (empty.count, empty.mean_s, empty.quantile_s(0.99), empty.share_above(0.0)) == (0, 0.0, 0.0, 0.0)
    assert Histogram.merged([]) == Histogram.merged([empty, Histogram()]) == empty


def test_share_above_counts_what_is_longer() -> None:
    """What is as long as the limit is not longer, and what is less than a cell beyond it need not be told apart."""
    histogram = of([0.01, 0.02, 0.03, 0.04])

    assert [histogram.share_above(limit_s) for limit_s in (0.0, 0.015, 0.025, 0.035, 1.0)] == [
        1.0,
        0.75,
        0.5,
        0.25,
        0.0,
    ]
    assert middle_s(cell(0.0625)) > 0.0625
    assert of([0.0625, 0.0625]).share_above(0.0625) == 0.0
    assert of([0.0625, 0.07]).share_above(0.0625) >= 0.5


@settings(max_examples=40)
@given(SAMPLES)
def test_histogram_survives_the_run_log(tmp_path_factory: pytest.TempPathFactory, samples: list[float]) -> None:
    """What is written to a run log and read again tells the same counts, and the same times to the nanosecond."""
    path = tmp_path_factory.mktemp("log") / "runlog.jsonl"
    window = Window(1, 7, "getBuild", "200", len(samples), of(samples), Histogram(), of([0.0]), 96, paced=False)
    with RunLogWriter(path) as writer:
        writer.write(header())
        writer.write(window)
    (found,) = read(path).windows

    assert (found.worker, found.at_s, found.operation, found.outcome) == (1, 7, "getBuild", "200")
    assert (found.count, found.body_bytes, found.paced) == (len(samples), 96, False)
    assert found.response.cells == window.response.cells
    for name in ("sum_s", "min_s", "max_s"):
        assert getattr(found.response, name) == pytest.approx(getattr(window.response, name), rel=0, abs=NS)
    assert (found.service, found.late) == (Histogram(), of([0.0]))


def test_empty_histogram_is_written_as_nothing(tmp_path: Path) -> None:
    """An empty histogram takes four letters in the run log, not a table of nothing."""
    path = tmp_path / "runlog.jsonl"
    with RunLogWriter(path) as writer:
        writer.write(header())
        writer.write(Window(0, 3, "getBuild", "unsent", 5))

    assert b'"response":null,"service":null,"late":null' in path.read_bytes()
    assert read(path).windows == (Window(0, 3, "getBuild", "unsent", 5),)
