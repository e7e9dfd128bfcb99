"""Rules on digests: stable digests pass in any order of requests, and each change has the right cause."""

from typing import Any

from tests.rules.exchanges import OTHER_DIGEST, OTHER_REF, given, publish
from tests.rules.judging import Evidence, cases, findings, story_rules, upheld, verdicts
from tests.rules.stories import delete, forced, read, reuse, start, template
from touchstone.facts.exchange import Exchange

RULES = story_rules("digests")
PUBLISHED, STABLE, FOLLOWS = "digest.is-the-published-one", "digest.is-stable", "digest.follows-content"
CONFLICT, REFUSED = "publish.conflict-keeps-content", "auth.refused-changes-nothing"
SHARED, FLAGGED = "reuse.same-digest-elsewhere", "reuse.is-flagged"
THIRD_REF = "default/touchstone-t1-third@1.0.0"
NEW: dict[str, Any] = {"digest": OTHER_DIGEST}
Story = tuple[Exchange, ...]


def shows(moment: float, **more: Any) -> Exchange:
    return read(moment, "not_built", **more)


def conflict(moment: float, **more: Any) -> Exchange:
    facts: dict[str, Any] = {"content": "new", "status": 409} | more
    return publish(moment, **facts)


def keyless(moment: float, **more: Any) -> Exchange:
    return conflict(moment, **({"status": 401, "credential": "none", "note": {"force": True}} | more))


@cases(
    "story expected",
    {
        "one digest everywhere": ((shows(2), start(3), template(4), read(5)), []),
        "a read": ((shows(2, **NEW),), [(PUBLISHED, (1, 2))]),
        "a start": ((start(2, **NEW),), [(PUBLISHED, (1, 2))]),
        "always wrong": ((shows(2, **NEW), shows(3, **NEW)), [(PUBLISHED, (1, 2))]),
        "a change": ((shows(2), template(3), shows(4, **NEW)), [(STABLE, (2, 4))]),
        "no digest": ((shows(2, digest=None),), []),
        "another account": ((shows(2, credential="second", **NEW),), []),
        "content replaced": ((shows(2), forced(3), shows(4, **NEW), delete(5), publish(6), shows(7)), []),
        "beside a publish": ((forced(3, done_at=5.0), shows(4), shows(4, **NEW)), []),
        "the old one after force": ((forced(3), shows(4)), []),
        "the old one where reads show the new": ((forced(3), shows(4, **NEW), start(5)), [(PUBLISHED, (3, 5))]),
        "the old one without force": ((publish(2, content="new", **NEW), shows(3)), [(PUBLISHED, (2, 3))]),
        "nobody's after force": ((forced(2), shows(3, digest="ef" * 32)), [(PUBLISHED, (2, 3))]),
        "a conflict that changes it": ((shows(2), conflict(3), shows(4, **NEW)), [(CONFLICT, (3, 4))]),
        "a conflict, never read before": ((conflict(3), shows(4, **NEW), shows(5, **NEW), template(6, **NEW)),
            [(CONFLICT, (3, 4)), (CONFLICT, (3, 6))]),
        "a conflict that changes the document": ((template(2), conflict(3), template(4, "new")),
            [(CONFLICT, (1, 3, 4))]),
        "a conflict whose document is read": ((conflict(2), shows(3), template(4, "new")), [(CONFLICT, (1, 2, 4))]),
        "a conflict, and the document": ((conflict(2), shows(3), template(4)), []),
        "a conflict, and nobody's document": ((conflict(2), shows(3), template(4, "elsewhere")), []),
        "a conflict that changed nothing": ((conflict(3), shows(4), template(5, **NEW)), [(PUBLISHED, (1, 5))]),
        "a conflict, and then the digest from before": ((shows(2), conflict(3), shows(4, **NEW), shows(5)),
            [(STABLE, (2, 4)), (STABLE, (4, 5))]),
        "a conflict, with wrong digests elsewhere": ((conflict(3), shows(4, **NEW), publish(5, THIRD_REF),
            read(6, "not_built", ref=THIRD_REF, **NEW)), [(PUBLISHED, (1, 4))]),
        "a conflict cleared by a read": ((conflict(2, done_at=3.0), shows(3), shows(4, **NEW)), [(STABLE, (3, 4))]),
        "a read answered when it was sent": ((shows(2, done_at=3.0), conflict(3), shows(4, **NEW)),
            [(CONFLICT, (3, 4))]),
        "a read beside it": ((shows(2, done_at=3.005), conflict(3), shows(4, **NEW)), [(CONFLICT, (3, 4))]),
        "no key": ((shows(2), keyless(3), shows(4, **NEW)), [(REFUSED, (3, 4))]),
    },
)  # fmt: skip
def test_digest_of_a_version(story: Story, expected: Evidence) -> None:
    assert findings(RULES, publish(1), *story) == expected


@cases(
    "story expected",
    {
        "three answers": ((shows(2), shows(3)), [(PUBLISHED, (1, 2)), (STABLE, (2, 3)), (PUBLISHED, (1, 3))]),
        "a conflict": ((conflict(2), shows(3)), [(PUBLISHED, (1, 3)), (CONFLICT, (1, 2, 3))]),
        "no key": ((keyless(2), shows(3)), [(PUBLISHED, (1, 3)), (REFUSED, (1, 2, 3))]),
        "a conflict, once": ((shows(2), conflict(3, sent_at=1.9, done_at=2.0), template(4)),
            [(PUBLISHED, (1, 2)), (CONFLICT, (1, 3, 2)), (PUBLISHED, (1, 4))]),
    },
)  # fmt: skip
def test_digest_that_stays_upholds(story: Story, expected: Evidence) -> None:
    assert upheld(RULES, publish(1), *story) == expected


def test_given_version_has_a_stable_digest() -> None:
    assert upheld(RULES, shows(1), shows(2), given=given()) == [(STABLE, (1, 2))]
    assert findings(RULES, shows(1), shows(2, **NEW), given=given()) == [(STABLE, (1, 2))]


# --- one digest for several contents ----------------------------------------------------------------------------------


def other(seq: int, content: str = "other", ref: str = OTHER_REF, **more: Any) -> Exchange:
    return publish(seq, ref, content=content, **more)


@cases(
    "story expected",
    {
        "two digests": ((publish(1), other(2, **NEW)), {(FOLLOWS, "held")}),
        "equal steps": ((publish(1), other(2, "hello again", note={"marker": "marker-hello"})), set()),
        "no marker": ((publish(1), other(2, note={"marker": ""})), set()),
        "no marker here": ((publish(1, note={"marker": ""}), other(2)), set()),
        "two accounts": ((publish(1), publish(2, content="same", credential="second", note={"marker": "marker-hello"})),
            set()),
        "replaced": ((publish(1), forced(3, digest="ab" * 32), template(4, "new")), {(FOLLOWS, "broken")}),
        "not replaced": ((publish(1), forced(3, digest="ab" * 32), template(4)), {(FOLLOWS, "held")}),
        "maybe ignored": ((publish(1), publish(3, content="new")), {(FOLLOWS, "held")}),
    },
)  # fmt: skip
def test_different_contents_have_different_digests(story: Story, expected: set[tuple[str, str]]) -> None:
    assert {verdict for verdict in verdicts(RULES, *story) if verdict[0] == FOLLOWS} == expected


def test_one_digest_shows_the_earliest_publish_in_the_order_of_sending() -> None:
    third = other(1, "third", ref=THIRD_REF)

    assert findings(RULES, third, publish(2), other(3)) == [(FOLLOWS, (1, 2))]
    assert findings(RULES, publish(1), other(2)) == [(FOLLOWS, (1, 2))]
    assert findings(RULES, publish(1), other(2), ref=OTHER_REF) == [(FOLLOWS, (1, 2))]


# --- goldens of other versions ----------------------------------------------------------------------------------------

SAME: dict[str, Any] = {"content": "same", "note": {"marker": "marker-hello"}}
FOUND = {(SHARED, "held"), (FLAGGED, "held")}
NONE: set[tuple[str, str]] = set()


def golden(seq: int, state: str = "ready", **more: Any) -> Exchange:
    return read(seq, state, **({"ref": OTHER_REF} | more))


def same(**more: Any) -> Exchange:
    return publish(2, **({"ref": OTHER_REF} | SAME | more))


@cases(
    "story expected",
    {
        "reused": ((same(), golden(4), reuse(6.0)), FOUND),
        "built again": ((same(), golden(4), start(6.0)), {(SHARED, "broken")}),
        "no flag": ((same(), golden(4), reuse(6.0, reused=False)), {(SHARED, "held"), (FLAGGED, "broken")}),
        "each start by itself": ((same(), reuse(2.5), golden(4), reuse(6.0)), FOUND),
        "published beside the read": ((same(done_at=4.1), golden(4), reuse(6.0)), NONE),
        "not ready": ((same(), golden(4, "building"), reuse(6.0)), NONE),
        "deleted beside the start": ((same(), golden(4), delete(6.4, ref=OTHER_REF), reuse(6.0)), NONE),
        "deleted itself": ((same(), golden(4), delete(6.4), reuse(6.0)), NONE),
        "another digest": ((same(**NEW), golden(4), reuse(6.0)), NONE),
        "another account": ((same(credential="second"), golden(4, credential="second"), reuse(6.0)), NONE),
        "its own": ((read(4, "ready"), reuse(6.0)), NONE),
        "a refused start": ((same(), golden(4), reuse(6.0, 409)), NONE),
        "another account's start": ((same(), golden(4), reuse(6.0, credential="second")), NONE),
        "a read": ((same(), golden(4), read(6.0, "ready")), NONE),
    },
)  # fmt: skip
def test_start_finds_the_golden_of_another_version(story: Story, expected: set[tuple[str, str]]) -> None:
    found = {verdict for verdict in verdicts(RULES, publish(1), *story) if verdict[0] in (SHARED, FLAGGED)}

    assert found == expected


def test_golden_of_another_version_needs_a_digest_and_a_publish() -> None:
    assert not {SHARED, FLAGGED} & {c for c, _ in verdicts(RULES, same(), golden(4), reuse(6.0))}
    bare = (publish(1, digest=""), same(digest=""), golden(4), reuse(6.0))
    assert not {SHARED, FLAGGED} & {c for c, _ in verdicts(RULES, *bare)}
    assert findings(RULES, publish(1), same(), golden(4), start(9)) == [(SHARED, (4, 9))]
