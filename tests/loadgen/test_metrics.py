"""The numbers of a load run: how often, how fast, how long and how late; throughput, and how its generator fared."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.loadlogs import BEGAN_AT, fold, log_of, steady, unsent, worker, workload
from touchstone.facts.events import RunLog
from touchstone.facts.sample import Sample
from touchstone.loadgen.metrics import ALL, TARGET, Operation, Times, metrics, punctuality


def sample(outcome: str, took_s: float, at: float = 0.0, operation: str = "getBuild", late_s: float = 0.0) -> Sample:
    due_at = BEGAN_AT + at
    return Sample(operation, outcome, due_at, due_at + late_s, due_at + late_s + took_s)


def log_with(samples: Iterable[Sample], **changes: Any) -> RunLog:
    return log_of(workload(**changes), windows=fold(samples))


def only(log: RunLog) -> Operation:
    (operation,) = metrics(log).operations
    return operation


def response_of(log: RunLog) -> Times:
    found = only(log).whole.response
    assert found is not None
    return found


@pytest.mark.parametrize(("count", "sure"), [(19, []), (20, ["p50_s"]), (999, ["p50_s", "p90_s", "p95_s"])])
def test_percentile_needs_ten_samples_beyond_it(count: int, sure: list[str]) -> None:
    times = response_of(log_with(sample("200", 0.001 * (n + 1)) for n in range(count)))
    assert [one.key for one in times.percentiles if one.sure] == sure


def test_outcomes_add_up() -> None:
    numbers = metrics(steady())
    total = numbers.total
    for operation in numbers.operations:
        assert sum(operation.kinds.values()) == operation.whole.count + operation.kinds["unsent"]
        assert sum(row.count for row in operation.outcomes) == operation.whole.count
        assert sum(row.share for row in operation.outcomes) == pytest.approx(1)
        assert sum(row.rate_per_s for row in operation.outcomes) == pytest.approx(operation.whole.rate_per_s)
    assert sum(operation.whole.count for operation in numbers.operations) == total.whole.count == 3000
    assert total.whole.rate_per_s == pytest.approx(3000 / numbers.measured_s)
    assert (total.name, total.outcomes, numbers.lasting) == (ALL, (), ("streamBuildEvents",))
    streams = next(one for one in numbers.operations if one.name == "streamBuildEvents")
    assert total.whole.timed == 3000 - streams.whole.count - total.kinds["refused"]


def test_closed_model_has_service_times_only() -> None:
    log = log_with((sample("200", 0.01) for _ in range(5)), model="closed")
    numbers, whole = metrics(log), only(log).whole
    assert (whole.response, whole.late, punctuality(log).late, numbers.timed) == (None, None, None, False)
    assert whole.times is whole.service is not None


@pytest.mark.parametrize(
    ("last_s", "duration_s", "scheduled", "measured_s"),
    [
        (9.5, 10.0, 2, 10.0),  # all came within the schedule
        (14.2, 10.0, 2, 14.25),  # what the last arrivals led to counts, too
        (3.5, 60.0, 3, 3.55),  # the run was stopped
        (3.5, 60.0, 0, 3.55),  # a closed model has no schedule
    ],
)
def test_rates_are_means_over_what_was_measured(
    last_s: float, duration_s: float, scheduled: int, measured_s: float
) -> None:
    sent = [sample("200", 0.01, 0.0), sample("200", 0.05, last_s)]
    numbers = metrics(log_with(sent, duration_s=duration_s, scheduled={"getBuild": scheduled}))
    assert numbers.measured_s == pytest.approx(measured_s)
    assert numbers.total.whole.rate_per_s == pytest.approx(2 / measured_s)
    assert ("schedule" in numbers.until) == (measured_s == duration_s)


@pytest.mark.parametrize(
    ("unsent_number", "facts", "is_spent", "kept_up"),
    [
        (0, {}, False, True),
        (4, {"over_budget": 4, "spent_at_s": 5.5}, True, True),  # all that --max-requests allows was sent
        (4, {"over_budget": 3, "spent_at_s": 5.5}, True, False),
        (0, {"spent_at_s": 5.5}, True, True),
        (0, {"behind_from_s": 9.0}, False, False),
        (0, {"state": "lost"}, False, False),
        (0, {"state": "running", "unwatched": 1}, False, True),
    ],
)
def test_generator_kept_up_if_all_that_was_allowed_was_sent(
    unsent_number: int, facts: dict[str, Any], is_spent: bool, kept_up: bool
) -> None:
    windows = (unsent(int(BEGAN_AT) + 3, "getBuild", unsent_number),) if unsent_number else ()
    log = steady(windows=(*steady().windows, *windows), workers=(worker(**facts),))
    kept = punctuality(log)
    assert (kept.unsent, kept.is_spent, kept.kept_up) == (unsent_number, is_spent, kept_up)
    assert (kept.scheduled, kept.sent, kept.missing) == (3000, 3000, 0)
    cut = punctuality(replace(log, windows=log.windows[1:]))
    assert cut.kept_up == (kept_up and facts.get("state") != "running")


def test_last_report_of_a_worker_counts() -> None:
    reports = (
        worker(1, at_s=5.0, state="running", sent=10, cpu_share=0.9, rss_bytes=9),
        worker(1, at_s=9.0, state="running", sent=20, undone=7),
        worker(1, at_s=9.0, state="done", sent=21, cpu_share=0.1, undone=2),
        worker(0, at_s=8.0, undone=3, unwatched=4),
        worker(TARGET, at_s=9.0, rss_bytes=1),
    )
    found = punctuality(log_of(workload(), workers=reports))
    other, line = found.workers
    assert (line.last.state, line.last.sent, line.cpu_share, line.rss_bytes) == ("done", 21, 0.9, 61_000_000)
    assert (other.last.number, found.undone, found.unwatched) == (0, 5, 4)
