"""Lists in two places agree: claims and rules, claims and cases, answers and contract, ambiguities and variants."""

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from touchstone.cli import app
from touchstone.config import Flags
from touchstone.contract import claims
from touchstone.contract.answers import allowed
from touchstone.contract.document import Contract
from touchstone.errors import ContractError
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
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.claims":
                constants = (part for part in node.args if isinstance(part, ast.Constant))
                yield from ((path.name, str(ast.literal_eval(part))) for part in constants)


def test_every_claim_is_judged_by_a_rule_and_driven_by_a_case(judged: set[str]) -> None:
    assert {claim for rule in RULES for claim in rule.claims} == judged
    assert {(file, claim) for file, claim in marked() if claim not in judged} == set()
    assert {claim for _, claim in marked()} == judged


def test_rules_have_names_of_their_own() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_allowed_answers_are_documented() -> None:
    contract, table = Contract.load(), yaml.safe_load((ROOT / "openapi" / "answers.yaml").read_text("utf-8"))
    for operation, states in table.items():
        statuses = {status for state in states for status in allowed(operation, state)}
        assert statuses <= contract.allowed_statuses(operation)
    with pytest.raises(ContractError, match=r"startBuild.*'asleep'"):
        allowed("startBuild", "asleep")


def test_every_flag_of_the_settings_is_an_option_of_check() -> None:
    check = typer.main.get_command(app.app).commands["check"]  # type: ignore[attr-defined]
    offered = {option.name for option in check.params} - {"help"}

    assert offered - {"write_baseline", "last_failed", "resume", "build_s", "verbose"} == {
        field.name for field in dataclasses.fields(Flags)
    }


def test_every_ambiguity_is_answered_by_a_variant_or_excluded() -> None:
    answered = {number for variant in VARIANTS.values() for number in variant.answers}

    assert answered == AMBIGUITIES - EXCLUDED
