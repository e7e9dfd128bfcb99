"""The contract finds the operation of a request, and each problem of a body with its place."""

import json
from typing import Any

import pytest

from touchstone.contract.document import Contract
from touchstone.errors import ContractError

CONTRACT = Contract.load()
DIGEST = "0123456789abcdef" * 4
VERSION = "/templates/default/demo/1.0.0"


def build(**fields: Any) -> dict[str, Any]:
    return {"ref": "default/demo@1.0.0", "digest": DIGEST, "status": "building"} | fields


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in build().items() if key != name}


def places(operation_id: str, status: int, body: Any) -> set[tuple[str, str]]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {(found.pointer, found.keyword) for found in CONTRACT.problems(operation_id, status, raw)}


@pytest.mark.parametrize(
    ("method", "path", "operation_id"),
    [
        ("POST", "/templates", "publishTemplate"),
        ("POST", VERSION + "/build", "startBuild"),
        ("GET", VERSION + "/build", "getBuild"),
        ("DELETE", VERSION + "/build", "cancelBuild"),
        ("GET", VERSION + "/build/events", "streamBuildEvents"),
        ("HEAD", VERSION + "/build", None),
        ("GET", "/templates", None),
        ("GET", VERSION[1:], None),
        ("GET", VERSION + "/build/", None),
        ("GET", VERSION + "/Build", None),
        ("GET", "/templates//demo/1.0.0", None),
    ],
)
def test_operation_is_found_by_method_and_path(method: str, path: str, operation_id: str | None) -> None:
    found = CONTRACT.match(method, path)
    assert (found[0].id if found else None) == operation_id
    values = {"namespace": "default", "name": "demo", "version": "1.0.0"} if path.startswith(VERSION) else {}
    assert found is None or found[1] == values


def test_path_values_are_decoded_after_the_path_is_split() -> None:
    found = CONTRACT.match("GET", "/templates/a%20b/c%2Fd/%FF%2E/build")
    assert found
    assert found[1] == {"namespace": "a b", "name": "c/d", "version": "\ufffd."}


PUBLISHED = {"ref": "a", "digest": DIGEST, "published": "2026-03-14"}
# fmt: off
GOOD: dict[str, tuple[str, int, Any]] = {
    "started": ("startBuild", 202, build()),
    "reused with 200": ("startBuild", 200, build(status="ready", build_time_ms=5, reused=True)),
    "failed": ("getBuild", 200, build(status="failed", error="exit 1")),
    "prefixed digest": ("getBuild", 200, build(digest="sha256:" + DIGEST)),
    "golden_dir": ("getBuild", 200, build(golden_dir="/golden/1")),
    "undocumented field": ("getBuild", 200, build(queue={"position": 3})),
    "whole float": ("getBuild", 200, build(status="ready", build_time_ms=5.0)),
    "long number": ("getBuild", 200, json.dumps(build())[:-1].encode() + b', "n": %b}' % (b"9" * 5000)),
    "cancelling": ("cancelBuild", 202, {"status": "cancelling"}),
    "unknown version": ("cancelBuild", 404, {"error": "not found"}),
    "error with other fields": ("startBuild", 403, {"error": "plan", "code": "UPGRADE_REQUIRED", "request_id": "r-1"}),
    "published at a moment": ("publishTemplate", 201, PUBLISHED | {"published": "2026-03-14T09:26:53Z"}),
    "invalid": ("publishTemplate", 422, {"errors": [{"field": "a", "code": "required", "message": "m"}]}),
    "undocumented status": ("getBuild", 418, {"status": "teapot"}),
}
WRONG: dict[str, tuple[str, int, Any, set[tuple[str, str]]]] = {
    "no ref": ("startBuild", 202, without("ref"), {("/ref", "required")}),
    "status in capitals": ("getBuild", 200, build(status="Building"), {("/status", "enum")}),
    "null status": ("getBuild", 200, build(status=None), {("/status", "enum"), ("/status", "type")}),
    "ready without time": ("getBuild", 200, build(status="ready"), {("/build_time_ms", "required")}),
    "time as text": ("getBuild", 200, build(status="ready", build_time_ms="5"), {("/build_time_ms", "type")}),
    "time as truth": ("getBuild", 200, build(status="ready", build_time_ms=True), {("/build_time_ms", "type")}),
    "time below zero": ("getBuild", 200, build(status="ready", build_time_ms=-1), {("/build_time_ms", "minimum")}),
    "failed with empty error": ("getBuild", 200, build(status="failed", error=""), {("/error", "minLength")}),
    "short digest": ("getBuild", 200, build(digest=DIGEST[1:]), {("/digest", "pattern")}),
    "digest with a line feed": ("getBuild", 200, build(digest=DIGEST + "\n"), {("/digest", "pattern")}),
    "reused as text": ("startBuild", 202, build(reused="true"), {("/reused", "type")}),
    "two at once": ("getBuild", 200, build(ref=1, status="x"), {("/ref", "type"), ("/status", "enum")}),
    "list": ("getBuild", 200, [build()], {("", "type")}),
    "cancelled": ("cancelBuild", 202, {"status": "cancelled"}, {("/status", "const")}),
    "neither idle nor error": ("cancelBuild", 404, {"status": "none"}, {("", "anyOf")}),
    "error missing": ("getBuild", 404, {"message": "not found"}, {("/error", "required")}),
    "error nested deeply": ("getBuild", 404, b'{"error": ' + b"[" * 400 + b"]" * 400 + b"}", {("/error", "type")}),
    "published as a word": ("publishTemplate", 201, PUBLISHED | {"published": "today"}, {("/published", "pattern")}),
    "no errors": ("publishTemplate", 422, {"error": "bad"}, {("/errors", "required")}),
    "errors without entry": ("publishTemplate", 422, {"errors": []}, {("/errors", "minItems")}),
} | {
    f"no JSON {body[:20]!r}": ("getBuild", 200, body, {("", "json")}) for body in (
        b"", b"{", b"{} {}", b"<html>", b"{'status': 'ready'}", b'{"status": NaN}', b'{"a": -Infinity}',
        b'{"status": "ready", "status": "building"}', b"\xef\xbb\xbf{}", b'{"a": "\xff"}', '{"a": 1}'.encode("utf-16"),
        b'{"a": "\x01"}', b"[" * 100_000, b'{"a":' * 100_000,
    )
}
# fmt: on


@pytest.mark.parametrize(("operation_id", "status", "body"), GOOD.values(), ids=GOOD)
def test_documented_body_has_no_problem(operation_id: str, status: int, body: Any) -> None:
    assert places(operation_id, status, body) == set()


@pytest.mark.parametrize(("operation_id", "status", "body", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_body_is_found_at_its_place(
    operation_id: str, status: int, body: Any, expected: set[tuple[str, str]]
) -> None:
    assert places(operation_id, status, body) == expected


def test_message_has_the_value_and_can_omit_it() -> None:
    body = json.dumps(build(status="sk_live_done", build_time_ms="5")).encode()
    first, second = CONTRACT.problems("getBuild", 200, body)
    assert (first.value, second.value) == ("sk_live_done", "5")
    assert all(text in str(first) for text in ("/status", "'sk_live_done'", "ready, building, failed, not_built"))
    assert "sk_live_done" not in first.without_value
    (either,) = CONTRACT.problems("cancelBuild", 404, b'{"status": "sk_live_none"}')
    assert "'sk_live_none'" in either.message
    assert "sk_live_none" not in either.without_value
    (long,) = CONTRACT.problems("getBuild", 200, json.dumps(build(ref=["x" * 1000] * 1000)).encode())
    assert len(long.message) < 1000


BAD_TIMES = (
    *("2026-03-14 09:26:53Z", "2026-03-14T09:26:53", "2026-02-30T09:26:53Z", "2026-03-14T24:00:00Z"),
    *("2026-03-14T09:26:53Z\n", "2026-03-14T09:26:53.٢Z"),
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, set()),
        ({"ts": "2026-03-14T09:26:53Z", "level": "info", "phase": "boot", "source": "apt", "line": "x"}, set()),
        ({"ts": "2026-03-14T09:26:53.123456789+05:30"}, set()),
        ({"ts": "2016-12-31T23:59:60z"}, set()),
        *(({"ts": text}, {("/ts", "format")}) for text in BAD_TIMES),
        ({"ts": 1773480413}, {("/ts", "type")}),
        ({"level": "warning"}, {("/level", "enum")}),
        ("ready", {("", "type")}),
    ],
)
def test_event_of_a_build_log_is_judged(value: object, expected: set[tuple[str, str]]) -> None:
    assert {(found.pointer, found.keyword) for found in CONTRACT.event.problems(value)} == expected


SMALLEST = """
openapi: 3.1.0
info: {title: t, version: 1.0.0}
paths:
  /a/{x}:
    get:
      operationId: follow
      responses:
        '200': {content: {application/json: {schema: {type: object}}}}
components: {schemas: {A: {type: string}, BuildEvent: {}, TemplateDocument: {}}}
"""


@pytest.mark.parametrize(
    ("old", "new", "data"),
    [
        ("info:", "openapi: 3.1.1\ninfo:", "line 3"),
        ("info: {", "info: [", "line 3"),
        ("operationId: follow", "summary: x", "operationId"),
        ("'200'", "'2XX'", "2XX"),
        ("responses:", "answers:", "'responses'"),
        ("{type: object}", "{type: objekt}", "'objekt'"),
        ("{type: object}", "{$ref: '#/components/schema/A'}", "/schema/A'"),
    ],
)
def test_broken_document_is_refused_with_its_place(old: str, new: str, data: str) -> None:
    assert list(Contract(SMALLEST.encode()).operations) == ["follow"]
    with pytest.raises(ContractError) as raised:
        Contract(SMALLEST.replace(old, new).encode(), "mine.yaml")
    assert str(raised.value).startswith("mine.yaml: ")
    assert data in str(raised.value)
