"""
Whom an impossible status is blamed on, where something that happened to another version may explain it.
"""

from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, OTHER_REF, broken, build, exchange, publish, story_verdicts
from touchstone.exchange import Exchange
from touchstone.rules import building

NEIGHBOURS, VANISHES = "cancel.keeps-neighbours", "status.build-does-not-vanish"
READY, STARTS = "status.ready-stays-ready", "status.changes-only-by-a-start"
SLEEPING = {"note": {"sleep_s": 60.0}}


def start(seq: int, ref: str = "", status: str = "building", **more: Any) -> Exchange:
    body = build(status, ref, **more) if ref else build(status, **more)
    return exchange("startBuild", 202, seq=seq, json=body, **({"ref": ref} if ref else {}))


def read(seq: int, status: str) -> Exchange:
    return exchange(json=build(status, **({"build_time_ms": 800} if status == "ready" else {})), seq=seq)


def cancel(seq: int, status: int = 202, **facts: Any) -> Exchange:
    body = {"status": "cancelling" if status == 202 else "idle"}
    return exchange("cancelBuild", status, **({"json": body, "seq": seq} | facts))


def blamed(*exchanges: Exchange) -> set[str]:
    return broken(story_verdicts(building.RULES, *exchanges))


@pytest.mark.parametrize(
    ("cancels", "claim"),
    [
        ([], VANISHES),
        ([cancel(5, 404, ref=OTHER_REF)], NEIGHBOURS),
        ([cancel(5, 404, ref=OTHER_REF, credential="second")], VANISHES),
        ([cancel(2, 404, ref=OTHER_REF)], VANISHES),
    ],
    ids=["none", "between the reads", "of another account", "before the build"],
)
def test_build_that_is_gone_after_an_idle_cancel_elsewhere(cancels: list[Exchange], claim: str) -> None:
    """
    A cancel that found nothing in another version has ended this one's build, where nothing else can have.
    """
    story = [publish(1, **SLEEPING), start(3), read(4, "building"), *cancels, read(6, "not_built")]

    assert blamed(*sorted(story, key=lambda e: e.seq)) == {claim}


def test_build_that_is_gone_at_the_first_read_after_an_idle_cancel_elsewhere() -> None:
    """
    The same where nobody has seen the build run.
    """
    story = [publish(1, **SLEEPING), start(3), cancel(4, 404, ref=OTHER_REF), read(5, "not_built")]

    assert blamed(*story) == {NEIGHBOURS}


def lost_golden(*earlier: Exchange) -> set[str]:
    """
    A version that is not ready any more after another one was begun and cancelled.
    """
    other = "default/touchstone-t1-victim@1.0.0"
    begun = start(13, other, digest="ef" * 32)
    story = [publish(1), start(2), read(3, "ready"), *earlier, read(12, "ready"), begun, cancel(14, ref=other)]
    return blamed(*story, read(15, "not_built"))


def test_golden_that_is_lost_beside_a_cancel_is_blamed_on_it() -> None:
    """
    A ready version that is gone after a cancel elsewhere was taken away by that.
    """
    assert lost_golden() == {NEIGHBOURS}


def test_golden_that_is_lost_beside_a_start_too_is_not_where_cancels_alone_do_no_harm() -> None:
    """
    Where it outlived a cancel before, the start beside this one is as likely to have taken its place.
    """
    assert lost_golden(read(4, "ready"), cancel(5, ref=OTHER_REF), read(6, "ready")) == {READY}


def test_build_that_comes_after_a_plain_publish_began_by_itself() -> None:
    """
    A cancelled version that builds again since it was published once more has not failed to settle.
    """
    settled = [publish(1, **SLEEPING), start(2), read(3, "building"), cancel(4), read(5, "not_built")]

    assert blamed(*settled, publish(6, **SLEEPING), read(7, "building")) == {STARTS}
    assert blamed(*settled, read(7, "building")) == {"cancel.settles"}


def test_golden_that_a_start_tells_of_is_there_to_be_read() -> None:
    """
    A start that is answered ready is not followed by a read that says not built.
    """
    content = publish(1), publish(2, content="new", digest="cd" * 32, note={"force": True}), publish(3, digest=DIGEST)
    told = start(4, status="ready", reused=True)

    assert "start.visible-to-next-read" in blamed(*content[:1], told, read(5, "not_built"))


@pytest.mark.parametrize(("sleep_s", "claims"), [(60.0, {"cancel.does-not-end-ready"}), (0.5, set())])
def test_build_that_was_over_when_it_was_cancelled_may_end_ready(sleep_s: float, claims: set[str]) -> None:
    """
    A status may learn of an end later than the cancel came, and say building in between; not before the steps have run.
    """
    story = [publish(1, note={"sleep_s": sleep_s}), start(2), read(3, "building"), cancel(4), read(5, "building")]

    assert blamed(*story, read(6, "ready")) & {"cancel.does-not-end-ready"} == claims


def test_build_that_runs_on_though_a_cancel_found_nothing_is_blamed_on_that() -> None:
    """
    A cancel that finds nothing where a build may have run has looked in the wrong place if that build is seen again.
    """
    story = [publish(1, note={"sleep_s": 0.5}), start(2), cancel(3, 404), read(4, "building")]

    assert blamed(*story) == {"cancel.in-flight-is-202"}


# --- a cancel that found nothing, and nothing else that shows an end --------------------------------------------------


def test_cancel_that_contradicts_an_earlier_one_tells_not_which_of_them_is_wrong() -> None:
    """
    Only the first cancel said that nothing ran: whether that one or the second is wrong, no read shows.
    """
    said = story_verdicts(building.RULES, publish(1), start(2), cancel(3, 404), cancel(4))

    assert ("cancel.finished-is-idle", "indeterminate") in said
    assert broken(said) == set()


@pytest.mark.parametrize("status", ["not_built", "failed", "ready"])
def test_build_may_have_become_anything_after_cancels_that_contradict_each_other(status: str) -> None:
    """
    It may have run until the second cancel, and be cancelled since then; another one's cancel is no suspect.
    """
    elsewhere = cancel(5, ref=OTHER_REF)
    assert blamed(publish(1), start(2), cancel(3, 404), cancel(4), elsewhere, read(6, status)) == set()


def test_cancel_of_what_a_read_showed_ready_is_idle() -> None:
    """
    Where a read shows the end, a cancel that is accepted is wrong.
    """
    assert blamed(publish(1), start(2), cancel(3, 404), read(4, "ready"), cancel(5)) == {"cancel.finished-is-idle"}


@pytest.mark.parametrize(
    ("status", "claim"), [("failed", "status.good-template-ends-ready"), ("not_built", "start.visible-to-next-read")]
)
def test_end_that_no_read_has_shown_is_not_what_an_idle_cancel_took_away(status: str, claim: str) -> None:
    """
    That a golden was there follows from a cancel alone, so a wrong end is blamed on the build.
    """
    assert blamed(publish(1), start(2), cancel(3, 404), cancel(4, 404), read(5, status)) == {claim}
