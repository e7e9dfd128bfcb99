"""Judges each answer by itself: the fields of a success, and what an error says, gives away, or lists of a document."""

import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from touchstone.contract.document import Problem
from touchstone.contract.lifecycle import STATUSES
from touchstone.facts.exchange import Exchange, Response
from touchstone.facts.finding import Judgement
from touchstone.rules.history import History
from touchstone.rules.messages import (
    SUCCESS,
    announces_json,
    asks_for_another_method,
    error_problem,
    garbled,
    json_problem,
    operation_of,
    spelling,
)
from touchstone.rules.rule import broken, describe, held, judged, judged_unless_limited, render, rule

_BODY_CLAIMS = {
    "startBuild": "start.body-is-documented",
    "getBuild": "status.body-is-documented",
    "publishTemplate": "publish.body-is-documented",
}
_REF_CLAIMS = {
    "startBuild": "start.ref-is-the-path",
    "getBuild": "status.ref-is-the-path",
    "publishTemplate": "publish.ref-is-the-document",
}
_BUILD = ("startBuild", "getBuild")

# What the contract asks of each field, for a person; the place where a body disagrees picks the sentence.
_ASKED = {
    "": "a JSON object",
    "/ref": "ref, a text",
    "/digest": "digest, 64 lowercase hexadecimal digits",
    "/status": "status, one of " + ", ".join(sorted(STATUSES)),
    "/build_time_ms": "build_time_ms, a whole number",
    "/error": "error, a text",
    "/reused": "reused, true or false",
    "/golden_dir": "golden_dir, a text",
    "/published": "published, an ISO 8601 date and time",
    "/auto_build": "auto_build, a text",
}


@rule(
    "shape.object",
    *_BODY_CLAIMS.values(),
    "status.is-one-of-four",
    "status.ready-has-build-time",
    "status.failed-has-error",
    "digest.has-the-documented-form",
)
def documented_object(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges a build or publish answer by its schema, and blames each problem on the claim that it is about."""
    response = _success(exchange, history)
    if response is None or exchange.operation not in _BODY_CLAIMS:
        return
    if not history.contract.media_types(exchange.operation, exchange.status):
        return  # http.status-is-documented tells this.
    problems = _problems(exchange, history)
    if any(problem.keyword == "json" for problem in problems) and response.body:
        return  # http.body-is-json and http.json-media-type tell this.
    by_claim: dict[str, Problem] = {}
    for problem in problems:
        by_claim.setdefault(_claim(problem, exchange), problem)
    for claim in dict.fromkeys([*_at_stake(exchange), *by_claim]):
        yield _broken(claim, by_claim[claim], exchange) if claim in by_claim else held(claim, exchange)


@rule("shape.template-digest", "digest.has-the-documented-form")
def template_digest(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges the digest that reading a template shows."""
    if exchange.operation == "getTemplate" and _success(exchange, history) and "digest" in exchange.body:
        claim = "digest.has-the-documented-form"
        wrong = next((p for p in _problems(exchange, history) if p.pointer == "/digest"), None)
        yield _broken(claim, wrong, exchange) if wrong else held(claim, exchange)


@rule(
    "shape.fields-by-state",
    "status.build-time-only-when-ready",
    "status.error-only-when-failed",
    "reuse.only-when-reused",
)
def fields_by_state(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that a build object shows no result that its state does not have. An empty error tells no reason."""
    status = exchange.body.get("status")
    success = exchange.operation in _BUILD and _success(exchange, history)
    if not success or not isinstance(status, str) or status not in STATUSES:
        return
    if status != "ready":
        found, claim = exchange.body.get("build_time_ms"), "status.build-time-only-when-ready"
        actual = f"{found!r} while {status}"
        yield judged(claim, found is None, exchange, expected="no build_time_ms unless ready", actual=actual)
        # What reuses a golden has one, and who has one is ready.
        fits, actual = exchange.body.get("reused") is not True, f"reused true while {status}"
        yield judged("reuse.only-when-reused", fits, exchange, expected="reused true only when ready", actual=actual)
    if status != "failed":
        reason, claim = exchange.body.get("error"), "status.error-only-when-failed"
        actual = f"{render(reason)} while {status}"
        yield judged(claim, reason in (None, ""), exchange, expected="no error unless failed", actual=actual)


@rule("shape.ref", *_REF_CLAIMS.values())
def own_ref(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that an answer is about the version that was asked for."""
    claim = _REF_CLAIMS.get(exchange.operation)
    found = exchange.body.get("ref")
    if claim is None or exchange.ref is None or not isinstance(found, str) or not _success(exchange, history):
        return
    # What is wrong with an invalid document may be its name.
    if spelling(exchange, history.contract) == "plain" and "invalid" not in exchange.note:
        asked = "the published document" if exchange.operation == "publishTemplate" else "the path"
        actual = f"{found!r} for {exchange.ref!r}"
        yield judged(claim, found == exchange.ref, exchange, expected=f"the ref of {asked}", actual=actual)


@rule("shape.cancelling", "cancel.says-cancelling")
def says_cancelling(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges what an accepted cancel says."""
    if exchange.operation == "cancelBuild" and _success(exchange, history) and not garbled(exchange):
        fits = exchange.body.get("status") == "cancelling"
        yield judged("cancel.says-cancelling", fits, exchange, expected="an object with status cancelling")


@rule("shape.deleted", "template.delete-says-deleted")
def says_deleted(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges what a successful delete says."""
    if exchange.operation == "deleteTemplate" and _success(exchange, history) and not garbled(exchange):
        fits = exchange.status == 200 and exchange.body.get("deleted") is True
        yield judged("template.delete-says-deleted", fits, exchange, expected="200 and an object with deleted true")


def _success(exchange: Exchange, history: History) -> Response | None:
    whole = exchange.status in SUCCESS and not exchange.error and operation_of(exchange, history.contract)
    return exchange.response if whole else None


def _problems(exchange: Exchange, history: History) -> tuple[Problem, ...]:
    # Whatever the answer calls its media type, which has a claim of its own, its body is judged as what was documented.
    body = exchange.response.body if exchange.response else b""
    return history.contract.problems(exchange.operation, exchange.status, "", body)


def _at_stake(exchange: Exchange) -> Iterator[str]:
    body = exchange.body
    yield _BODY_CLAIMS[exchange.operation]
    if isinstance(body.get("digest"), str):
        yield "digest.has-the-documented-form"
    if exchange.operation in _BUILD and "status" in body:
        yield "status.is-one-of-four"
        if body["status"] == "ready":
            yield "status.ready-has-build-time"
        elif body["status"] == "failed":
            yield "status.failed-has-error"


def _claim(problem: Problem, exchange: Exchange) -> str:
    status = exchange.body.get("status")
    match problem.pointer:
        case "/status" if problem.keyword != "required" and exchange.operation in _BUILD:
            return "status.is-one-of-four"
        case "/build_time_ms" if status == "ready":
            return "status.ready-has-build-time"
        case "/error" if status == "failed":
            return "status.failed-has-error"
        case "/digest" if problem.keyword == "pattern":
            return "digest.has-the-documented-form"
    return _BODY_CLAIMS[exchange.operation]


def _broken(claim: str, problem: Problem, exchange: Exchange) -> Judgement:
    name = problem.pointer.removeprefix("/") or "the body"
    expected = _ASKED.get(problem.pointer, f"{name} as documented")
    return broken(claim, exchange, expected=expected, actual=f"{name} {problem.message}")


_TRACES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"Traceback \(most recent call last\)",
        r"""^[ \t]*File ["'][^"'\n]+["'], line \d+""",
        r"^[ \t]+at [\w.$<>]+\([\w$]+\.(?:java|kt|scala):\d+\)",
        r"^[ \t]+at .{0,200}\(?(?:/|file://|node:|webpack)[^\s()]*:\d+:\d+\)?",
        r"^[ \t]+at [\w.`<>\[\], ]+\(.{0,200}\) in .{1,200}:line \d+",
        r"^goroutine \d+ \[\w",
        r"^thread '[^']*' (?:\(\d+\) )?panicked at ",
        r"^[ \t]*(?:from )?/\S+\.rb:\d+:in ",
        r"^#\d+ /\S+\.php\(\d+\)",
    )
)
_TAG = re.compile(r"<[^<>]{0,200}>")

_SEARCHED_BYTES = 262_144

_QUOTING = frozenset({"streamBuildEvents", "getTemplate"})  # what users wrote and builds printed, traces as well


@rule("refusals.shape", "error.has-the-documented-shape")
def error_shape(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges the body of each documented error; 429, 5xx and broken JSON have claims of their own."""
    response, body = exchange.response, exchange.body
    if response is None or not _is_documented_error(exchange, history):
        return
    if announces_json(response) and response.body and json_problem(response.body):
        return
    problem = error_problem(response)
    # A cancel with nothing to cancel says so in status (facts 7.15), which has a claim of its own; a document is told
    # what is wrong with it in errors (facts 7.39).
    idle = exchange.operation == "cancelBuild" and exchange.status == 404 and isinstance(body.get("status"), str)
    invalid = exchange.operation == "publishTemplate" and exchange.status == 422 and bool(body.get("errors"))
    if problem and (idle or invalid):
        return
    expected = "a JSON object with a text in error"
    yield judged("error.has-the-documented-shape", not problem, exchange, expected=expected, actual=problem)


@rule("refusals.fields", "error.request-id-is-a-string", "error.has-no-upstream-status")
def error_fields(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges the fields beside error. A null is no text; of what is not to be there it is as good as nothing."""
    body = exchange.body
    if exchange.status < 400 or not exchange.operation or not body:
        return
    if "request_id" in body:
        found, claim = body["request_id"], "error.request-id-is-a-string"
        yield judged(claim, isinstance(found, str), exchange, expected="a text", actual=f"request_id {render(found)}")
    found, claim = body.get("upstream_status"), "error.has-no-upstream-status"
    yield judged(claim, found is None, exchange, expected="no upstream_status", actual=f"upstream_status {found!r}")


@rule("refusals.key", "error.does-not-repeat-the-key")
def key_not_repeated(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that no answer holds a key; whatever was one is a marker by now."""
    response = exchange.response
    if response is None or exchange.credential == "none":
        return
    claim = "error.does-not-repeat-the-key"
    name = next((key for key, value in response.headers if "<key:" in key or "<key:" in value), "")
    if name or b"<key:" in response.body:
        where = f"the header {name}" if name else "the body"
        yield broken(claim, exchange, expected="no key in an answer", actual=f"a key in {where}: {describe(exchange)}")
    else:
        yield held(claim, exchange)


@rule("refusals.internals", "error.shows-no-internals")
def no_internals(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that no answer shows a stack trace; errors are the occasions on which one would appear."""
    response, claim = exchange.response, "error.shows-no-internals"
    quotes_others = exchange.operation in _QUOTING or exchange.ref in history.given
    if response is None or (response.status < 400 and quotes_others):
        return
    found = (pattern.search(text) for text in _texts(response) for pattern in _TRACES)
    trace = next((match.group(0).strip() for match in found if match), "")
    request = exchange.request
    if trace and trace not in unquote(request.url) and trace not in request.body.decode("utf-8", "replace"):
        yield broken(claim, exchange, expected="no stack trace", actual=f"{response.status} with {render(trace)}")
    elif response.status >= 400:
        yield held(claim, exchange)


@rule("refusals.document", "publish.empty-is-400", "publish.unparsable-is-400", "publish.invalid-is-422")
def wrong_document(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges the answer to a document that is wrong on purpose."""
    claims = {"empty": "publish.empty-is-400", "unparsable": "publish.unparsable-is-400"}
    kind = exchange.note.get("invalid", "")
    if exchange.operation != "publishTemplate" or exchange.credential not in {"primary", "second"}:
        return
    if exchange.response is None or exchange.status == 401:
        return
    if kind == "schema":
        errors = exchange.body.get("errors")
        fits = exchange.status == 422 and isinstance(errors, list) and bool(errors) and all(map(_is_entry, errors))
        expected = "422 with errors, each with field, code and message"
        yield judged_unless_limited("publish.invalid-is-422", fits, exchange, expected)
    elif kind in claims:
        yield judged_unless_limited(claims[kind], exchange.status == 400, exchange, "400")


def _is_documented_error(exchange: Exchange, history: History) -> bool:
    operation = operation_of(exchange, history.contract)
    if exchange.status == 405 and asks_for_another_method(exchange, history.contract):
        return True
    if operation is None or not 400 <= exchange.status < 500 or exchange.status == 429 or exchange.error:
        return False
    # What a server answers before a request reaches the API (414, 431, a path taken apart) is not the API's error.
    documented = exchange.status in history.contract.allowed_statuses(operation.id)
    return documented and spelling(exchange, history.contract) != "misshapen"


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("field", "code", "message"))


def _texts(response: Response) -> Iterator[str]:
    """The texts of an answer as a person would read them: those within its JSON, or those between its tags."""
    try:
        waiting = [response.json()]
    except (ValueError, RecursionError):
        text = response.body[:_SEARCHED_BYTES].decode("utf-8", "replace")
        yield html.unescape(text)
        yield html.unescape(_TAG.sub("\n", text))
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value[:_SEARCHED_BYTES]
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
