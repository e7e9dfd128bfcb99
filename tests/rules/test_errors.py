"""Rules on single responses: the fields of a success and of an error."""

from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, REF, UNKNOWN_REF, build, exchange, given, publish
from tests.rules.judging import broken, cases, exchange_rules, outcome, verdicts
from touchstone.facts.exchange import Exchange
from touchstone.rules import errors

SHAPE_RULES, ERROR_RULES = exchange_rules("shape"), exchange_rules("refusals")
START_BODY, STATUS_BODY = "start.body-is-documented", "status.body-is-documented"
PUBLISH_BODY, FOUR, TIME = "publish.body-is-documented", "status.is-one-of-four", "status.ready-has-build-time"
REASON, ONLY_TIME = "status.failed-has-error", "status.build-time-only-when-ready"
ONLY_ERROR, ONLY_REUSED = "status.error-only-when-failed", "reuse.only-when-reused"
FORM, START_REF, STATUS_REF = "digest.has-the-documented-form", "start.ref-is-the-path", "status.ref-is-the-path"
PUBLISH_REF, CANCELLING = "publish.ref-is-the-document", "cancel.says-cancelling"
DELETED, REQUEST_ID = "template.delete-says-deleted", "error.request-id-is-a-string"
UPSTREAM, EMPTY, UNPARSABLE = "error.has-no-upstream-status", "publish.empty-is-400", "publish.unparsable-is-400"
SHAPE, KEY = "error.has-the-documented-shape", "error.does-not-repeat-the-key"
INTERNALS, INVALID = "error.shows-no-internals", "publish.invalid-is-422"
PUBLISHED = {"ref": REF, "digest": DIGEST, "published": "2026-03-14T09:26:53Z"}


def start(**body: Any) -> Exchange:
    return exchange("startBuild", 202, json=build(**body))


def read(body: Any) -> Exchange:
    return exchange("getBuild", json=body)


def published(fields: dict[str, Any], status: int = 201) -> Exchange:
    return exchange("publishTemplate", status, json=PUBLISHED | fields)


def without(name: str, status: str = "building") -> dict[str, Any]:
    return {key: value for key, value in build(status).items() if key != name}


WRONG_BODIES: list[tuple[str, str, Exchange]] = [
    (START_BODY, "nothing", exchange("startBuild", 202)),
    (START_BODY, "a list", exchange("startBuild", 202, json=[build()])),
    (START_BODY, "no ref", exchange("startBuild", 202, json=without("ref"))),
    (START_BODY, "no status", exchange("startBuild", 202, json=without("status"))),
    (START_BODY, "reused as text", start(reused="true")),
    (START_BODY, "a number as golden_dir", start(golden_dir=1)),
    (STATUS_BODY, "a text", read("building")),
    (STATUS_BODY, "no digest", read(without("digest"))),
    (STATUS_BODY, "under a wrong type", exchange(json={}, headers={"content-type": "text/plain"})),
    (FOUR, "cancelling", read(build("cancelling"))),
    (FOUR, "queued at a start", start(status="queued")),
    (FOUR, "null", read(without("status") | {"status": None})),
    (TIME, "none", read(without("build_time_ms", "ready"))),
    (TIME, "a text", read(build("ready", build_time_ms="1200"))),
    (TIME, "below zero", read(build("ready", build_time_ms=-1))),
    (REASON, "none", read(without("error", "failed"))),
    (REASON, "empty", read(build("failed", error=""))),
    (REASON, "null", read(build("failed", error=None))),
    (ONLY_TIME, "building", read(build(build_time_ms=0))),
    (ONLY_TIME, "failed", read(build("failed", build_time_ms=12))),
    (ONLY_ERROR, "ready", read(build("ready", error="step 1"))),
    (ONLY_REUSED, "building", read(build(reused=True))),
    (ONLY_REUSED, "failed", read(build("failed", reused=True))),
    (FORM, "upper case", read(build(digest=DIGEST.upper()))),
    (FORM, "short", start(digest="ab12")),
    (FORM, "at publishing", publish(digest="x" * 64)),
    (FORM, "in a template", exchange("getTemplate", json=PUBLISHED | {"digest": "x"})),
    (PUBLISH_BODY, "no digest", exchange("publishTemplate", 201, json={"ref": REF, "published": "2026-03-14"})),
    (PUBLISH_BODY, "published as words", published({"published": "now"}, 200)),
    (PUBLISH_BODY, "auto_build as boolean", published({"auto_build": True})),
    (PUBLISH_BODY, "nothing", exchange("publishTemplate")),
    (START_REF, "another version", start(ref=UNKNOWN_REF)),
    (START_REF, "without version", start(ref=REF.partition("@")[0])),
    (STATUS_REF, "another version", read(build(ref=UNKNOWN_REF))),
    (PUBLISH_REF, "another version", published({"ref": UNKNOWN_REF})),
    (CANCELLING, "cancelled", exchange("cancelBuild", 202, json={"status": "cancelled"})),
    (CANCELLING, "idle", exchange("cancelBuild", 202, json={"status": "idle"})),
    (DELETED, "false", exchange("deleteTemplate", json={"deleted": False})),
    (DELETED, "a text", exchange("deleteTemplate", json={"deleted": "true"})),
    (DELETED, "another status", exchange("deleteTemplate", 202, json={"deleted": True})),
]
FAIR_BODIES: list[tuple[str, Exchange]] = [
    ("building", read(build())),
    ("not built", read(build("not_built"))),
    ("failed", read(build("failed"))),
    ("ready", read(build("ready", reused=False))),
    ("a digest with its algorithm", read(build(digest=f"sha256:{DIGEST}"))),
    ("a reused golden", exchange("startBuild", 200, json=build("ready", reused=True, golden_dir="/g"))),
    ("a fresh start that says so", start(reused=False)),
    ("an identical republish", publish(status=200)),
    ("an invalid document", publish(json=PUBLISHED | {"ref": UNKNOWN_REF}, note={"invalid": "schema"})),
    ("with auto_build", publish(auto_build="queued")),
    ("published on a day", published({"published": "2026-03-14"})),
    ("a cancel", exchange("cancelBuild", 202, json={"status": "cancelling", "ref": REF})),
    ("nothing to cancel", exchange("cancelBuild", 404, json={"status": "idle"})),
    ("a delete", exchange("deleteTemplate", json={"deleted": True, "ref": REF})),
    ("a limit", exchange("startBuild", 429, json={"error": "later"})),
    ("no answer", exchange(status=0)),
    ("a cancel that is no JSON", exchange("cancelBuild", 202, body=b'{"status":"cancel')),
    ("a delete that is no JSON", exchange("deleteTemplate", body=b'{"deleted":')),
    ("an answer cut off", exchange(body=b"{", error="RemoteProtocolError: incomplete")),
    ("JSON that is broken, which http.body-is-json tells",
        exchange(body=b'{"ref":', headers={"content-type": "application/json"})),
    ("a status that http.status-is-documented tells", exchange("startBuild", 201, json={})),
    ("a log", exchange("streamBuildEvents", frames=[{"status": "nonsense"}])),
    ("HEAD", exchange("getBuild", method="HEAD")),
    ("an odd path served", exchange(path="/templates/default//x/1.0.0/build", json=build())),
]  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "answer"), [(c, e) for c, _, e in WRONG_BODIES], ids=[f"{c}-{n}" for c, n, _ in WRONG_BODIES]
)
def test_wrong_body_is_blamed_on_its_claim_alone(claim: str, answer: Exchange) -> None:
    assert broken(verdicts(SHAPE_RULES, answer)) == {claim}


@cases("answer", dict(FAIR_BODIES))
def test_fair_body_is_blamed_on_nothing(answer: Exchange) -> None:
    assert broken(verdicts(SHAPE_RULES, answer)) == set()


@cases(
    "status expected",
    {
        "ready": ("ready", {TIME, ONLY_ERROR}),
        "failed": ("failed", {REASON, ONLY_TIME, ONLY_REUSED}),
        "building": ("building", {ONLY_TIME, ONLY_ERROR, ONLY_REUSED}),
    },
)
def test_good_read_upholds_what_its_state_is_about(status: str, expected: set[str]) -> None:
    always = {STATUS_BODY, FOUR, STATUS_REF, FORM}

    assert verdicts(SHAPE_RULES, read(build(status))) == {(claim, "held") for claim in expected | always}


@pytest.mark.parametrize(("digest", "expected"), [(DIGEST, "held"), ("short", "broken"), (1, "broken")])
def test_digest_of_a_template_is_judged_whatever_else_is_wrong(digest: Any, expected: str) -> None:
    answer = exchange("getTemplate", json={"ref": 1, "digest": digest, "template": {}})

    assert verdicts((errors.template_digest,), answer) == {(FORM, expected)}


# --- errors -----------------------------------------------------------------------------------------------------------

ERROR: dict[str, Any] = {"error": "There is no such version."}
PATH = "/templates/default/touchstone-t1-hello/1.0.0/build"
ODD_PATH = "/templates/default/a%2Fb/1.0.0/build"
PYTHON = 'Traceback (most recent call last):\n  File "/srv/app.py", line 7, in start\n    raise KeyError\nKeyError'
GO = "panic: nil\n\ngoroutine 12 [running]:\nmain.start()\n"
TRACES = [
    "Traceback (most recent call last)",
    'File "/srv/a.py", line 3',
    "java.lang.NullPointerException\n\tat com.orgo.Builds.start(Builds.java:41)\n",
    "TypeError: x is undefined\n    at Object.<anonymous> (/srv/app/build.js:10:5)\n",
    "   at Orgo.Builds.Start(String name) in C:\\src\\Builds.cs:line 12",
    GO,
    "thread 'main' panicked at src/main.rs:4:5:",
    "from /srv/app/builds.rb:12:in `start'",
    "#0 /srv/app/Builds.php(12)",
]


def wrong(status: int, invalid: str, json: Any = ERROR, credential: str = "primary") -> Exchange:
    return exchange("publishTemplate", status, json=json, note={"invalid": invalid}, credential=credential)


def listed(**entry: Any) -> dict[str, Any]:
    return {"error": "x", "errors": [{"field": "hardware.os", "code": "invalid_enum", "message": "linux"} | entry]}


WRONG_ERRORS: list[tuple[str, str, Exchange]] = [
    (SHAPE, "nothing", exchange(status=404)),
    (SHAPE, "text", exchange(status=404, body=b"not found", headers={"content-type": "text/plain"})),
    (SHAPE, "detail for another method", exchange("", 405, method="PUT", path=PATH, json={"detail": "no"})),
    (SHAPE, "a number", exchange("startBuild", 403, json={"error": 403})),
    (SHAPE, "an object", exchange(status=401, json={"error": {"message": "no"}}, credential="none")),
    (SHAPE, "blank", exchange(status=404, json={"error": " "})),
    (SHAPE, "a cancel without any word", exchange("cancelBuild", 404, json={"detail": "no"})),
    (SHAPE, "an odd version", exchange(status=400, path="/templates/default/x/one/build", json={})),
    (SHAPE, "a document without list", exchange("publishTemplate", 422, json={"detail": []})),
    (REQUEST_ID, "a number", exchange(status=404, json=ERROR | {"request_id": 17})),
    (REQUEST_ID, "null", exchange(status=404, json=ERROR | {"request_id": None})),
    (UPSTREAM, "502", exchange(status=404, json=ERROR | {"upstream_status": 502})),
    (KEY, "in the error", exchange(status=401, json={"error": "Invalid API key <key:longer>"}, credential="longer")),
    (KEY, "in a header", exchange(json=build(), headers={"x-account": "<key:primary>"})),
    (KEY, "in a log", exchange("streamBuildEvents", frames=[{"line": "token <key:primary>"}])),
    (INTERNALS, "Python", exchange(status=404, json={"error": PYTHON})),
    (INTERNALS, "Node", exchange(status=404, json=ERROR | {"stack": TRACES[3]})),
    (INTERNALS, "Go", exchange(status=400, path=ODD_PATH, body=GO.encode())),
    (INTERNALS, "as HTML", exchange(status=414, path=ODD_PATH,
        body=b"<pre>  File &quot;/srv/a.py&quot;, line 3</pre>")),
    (INTERNALS, "in a good answer", exchange(json=build("failed", error=PYTHON))),
    (EMPTY, "422", wrong(422, "empty")),
    (UNPARSABLE, "422", wrong(422, "unparsable")),
    (INVALID, "400", wrong(400, "schema")),
    (INVALID, "no list", wrong(422, "schema")),
    (INVALID, "an empty list", wrong(422, "schema", ERROR | {"errors": []})),
    (INVALID, "no code", wrong(422, "schema", listed(code=None))),
    (INVALID, "message as object", wrong(422, "schema", listed(message={}))),
]  # fmt: skip
FAIR_ERRORS: list[tuple[str, Exchange]] = [
    ("an error", exchange(status=404, json=ERROR)),
    ("more fields", exchange("startBuild", 403, json=ERROR | {"code": "UPGRADE_REQUIRED", "request_id": "x"})),
    ("absent as null", exchange(status=404, json=ERROR | {"upstream_status": None})),
    ("idle", exchange("cancelBuild", 404, json={"status": "idle"})),
    ("idle with error", exchange("cancelBuild", 404, json={"status": "idle", "error": "nothing is building"})),
    ("an unknown version to cancel", exchange("cancelBuild", 404, json=ERROR)),
    ("a word that cancel.says-idle judges", exchange("cancelBuild", 404, json={"status": "not_built"})),
    ("a list without error", wrong(422, "schema", {"errors": listed()["errors"]})),
    ("a list with hints", wrong(422, "schema", listed(hint="linux"))),
    ("a limited document", wrong(429, "empty")),
    ("a wrong document under a wrong key", wrong(401, "empty", ERROR, "none")),
    ("a wrong document below the plan", wrong(403, "schema", ERROR, "restricted")),
    ("a wrong document and no answer", exchange("publishTemplate", 0, note={"invalid": "empty"})),
    ("a page for an odd path", exchange(status=404, path=ODD_PATH, body=b"<html>")),
    ("a page outside the contract", exchange("", 404, method="GET", path="/nowhere", body=b"<html>")),
    ("HEAD", exchange("", 404, method="HEAD")),
    ("500, which http.no-server-error tells", exchange(status=500, body=b"oops")),
    ("429, which limit.has-the-error-shape tells", exchange("startBuild", 429)),
    ("broken JSON, which http.body-is-json tells", exchange(status=404, body=b"{",
        headers={"content-type": "application/json"})),
    ("a reason that is no trace", exchange(json=build("failed", error='step 2 at "exit 1" ended with status 1'))),
    ("a trace in a build's output", exchange("streamBuildEvents", frames=[{"line": PYTHON}])),
    ("a trace in a document", exchange("getTemplate", json={"template": {"build": {"run": [PYTHON]}}})),
    ("a trace that was sent", exchange("publishTemplate", 400, json={"error": GO}, request_body=GO.encode())),
]  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "answer"), [(c, e) for c, _, e in WRONG_ERRORS], ids=[f"{c}-{n}" for c, n, _ in WRONG_ERRORS]
)
def test_wrong_error_is_blamed_on_its_claim_alone(claim: str, answer: Exchange) -> None:
    assert broken(verdicts(ERROR_RULES, answer)) - ({SHAPE} if claim == INVALID else set()) == {claim}


@cases("answer", dict(FAIR_ERRORS))
def test_fair_error_is_blamed_on_nothing(answer: Exchange) -> None:
    assert broken(verdicts(ERROR_RULES, answer)) == set()


def test_error_upholds_what_is_at_stake() -> None:
    answer = exchange(status=404, json=ERROR | {"request_id": "0b7f8c8e"})
    expected = {SHAPE, KEY, INTERNALS, REQUEST_ID, UPSTREAM}

    assert verdicts(ERROR_RULES, answer) == {(claim, "held") for claim in expected}


@pytest.mark.parametrize("trace", TRACES)
def test_trace_of_any_language_is_recognised(trace: str) -> None:
    assert outcome(ERROR_RULES, INTERNALS, exchange(status=404, json={"error": trace})) == "broken"


@cases(
    "facts expected",
    {
        "a success": ({}, ""),
        "a redirect": ({"status": 399}, ""),
        "an error": ({"status": 400}, "held"),
        "an error with bytes": ({"status": 502, "body": b"\xff\ngoroutine 12 [running]:\n"}, "broken"),
        "what was sent": ({"operation": "publishTemplate", "status": 422, "body": GO.encode(),
            "request_body": b"\xff" + GO.encode()}, "held"),
    },
)  # fmt: skip
def test_errors_are_the_occasions_for_a_trace(facts: dict[str, Any], expected: str) -> None:
    assert outcome(ERROR_RULES, INTERNALS, exchange(**facts)) == expected


@pytest.mark.parametrize(("status", "expected"), [(200, ""), (399, ""), (400, "broken"), (404, "broken")])
def test_given_version_may_print_a_trace(status: int, expected: str) -> None:
    answer = exchange(status=status, json=build("failed", error=PYTHON))

    assert outcome(ERROR_RULES, INTERNALS, answer, given=given()) == expected


@cases(
    "facts judged",
    {
        "an error": ({"status": 400}, True),
        "a redirect": ({"status": 399}, False),
        "no object": ({"status": 400, "json": {}}, False),
        "no operation": ({"status": 400, "operation": ""}, False),
    },
)
def test_fields_are_judged_beside_an_error(facts: dict[str, Any], judged: bool) -> None:
    fields = {"request_id": 1, "upstream_status": 502}

    assert bool(verdicts((errors.error_fields,), exchange(**({"json": fields} | facts)))) is judged


@cases(
    "answer claim expected",
    {
        "empty": (wrong(400, "empty"), EMPTY, "held"),
        "unparsable": (wrong(400, "unparsable"), UNPARSABLE, "held"),
        "schema": (wrong(422, "schema", listed()), INVALID, "held"),
        "a limit": (wrong(429, "empty"), EMPTY, "indeterminate"),
        "the second account": (wrong(422, "schema", credential="second"), INVALID, "broken"),
        "a small plan": (wrong(422, "schema", credential="restricted"), INVALID, ""),
        "a key": (wrong(401, "schema"), INVALID, ""),
        "402": (wrong(402, "schema"), INVALID, "broken"),
        "no answer": (exchange("publishTemplate", 0, note={"invalid": "schema"}), INVALID, ""),
        "a right document": (wrong(422, ""), INVALID, ""),
        "another operation": (exchange("startBuild", 422, note={"invalid": "schema"}), INVALID, ""),
        "no key to repeat": (exchange(status=401, json=ERROR, credential="none"), KEY, ""),
        "a key in the name of a header": (exchange(status=404, headers={"x-<key:primary>": "7"}), KEY, "broken"),
    },
)
def test_answer_is_judged_where_the_request_was_read(answer: Exchange, claim: str, expected: str) -> None:
    assert outcome(ERROR_RULES, claim, answer) == expected
