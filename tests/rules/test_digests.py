"""Rules on digests: stable ones pass in every order of requests, and each change is blamed on what caused it."""

from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, OTHER_REF, REF, broken, build, exchange, publish, story_rules, story_verdicts
from touchstone.facts.exchange import Exchange
from touchstone.rules.history import Content

PUBLISHED, STABLE = "digest.is-the-published-one", "digest.is-stable"
CONFLICT, REFUSED = "publish.conflict-keeps-content", "auth.refused-changes-nothing"
FOLLOWS = "digest.follows-content"
SHARED, FLAGGED = "reuse.same-digest-elsewhere", "reuse.is-flagged"
NEW = "cd" * 32


def found(*exchanges: Exchange, **more: Any) -> set[tuple[str, str]]:
    return story_verdicts(story_rules("digests"), *exchanges, **more)


def claims(*exchanges: Exchange) -> set[str]:
    return {claim for claim, _ in found(*exchanges)}


def read(seq: int, digest: Any = DIGEST, status: str = "not_built", **more: Any) -> Exchange:
    return exchange("getBuild", 200, seq=seq, json=build(status, digest=digest), **more)


def template(seq: int, digest: str = DIGEST, content: str = "hello") -> Exchange:
    document = {"build": {"run": [f"echo marker-{content}"]}}
    return exchange("getTemplate", 200, seq=seq, json={"ref": REF, "digest": digest, "template": document})


def start(seq: int, digest: str = DIGEST, status: str = "building", **more: Any) -> Exchange:
    reused = {"reused": True} if status == "ready" else {}
    facts = {key: more.pop(key) for key in ("ref", "credential") if key in more}
    return exchange("startBuild", 202, seq=seq, json=build(status, digest=digest, **(reused | more)), **facts)


def conflict(seq: int, **more: Any) -> Exchange:
    return publish(seq, **({"content": "new", "status": 409} | more))


def test_one_digest_everywhere_upholds_the_claims() -> None:
    """Start, status and template reads that show what publishing returned, and do so again, uphold both claims."""
    story = [publish(1), read(2), start(3), template(4), read(5, status="building")]

    assert found(*story) == {(PUBLISHED, "held"), (STABLE, "held")}


@pytest.mark.parametrize("answer", [read(2, NEW), template(2, NEW), start(2, NEW)])
def test_other_digest_than_the_published_one_is_found(answer: Exchange) -> None:
    """Each answer that shows a digest must show the published one."""
    assert found(publish(1), answer) == {(PUBLISHED, "broken")}


def test_digest_that_is_always_wrong_is_told_once() -> None:
    """A read that always shows the same wrong digest is stable and wrong."""
    assert found(publish(1), read(2, NEW), read(3, NEW)) == {(PUBLISHED, "broken"), (STABLE, "held")}


def test_digest_that_changes_is_found() -> None:
    """A digest that was right and then is another one is not stable."""
    assert broken(found(publish(1), read(2), read(3, NEW))) == {STABLE}


@pytest.mark.parametrize("digest", [None, 12, ""])
def test_missing_digest_is_told_elsewhere(digest: Any) -> None:
    """An answer without a digest has nothing to compare."""
    assert found(publish(1), read(2, digest)) == set()


def test_answers_to_others_are_not_compared() -> None:
    """What another account sees of a version is told by other rules."""
    assert found(publish(1), read(2, NEW, credential="second")) == set()


def test_replaced_content_has_the_digest_of_its_own_publish() -> None:
    """After a publish with force, and after a delete, the next publish counts."""
    forced = publish(3, content="new", digest=NEW, note={"force": True})
    gone = exchange("deleteTemplate", 200, seq=5, json={"deleted": True})
    story = [publish(1), read(2), forced, read(4, NEW), gone, publish(6), read(7)]

    assert broken(found(*story)) == set()


def test_answer_beside_a_publish_is_not_compared() -> None:
    """An answer that overlaps with a publish may show either content."""
    forced = publish(3, content="new", digest=NEW, note={"force": True}, done_at=5.0)

    assert broken(found(publish(1), forced, read(4, DIGEST), read(4, NEW))) == set()


def test_old_digest_after_force_is_told_elsewhere() -> None:
    """A read that still shows what was to be replaced breaks the claim about force."""
    forced = publish(3, content="new", digest=NEW, note={"force": True})

    assert PUBLISHED not in claims(publish(1), forced, read(4, DIGEST))


def test_conflict_that_keeps_the_content_upholds_the_claim() -> None:
    """A digest that reads after a conflict as it did before shows that nothing changed."""
    assert (CONFLICT, "held") in found(publish(1), read(2), conflict(3), read(4))


@pytest.mark.parametrize("before", [[read(2)], []])
def test_conflict_that_changes_the_content_is_found_and_nothing_else(before: list[Exchange]) -> None:
    """A digest that is another one after a conflict is blamed on the conflict, now and in later reads."""
    story = [publish(1), *before, conflict(3), read(4, NEW), read(5, NEW), template(6, NEW)]

    assert broken(found(*story)) == {CONFLICT}


def test_conflict_that_changes_the_document_is_found() -> None:
    """Another document under the same digest is a change as well."""
    assert broken(found(publish(1), template(2), conflict(3), template(4, content="new"))) == {CONFLICT}


def test_document_of_a_conflict_is_found_by_its_marker() -> None:
    """A document that nobody has read before says itself whose it is, also where the digest stayed."""
    assert broken(found(publish(1), conflict(2), read(3), template(4, content="new"))) == {CONFLICT}
    assert broken(found(publish(1), conflict(2), read(3), template(4))) == set()
    assert broken(found(publish(1), conflict(2), read(3), template(4, content="elsewhere"))) == set()


def test_wrong_digest_is_not_blamed_on_a_conflict_that_changed_nothing() -> None:
    """Where another read shows that the content stands, a wrong digest is its own fault."""
    assert broken(found(publish(1), conflict(3), read(4), template(5, NEW))) == {PUBLISHED}


@pytest.mark.parametrize(("credential", "status", "claim"), [("none", 401, REFUSED), ("longer", 403, REFUSED)])
def test_refused_publish_of_others_changes_nothing(credential: str, status: int, claim: str) -> None:
    """A refused publish with force leaves the digest as it was; another digest after it is blamed on it."""
    refused = conflict(3, credential=credential, status=status, note={"force": True})

    assert (claim, "held") in found(publish(1), read(2), refused, read(4))
    assert broken(found(publish(1), read(2), refused, read(4, NEW))) == {claim}


def test_refused_publish_of_the_same_content_shows_nothing() -> None:
    """A refused publish of what is there already could not have changed anything."""
    refused = publish(3, status=401, credential="none", note={"force": True})

    assert REFUSED not in claims(publish(1), read(2), refused, read(4))


def test_given_version_has_a_stable_digest() -> None:
    """A template that the user named shows one digest as long as the run lasts."""
    given = {REF: Content(REF, "primary", "given", "ready", 0.0, "", 0, float("-inf"), float("-inf"))}

    assert found(read(1), read(2), given=given) == {(STABLE, "held")}
    assert found(read(1), read(2, NEW), given=given) == {(STABLE, "broken")}


def test_different_content_has_different_digests() -> None:
    """Versions with other content have other digests."""
    assert (FOLLOWS, "held") in found(publish(1), publish(2, OTHER_REF, content="other", digest=NEW))


def test_one_digest_for_different_content_is_found() -> None:
    """Two versions with different content and one digest break the claim, whichever is asked about."""
    story = [publish(1), publish(2, OTHER_REF, content="other")]

    assert broken(found(*story)) == {FOLLOWS}
    assert broken(found(*story, ref=OTHER_REF)) == {FOLLOWS}


def test_one_digest_for_equal_steps_under_two_names_is_fine() -> None:
    """Whether the digest covers name and version is open, so that only the name may differ."""
    other = publish(2, OTHER_REF, content="hello under another name", note={"marker": "marker-hello"})

    assert broken(found(publish(1), other)) == set()


def test_one_digest_for_replaced_content_is_found() -> None:
    """A new document under the same ref has a new digest, unless reads show that the old one is still there."""
    forced = publish(3, content="new", note={"force": True})

    assert broken(found(publish(1), forced, template(4, content="new"))) == {FOLLOWS}
    assert broken(found(publish(1), forced, template(4, content="hello"))) == set()


def test_other_content_that_was_accepted_without_force_may_have_been_ignored() -> None:
    """A server that accepts a conflict, and answers what is there, has not computed another digest."""
    assert broken(found(publish(1), publish(3, content="new"))) == set()


def shared(*last: Exchange, **more: Any) -> list[Exchange]:
    """Another version with the same digest, seen ready, and then *last*."""
    seen = exchange("getBuild", 200, seq=4, ref=OTHER_REF, json=build("ready", OTHER_REF))
    same = publish(2, OTHER_REF, content="same", note={"marker": "marker-hello"}, **more)
    return [
        publish(1),
        same,
        exchange("startBuild", 202, seq=3, ref=OTHER_REF, json=build("building", OTHER_REF)),
        seen,
        *last,
    ]


def test_golden_of_another_version_with_the_same_digest_is_reused() -> None:
    """A start that finds the golden of another version says ready, and that it is reused."""
    assert {(SHARED, "held"), (FLAGGED, "held")} <= found(*shared(start(5, status="ready")))


def test_build_of_a_digest_that_is_built_elsewhere_is_found() -> None:
    """A start that builds what another version of the account has built already breaks the claim."""
    assert broken(found(*shared(start(5)))) == {SHARED}


def test_reuse_from_elsewhere_that_is_not_flagged_is_found() -> None:
    """A golden of another version is reused all the same."""
    assert broken(found(*shared(start(5, status="ready", reused=False)))) == {FLAGGED}


def test_golden_of_another_account_need_not_be_shared() -> None:
    """Whether accounts share goldens is open."""
    assert SHARED not in claims(*shared(start(5), credential="second"))


def test_golden_of_a_deleted_version_need_not_be_kept() -> None:
    """What becomes of the golden of a deleted version is open."""
    gone = exchange("deleteTemplate", 200, seq=5, ref=OTHER_REF, json={"deleted": True})

    assert SHARED not in claims(*shared(gone, start(6)))


def test_start_before_the_other_was_ready_says_nothing() -> None:
    """Only a golden that was seen before the start must be reused."""
    story = [publish(1), publish(2, OTHER_REF, content="same", note={"marker": "marker-hello"}), start(3)]
    late = exchange("getBuild", 200, seq=4, ref=OTHER_REF, json=build("ready", OTHER_REF))

    assert SHARED not in claims(*story, late)


def test_start_that_tells_the_replaced_digest_is_found() -> None:
    """Where reads show that the content was replaced, an answer with the old digest is not the one of its publish."""
    forced = publish(3, content="new", digest=NEW, note={"force": True})
    old = exchange("startBuild", 202, seq=5, json=build("building", digest=DIGEST))

    assert broken(found(publish(1), forced, read(4, NEW), old)) == {PUBLISHED}
