"""What is said of errors and of successful answers by themselves, in words, and at the edges."""

from typing import Any

import pytest

from tests.rules.exchanges import DIGEST, REF, broken, build, exchange, exchange_rules, verdicts
from tests.rules.sentences import findings
from touchstone.facts.exchange import Exchange
from touchstone.rules import errors
from touchstone.rules.history import Content

PUBLISHED = {"ref": REF, "digest": DIGEST, "published": "2026-03-14T09:26:53Z"}
ERROR = {"error": "no"}
INTERNALS = "error.shows-no-internals"
PYTHON = 'File "/srv/a.py", line 3'
TRACES = [
    "Traceback (most recent call last)",
    PYTHON,
    "\tat com.orgo.Builds.start(Builds.java:41)",
    "    at start (/srv/app/build.js:10:5)",
    "   at Orgo.Builds.Start(String name) in C:\\src\\Builds.cs:line 12",
    "goroutine 12 [running]",
    "thread 'main' panicked at src/main.rs",
    "from /srv/app/builds.rb:12:in `start'",
    "#0 /srv/app/Builds.php(12)",
]

RULES = exchange_rules("shape", "refusals")


def publish(status: int, invalid: str = "schema", **more: Any) -> Exchange:
    return exchange("publishTemplate", status, **({"json": ERROR, "note": {"invalid": invalid}} | more))


@pytest.mark.parametrize("trace", TRACES)
def test_trace_of_any_language_is_recognised_as_it_is(trace: str) -> None:
    """The line itself is enough, without anything around it."""
    assert broken(verdicts((errors.no_internals,), exchange(status=404, json={"error": trace}))) == {INTERNALS}


@pytest.mark.parametrize(
    ("status", "outcomes"), [(200, set()), (399, set()), (400, {(INTERNALS, "held")}), (404, {(INTERNALS, "held")})]
)
def test_errors_are_the_occasions_for_a_trace(status: int, outcomes: set[tuple[str, str]]) -> None:
    """What is no error upholds nothing by showing none."""
    assert verdicts((errors.no_internals,), exchange(status=status, json=ERROR)) == outcomes


@pytest.mark.parametrize(("status", "claims"), [(200, set()), (399, set()), (400, {INTERNALS}), (404, {INTERNALS})])
def test_answer_that_quotes_others_may_show_a_trace_of_theirs(status: int, claims: set[str]) -> None:
    """A given version may print anything, an error about it may not."""
    given = {REF: Content(REF, "primary", "", "ready", 0.0, "", 0, 0.0, 0.0)}
    answer = exchange(status=status, json={"error": PYTHON})

    assert broken(verdicts((errors.no_internals,), answer, given=given)) == claims


@pytest.mark.parametrize("junk", [b"\xff", b""])
def test_trace_is_found_among_bytes_that_are_no_text(junk: bytes) -> None:
    """In an answer, and not where the request sent it, whatever else that sent."""
    body = junk + b"\ngoroutine 12 [running]:\n"

    assert broken(verdicts((errors.no_internals,), exchange(status=502, body=body))) == {INTERNALS}
    sent = exchange("publishTemplate", 422, body=body, request_body=body)
    assert broken(verdicts((errors.no_internals,), sent)) == set()


FIELDS = {"request_id": 1, "upstream_status": 502}


@pytest.mark.parametrize(
    ("facts", "judged"),
    [
        ({"status": 400}, True),
        ({"status": 399}, False),
        ({"status": 400, "json": {}}, False),
        ({"status": 400, "operation": ""}, False),
        ({"status": 200, "operation": ""}, False),
    ],
)
def test_fields_beside_an_error_are_judged_where_there_is_one(facts: dict[str, Any], judged: bool) -> None:
    """An object with status 400 or above, of an operation of the contract."""
    answer = exchange(**({"json": FIELDS} | facts))

    assert bool(verdicts((errors.error_fields,), answer)) is judged


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({"status": 422}, "broken"),
        ({"status": 422, "credential": "second"}, "broken"),
        ({"status": 422, "credential": "restricted"}, None),
        ({"status": 401}, None),
        ({"status": 402}, "broken"),
        ({"status": 0}, None),
        ({"status": 422, "note": {}}, None),
        ({"status": 422, "note": {"invalid": ""}}, None),
        ({"status": 422, "operation": "startBuild"}, None),
    ],
)
def test_wrong_document_is_judged_where_it_was_read(facts: dict[str, Any], outcome: str | None) -> None:
    """By accounts that may publish, with keys that are let in, and where the document was wrong on purpose."""
    told = {"operation": "publishTemplate", "note": {"invalid": "schema"}, "json": ERROR} | facts

    assert {o for _, o in verdicts((errors.wrong_document,), exchange(**told))} == ({outcome} if outcome else set())


SENTENCES: list[tuple[Exchange, tuple[str, str, str]]] = [
    (
        exchange(status=404, json=[]),
        ("error.has-the-documented-shape", "a JSON object with a text in error", "application/json b'[]'"),
    ),
    (
        exchange(status=404, json={"error": "no", "request_id": 1}),
        ("error.request-id-is-a-string", "a text", "request_id 1"),
    ),
    (
        exchange(status=404, json={"error": "no", "upstream_status": 502}),
        ("error.has-no-upstream-status", "no upstream_status", "upstream_status 502"),
    ),
    (
        exchange(status=404, json=ERROR, headers={"x-key": "<key:primary>"}),
        ("error.does-not-repeat-the-key", "no key in an answer", 'a key in the header x-key: 404 {"error": "no"}'),
    ),
    (
        exchange(status=404, json=ERROR, headers={"x-<key:primary>": "7"}),
        (
            "error.does-not-repeat-the-key",
            "no key in an answer",
            'a key in the header x-<key:primary>: 404 {"error": "no"}',
        ),
    ),
    (
        exchange(status=404, json={"error": "<key:primary>"}),
        ("error.does-not-repeat-the-key", "no key in an answer", 'a key in the body: 404 {"error": "<key:primary>"}'),
    ),
    (
        exchange(status=404, json={"error": PYTHON}),
        (INTERNALS, "no stack trace", f"404 with {PYTHON!r}"),
    ),
    (
        publish(400),
        ("publish.invalid-is-422", "422 with errors, each with field, code and message", '400 {"error": "no"}'),
    ),
    (publish(500, "empty"), ("publish.empty-is-400", "400", '500 {"error": "no"}')),
]


@pytest.mark.parametrize(("answer", "said"), SENTENCES, ids=[said[0] for _, said in SENTENCES])
def test_finding_on_an_error_says_what_is_wrong_with_it(answer: Exchange, said: tuple[str, str, str]) -> None:
    """A person reads what was promised and what came."""
    assert said in [(c, expected, actual) for c, _, expected, actual in findings(RULES, answer)]


SHAPES: list[tuple[Exchange, tuple[str, str, str]]] = [
    (
        exchange(json=build(digest=1)),
        ("status.body-is-documented", "digest, 64 lowercase hexadecimal digits", "digest is 1"),
    ),
    (exchange(json=build(ref=1)), ("status.body-is-documented", "ref, a text", "ref is 1")),
    (exchange(json=[]), ("status.body-is-documented", "a JSON object", "the body is []")),
    (exchange(json=build(reused="no")), ("status.body-is-documented", "reused, true or false", "reused is 'no'")),
    (exchange(json=build(golden_dir=1)), ("status.body-is-documented", "golden_dir, a text", "golden_dir is 1")),
    (
        exchange(json=build("ready", build_time_ms=1.5)),
        ("status.ready-has-build-time", "build_time_ms, a whole number", "build_time_ms is 1.5"),
    ),
    (exchange(json=build("failed", error=1)), ("status.failed-has-error", "error, a text", "error is 1")),
    (
        exchange(json=build("made")),
        ("status.is-one-of-four", "status, one of building, failed, not_built, ready", "status is 'made'"),
    ),
    (
        exchange("publishTemplate", 201, json=PUBLISHED | {"published": "now"}),
        ("publish.body-is-documented", "published, an ISO 8601 date and time", "published is 'now'"),
    ),
    (
        exchange("publishTemplate", 201, json=PUBLISHED | {"auto_build": 1}),
        ("publish.body-is-documented", "auto_build, a text", "auto_build is 1"),
    ),
    (
        exchange(json=build("failed", build_time_ms=7)),
        ("status.build-time-only-when-ready", "no build_time_ms unless ready", "7 while failed"),
    ),
    (
        exchange(json=build(error="no")),
        ("status.error-only-when-failed", "no error unless failed", "'no' while building"),
    ),
    (
        exchange(json=build(reused=True)),
        ("reuse.only-when-reused", "reused true only when ready", "reused true while building"),
    ),
    (
        exchange(json=build(ref="default/a@1.0.0")),
        ("status.ref-is-the-path", "the ref of the path", f"'default/a@1.0.0' for {REF!r}"),
    ),
    (
        exchange("publishTemplate", 201, json=PUBLISHED | {"ref": "default/a@1.0.0"}),
        ("publish.ref-is-the-document", "the ref of the published document", f"'default/a@1.0.0' for {REF!r}"),
    ),
    (
        exchange("cancelBuild", 202, json={"status": "idle"}),
        ("cancel.says-cancelling", "an object with status cancelling", '202 {"status": "idle"}'),
    ),
    (
        exchange("deleteTemplate", 202, json={"deleted": True}),
        ("template.delete-says-deleted", "200 and an object with deleted true", '202 {"deleted": true}'),
    ),
]


@pytest.mark.parametrize(("answer", "said"), SHAPES, ids=[f"{said[0]} {said[2]}" for _, said in SHAPES])
def test_finding_on_an_answer_says_what_is_wrong_with_it(answer: Exchange, said: tuple[str, str, str]) -> None:
    """The field, what the contract asks of it, and what it has."""
    told = [(c, expected, actual.partition(", expected ")[0]) for c, _, expected, actual in findings(RULES, answer)]

    assert said in told


@pytest.mark.parametrize(("digest", "outcome"), [(DIGEST, "held"), ("short", "broken"), (1, "broken")])
def test_digest_of_a_template_read_is_judged(digest: Any, outcome: str) -> None:
    """Whatever else is wrong with the answer."""
    answer = exchange("getTemplate", json={"ref": 1, "digest": digest, "template": {}})

    assert verdicts((errors.template_digest,), answer) == {("digest.has-the-documented-form", outcome)}


@pytest.mark.parametrize(
    "answer",
    [exchange("getTemplate", json=build(error="no")), exchange(status=409, json=build(error="no")), exchange(json={})],
)
def test_fields_by_state_are_those_of_builds(answer: Exchange) -> None:
    """Another operation's object, or one that is no success, has no state."""
    assert verdicts((errors.fields_by_state,), answer) == set()
