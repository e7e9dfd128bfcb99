"""Where the capacity of a target is: what a run may say of it, and what it may not."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.loadlogs import BEGAN_AT, FILL, FULL_HOST, HELD, QUICK, Storm, log_of, steady, story, worker, workload
from touchstone.facts.events import Attempt, Build, RunLog
from touchstone.loadgen.capacity import Capacity, InFlight, Room, capacity, room
from touchstone.twin.limits import FixedWindow, TokenBucket


def of(log: RunLog) -> Capacity:
    found = capacity(log)
    assert found is not None
    return found


WINDOW, CLOCK = partial(FixedWindow, 8, 4.0), partial(FixedWindow, 4, 5.0, "clock")
BUCKET = partial(TokenBucket, 8, 4.0, 8)
UNEVEN = (0.4, 2.6, 1.0, 1.7, 0.7)


@pytest.mark.parametrize(
    ("storm", "finding", "at_least", "at_most"),
    [
        (Storm(lengths=UNEVEN), "either", 4, 4),
        (Storm(patience=1), "either", 4, 4),
        (Storm(starts=3), "not-reached", 3, None),
        (Storm(capacity=None, rate=WINDOW), "either", 8, 8),
        (Storm(capacity=None, rate=CLOCK), "either", 4, 4),
        (Storm(capacity=None, rate=WINDOW, retry_s=0.3, build_s=10.0), "rate", 24, None),
        (Storm(capacity=None, rate=CLOCK, retry_s=0.3, lengths=UNEVEN), "rate", 5, None),
        (Storm(rate=BUCKET, retry_s=0.3), "rate", 4, None),
        (Storm(poll_s=2.0, retry_s=0.5), "either", 1, 4),  # reads too far apart to see an end
        (Storm(20, 1, lengths=UNEVEN, poll_s=0.05, retry_s=0.3), "either", 1, 1),
    ],
)
def test_storm_shows_a_capacity_or_a_rate_limit(storm: Storm, finding: str, at_least: int, at_most: int | None) -> None:
    found = of(storm.run())
    assert (found.finding, found.at_least, found.at_most) == (finding, at_least, at_most)
    assert found.is_known is False


def more(log: RunLog, *moments: tuple[float, int], **facts: Any) -> RunLog:
    """The same run with one more start at each moment, by a client of its own each, and its status."""
    starts = []
    for n, (at, status) in enumerate(moments):
        times = {"want": 900 + n, "intended_at": at, "sent_at": at, "done_at": at + 0.01, "seq": 90_000 + n}
        starts.append(replace(log.attempts[0], **({"status": status} | times | facts)))
    return replace(log, attempts=(*log.attempts, *starts))


FOUR = Storm(starts=4, capacity=None).run()


def test_refusals_with_room_are_a_rate_limit() -> None:
    found = of(more(FOUR, *[(BEGAN_AT + 5.0, 429)] * 7))
    assert (found.finding, found.refused_below, found.refused_full, found.at_least) == ("rate", 7, 0, 4)


def test_refusals_at_random_are_unclear() -> None:
    calm = [(BEGAN_AT + 20.0 * n + tick, status) for n in range(1, 9) for tick, status in ((0, 202), (1, 429))]
    assert of(more(FOUR, *calm, *((BEGAN_AT + 500.0 + 0.1 * n, 202) for n in range(60)))).finding == "unclear"


@pytest.mark.parametrize(
    ("scenario", "fresh", "finding", "unsure", "needless"),
    [("churn", None, "either", 2, 0), ("fairness", False, "rate", 0, 2)],
)
def test_refused_start_counts_by_whether_it_needed_room(
    scenario: str, fresh: bool | None, finding: str, unsure: int, needless: int
) -> None:
    attempts = tuple(replace(attempt, fresh=fresh, status=429) for attempt in Storm(starts=2).run().attempts)
    found = of(log_of(workload(scenario), attempts=attempts))
    assert (found.finding, found.refused_unsure, found.refused_needless) == (finding, unsure, needless)


def test_run_without_an_answered_start_knows_nothing() -> None:
    assert capacity(steady()) is None
    silent = tuple(replace(attempt, status=0) for attempt in FOUR.attempts)
    assert of(log_of(workload("storm"), attempts=silent)).finding == "unknown"


def test_build_in_flight_is_sure_or_possible() -> None:
    attempt = Attempt(1, 1, "r", "primary", "", True, 1.0, 1.0, 1.1, 202, None, False, 1)
    flight = InFlight([attempt], [Build(1, "r", "primary", 1.1, 9.0, "unread", None, 1)])
    assert (flight.sure(5.0), flight.at_most(5.0, 5.0), flight.at_most(99.0, 99.0)) == (0, 1, 1)  # it may go on
    assert (flight.sure(1.1), flight.most) == (1, 1)
    starts = [replace(attempt, want=n, sent_at=at, done_at=at + 0.1) for n, at in ((1, 0.9), (2, 2.7))]
    builds = [Build(n, "r", "primary", at, at + 1.5, "failed", None, 1) for n, at in ((1, 1.0), (2, 2.8))]
    flight = InFlight(starts, builds)
    assert [flight.at_most(*span) for span in ((2.4, 2.6), (2.55, 2.65), (2.4, 2.75), (0.1, 0.8))] == [1, 0, 2, 0]


def room_of(steps: str, **pace: float) -> Room:
    found = room(log_of(workload("storm"), exchanges=story(steps, **pace)))
    assert found is not None
    return found


def storm_with(steps: str, storm: Storm | None = None) -> RunLog:
    log = (storm or Storm()).run()
    facts = {"attempts": log.attempts, "builds": log.builds, "windows": log.windows}
    return log_of(workload("storm"), **facts, exchanges=story(steps))


def test_cancels_that_let_starts_in_show_a_full_host() -> None:
    found = room_of(FULL_HOST)
    assert found.is_full_host
    assert (found.inside, found.refused, found.unbidden, len(found.turns), found.let_in) == (2, 9, 0, 4, 4)
    assert [turn.held_s for turn in found.turns] == pytest.approx([0.0, 1.09, 0.0, 1.09])
    assert [turn.swap_s for turn in found.turns] == pytest.approx([0.1] * 4)
    (turn,) = room_of(f"{FILL} full:429 wait full:429 cancel:200 again:202").turns
    assert turn.held_s == pytest.approx(0.54)
    assert room(log_of(workload("storm"))) is None


REFUSED_AFTER, SERVED_UNBIDDEN = "full:429 cancel:200 again:429", "full:429 wait full:202"


@pytest.mark.parametrize(
    ("steps", "is_full", "with_room", "inside", "refused"),
    [
        (f"{FILL} {QUICK} {HELD} {QUICK} full:429 wait {REFUSED_AFTER}", True, 1, 2, 8),
        (f"{FILL} {QUICK} {QUICK} {QUICK} {QUICK}", False, 0, 2, 5),
        (f"{FILL} {HELD} {HELD} {HELD} {HELD}", False, 0, 2, 13),
        (f"{FILL} {QUICK} {HELD} {REFUSED_AFTER}", False, 1, 2, 6),
        (f"{FILL} {QUICK} {HELD} {QUICK} {SERVED_UNBIDDEN}", False, 1, 2, 7),
        (f"{FILL} full:429 cancel:200 again:500", False, 0, 2, 2),
        ("first:202 fill:202", False, 0, 2, 0),
        ("first:429 first:429", False, 2, 0, 0),
        (f"first:429 first:202 {FULL_HOST}", True, 1, 3, 9),
    ],
)
def test_room_is_full_only_where_cancels_let_starts_in(
    steps: str, is_full: bool, with_room: int, inside: int, refused: int
) -> None:
    found = room_of(steps)
    assert (found.is_full_host, found.refused_with_room) == (is_full, with_room)
    assert (found.inside, found.refused) == (inside, refused)


def test_wait_that_is_no_longer_than_a_cancel_takes_shows_nothing() -> None:
    assert room_of(FULL_HOST, wait_s=0.15).is_full_host
    assert not room_of(FULL_HOST, wait_s=0.03).is_full_host


@pytest.mark.parametrize(
    ("steps", "finding", "at_least", "at_most"),
    [
        ("", "either", 4, 4),
        (FULL_HOST, "capacity", 4, 4),
        (f"{FILL} {QUICK} {HELD} {QUICK} {REFUSED_AFTER}", "both", 4, 4),
        ("first:429 first:429", "rate", 4, None),
        (f"{FILL} full:202", "rate", 4, None),
        (f"fill:202 fill:202 fill:202 {FULL_HOST}", "both", 5, 5),  # it had more in flight than the storm
    ],
)
def test_client_decides_what_a_storm_leaves_open(steps: str, finding: str, at_least: int, at_most: int | None) -> None:
    found = of(storm_with(steps))
    assert (found.finding, found.at_least, found.at_most) == (finding, at_least, at_most)
    assert found.is_known == (finding in ("capacity", "both"))


@pytest.mark.parametrize(("steps", "finding"), [("", "unclear"), (FULL_HOST, "capacity")])
def test_builds_of_a_lost_worker_are_no_rate_limit(steps: str, finding: str) -> None:
    log = storm_with(steps, Storm(rate=WINDOW, retry_s=0.3))
    found = of(replace(log, workers=(worker(0), worker(1, state="lost"))))
    assert (found.finding, found.is_torn) == (finding, True)
