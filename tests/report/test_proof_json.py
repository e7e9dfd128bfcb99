"""A proof for programs."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.report.proofs import EACH, HOSTILE, all_proven, flawed, hostile
from touchstone.report import proof_report as proof_view
from touchstone.report.proof_report import ProofView


def document(view: ProofView) -> dict[str, Any]:
    """The proof as a program reads it."""
    return json.loads(proof_view.render_json(view))  # type: ignore[no-any-return]


def test_flawed_proof_as_json(golden: Callable[[str, str], None]) -> None:
    """The form is stable: what a program reads today it will read tomorrow."""
    golden("proof-flawed.json", proof_view.render_json(flawed()))


@pytest.mark.parametrize("make", EACH, ids=lambda make: make.__name__)
def test_no_key_depends_on_how_the_proof_went(make: Callable[[], ProofView]) -> None:
    """Each trial, class and claim has all its keys, whatever became of it."""
    seen, whole = document(make()), document(flawed())

    for name in ("run", "counts", "total"):
        assert seen[name].keys() == whole[name].keys()
    for name in ("trials", "claims", "classes"):
        assert {frozenset(row) for row in seen[name]} <= {frozenset(whole[name][0])}


def test_trial_says_when_it_was_found() -> None:
    """A killed fault has its exchanges and seconds until found; what was not found, or is no fault, has none."""
    trials = {row["name"]: row for row in document(flawed())["trials"]}

    assert (trials["answers-200"]["exchanges_until_found"], trials["answers-200"]["seconds_until_found"]) == (20, 1.0)
    assert trials["half-found"]["exchanges_until_found"] is None
    assert trials["half-found"]["lacking"] == ["cancel.says-idle"]
    assert trials["odd-but-right"]["seconds_until_found"] is None
    assert trials["odd-but-right"]["noise"] == ["error.has-a-text"]
    assert trials["odd-but-right"]["permits"] == "facts 7.30"


def test_class_without_a_kill_has_no_median() -> None:
    """Zero exchanges would read as a very fast kill."""
    rows = {row["class"]: row for row in document(flawed())["classes"]}

    assert rows["timing"]["median_exchanges"] is None
    assert rows["schema"]["median_exchanges"] == 20


def test_counts_add_up() -> None:
    """Each trial is in one state."""
    for view in (all_proven(), flawed()):
        counts = document(view)["counts"]
        assert counts.pop("trials") == sum(counts.values()) == len(view.trials)


def test_evidence_is_whole_and_ascii() -> None:
    """Nothing is cut and nothing is made visible: a program gets what the server sent."""
    text = proof_view.render_json(hostile())

    assert text.isascii()
    assert json.loads(text)["trials"][0]["broken"]["start.answers-202"]["actual"] == HOSTILE * 30
