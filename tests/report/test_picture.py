"""Picture of a finding: lanes of its exchanges, and the states that were possible."""

from dataclasses import replace

import pytest

from tests.report.checklogs import header
from tests.rules.exchanges import OTHER_REF, REF, publish
from tests.rules.judging import cases
from tests.rules.stories import cancel, read, start
from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Exchange
from touchstone.report.picture import MAX_LANES, Picture, picture
from touchstone.report.script import script
from touchstone.rules.history import Bounds
from touchstone.rules.judge import by_all_rules


def drawn(claim: str, *exchanges: Exchange) -> Picture:
    """The picture of the first finding on *claim*."""
    judge = by_all_rules(Bounds(), {})
    judgements = [j for e in sorted(exchanges, key=lambda e: e.done_at) for j in judge.add(e)]
    judgements += judge.conclude(dict.fromkeys(e.ref for e in exchanges if e.ref))
    finding = next(judge.finding(j) for j in judgements if j.outcome == "broken" and j.claim == claim)
    found = picture(RunLog(header(), exchanges), finding, {e.seq: e for e in exchanges})
    assert found is not None
    return found


GONE = (publish(1), start(2), read(3, "building"), read(5, "ready"), read(6, "not_built"))
FAILING = (publish(1, note={"outcome": "failed"}), start(2), read(3), read(4), read(5, "ready"))
DENIED = (publish(1, note={"sleep_s": 60.0}), start(2), cancel(3, 404), read(4))
PICTURES = {
    "a finished build is gone": ("status.ready-stays-ready", GONE, {"ready": "200 with status ready"}),
    "ready although a step fails": (
        "status.failing-template-ends-failed",
        FAILING,
        {"building": "200 with status building", "failed": "200 with status failed"},
    ),
    "a build never ends": ("status.build-ends", (publish(1), start(2), read(700)), {}),  # the states allow each answer
    "a cancel is denied": ("cancel.in-flight-is-202", DENIED, {"building": "202 with status cancelling"}),
}


@cases("claim story allowed", PICTURES)
def test_what_the_possible_states_allow(claim: str, story: tuple[Exchange, ...], allowed: dict[str, str]) -> None:
    found = drawn(claim, *story)
    assert found.allowed == allowed
    assert set(found.bands) >= set(allowed)


def test_states_in_the_course_of_time() -> None:
    found = drawn("status.ready-stays-ready", *GONE)
    before, building, after = (found.periods[n] for n in (0, -2, -1))
    assert [sorted(states) for _, _, states in (before, building, after)] == [
        ["not_built"], ["building", "ready"], ["ready"]
    ]  # fmt: skip
    assert after[:2] == pytest.approx((GONE[3].done_at, GONE[4].done_at))
    assert found.explained_at == pytest.approx(GONE[3].done_at)
    assert [lane.exchange.seq for lane in found.lanes if lane.is_evidence] == [1, 2, 5, 6]


def test_overlapping_requests_have_lanes_in_the_order_of_sending() -> None:
    race = [replace(start(10 + n, seq=10 + n), sent_at=10.0 + n / 100, done_at=10.5) for n in range(3)]
    story = (publish(1), *race, read(20, "ready"), read(21, "failed"))
    found = drawn("start.concurrent-share-one-build", *story)
    (first, second) = (lane for lane in found.lanes if lane.exchange.seq in (10, 11))
    assert first.bar.start_share < second.bar.start_share < first.bar.start_share + first.bar.width_share
    assert [lane.decides for lane in found.lanes] == [False] * (len(found.lanes) - 1) + [True]


def test_lanes_are_bounded_and_name_the_versions() -> None:
    reads = [read(n, "building") for n in range(20, 90)]
    other = (publish(2, OTHER_REF, content="other", digest="ef" * 32), start(3, ref=OTHER_REF))
    story = (publish(1), *other, start(10), *reads, cancel(95, ref=OTHER_REF), read(96, "not_built"))
    found = drawn("cancel.keeps-neighbours", *story)
    assert len(found.lanes) == MAX_LANES
    assert found.left_out == len(reads) - (MAX_LANES - len(found.steps))
    assert [REF.rpartition("-")[2] in found.steps[0], OTHER_REF.rpartition("-")[2] in found.steps[2]] == [True, True]


@pytest.mark.parametrize("target", ["x", {"templates": {"a": 1}, "headers": {"A": 5}}, {"headers": ["a"]}])
def test_odd_bodies_and_settings_are_drawn_and_repeated(target: object) -> None:
    odd = [
        read(4.1 + n / 10, seq=40 + n, json={"status": status})
        for n, status in enumerate(({"a": 1}, ["x"], None, "'$(id)"))
    ]
    story = (*GONE[:3], *odd, *GONE[3:])
    judge = by_all_rules(Bounds(), {})
    judgements = [j for e in story for j in judge.add(e)] + judge.conclude([REF])
    for judgement in judgements:
        if judgement.outcome == "broken":
            log, finding = RunLog(header(settings={"target": target}), story), judge.finding(judgement)
            picture(log, finding, {e.seq: e for e in story})
            found = script(log, finding, {e.seq: e for e in story})
            assert found is not None
            assert not [line for way in found.ways for line in way.steps if "$(id)" in line]


def test_single_exchange_has_no_picture() -> None:
    exchanges = (read(1, "gone"),)
    judge = by_all_rules(Bounds(), {})
    finding = next(judge.finding(j) for j in judge.add(exchanges[0]) if j.outcome == "broken")
    assert picture(RunLog(header(), exchanges), finding, {1: exchanges[0]}) is None
