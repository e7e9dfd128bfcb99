"""Whom an impossible status is blamed on, where something that happened to another version may explain it."""

from typing import Any

import pytest

from tests.rules.exchanges import (
    DIGEST,
    OTHER_REF,
    REF,
    broken,
    build,
    exchange,
    history,
    publish,
    story_rules,
    story_verdicts,
)
from tests.rules.sentences import story_findings
from touchstone.facts.exchange import Exchange

NEIGHBOURS, VANISHES = "cancel.keeps-neighbours", "status.build-does-not-vanish"
READY, STARTS = "status.ready-stays-ready", "status.changes-only-by-a-start"
VISIBLE = "start.visible-to-next-read"
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
    return broken(story_verdicts(story_rules("building"), *exchanges))


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
    """A cancel that found nothing in another version has ended this one's build, where nothing else can have."""
    story = [publish(1, **SLEEPING), start(3), read(4, "building"), *cancels, read(6, "not_built")]

    assert blamed(*sorted(story, key=lambda e: e.seq)) == {claim}


def test_build_that_is_gone_at_the_first_read_after_an_idle_cancel_elsewhere() -> None:
    """The same where nobody has seen the build run."""
    story = [publish(1, **SLEEPING), start(3), cancel(4, 404, ref=OTHER_REF), read(5, "not_built")]

    assert blamed(*story) == {NEIGHBOURS}


def lost_golden(*earlier: Exchange) -> set[str]:
    """A version that is not ready any more after another one was begun and cancelled."""
    other = "default/touchstone-t1-victim@1.0.0"
    begun = start(13, other, digest="ef" * 32)
    story = [publish(1), start(2), read(3, "ready"), *earlier, read(12, "ready"), begun, cancel(14, ref=other)]
    return blamed(*story, read(15, "not_built"))


def test_golden_that_is_lost_beside_a_cancel_is_blamed_on_it() -> None:
    """A ready version that is gone after a cancel elsewhere was taken away by that."""
    assert lost_golden() == {NEIGHBOURS}


def test_golden_that_a_start_tells_of_is_there_to_be_read() -> None:
    """A start that is answered ready is not followed by a read that says not built."""
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
    """Only the first cancel said that nothing ran: whether that one or the second is wrong, no read shows."""
    said = story_verdicts(story_rules("building"), publish(1), start(2), cancel(3, 404), cancel(4))

    assert ("cancel.finished-is-idle", "indeterminate") in said
    assert broken(said) == set()


@pytest.mark.parametrize("status", ["not_built", "failed", "ready"])
def test_build_may_have_become_anything_after_cancels_that_contradict_each_other(status: str) -> None:
    """It may have run until the second cancel, and be cancelled since then; another one's cancel is no suspect."""
    elsewhere = cancel(5, ref=OTHER_REF)
    assert blamed(publish(1), start(2), cancel(3, 404), cancel(4), elsewhere, read(6, status)) == set()


def test_cancel_of_what_a_read_showed_ready_is_idle() -> None:
    """Where a read shows the end, a cancel that is accepted is wrong."""
    assert blamed(publish(1), start(2), cancel(3, 404), read(4, "ready"), cancel(5)) == {"cancel.finished-is-idle"}


@pytest.mark.parametrize(
    ("status", "claim"), [("failed", "status.good-template-ends-ready"), ("not_built", "start.visible-to-next-read")]
)
def test_end_that_no_read_has_shown_is_not_what_an_idle_cancel_took_away(status: str, claim: str) -> None:
    """That a golden was there follows from a cancel alone, so a wrong end is blamed on the build."""
    assert blamed(publish(1), start(2), cancel(3, 404), cancel(4, 404), read(5, status)) == {claim}


def test_failure_that_an_idle_cancel_confirms_is_the_one_of_the_new_build() -> None:
    """A cancel that found nothing while the read was on its way shows that the new build has failed already."""
    first = [publish(1, note={"outcome": "failed", "sleep_s": 3.0}), start(2), read(9, "failed")]
    late = exchange(json=build("failed"), seq=15, sent_at=15.0, done_at=17.0)
    again = [start(10), cancel(16, 404), late]
    assert blamed(*first, *again) == set()


# --- which request is to blame, and what lies beside it ---------------------------------------------------------------


def told(*story: Exchange) -> list[tuple[str, tuple[int, ...]]]:
    """The findings of a story, with the exchanges that show them."""
    return [finding[:2] for finding in story_findings(story_rules("building"), *story)]


AGAIN = (publish(1, **SLEEPING), start(2), cancel(3), read(4, "not_built"), start(5))


@pytest.mark.parametrize(
    ("after", "finding"),
    [
        ((start(6), read(7, "failed")), ("start.while-building-is-harmless", (5, 6, 7))),
        ((start(6), read(7, "building"), read(8, "failed")), ("cancel.next-build-completes", (5, 8))),
        ((read(7, "failed"),), ("cancel.next-build-completes", (5, 7))),
    ],
    ids=["joined since the last read", "joined before it", "not joined"],
)
def test_build_after_a_cancel_that_fails(after: tuple[Exchange, ...], finding: tuple[str, tuple[int, ...]]) -> None:
    """A start that joined it is to blame if no read since has shown that it did no harm."""
    assert told(*AGAIN, *after) == [finding]


def idle(seq: int, **facts: Any) -> Exchange:
    return cancel(seq, 404, ref=OTHER_REF, **facts)


# Beside a cancel of another account too nobody knows that builds vanish without one.
OTHERS_IDLE = idle(6, credential="second")


@pytest.mark.parametrize(
    ("story", "claim"),
    [
        ((start(3), idle(4), read(5, "building"), OTHERS_IDLE, read(8, "not_built")), VANISHES),
        ((read(2, "not_built"), idle(3), start(4), OTHERS_IDLE, read(8, "not_built")), VISIBLE),
        ((start(3), read(4, "building"), OTHERS_IDLE, read(8, "not_built"), idle(9)), VANISHES),
    ],
    ids=["before the last read", "before the start", "after it was gone"],
)
def test_idle_cancel_elsewhere_is_no_suspect_at_another_time(story: tuple[Exchange, ...], claim: str) -> None:
    """Only one between the last read that showed the build and the one that does not."""
    assert blamed(publish(1, **SLEEPING), *story) == {claim}


def reuse(seq: int) -> Exchange:
    return start(seq, status="ready", reused=True)


AUTO = publish(1, auto_build="ready", note={"auto_build": True})


@pytest.mark.parametrize(
    ("story", "finding"),
    [
        ((publish(1), reuse(2), reuse(3), read(4, "not_built")), (VISIBLE, (3, 4))),
        ((publish(1), reuse(2), read(3, "building"), read(4, "not_built")), (STARTS, (3, 4))),
        ((AUTO, read(2, "not_built")), ("status.unbuilt-is-not-built", (2,))),
    ],
    ids=["two starts", "before the last read", "a publish"],
)
def test_start_that_tells_of_a_golden_is_the_last_one(
    story: tuple[Exchange, ...], finding: tuple[str, tuple[int, ...]]
) -> None:
    """Since the last read, and no publish."""
    assert told(*story)[-1] == finding


def test_read_of_a_document_begins_nothing() -> None:
    """Only a publish may be to blame that a cancelled version builds again."""
    settled = [publish(1, **SLEEPING), start(2), read(3, "building"), cancel(4), read(5, "not_built")]
    document = exchange("getTemplate", json={"template": {}}, seq=6)

    assert blamed(*settled, document, read(7, "building")) == {"cancel.settles"}


def beside(seq: int, **facts: Any) -> Exchange:
    victim = "default/touchstone-t1-victim@1.0.0"
    return exchange("startBuild", 202, seq=seq, ref=victim, json=build(ref=victim, digest="ef" * 32), **facts)


@pytest.mark.parametrize(
    "begun",
    [[], [beside(13, credential="second")], [beside(8)], [beside(16)]],
    ids=["none", "of another account", "before the last read", "later"],
)
def test_golden_that_is_lost_beside_a_cancel_alone_is_blamed_on_it(begun: list[Exchange]) -> None:
    """No build of another version of the owner has begun meanwhile that may have taken its place."""
    outlived = [publish(1), start(2), read(3, "ready"), read(4, "ready"), cancel(5, ref=OTHER_REF), read(6, "ready")]
    cancelled = cancel(14, ref="default/touchstone-t1-victim@1.0.0")

    assert blamed(*outlived, *begun, read(12, "ready"), cancelled, read(15, "not_built")) == {NEIGHBOURS}


def test_doubt_of_two_cancels_shows_both() -> None:
    """Of an occasion that is not clear both answers are shown."""
    known = history(publish(1), start(2), cancel(3, 404), cancel(4))
    unclear = [j.evidence for rule in story_rules("building") for j in rule(REF, known) if j.outcome == "indeterminate"]

    assert unclear == [(3, 4)]
