"""Faults that are derived from the contract: they are complete, change responses, and break claims."""

import random
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.twin.life import same
from touchstone.contract import claims, document
from touchstone.contract.files import openapi_dir
from touchstone.contract.parsing import read_yaml
from touchstone.proof.faults import FAULTS as WRITTEN
from touchstone.proof.mutants import DUPLICATES, generated
from touchstone.proof.mutants.access import ABOUT_ONE, KEY_RULES, VERSION_RULES
from touchstone.proof.mutants.answers import SENT_ALIKE, SHARED
from touchstone.proof.mutants.derived import PERMITTED
from touchstone.proof.mutants.life import TRANSITIONS
from touchstone.proof.surface import ENUMS, EVENT_FIELDS, OPERATIONS, PLACES, REFUSALS, STATUSES, SUCCESSES, UNUSED
from touchstone.twin.serve import Behaviour

FAULTS = generated(1)
CONTRACT = document.resolved(read_yaml((openapi_dir() / "builds.yaml").read_bytes()))
RESOURCES = {"/templates": "templates", "/templates/{namespace}/{name}/{version}": "template"}
# By operationId: method, kind of resource, and responses by status.
KNOWN: dict[str, tuple[str, str, dict[int, Any]]] = {
    operation["operationId"]: (
        method.upper(),
        RESOURCES.get(path, path.rpartition("/")[2]),
        {int(status): response for status, response in operation["responses"].items()},
    )
    for path, item in CONTRACT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}
BODIES = [name for name in OPERATIONS if name != "streamBuildEvents"]


def matching(glob: str) -> set[str]:
    """The names of matching derived faults, including duplicates of written ones."""
    return {name for name in (*FAULTS, *DUPLICATES) if fnmatchcase(name, glob)}


def missing(place: str, *globs: str) -> list[str]:
    return [glob for glob in globs if not matching(f"{place}{glob}")]


def suffixes(glob: str) -> set[str]:
    return {name.rpartition(".")[2] for name in matching(glob)}


def fields_of(schema: dict[str, Any]) -> set[str]:
    """The properties of a schema and of its alternatives."""
    parts = (part for word in ("anyOf", "oneOf", "allOf") for part in schema.get(word, ()))
    return set(schema.get("properties", {})).union(*map(fields_of, parts))


def test_surface_is_that_of_the_contract() -> None:
    assert {name: (method, kind) for name, (method, kind, _) in KNOWN.items()} == OPERATIONS
    assert {name: set(known[2]) for name, known in KNOWN.items()} == {n: set(codes) for n, codes in STATUSES.items()}
    for operation in BODIES:
        contents = [content for answer in KNOWN[operation][2].values() for content in answer["content"].values()]
        placed = {field for place in PLACES if place.operation == operation for field in place.fields}
        assert set().union(*(fields_of(content["schema"]) for content in contents)) - UNUSED == placed, operation
    schemas = CONTRACT["components"]["schemas"]
    event = schemas["BuildEvent"]["properties"]
    assert set(event) == set(EVENT_FIELDS)
    enums = {name: event[name]["enum"] for name in ("level", "phase")}
    enums["status"] = schemas["Build"]["properties"]["status"]["enum"]
    assert {name: tuple(values) for name, values in enums.items()} == {name: ENUMS[name] for name in enums}


def test_each_success_and_each_of_its_fields_are_changed() -> None:
    for place in SUCCESSES:
        assert missing(place.name, ".code.[1-5]*", ".code.failing") == []
        for name in place.fields:
            found = suffixes(f"{place.name}.{name}.*")
            assert "drop" in found
            if place.name not in SENT_ALIKE or name not in {*SHARED, "status"}:
                assert "type" in found
                assert found - {"drop", "type", "null"} or place.name == "getTemplate.200"
            elif name in {"ref", "digest"}:
                assert matching(f"{place.operation}.20?.*.{name}.swap")


def test_each_refusal_and_each_of_its_fields_are_changed() -> None:
    for place in REFUSALS:
        hows = ["drop", "type"] if place.status != 401 else ["drop"]
        fields = (f".{name}.{how}" for name in place.fields for how in hows)
        assert missing(place.name, ".code.[1-5]*", *fields) == [], place.name


def test_operations_states_frames_rules_and_transitions_are_changed() -> None:
    hows = ("*.body.cut", "*.body.array", "*.media.text-html", "*.delay", ".answer.repeat", ".answer.swap")
    assert [name for name in BODIES if missing(name, *hows)] == []
    for word in ENUMS["status"]:
        others = {other.replace("_", "-") for other in ENUMS["status"] if other != word}
        assert others <= suffixes(f"getBuild.200.{word}.status.*")
    for name in EVENT_FIELDS:
        assert suffixes(f"streamBuildEvents.200.{name}.*") >= {"drop", "null", "type"}
    for rule in KEY_RULES:
        assert suffixes(f"auth.{rule}.skip.*") == set(OPERATIONS)
    for rule in VERSION_RULES:
        assert suffixes(f"access.{rule}.skip.*") == set(ABOUT_ONE)
    assert [name for name in TRANSITIONS if len(matching(f"{name}.*")) < 3] == []


def test_seed_draws_values_and_no_names() -> None:
    again, others = generated(1), generated(2)
    assert [(f.name, f.says, f.breaks) for f in again.values()] == [(f.name, f.says, f.breaks) for f in FAULTS.values()]
    assert list(others) == list(FAULTS)
    assert any(FAULTS[name].says != others[name].says for name in FAULTS)


def test_blame_names_claims_that_exist() -> None:
    known = [claim.id for claim in claims.load().judged()]
    globs = {glob for fault in FAULTS.values() for glob in (*fault.breaks, *fault.also)}
    assert {glob for glob in globs if not any(fnmatchcase(claim, glob) for claim in known)} == set()
    assert all(fault.breaks for fault in FAULTS.values())


def test_listed_and_permitted_faults_are_derived_ones() -> None:
    assert set(DUPLICATES.values()) <= set(WRITTEN)
    assert set(DUPLICATES) & set(FAULTS) == set()
    assert [glob for glob in PERMITTED if not matching(glob)] == []


SAMPLE = random.Random(1).sample(list(FAULTS), 30)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in SAMPLE else [pytest.mark.whole]) for n in FAULTS])
def test_fault_changes_responses(name: str, virtual_time: None) -> None:
    assert not same(Behaviour("faithful", ""), FAULTS[name])
