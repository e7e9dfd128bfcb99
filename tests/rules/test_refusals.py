"""Rules on what an error says."""

from typing import Any

import pytest

from tests.rules.exchanges import REF, broken, build, exchange, verdicts
from touchstone.facts.exchange import Exchange
from touchstone.rules import errors
from touchstone.rules.history import Content

RULES = (errors.error_shape, errors.error_fields, errors.key_not_repeated, errors.no_internals, errors.wrong_document)


ERROR: dict[str, Any] = {"error": "There is no such version."}
PATH = "/templates/default/touchstone-t1-hello/1.0.0/build"
ODD_PATH = "/templates/default/a%2Fb/1.0.0/build"
PYTHON = 'Traceback (most recent call last):\n  File "/srv/app.py", line 7, in start\n    raise KeyError\nKeyError'
JAVA = "java.lang.NullPointerException\n\tat com.orgo.Builds.start(Builds.java:41)\n"
NODE = "TypeError: x is undefined\n    at Object.<anonymous> (/srv/app/build.js:10:5)\n"
GO = "panic: nil\n\ngoroutine 12 [running]:\nmain.start()\n"
RUST = "thread 'main' panicked at src/main.rs:4:5:"
SHAPE, KEY, INTERNALS = "error.has-the-documented-shape", "error.does-not-repeat-the-key", "error.shows-no-internals"
INVALID = "publish.invalid-is-422"


def publish(status: int, invalid: str, json: Any = ERROR, credential: str = "primary") -> Exchange:
    return exchange("publishTemplate", status, json=json, note={"invalid": invalid}, credential=credential)


def listed(**entry: Any) -> dict[str, Any]:
    return {
        "error": "invalid",
        "errors": [{"field": "hardware.os", "code": "invalid_enum", "message": "linux"} | entry],
    }


BREAKS: list[tuple[str, str, Exchange]] = [
    (SHAPE, "nothing", exchange(status=404)),
    (SHAPE, "text", exchange(status=404, body=b"not found", headers={"content-type": "text/plain"})),
    (SHAPE, "detail for another method", exchange("", 405, method="PUT", path=PATH, json={"detail": "no"})),
    (SHAPE, "a list", exchange(status=404, json=[ERROR])),
    (SHAPE, "another name", exchange(status=404, json={"message": "no"})),
    (SHAPE, "a number", exchange("startBuild", 403, json={"error": 403})),
    (SHAPE, "an object", exchange(status=401, json={"error": {"message": "no"}}, credential="none")),
    (SHAPE, "blank", exchange(status=404, json={"error": " "})),
    (SHAPE, "null", exchange("deleteTemplate", 404, json={"error": None})),
    (SHAPE, "a cancel without any word", exchange("cancelBuild", 404, json={"detail": "no"})),
    (SHAPE, "an odd version", exchange(status=400, path="/templates/default/x/one/build", json={})),
    (SHAPE, "a document without list", exchange("publishTemplate", 422, json={"detail": []})),
    ("error.request-id-is-a-string", "a number", exchange(status=404, json=ERROR | {"request_id": 17})),
    ("error.request-id-is-a-string", "null", exchange(status=404, json=ERROR | {"request_id": None})),
    ("error.has-no-upstream-status", "502", exchange(status=404, json=ERROR | {"upstream_status": 502})),
    (KEY, "in the error", exchange(status=401, json={"error": "Invalid API key <key:longer>"}, credential="longer")),
    (
        KEY,
        "cut short",
        exchange(status=401, json={"error": "Invalid API key <key:primary-shorter>"}, credential="longer"),
    ),
    (KEY, "in a header", exchange(json=build(), headers={"x-account": "<key:primary>"})),
    (KEY, "in a log", exchange("streamBuildEvents", frames=[{"line": "token <key:primary>"}])),
    (INTERNALS, "Python", exchange(status=404, json={"error": PYTHON})),
    (INTERNALS, "a line of Python", exchange(status=404, json={"error": '  File "/srv/a.py", line 3, in x'})),
    (INTERNALS, "Java", exchange(status=404, json={"error": JAVA})),
    (INTERNALS, "Node", exchange(status=404, json=ERROR | {"stack": NODE})),
    (INTERNALS, "Go", exchange(status=400, path=ODD_PATH, body=GO.encode())),
    (INTERNALS, "Rust", exchange(status=404, json={"error": RUST})),
    (
        INTERNALS,
        "as HTML",
        exchange(status=414, path=ODD_PATH, body=b"<pre>  File &quot;/srv/a.py&quot;, line 3</pre>"),
    ),
    (INTERNALS, "in a good answer", exchange(json=build("failed", error=PYTHON))),
    ("publish.empty-is-400", "422", publish(422, "empty")),
    ("publish.empty-is-400", "published", publish(201, "empty", {})),
    ("publish.empty-is-400", "500", publish(500, "empty")),
    ("publish.unparsable-is-400", "422", publish(422, "unparsable")),
    (INVALID, "400", publish(400, "schema")),
    (INVALID, "published", publish(201, "schema", {})),
    (INVALID, "no list", publish(422, "schema")),
    (INVALID, "an empty list", publish(422, "schema", ERROR | {"errors": []})),
    (INVALID, "texts", publish(422, "schema", ERROR | {"errors": ["os"]})),
    (INVALID, "no code", publish(422, "schema", listed(code=None))),
    (INVALID, "message as object", publish(422, "schema", listed(message={}))),
]

FITS: list[tuple[str, Exchange]] = [
    ("an error", exchange(status=404, json=ERROR)),
    ("more fields", exchange("startBuild", 403, json=ERROR | {"code": "UPGRADE_REQUIRED", "request_id": "x"})),
    ("absent as null", exchange(status=404, json=ERROR | {"upstream_status": None})),
    ("idle", exchange("cancelBuild", 404, json={"status": "idle"})),
    ("idle with error", exchange("cancelBuild", 404, json={"status": "idle", "error": "nothing is building"})),
    ("an unknown version to cancel", exchange("cancelBuild", 404, json=ERROR)),
    ("a word that cancel.says-idle judges", exchange("cancelBuild", 404, json={"status": "not_built"})),
    ("a list without error", publish(422, "schema", {"errors": listed()["errors"]})),
    ("a list with hints", publish(422, "schema", listed(hint="linux"))),
    ("a limited document", publish(429, "empty")),
    ("a wrong document under a wrong key", publish(401, "empty", ERROR, "none")),
    ("a wrong document below the plan", publish(403, "schema", ERROR, "restricted")),
    ("a wrong document and no answer", exchange("publishTemplate", 0, note={"invalid": "empty"})),
    ("an idle document", exchange("publishTemplate", 409, json=ERROR)),
    ("a page for an odd path", exchange(status=404, path=ODD_PATH, body=b"<html>")),
    ("a page for a long path", exchange(status=414, path="/templates/d/" + "x" * 300 + "/1.0.0/build", body=b"<html>")),
    ("a page outside the contract", exchange("", 404, method="GET", path="/nowhere", body=b"<html>")),
    ("a method refused as text", exchange("", 405, method="PUT", body=b"no")),
    ("HEAD", exchange("", 404, method="HEAD")),
    ("500, which http.no-server-error tells", exchange(status=500, body=b"oops")),
    ("429, which limit.has-the-error-shape tells", exchange("startBuild", 429)),
    (
        "broken JSON, which http.body-is-json tells",
        exchange(status=404, body=b"{", headers={"content-type": "application/json"}),
    ),
    ("a reason that is no trace", exchange(json=build("failed", error='step 2 at "exit 1" ended with status 1'))),
    ("a trace in a build's output", exchange("streamBuildEvents", frames=[{"line": PYTHON}])),
    ("a trace in a document", exchange("getTemplate", json={"template": {"build": {"run": [PYTHON]}}})),
    ("a trace that was sent", exchange("publishTemplate", 400, json={"error": GO}, request_body=GO.encode())),
    ("time of day", exchange(status=404, json={"error": "at 12:30:41, see /docs:12"})),
]


@pytest.mark.parametrize(("claim", "answer"), [(c, e) for c, _, e in BREAKS], ids=[f"{c}-{n}" for c, n, _ in BREAKS])
def test_broken_error_is_blamed_on_its_claim_alone(claim: str, answer: Exchange) -> None:
    """An error with one thing wrong is blamed on the claim about that thing and on no other."""
    assert broken(verdicts(RULES, answer)) - ({SHAPE} if claim == INVALID else set()) == {claim}


@pytest.mark.parametrize("answer", [e for _, e in FITS], ids=[n for n, _ in FITS])
def test_fair_error_is_blamed_on_nothing(answer: Exchange) -> None:
    """Every error that the documentation allows breaks no claim."""
    assert broken(verdicts(RULES, answer)) == set()


def test_error_upholds_what_is_at_stake() -> None:
    """A documented error upholds the claims on errors that it could have broken."""
    answer = exchange(status=404, json=ERROR | {"request_id": "0b7f8c8e"})

    assert verdicts(RULES, answer) == {
        (SHAPE, "held"),
        (KEY, "held"),
        (INTERNALS, "held"),
        ("error.request-id-is-a-string", "held"),
        ("error.has-no-upstream-status", "held"),
    }


@pytest.mark.parametrize(
    ("invalid", "status", "json", "claim"),
    [
        ("empty", 400, ERROR, "publish.empty-is-400"),
        ("unparsable", 400, ERROR, "publish.unparsable-is-400"),
        ("schema", 422, listed(), INVALID),
    ],
)
def test_wrong_document_refused_as_documented_upholds(invalid: str, status: int, json: Any, claim: str) -> None:
    """A wrong document that is refused with its documented status upholds the claim."""
    assert (claim, "held") in verdicts(RULES, publish(status, invalid, json))


def test_limited_document_is_indeterminate() -> None:
    """A limit met by a wrong document says nothing about documents."""
    assert ("publish.empty-is-400", "indeterminate") in verdicts(RULES, publish(429, "empty"))


def test_request_without_key_cannot_have_it_repeated() -> None:
    """An answer to a request without a key is no occasion to repeat one."""
    answer = exchange(status=401, json=ERROR, credential="none")

    assert KEY not in {claim for claim, _ in verdicts(RULES, answer)}


def test_trace_in_the_reason_of_a_given_template_may_be_the_users() -> None:
    """What a template that the user gave prints when it fails is not the server's doing."""
    given = {REF: Content(REF, "primary", "", "failed", 0.0, "", 0, 0.0, 0.0)}

    assert broken(verdicts(RULES, exchange(json=build("failed", error=PYTHON)), given=given)) == set()
