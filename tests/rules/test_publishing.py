"""Rules on publishing: every documented answer passes, and each other one breaks the claim that it belongs to."""

from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, OTHER_REF, REF, broken, build, exchange, publish, story_rules, story_verdicts
from touchstone.facts.exchange import Exchange

NEW, IDENTICAL = "publish.answers-201", "publish.republish-identical-is-accepted"
SPELLING, STABLE = "digest.ignores-spelling", "digest.is-stable"
OTHER, FORCE = "publish.other-content-is-409", "publish.force-replaces"
STARTS, ASKED = "publish.auto-build-starts", "publish.auto-build-only-when-asked"
NEW_DIGEST = "cd" * 32


def found(*exchanges: Exchange, **more: Any) -> set[tuple[str, str]]:
    return story_verdicts(story_rules("publishing"), *exchanges, **more)


def claims(*exchanges: Exchange) -> set[str]:
    return {claim for claim, _ in found(*exchanges)}


def first(**more: Any) -> Exchange:
    return publish(1, **({"note": {"form": "json"}} | more))


def again(seq: int = 2, form: str = "json", **more: Any) -> Exchange:
    return publish(seq, **({"note": {"form": form}} | more))


def forced(**more: Any) -> Exchange:
    facts = {"content": "new", "digest": NEW_DIGEST, "note": {"force": True, "form": "json"}}
    return publish(3, **(facts | more))


def read(seq: int, status: str = "not_built", **more: Any) -> Exchange:
    return exchange("getBuild", 200, seq=seq, json=build(status, **more))


def template(seq: int, content: str, digest: str) -> Exchange:
    document = {"build": {"run": [f"echo marker-{content}"]}}
    return exchange("getTemplate", 200, seq=seq, json={"ref": REF, "digest": digest, "template": document})


@pytest.mark.parametrize("status", [200, 201])
def test_first_publish_is_created(status: int) -> None:
    """A new version is answered with 201, or with 200 as one server was seen to do."""
    assert found(first(status=status)) == {(NEW, "held")}


@pytest.mark.parametrize("status", [202, 400, 403, 409, 422])
def test_first_publish_that_is_not_created_is_found(status: int) -> None:
    """Whatever else a correct new document is answered breaks the claim."""
    assert found(first(status=status)) == {(NEW, "broken")}


@pytest.mark.parametrize("status", [0, 401, 429, 500])
def test_answer_with_a_claim_of_its_own_is_left_alone(status: int) -> None:
    """No answer, a refused key, a limit and a failing server are told by other rules."""
    assert found(first(status=status)) == set()


@pytest.mark.parametrize("credential", ["none", "restricted", "longer"])
def test_publish_of_an_account_that_may_not_is_left_alone(credential: str) -> None:
    """Keys that are refused and accounts below the plan are told by other rules."""
    assert found(first(status=403, credential=credential)) == set()


def test_document_that_is_wrong_on_purpose_is_left_alone() -> None:
    """What an invalid document is answered is told by another rule."""
    assert found(first(status=422, note={"invalid": "schema"})) == set()


def test_publish_after_one_of_unknown_outcome_is_not_judged() -> None:
    """A publish that was never answered may have created the version."""
    assert found(first(status=0), again(status=409)) == set()


def test_overlapping_publishes_are_not_judged() -> None:
    """Of two publishes at one moment either may come first."""
    assert found(first(done_at=3.0), again(content="new", status=201, sent_at=1.5)) == set()
    assert found(first(done_at=3.0), again(content="new", status=409, sent_at=1.5)) == {(NEW, "held"), (OTHER, "held")}


@pytest.mark.parametrize("status", [200, 201])
def test_identical_content_is_accepted(status: int) -> None:
    """The same document again is answered with success and its digest."""
    assert found(first(), again(status=status)) == {(NEW, "held"), (IDENTICAL, "held"), (STABLE, "held")}


def test_identical_content_that_is_refused_is_found() -> None:
    """The same document again is no conflict."""
    assert broken(found(first(), again(status=409))) == {IDENTICAL}


def test_identical_content_with_another_digest_is_found() -> None:
    """The same document in the same form has the same digest."""
    assert broken(found(first(), again(digest=NEW_DIGEST))) == {STABLE}


@pytest.mark.parametrize("form", ["sugar", "yaml", "shuffled"])
def test_spelling_does_not_change_the_digest(form: str) -> None:
    """The same template in another form has the same digest; another one is found."""
    assert (SPELLING, "held") in found(first(), again(form=form))
    assert broken(found(first(), again(form=form, digest=NEW_DIGEST))) == {SPELLING}


def test_other_spelling_as_a_conflict_is_found() -> None:
    """A server that takes the same content, but not in another spelling, gives that one another digest."""
    assert broken(found(first(), again(), again(3, form="sugar", status=409))) == {SPELLING}


def test_other_spelling_as_a_conflict_says_nothing_before_the_same_one_was_tried() -> None:
    """Whether the spelling or the repetition is to blame only shows where the same spelling is repeated, too."""
    assert found(first(), again(form="sugar", status=409)) == {(NEW, "held")}


def test_server_that_refuses_every_repetition_is_not_said_to_mind_the_spelling() -> None:
    """Where identical content in the same form is refused as well, that is the fault."""
    elsewhere = [publish(5, OTHER_REF, note={"form": "json"}), publish(6, OTHER_REF, note={"form": "json"}, status=409)]

    assert broken(found(first(), again(form="sugar", status=409), *elsewhere)) == {IDENTICAL}


def test_other_content_is_a_conflict() -> None:
    """Other content under the same ref is answered with 409 without force."""
    assert (OTHER, "held") in found(first(), again(content="new", status=409))


@pytest.mark.parametrize("status", [200, 201, 422])
def test_other_content_that_is_no_conflict_is_found(status: int) -> None:
    """Success and other refusals break the claim."""
    assert broken(found(first(), again(content="new", status=status, digest=NEW_DIGEST))) == {OTHER}


def test_server_that_cannot_tell_contents_apart_is_told_once() -> None:
    """Where other versions with other content have the same digest, the digest is the fault."""
    story = [first(), again(content="new", status=201), publish(5, OTHER_REF, content="other")]

    assert broken(found(*story)) == set()


def test_another_accounts_publish_is_no_conflict() -> None:
    """Two accounts may have a version of one name each."""
    assert found(first(), again(content="new", credential="second")) == set()


def test_force_replaces_what_reads_show() -> None:
    """After a publish with force the next read shows the new digest, or the new document."""
    assert (FORCE, "held") in found(first(), forced(), read(4, digest=NEW_DIGEST))
    assert (FORCE, "held") in found(first(), forced(), template(4, "new", NEW_DIGEST))


def test_force_that_is_refused_is_found() -> None:
    """With force other content is no conflict."""
    assert broken(found(first(), forced(status=409))) == {FORCE}


@pytest.mark.parametrize("digest", ["ab" * 32, NEW_DIGEST])
def test_force_that_replaces_nothing_is_found(digest: str) -> None:
    """A read that shows the old document, or the old digest, shows that force had no effect."""
    assert broken(found(first(), forced(digest=digest), template(4, "hello", digest))) == {FORCE}
    assert broken(found(first(), forced(), read(4))) == {FORCE}


def test_content_that_force_did_not_replace_is_no_other_content() -> None:
    """Where force had no effect, what was there before is still the same content."""
    ignored = [first(), forced(digest=DIGEST), template(4, "hello", DIGEST)]

    assert broken(found(*ignored, publish(5, note={"form": "json"}))) == {FORCE}


def test_content_that_was_taken_without_force_has_no_digest_to_keep() -> None:
    """An answer to other content without force may be about the old content, so the next digest is none to compare."""
    taken = [first(), again(content="new", digest=DIGEST), forced()]

    assert broken(found(*taken)) == {OTHER}


def test_force_without_a_read_says_nothing() -> None:
    """What nobody read after a publish with force is not known."""
    assert FORCE not in claims(first(), forced())
    assert FORCE not in claims(first(), forced(), exchange("startBuild", 202, seq=4, json=build(digest=NEW_DIGEST)))


def auto(answer: str | None = "building", **more: Any) -> Exchange:
    return publish(1, auto_build=answer, note={"auto_build": True}, **more)


@pytest.mark.parametrize("status", ["building", "ready", "failed"])
def test_auto_build_leads_to_a_build(status: str) -> None:
    """After a publish with auto_build the next read shows a build or its result."""
    assert (STARTS, "held") in found(auto(), read(2, status))


def test_auto_build_that_starts_nothing_is_found() -> None:
    """A publish that says building, and reads not_built, has built nothing."""
    assert broken(found(auto(), read(2))) == {STARTS}


def test_auto_build_that_is_not_answered_is_found() -> None:
    """An answer that does not mention the build that was asked for breaks the claim."""
    assert broken(found(auto(None), read(2, "building"))) == {STARTS}


def test_answer_that_is_no_object_says_nothing_of_its_build() -> None:
    """What an answer mentions is not judged where there is nothing to read; that has claims of its own."""
    garbled = exchange("publishTemplate", 201, seq=1, body=b"{", note=auto().note)

    assert STARTS not in claims(garbled, read(2, "building"))


@pytest.mark.parametrize("answer", [None, ["building"], True])
def test_auto_build_of_another_type_says_nothing_of_builds(answer: object) -> None:
    """An auto_build that is no text is a finding of its own, on the form of the answer."""
    body = {"ref": REF, "digest": DIGEST, "auto_build": answer}

    assert STARTS not in claims(publish(1, json=body, note={"auto_build": True}), read(2))


@pytest.mark.parametrize("answer", ["not_built", "limited", "failed"])
def test_auto_build_that_does_not_claim_a_build_is_unclear(answer: str) -> None:
    """A build that a limit refused may be told in any words, and reads not_built."""
    assert (STARTS, "indeterminate") in found(auto(answer), read(2))


def test_auto_build_that_a_limit_refuses_says_nothing() -> None:
    """A publish that is answered with 429 has built nothing, and claims nothing."""
    assert STARTS not in claims(auto(status=429), read(2))


def test_auto_build_that_was_cancelled_says_nothing() -> None:
    """A cancel between the publish and the read explains not_built."""
    cancel = exchange("cancelBuild", 202, seq=2, json={"status": "cancelling"})

    assert STARTS not in claims(auto(), cancel, read(3))


def test_publish_without_auto_build_builds_nothing() -> None:
    """Without auto_build the next read says not_built."""
    assert (ASKED, "held") in found(first(), read(2))


@pytest.mark.parametrize("status", ["building", "ready"])
def test_build_that_nobody_asked_for_is_found(status: str) -> None:
    """A build without auto_build and without a start breaks the claim."""
    assert broken(found(first(), read(2, status))) == {ASKED}


def test_auto_build_in_an_answer_that_was_not_asked_for_it_is_found() -> None:
    """The answer mentions auto_build only when it was asked for."""
    assert broken(found(first(auto_build="not_built"), read(2))) == {ASKED}


@pytest.mark.parametrize("status", [202, 401, 404, 0])
def test_build_after_any_start_proves_nothing(status: int) -> None:
    """Also a start that was refused may be what began a build; that is told by other rules."""
    assert ASKED not in claims(first(), exchange("startBuild", status, seq=2, json={}), read(3, "building"))


def test_failure_without_a_build_is_not_blamed_on_publishing() -> None:
    """A version that reads failed and that nobody built says nothing of auto_build."""
    assert ASKED not in claims(first(), read(2, "failed"))


def test_golden_of_an_equal_version_proves_nothing() -> None:
    """A version with the digest of another one may be ready because of that one."""
    assert ASKED not in claims(publish(5, OTHER_REF, content="same"), publish(6, content="hello"), read(7, "ready"))


def deleted(seq: int) -> Exchange:
    return exchange("deleteTemplate", seq=seq, json={"deleted": True})


@pytest.mark.parametrize(("status", "outcome"), [(201, "held"), (200, "held"), (409, "broken"), (422, "broken")])
def test_publish_after_a_delete_is_a_first_one(status: int, outcome: str) -> None:
    """What was deleted is no longer there to conflict with."""
    anew = publish(3, content="new", status=status, note={"form": "json"})

    assert (NEW, outcome) in found(first(), deleted(2), anew)


def test_publish_after_a_delete_during_a_build_is_left_alone() -> None:
    """What becomes of a build whose version is deleted is undocumented, so that it may still be in the way."""
    started = exchange("startBuild", 202, seq=2, json=build())
    anew = publish(4, content="new", status=409, note={"form": "json"})

    assert (NEW, "broken") not in found(first(), started, deleted(3), anew)


def test_publish_beside_a_delete_is_left_alone() -> None:
    """Which of the two came first is not known."""
    anew = publish(3, content="new", status=409, note={"form": "json"}, sent_at=2.005)

    assert (NEW, "broken") not in found(first(), deleted(2), anew)
