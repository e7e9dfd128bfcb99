"""
Judges each successful answer by itself: the object, its fields, and what they say about each other and about the path.
"""

from collections.abc import Iterator

from touchstone.contract.document import Problem
from touchstone.contract.lifecycle import STATUSES
from touchstone.facts.exchange import Exchange, Response
from touchstone.facts.finding import Judgement
from touchstone.rules.answers import SUCCESS, garbled, told_of_body
from touchstone.rules.history import History
from touchstone.rules.requests import operation_of, spelling
from touchstone.rules.rule import Rule, broken, held, judged, rule, shown

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
        if claim in by_claim:
            yield _broken(claim, by_claim[claim], exchange)
        else:
            yield held(claim, exchange)


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
    if exchange.operation not in _BUILD or not _success(exchange, history) or not isinstance(status, str):
        return
    if status not in STATUSES:
        return
    if status != "ready":
        found = exchange.body.get("build_time_ms")
        actual = f"{found!r} while {status}"
        claim = "status.build-time-only-when-ready"
        yield judged(claim, found is None, exchange, expected="no build_time_ms unless ready", actual=actual)
        # What reuses a golden has one, and who has one is ready.
        fits, actual = exchange.body.get("reused") is not True, f"reused true while {status}"
        yield judged("reuse.only-when-reused", fits, exchange, expected="reused true only when ready", actual=actual)
    if status != "failed":
        reason = exchange.body.get("error")
        actual = f"{shown(reason)} while {status}"
        claim = "status.error-only-when-failed"
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
        expected = "an object with status cancelling"
        yield judged("cancel.says-cancelling", fits, exchange, expected=expected, actual=told_of_body(exchange))


@rule("shape.deleted", "template.delete-says-deleted")
def says_deleted(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges what a successful delete says."""
    if exchange.operation == "deleteTemplate" and _success(exchange, history) and not garbled(exchange):
        fits = exchange.status == 200 and exchange.body.get("deleted") is True
        expected = "200 and an object with deleted true"
        yield judged("template.delete-says-deleted", fits, exchange, expected=expected, actual=told_of_body(exchange))


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


RULES: tuple[Rule[Exchange], ...] = (
    documented_object,
    template_digest,
    fields_by_state,
    own_ref,
    says_cancelling,
    says_deleted,
)
