"""A proof for GitHub Actions."""

from pathlib import Path
from typing import Any

import pytest

from tests.command import Command, Shell
from tests.report.proofs import all_proven, flawed, hostile, large, nothing, partial
from tests.report.test_github import FOLDER, OURS, Shown, unescaped
from touchstone.report.github import MAX_FINDINGS, MAX_SUMMARY_BYTES, annotations, summary
from touchstone.report.proof_report import ProofView


def test_summary_tells_what_did_not_end_well() -> None:
    """
    Verdict, numbers by class, each such trial with its reason and the command to try it again, and claims without one.
    """
    shown = Shown(summary(flawed(), FOLDER))

    assert "touchstone prove: Not proven" in shown.prose
    for text in (
        "half-found",
        "not found broken: cancel.says-idle",
        "touchstone prove --fault half-found --whole --seed 7",
    ):
        assert text in shown.codes
    assert "3 claims without a proof" in shown.prose
    assert "blamed without a right: error.has-a-text" in shown.codes


@pytest.mark.parametrize("make", [all_proven, flawed, hostile, large, nothing, partial])
@pytest.mark.parametrize("room_bytes", [0, 3_000, 8_000, MAX_SUMMARY_BYTES])
def test_summary_fits_and_is_markup_of_ours(make: Any, room_bytes: int) -> None:
    """Whatever a server said and however many trials there are, it keeps to its room and has our elements only."""
    text = summary(make(), FOLDER, room_bytes)
    shown = Shown(text)

    assert len(text.encode()) <= room_bytes
    assert (shown.tags - OURS, shown.attributes, shown.open) == (set(), [], [])


def test_left_out_trials_are_counted() -> None:
    """Those without room are in the page."""
    view = large(faults=2_000)
    assert len(view.wrong) > MAX_FINDINGS
    left = len(view.wrong) - MAX_FINDINGS
    assert f"… and {left} more trials without room here: see proof.html and proof.json." in summary(view, FOLDER)


@pytest.mark.parametrize(
    ("make", "count"), [(all_proven, 0), (flawed, 4), (hostile, 3), (large, 10), (nothing, 1), (partial, 0)]
)
def test_annotations_are_ten_at_most(make: Any, count: int) -> None:
    """
    One for each trial that did not end well, the last of ten for the others; one where the proof ended for itself.
    """
    told = [unescaped(line) for line in annotations(make())]
    assert len(told) == count
    assert {kind for kind, _, _ in told} <= {"error"}
    if make is large:
        assert told[-1][2] == f"{len(large().wrong) - 9} more: see the summary of this step, or the reports"


def test_command_tells_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command) -> None:
    """`prove` has its annotations on stdout and its summary in the file of the step."""
    made: ProofView = flawed()
    monkeypatch.setattr("touchstone.cli.prove.Prove.proven", lambda *args: (made, tmp_path))
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    ended = call(Shell(tmp_path, variables), "prove")

    assert ended.code == 1
    assert len([line for line in ended.out.splitlines() if line.startswith("::error ")]) == 4
    assert (tmp_path / "summary.md").read_text("utf-8") == summary(made, tmp_path)
    assert ended.last_line.startswith("exit 1: ")
