"""
Derived faults are what the contract makes of the operators: none forgotten, each named, blamed and permitted rightly.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.ambiguities import AMBIGUITIES
from touchstone.contract import claims, document
from touchstone.proof.faults import FAULTS as ALL_NAMED
from touchstone.proof.mutants import NAMED, generated
from touchstone.proof.mutants.access import ABOUT_ONE, KEY_RULES, VERSION_RULES
from touchstone.proof.mutants.answers import SENT_ALIKE, SHARED
from touchstone.proof.mutants.derived import PERMITTED
from touchstone.proof.mutants.life import TRANSITIONS
from touchstone.proof.surface import (
    ENUMS,
    EVENT_FIELDS,
    HEADERS,
    OPERATIONS,
    PLACES,
    REFUSALS,
    STATUSES,
    SUCCESSES,
    UNUSED,
)

FAULTS = generated(1)
DOCUMENT = document.resolved(document.read_document(Path("openapi/builds.yaml").read_bytes(), "builds.yaml"))
BY_PATH = {
    "/templates": "templates",
    "/templates/{namespace}/{name}/{version}": "template",
    "/templates/{namespace}/{name}/{version}/build": "build",
    "/templates/{namespace}/{name}/{version}/build/events": "events",
}
KNOWN: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method.upper(), BY_PATH[path], operation["responses"])
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}


def named(glob: str) -> set[str]:
    """The derived faults whose names match, also those that are named ones."""
    return {name for name in (*FAULTS, *NAMED) if fnmatchcase(name, glob)}


def fields_of(schema: dict[str, Any]) -> set[str]:
    """The properties of an object, or of any of several."""
    parts = (part for word in ("anyOf", "oneOf", "allOf") for part in schema.get(word, ()))
    return set(schema.get("properties", {})).union(*map(fields_of, parts))


class TestTheSurface:
    """The table that faults are derived from is the contract."""

    def test_operations_are_those_of_the_contract(self) -> None:
        """Each operation has the method and the path that the contract gives it."""
        assert {name: (method, kind) for name, (method, kind, _) in KNOWN.items()} == OPERATIONS

    def test_statuses_are_those_of_the_contract(self) -> None:
        """Each operation has the status codes that the contract lists."""
        assert {name: {*map(int, answers)} for name, (_, _, answers) in KNOWN.items()} == {
            name: set(statuses) for name, statuses in STATUSES.items()
        }

    @pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "streamBuildEvents"])
    def test_fields_are_those_of_the_contract(self, operation: str) -> None:
        """
        The places of an operation together have every field that its answers may have, but for those named unused.
        """
        documented = {
            field
            for answer in KNOWN[operation][2].values()
            for content in answer["content"].values()
            for field in fields_of(content["schema"])
        }
        placed = {field for place in PLACES if place.operation == operation for field in place.fields}
        assert documented - UNUSED == placed

    def test_event_fields_are_those_of_the_contract(self) -> None:
        """A frame has the fields, and its words are the words, that the contract lists."""
        properties = DOCUMENT["components"]["schemas"]["BuildEvent"]["properties"]
        assert set(properties) == set(EVENT_FIELDS)
        assert {name: tuple(properties[name]["enum"]) for name in ("level", "phase")} == {
            name: ENUMS[name] for name in ("level", "phase")
        }
        assert tuple(DOCUMENT["components"]["schemas"]["Build"]["properties"]["status"]["enum"]) == ENUMS["status"]

    def test_every_status_has_a_place_or_is_never_given(self) -> None:
        """Those that the plain twin never gives are the ones that the documentation allows and another server gives."""
        placed = {(place.operation, place.status) for place in PLACES} | {("streamBuildEvents", 200)}
        left = {(name, status) for name, statuses in STATUSES.items() for status in statuses} - placed
        never_given = {
            *((name, 400) for name in ABOUT_ONE),
            *((name, 422) for name in ABOUT_ONE),
            *((name, 429) for name in OPERATIONS if name != "startBuild"),
            *((name, 403) for name in OPERATIONS if name not in {"startBuild", "publishTemplate"}),
            *((name, status) for name in ("deleteTemplate", "startBuild", "cancelBuild") for status in (405, 409)),
            *(("publishTemplate", 200), ("startBuild", 200)),
        }
        assert left == never_given


class TestNothingIsForgotten:
    """Every operator has been put to everything that it fits."""

    def test_there_are_more_than_four_hundred(self) -> None:
        """What the documentation permits is not counted."""
        assert sum(not fault.permits for fault in FAULTS.values()) >= 400

    @pytest.mark.parametrize("place", SUCCESSES, ids=lambda place: place.name)
    def test_every_field_of_a_success_is_mistreated(self, place: Any) -> None:
        """
        It is left out, of another type, and somebody else's, old or wrong: here, or where the same line writes it.
        """
        for name in place.fields:
            found = {fault.removeprefix(f"{place.name}.{name}.") for fault in named(f"{place.name}.{name}.*")}
            assert "drop" in found
            if place.name not in SENT_ALIKE or name not in {*SHARED, "status"}:
                assert "type" in found
                assert found - {"drop", "type", "null"} or place.name == "getTemplate.200"
            elif name in {"ref", "digest"}:
                assert named(f"{place.operation}.20?.*.{name}.swap")

    @pytest.mark.parametrize("place", REFUSALS, ids=lambda place: place.name)
    def test_every_field_of_a_refusal_is_mistreated(self, place: Any) -> None:
        """It is left out and, where the answer is not the same on every operation, of another type."""
        for name in place.fields:
            assert named(f"{place.name}.{name}.drop")
            assert place.status == 401 or named(f"{place.name}.{name}.type")

    @pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
    def test_every_answer_has_another_status_once(self, place: Any) -> None:
        """A documented one in the place of the right one; a success also one that no server should send."""
        assert named(f"{place.name}.code.[1-5]*")
        assert place.status >= 300 or named(f"{place.name}.code.failing")

    @pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "streamBuildEvents"])
    def test_every_operation_is_mistreated_as_a_whole(self, operation: str) -> None:
        """Its answer is cut off, an array, called something else, late, old and somebody else's."""
        for how in ("*.body.cut", "*.body.array", "*.media.text-html", "*.delay", ".answer.repeat", ".answer.swap"):
            assert named(f"{operation}{how}"), how

    def test_every_status_word_takes_the_place_of_every_other(self) -> None:
        """A status read says each of the other three words of its enum, whichever is true."""
        for true in ENUMS["status"]:
            found = {name.rpartition(".")[2] for name in named(f"getBuild.200.{true}.status.*")}
            assert {word.replace("_", "-") for word in ENUMS["status"] if word != true} <= found

    @pytest.mark.parametrize("name", EVENT_FIELDS)
    def test_every_field_of_a_frame_is_mistreated(self, name: str) -> None:
        """It is left out, null and of another type."""
        found = {fault.rpartition(".")[2] for fault in named(f"streamBuildEvents.200.{name}.*")}
        assert found >= {"drop", "null", "type"}

    def test_every_header_is_mistreated(self) -> None:
        """Each header that means something is left out or wrong somewhere."""
        media_type = named("*.media.*")
        assert {name for name in HEADERS if named(f"*.{name}.*") or (name == "Content-Type" and media_type)} == set(
            HEADERS
        )

    def test_every_access_rule_is_skipped_on_every_operation(self) -> None:
        """One operation at a time, and no operation is left out."""
        for rule in KEY_RULES:
            assert named(f"auth.{rule}.skip.*") == {f"auth.{rule}.skip.{operation}" for operation in OPERATIONS}
        for rule in VERSION_RULES:
            assert named(f"access.{rule}.skip.*") == {f"access.{rule}.skip.{operation}" for operation in ABOUT_ONE}
        assert len(named("access.plan.skip.*")) == 2

    @pytest.mark.parametrize("transition", TRANSITIONS)
    def test_every_transition_goes_wrong_in_several_ways(self, transition: str) -> None:
        """Each is at least skipped or applied to something else."""
        assert len(named(f"{transition}.*")) >= 3

    def test_every_way_to_go_wrong_is_there(self) -> None:
        """Transitions are skipped, repeated, applied to a neighbour, to another account, too late, never, and lost."""
        for way in ("skip", "twice", "of-neighbour", "of-others", "late", "never", "second-lost"):
            assert {name for name in named(f"*.{way}") if name.partition(".")[0] in TRANSITIONS}, way

    def test_what_is_left_out_is_tried_elsewhere(self) -> None:
        """Answers that are spared some operators share their operation with one that is not."""
        for name in SENT_ALIKE:
            operation = name.partition(".")[0]
            assert [one for one in SUCCESSES if one.operation == operation and one.name not in SENT_ALIKE]

    def test_what_is_a_named_fault_is_no_derived_one(self) -> None:
        """The named one exists, and the derived one is not tried a second time."""
        assert set(NAMED.values()) <= set(ALL_NAMED)
        assert set(NAMED) & set(FAULTS) == set()


class TestNames:
    """A name says how the fault was derived, and nothing else."""

    def test_same_seed_gives_the_same_faults(self) -> None:
        """Names, what they say and whom they are blamed on repeat."""
        again = generated(1)
        assert [(f.name, f.says, f.breaks) for f in again.values()] == [
            (f.name, f.says, f.breaks) for f in FAULTS.values()
        ]

    def test_another_seed_gives_other_values_under_the_same_names(self) -> None:
        """A name tells the place and the operator; only the value that is put there is drawn."""
        others = generated(2)
        assert list(others) == list(FAULTS)
        assert {name for name in FAULTS if FAULTS[name].says != others[name].says} != set()

    def test_names_are_words_and_dots(self) -> None:
        """Each name can be typed, and each fault says in a sentence what it does."""
        assert [name for name in FAULTS if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+", name)] == []
        assert [name for name, fault in FAULTS.items() if name != fault.name or not fault.says.endswith(".")] == []
        assert {fault.generated for fault in FAULTS.values()} == {True}

    def test_no_two_faults_say_the_same(self) -> None:
        """Two that did would be one."""
        assert len({fault.says for fault in FAULTS.values()}) == len(FAULTS)


class TestBlame:
    """Whom a fault is blamed on is said in claims that exist."""

    @pytest.mark.parametrize("part", ["breaks", "also"])
    def test_every_glob_matches_a_claim(self, part: str) -> None:
        """A glob that matches no claim of the ledger is a mistake."""
        known = [claim.id for claim in claims.load().judged()]
        globs = {glob for fault in FAULTS.values() for glob in getattr(fault, part)}
        assert {glob for glob in globs if not any(fnmatchcase(claim, glob) for claim in known)} == set()
        assert all(fault.breaks for fault in FAULTS.values())


class TestPermitted:
    """What is permitted exists, and says by which ambiguity or sentence."""

    @pytest.mark.parametrize("glob", PERMITTED)
    def test_permission_is_for_something(self, glob: str) -> None:
        """An entry that matches no fault is out of date."""
        assert named(glob)

    @pytest.mark.parametrize("reason", PERMITTED.values())
    def test_permission_has_a_source(self, reason: str) -> None:
        """It begins with the number of an ambiguity, or with a page and its section."""
        source, _, why = reason.partition(": ")
        number = re.fullmatch(r"facts 7\.(\d+)", source)
        assert why
        assert number is None or int(number[1]) in AMBIGUITIES
        assert number or re.match(r"[a-z-]+#|RFC \d+", source)
