"""Trials run in separate processes: if one fails, the others continue."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.proof import trials
from touchstone.check.handover import HANDOVER, CheckHandover
from touchstone.config import Settings
from touchstone.proof import prover, trial
from touchstone.proof.catalogue import Candidate
from touchstone.proof.result import Subject, Trial
from touchstone.twin.serve import Behaviour

Prove = Callable[..., list[Trial]]


@pytest.fixture
def prove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prove:
    """Runs trials of faults with these names, with *body* as the function of each trial."""

    def run(body: Any, *names: str, on_outcome: Callable[[Trial], None] = lambda _trial: None) -> list[Trial]:
        monkeypatch.setattr(prover, "trial", SimpleNamespace(main=body))
        monkeypatch.setattr(prover, "WARM", ("tests.proof.trials",))
        candidates = [
            Candidate(Subject(name, "fault", "Does.", "schema", (f"{name}.claim",)), Behaviour(name, "Does."))
            for name in names
        ]
        return prover.prove(candidates, tmp_path, jobs=2, seed=1, on_outcome=on_outcome)

    return run


def test_outcomes_have_the_order_of_the_candidates_and_misses_keep_their_logs(prove: Prove, tmp_path: Path) -> None:
    reported: list[str] = []
    outcomes = prove(trials.kills, "b", "missed", "a", on_outcome=lambda one: reported.append(one.subject.name))
    assert [(o.subject.name, o.state) for o in outcomes] == [("b", "killed"), ("missed", "missed"), ("a", "killed")]
    assert sorted(reported) == ["a", "b", "missed"]
    logs = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("runlog.jsonl"))]
    assert logs == ["missed/runlog.jsonl"]


def test_trial_whose_process_dies_has_failed(prove: Prove) -> None:
    (outcome,) = prove(trials.dies, "b")
    assert outcome.state == "failed"
    assert " 9;" in outcome.trouble


def test_trial_that_hangs_is_killed(prove: Prove, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prover, "LAST_S", 3.0)
    hung, killed = prove(trials.hangs, "a", "b")
    assert (hung.state, killed.state) == ("failed", "killed")
    assert multiprocessing.active_children() == []


def test_ctrl_c_ends_the_processes_of_all_trials(prove: Prove) -> None:
    def interrupt(_trial: Trial) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove(trials.hangs, "a", "b", on_outcome=interrupt)
    for process in multiprocessing.active_children():
        process.join()
    assert multiprocessing.active_children() == []


def test_trial_takes_no_variable_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: dict[str, str] = {}
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    monkeypatch.setattr(trial.runpy, "run_module", lambda *_, **__: inside.update(os.environ))
    trial._cases(CheckHandover(Settings(), ""))
    assert (HANDOVER in inside, "PYTEST_ADDOPTS" in inside, os.environ["PYTEST_ADDOPTS"]) == (True, False, "-k nothing")
