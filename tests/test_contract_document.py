"""openapi/builds.yaml is a valid document that says what the documentation says, and its examples obey it."""

import json
import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import response_schema_conformance

from touchstone.contract.document import Contract, resolved
from touchstone.contract.files import openapi_dir

CONTRACT = Contract.load()
TREE = resolved(CONTRACT.document)
BUILD = "/templates/{namespace}/{name}/{version}/build"
ERRORS = {400, 401, 403, 404, 422, 429}
STATUSES = {
    "publishTemplate": {200, 201, 400, 401, 403, 409, 422, 429},
    "getTemplate": {200} | ERRORS,
    "deleteTemplate": {200, 405, 409} | ERRORS,
    "startBuild": {200, 202, 405, 409} | ERRORS,
    "getBuild": {200} | ERRORS,
    "cancelBuild": {202, 405, 409} | ERRORS,
    "streamBuildEvents": {200} | ERRORS,
}


def definition(operation_id: str) -> dict[str, Any]:
    operation = CONTRACT.operations[operation_id]
    found: dict[str, Any] = TREE["paths"][operation.path][operation.method.lower()]
    return found


def media() -> list[tuple[str, int, str, dict[str, Any]]]:
    return [
        (operation_id, int(status), kind, content)
        for operation_id in CONTRACT.operations
        for status, answer in definition(operation_id)["responses"].items()
        for kind, content in answer["content"].items()
    ]


def examples() -> list[Any]:
    return [
        pytest.param(operation_id, status, kind, example["value"], id=f"{operation_id}-{status}-{name}")
        for operation_id, status, kind, content in media()
        for name, example in content["examples"].items()
    ]


def test_document_is_valid_openapi() -> None:
    """The document passes a validator of OpenAPI 3.1."""
    OpenAPIV31SpecValidator(CONTRACT.document).validate()


def test_validator_would_notice() -> None:
    """The validator refuses the same document without its path parameters."""
    broken = json.loads(json.dumps(CONTRACT.document))
    del broken["paths"][BUILD]["parameters"]
    with pytest.raises(Exception, match="namespace"):
        OpenAPIV31SpecValidator(broken).validate()


def test_operations_are_those_of_the_api() -> None:
    """The document has seven operations, each with its method and path."""
    version = "/templates/{namespace}/{name}/{version}"
    assert {found.id: (found.method, found.path) for found in CONTRACT.operations.values()} == {
        "publishTemplate": ("POST", "/templates"),
        "getTemplate": ("GET", version),
        "deleteTemplate": ("DELETE", version),
        "startBuild": ("POST", BUILD),
        "getBuild": ("GET", BUILD),
        "cancelBuild": ("DELETE", BUILD),
        "streamBuildEvents": ("GET", BUILD + "/events"),
    }


def test_statuses_are_those_that_the_documentation_allows() -> None:
    """Each operation lists the statuses that its page, the general table or an open question allows; never 5xx."""
    assert {name: set(CONTRACT.allowed_statuses(name)) for name in CONTRACT.operations} == STATUSES


def test_every_answer_has_a_body_with_an_example() -> None:
    """Each status of each operation has a media type, a schema and at least one example."""
    assert {(name, status) for name, status, _, _ in media()} == {
        (name, status) for name, statuses in STATUSES.items() for status in statuses
    }
    assert [(name, status) for name, status, _, content in media() if not content["examples"]] == []


@pytest.mark.parametrize(("operation_id", "status", "kind", "value"), examples())
def test_example_obeys_its_schema(operation_id: str, status: int, kind: str, value: Any) -> None:
    """Each example is an answer that the contract has nothing against, with the media type that it is listed under."""
    body = value if isinstance(value, str) else json.dumps(value)
    assert CONTRACT.problems(operation_id, status, kind, body.encode()) == ()


@pytest.mark.parametrize(("operation_id", "status", "kind", "value"), examples())
def test_example_is_refused_where_it_does_not_belong(operation_id: str, status: int, kind: str, value: Any) -> None:
    """Each example would be found wrong as another kind of body, so its schema says something."""
    wrong = 'data: {"phase":"painting"}\n\n' if isinstance(value, str) else json.dumps({"other": value})
    assert CONTRACT.problems(operation_id, status, kind, wrong.encode()) != ()


def test_published_examples_obey_the_document_schema() -> None:
    """Each example of a request body is a document that the contract allows to be sent."""
    content = definition("publishTemplate")["requestBody"]["content"]
    assert set(content) == {"application/json", "application/yaml"}
    for kind in content.values():
        assert kind["examples"]
        for example in kind["examples"].values():
            jsonschema.Draft202012Validator(kind["schema"]).validate(example["value"])


def test_path_parameters_have_bounds_that_their_examples_keep() -> None:
    """Each path parameter has a pattern, a longest length and an example that obeys both."""
    for name in CONTRACT.operations:
        item = TREE["paths"][CONTRACT.operations[name].path]
        assert [found["name"] for found in item.get("parameters", [])] == (
            [] if name == "publishTemplate" else ["namespace", "name", "version"]
        )
        for parameter in item.get("parameters", []):
            # schemathesis merges a pattern and a shortest length into a wrong pattern.
            assert parameter["schema"].keys() & {"pattern", "minLength", "maxLength"} == {"pattern", "maxLength"}
            jsonschema.Draft202012Validator(parameter["schema"]).validate(parameter["example"])


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("Name", ["a", "a-b", "x1-2y", "a" * 64], ["", "A", "a_b", "-a", "a-", "a--b", "ä", "a.b", "a" * 65]),
        ("Namespace", ["default", "system"], ["", "de/fault", "Default"]),
        ("Version", ["0.0.0", "1.0.0", "10.20.30"], ["", "1", "1.0", "01.0.0", "1.0.0-rc.1", "1.0.0+5", "v1.0.0"]),
    ],
)
def test_path_parameter_tells_good_from_bad(parameter: str, good: list[str], bad: list[str]) -> None:
    """The bounds of a path parameter let through what the documentation calls valid and nothing else."""
    validator = jsonschema.Draft202012Validator(TREE["components"]["parameters"][parameter]["schema"])
    assert [text for text in good + bad if validator.is_valid(text)] == good


@pytest.mark.parametrize("status", ["200", "202"])
def test_a_start_links_to_what_can_be_done_with_the_build(status: str) -> None:
    """Both answers to a start link to reading, cancelling and following the same version."""
    links = definition("startBuild")["responses"][status]["links"].values()
    assert {link["operationId"] for link in links} == {"getBuild", "cancelBuild", "streamBuildEvents"}
    same = {name: f"$request.path.{name}" for name in ("namespace", "name", "version")}
    assert all(link["parameters"] == same for link in links)


def test_a_publication_links_to_its_version() -> None:
    """The answer to publishing links to reading, building and deleting the version that the document names."""
    links = definition("publishTemplate")["responses"]["201"]["links"].values()
    assert {link["operationId"] for link in links} == {"getTemplate", "startBuild", "getBuild", "deleteTemplate"}
    named = {"name": "$request.body#/template/name", "version": "$request.body#/template/version"}
    assert all(link["parameters"] == {"namespace": "default"} | named for link in links)


def test_enums_are_the_documented_ones() -> None:
    """Build states, levels and phases are those of the documentation, none more and none less."""
    schemas = TREE["components"]["schemas"]
    event = schemas["BuildEvent"]["properties"]
    phases = {"publish", "compile", "boot", "install", "snapshot", "record", "archive", "ready", "cancel", "timeout"}
    assert set(schemas["Build"]["properties"]["status"]["enum"]) == {"ready", "building", "failed", "not_built"}
    assert set(event["level"]["enum"]) == {"info", "success", "warn", "error"}
    assert set(event["phase"]["enum"]) == phases
    assert "required" not in schemas["BuildEvent"]


def test_every_operation_needs_a_bearer_key() -> None:
    """The bearer scheme applies to the whole document and no operation lifts it."""
    assert TREE["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    assert TREE["security"] == [{"apiKey": []}]
    assert [name for name in CONTRACT.operations if "security" in definition(name)] == []


def test_retry_after_is_optional_on_every_429() -> None:
    """Each 429 may carry Retry-After, in seconds or as an HTTP date, and need not."""
    headers = [definition(name)["responses"]["429"]["headers"]["Retry-After"] for name in CONTRACT.operations]
    assert [header["required"] for header in headers] == [False] * len(STATUSES)
    pattern = re.compile(headers[0]["schema"]["pattern"])
    values = {name: example["value"] for name, example in headers[0]["examples"].items()}
    assert all(pattern.fullmatch(value) for value in values.values())
    assert (int(values["seconds"]), type(parsedate_to_datetime(values["date"]))) == (4, datetime)
    assert [bad for bad in ("soon", "-1", "1.5", "", "2026-03-14") if pattern.search(bad)] == []


def test_document_reaches_no_real_service() -> None:
    """The server is a relative path, so a tool that reads the document sends nothing to the real one."""
    assert [server["url"] for server in TREE["servers"]] == ["/api"]


def test_plain_reader_of_yaml_sees_the_same_document() -> None:
    """Nothing in the file needs the stricter reader: PyYAML's own reads the same values."""
    assert yaml.safe_load((openapi_dir() / "builds.yaml").read_bytes()) == CONTRACT.document


class TestSchemathesis:
    """The generator of cases understands the document as it is meant."""

    schema = schemathesis.openapi.from_dict(CONTRACT.document)

    def judge(self, body: str) -> None:
        operation = self.schema[BUILD + "/events"]["GET"]
        case = operation.Case(path_parameters={"namespace": "default", "name": "a", "version": "1.0.0"})
        request = httpx.Request("GET", "http://127.0.0.1/api")
        response = httpx.Response(
            200, headers={"Content-Type": "text/event-stream"}, content=body.encode(), request=request
        )
        response.elapsed = datetime.resolution
        case.validate_response(response, checks=[response_schema_conformance])

    def test_every_operation_is_offered(self) -> None:
        """All seven operations load without an error."""
        labels = {result.ok().label for result in self.schema.get_all_operations()}  # type: ignore[union-attr]  # none is an Err
        assert labels == {f"{found.method} {found.path}" for found in CONTRACT.operations.values()}

    def test_generated_path_parameters_obey_their_bounds(self) -> None:
        """What it generates as valid is valid: patterns and lengths are merged without a mistake."""
        parameters = TREE["components"]["parameters"].values()
        bounds = {found["name"]: jsonschema.Draft202012Validator(found["schema"]) for found in parameters}
        unfit: list[tuple[str, object]] = []

        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
        @given(case=self.schema[BUILD]["POST"].as_strategy())
        def collect(case: schemathesis.Case[Any]) -> None:
            unfit.extend(part for part in case.path_parameters.items() if not bounds[part[0]].is_valid(part[1]))

        collect()
        assert unfit == []

    def test_good_events_pass(self) -> None:
        """Events as documented have nothing against them."""
        self.judge('data: {"ts":"2026-03-14T09:26:53Z","level":"info","phase":"boot"}\n\ndata: {}\n\n')

    @pytest.mark.parametrize("data", ['{"phase":"painting"}', '{"ts":"yesterday"}', "[]", "{", "ready"])
    def test_each_event_is_judged(self, data: str) -> None:
        """An event that is no documented object is found, also as the second one."""
        with pytest.raises(schemathesis.errors.FailureGroup):
            self.judge(f'data: {{"phase":"boot"}}\n\ndata: {data}\n\n')
