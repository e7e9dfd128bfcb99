"""Rules on publishing: each documented response passes, each other one breaks its claim."""

from dataclasses import replace
from typing import Any

from tests.rules.exchanges import DIGEST, OTHER_DIGEST, OTHER_REF, REF, publish
from tests.rules.judging import Evidence, cases, findings, outcome, story_rules
from tests.rules.stories import cancel, delete, forced, read, start, template
from touchstone.facts.exchange import Exchange

RULES = story_rules("publishing")
NEW, IDENTICAL = "publish.answers-201", "publish.republish-identical-is-accepted"
SPELLING, STABLE = "digest.ignores-spelling", "digest.is-stable"
OTHER, FORCE = "publish.other-content-is-409", "publish.force-replaces"
STARTS, ONLY_WHEN = "publish.auto-build-starts", "publish.auto-build-only-when-asked"
SECOND: dict[str, Any] = {"credential": "second"}
Story = list[Exchange]


def shows(moment: float, digest: str = DIGEST, **more: Any) -> Exchange:
    return read(moment, "not_built", digest=digest, **more)


def same(moment: float, form: str = "json", **more: Any) -> Exchange:
    return publish(moment, note={"form": form}, **more)


def other(moment: float, status: int = 201, digest: str = OTHER_DIGEST, **more: Any) -> Exchange:
    return publish(moment, content="new", status=status, digest=digest, note={"form": "json"}, **more)


def elsewhere(*statuses: int) -> Story:
    """Another version that is published several times."""
    more: Any = {"note": {"form": "json"}, "digest": "ef" * 32}
    return [publish(50 + n, OTHER_REF, status=s, **more) for n, s in enumerate(statuses)]


# --- answers to a publish ---------------------------------------------------------------------------------------------

FIRST = same(1)
RUNNING = [start(2), read(3)]


@cases(
    "claim story expected",
    {
        **{f"a new one, {code}": (NEW, [same(1, status=code)], "held") for code in (200, 201)},
        **{f"a new one, {code}": (NEW, [same(1, status=code)], "broken") for code in (202, 400, 403, 409, 422)},
        **{f"a new one, {code}": (NEW, [same(1, status=code)], "") for code in (0, 401, 429, 500)},
        **{
            f"403 to {key}": (NEW, [same(1, status=403, credential=key)], "")
            for key in ("none", "restricted", "longer")
        },
        "422 to the second account": (NEW, [same(1, status=422, **SECOND)], "broken"),
        "wrong on purpose": (NEW, [publish(1, status=422, note={"invalid": "schema"})], ""),
        "after a lost one": (NEW, [same(1, status=0), same(2, status=409)], ""),
        "after a delete": (NEW, [FIRST, delete(2), other(3)], "held"),
        "after a delete, 409": (NEW, [FIRST, delete(2), other(3, 409)], "broken held"),
        "after a delete of a running build": (NEW, [FIRST, start(2), delete(3), other(4, 409)], "held"),
        "beside a delete": (NEW, [FIRST, delete(2), other(3, 409, sent_at=2.005)], "held"),
        "the same": (IDENTICAL, [FIRST, same(2)], "held"),
        "the same, refused": (IDENTICAL, [FIRST, same(2, status=409)], "broken"),
        "the same, refused while building": (IDENTICAL, [FIRST, *RUNNING, same(4, status=409)], "broken"),
        "the same, one digest": (STABLE, [FIRST, same(2)], "held"),
        "the same, two digests": (STABLE, [FIRST, same(2, digest=OTHER_DIGEST)], "broken"),
        "the same, a digest less": (STABLE, [FIRST, same(2, digest="")], ""),
        "another form": (SPELLING, [FIRST, same(2, "yaml")], "held"),
        "another form, two digests": (SPELLING, [FIRST, same(2, "sugar", digest=OTHER_DIGEST)], "broken"),
        "another form, a conflict": (SPELLING, [FIRST, same(2), same(3, "sugar", status=409)], "broken"),
        "another form, never repeated": (SPELLING, [FIRST, same(2, "sugar", status=409)], ""),
        "another form, never repeated, is fine": (IDENTICAL, [FIRST, same(2, "sugar", status=409)], ""),
        "another form, all are conflicts": (IDENTICAL, [*elsewhere(201, 409), FIRST, same(2, "yaml", status=409)],
            "broken"),
        "other content": (OTHER, [FIRST, other(2, 409)], "held"),
        **{f"other content, {code}": (OTHER, [FIRST, other(2, code)], "broken") for code in (200, 201, 422)},
        "other content of another account": (OTHER, [FIRST, other(2, **SECOND)], ""),
        "other content, one digest everywhere": (OTHER,
            [publish(1, OTHER_REF, content="other"), same(3), other(4, digest=DIGEST)], ""),
        "force, the new digest": (FORCE, [FIRST, forced(3), shows(4, OTHER_DIGEST)], "held"),
        "force, the new document": (FORCE, [FIRST, forced(3), template(4, "new", OTHER_DIGEST)], "held"),
        "force, the old document": (FORCE, [FIRST, forced(3), template(4, "hello", OTHER_DIGEST)], "broken"),
        "force, the old digest": (FORCE, [FIRST, forced(3), shows(4)], "broken"),
        "force, refused": (FORCE, [FIRST, forced(3, status=409)], "broken"),
        "force, refused while building": (FORCE, [FIRST, *RUNNING, forced(4, status=409)], "indeterminate"),
        "force, 400 while building": (FORCE, [FIRST, *RUNNING, forced(4, status=400)], "broken"),
        "force, the same while building": (IDENTICAL, [FIRST, *RUNNING, forced(4, "hello", status=409)],
            "indeterminate"),
        "force, the same at rest": (IDENTICAL, [FIRST, shows(3), forced(4, "hello", status=409)], "broken"),
        "force, never read": (FORCE, [FIRST, forced(3)], ""),
        "force without effect, and the same": (OTHER, [FIRST, forced(3, digest=DIGEST), template(4), same(5)], ""),
        "taken without force": (STABLE, [FIRST, other(2, digest=DIGEST), forced(3)], ""),
    },
)  # fmt: skip
def test_publish_is_judged_by_what_the_version_held(claim: str, story: Story, expected: str) -> None:
    assert outcome(RULES, claim, *story) == expected


@cases(
    "story expected",
    {
        "the same": ([FIRST, same(2, status=409)], [(IDENTICAL, (1, 2))]),
        "another form": ([FIRST, same(2), same(3, "yaml", status=409)], [(SPELLING, (2, 3))]),
        "other content": ([FIRST, other(2)], [(OTHER, (1, 2))]),
        "force refused": ([FIRST, forced(2, status=422)], [(FORCE, (1, 2))]),
        "a status alone": ([FIRST, forced(2), shows(3)], [(FORCE, (2, 3))]),
        "a build that was not begun": ([publish(1, auto_build="building", note={"auto_build": True}), shows(2)],
            [(STARTS, (1, 2))]),
        "a build that was begun": ([FIRST, read(2)], [(ONLY_WHEN, (1, 2))]),
    },
)  # fmt: skip
def test_finding_on_a_publish_has_what_was_there(story: Story, expected: Evidence) -> None:
    assert findings(RULES, *story) == expected


# --- overlapping publishes --------------------------------------------------------------------------------------------


def together(one: int, two: int, *beside: Exchange, **note: Any) -> Story:
    """Two overlapping publishes of different contents as one version."""
    first = publish(5, content="one", digest="1" * 64, status=one, sent_at=5.0)
    return [first, publish(6, content="two", digest="2" * 64, status=two, sent_at=5.005, note=note), *beside]


def copies(*statuses: int, **more: Any) -> Story:
    """Overlapping publishes of one content."""
    return [same(5 + n, sent_at=5.0 + n / 1000, status=status, **more) for n, status in enumerate(statuses)]


def touching(one: Exchange, two: Exchange) -> Story:
    return [one, replace(two, sent_at=one.done_at, done_at=one.done_at + 1)]


DELETE = delete(7, sent_at=5.001)


@cases(
    "claim story expected",
    {
        "two contents, a conflict": (OTHER, together(201, 409), "held"),
        "two contents, both taken": (OTHER, together(201, 201), "broken"),
        "force": (OTHER, together(201, 201, force=True), ""),
        "two conflicts": (OTHER, together(409, 409), ""),
        "a limit": (OTHER, together(201, 429), ""),
        "a delete beside the first": (OTHER, together(201, 201, DELETE), ""),
        "a delete beside the second": (OTHER, together(201, 201, replace(DELETE, sent_at=5.012, done_at=5.02)), ""),
        "one content in two": (OTHER, together(201, 201, content="one"), ""),
        "another before": (OTHER, together(201, 201, publish(4, content="zero", digest="0" * 64)), "broken"),
        "copies": (IDENTICAL, copies(201, 201), "held"),
        "copies, a conflict": (IDENTICAL, copies(201, 409), "broken"),
        "three copies": (IDENTICAL, copies(201, 200, 409), "broken held"),
        **{f"copies, {pair}": (IDENTICAL, copies(*pair), "") for pair in ((201, 429), (201, 401), (409, 409))},
        "copies in two forms": (IDENTICAL, [*copies(201), same(6, "yaml", status=409, sent_at=5.001)], ""),
        "a copy after a lost one": (IDENTICAL, [*copies(0), same(9, status=201)], "held"),
        "a conflict after a lost copy": (IDENTICAL, [*copies(0), same(9, status=409)], "broken"),
        "a conflict after other lost content": (IDENTICAL, [*copies(0), same(9, status=409, content="else")], ""),
        "copies that touch": (IDENTICAL, touching(*copies(201, 201)), "held"),
        "copies of nobody knows what": (IDENTICAL, [replace(each, note={}) for each in copies(201, 409)], ""),
    },
)  # fmt: skip
def test_simultaneous_publishes(claim: str, story: Story, expected: str) -> None:
    assert outcome(story_rules("publishing"), claim, *story) == expected


# --- auto_build -------------------------------------------------------------------------------------------------------

NOTE: dict[str, Any] = {"note": {"auto_build": True}}


def auto(answer: Any = "building", **more: Any) -> Exchange:
    return publish(1.0, auto_build=answer, **NOTE, **more)


@cases(
    "claim story expected",
    {
        **{
            f"it reads {status}": (STARTS, [auto(), read(2.0, status)], "held")
            for status in ("building", "ready", "failed")
        },
        "nothing begins": (STARTS, [auto(), shows(2.0)], "broken"),
        "a golden that is not there": (STARTS, [auto("ready"), shows(2.0)], "broken"),
        "no word on it": (STARTS, [auto(None), read(2.0)], "broken"),
        "a list": (STARTS, [publish(1.0, json={"ref": REF, "auto_build": ["building"]}, **NOTE), shows(2.0)], ""),
        **{
            f"it says {answer}": (STARTS, [auto(answer), shows(2.0)], "indeterminate")
            for answer in ("not_built", "failed")
        },
        "a limit": (STARTS, [auto(status=429), shows(2.0)], ""),
        "never read": (STARTS, [auto()], ""),
        "read with the answer": (STARTS, [auto(), shows(1.5)], "broken"),
        "read before the answer": (STARTS, [auto(), shows(1.4), read(3.0, "ready")], "held"),
        "replaced": (STARTS, [auto(), forced(2.2), shows(2.0)], ""),
        "cancelled": (STARTS, [auto(), cancel(1.7), shows(2.0)], ""),
        "cancelled before": (STARTS, [cancel(0.5), auto(), shows(2.0)], "broken"),
        "cancelled beside it": (STARTS, [cancel(0.6), auto(), shows(2.0)], ""),
        "cancelled beside the read": (STARTS, [auto(), cancel(2.4), shows(2.0)], ""),
        "nobody asked": (ONLY_WHEN, [same(1.0), shows(2.0)], "held"),
        "nobody asked, building": (ONLY_WHEN, [same(1.0), read(2.0)], "broken"),
        "nobody asked, failed": (ONLY_WHEN, [same(1.0), read(2.0, "failed")], ""),
        "answered after a refusal": (ONLY_WHEN, [same(1.0, status=409), same(2.0, auto_build="building")], "broken"),
        "read before it was answered": (ONLY_WHEN, [same(1.0), read(1.4)], ""),
        **{
            f"after a start, {code}": (ONLY_WHEN, [same(1.0), start(1.7, code), read(2.0)], "")
            for code in (202, 401, 404, 0)
        },
        "a start beside the read": (ONLY_WHEN, [same(1.0), start(2.4), read(2.0)], ""),
        "a start after the read": (ONLY_WHEN, [same(1.0), start(2.5), read(2.0)], "broken"),
        "after a cancel": (ONLY_WHEN, [same(1.0), cancel(1.7, 404), read(2.0)], "broken"),
        "an equal version": (ONLY_WHEN, [publish(0, OTHER_REF, content="same"), same(1.0), read(2.0, "ready")], ""),
    },
)  # fmt: skip
def test_publish_builds_where_that_is_requested_only(claim: str, story: Story, expected: str) -> None:
    assert outcome(RULES, claim, *story) == expected
