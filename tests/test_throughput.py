"""The throughput: answers that come after the end of the schedule, and a generator that does not keep up."""

import dataclasses
from collections.abc import Iterable

import pytest

from tests.loadlogs import BEGAN_AT, fold, log_of, unsent, worker, workload
from touchstone.facts.events import Limit
from touchstone.facts.sample import Sample, Window
from touchstone.loadgen.thresholds import Reading, measured

PER_S, LENGTH_S = 100, 4


def served(
    after_s: Iterable[float], operation: str = "getBuild", outcome: str = "200", late_s: float = 0.0
) -> tuple[Window, ...]:
    """
    A hundred requests a second for four seconds, each answered so long after it was due; told as they are answered.
    """
    samples = [
        Sample(operation, outcome, at, at + late_s, at + wait_s)
        for at, wait_s in ((BEGAN_AT + n / PER_S, wait_s) for n, wait_s in enumerate(after_s))
    ]
    told: dict[int, list[Sample]] = {}
    for sample in samples:
        told.setdefault(int(2 * sample.done_at), []).append(sample)
    return tuple(window for half_second in told.values() for window in fold(half_second))


def slower(per_s: float) -> list[float]:
    """What answers take of a target that serves so many a second of the hundred that come."""
    return [0.002 + n / per_s - n / PER_S for n in range(PER_S * LENGTH_S)]


def reading(value: float, *windows: Window, operation: str = "*") -> Reading:
    """What a throughput of at least so many a second came to."""
    planned = dataclasses.replace(
        workload(scheduled={"getBuild": PER_S * LENGTH_S}, duration_s=float(LENGTH_S)),
        limits=(Limit(operation, "throughput_per_s", value),),
    )
    (found,) = measured(log_of(planned, windows=windows, workers=(worker(),)))
    return found


@pytest.mark.parametrize("per_s", [50, 72, 95])
def test_target_that_answers_after_the_schedule_is_no_faster_than_it_is(per_s: float) -> None:
    """Whatever it had still to answer at the end of the schedule, its rate is that of its answers."""
    found = reading(per_s + 2, *served(slower(per_s)))
    assert found.verdict == "broken"
    assert found.value == pytest.approx(per_s, rel=0.01)
    assert reading(per_s - 2, *served(slower(per_s))).verdict == "kept"


@pytest.mark.parametrize("wait_s", [0.001, 0.015, 0.03])
def test_answers_just_after_the_schedule_break_no_limit_that_equals_its_rate(wait_s: float) -> None:
    """The last request is due just before the end, and its answer may come just after it."""
    found = reading(100.0, *served([wait_s] * 400))
    assert (found.verdict, found.value) == ("kept", 100.0)


def test_one_answer_that_comes_much_later_costs_no_more_than_itself() -> None:
    """Where all others were answered in time, the time until the last one says nothing about the throughput."""
    found = reading(99.75, *served([0.001] * 399 + [8.0]))
    assert (found.verdict, found.value) == ("kept", 99.75)


def test_log_that_is_followed_counts_from_when_it_was_due() -> None:
    """How long it is followed is how long its build takes."""
    found = reading(100.0, *served([5.0] * 400, "streamBuildEvents"), operation="streamBuildEvents")
    assert (found.verdict, found.value) == ("kept", 100.0)


def test_late_generator_misses_no_throughput_for_the_target() -> None:
    """What is kept in spite of it is kept; what is missed, the target might have served had it been asked in time."""
    behind = served(slower(72), late_s=1.2)
    assert reading(70.0, *behind).verdict == "kept"
    found = reading(90.0, *behind)
    assert (found.verdict, found.count) == ("indeterminate", 400)
    assert found.reason == (
        "the generator sent requests up to 1.2 s late: a faster target might have served more; "
        "lower the rate or add workers"
    )


def test_arrivals_that_the_generator_could_not_send_miss_no_throughput() -> None:
    """They might have been served."""
    few = (*served([0.001] * 300), unsent(int(BEGAN_AT) + 3, "getBuild", 100))
    found = reading(90.0, *few)
    assert (found.verdict, found.value) == ("indeterminate", 75.0)
    assert " and 100 arrivals not at all: a faster target" in found.reason
    assert reading(101.0, *few).verdict == "broken"


def test_throughput_that_no_generator_could_have_kept_is_missed() -> None:
    """
    Where too few arrivals were scheduled, the target failed them, or took longer than that, being late changes nothing.
    """
    behind = served(slower(72), late_s=0.2)
    assert reading(90.0, *behind).verdict == "broken"
    failed = served([0.002] * 400, outcome="503", late_s=1.2)
    assert reading(101.0, *behind).verdict == "broken"
    assert reading(1.0, *failed).verdict == "broken"
