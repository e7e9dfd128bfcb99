"""Samples, windows and histograms, and the other events of a load run in its run log."""

import math
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loadgen.rulings import FINDING
from tests.loadlogs import LIMITS, header, log_of, workload, write
from touchstone.errors import RunLogError
from touchstone.facts import runlog
from touchstone.facts.events import Attempt, Build, BuildEnd, Occurrence, Remark, Worker
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.sample import Histogram, Sample, Window, cell, middle_s
from touchstone.rules.verdict import CheckCount, judge

NS = 1e-9
# From a nanosecond to three hours, evenly over all magnitudes.
DURATIONS = st.floats(-9.0, 4.0).map(lambda exponent: 10**exponent)
SAMPLES = st.lists(DURATIONS, min_size=1, max_size=40)
SHARES = st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0]) | st.floats(0.0, 1.0)


def of(durations: Iterable[float]) -> Histogram:
    histogram = Histogram()
    for value_s in durations:
        histogram.add(value_s)
    return histogram


# --- histograms ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(DURATIONS)
def test_cell_contains_its_value_and_is_narrow(value_s: float) -> None:
    edge = cell(value_s)
    width = max(1, edge >> 10)
    assert edge <= value_s / NS * (1 + 1e-12)
    assert value_s / NS * (1 - 1e-12) < edge + width + 1
    assert edge <= middle_s(edge) / NS * (1 + 1e-12) <= edge + width
    assert cell(middle_s(edge) * (1 + 1e-12)) == edge


@settings(max_examples=60)
@given(SAMPLES, SHARES)
def test_quantile_is_that_of_the_sorted_samples(samples: list[float], share: float) -> None:
    share = round(share, 6)
    rank = max(1, math.ceil(Fraction(str(share)) * len(samples)))
    assert of(samples).quantile_s(share) == pytest.approx(sorted(samples)[rank - 1], rel=0.0005, abs=NS)


def test_share_of_a_rank_is_that_rank() -> None:
    histogram = of(0.001 * number for number in range(1, 200))
    ranks = range(1, histogram.count + 1)
    assert [round(histogram.quantile_s(rank / histogram.count) / 0.001) for rank in ranks] == list(ranks)


@settings(max_examples=30)
@given(st.lists(st.lists(DURATIONS, max_size=8), max_size=6))
def test_parts_add_up_to_the_whole(parts: list[list[float]]) -> None:
    whole = of(value for part in parts for value in part)
    nested = [Histogram.merged(map(of, parts[:2])), Histogram.merged(map(of, parts[2:]))]
    for merged in (Histogram.merged(of(part) for part in reversed(parts)), Histogram.merged(nested)):
        assert (merged.cells, merged.count) == (whole.cells, whole.count)
        assert (merged.min_s, merged.max_s, merged.sum_s) == (whole.min_s, whole.max_s, pytest.approx(whole.sum_s))


@pytest.mark.parametrize(
    ("durations", "counts", "quantiles"),
    [
        ([], (0, 0.0, math.inf, 0.0), [0.0, 0.0, 0.0]),
        ([0.123456789], (1, 0.123456789, 0.123456789, 0.123456789), [0.123456789] * 3),  # exact
        ([0.25] * 3, (3, 0.75, 0.25, 0.25), [0.25] * 3),
        ([-0.5, 0.0], (2, 0.0, 0.0, 0.0), [0.0] * 3),  # a clock that was set back
    ],
)
def test_counts_of_a_histogram(durations: list[float], counts: tuple[float, ...], quantiles: list[float]) -> None:
    found = of(durations)
    assert (found.count, found.sum_s, found.min_s, found.max_s) == counts
    assert [found.quantile_s(share) for share in (0.0, 0.5, 1.0)] == quantiles
    assert found.mean_s == (found.sum_s / found.count if durations else 0.0)
    again = Histogram()
    again.add(0.25, 3)
    assert (again.count, again.sum_s) == (3, 0.75)


def test_share_above_counts_longer_durations() -> None:
    histogram = of([0.01, 0.02, 0.03, 0.04])
    shares = [histogram.share_above(limit_s) for limit_s in (0.0, 0.015, 0.025, 0.035, 1.0)]
    assert shares == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert middle_s(cell(0.0625)) > 0.0625
    assert of([0.0625, 0.0625]).share_above(0.0625) == 0.0
    assert of([0.0625, 0.07]).share_above(0.0625) >= 0.5


# --- windows ---------------------------------------------------------------------------------------------------------

LATE = Sample("getBuild", "200", 1.0, 1.25, 1.75, 96)


def window(*samples: Sample) -> Window:
    found = Window(2, 1, "getBuild", "200")
    for sample in (LATE, *samples):
        found.add(sample)
    return found


def test_window_adds_each_time_to_its_histogram() -> None:
    assert LATE.late_s == 0.25
    found = window(Sample("getBuild", "200", 1.5, 1.5, 1.625, 4))
    assert (found.count, found.body_bytes, found.done_at) == (2, 100, 1.75)
    assert (found.response.max_s, found.service.max_s, found.late.max_s) == (0.75, 0.5, 0.25)
    assert (found.response.sum_s, found.service.sum_s, found.late.sum_s) == (0.875, 0.625, 0.25)
    assert window().late.count == 1  # no two share a histogram


@settings(max_examples=20)
@given(SAMPLES)
def test_window_survives_the_run_log(samples: list[float]) -> None:
    before = Window(1, 7, "getBuild", "200", len(samples), of(samples), Histogram(), of([0.0]), 96, paced=False)
    after = runlog.decode(runlog.encode(before))
    assert isinstance(after, Window)
    assert after.response.cells == before.response.cells
    for name in ("sum_s", "min_s", "max_s"):
        assert getattr(after.response, name) == pytest.approx(getattr(before.response, name), rel=0, abs=NS)
    assert replace(after, response=before.response) == before
    assert runlog.encode(before)["service"] is None  # an empty histogram


def log_with(path: Path, event: dict[str, Any]) -> Path:
    """Writes a run log whose second line is *event*, without its fields that are an ellipsis."""
    with RunLogWriter(path) as writer:
        writer.write(header())
        writer.write({name: value for name, value in event.items() if value is not ...})
        writer.write(Remark("after"))
    return path


CELLS: dict[str, Any] = {"cells": [[1000, 1]], "sum_s": 0.1, "min_s": 0.1, "max_s": 0.1}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("count", value) for value in ("many", -1, True)),
        *(("at_s", 1.5), ("worker", ...), ("operation", ...), ("outcome", 200), ("paced", "no"), ("paced", 0)),
        *(("done_at", -1.0), ("done_at", "soon"), ("late", []), ("late", "none")),
        *(("late", CELLS | {"cells": value}) for value in ([[1000]], [[1000, -1]], [[10.5, 1]], [["1000", 1]], 7)),
        *(("late", CELLS | {"sum_s": value}) for value in (math.inf, 10**400, None, -0.1)),
        *(("late", CELLS | {"cells": [[value, 1]]}) for value in (math.inf, math.nan)),
        ("late", {"cells": [[1000, 1]]}),
    ],
    ids=str,
)
def test_damaged_window_is_an_error_with_its_place(tmp_path: Path, field: str, value: Any) -> None:
    path = log_with(tmp_path / "runlog.jsonl", runlog.encode(window()) | {field: value})
    with pytest.raises(RunLogError, match=rf"^{path}: line 2: window\.{field}: "):
        read(path)


def test_window_of_another_version_is_read(tmp_path: Path) -> None:
    path = log_with(tmp_path / "runlog.jsonl", runlog.encode(window()) | {"paced": ..., "later": "unknown"})
    assert read(path).windows == (window(),)


# --- the other facts of a load run -----------------------------------------------------------------------------------

ATTEMPT = Attempt(7, 2, "default/a@1.0.0", "second", "alone", True, 1.0, 1.25, 1.5, 429, 3.0, True, 31)
BUILD = Build(7, "default/a@1.0.0", "primary", 1.5, 4.0, "ready", 3.75, 40)
WORKER = Worker(1, "lost", 9.5, 40, 2, 60, 0.011, 7.5, 0.4, 0.97, 61_000_000, 0.0012, 0.0002, "no word from it")
PLANNED = workload("storm", limits=LIMITS, options={"mix": {"start": 1}, "max_requests": None})


def test_every_fact_of_a_load_is_read_as_written(tmp_path: Path) -> None:
    other = replace(ATTEMPT, status=0, retry_after_s=None, gave_up=False, phase="", credential="primary")
    ends = get_args(BuildEnd)
    log = log_of(
        PLANNED,
        attempts=(ATTEMPT, other),
        builds=tuple(replace(BUILD, end=end, want=want, seen_building_at=None) for want, end in enumerate(ends)),
        workers=(WORKER, replace(WORKER, number=0, state="done", behind_from_s=None, note="")),
        windows=(Window(0, 3, "getBuild", "unsent", 4),),
    )
    assert read(write(log, tmp_path / "runlog.jsonl")) == log
    with RunLogWriter(tmp_path / "runlog.jsonl") as writer:
        writer.write(replace(PLANNED, began_at=9.0))
    assert read(tmp_path / "runlog.jsonl").workload == replace(PLANNED, began_at=9.0)  # the last one counts


@pytest.mark.parametrize(
    ("fact", "field", "value"),
    [
        (ATTEMPT, "status", "fine"),
        (ATTEMPT, "credential", "third"),
        (ATTEMPT, "seq", ...),
        (BUILD, "end", "lost"),
        (BUILD, "accepted_at", None),
        (WORKER, "state", "gone"),
        (WORKER, "sent", [1]),
        (PLANNED, "says", ...),
        (PLANNED, "model", "half-open"),
        *((Occurrence(FINDING, "load.storm", 4), "times", value) for value in ("4", 0, -3, 1.5, True, None)),
    ],
)
def test_damaged_fact_is_an_error_with_its_place(tmp_path: Path, fact: Any, field: str, value: Any) -> None:
    event = runlog.encode(fact)
    path = log_with(tmp_path / "runlog.jsonl", event | {field: value})
    with pytest.raises(RunLogError, match=rf"^{path}: line 2: {event['type']}\.{field}: "):
        read(path)


def test_occurrences_of_a_finding_add_up(tmp_path: Path) -> None:
    log = log_of(PLANNED, occurrences=(Occurrence(FINDING, "load.storm", 4), Occurrence(FINDING, "load.storm")))
    again = read(write(log, tmp_path / "runlog.jsonl"))
    assert again.occurrences == (log.occurrences[0], replace(log.occurrences[1], times=1))
    (claim,) = (claim for claim in judge(again).claims if claim.claim.id == FINDING.claim)
    assert claim.checks == (CheckCount(FINDING.check, broken=5),)
