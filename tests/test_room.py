"""Whether a host was full: what cancels show, and what they do not."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.loadlogs import FixedWindow, Storm, log_of, worker, workload
from tests.rules.exchanges import exchange
from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Exchange
from touchstone.loadgen.capacity import Room, capacity, room
from touchstone.report.load_sentences import sentence

FILL = "fill:202 fill:202 fill:429"
QUICK = "full:429 cancel:200 again:202"
HELD = "full:429 wait full:429 wait full:429 cancel:200 again:202"
FULL_HOST = f"{FILL} {QUICK} {HELD} {QUICK} {HELD}"


def story(steps: str, *, wait_s: float = 0.5, step_s: float = 0.05) -> tuple[Exchange, ...]:
    """What the client sent, a step and its status each; ``wait`` passes time, and a turn begins with ``full``."""
    at, turn, found, before = 500.0, 0, [], ""
    for step in steps.split():
        if step == "wait":
            at, before = at + wait_s, step
            continue
        name, status = step.split(":")
        turn += name == "full" and before != "wait"
        note = {"room": {"step": name, "turn": turn}}
        operation = "cancelBuild" if name == "cancel" else "startBuild"
        times = {"sent_at": at, "done_at": at + 0.01}
        found.append(exchange(operation, int(status), json={}, seq=5000 + len(found), note=note, **times))
        at, before = at + step_s, name
    return tuple(found)


def seen(steps: str, **pace: float) -> Room:
    """What the client saw."""
    found = room(log_of(workload("storm"), exchanges=story(steps, **pace)))
    assert found is not None
    return found


def stormed(steps: str, storm: Storm | None = None, **more: Any) -> RunLog:
    """A storm whose refusals a rate limit could explain, and the client after it."""
    facts = _facts((storm or Storm()).run()) | more
    return log_of(workload("storm"), **facts, exchanges=story(steps))


def _facts(log: RunLog) -> dict[str, Any]:
    return {"attempts": log.attempts, "builds": log.builds, "windows": log.windows}


def test_cancels_that_let_starts_in_show_a_full_host() -> None:
    """Whenever a build is cancelled the next start is served, and however long none is, none is."""
    found = seen(FULL_HOST)

    assert found.is_full_host
    assert (found.inside, found.refused, found.unbidden, len(found.turns), found.let_in) == (2, 9, 0, 4, 4)
    assert [turn.held_s for turn in found.turns] == pytest.approx([0.0, 1.09, 0.0, 1.09])
    assert [turn.swap_s for turn in found.turns] == pytest.approx([0.1] * 4)
    assert sentence("room", found) == (
        "Afterwards one client alone had 2 builds in flight when it was refused, 9 times while none ended; "
        "of 4 cancels of a build 4 let another one in at once: only a full host does so."
    )


def test_start_that_a_rate_limit_refused_takes_nothing_from_the_others() -> None:
    """Three cancels that let a start in show a full host; the fourth that did not shows a rate limit as well."""
    found = seen(f"{FILL} {QUICK} {HELD} {QUICK} full:429 wait full:429 cancel:200 again:429")

    assert (found.is_full_host, found.refused_with_room) == (True, 1)
    assert sentence("room", found).endswith(
        "of 4 cancels of a build 3 let another one in at once: only a full host does so, "
        "and a rate limit refuses as well."
    )


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (f"{FILL} {QUICK} {QUICK} {QUICK} {QUICK}", "of 4 cancels of a build 4 let another one in at once: too few"),
        (
            f"{FILL} {HELD} {HELD} {HELD} {HELD}",
            "of 4 cancels of a build 4 let another one in at once: too few",
        ),
        (f"{FILL} {QUICK} {HELD}", "of 2 cancels of a build 2 let another one in at once: too few to tell."),
        (f"{FILL} {QUICK} {HELD} full:429 cancel:200 again:429", "that is no full host, unless cancelled builds keep"),
        (
            f"{FILL} full:429 cancel:200 again:429",
            "of 1 cancel of a build 0 let another one in at once: that is no full host",
        ),
        (f"{FILL} {QUICK} {HELD} {QUICK} full:429 wait full:202", "and was served soon after though none"),
        (f"{FILL} full:202", "though none had ended: that is no full host, unless others build there."),
        (f"{FILL} full:429 cancel:500", "saw no cancelled build end, so that it learnt no more."),
        (f"{FILL} full:429 cancel:200 again:500", "saw no cancelled build end"),
    ],
)
def test_less_shows_no_full_host(steps: str, words: str) -> None:
    """Without enough turns, without waits between them, or where anything went otherwise, nothing is shown."""
    found = seen(steps)

    assert not found.is_full_host
    assert words in sentence("room", found)


def test_wait_that_is_no_longer_than_a_cancel_takes_shows_nothing() -> None:
    """A rate limit could have let each start in by itself where no refusal lasted longer than a cancel took."""
    assert seen(FULL_HOST, wait_s=0.15).is_full_host
    assert not seen(FULL_HOST, wait_s=0.03).is_full_host


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (
            "first:202 fill:202",
            "Afterwards one client alone had 2 builds in flight and was refused no other; with more",
        ),
        ("first:202 fill:500", "Afterwards one client alone had 1 build in flight and was refused no other"),
        ("first:429 first:429", "Afterwards one client alone was refused with nothing in flight: no full host, unless"),
        (
            "first:429 first:202 fill:202",
            "unless others build there. Then it had 2 builds in flight and was refused no",
        ),
        (f"first:429 first:202 {FULL_HOST}", "unless others build there. Then it had 3 builds in flight when it was"),
        ("first:500", ""),
    ],
)
def test_client_that_filled_nothing_says_so(steps: str, words: str) -> None:
    """Of a host that was not filled only that is said, and what a refusal on an empty host shows."""
    assert sentence("room", seen(steps)).startswith(words) or words in sentence("room", seen(steps))
    assert room(log_of(workload("storm"))) is None


@pytest.mark.parametrize(
    ("steps", "finding", "words"),
    [
        ("", "either", "A rate limit could have refused them as well"),
        (FULL_HOST, "capacity", "180 starts were refused meanwhile: the capacity is 4. Afterwards one client"),
        (f"{FILL} {QUICK} {HELD} {QUICK} full:429 cancel:200 again:429", "both", "4. Afterwards one client"),
        ("first:429 first:429", "rate", "refused with nothing in flight"),
        (f"{FILL} full:202", "rate", "none had ended"),
        (f"{FILL} full:429 cancel:200 again:429", "rate", "A start was refused though a build had ended: a rate limit"),
    ],
)
def test_client_decides_what_a_storm_leaves_open(steps: str, finding: str, words: str) -> None:
    """A storm whose builds all take as long tells a full host and a rate limit apart by its last client."""
    found = capacity(stormed(steps))

    assert found is not None
    assert found.finding == finding
    assert words in sentence("capacity", found)


def test_client_decides_where_a_storm_has_more_starts_than_a_fit_looks_at() -> None:
    """What the client saw is a proof of its own, whatever rate limit would explain the beginning of the storm."""
    log = stormed(FULL_HOST, Storm(retry_s=0.1))
    found = capacity(log)

    assert len(log.attempts) > 1_000
    assert found is not None
    assert found.finding == "capacity"


def test_client_may_have_more_builds_in_flight_than_the_storm() -> None:
    """The capacity is at least what the last client had in flight."""
    found = capacity(stormed(f"fill:202 fill:202 fill:202 {FULL_HOST}"))

    assert found is not None
    assert (found.finding, found.at_least, found.at_most) == ("both", 5, 5)


def test_full_host_that_refuses_at_random_as_well_is_no_riddle() -> None:
    """Where the client saw a full host, other refusals are those of a limit, whatever its kind."""
    log = stormed(FULL_HOST)
    last = log.attempts[-1]
    quiet = tuple(
        replace(
            last,
            want=900 + n,
            fresh=False,
            status=429 if n % 3 else 202,
            sent_at=90.0 + n,
            done_at=90.1 + n,
            seq=900 + n,
        )
        for n in range(90)
    )
    found = capacity(replace(log, attempts=log.attempts + quiet))

    assert found is not None
    assert found.finding == "both"


def served(number: int) -> Iterable[Exchange]:
    """So many starts of a version that is ready, none of them refused."""
    for n in range(number):
        times = {"sent_at": 600.0 + n / 1000, "done_at": 600.0 + n / 1000 + 0.0005}
        yield exchange(
            "startBuild", 202, json={}, seq=9000 + n, note={"limit": {"round": 1, "phase": "burst"}}, **times
        )


def test_rate_limit_may_leave_alone_what_needs_no_room() -> None:
    """A limit on builds that begin refuses a build though one was cancelled, and serves any number of other starts."""
    log = stormed(f"{FILL} full:429 cancel:200 again:429", Storm(capacity=None, rate=lambda: FixedWindow(2, 4.0)))
    found = capacity(replace(log, exchanges=(*log.exchanges, *served(120))))

    assert found is not None
    assert found.finding == "rate"


def test_limit_on_builds_that_begin_does_not_refuse_what_begins_none() -> None:
    """Where a start is refused that needs no room, in quiet times at that, no such limit explains it."""
    log = stormed("", Storm(capacity=None, rate=lambda: FixedWindow(8, 4.0)))
    last = log.attempts[-1]
    refused = tuple(
        replace(last, want=900 + n, fresh=False, status=429, sent_at=900.0 + n, done_at=900.1 + n, seq=90_000 + n)
        for n in range(60)
    )
    found = capacity(replace(log, attempts=log.attempts + refused))

    assert found is not None
    assert found.finding != "rate"


def test_start_that_is_kept_counts_once() -> None:
    """Starts of clients are known whether their exchanges are kept or not, and are counted by neither twice."""
    log = stormed("", Storm(starts=25, capacity=None, rate=lambda: FixedWindow(8, 4.0)))
    kept = tuple(
        exchange("startBuild", a.status, json={}, ref=a.ref, seq=a.seq, sent_at=a.sent_at, done_at=a.done_at)
        for a in log.attempts
        if a.want % 3 == 0
    )
    found = capacity(replace(log, exchanges=kept))

    assert found is not None
    assert found.finding == "either"


@pytest.mark.parametrize(("steps", "finding"), [("", "unclear"), (FULL_HOST, "capacity")])
def test_builds_of_a_lost_worker_are_no_rate_limit(steps: str, finding: str) -> None:
    """Where a worker was lost nobody knows how many builds were in flight, and only the last client tells anything."""
    log = stormed(steps, Storm(rate=lambda: FixedWindow(8, 4.0), retry_s=0.3))
    found = capacity(replace(log, workers=(worker(0), worker(1, state="lost"))))

    assert found is not None
    assert found.finding == finding
    assert "worker was lost" in sentence("capacity", found)
    assert "rate limit explains" not in sentence("capacity", found)
