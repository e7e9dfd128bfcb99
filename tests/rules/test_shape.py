"""Rules on the body of one successful answer."""

from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, REF, UNKNOWN_REF, broken, build, exchange, history, publish, verdicts
from touchstone.facts.exchange import Exchange
from touchstone.rules import errors

RULES = (
    errors.documented_object,
    errors.template_digest,
    errors.fields_by_state,
    errors.own_ref,
    errors.says_cancelling,
    errors.says_deleted,
)


PUBLISHED = {"ref": REF, "digest": DIGEST, "published": "2026-03-14T09:26:53Z"}


def start(**body: Any) -> Exchange:
    return exchange("startBuild", 202, json=build(**body))


def read(body: Any) -> Exchange:
    return exchange("getBuild", json=body)


def without(name: str, status: str = "building") -> dict[str, Any]:
    return {key: value for key, value in build(status).items() if key != name}


BREAKS: list[tuple[str, str, Exchange]] = [
    ("start.body-is-documented", "nothing", exchange("startBuild", 202)),
    ("start.body-is-documented", "a list", exchange("startBuild", 202, json=[build()])),
    ("start.body-is-documented", "null", exchange("startBuild", 200, json=None)),
    ("start.body-is-documented", "no ref", exchange("startBuild", 202, json=without("ref"))),
    ("start.body-is-documented", "no digest", exchange("startBuild", 202, json=without("digest"))),
    ("start.body-is-documented", "no status", exchange("startBuild", 202, json=without("status"))),
    ("start.body-is-documented", "reused as text", start(reused="true")),
    ("start.body-is-documented", "a number as golden_dir", start(golden_dir=1)),
    ("start.body-is-documented", "a number as digest", start(digest=7)),
    ("status.body-is-documented", "a text", read("building")),
    ("status.body-is-documented", "no digest", read(without("digest"))),
    ("status.body-is-documented", "reused as number", read(build("ready", reused=1))),
    ("status.body-is-documented", "under a wrong type", exchange(json={}, headers={"content-type": "text/plain"})),
    ("status.is-one-of-four", "cancelling", read(build("cancelling"))),
    ("status.is-one-of-four", "queued at a start", start(status="queued")),
    ("status.is-one-of-four", "upper case", read(build("BUILDING"))),
    ("status.is-one-of-four", "null", read(without("status") | {"status": None})),
    ("status.is-one-of-four", "a list", read(without("status") | {"status": ["ready"]})),
    ("status.ready-has-build-time", "none", read(without("build_time_ms", "ready"))),
    ("status.ready-has-build-time", "none at a start", exchange("startBuild", json=without("build_time_ms", "ready"))),
    ("status.ready-has-build-time", "a text", read(build("ready", build_time_ms="1200"))),
    ("status.ready-has-build-time", "a fraction", read(build("ready", build_time_ms=1200.5))),
    ("status.ready-has-build-time", "below zero", read(build("ready", build_time_ms=-1))),
    ("status.failed-has-error", "none", read(without("error", "failed"))),
    ("status.failed-has-error", "empty", read(build("failed", error=""))),
    ("status.failed-has-error", "null", read(build("failed", error=None))),
    ("status.failed-has-error", "an object", read(build("failed", error={"step": 1}))),
    ("status.build-time-only-when-ready", "building", read(build(build_time_ms=0))),
    ("status.build-time-only-when-ready", "failed", read(build("failed", build_time_ms=12))),
    ("status.build-time-only-when-ready", "at a start", start(build_time_ms=12)),
    ("status.error-only-when-failed", "ready", read(build("ready", error="step 1"))),
    ("status.error-only-when-failed", "not built", read(build("not_built", error="cancelled"))),
    ("reuse.only-when-reused", "building", read(build(reused=True))),
    ("reuse.only-when-reused", "failed", read(build("failed", reused=True))),
    ("reuse.only-when-reused", "at a start", start(reused=True)),
    ("digest.has-the-documented-form", "upper case", read(build(digest=DIGEST.upper()))),
    ("digest.has-the-documented-form", "short", start(digest="ab12")),
    ("digest.has-the-documented-form", "another algorithm", read(build(digest=f"md5:{DIGEST}"))),
    ("digest.has-the-documented-form", "at publishing", publish(digest="x" * 64)),
    ("digest.has-the-documented-form", "in a template", exchange("getTemplate", json=PUBLISHED | {"digest": "x"})),
    (
        "publish.body-is-documented",
        "no digest",
        exchange("publishTemplate", 201, json={"ref": REF, "published": "2026-03-14"}),
    ),
    (
        "publish.body-is-documented",
        "published as number",
        exchange("publishTemplate", 201, json=PUBLISHED | {"published": 1}),
    ),
    (
        "publish.body-is-documented",
        "published as words",
        exchange("publishTemplate", 200, json=PUBLISHED | {"published": "now"}),
    ),
    (
        "publish.body-is-documented",
        "auto_build as boolean",
        exchange("publishTemplate", 201, json=PUBLISHED | {"auto_build": True}),
    ),
    ("publish.body-is-documented", "nothing", exchange("publishTemplate", 201)),
    ("start.ref-is-the-path", "another version", start(ref=UNKNOWN_REF)),
    ("start.ref-is-the-path", "without version", start(ref=REF.partition("@")[0])),
    ("status.ref-is-the-path", "another version", read(build(ref=UNKNOWN_REF))),
    (
        "publish.ref-is-the-document",
        "another version",
        exchange("publishTemplate", 201, json=PUBLISHED | {"ref": UNKNOWN_REF}),
    ),
    ("cancel.says-cancelling", "cancelled", exchange("cancelBuild", 202, json={"status": "cancelled"})),
    ("cancel.says-cancelling", "idle", exchange("cancelBuild", 202, json={"status": "idle"})),
    ("cancel.says-cancelling", "nothing", exchange("cancelBuild", 202)),
    ("template.delete-says-deleted", "false", exchange("deleteTemplate", json={"deleted": False})),
    ("template.delete-says-deleted", "a text", exchange("deleteTemplate", json={"deleted": "true"})),
    ("template.delete-says-deleted", "another status", exchange("deleteTemplate", 202, json={"deleted": True})),
    ("template.delete-says-deleted", "nothing", exchange("deleteTemplate", 204)),
]

FITS: list[tuple[str, Exchange]] = [
    ("building", read(build())),
    ("not built", read(build("not_built"))),
    ("failed", read(build("failed"))),
    ("ready", read(build("ready", reused=False))),
    ("built in no time", read(build("ready", build_time_ms=0))),
    ("no error yet", read(build(error=""))),
    ("a digest with its algorithm", read(build(digest=f"sha256:{DIGEST}"))),
    ("a reused golden", exchange("startBuild", 200, json=build("ready", reused=True, golden_dir="/g"))),
    ("a fresh start that says so", start(reused=False)),
    ("fields of tomorrow", read(build(region="iad", queue={"position": 3}))),
    ("an identical republish", publish(status=200)),
    ("an invalid document", publish(json=PUBLISHED | {"ref": UNKNOWN_REF}, note={"invalid": "schema"})),
    ("with auto_build", publish(auto_build="queued")),
    ("published on a day", exchange("publishTemplate", 201, json=PUBLISHED | {"published": "2026-03-14"})),
    ("a cancel", exchange("cancelBuild", 202, json={"status": "cancelling", "ref": REF})),
    ("nothing to cancel", exchange("cancelBuild", 404, json={"status": "idle"})),
    ("a delete", exchange("deleteTemplate", json={"deleted": True, "ref": REF})),
    ("a limit", exchange("startBuild", 429, json={"error": "later"})),
    ("no answer", exchange(status=0)),
    ("a cancel that is no JSON", exchange("cancelBuild", 202, body=b'{"status":"cancel')),
    ("a delete that is no JSON", exchange("deleteTemplate", body=b'{"deleted":')),
    ("an answer cut off", exchange(body=b"{", error="RemoteProtocolError: incomplete")),
    (
        "JSON that is broken, which http.body-is-json tells",
        exchange(body=b'{"ref":', headers={"content-type": "application/json"}),
    ),
    ("a status that http.status-is-documented tells", exchange("startBuild", 201, json={})),
    ("a log", exchange("streamBuildEvents", frames=[{"status": "nonsense"}])),
    ("HEAD", exchange("getBuild", method="HEAD")),
    ("an odd path served", exchange(path="/templates/default//x/1.0.0/build", json=build())),
    ("an escaped path", exchange(path="/templates/%64efault/touchstone-t1-hello/1.0.0/build", json=build())),
]


@pytest.mark.parametrize(("claim", "answer"), [(c, e) for c, _, e in BREAKS], ids=[f"{c}-{n}" for c, n, _ in BREAKS])
def test_broken_answer_is_blamed_on_its_claim_alone(claim: str, answer: Exchange) -> None:
    """A body with one thing wrong is blamed on the claim about that thing and on no other."""
    assert broken(verdicts(RULES, answer)) == {claim}


@pytest.mark.parametrize("answer", [e for _, e in FITS], ids=[n for n, _ in FITS])
def test_fair_answer_is_blamed_on_nothing(answer: Exchange) -> None:
    """Every answer that the documentation allows breaks no claim."""
    assert broken(verdicts(RULES, answer)) == set()


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        (
            read(build("ready")),
            {"status.ready-has-build-time", "status.error-only-when-failed"},
        ),
        (
            read(build("failed")),
            {"status.failed-has-error", "status.build-time-only-when-ready", "reuse.only-when-reused"},
        ),
        (
            read(build()),
            {"status.build-time-only-when-ready", "status.error-only-when-failed", "reuse.only-when-reused"},
        ),
    ],
)
def test_good_read_upholds_what_its_state_is_about(answer: Exchange, claims: set[str]) -> None:
    """A status read upholds the claims of its own state beside those of every read."""
    always = {
        "status.body-is-documented",
        "status.is-one-of-four",
        "status.ref-is-the-path",
        "digest.has-the-documented-form",
    }

    assert verdicts(RULES, answer) == {(claim, "held") for claim in claims | always}


@pytest.mark.parametrize(
    ("answer", "actual"),
    [
        (exchange("cancelBuild", 202, json={}), "202 {}"),
        (exchange("cancelBuild", 202), "202"),
        (exchange("deleteTemplate", json={}), "200 {}"),
        (exchange("deleteTemplate", 204), "204"),
        (exchange("cancelBuild", 202, json={"status": "x" * 300}), '202 {"status": "' + "x" * 107 + "…"),
    ],
)
def test_what_came_in_the_place_of_an_object_is_told(answer: Exchange, actual: str) -> None:
    """An empty object, no body and the beginning of a long one are told apart from the object that was wanted."""
    (wrong,) = [j for r in RULES for j in r(answer, history(answer)) if j.outcome == "broken"]

    assert wrong.actual == actual


def test_messages_name_the_field_and_what_it_should_be() -> None:
    """
    A finding tells a person which field is wrong, what it should be and what it is; only the latter depends on the run.
    """
    answer = read(build("cancelling"))
    (wrong,) = [j for r in RULES for j in r(answer, history(answer)) if j.outcome == "broken"]

    assert wrong.expected == "status, one of building, failed, not_built, ready"
    assert wrong.actual.startswith("status is 'cancelling'")
