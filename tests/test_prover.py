"""Trials in processes of their own: whatever becomes of one of them, the others go on."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import trials
from touchstone.check.handover import HANDOVER, CheckHandover
from touchstone.config import Settings
from touchstone.proof import prover, trial
from touchstone.proof.catalogue import Candidate
from touchstone.proof.result import Subject, Trial
from touchstone.twin.serve import Behaviour

Prove = Callable[..., list[Trial]]


def candidates(*names: str) -> list[Candidate]:
    """Faults of these names that break a claim of their own."""
    return [
        Candidate(Subject(name, "fault", "Does.", "schema", (f"{name}.claim",)), Behaviour(name, "Does."))
        for name in names
    ]


@pytest.fixture
def prove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prove:
    """Puts faults on with another body of the trial than the usual one."""

    def run(body: Any, *names: str, told: Callable[[Trial], None] = lambda _trial: None) -> list[Trial]:
        monkeypatch.setattr(prover, "trial", SimpleNamespace(main=body))
        return prover.prove(candidates(*names), tmp_path, jobs=2, seed=1, whole=False, told=told)

    return run


def test_outcomes_come_in_the_order_of_the_candidates(prove: Prove) -> None:
    """Whichever trial ends first, the list is in the order that was asked for, and each was told once."""
    told: list[str] = []
    outcomes = prove(trials.kills, "b", "missed", "a", told=lambda trial: told.append(trial.subject.name))
    assert [(o.subject.name, o.state) for o in outcomes] == [("b", "killed"), ("missed", "missed"), ("a", "killed")]
    assert sorted(told) == ["a", "b", "missed"]


def test_run_logs_stay_of_what_did_not_end_well(prove: Prove, tmp_path: Path) -> None:
    """The log of a missed fault is what its miss can be understood by; those of killed ones would be too many."""
    prove(trials.kills, "b", "missed")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("runlog.jsonl"))] == [
        "missed/runlog.jsonl"
    ]
    assert not (tmp_path / "b").exists()


def test_trial_whose_process_dies_has_failed(prove: Prove) -> None:
    """A process that ends without a result is no verdict on the fault; it is told with its exit code."""
    (outcome,) = prove(trials.dies, "b")
    assert outcome.state == "failed"
    assert "ended with 9" in outcome.trouble


def test_trial_that_hangs_is_ended(prove: Prove, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that goes on beyond every limit is killed and has failed; the others are not touched."""
    monkeypatch.setattr(prover, "LAST_S", 5.0)
    hung, killed = prove(trials.hangs, "a", "b")
    assert (hung.state, killed.state) == ("failed", "killed")
    assert "ended with -9" in hung.trouble
    assert multiprocessing.active_children() == []


def test_interruption_ends_the_processes_of_all_trials(prove: Prove) -> None:
    """Ctrl-C while one trial hangs and another is over leaves no process behind."""

    def interrupt(_trial: Trial) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove(trials.hangs, "a", "b", told=interrupt)
    for process in multiprocessing.active_children():
        process.join()
    assert multiprocessing.active_children() == []


def test_where_hypothesis_keeps_its_tables_is_left_as_it_was(prove: Prove, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials have their own place for them, which is gone afterwards."""
    name = "HYPOTHESIS_STORAGE_DIRECTORY"
    monkeypatch.delenv(name, raising=False)
    prove(trials.kills, "b")
    assert name not in os.environ
    monkeypatch.setenv(name, "mine")
    prove(trials.kills, "b")
    assert os.environ[name] == "mine"


def test_trial_takes_no_variable_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial is given the variables that a check gives to its child, and the process has its own again afterwards."""
    inside: dict[str, str] = {}
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    monkeypatch.setattr(trial.runpy, "run_module", lambda *_, **__: inside.update(os.environ))
    trial._cases(CheckHandover(Settings(), ""))
    assert (HANDOVER in inside, "PYTEST_ADDOPTS" in inside, os.environ["PYTEST_ADDOPTS"]) == (True, False, "-k nothing")
