"""Rules on digests, at their edges, and what their findings say and show."""

from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, OTHER_REF, REF, broken, build, exchange, publish, story_rules, story_verdicts
from tests.rules.sentences import shown_by, story_findings
from touchstone.facts.exchange import Exchange
from touchstone.rules.digests import follows_content, one_digest, shared_golden
from touchstone.rules.history import Content

PUBLISHED, STABLE, FOLLOWS = "digest.is-the-published-one", "digest.is-stable", "digest.follows-content"
CONFLICT, SHARED, FLAGGED = "publish.conflict-keeps-content", "reuse.same-digest-elsewhere", "reuse.is-flagged"
NEW = "cd" * 32


def read(seq: int, digest: str = DIGEST, status: str = "not_built", **more: Any) -> Exchange:
    return exchange(seq=seq, json=build(status, digest=digest), **more)


def template(seq: int, digest: str = DIGEST) -> Exchange:
    return exchange("getTemplate", seq=seq, json={"ref": REF, "digest": digest, "template": {}})


def refused(seq: int, **more: Any) -> Exchange:
    return publish(seq, **({"content": "new", "status": 409} | more))


def said(*story: Exchange, **more: Any) -> list[tuple[str, tuple[int, ...], str, str]]:
    return story_findings(story_rules("digests"), *story, **more)


def test_finding_on_a_digest_shows_the_one_it_should_be() -> None:
    """The publish or the answer before is shown first, the wrong digest is the last."""
    stable = "the same digest as long as the content stands"

    assert said(publish(1), read(2, NEW)) == [
        (PUBLISHED, (1, 2), "the digest that publishing returned", f"{NEW}, published as {DIGEST}")
    ]
    assert said(publish(1), read(2), template(3), read(4, NEW)) == [(STABLE, (2, 4), stable, f"{NEW}, before {DIGEST}")]


def test_finding_on_a_refused_publish_shows_it() -> None:
    """The refused publish and the answer that shows another digest, compared with the one before."""
    kept = "the content that was there before the refused publish"
    actual = f"digest {NEW}, before {DIGEST}"

    assert said(publish(1), refused(2), read(3, NEW)) == [(CONFLICT, (2, 3), kept, actual)]
    assert said(publish(1), read(2), refused(3), read(4, NEW)) == [(CONFLICT, (3, 4), kept, actual)]


def test_digest_that_stays_is_shown_by_two_exchanges() -> None:
    """What upholds a claim is shown as well: publish or earlier read, the refused publish, and the answer."""
    assert shown_by((one_digest,), publish(1), read(2), read(3)) == [
        (PUBLISHED, (1, 2)),
        (STABLE, (2, 3)),
        (PUBLISHED, (1, 3)),
    ]
    assert (CONFLICT, (1, 2, 3)) in shown_by((one_digest,), publish(1), refused(2), read(3))


GIVEN = {REF: Content(REF, "primary", "", "ready", 0.0, "", 0, 0.0, 0.0)}


def test_finding_on_a_given_version_shows_two_answers() -> None:
    """Where nobody published, an answer is compared with the one before."""
    assert said(read(2), read(3, NEW), given=GIVEN) == [
        (STABLE, (2, 3), "the same digest every time", f"{NEW}, before {DIGEST}")
    ]


def test_refused_publish_is_cleared_by_an_answer_that_was_asked_for_when_it_was_refused() -> None:
    """From then on another digest has another cause."""
    story = [publish(1), refused(2, done_at=3.0), read(3), read(4, NEW)]

    assert [(claim, evidence) for claim, evidence, *_ in said(*story)] == [(STABLE, (3, 4))]


def test_refused_publish_is_suspected_after_an_answer_that_was_there_when_it_was_sent() -> None:
    """An answer that came later may show its effect already."""
    before = read(2, sent_at=2.0, done_at=3.0)
    beside = read(2, sent_at=2.0, done_at=3.005)

    assert [claim for claim, *_ in said(publish(1), before, refused(3), read(4, NEW))] == [CONFLICT]
    assert [claim for claim, *_ in said(publish(1), beside, refused(3), read(4, NEW))] == [STABLE]


def test_refused_publish_is_upheld_once() -> None:
    """The first answer that was asked for after it shows that it kept the content; later ones repeat that."""
    story = [publish(1), read(2, sent_at=2.0), refused(3, sent_at=1.9, done_at=2.0), read(4)]

    assert [claim for claim, _ in shown_by((one_digest,), *story)].count(CONFLICT) == 1


def test_old_digest_counts_as_the_replaced_one_only_after_force() -> None:
    """A publish without force replaces nothing, so a digest that it did not return is wrong."""
    story = [publish(1), publish(2, content="new", digest=NEW), read(3, DIGEST)]

    assert broken(story_verdicts((one_digest,), *story)) == {PUBLISHED}


def test_digest_of_nobody_is_wrong_after_force_as_well() -> None:
    """Only the digest of the replaced content is told elsewhere."""
    forced = publish(2, content="new", digest=NEW, note={"force": True})

    assert broken(story_verdicts((one_digest,), publish(1), forced, read(3, "ef" * 32))) == {PUBLISHED}
    assert broken(story_verdicts((one_digest,), publish(1, note={"force": True}), read(3, NEW))) == {PUBLISHED}


def other(seq: int, content: str = "other", digest: str = DIGEST, ref: str = OTHER_REF, **more: Any) -> Exchange:
    return publish(seq, ref, content=content, digest=digest, **more)


def test_finding_on_one_digest_for_two_contents_shows_both_publishes() -> None:
    """The earliest version with the digest is shown, in the order of publishing."""
    third = "default/touchstone-t1-third@1.0.0"
    story = [other(1, "third", ref=third), publish(2), other(3)]
    actual = f"{DIGEST} for {third} and for {REF} with other content"
    expected = "different digests for different content"

    assert story_findings((follows_content,), *story) == [(FOLLOWS, (1, 2), expected, actual)]
    assert [said[1] for said in story_findings((follows_content,), publish(1), other(2))] == [(1, 2)]
    assert [
        said[1] for said in story_findings((follows_content,), other(3), publish(1), other(2, "third", ref=third))
    ] == [(1, 2)]


@pytest.mark.parametrize("notes", [({"marker": ""}, {}), ({}, {"marker": ""})])
def test_contents_of_two_versions_differ_only_by_their_markers(notes: tuple[dict[str, str], dict[str, str]]) -> None:
    """A content that prints nothing of its own may be the same as another."""
    story = [publish(1, note=notes[0]), other(2, note=notes[1])]

    assert story_verdicts((follows_content,), *story) == set()


def test_contents_of_one_version_of_two_accounts_differ_by_their_markers() -> None:
    """Two accounts may publish the same steps under one name, in documents that differ."""
    story = [publish(1), publish(2, content="same", credential="second", note={"marker": "marker-hello"})]

    assert story_verdicts((follows_content,), *story) == set()


def start(at: float, status: str = "ready", code: int = 202, **more: Any) -> Exchange:
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5} | more
    return exchange("startBuild", code, json=build(status, reused=True), **facts)


def golden(seq: int, ref: str = OTHER_REF, status: str = "ready", **more: Any) -> Exchange:
    return exchange(seq=seq, ref=ref, json=build(status, ref), **more)


def same(seq: int = 2, **more: Any) -> Exchange:
    return other(seq, "same", note={"marker": "marker-hello"}, **more)


def shared(*story: Exchange) -> set[tuple[str, str]]:
    return story_verdicts((shared_golden,), *story)


def test_finding_on_a_golden_of_another_version_shows_where_it_was_seen() -> None:
    """The read of the other version, and the start that should have found it."""
    expected = "status ready, as another version with this digest is built"
    build_again = exchange("startBuild", 202, seq=9, json={"status": "building"})
    silent = exchange("startBuild", 202, seq=9, json={"status": "ready"})

    assert story_findings((shared_golden,), publish(1), same(), golden(4), build_again) == [
        (SHARED, (4, 9), expected, '202 {"status": "building"}')
    ]
    assert story_findings((shared_golden,), publish(1), same(), golden(4), silent) == [
        (FLAGGED, (4, 9), "reused true", '202 {"status": "ready"}')
    ]


FOUND = {(SHARED, "held"), (FLAGGED, "held")}


def test_golden_is_found_from_the_moment_it_was_seen() -> None:
    """Moments that touch count: published, read, started, and deleted afterwards."""
    gone = exchange("deleteTemplate", 204, seq=65, ref=OTHER_REF, sent_at=6.5)
    mine_gone = exchange("deleteTemplate", 204, seq=66, sent_at=6.5)
    story = [publish(1), same(done_at=4.0), golden(4, done_at=6.0), start(6.0)]

    assert shared(*story, gone, mine_gone) == FOUND


@pytest.mark.parametrize(
    "story",
    [
        [same(), golden(4, done_at=6.1)],
        [same(done_at=4.1), golden(4)],
        [same(), golden(4, status="building")],
        [same(), golden(4), exchange("deleteTemplate", 204, seq=64, ref=OTHER_REF, sent_at=6.4)],
        [same(), golden(4), exchange("deleteTemplate", 204, seq=64, sent_at=6.4)],
        [other(2, digest=NEW), golden(4)],
        [same(credential="second"), golden(4, credential="second")],
        [golden(4, REF)],
    ],
)
def test_golden_that_is_not_certain_need_not_be_found(story: list[Exchange]) -> None:
    """Seen too late, not ready, replaced meanwhile, with another digest, of another account, or its own."""
    assert shared(publish(1), *story, start(6.0)) == set()


def test_versions_without_a_digest_share_nothing() -> None:
    """Two answers that leave out the digest do not have one in common."""
    assert shared(publish(1, digest=""), same(digest=""), golden(4), start(6.0)) == set()


@pytest.mark.parametrize(
    "odd", [start(6.0, code=409), start(6.0, credential="second"), exchange(seq=60, json=build("ready"))]
)
def test_only_accepted_starts_of_the_owner_find_goldens(odd: Exchange) -> None:
    """A refused start, another account's, or a read, is asked for nothing."""
    assert shared(publish(1), same(), golden(4), odd) == set()


def test_each_start_is_judged_by_itself() -> None:
    """A start before the golden was seen takes nothing away from the next one."""
    assert shared(publish(1), same(), start(2.5), golden(4), start(6.0)) == FOUND


def test_start_of_a_version_that_nobody_published_finds_nothing() -> None:
    """What it holds is not known."""
    assert shared(same(), golden(4), start(6.0)) == set()
