"""Uses Schemathesis to generate requests, limited to versions of this run, and to judge responses besides the rules."""

import re
from contextlib import suppress
from typing import Any

import requests
import schemathesis
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

MAY_EXIST = (408, 409, 429)  # a publish with one of these responses may still have stored the version

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
    template = None
    if case.path_parameters:
        aim(case, exam.run_id, _target(exam, case, number))
    elif publishes(case):
        case.query.pop("auto_build", None)
        template = named(case, exam.run_id, number)
        if template is not None:
            exam.register(template)
        elif number % WILD_EVERY:
            return None
    arguments = case.as_transport_kwargs(base_url="http://touchstone.invalid")
    known = {name: arguments.get(name) for name in ("method", "url", "headers", "json", "data", "params")}
    prepared = requests.Request(**known).prepare()
    body = prepared.body.encode() if isinstance(prepared.body, str) else (prepared.body or b"")
    assert isinstance(body, bytes)
    headers = {name: str(value) for name, value in prepared.headers.items() if name.lower() not in _OURS}
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
    keep_track(exam, exchange, template)
    return exchange


def keep_track(exam: Examination, exchange: Exchange, template: Template | None) -> None:
    """Drops a refused *template* from the clean-up; adds what the server says it created, if it is of this run."""
    if template is not None and 400 <= exchange.status < 500 and exchange.status not in MAY_EXIST:
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


def publishes(case: "Case[Any]") -> bool:
    """Whether a server may take *case* for a publish."""
    return case.operation.path == "/templates" and case.method.upper() in {"POST", "PUT", "PATCH"}


def _target(exam: Examination, case: "Case[Any]", number: int) -> Template | None:
    """Returns the shared version for most cases; None for the others, and for those that could harm it."""
    deletes = case.operation.method.upper() == "DELETE" and not case.operation.path.endswith("/build")
    if number % WILD_EVERY and not deletes and case.method.upper() == case.operation.method.upper():
        with suppress(Unsuited):  # Hypothesis would take an exception for a failure
            return exam.ready()
    return None


def aim(case: "Case[Any]", run_id: str, template: Template | None) -> None:
    """Puts *template* into the path of *case*. Without one, a GET keeps its path; others get a version of nobody."""
    if template is not None:
        case.path_parameters.update(namespace=template.namespace, name=template.name, version=template.version)
    elif case.method.upper() != "GET":
        # Both names are of this run, because a server may ignore the namespace, or normalise an odd name.
        own = f"touchstone-{run_id}"
        name = case.path_parameters.get("name", "")
        case.path_parameters.update(namespace=f"{own}-nobody", name=f"{own}-{name}")


def named(case: "Case[Any]", run_id: str, number: int) -> Template | None:
    """Gives the document in *case* a name of this run; returns its template, or None if it has no name."""
    document = dict(case.body) if isinstance(case.body, dict) else {}
    about = document.get("template")
    if not ("name" in document or (isinstance(about, dict) and "name" in about)):
        return None
    name, version = f"touchstone-{run_id}-generated-{number}", VERSION
    # A server may convert a name that is not a string. It is replaced, too, and the new value is not a string either.
    if "name" in document:
        document["name"] = f"{name}@{version}" if isinstance(document["name"], str) else [name]
    if isinstance(about, dict):
        about = document["template"] = dict(about)
        if "name" in about:
            about["name"] = name if isinstance(about["name"], str) else [name]
        given = about.get("version")
        if isinstance(given, str) and _VERSION.match(given):
            about["version"] = version
    case.body = document
    return Template(name, version, 0.0, False, "")
