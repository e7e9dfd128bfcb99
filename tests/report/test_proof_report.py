"""Reports of a proof: proven claims, exit code, proof.json."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.report import proofs
from tests.report.checklogs import HOSTILE
from tests.report.examples import document, example
from tests.report.proofs import accused, correct, failed, fault, generated, missed, noisy, proven, trial, view_of
from touchstone.proof.result import Trial
from touchstone.report.proof_report import again, noise

PROOFS = ("proof-proven", "proof-flawed", "proof-interrupted", "proof-partial", "proof-nothing", "proof-hostile")


def rows(name: str) -> dict[str, Any]:
    return dict(json.loads(document(example(name))))


@pytest.mark.parametrize(
    ("flaws", "exit_code"), [([], 0), ([missed], 1), ([noisy], 1), ([accused], 1), ([failed], 3), ([failed, missed], 1)]
)
def test_one_problem_fails_a_proof(flaws: list[Callable[[], Trial]], exit_code: int) -> None:
    assert view_of([*proven(), *(flaw() for flaw in flaws)]).exit_code == exit_code


def test_claim_without_a_proof_fails_only_a_complete_proof() -> None:
    whole, some = view_of(proven()[:2]), proofs.partial()
    assert [row.claim.id for row in whole.gaps] == ["cancel.settles", "cancel.says-idle", "error.has-a-text"]
    assert (whole.exit_code, some.exit_code, some.gaps) == (1, 0, ())
    assert [proofs.interrupted().exit_code, proofs.nothing().exit_code] == [130, 130]


def test_only_a_killed_fault_proves_a_claim() -> None:
    by_claim = {row.claim.id: row for row in view_of([noisy(), missed(), accused(), *proven()[1:2]]).claims}
    assert by_claim["start.answers-202"].by == by_claim["cancel.settles"].by == ()
    assert by_claim["cancel.says-idle"].also == ("poor-aim",)
    assert by_claim["start.ref-is-the-path"].by == ("other-ref",)
    assert by_claim["error.has-a-text"].also == ("odd-but-right", "other-ref")


def test_cell_relates_a_claim_to_a_fault() -> None:
    subject = fault("x", "start.answers-202", also=("start.*",))
    cells = view_of([trial(subject, "start.answers-202", "start.ref-is-the-path", "cancel.settles")]).cells["x"]
    assert [cells.get(claim.id, "") for claim in proofs.CLAIMS] == ["proves", "also", "noise", "", ""]
    assert view_of([missed()]).cells["half-found"] == {"cancel.settles": "proves", "cancel.says-idle": "missing"}


@pytest.mark.parametrize("sort", ["variant", "permitted"])
def test_every_claim_blamed_on_a_correct_server_is_noise(sort: Any) -> None:
    one = trial(correct("x", "ambiguity 7.6", sort, ("start.*",)), "start.answers-202")
    assert (one.state, noise(one)) == ("accused", ("start.answers-202",))
    assert view_of([one]).cells["x"] == {"start.answers-202": "noise"}


def test_medians_and_classes_are_those_of_killed_faults() -> None:
    total = view_of([*proven(), missed(), noisy(), failed()]).total
    assert [total[name] for name in ("faults", "killed", "missed", "noisy", "failed")] == [7, 4, 1, 1, 1]
    # found after 20, 40, 60 and, since both claims are needed, 90
    assert (total["median_exchanges"], total["median_seconds"]) == (50, 2.5)
    classes = {row["class"]: row for row in rows("proof-flawed")["classes"]}
    assert (classes["schema"]["median_exchanges"], classes["timing"]["median_exchanges"]) == (20, None)
    classes = {row["class"]: row["faults"] for row in proofs.all_proven().classes}
    assert classes == {"schema": 2, "semantic": 1, "timing": 1}


def test_generated_fault_is_found_at_the_first_match() -> None:
    view = view_of([trial(generated("x", "cancel.*", "start.*"), "start.answers-202", "start.ref-is-the-path")])
    assert (view.trials[0].state, view.total["median_exchanges"]) == ("killed", 40)


@pytest.mark.parametrize("name", PROOFS)
def test_document_always_has_every_key(name: str) -> None:
    report, whole = rows(name), rows("proof-flawed")
    for key in ("run", "counts", "total"):
        assert report[key].keys() == whole[key].keys()
    for key in ("trials", "claims", "classes"):
        assert {frozenset(row) for row in report[key]} <= {frozenset(whole[key][0])}
    counts = report["counts"]
    assert counts.pop("trials") == sum(counts.values()) == len(report["trials"])


def test_document_has_full_evidence_in_ascii() -> None:
    text = document(example("proof-hostile"))
    assert text.isascii()
    assert json.loads(text)["trials"][0]["broken"]["start.answers-202"]["actual"] == HOSTILE * 30


@pytest.mark.parametrize(
    ("subject", "command"),
    [
        (fault("x", "start.*"), "touchstone prove --fault x --whole --seed 7"),
        (generated("a.b"), "touchstone prove --generated --fault a.b --whole --seed 7"),
        (correct("v", "ambiguity 7.1"), "touchstone prove --variant v --whole --seed 7"),
        (correct("a b", "ambiguity 7.1", "permitted"), "touchstone prove --generated --fault 'a b' --whole --seed 7"),
    ],
)
def test_command_repeats_the_trial(subject: Any, command: str) -> None:
    assert again(trial(subject), view_of([]).run) == command
