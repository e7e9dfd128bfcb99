"""openapi/builds.yaml is valid and matches the documentation, and its examples match their schemas."""

import json
from typing import Any

import jsonschema
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from touchstone.contract.document import EVENT_STREAM, Contract, resolved
from touchstone.contract.event_stream import parse
from touchstone.contract.files import openapi_dir

CONTRACT = Contract.load()
TREE = resolved(CONTRACT.document)
VERSION = "/templates/{namespace}/{name}/{version}"
ERRORS = {400, 401, 403, 404, 422, 429}
OPERATIONS = {
    "publishTemplate": ("POST", "/templates", {200, 201, 400, 401, 403, 409, 422, 429}),
    "getTemplate": ("GET", VERSION, {200} | ERRORS),
    "deleteTemplate": ("DELETE", VERSION, {200, 405, 409} | ERRORS),
    "startBuild": ("POST", VERSION + "/build", {200, 202, 405, 409} | ERRORS),
    "getBuild": ("GET", VERSION + "/build", {200} | ERRORS),
    "cancelBuild": ("DELETE", VERSION + "/build", {202, 405, 409} | ERRORS),
    "streamBuildEvents": ("GET", VERSION + "/build/events", {200} | ERRORS),
}


def definition(operation_id: str) -> dict[str, Any]:
    operation = CONTRACT.operations[operation_id]
    return dict(TREE["paths"][operation.path][operation.method.lower()])


MEDIA = [
    (operation_id, int(status), kind, content)
    for operation_id in CONTRACT.operations
    for status, answer in definition(operation_id)["responses"].items()
    for kind, content in answer["content"].items()
]


def test_document_is_valid_openapi_for_any_reader() -> None:
    OpenAPIV31SpecValidator(CONTRACT.document).validate()
    assert yaml.safe_load((openapi_dir() / "builds.yaml").read_bytes()) == CONTRACT.document


def test_operations_and_statuses_are_those_of_the_documentation() -> None:
    assert CONTRACT.operations.keys() == OPERATIONS.keys()
    for operation_id, (method, path, statuses) in OPERATIONS.items():
        operation = CONTRACT.operations[operation_id]
        assert (operation.method, operation.path) == (method, path)
        assert CONTRACT.allowed_statuses(operation_id) == statuses
        assert {status for name, status, *_ in MEDIA if name == operation_id} == statuses  # each has a body


def test_examples_match_their_schemas_and_other_bodies_do_not() -> None:
    invalid, accepted = [], []
    for operation_id, status, kind, content in MEDIA:
        assert content["examples"], (operation_id, status)
        for name, example in content["examples"].items():
            value = example["value"]
            place = (operation_id, status, name)
            if kind == EVENT_STREAM:
                events = [json.loads(data) for data in parse(value.encode()).events]
                invalid += [place] if any(map(CONTRACT.event.problems, events)) else []
                accepted += [] if CONTRACT.event.problems({"phase": "painting"}) else [place]
                continue
            wrong, body = json.dumps({"other": value}), json.dumps(value)
            invalid += [place] if CONTRACT.problems(operation_id, status, body.encode()) else []
            accepted += [] if CONTRACT.problems(operation_id, status, wrong.encode()) else [place]
    assert (invalid, accepted) == ([], [])


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("Name", ["a", "a-b", "x1-2y", "a" * 64], ["", "A", "a_b", "-a", "a-", "a--b", "ä", "a.b", "a" * 65]),
        ("Namespace", ["default", "system"], ["", "de/fault", "Default"]),
        ("Version", ["0.0.0", "1.0.0", "10.20.30"], ["", "1", "1.0", "01.0.0", "1.0.0-rc.1", "1.0.0+5", "v1.0.0"]),
    ],
)
def test_path_parameter_has_the_documented_form(parameter: str, good: list[str], bad: list[str]) -> None:
    found = TREE["components"]["parameters"][parameter]
    validator = jsonschema.Draft202012Validator(found["schema"])
    assert [text for text in good + bad if validator.is_valid(text)] == good
    assert all(validator.is_valid(example["value"]) for example in found["examples"].values())


def test_operations_need_a_bearer_key_and_name_no_real_server() -> None:
    assert TREE["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    assert TREE["security"] == [{"apiKey": []}]
    assert [name for name in OPERATIONS if "security" in definition(name)] == []
    assert [server["url"] for server in TREE["servers"]] == ["/api"]
