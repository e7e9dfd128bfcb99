"""Rules on publishing, at their edges, and what their findings say and show."""

from dataclasses import replace
from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, OTHER_REF, REF, broken, build, exchange, publish, story_rules, story_verdicts
from tests.rules.sentences import shown_by, story_findings
from touchstone.facts.exchange import Exchange
from touchstone.rules.publishing import (
    auto_build,
    identical_content,
    other_content,
    simultaneous_contents,
    simultaneous_copies,
)
from touchstone.rules.rule import describe

IDENTICAL, SPELLING, STABLE = "publish.republish-identical-is-accepted", "digest.ignores-spelling", "digest.is-stable"
OTHER, FORCE = "publish.other-content-is-409", "publish.force-replaces"
STARTS, ASKED = "publish.auto-build-starts", "publish.auto-build-only-when-asked"
NEW_DIGEST = "cd" * 32


def made(at: float, form: str = "json", **more: Any) -> Exchange:
    note = {"form": form} | more.pop("note", {})
    return publish(round(at * 10), sent_at=at, done_at=at + 0.5, note=note, **more)


def forced(at: float, content: str = "new", digest: str = NEW_DIGEST, **more: Any) -> Exchange:
    return made(at, content=content, digest=digest, note={"force": True}, **more)


def request(operation: str, at: float, status: int = 202, **more: Any) -> Exchange:
    return exchange(operation, status, **({"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5} | more))


def start(at: float, status: int = 202) -> Exchange:
    return request("startBuild", at, status, json=build())


def read(at: float, status: str = "not_built", digest: str = DIGEST) -> Exchange:
    return request("getBuild", at, 200, json=build(status, digest=digest))


def template(at: float, content: str, digest: str) -> Exchange:
    document = {"build": {"run": [f"echo marker-{content}"]}}
    return request("getTemplate", at, 200, json={"ref": REF, "digest": digest, "template": document})


def said(*story: Exchange) -> list[tuple[str, tuple[int, ...], str, str]]:
    return story_findings(story_rules("publishing"), *story)


def test_findings_on_the_same_content_show_both_publishes() -> None:
    """What was there before, and the publish that says otherwise."""
    refused = {"json": {"error": "no"}, "status": 409}

    assert said(made(1), made(2, **refused)) == [(IDENTICAL, (10, 20), "201 or 200", '409 {"error": "no"}')]
    assert said(made(1), made(2), made(3, "yaml", **refused)) == [
        (SPELLING, (20, 30), "no conflict with the same content", '409 {"error": "no"}')
    ]
    same = "the same digest for the same content"
    assert said(made(1), made(2, digest=NEW_DIGEST)) == [(STABLE, (10, 20), same, f"{NEW_DIGEST}, before {DIGEST}")]
    assert said(made(1), made(2, "yaml", digest="ef")) == [(SPELLING, (10, 20), same, f"ef, before {DIGEST}")]


def test_findings_on_other_content_show_what_was_there() -> None:
    """The publish before, the one that should have been refused or have replaced it, and the answer that shows it."""
    accepted = made(2, content="new", json={"ref": REF})

    assert said(made(1), accepted) == [(OTHER, (10, 20), "409", f'201 {{"ref": "{REF}"}}')]
    assert said(made(1), forced(2, status=422, json={"error": "no"})) == [
        (FORCE, (10, 20), "201 or 200", '422 {"error": "no"}')
    ]
    stale = [read(3, digest=DIGEST), template(4, "hello", DIGEST)]
    assert said(made(1), forced(2), *stale) == [
        (FORCE, (20, 40), "the new content", f"what was there before, digest {DIGEST}")
    ]


def test_findings_on_auto_build_show_the_read_that_proves_it() -> None:
    """The publish alone where its answer is wrong; with a read where that one is."""
    auto = {"note": {"auto_build": True}}

    assert said(made(1, json={"ref": REF}, **auto)) == [
        (STARTS, (10,), "auto_build with the status of the build", f'201 {{"ref": "{REF}"}}')
    ]
    assert said(made(1, auto_build="building", **auto), read(2)) == [
        (STARTS, (10, 20), "status building, ready or failed", "status 'not_built'")
    ]
    assert said(made(1, auto_build="building")) == [
        (ASKED, (10,), "no auto_build in the answer", "auto_build 'building'")
    ]
    assert said(made(1), read(2, "building")) == [
        (ASKED, (10, 20), "status not_built", "status 'building' before anybody started a build")
    ]


def test_claims_that_hold_show_why() -> None:
    """The exchanges that uphold a claim are those that could have broken it."""
    assert shown_by((identical_content,), made(1), made(2)) == [(IDENTICAL, (10, 20)), (STABLE, (10, 20))]
    assert shown_by((other_content,), made(1), made(2, content="new", status=409)) == [(OTHER, (10, 20))]
    assert shown_by((other_content,), made(1), forced(2), template(3, "new", NEW_DIGEST)) == [(FORCE, (20, 30))]
    assert shown_by((auto_build,), made(1), read(2)) == [(ASKED, (10, 20))]
    asked = made(1, note={"auto_build": True}, auto_build="building")
    assert shown_by((auto_build,), asked, read(2, "building")) == [(STARTS, (10, 20))]


@pytest.mark.parametrize("status", [400, 410])
def test_forced_publish_that_is_refused_otherwise_than_by_conflict_is_found(status: int) -> None:
    """Only a conflict can be about a running build."""
    running = [made(1), start(2), read(3, "building")]

    assert broken(story_verdicts(story_rules("publishing"), *running, forced(4, status=status))) == {FORCE}
    assert broken(story_verdicts(story_rules("publishing"), *running, forced(4, "hello", DIGEST, status=status))) == {
        IDENTICAL
    }


@pytest.mark.parametrize(("content", "claim"), [("new", FORCE), ("hello", IDENTICAL)])
def test_conflict_of_a_forced_publish_may_be_about_a_running_build(content: str, claim: str) -> None:
    """What force does to a running build is undocumented; at rest nothing explains a conflict."""
    conflict = forced(4, content, status=409)
    running = story_verdicts(story_rules("publishing"), made(1), start(2), read(3, "building"), conflict)
    rest = story_verdicts(story_rules("publishing"), made(1), read(3), conflict)

    assert (claim, "indeterminate") in running
    assert broken(running) == set()
    assert broken(rest) == {claim}


def test_conflict_without_force_is_about_the_content_also_while_it_builds() -> None:
    """Nothing of the build is touched."""
    running = [made(1), start(2), read(3, "building")]

    assert broken(story_verdicts(story_rules("publishing"), *running, made(4, status=409))) == {IDENTICAL}
    assert (OTHER, "held") in story_verdicts(story_rules("publishing"), *running, made(4, content="new", status=409))


def test_each_publish_is_judged_by_itself() -> None:
    """One that says nothing, before another, takes nothing away from it."""
    other = forced(5, "third", status=400, json={})

    assert broken(story_verdicts((other_content,), made(1), made(2), other)) == {FORCE}
    refused = made(1, status=409)
    assert broken(story_verdicts((auto_build,), refused, made(2, auto_build="building"))) == {ASKED}


def test_second_account_is_judged_like_the_first() -> None:
    """It is on the same plan."""
    answer = publish(1, status=422, credential="second")

    assert broken(story_verdicts(story_rules("publishing"), answer)) == {"publish.answers-201"}


def test_digest_that_one_answer_leaves_out_is_not_compared() -> None:
    """An empty digest differs from none."""
    for digests in (("", DIGEST), (DIGEST, "")):
        story = [made(1, digest=digests[0]), made(2, digest=digests[1])]
        assert story_verdicts((identical_content,), *story) == {(IDENTICAL, "held")}


def test_conflict_everywhere_is_not_about_the_spelling() -> None:
    """
    A server that refuses the same content in the same spelling, too, breaks the claim on republishing; where that was
    never tried, a conflict is blamed on neither.
    """
    elsewhere = [publish(1, OTHER_REF, note={"form": "json"}), publish(2, OTHER_REF, status=409, note={"form": "json"})]
    story = [*elsewhere, made(3), made(4, "yaml", status=409)]
    looked = [exchange(seq=50, ref=OTHER_REF, json=build("not_built", OTHER_REF))]

    assert broken(story_verdicts((identical_content,), *story, *looked)) == {IDENTICAL}
    assert broken(story_verdicts((identical_content,), *story[2:], *looked)) == set()


@pytest.mark.parametrize(
    ("elsewhere", "claims"),
    [
        (publish(1, OTHER_REF, content="other"), set()),
        (publish(1, OTHER_REF, content="other", digest=NEW_DIGEST), {OTHER}),
        (publish(1, OTHER_REF, content="other", digest=NEW_DIGEST, note={"marker": ""}), {OTHER}),
        (publish(1, OTHER_REF, content="other", note={"marker": "marker-new"}), {OTHER}),
        (publish(1, OTHER_REF, content="other", note={"marker": ""}), {OTHER}),
    ],
)
def test_server_that_gives_one_digest_to_all_sees_no_other_content(elsewhere: Exchange, claims: set[str]) -> None:
    """Where another version with other output has the digest, that is the fault, and not what follows from it."""
    assert broken(story_verdicts((other_content,), elsewhere, made(3), made(4, content="new"))) == claims


def test_answers_to_starts_do_not_show_whether_content_was_replaced() -> None:
    """A start may still tell the old digest; nothing is shown where only it was asked for."""
    shown = request("startBuild", 3, json=build(digest=DIGEST))

    assert story_verdicts((other_content,), made(1), forced(2), shown) == set()
    assert story_verdicts((other_content,), made(1), forced(2)) == set()


def test_template_shows_replaced_content_better_than_a_status() -> None:
    """The read with the document is what a finding shows."""
    status, document = read(3, digest=DIGEST), template(4, "hello", DIGEST)

    assert [evidence for _, evidence, *_ in said(made(1), forced(2), status, document)] == [(20, 40)]
    assert [evidence for _, evidence, *_ in said(made(1), forced(2), status)] == [(20, 30)]


def asked(*story: Exchange, answer: str = "building") -> set[tuple[str, str]]:
    publish_ = made(1, note={"auto_build": True}, auto_build=answer)
    return story_verdicts((auto_build,), publish_, *story)


@pytest.mark.parametrize("answer", ["building", "ready"])
def test_build_that_a_publish_promises_is_looked_for(answer: str) -> None:
    """In the first read that was sent when the publish was answered."""
    assert asked(read(1.5), answer=answer) == {(STARTS, "broken")}
    assert asked(read(1.4), read(3, "ready"), answer=answer) == {(STARTS, "held")}


@pytest.mark.parametrize(
    ("story", "judged"),
    [
        ([], False),
        ([read(2)], True),
        ([forced(2.2), read(2)], False),
        ([request("cancelBuild", 1.7), read(2)], False),
        ([request("cancelBuild", 0.4, seq=1), read(2)], True),
        ([request("cancelBuild", 0.5, seq=1), read(2)], True),
        ([request("cancelBuild", 0.6, seq=1), read(2)], False),
        ([request("cancelBuild", 2.4), read(2)], False),
        ([request("cancelBuild", 2.5), read(2)], True),
        ([request("cancelBuild", 3), read(2)], True),
    ],
)
def test_build_that_a_publish_promises_may_be_cancelled_or_replaced(story: list[Exchange], judged: bool) -> None:
    """A cancel that was over before, or sent after, explains nothing."""
    assert asked(*story) == ({(STARTS, "broken")} if judged else set())


@pytest.mark.parametrize(
    ("story", "judged"),
    [
        ([read(1.5, "building")], True),
        ([read(1.4, "building")], False),
        ([start(1.7, 429), read(2, "building")], False),
        ([start(2.4), read(2, "building")], False),
        ([start(2.5), read(2, "building")], True),
        ([request("cancelBuild", 1.7, 404), read(2, "building")], True),
    ],
)
def test_build_that_nobody_asked_for_is_found_unless_a_start_explains_it(story: list[Exchange], judged: bool) -> None:
    """Also one that was refused; one sent after the answer of the read does not."""
    assert story_verdicts((auto_build,), made(1), *story) == ({(ASKED, "broken")} if judged else set())


def together(one: int, other: int, *beside: Exchange, **note: Any) -> list[tuple[str, str]]:
    """What is said of two contents that were published as one version at the same moment."""
    first = publish(5, content="one", digest="1" * 64, status=one, sent_at=5.0)
    second = publish(6, content="other", digest="2" * 64, status=other, sent_at=5.005, note=note)
    return sorted(story_verdicts((simultaneous_contents,), first, second, *beside))


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [(201, 409, "held"), (409, 200, "held"), (201, 201, "broken"), (201, 200, "broken")],
)
def test_one_of_two_simultaneous_contents_is_a_conflict(one: int, other: int, outcome: str) -> None:
    """Whichever came first, the other one finds other content there."""
    assert together(one, other) == [(OTHER, outcome)]


def test_finding_on_simultaneous_contents_shows_both() -> None:
    """Both publishes, in the order in which they were sent."""
    first = publish(5, content="one", digest="1" * 64, sent_at=5.0)
    second = publish(6, content="other", digest="2" * 64, sent_at=5.005)
    actual = f"{describe(first)} and {describe(second)}"

    assert story_findings((simultaneous_contents,), first, second) == [(OTHER, (5, 6), "409 for one of them", actual)]


def test_simultaneous_contents_that_may_both_be_right_are_left_alone() -> None:
    """With force, for the same content, with a delete in between, one after the other, and where both are refused."""
    delete = exchange("deleteTemplate", seq=7, json={"deleted": True}, sent_at=5.001)
    apart = [publish(5, content="one"), publish(6, content="other")]
    same = [publish(5, content="one", sent_at=5.0), publish(6, content="one", sent_at=5.005)]

    assert together(201, 201, force=True) == together(409, 409) == together(201, 429) == []
    assert together(201, 201, delete) == []
    assert together(201, 201, content="one") == []
    assert together(201, 201, replace(delete, sent_at=5.012, done_at=5.02)) == []
    touching = [publish(5, content="one", sent_at=5.0), publish(6, content="other", digest="ef" * 32, sent_at=5.01)]
    for story in (apart, same, touching, [replace(e, seq=11 - e.seq) for e in touching]):
        assert story_verdicts((simultaneous_contents,), *story) == set()


@pytest.mark.parametrize(
    ("first", "outcome"),
    [
        (publish(4, content="zero", digest="0" * 64, sent_at=4.0), "broken"),
        (publish(4, content="one", digest="1" * 64, sent_at=4.999), "broken"),
        (publish(4, content="zero", digest="1" * 64, sent_at=4.999), "broken"),
    ],
    ids=["earlier", "the same", "with the same digest"],
)
def test_each_pair_of_simultaneous_contents_is_judged(first: Exchange, outcome: str) -> None:
    """A pair of which nothing can be said takes nothing away from the next one."""
    assert (OTHER, outcome) in together(201, 201, first)


def test_simultaneous_contents_that_are_both_refused_say_nothing_of_the_others() -> None:
    """Two conflicts, and the content that they are in conflict with."""
    third = publish(7, content="third", digest="3" * 64, sent_at=5.008)
    assert set(together(409, 409, third)) == {(OTHER, "held")}


def copies(*statuses: int, **more: Any) -> list[Exchange]:
    """What was published several times at the same moment."""
    note = {"form": "json"} | more.pop("note", {})
    return [
        publish(5 + n, sent_at=5.0 + n / 1000, status=status, note=note, **more) for n, status in enumerate(statuses)
    ]


def of_copies(*story: Exchange) -> set[tuple[str, str]]:
    return story_verdicts((simultaneous_copies,), *story)


@pytest.mark.parametrize(
    ("statuses", "outcomes"),
    [((201, 201), {"held"}), ((201, 409), {"broken"}), ((409, 200), {"broken"}), ((201, 200, 409), {"held", "broken"})],
)
def test_simultaneous_copies_are_in_conflict_with_nothing(statuses: tuple[int, ...], outcomes: set[str]) -> None:
    """Whichever came first, the others find what they bring."""
    assert of_copies(*copies(*statuses)) == {(IDENTICAL, outcome) for outcome in outcomes}


def test_each_pair_of_copies_is_judged() -> None:
    """A pair of which nothing can be said takes nothing away from the next one."""
    assert of_copies(publish(4, sent_at=4.0, note={"form": "json"}), *copies(201, 409)) == {(IDENTICAL, "broken")}


def test_finding_on_simultaneous_copies_shows_both() -> None:
    """The conflict comes last."""
    refused, accepted = copies(409, 201)

    assert story_findings((simultaneous_copies,), refused, accepted) == [
        (IDENTICAL, (6, 5), "201 or 200 for both", f"{describe(refused)} and {describe(accepted)}")
    ]


def test_copies_that_may_be_in_conflict_are_left_alone() -> None:
    """With other content there, in other forms, one after the other, and where a limit or a key is in the way."""
    one, other = copies(201, 409)
    touching = [one, replace(other, sent_at=one.done_at, done_at=one.done_at + 1)]

    assert of_copies(one, other, publish(3, content="before", sent_at=3.0)) == set()
    assert of_copies(one, replace(other, note=other.note | {"form": "yaml"})) == set()
    assert of_copies(*touching) == of_copies(*(replace(e, seq=11 - e.seq) for e in touching)) == set()
    for statuses in ((201, 429), (201, 401), (409, 409), (401, 201)):
        assert of_copies(*copies(*statuses)) == set()


def test_what_nobody_knows_is_no_copy() -> None:
    """Two publishes of a file that does not tell what they hold may hold different things."""
    unknown = [replace(each, note={"force": False}) for each in copies(201, 409)]
    assert of_copies(*unknown) == set()
