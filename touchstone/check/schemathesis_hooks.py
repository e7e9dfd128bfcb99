"""Uses Schemathesis to generate requests, limited to versions of this run, and to judge responses besides the rules."""

import json
import re
from contextlib import suppress
from typing import Any

import requests
import schemathesis
import yaml
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.transport import Response as SchemathesisResponse
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import VERSION, Template, is_own
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.target.call import Call, may_publish

MAX_EXAMPLES = {"quick": 3, "standard": 12, "thorough": 100}

WILD_EVERY = 3  # One in this many generated paths stays as it is; the others get the shared ready version

_MEDIA_TYPE = "http.json-media-type"
_RETRY_AFTER = "limit.retry-after-is-valid"
# Checks by name. For each: its function, the claims that it judges for some operations, and the claim for all others.
CHECKS: dict[str, tuple[Any, dict[str, str], str]] = {
    "not_a_server_error": (not_a_server_error, {}, "http.no-server-error"),
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

# Matches text that a server may accept as a version. Other text stays in the document, since a server rejects it.
_VERSION = re.compile(r"\s*v?\d")
_OURS = frozenset({"authorization", "content-length", "host", "connection", "user-agent", "accept-encoding"})


def load_schema(seed: int, profile: str, *, publishes: bool = True) -> BaseSchema:
    """Returns a schema that generates cases from the contract; the same *seed* gives the same cases."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "cache": {"enabled": False},
            "generation": {"database": "none", "max-examples": MAX_EXAMPLES[profile], "mode": "all"},
            "phases": {"coverage": {"enabled": profile != "quick"}},
        }
    )
    schema = schemathesis.openapi.from_dict(dict(Contract.load().document), config=config)
    return schema if publishes else schema.exclude(path="/templates", method="POST")


def prepare(exam: Examination, case: "Case[Any]", number: int) -> tuple[Call, Template | None] | None:
    """Returns the request of *case*, the *number*-th of its operation, and what it may publish.

    Returns None for a publish that is forbidden, and for most publishes without a name.
    """
    _aim(exam, case, number)
    arguments = case.as_transport_kwargs(base_url="http://touchstone.invalid")
    known = {name: arguments.get(name) for name in ("method", "url", "headers", "json", "data")}
    params = {name: value for name, value in (arguments.get("params") or {}).items() if name != "auto_build"}
    prepared = requests.Request(**known, params=params or None).prepare()
    body = prepared.body.encode() if isinstance(prepared.body, str) else (prepared.body or b"")
    assert isinstance(body, bytes)
    headers = {name: str(value) for name, value in prepared.headers.items() if name.lower() not in _OURS}
    template = None
    if case.method.upper() == "POST" and case.operation.path == "/templates":
        body, template = _renamed(exam, body, number)
        if template is not None:
            exam.register(template)
        elif number % WILD_EVERY:
            return None
    call = Call(method=prepared.method or "GET", path=prepared.path_url, headers=headers, body=body)
    if exam.target.publish == "never" and may_publish(call):
        return None
    return call, template


def send(exam: Examination, call: Call, template: Template | None) -> Exchange:
    """Sends a prepared request, and keeps track of what it publishes."""
    try:
        exchange = exam.followed(call) if call.path.partition("?")[0].endswith("/events") else exam.send(call)
    except Unsuited:
        if template is not None:
            exam.forget(template)
        raise
    _keep_track(exam, exchange, template)
    return exchange


def _keep_track(exam: Examination, exchange: Exchange, template: Template | None) -> None:
    """Drops a refused *template* from the clean-up; adds what the server says it created, if it is of this run."""
    if template is not None and 400 <= exchange.status < 500:
        exam.forget(template)
    created = exchange.body.get("ref")
    if exchange.operation == "publishTemplate" and 200 <= exchange.status < 300 and isinstance(created, str):
        name, _, version = created.removeprefix("default/").rpartition("@")
        if is_own(created, exam.run_id):
            exam.register(Template(name, version, 0.0, False, ""))


def judgements(case: "Case[Any]", exchange: Exchange) -> list[Judgement]:
    """Returns the judgements of Schemathesis on the response, at most one per check."""
    got = exchange.response
    if got is None or not exchange.operation or exchange.request.method != case.operation.method.upper():
        return []
    headers: dict[str, list[str]] = {}
    for header, value in got.headers:
        headers.setdefault(header.lower(), []).append(value)
    request = requests.Request(exchange.request.method, "http://touchstone.invalid/").prepare()
    response = SchemathesisResponse(exchange.status, headers, got.body, request, exchange.elapsed_s, verify=True)
    # A 422 for an invalid document lists the errors in the field ``errors``, beside the usual ``error``.
    listed = exchange.operation == "publishTemplate" and exchange.status == 422 and "errors" in exchange.body
    error_claim = "publish.invalid-is-422" if listed else "error.has-the-documented-shape"
    found = []
    for name, (check, claims, otherwise) in CHECKS.items():
        claim = claims.get(exchange.operation, otherwise)
        if exchange.status >= 400:
            claim = error_claim if name == "response_schema_conformance" else otherwise
        waits = claim == _RETRY_AFTER
        if (exchange.status == 429 and not waits) or (waits and got.header("Retry-After") is None):
            continue
        common = (f"schemathesis.{name}", exchange.operation, (exchange.seq,))
        try:
            case.validate_response(response, checks=[check])
            found.append(Judgement(claim, "held", *common))
        except (FailureGroup, Failure) as group:
            failures = group.exceptions if isinstance(group, FailureGroup) else [group]
            actual = "; ".join(" ".join(str(failure).split())[:160] for failure in failures[:2])
            found.append(Judgement(claim, "broken", *common, expected=f"a response that passes {name}", actual=actual))
    return found


def _aim(exam: Examination, case: "Case[Any]", number: int) -> None:
    """Puts the shared version, or one of this run alone, into the path of *case*; some paths of GETs stay unchanged."""
    parameters = case.path_parameters
    if not parameters:
        return
    deletes = case.operation.method.upper() == "DELETE" and not case.operation.path.endswith("/build")
    aimed = number % WILD_EVERY and not deletes and case.method.upper() == case.operation.method.upper()
    ready = None
    if aimed:
        with suppress(Unsuited):  # Hypothesis would take an exception for a failure
            ready = exam.ready()
    if ready is not None:
        parameters.update(namespace="default", name=ready.name, version=ready.version)
    elif case.method.upper() != "GET":
        # Both names are of this run, because a server may ignore the namespace, or normalise an odd name.
        own = f"touchstone-{exam.run_id}"
        parameters.update(namespace=f"{own}-nobody", name=f"{own}-{parameters.get('name', '')}")


def _renamed(exam: Examination, body: bytes, number: int) -> tuple[bytes, Template | None]:
    """Returns the document with a name of this run, and its template. Without a name in it, returns *body* and None."""
    try:
        document = yaml.safe_load(body)
    except (yaml.YAMLError, ValueError, RecursionError):
        return body, None
    about = document.get("template") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not ("name" in document or (isinstance(about, dict) and "name" in about)):
        return body, None
    name, version = f"touchstone-{exam.run_id}-generated-{number}", VERSION
    # A server may convert a name that is not a string. It is replaced, too, and the new value is not a string either.
    if "name" in document:
        document["name"] = f"{name}@{version}" if isinstance(document["name"], str) else [name]
    if isinstance(about, dict):
        if "name" in about:
            about["name"] = name if isinstance(about["name"], str) else [name]
        if isinstance(about.get("version"), str) and _VERSION.match(about["version"]):
            about["version"] = version
    return json.dumps(document, default=str).encode(), Template(name, version, 0.0, False, "")
