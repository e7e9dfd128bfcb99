"""Uses Schemathesis to generate the requests of a check, and to judge responses besides the rules."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import hypothesis
import requests
import schemathesis
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response as SchemathesisResponse
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from touchstone.check.examination import Unsuited
from touchstone.check.schemathesis_hooks import Aims
from touchstone.check.templates import Template
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.target.call import Call, may_publish

MAX_EXAMPLES = {"quick": 2, "standard": 33, "thorough": 150}
DOCUMENTS = {"quick": "negative", "standard": "all", "thorough": "all"}  # Valid ones cost a delete, too
STEPS = 6  # most requests of one sequence along links

_MEDIA_TYPE = "http.json-media-type"
_RETRY_AFTER = "limit.retry-after-is-valid"
# Checks by name. For each: its function, the claims that it judges for some operations, and the claim for all others.
# not_a_server_error is not among them: it sends further requests, and a rule judges its claim.
CHECKS: dict[str, tuple[Any, dict[str, str], str]] = {
    "status_code_conformance": (status_code_conformance, {}, "http.status-is-documented"),
    "content_type_conformance": (content_type_conformance, {"streamBuildEvents": "events.media-type"}, _MEDIA_TYPE),
    "response_headers_conformance": (response_headers_conformance, {}, _RETRY_AFTER),
    "response_schema_conformance": (
        response_schema_conformance,
        {
            "startBuild": "start.body-is-documented",
            "getBuild": "status.body-is-documented",
            "publishTemplate": "publish.body-is-documented",
            "streamBuildEvents": "events.fields-are-documented",
            "getTemplate": "template.read-shows-the-published",
            "deleteTemplate": "template.delete-says-deleted",
            "cancelBuild": "cancel.says-cancelling",
        },
        "http.body-is-json",
    ),
}

_OURS = frozenset({"authorization", "content-length", "host", "connection", "user-agent", "accept-encoding"})


def load_schema(seed: int, profile: str, *, publishes: bool = True) -> BaseSchema:
    """Returns a schema that generates cases from the contract; the same *seed* gives the same cases."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "cache": {"enabled": False},
            "phases": {"examples": {"enabled": profile != "quick"}},
            "generation": {"database": "none", "max-examples": MAX_EXAMPLES[profile], "mode": "all"},
            "operations": [{"include-operation-id": "publishTemplate", "generation": {"mode": DOCUMENTS[profile]}}],
        }
    )
    schema = schemathesis.openapi.from_dict(dict(Contract.load().document), config=config)
    return schema if publishes else schema.exclude(path="/templates", method="POST")


def labels(schema: BaseSchema) -> list[str]:
    """Returns the operations of *schema*, such as ``POST /templates``."""
    return [found.ok().label for found in schema.get_all_operations() if isinstance(found, Ok)]


def generate(schema: BaseSchema, label: str, each: Callable[["Case[Any]"], None]) -> None:
    """Calls *each* with all cases of one operation: examples, limits of its schemas, and random data."""
    method, _, path = label.partition(" ")
    known: Any = {"config": schema.config, "operation": schema[path][method], "test_func": each}
    build_operation_test(**known, given_kwargs={}, feedback=FeedbackSources())()


def prepare(aims: Aims, case: "Case[Any]") -> tuple[Call, Template | None] | None:
    """Returns the request of *case*, and what it may publish; None if it is not to be sent."""
    template, note = aims.take(case)
    arguments = case.as_transport_kwargs(base_url="http://touchstone.invalid")
    known = {name: arguments.get(name) for name in ("method", "url", "headers", "json", "data", "params")}
    prepared = requests.Request(**known).prepare()
    body = prepared.body.encode() if isinstance(prepared.body, str) else (prepared.body or b"")
    assert isinstance(body, bytes)
    headers = {name: str(value) for name, value in prepared.headers.items() if name.lower() not in _OURS}
    ref = template.ref if template and note else None
    call = Call(method=prepared.method or "GET", path=prepared.path_url, ref=ref, headers=headers, body=body, note=note)
    if aims.exam.target.publish == "never" and may_publish(call):
        return None
    return call, template


def send(aims: Aims, case: "Case[Any]", call: Call, template: Template | None) -> Exchange:
    """Sends a prepared request, and keeps track of what it publishes."""
    exam = aims.exam
    try:
        exchange = exam.followed(call) if call.path.partition("?")[0].endswith("/events") else exam.send(call)
    except Unsuited:
        if template is not None:
            exam.forget(template)
        raise
    aims.received(case, exchange, template)
    return exchange


def follow_links(
    schema: BaseSchema, aims: Aims, judge: Callable[["Case[Any]", Exchange], object], seed: int, scenarios: int
) -> None:
    """Sends sequences of requests along the links of the contract; *judge* gets each case with its exchange.

    The sequences end early if equal requests get different responses, because a build ended in between.

    Raises:
        Unsuited: a request could not be sent.
    """
    stopped: list[Unsuited] = []

    class Links(schema.as_state_machine()):  # type: ignore[misc]  # the base class is made for the schema
        def call(self, case: "Case[Any]", **_: object) -> SchemathesisResponse:
            exchange = None
            if not stopped and (prepared := prepare(aims, case)):
                try:
                    exchange = send(aims, case, *prepared)
                except Unsuited as error:
                    stopped.append(error)
            if exchange is None or exchange.response is None:
                hypothesis.reject()
            judge(case, exchange)
            return _response(exchange)

        def validate_response(self, *_: object, **__: object) -> None:
            """Does nothing: *judge* has the exchange."""

    settings = hypothesis.settings(
        max_examples=scenarios,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with suppress(hypothesis.errors.Flaky, hypothesis.errors.Unsatisfiable):
        hypothesis.seed(seed)(Links).run(settings=settings)
    if stopped:
        raise stopped[0]


def judgements(case: "Case[Any]", exchange: Exchange) -> list[Judgement]:
    """Returns the judgements of Schemathesis on the response, at most one per check."""
    got = exchange.response
    if got is None or exchange.error or not exchange.operation:  # an incomplete response has a claim of its own
        return []
    if exchange.request.method != case.operation.method.upper():
        return []
    response = _response(exchange)
    # A 422 for an invalid document lists the errors in the field ``errors``, beside the usual ``error``.
    listed = exchange.operation == "publishTemplate" and exchange.status == 422 and "errors" in exchange.body
    error_claim = "publish.invalid-is-422" if listed else "error.has-the-documented-shape"
    found: list[Judgement] = []
    checks = []
    for name, (check, claims, otherwise) in CHECKS.items():
        claim = claims.get(exchange.operation, otherwise)
        if exchange.status >= 400:
            claim = error_claim if name == "response_schema_conformance" else otherwise
        waits = claim == _RETRY_AFTER
        if (exchange.status == 429 and not waits) or (waits and got.header("Retry-After") is None):
            continue
        checks.append(check)
        found.append(Judgement(claim, "held", f"schemathesis.{name}", exchange.operation, (exchange.seq,)))
    if _failures(case, response, checks):
        for place, check in enumerate(checks):
            if failures := _failures(case, response, [check]):
                actual = "; ".join(" ".join(str(failure).split())[:160] for failure in failures[:2])
                expected = f"a response that passes {check.__name__}"
                found[place] = replace(found[place], outcome="broken", expected=expected, actual=actual)
    return found


def _failures(case: "Case[Any]", response: SchemathesisResponse, checks: list[Any]) -> Sequence[Exception]:
    try:
        case.validate_response(response, checks=checks)
    except FailureGroup as group:
        return group.exceptions
    except Failure as failure:
        return [failure]
    return []


def _response(exchange: Exchange) -> SchemathesisResponse:
    """Converts the response of *exchange*; its body and its headers are empty if there is none."""
    headers: dict[str, list[str]] = {}
    for header, value in exchange.response.headers if exchange.response else ():
        headers.setdefault(header.lower(), []).append(value)
    body = exchange.response.body if exchange.response else b""
    request = requests.Request(exchange.request.method, "http://touchstone.invalid/").prepare()
    return SchemathesisResponse(exchange.status, headers, body, request, exchange.elapsed_s, verify=True)
