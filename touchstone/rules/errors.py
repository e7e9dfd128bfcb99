"""Judges each response on its own: the fields of a success, or the fields and texts of an error."""

import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from touchstone.contract.answers import STATUSES, answer
from touchstone.contract.document import Problem
from touchstone.facts.exchange import Exchange, Response
from touchstone.facts.finding import Judgement
from touchstone.rules import rule as rules
from touchstone.rules.history import History
from touchstone.rules.messages import SUCCESS, asks_for_another_method, error_problem, garbled, operation_of, spelling
from touchstone.rules.rule import broken, held, judged, judged_code, judged_unless_limited, render, rule

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
_STATUS_CLAIMS = ("status.is-one-of-four", "status.ready-has-build-time", "status.failed-has-error")
_BY_STATE = ("status.build-time-only-when-ready", "status.error-only-when-failed", "reuse.only-when-reused")
_DIGEST = "digest.has-the-documented-form"
_BUILD = ("startBuild", "getBuild")

# What findings say about the expected value of each field, by JSON pointer.
_EXPECTED = {
    "": "a JSON object",
    "/ref": "ref, a string",
    "/digest": "digest, 64 lowercase hexadecimal digits",
    "/status": "status, one of " + ", ".join(sorted(STATUSES)),
    "/build_time_ms": "build_time_ms, a whole number",
    "/error": "error, a string",
    "/reused": "reused, true or false",
    "/golden_dir": "golden_dir, a string",
    "/published": "published, an ISO 8601 date and time",
    "/auto_build": "auto_build, a string",
}


@rule("shape.object", *_BODY_CLAIMS.values(), *_STATUS_CLAIMS, _DIGEST)
def documented_object(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges a build or publish response by the schema. A problem with a field breaks the claim about this field."""
    response = _success(exchange, history)
    if response is None or exchange.operation not in _BODY_CLAIMS:
        return
    if not history.contract.media_types(exchange.operation, exchange.status):
        return  # judged by http.status-is-documented
    problems = _problems(exchange, history)
    if any(problem.keyword == "json" for problem in problems) and response.body:
        return  # judged by http.body-is-json and http.json-media-type
    by_claim: dict[str, Problem] = {}
    for problem in problems:
        by_claim.setdefault(_claim(problem, exchange), problem)
    for claim in dict.fromkeys([*_at_stake(exchange), *by_claim]):
        yield _broken(claim, by_claim[claim], exchange) if claim in by_claim else held(claim, exchange)


@rule("shape.template-digest", _DIGEST)
def template_digest(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges the form of the digest in a template read."""
    if exchange.operation == "getTemplate" and _success(exchange, history) and "digest" in exchange.body:
        wrong = next((p for p in _problems(exchange, history) if p.pointer == "/digest"), None)
        yield _broken(_DIGEST, wrong, exchange) if wrong else held(_DIGEST, exchange)


@rule("shape.fields-by-state", *_BY_STATE)
def fields_by_state(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that only a ready build has build_time_ms or reused true, and only a failed build has an error text."""
    status = exchange.body.get("status")
    success = exchange.operation in _BUILD and _success(exchange, history)
    if not success or not isinstance(status, str) or status not in STATUSES:
        return
    if status != "ready":
        found, claim = exchange.body.get("build_time_ms"), "status.build-time-only-when-ready"
        actual = f"build_time_ms {found!r} with status {status}"
        yield judged(claim, found is None, exchange, expected="no build_time_ms unless ready", actual=actual)
        # A version that reuses a snapshot is ready.
        fits, actual = exchange.body.get("reused") is not True, f"reused true with status {status}"
        yield judged("reuse.only-when-reused", fits, exchange, expected="reused true only when ready", actual=actual)
    if status != "failed":
        reason, claim = exchange.body.get("error"), "status.error-only-when-failed"
        actual = f"error {render(reason)} with status {status}"
        yield judged(claim, reason in (None, ""), exchange, expected="no error unless failed", actual=actual)


@rule("shape.ref", *_REF_CLAIMS.values())
def own_ref(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that the ref in a response names the requested version."""
    claim = _REF_CLAIMS.get(exchange.operation)
    found = exchange.body.get("ref")
    if claim is None or exchange.ref is None or not isinstance(found, str) or not _success(exchange, history):
        return
    # The name in an invalid document may itself be invalid.
    if spelling(exchange, history.contract) == "plain" and "invalid" not in exchange.note:
        source = "the published document" if exchange.operation == "publishTemplate" else "the path"
        actual = f"ref {found!r}, requested {exchange.ref!r}"
        yield judged(claim, found == exchange.ref, exchange, expected=f"the ref in {source}", actual=actual)


@rule("shape.cancelling", "cancel.says-cancelling")
def reports_cancelling(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that the response to an accepted cancel has the status cancelling in its body."""
    if exchange.operation == "cancelBuild" and _success(exchange, history) and not garbled(exchange):
        yield rules.judged_body(answer("cancelBuild", "building"), exchange)


@rule("shape.deleted", "template.delete-says-deleted")
def reports_deleted(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that a successful delete gets a 200 and a body with deleted true."""
    if exchange.operation == "deleteTemplate" and _success(exchange, history) and not garbled(exchange):
        row = answer("deleteTemplate", "ready")
        fits = exchange.status in row.may and exchange.body.get("deleted") is True
        yield judged(row.claim, fits, exchange, expected=f"{row.codes} and a JSON object with deleted true")


def _success(exchange: Exchange, history: History) -> Response | None:
    whole = exchange.status in SUCCESS and not exchange.error and operation_of(exchange, history.contract)
    return exchange.response if whole else None


def _problems(exchange: Exchange, history: History) -> tuple[Problem, ...]:
    # The media type has a claim of its own.
    body = exchange.response.body if exchange.response else b""
    return history.contract.problems(exchange.operation, exchange.status, body)


def _at_stake(exchange: Exchange) -> Iterator[str]:
    body = exchange.body
    yield _BODY_CLAIMS[exchange.operation]
    if isinstance(body.get("digest"), str):
        yield _DIGEST
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
            return _DIGEST
    return _BODY_CLAIMS[exchange.operation]


def _broken(claim: str, problem: Problem, exchange: Exchange) -> Judgement:
    name = problem.pointer.removeprefix("/") or "the body"
    expected = _EXPECTED.get(problem.pointer, f"{name} as documented")
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

_QUOTING = frozenset({"streamBuildEvents", "getTemplate"})  # may quote stack traces from builds or documents


@rule("refusals.shape", "error.has-the-documented-shape")
def error_shape(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that each documented error has the documented body. 429, 5xx and invalid JSON have claims of their own."""
    body = exchange.body
    if exchange.response is None or not _is_documented_error(exchange, history):
        return
    problem = error_problem(exchange.response)
    # Two errors may have other fields instead: a cancel without a build has ``status`` (ambiguity 7.15), which another
    # claim covers, and an invalid document has ``errors`` (ambiguity 7.39).
    idle = exchange.operation == "cancelBuild" and exchange.status == 404 and isinstance(body.get("status"), str)
    invalid = exchange.operation == "publishTemplate" and exchange.status == 422 and bool(body.get("errors"))
    if problem is None or (problem and (idle or invalid)):
        return
    expected = "a JSON object with a string in error"
    yield judged("error.has-the-documented-shape", not problem, exchange, expected=expected, actual=problem)


@rule("refusals.fields", "error.request-id-is-a-string", "error.has-no-upstream-status")
def error_fields(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges the fields beside ``error``: request_id, if present, is a string; upstream_status is absent or null."""
    body = exchange.body
    if exchange.status < 400 or not exchange.operation or not body:
        return
    if "request_id" in body:
        found, claim = body["request_id"], "error.request-id-is-a-string"
        yield judged(claim, isinstance(found, str), exchange, expected="a string", actual=f"request_id {render(found)}")
    found, claim = body.get("upstream_status"), "error.has-no-upstream-status"
    yield judged(claim, found is None, exchange, expected="no upstream_status", actual=f"upstream_status {found!r}")


@rule("refusals.key", "error.does-not-repeat-the-key")
def key_not_repeated(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that no response contains a key. Exchanges have a placeholder such as ``<key:primary>`` for each key."""
    response = exchange.response
    if response is None or exchange.credential == "none":
        return
    claim = "error.does-not-repeat-the-key"
    name = next((key for key, value in response.headers if "<key:" in key or "<key:" in value), "")
    if name or b"<key:" in response.body:
        where = f"the header {name}" if name else "the body"
        actual = f"a key in {where}: {rules.describe(exchange)}"
        yield broken(claim, exchange, expected="no key in a response", actual=actual)
    else:
        yield held(claim, exchange)


@rule("refusals.internals", "error.shows-no-internals")
def no_internals(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that no response contains a stack trace. Only errors count as evidence that the claim holds."""
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
    """Judges that a deliberately invalid document gets a 400, or a 422 with a list of errors."""
    kind = exchange.note.get("invalid", "")
    if exchange.operation != "publishTemplate" or exchange.credential not in {"primary", "second"}:
        return
    if exchange.response is None or exchange.status == 401:
        return
    if kind == "schema":
        errors = exchange.body.get("errors")
        row = answer("publishTemplate", "invalid")
        fits = exchange.status in row.may and isinstance(errors, list) and bool(errors) and all(map(_is_entry, errors))
        expected = f"{row.codes} with a list errors, each with field, code and message"
        yield judged_unless_limited(row.claim, fits, exchange, expected=expected)
    elif kind:
        row = answer("publishTemplate", kind)
        yield judged_code(row, exchange)


def _is_documented_error(exchange: Exchange, history: History) -> bool:
    operation = operation_of(exchange, history.contract)
    if exchange.status == 405 and asks_for_another_method(exchange, history.contract):
        return True
    if operation is None or not 400 <= exchange.status < 500 or exchange.status == 429 or exchange.error:
        return False
    # Errors that a proxy sends before the API is reached, such as 414 or 431, need not have the documented body.
    documented = exchange.status in history.contract.allowed_statuses(operation.id)
    return documented and spelling(exchange, history.contract) != "misshapen"


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("field", "code", "message"))


def _texts(response: Response) -> Iterator[str]:
    """Yields the texts of a response: the strings in its JSON or, without JSON, the body with and without HTML tags."""
    try:
        queue = [response.json()]
    except (ValueError, RecursionError):
        text = response.body[:_SEARCHED_BYTES].decode("utf-8", "replace")
        yield html.unescape(text)
        yield html.unescape(_TAG.sub("\n", text))
        return
    while queue:
        value = queue.pop()
        if isinstance(value, str):
            yield value[:_SEARCHED_BYTES]
        elif isinstance(value, dict):
            queue.extend(value.values())
        elif isinstance(value, list):
            queue.extend(value)
