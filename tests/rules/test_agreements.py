"""Lists in two places agree: claims and rules, claims and cases, answers and contract, ambiguities and variants."""

import ast
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from touchstone.cli import app
from touchstone.config import Flags
from touchstone.contract import answers, claims
from touchstone.contract.answers import Answer, State
from touchstone.contract.document import Contract
from touchstone.proof.variants import VARIANTS
from touchstone.rules.catalogue import EXCHANGE_RULES, STORY_RULES
from touchstone.rules.rule import Rule

ROOT = Path(__file__).resolve().parents[2]
# Ambiguities 7.1 to 7.50, except: 11, where each reading builds again; 38, 43, 49 on other operations.
AMBIGUITIES, EXCLUDED = set(range(1, 51)), {11, 38, 43, 49}
RULES: tuple[Rule[Any], ...] = (*EXCHANGE_RULES, *STORY_RULES)


@pytest.fixture(scope="module")
def judged() -> set[str]:
    """The claims that are not excluded."""
    return {claim.id for claim in claims.load().judged()}


def marked() -> Iterator[tuple[str, str]]:
    """The claims in the markers of the contract tests, with their files."""
    for path in sorted((ROOT / "contract_tests").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("pytest.mark.") == "claims":
                constants = (part for part in node.args if isinstance(part, ast.Constant))
                yield from ((path.name, claim) for part in constants for claim in ast.literal_eval(part).split())


def test_every_claim_is_judged_by_a_rule_and_driven_by_a_case(judged: set[str]) -> None:
    assert {claim for rule in RULES for claim in rule.claims} == judged
    assert {(file, claim) for file, claim in marked() if claim not in judged} == set()
    assert {claim for _, claim in marked()} == judged


def test_rules_have_names_of_their_own() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


def rows() -> Iterator[tuple[str, str, Answer]]:
    """Each answer with its operation and its state or caller."""
    table = answers.load()
    yield from ((operation, state, row) for operation, by in table.answers.items() for state, row in by.items())
    for caller, by in table.refusals.items():
        yield from ((operation, caller, by.get(operation, by["any"])) for operation in table.answers)


@pytest.mark.parametrize(("operation", "state", "row"), tuple(rows()))
def test_answer_is_documented(operation: str, state: str, row: Answer, judged: set[str]) -> None:
    contract = Contract.load()
    assert set(row.may) <= contract.allowed_statuses(operation)
    # The documents have no schema for the text in ``error``, and a log is no JSON.
    documented = {
        (code, status): _is_valid(contract, operation, code, status) for code in row.may for status in row.may[code]
    }
    assert all(documented.values()), documented
    assert {row.claim, row.body} <= judged | {""}
    # If the API may choose, this is an ambiguity, and a variant of the twin makes another choice.
    assert row.open or len(row.may) == 1
    assert row.open in AMBIGUITIES - EXCLUDED | {0}


def _is_valid(contract: Contract, operation: str, code: int, status: str) -> bool:
    problems = contract.problems(operation, code, json.dumps({"status": status}).encode())
    return not any(problem.pointer == "/status" or problem.keyword == "anyOf" for problem in problems)


def test_every_state_of_a_version_has_an_answer_to_every_operation() -> None:
    table = answers.load()
    assert table.answers.keys() == Contract.load().operations.keys()
    states = {state for operation, by in table.answers.items() for state in by}
    assert states == table.states.keys()
    for operation, by in table.answers.items():
        assert operation == "publishTemplate" or by.keys() >= {
            *map(str, State),
            "cancelled",
            "missing",
            "deleted",
            "foreign",
        }


def test_every_flag_of_the_settings_is_an_option_of_check() -> None:
    check = typer.main.get_command(app.app).commands["check"]  # type: ignore[attr-defined]
    offered = {option.name for option in check.params} - {"help"}

    assert offered - {"write_baseline", "last_failed", "only", "keep", "resume", "build_s", "verbose"} == {
        field.name
        for field in dataclasses.fields(Flags)
        if field.name != "keyless"  # of `proxy`, and no flag
    }


def test_every_ambiguity_is_answered_by_a_variant_or_excluded() -> None:
    answered = {number for variant in VARIANTS.values() for number in variant.answers}

    assert answered == AMBIGUITIES - EXCLUDED
