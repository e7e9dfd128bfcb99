"""The numbers of a load run: how often, how fast, how long, how late."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.loadlogs import (
    BEGAN_AT,
    Storm,
    behind,
    fold,
    four_workers,
    log_of,
    stalled,
    steady,
    unsent,
    worker,
    workload,
)
from touchstone.facts.events import RunLog
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Sample
from touchstone.loadgen.metrics import (
    ALL,
    SHARES,
    TARGET,
    Metrics,
    Operation,
    kind_of,
    metrics,
    name_of,
    punctuality,
    totals,
)


def sample(outcome: str, took_s: float, at: float = 0.0, operation: str = "getBuild", late_s: float = 0.0) -> Sample:
    """One sample that was due so many seconds after the schedule began."""
    due_at = BEGAN_AT + at
    return Sample(operation, outcome, due_at, due_at + late_s, due_at + late_s + took_s)


def log_with(*samples: Sample, **changes: Any) -> RunLog:
    """A run log of these samples."""
    return log_of(workload(**changes), windows=fold(samples))


def only(numbers: Metrics) -> Operation:
    """The one operation."""
    (operation,) = numbers.operations
    return operation


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        *(("200", "served"), ("202", "served"), ("404", "declined"), ("409", "declined"), ("429", "refused")),
        *(("500", "error"), ("503", "error"), ("400", "error"), ("401", "error"), ("302", "error"), ("0", "error")),
        *((NO_ANSWER, "error"), (CUT_OFF, "cut"), (UNSENT, "unsent")),
    ],
)
def test_each_outcome_has_one_kind(outcome: str, kind: str) -> None:
    """Documented answers are no errors, a refusal is told apart, and everything unexpected is an error."""
    assert kind_of(outcome) == kind


def test_percentiles_of_a_stalling_target_are_right() -> None:
    """At a target that stands still for 1 s in every 5 s, percentiles are those of the schedule, within 0.1 %."""
    due = np.arange(0, 40, 0.01)
    done = np.array([stalled(at, 5.0, 1.0) + 0.002 for at in due])
    times = only(metrics(log_with(*(sample("200", float(d - at), float(at)) for at, d in zip(due, done, strict=True)))))
    response = times.whole.response
    assert response is not None

    for share in SHARES:
        truth = np.sort(done - due)[int(np.ceil(share * len(due) - 1e-9)) - 1]
        assert response.at(share).value_s == pytest.approx(truth, rel=0.001)
    assert (response.count, response.min_s, response.max_s) == (4000, pytest.approx(0.002), pytest.approx(1.002))


@pytest.mark.parametrize(
    ("count", "sure"),
    [(19, []), (20, ["p50"]), (999, ["p50", "p90", "p95"]), (1000, ["p50", "p90", "p95", "p99"])],
)
def test_percentile_needs_ten_samples_beyond_it(count: int, sure: list[str]) -> None:
    """A percentile that rests on fewer than ten samples beyond it is marked as unsure."""
    times = only(metrics(log_with(*(sample("200", 0.001 * (n + 1)) for n in range(count))))).whole.response
    assert times is not None

    assert [one.name for one in times.percentiles if one.sure] == sure


def test_percentiles_have_the_names_of_the_thresholds() -> None:
    """Programs find a percentile by the name that thresholds give it, people by their own."""
    times = only(metrics(log_with(sample("200", 0.1)))).whole.response
    assert times is not None

    assert [one.key for one in times.percentiles] == ["p50_s", "p90_s", "p95_s", "p99_s", "p999_s"]
    assert [name_of(share) for share in (*SHARES, 0.9999)] == ["p50", "p90", "p95", "p99", "p99.9", "p99.99"]


def test_outcomes_add_up() -> None:
    """Each outcome has its own row; counts, shares and kinds of an operation are sums of them."""
    numbers = metrics(steady())
    total = numbers.total

    for operation in (*numbers.operations, total):
        assert sum(operation.kinds.values()) == operation.whole.count + operation.kinds["unsent"]
    for operation in numbers.operations:
        assert sum(row.count for row in operation.outcomes) == operation.whole.count
        assert sum(row.share for row in operation.outcomes) == pytest.approx(1)
        assert sum(row.rate_per_s for row in operation.outcomes) == pytest.approx(operation.whole.rate_per_s)
    assert sum(operation.whole.count for operation in numbers.operations) == total.whole.count == 3000
    assert total.whole.rate_per_s == pytest.approx(3000 / numbers.measured_s)
    assert total.name == ALL


def test_times_of_refused_and_failed_requests_are_apart() -> None:
    """A quick 429 or 500 makes no percentile of its operation better; one without an answer makes it worse."""
    served = [sample("202", 0.1) for _ in range(10)]
    numbers = metrics(log_with(*served, *(sample(status, 0.001) for status in ("429", "500") for _ in range(50))))
    waiting = metrics(log_with(*served, *(sample(NO_ANSWER, 30.0) for _ in range(10))))
    whole, timeouts = only(numbers).whole, only(waiting).whole
    assert whole.response is not None
    assert timeouts.response is not None

    assert (whole.count, whole.response.count) == (110, 10)
    assert whole.response.min_s == pytest.approx(0.1)
    assert timeouts.response.at(0.5).value_s == pytest.approx(0.1, rel=0.001)
    assert timeouts.response.at(0.9).value_s == math.inf
    assert (timeouts.response.count, timeouts.response.never) == (10, 10)
    assert only(numbers).error_share == pytest.approx(50 / 110)
    assert only(numbers).refused_share == pytest.approx(50 / 110)
    assert [(row.outcome, row.response and row.response.count) for row in only(numbers).outcomes] == [
        ("202", 10), ("429", 50), ("500", 50),
    ]  # fmt: skip


@pytest.mark.parametrize("log", [steady(), behind(), Storm().run(), four_workers()])
def test_report_and_thresholds_tell_the_same_numbers(log: RunLog) -> None:
    """What the table of a report shows is what thresholds are judged by."""
    numbers = metrics(log)

    for one in (numbers.total, *numbers.operations):
        judged = totals(log.windows, one.name)
        assert one.whole.response is not None
        assert one.whole.response.cells.cells == judged.times.cells
        assert (one.whole.count, one.error_share) == (judged.sent, pytest.approx(judged.error_share))


def test_closed_model_has_service_times_only() -> None:
    """Where nothing is due, there is neither a response time nor a lateness, and the numbers say so."""
    log = log_with(*(sample("200", 0.01) for _ in range(5)), model="closed")
    numbers, kept = metrics(log), punctuality(log)
    whole = only(numbers).whole

    assert (whole.response, whole.late, kept.late) == (None, None, None)
    assert whole.service is not None
    assert whole.times is whole.service
    assert not numbers.timed


def test_only_paced_requests_are_late() -> None:
    """A poll that follows another request has no moment of its own, and says nothing about the schedule."""
    paced = fold([sample("202", 0.01, late_s=0.002)])
    polled = fold([sample("200", 0.01, late_s=0.9)], paced=False)
    log = log_of(workload(), windows=(*paced, *polled))
    late = punctuality(log).late
    assert late is not None

    assert (late.count, late.max_s) == (1, pytest.approx(0.002))
    assert [operation.whole.late and operation.whole.late.count for operation in metrics(log).operations] == [1]


@pytest.mark.parametrize(
    ("last_s", "duration_s", "scheduled", "measured_s"),
    [
        (9.5, 10.0, 2, 10.0),  # all came within the schedule
        (0.4, 10.0, 2, 10.0),  # and long before its end
        (14.2, 10.0, 2, 14.25),  # what the last arrivals led to counts, too
        (0.31, 0.2, 2, 0.36),  # to the hundredth of a second
        (3.5, 60.0, 3, 3.55),  # the run was stopped
        (9.9, 9.94, 2, 9.95),  # the last answer came after the end of the schedule
        (3.5, 60.0, 0, 3.55),  # a closed model has no schedule
    ],
)
def test_rates_are_means_over_what_was_measured(
    last_s: float, duration_s: float, scheduled: int, measured_s: float
) -> None:
    """The time goes from the first arrival to the last answer, or to the end of a schedule all of which was sent."""
    sent = [sample("200", 0.01, 0.0), sample("200", 0.05, last_s)]
    numbers = metrics(log_with(*sent, duration_s=duration_s, scheduled={"getBuild": scheduled}))

    assert numbers.measured_s == pytest.approx(measured_s)
    assert numbers.total.whole.rate_per_s == pytest.approx(2 / measured_s)
    assert numbers.until == ("the end of the schedule" if measured_s == duration_s else "the last answer")


def test_arrival_that_was_never_sent_makes_no_rate_smaller() -> None:
    """Where a run had no requests left, its rates are those of the time in which it sent."""
    windows = (*fold([sample("200", 0.5, 0.0)]), unsent(int(BEGAN_AT) + 40, "getBuild", 4))
    numbers = metrics(log_of(workload(scheduled={"getBuild": 5}), windows=windows))

    assert (numbers.measured_s, numbers.until) == (pytest.approx(0.5), "the last answer")


def test_window_of_which_nobody_wrote_down_the_end_lasts_its_second() -> None:
    """A window without the moment of its last answer is taken for one that was answered within its second."""
    windows = tuple(replace(window, done_at=0.0) for window in fold([sample("200", 0.5, 2.1)]))

    assert metrics(log_of(workload(), windows=windows)).measured_s == pytest.approx(1.0)


def test_run_without_requests_has_numbers() -> None:
    """A run that ended before its first request is no reason to fail."""
    numbers = metrics(log_of(workload()))

    assert (numbers.operations, numbers.total.whole.count, numbers.measured_s) == ((), 0, 0.0)
    assert numbers.total.error_share == 0.0


def test_generator_that_kept_up_is_told() -> None:
    """All that was scheduled was sent, about when it was due."""
    kept = punctuality(steady())

    assert (kept.scheduled, kept.sent, kept.unsent, kept.missing) == (3000, 3000, 0, 0)
    assert kept.kept_up


def test_generator_that_fell_behind_is_told() -> None:
    """How much was not sent, from when on and by how much the generator was late."""
    kept = punctuality(behind(from_s=20.0, duration_s=40.0))
    assert kept.late is not None

    assert (kept.sent + kept.unsent, kept.unsent) == (4000, 199)
    assert kept.behind_from_s == BEGAN_AT + 21.0
    assert kept.late.at(0.99).value_s == pytest.approx(0.392, rel=0.01)
    assert not kept.kept_up


def test_arrival_that_was_not_sent_is_no_keeping_up() -> None:
    """A generator that is in time with what it sends, and leaves some out, did not keep up."""
    kept = punctuality(steady(windows=(unsent(int(BEGAN_AT), "getBuild", 1),)))

    assert (kept.behind_from_s, kept.unsent, kept.kept_up) == (None, 1, False)


def test_arrivals_beyond_the_budget_are_no_lack_of_the_generator() -> None:
    """A generator that sent all that --max-requests allows kept up; one that left out more did not."""
    spent = worker(over_budget=4, spent_at_s=BEGAN_AT + 2.5)
    log = steady(windows=(unsent(int(BEGAN_AT) + 3, "getBuild", 4),), workers=(spent,))
    kept, more = punctuality(log), punctuality(replace(log, workers=(replace(spent, over_budget=3),)))

    assert (kept.unsent, kept.over_budget, kept.is_spent, kept.kept_up) == (4, 4, True, True)
    assert (more.unsent, more.over_budget, more.is_spent, more.kept_up) == (4, 3, True, False)
    assert kept.spent_at_s == BEGAN_AT + 2.5


def test_run_is_spent_when_its_last_worker_is() -> None:
    """As long as one worker may send, nobody says that no request was left."""
    first, last, never = (worker(n, spent_at_s=at_s) for n, at_s in enumerate((4.0, 5.0, None)))

    assert punctuality(log_of(workload(), workers=(first, last))).spent_at_s == 5.0
    assert not punctuality(log_of(workload(), workers=(first, last, never))).is_spent
    assert not punctuality(log_of(workload())).is_spent


def test_lost_worker_is_told() -> None:
    """A worker that nobody heard of any more is named, with the arrivals that nobody knows the fate of."""
    kept = punctuality(four_workers(lost=2))

    assert (kept.lost, kept.missing, kept.kept_up) == ((2,), 240, False)


def test_worker_is_told_by_its_last_word() -> None:
    """Of what a worker told now and then, the last counts, but the most that it took of CPU and memory."""
    told = (
        worker(1, at_s=5.0, state="running", sent=10, cpu_share=0.9, rss_bytes=9),
        worker(1, at_s=9.0, state="running", sent=20),
        worker(1, at_s=9.0, state="done", sent=21, cpu_share=0.1),
        worker(TARGET, at_s=9.0, rss_bytes=1),
    )
    (line,) = punctuality(log_of(workload(), workers=told)).workers

    assert (line.last.state, line.last.sent, line.cpu_share, line.rss_bytes) == ("done", 21, 0.9, 61_000_000)


def test_lateness_of_each_worker_is_its_own() -> None:
    """The worker that was four times as late as the others shows."""
    lines = punctuality(four_workers(lost=None)).workers
    p99 = [line.late.at(0.99).value_s for line in lines if line.late]

    assert len(p99) == 4
    assert p99[3] > 3 * max(p99[:3])
