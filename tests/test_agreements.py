"""Lists kept in two places say the same: claims and rules, claims and cases, flags and settings, words and commands."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import yaml

from touchstone.cli import app
from touchstone.config import Flags
from touchstone.contract import claims
from touchstone.contract.answers import allowed
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.rules.catalogue import EXCHANGE_RULES, STORY_RULES

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """The ledger of claims that travels with the package."""
    return claims.load()


@pytest.fixture(scope="module")
def ruled() -> set[str]:
    """The claims that some rule names."""
    return {claim for rule in (*EXCHANGE_RULES, *STORY_RULES) for claim in rule.claims}


def marked() -> Iterator[tuple[str, str]]:
    """The claims that the contract tests declare to drive, with the file, read from the source."""
    for path in sorted((ROOT / "contract_tests").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.claims":
                yield from (
                    (path.name, str(ast.literal_eval(part))) for part in node.args if isinstance(part, ast.Constant)
                )


def test_every_claim_is_judged_by_a_rule_and_every_rule_judges_claims(ledger: Ledger, ruled: set[str]) -> None:
    """Each claim of the ledger that is not excluded is named by a rule, and rules name no others."""
    judged = {claim.id for claim in ledger.judged()}
    assert (judged - ruled, ruled - judged) == (set(), set())


def test_rules_have_names_of_their_own() -> None:
    """A finding names one check, so no two rules share a name."""
    names = [rule.id for rule in (*EXCHANGE_RULES, *STORY_RULES)]
    assert sorted(names) == sorted(set(names))


def test_allowed_answers_are_in_the_document() -> None:
    """No rule allows a status that the operation does not document."""
    contract, table = Contract.load(), yaml.safe_load((ROOT / "openapi" / "answers.yaml").read_text("utf-8"))
    for operation, states in table.items():
        statuses = {status for state in states for status in allowed(operation, state)}
        assert statuses <= contract.allowed_statuses(operation)


def test_cases_declare_claims_of_the_ledger_only(ledger: Ledger) -> None:
    """A contract test cannot declare a claim that is misspelt or excluded."""
    judged = {claim.id for claim in ledger.judged()}
    assert {(file, claim) for file, claim in marked() if claim not in judged} == set()


def test_every_claim_is_driven_by_a_case(ledger: Ledger) -> None:
    """For each claim there is a contract test that sets out to bring about an occasion to judge it."""
    assert {claim.id for claim in ledger.judged()} - {claim for _, claim in marked()} == set()


def test_every_flag_of_the_settings_is_an_option_of_check() -> None:
    """
    What the settings take from the command line is what `touchstone check` offers, but for what needs earlier runs.
    """
    of_runs = {"write_baseline", "last_failed"}
    check = typer.main.get_command(app.app).commands["check"]  # type: ignore[attr-defined]
    offered = {option.name for option in check.params} - {"help"}
    assert offered - of_runs == {field.name for field in dataclasses.fields(Flags)}


@pytest.mark.parametrize("name", ["Makefile", "CHANGELOG.md"])
def test_every_command_that_is_written_about_exists(name: str) -> None:
    """A command that the documents or the Makefile name is one that the command line has."""
    text = (ROOT / name).read_text("utf-8")
    written = set(re.findall(r"(?:`|/|^\$ |^)touchstone ([a-z]+)", text, flags=re.MULTILINE))
    known = set(typer.main.get_command(app.app).commands)  # type: ignore[attr-defined]
    assert written - known == set()
    assert written
