"""The contract finds the operation of a request and everything that is wrong with a body, at its place."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.contract import files
from touchstone.contract.document import Contract, Problem, Schema
from touchstone.contract.files import contract_tests_dir, openapi_dir
from touchstone.contract.parsing import read_json
from touchstone.errors import ContractError

CONTRACT = Contract.load()
JSON = "application/json"
DIGEST = "0123456789abcdef" * 4
VERSION = "/templates/default/demo/1.0.0"


def build(**fields: Any) -> dict[str, Any]:
    return {"ref": "default/demo@1.0.0", "digest": DIGEST, "status": "building"} | fields


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def places(operation_id: str, status: int, body: Any, media_type: str = JSON) -> set[tuple[str, str]]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {(found.pointer, found.keyword) for found in CONTRACT.problems(operation_id, status, media_type, raw)}


class TestMatch:
    """A request is found by method and path as they were sent."""

    @pytest.mark.parametrize(
        ("method", "path", "operation_id"),
        [
            ("POST", "/templates", "publishTemplate"),
            ("GET", VERSION, "getTemplate"),
            ("DELETE", VERSION, "deleteTemplate"),
            ("POST", VERSION + "/build", "startBuild"),
            ("GET", VERSION + "/build", "getBuild"),
            ("DELETE", VERSION + "/build", "cancelBuild"),
            ("GET", VERSION + "/build/events", "streamBuildEvents"),
            ("POST", "/templates?auto_build=true", "publishTemplate"),
        ],
    )
    def test_operation_is_found(self, method: str, path: str, operation_id: str) -> None:
        """Each operation is found by its method and path; a query does not matter."""
        found = CONTRACT.match(method, path)
        assert found is not None
        assert found[0].id == operation_id
        named = {"namespace": "default", "name": "demo", "version": "1.0.0"}
        assert found[1] == (named if path.startswith(VERSION) else {})

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PUT", "/templates"),
            ("HEAD", VERSION + "/build"),
            ("GET", "/templates"),
            ("GET", "templates/default/demo/1.0.0"),
            ("GET", VERSION + "/"),
            ("GET", VERSION + "/build/"),
            ("GET", VERSION + "/Build"),
            ("GET", "/templates//demo/1.0.0"),
            ("GET", "/templates/default/demo"),
            ("GET", VERSION + "/build/events/more"),
            ("GET", ""),
        ],
    )
    def test_other_request_is_no_operation(self, method: str, path: str) -> None:
        """What the document does not have is no operation, however near it comes."""
        assert CONTRACT.match(method, path) is None

    def test_values_are_decoded_after_the_path_is_cut(self) -> None:
        """An encoded slash stays within its segment, and bytes that are not UTF-8 are shown as such."""
        found = CONTRACT.match("GET", "/templates/a%20b/c%2Fd/%FF%2E/build")
        assert found is not None
        assert found[1] == {"namespace": "a b", "name": "c/d", "version": "\ufffd."}


GOOD = {
    "started": ("startBuild", 202, build()),
    "reused with 202": ("startBuild", 202, build(status="ready", build_time_ms=5, reused=True)),
    "reused with 200": ("startBuild", 200, build(status="ready", build_time_ms=5, reused=True)),
    "not built": ("getBuild", 200, build(status="not_built")),
    "ready": ("getBuild", 200, build(status="ready", build_time_ms=0)),
    "failed": ("getBuild", 200, build(status="failed", error="exit 1")),
    "prefixed digest": ("getBuild", 200, build(digest="sha256:" + DIGEST)),
    "golden_dir": ("getBuild", 200, build(golden_dir="/golden/1")),
    "undocumented field": ("getBuild", 200, build(queue={"position": 3})),
    "whole float": ("getBuild", 200, build(status="ready", build_time_ms=5.0)),
    "cancelling": ("cancelBuild", 202, {"status": "cancelling"}),
    "idle": ("cancelBuild", 404, {"status": "idle"}),
    "idle with an error": ("cancelBuild", 404, {"status": "idle", "error": "nothing is building"}),
    "unknown version": ("cancelBuild", 404, {"error": "not found"}),
    "error alone": ("getBuild", 401, {"error": "Missing API key"}),
    "error with more": ("startBuild", 403, {"error": "plan", "code": "UPGRADE_REQUIRED", "request_id": "r-1"}),
    "too many": ("startBuild", 429, {"error": "later"}),
    "published": ("publishTemplate", 201, {"ref": "a/b@1.0.0", "digest": DIGEST, "published": "2026-03-14T09:26:53Z"}),
    "published on a day": ("publishTemplate", 201, {"ref": "a", "digest": DIGEST, "published": "2026-03-14"}),
    "invalid": ("publishTemplate", 422, {"errors": [{"field": "a", "code": "required", "message": "m"}]}),
    "deleted": ("deleteTemplate", 200, {"deleted": True}),
    "undocumented status": ("getBuild", 418, {"status": "teapot"}),
}

WRONG = {
    "no ref": ("startBuild", 202, without(build(), "ref"), {("/ref", "required")}),
    "no digest": ("getBuild", 200, without(build(), "digest"), {("/digest", "required")}),
    "no status": ("startBuild", 202, without(build(), "status"), {("/status", "required")}),
    "other status": ("getBuild", 200, build(status="done"), {("/status", "enum")}),
    "status in capitals": ("getBuild", 200, build(status="Building"), {("/status", "enum")}),
    "status of a cancel": ("getBuild", 200, build(status="cancelling"), {("/status", "enum")}),
    "null status": ("getBuild", 200, build(status=None), {("/status", "enum"), ("/status", "type")}),
    "ready without time": ("getBuild", 200, build(status="ready"), {("/build_time_ms", "required")}),
    "reused without time": ("startBuild", 200, build(status="ready"), {("/build_time_ms", "required")}),
    "time as text": ("getBuild", 200, build(status="ready", build_time_ms="5"), {("/build_time_ms", "type")}),
    "time in fractions": ("getBuild", 200, build(status="ready", build_time_ms=5.5), {("/build_time_ms", "type")}),
    "time as truth": ("getBuild", 200, build(status="ready", build_time_ms=True), {("/build_time_ms", "type")}),
    "time below zero": ("getBuild", 200, build(status="ready", build_time_ms=-1), {("/build_time_ms", "minimum")}),
    "failed without error": ("getBuild", 200, build(status="failed"), {("/error", "required")}),
    "failed with empty error": ("getBuild", 200, build(status="failed", error=""), {("/error", "minLength")}),
    "failed with null error": ("getBuild", 200, build(status="failed", error=None), {("/error", "type")}),
    "short digest": ("getBuild", 200, build(digest=DIGEST[1:]), {("/digest", "pattern")}),
    "digest in capitals": ("getBuild", 200, build(digest=DIGEST.upper()), {("/digest", "pattern")}),
    "digest with a line feed": ("getBuild", 200, build(digest=DIGEST + "\n"), {("/digest", "pattern")}),
    "reused as text": ("startBuild", 202, build(reused="true"), {("/reused", "type")}),
    "ref as list": ("startBuild", 202, build(ref=["a"]), {("/ref", "type")}),
    "golden_dir as number": ("startBuild", 202, build(golden_dir=1), {("/golden_dir", "type")}),
    "two at once": ("getBuild", 200, build(ref=1, status="x"), {("/ref", "type"), ("/status", "enum")}),
    "list": ("getBuild", 200, [build()], {("", "type")}),
    "null": ("startBuild", 202, None, {("", "type")}),
    "cancelled": ("cancelBuild", 202, {"status": "cancelled"}, {("/status", "const")}),
    "cancel without status": ("cancelBuild", 202, {}, {("/status", "required")}),
    "neither idle nor error": ("cancelBuild", 404, {"status": "none"}, {("", "anyOf")}),
    "error missing": ("getBuild", 404, {"message": "not found"}, {("/error", "required")}),
    "error empty": ("getBuild", 404, {"error": ""}, {("/error", "minLength")}),
    "error as object": ("getBuild", 404, {"error": {"message": "x"}}, {("/error", "type")}),
    "request_id as number": ("getBuild", 404, {"error": "x", "request_id": 1}, {("/request_id", "type")}),
    "no published": ("publishTemplate", 201, {"ref": "a", "digest": DIGEST}, {("/published", "required")}),
    "published as number": (
        "publishTemplate", 201, {"ref": "a", "digest": DIGEST, "published": 1773480413}, {("/published", "type")}
    ),
    "published in words": (
        "publishTemplate", 201, {"ref": "a", "digest": DIGEST, "published": "today"}, {("/published", "pattern")}
    ),
    "no errors": ("publishTemplate", 422, {"error": "bad"}, {("/errors", "required")}),
    "errors without entry": ("publishTemplate", 422, {"errors": []}, {("/errors", "minItems")}),
    "entry without message": (
        "publishTemplate", 422, {"errors": [{"field": "a", "code": "b"}]}, {("/errors/0/message", "required")}
    ),
    "deleted is one": ("deleteTemplate", 200, {"deleted": 1}, {("/deleted", "const")}),
    "template as text": (
        "getTemplate", 200, {"ref": "a", "digest": DIGEST, "published": "2026-03-14", "template": "x"},
        {("/template", "type")},
    ),
}  # fmt: skip


class TestProblems:
    """A body that keeps the contract has no problem; one that does not is found at the place that is wrong."""

    @pytest.mark.parametrize(("operation_id", "status", "body"), GOOD.values(), ids=GOOD)
    def test_documented_body_has_none(self, operation_id: str, status: int, body: Any) -> None:
        """Whatever the documentation allows, or does not speak about, is not found wrong."""
        assert places(operation_id, status, body) == set()

    @pytest.mark.parametrize(("operation_id", "status", "body", "expected"), WRONG.values(), ids=WRONG)
    def test_wrong_body_is_found_at_its_place(
        self, operation_id: str, status: int, body: Any, expected: set[tuple[str, str]]
    ) -> None:
        """Each mistake gives the place and the keyword that it breaks, and no other ones."""
        assert places(operation_id, status, body) == expected

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"{} {}",
            b"<html>",
            b"{'status': 'ready'}",
            b'{"status": NaN}',
            b'{"a": -Infinity}',
            b'{"status": "ready", "status": "building"}',
            b"\xef\xbb\xbf{}",
            b'{"a": "\xff"}',
            '{"a": 1}'.encode("utf-16"),
            b'{"a": "\x01"}',
            b"[" * 100_000,
            b'{"a":' * 100_000,
        ],
        ids=lambda body: repr(body[:24]),
    )
    def test_body_that_is_not_json_has_one_problem(self, body: bytes) -> None:
        """Anything but one JSON value in UTF-8, read strictly, is one problem of the whole body."""
        assert places("getBuild", 200, body) == {("", "json")}

    def test_deep_value_that_can_be_read_is_judged(self) -> None:
        """Nesting below the limit of the reader changes nothing about the verdict."""
        deep = b'{"error": ' + b"[" * 400 + b"]" * 400 + b"}"
        assert places("getBuild", 404, deep) == {("/error", "type")}

    def test_huge_number_is_json(self) -> None:
        """A number longer than Python converts is still a number."""
        body = json.dumps(build(extra=0)).replace("0}", "9" * 5000 + "}").encode()
        assert places("getBuild", 200, body) == set()

    @pytest.mark.parametrize("media_type", [JSON, "application/json; charset=utf-8", "Application/JSON ;x=y", ""])
    def test_media_type_is_read_without_parameters(self, media_type: str) -> None:
        """Case and parameters of a media type do not matter, and without one the documented one is assumed."""
        assert places("cancelBuild", 202, {}, media_type) == {("/status", "required")}

    def test_undocumented_media_type_is_not_judged(self) -> None:
        """
        What a body of another media type should look like is not documented; that it is another is told elsewhere.
        """
        assert places("cancelBuild", 202, b"<html>", "text/html") == set()
        assert CONTRACT.media_types("cancelBuild", 202) == (JSON,)

    def test_message_tells_found_and_expected(self) -> None:
        """The message of a problem reads as one sentence after its place."""
        body = json.dumps(build(status="done", build_time_ms="5")).encode()
        assert [str(problem) for problem in CONTRACT.problems("getBuild", 200, JSON, body)] == [
            "/status: is 'done', expected enum ready, building, failed, not_built",
            "/build_time_ms: is '5', expected type integer",
        ]

    def test_message_about_alternatives_tells_why_each_fails(self) -> None:
        """Where two bodies are allowed, the message says what keeps it from being either."""
        (problem,) = CONTRACT.problems("cancelBuild", 404, JSON, b'{"status": "none"}')
        expected = "fits none of the documented forms: /status is 'none', expected const idle; or /error is missing"
        assert problem == Problem("", "anyOf", expected, {"status": "none"})

    def test_message_stays_short_for_a_long_value(self) -> None:
        """A megabyte in the wrong place does not become a megabyte of report."""
        body = json.dumps(build(status=["x" * 1000] * 1000)).encode()
        assert max(len(problem.message) for problem in CONTRACT.problems("getBuild", 200, JSON, body)) < 1000

    @settings(max_examples=300)
    @given(body=st.binary(max_size=40), operation_id=st.sampled_from(sorted(CONTRACT.operations)))
    def test_no_bytes_crash_it(self, body: bytes, operation_id: str) -> None:
        """Whatever a server sends, there is a verdict for every status that is documented."""
        for status in CONTRACT.allowed_statuses(operation_id):
            assert isinstance(CONTRACT.problems(operation_id, status, "", body), tuple)


class TestEvents:
    """Each event of a build log is judged by itself."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({}, set()),
            ({"ts": "2026-03-14T09:26:53Z", "level": "info", "phase": "boot", "source": "apt", "line": "x"}, set()),
            ({"ts": "2026-03-14T09:26:53.123456789+05:30"}, set()),
            ({"ts": "2016-12-31T23:59:60Z"}, set()),
            ({"step": 3}, set()),
            ({"ts": "2026-03-14 09:26:53Z"}, {("/ts", "format")}),
            ({"ts": "2026-03-14T09:26:53"}, {("/ts", "format")}),
            ({"ts": "2026-02-30T09:26:53Z"}, {("/ts", "format")}),
            ({"ts": "2026-03-14T24:00:00Z"}, {("/ts", "format")}),
            ({"ts": "2026-03-14T09:26:53Z\n"}, {("/ts", "format")}),
            ({"ts": "2026-03-14T09:26:53.٢Z"}, {("/ts", "format")}),
            ({"ts": 1773480413}, {("/ts", "type")}),
            ({"level": "warning"}, {("/level", "enum")}),
            ({"phase": "building"}, {("/phase", "enum")}),
            ({"source": 1}, {("/source", "type")}),
            ({"line": None}, {("/line", "type")}),
            ([], {("", "type")}),
            ("ready", {("", "type")}),
        ],
    )
    def test_event_is_judged(self, value: object, expected: set[tuple[str, str]]) -> None:
        """No field is required; each that is there has its documented type and value."""
        assert {(found.pointer, found.keyword) for found in CONTRACT.event_problems(value)} == expected

    def test_stream_is_judged_event_by_event(self) -> None:
        """Pointers into a stream begin with the number of the event."""
        body = b'data: {"phase":"boot"}\n\n: ping\n\ndata: {"phase":"x"}\n\ndata: nothing\n\ndata: {"level":1}\n\n'
        found = CONTRACT.problems("streamBuildEvents", 200, "text/event-stream; charset=utf-8", body)
        assert [(problem.pointer, problem.keyword) for problem in found] == [
            ("/1/phase", "enum"),
            ("/2", "json"),
            ("/3/level", "type"),
            ("/3/level", "enum"),
        ]


class TestQuestions:
    """What the document lists can be asked for."""

    def test_statuses_and_media_types_are_listed(self) -> None:
        """Statuses come as numbers, media types in the order of the document, and none for an unknown status."""
        assert {200, 202, 429} <= CONTRACT.allowed_statuses("startBuild")
        assert CONTRACT.media_types("streamBuildEvents", 200) == ("text/event-stream",)
        assert CONTRACT.media_types("streamBuildEvents", 500) == ()


SMALLEST = """
openapi: 3.1.0
info: {title: t, version: 1.0.0}
paths:
  /a/{x}:
    get:
      operationId: follow
      responses:
        '200': {content: {text/event-stream: {schema: {properties: {data: {contentSchema: {type: object}}}}}}}
components: {schemas: {A: {type: string}}}
"""


class TestLoading:
    """A document that does not hold together is refused with its place."""

    def test_bundled_document_is_found(self) -> None:
        """Without a path the document of the package is read, and its digest is that of the file."""
        again = Contract((openapi_dir() / "builds.yaml").read_bytes())
        assert (again.sha256, len(again.sha256)) == (CONTRACT.sha256, 64)
        assert again.document == CONTRACT.document

    def test_smallest_document_loads(self) -> None:
        """The document that the refused ones are made from is itself accepted."""
        assert list(Contract(SMALLEST.encode()).operations) == ["follow"]

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("openapi: 3.1.0", "openapi: 3.0.3", r"openapi: found '3.0.3'.*3\.1"),
            ("openapi: 3.1.0", "swagger: '2.0'", r"openapi: found None"),
            ("info:", "openapi: 3.1.1\ninfo:", r": not YAML: line 3: the key … is there twice"),
            ("info: {", "info: [", r": not YAML: line 3"),
            ("operationId: follow", "summary: x", r"GET /a/\{x\}: operationId: found None"),
            (
                "    get:",
                "    post: {operationId: follow, responses: {}}\n    get:",
                r"GET /a/\{x\}: operationId: found 'follow'",
            ),
            ("'200'", "'2XX'", r"follow: responses: 2XX: expected a status code of three digits"),
            ("'200'", "default", r"responses: default"),
            ("responses:", "answers:", r"does not hold together: KeyError\('responses'\)"),
            ("{type: object}", "{type: objekt}", r"'objekt' is not valid"),
            ("{type: object}", "{$ref: '#/components/schema/A'}", r"schema/A': there is no such place"),
            ("{type: object}", "{$ref: 'other.yaml'}", r"'other.yaml': there is no such place in this document"),
            ("{type: string}", "{items: {$ref: '#/components/schemas/A'}}", r"schemas/A': refers to itself"),
            ("contentSchema", "contentSchemas", r"text/event-stream.*add one"),
        ],
    )
    def test_broken_document_is_refused_with_its_place(self, old: str, new: str, message: str) -> None:
        """The error names the document, the place in it and what was expected."""
        assert old in SMALLEST
        with pytest.raises(ContractError, match=message) as caught:
            Contract(SMALLEST.replace(old, new).encode(), "mine.yaml")
        assert str(caught.value).startswith("mine.yaml:")

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("'200'", "200"),
            ("{type: object}", "{$ref: '#/components/schemas/200'}"),
            ("'200': {", "<<: {204: {}}\n        200: {"),
        ],
        ids=["status", "named-by-a-reference", "merged"],
    )
    def test_number_as_a_key_is_the_text_of_it(self, old: str, new: str) -> None:
        """Whether a status or a name of digits stands in quotation marks makes no difference, also to a reference."""
        assert old in SMALLEST
        text = SMALLEST.replace(old, new).replace("schemas: {A:", "schemas: {200: {type: object}, A:")
        contract = Contract(text.encode())
        assert list(contract.document["components"]["schemas"]) == ["200", "A"]
        assert contract.media_types("follow", 200) == ("text/event-stream",)
        assert contract.allowed_statuses("follow") == ({200, 204} if "204" in new else {200})


class TestBundle:
    """The files that travel with the package are found in a wheel and in a checkout."""

    def test_checkout_is_found(self) -> None:
        """In a checkout the directories beside the package are taken."""
        root = Path(__file__).resolve().parent.parent
        assert (openapi_dir(), contract_tests_dir()) == (root / "openapi", root / "contract_tests")

    def test_wheel_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the wheel carries is taken, also where directories of these names lie beside the package."""
        package = tmp_path / "touchstone"
        for place in (package / "_bundle", tmp_path):
            (place / "openapi").mkdir(parents=True)
            (place / "openapi" / "builds.yaml").touch()
        monkeypatch.setattr(files, "_PACKAGE", package)
        assert openapi_dir() == package / "_bundle" / "openapi"

    def test_neither_is_an_error_that_names_both(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without either place, or with a foreign directory of that name, the error names where it looked."""
        (tmp_path / "openapi").mkdir()
        monkeypatch.setattr(files, "_PACKAGE", tmp_path / "touchstone")
        with pytest.raises(ContractError, match=r"_bundle/openapi nor .*/openapi; install the wheel again"):
            openapi_dir()


class TestStrictness:
    """JSON and formats are read as their standards define them."""

    def test_good_json_is_read(self) -> None:
        """Ordinary JSON gives the ordinary value."""
        assert read_json(b' {"a": [1, 2.5, true, null, "\\u00e4"]}\n') == {"a": [1, 2.5, True, None, "ä"]}

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b'{"b": 1, "a": 1, "a": 2}', "has the name 'a' more than once"),
            (b"[NaN]", "holds NaN"),
            (b"\xef\xbb\xbf1", "byte order mark"),
            (b"[" * 100_000, "nested too deeply"),
        ],
    )
    def test_refusal_tells_why(self, body: bytes, message: str) -> None:
        """The reason says what a reader has to look for."""
        with pytest.raises(ValueError, match=message):
            read_json(body)

    def test_uuid_is_checked_where_a_schema_asks_for_it(self) -> None:
        """The format uuid is asserted, in either case; other types are not its business."""
        schema = Schema({"format": "uuid"})
        good = ["0b7f8c8e-5d0c-4d5e-9a55-3c1f0a6f2b11", "0B7F8C8E-5D0C-4D5E-9A55-3C1F0A6F2B11", 5]
        bad = ["", "r-1", "0b7f8c8e5d0c4d5e9a553c1f0a6f2b11", "0b7f8c8e-5d0c-4d5e-9a55-3c1f0a6f2b11\n"]
        assert [value for value in [*good, *bad] if not schema.problems(value)] == good
