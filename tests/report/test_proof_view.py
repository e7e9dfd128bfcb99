"""What all reports of a proof are made from."""

import pytest

from tests.report.proofs import (
    CLAIMS,
    accused,
    all_proven,
    failed,
    fault,
    flawed,
    generated,
    interrupted,
    legitimate,
    missed,
    noisy,
    nothing,
    partial,
    proven,
    trial,
    view_of,
)
from touchstone.proof.result import Trial
from touchstone.report.proof_report import noise


def test_proof_without_a_flaw_ends_with_0() -> None:
    """Where all faults are killed and all others survive, the proof says how many of each."""
    view = all_proven()

    assert view.exit_code == 0
    assert view.reason == ("4 faults killed without noise, 1 permitted mutation survived, 2 variants survived")
    assert view.gaps == ()
    assert view.wrong == ()


def test_each_flaw_is_counted_in_the_reason() -> None:
    """The reason names all that went wrong, and one is not many."""
    view = flawed()

    assert view.exit_code == 1
    assert view.reason == (
        "1 fault missed, 1 fault found with noise, 1 legitimate server accused, 1 trial could not be carried out, "
        "3 claims without a proof"
    )
    assert view_of([missed(), missed()], CLAIMS[:0]).reason == "2 faults missed"


@pytest.mark.parametrize(("flaw", "exit_code"), [(missed, 1), (noisy, 1), (accused, 1), (failed, 3)])
def test_one_flaw_is_enough(flaw: object, exit_code: int) -> None:
    """One fault missed or noisy, or one server accused, ends the proof with 1; one without a say, with 3."""
    assert view_of([*proven(), flaw()]).exit_code == exit_code  # type: ignore[operator]


def test_claim_without_a_proof_is_a_gap_only_if_all_faults_were_asked_for() -> None:
    """Whoever asks for some faults is not told that the others are missing."""
    gaps = view_of(proven()[:2]).gaps

    assert [row.claim.id for row in gaps] == ["cancel.settles", "cancel.says-idle", "error.has-a-text"]
    assert view_of(proven()[:2]).exit_code == 1
    assert partial().gaps == ()
    assert partial().exit_code == 0


def test_interrupted_proof_ends_with_130() -> None:
    """A proof that was stopped is no proof, however well it went until then."""
    assert (interrupted().exit_code, interrupted().reason) == (130, "interrupted after 3 of 9 trials")
    assert (nothing().exit_code, nothing().reason) == (130, "interrupted after 0 of 5 trials")


def test_only_a_killed_fault_proves_a_claim() -> None:
    """What is blamed on the way to a miss, beside noise, or of a server that is in the right, proves nothing."""
    rows = {row.claim.id: row for row in view_of([noisy(), missed(), accused(), *proven()[1:2]]).claims}

    assert rows["start.answers-202"].by == ()
    assert rows["cancel.settles"].by == ()
    assert rows["cancel.says-idle"].also == ("poor-aim",)
    assert rows["start.ref-is-the-path"].by == ("other-ref",)
    assert rows["error.has-a-text"].also == ("odd-but-right", "other-ref")


def test_cell_says_what_a_claim_is_to_a_fault() -> None:
    """Expected, permitted beside it, unrelated, or not broken at all."""
    subject = fault("x", "start.answers-202", also=("start.*",))
    seen = trial(subject, "start.answers-202", "start.ref-is-the-path", "cancel.settles")

    cells = view_of([seen]).cells["x"]
    assert [cells.get(claim.id, "") for claim in CLAIMS] == ["proves", "also", "noise", "", ""]


@pytest.mark.parametrize("sort", ["variant", "permitted"])
def test_whatever_is_said_against_a_legitimate_server_is_noise(sort: str) -> None:
    """A permitted mutation is derived like a fault; what it would break as one counts as noise all the same."""
    seen = trial(legitimate("x", "facts 7.6", sort, ("start.*",)), "start.answers-202")  # type: ignore[arg-type]

    assert seen.state == "accused"
    assert noise(seen) == ("start.answers-202",)
    assert view_of([seen]).cells["x"] == {"start.answers-202": "noise"}


def test_medians_are_those_of_killed_faults() -> None:
    """What was missed or noisy took long and says nothing about how fast faults are found."""
    view = view_of([*proven(), missed(), noisy(), failed()])
    total = view.total

    assert [total[name] for name in ("faults", "killed", "missed", "noisy", "failed")] == [7, 4, 1, 1, 1]
    # found after 20, 40, 60 and, since both claims are needed, 90
    assert (total["median_exchanges"], total["median_seconds"]) == (50, 2.5)


def test_generated_fault_is_found_at_the_first_match() -> None:
    """One of its claims is enough, and the first one counts."""
    view = view_of([trial(generated("x", "cancel.*", "start.*"), "start.answers-202", "start.ref-is-the-path")])

    assert view.trials[0].state == "killed"
    assert view.total["median_exchanges"] == 40


def test_classes_count_faults_only() -> None:
    """A permitted mutation has a class, but is no fault of it."""
    view = all_proven()

    assert {row["class"]: row["faults"] for row in view.classes} == {"schema": 2, "semantic": 1, "timing": 1}
    assert sum(row["faults"] for row in view.classes) == view.total["faults"]


def test_worst_comes_first() -> None:
    """What did not end well is told in the order missed, noisy, accused, failed."""
    trials: list[Trial] = [failed(), accused(), noisy(), missed(), *proven()]

    assert [one.state for one in view_of(trials).wrong] == ["missed", "noisy", "accused", "failed"]
