"""Every claim is proven by a fault, every check can speak: the part of `touchstone prove` that every push repeats."""

from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.readme import consoles, normal, run
from touchstone.contract import claims as ledger_of_claims
from touchstone.facts.events import RunLog
from touchstone.facts.runlog import read
from touchstone.proof.catalogue import named_faults
from touchstone.proof.faults import FAULTS as ALL_FAULTS
from touchstone.proof.prover import prove
from touchstone.proof.result import Trial
from touchstone.rules import catalogue

FAULTS = {name: fault for name, fault in ALL_FAULTS.items() if fault.under == "check"}
CLAIMS = [claim.id for claim in ledger_of_claims.load().judged()]
CHECKS = sorted(
    (rule.id, claim) for rule in (*catalogue.EXCHANGE_RULES, *catalogue.STORY_RULES) for claim in rule.claims
)
AT_ONCE, FEW_ODD, TRIES = 8, 3, 3
AS_ONE: dict[str, Any] = {"seed": 1, "whole": False, "told": lambda _trial: None}
# Beside those that break every claim: no other fault makes these checks speak about these claims.
SPEAKERS = (
    "each-start-builds",
    "goldens-cannot-be-deleted",
    "small-plan-publishes-unseen",
    "cancelled-builds-keep-their-place",
    "failures-are-tidied-up-later",
    "refused-publish-publishes",
    "only-the-started-ref-cancels",
    "limit-is-409-of-builds",
    "unread-log-stays-open",
)


def complaints(claims: Collection[str], faults: Mapping[str, tuple[str, ...]]) -> set[str]:
    """What is lacking between claims and the faults that break them, each by its name."""
    broken = {claim for broken in faults.values() for claim in broken}
    return (
        {f"{claim}: no fault breaks it" for claim in claims if claim not in broken}
        | {f"{name}: breaks no claim" for name, broken in faults.items() if not broken}
        | {
            f"{name}: breaks {claim}, which is no claim"
            for name, broken in faults.items()
            for claim in broken
            if claim not in claims
        }
    )


@cache
def subset() -> tuple[str, ...]:
    """Few faults that break every claim together: again and again one of those that break most of what is left."""
    left, chosen = set(CLAIMS), []
    quick = {name: set(fault.breaks) for name, fault in FAULTS.items() if fault.profile == "quick"}
    rest = {name: set(fault.breaks) for name, fault in FAULTS.items() if fault.profile != "quick"}
    for faults in (quick, rest):
        while best := max(faults, key=lambda name: len(faults[name] & left), default=""):
            if not faults[best] & left:
                break
            left -= faults[best]
            chosen.append(best)
    return tuple(chosen)


@dataclass(frozen=True, slots=True)
class Runs:
    """What takes long, one beside the other: the trials of the subset, and a check of the correct twin."""

    trials: "Future[dict[str, Trial]]"
    correct: "Future[tuple[str, RunLog]]"


def tried(folder: Path) -> dict[str, Trial]:
    """What became of the faults of the subset.

    Which claim is blamed hangs on the order in which builds end, which a machine that is starved upsets: what does not
    come out right among many trials is tried once more by itself, and has to come out right then.
    """
    chosen = [candidate for candidate in named_faults() if candidate.subject.name in {*subset(), *SPEAKERS}]
    found = {trial.subject.name: trial for trial in prove(chosen, folder / "all", jobs=AT_ONCE, **AS_ONE)}
    odd = [one for one in chosen if (trial := found[one.subject.name]).trouble or trial.lacking or trial.noise]
    again = prove(odd, folder / "again", jobs=1, **AS_ONE) if 0 < len(odd) <= FEW_ODD else []
    return found | {trial.subject.name: trial for trial in again}


def checked(folder: Path, *more: str) -> tuple[str, RunLog]:
    """What a check of the correct twin prints, and its run log."""
    told = run(["check", "--target", "twin", *more], folder)
    (log,) = folder.glob("reports/*/runlog.jsonl")
    return told, read(log)


def held(log: RunLog) -> set[tuple[str, str]]:
    """The checks that found the twin right, each with the claim."""
    return {(tally.check, tally.claim) for tally in log.tallies if tally.held}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Both, under way."""
    with ThreadPoolExecutor(2) as pool:
        trials, correct = tmp_path_factory.mktemp("trials"), tmp_path_factory.mktemp("correct")
        return Runs(pool.submit(tried, trials), pool.submit(checked, correct))


@pytest.fixture(scope="module")
def trials(runs: Runs) -> dict[str, Trial]:
    """What became of the faults of the subset."""
    return runs.trials.result()


@pytest.fixture(scope="module")
def correct(runs: Runs) -> tuple[str, RunLog]:
    """What a check of the correct twin prints, and its run log."""
    return runs.correct.result()


def test_every_claim_has_a_fault_and_every_fault_a_claim() -> None:
    """At least eighty faults; no claim goes unproven, and no fault breaks what nobody claims."""
    assert len(FAULTS) >= 80
    assert complaints(CLAIMS, {name: fault.breaks for name, fault in FAULTS.items()}) == set()


def test_what_is_lacking_is_named() -> None:
    """A claim without a fault, a fault without a claim, and a claim that is misspelt."""
    assert complaints(["a", "b"], {"x": ("a",), "y": ("c",), "z": ()}) == {
        "b: no fault breaks it",
        "y: breaks c, which is no claim",
        "z: breaks no claim",
    }


@pytest.mark.parametrize("name", subset())
def test_fault_is_killed(name: str, trials: Mapping[str, Trial]) -> None:
    """The fault is found, blamed on the claims that it breaks, and on no other."""
    trial = trials[name]
    assert (trial.trouble, trial.lacking, trial.noise) == ("", (), ())
    assert trial.state == "killed"


def test_every_check_has_spoken(
    trials: Mapping[str, Trial], correct: tuple[str, RunLog], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No check is there that never gives a verdict: each finds the correct twin right or one of the faults wrong.

    A check that needs a log which was opened in time is silent where a machine was starved. Like a trial that does not
    come out right, its claim is checked by itself then, a few times.
    """
    blames = [(claim, blame) for trial in trials.values() for claim, blame in trial.broken.items()]
    spoke = held(correct[1]) | {(check, claim) for claim, blame in blames for check in blame.checks}
    silent = [pair for pair in CHECKS if pair not in spoke]
    for _ in range(TRIES):
        if not 0 < len(silent) <= FEW_ODD:
            break
        _, log = checked(tmp_path_factory.mktemp("again"), "--claims", ",".join({claim for _, claim in silent}))
        silent = [pair for pair in silent if pair not in held(log)]
    assert [f"{check}: never spoke about {claim}" for check, claim in silent] == []


def test_quick_start_shows_the_real_output_of_a_check(correct: tuple[str, RunLog]) -> None:
    """`make check` prints what the README says, down to the numbers of claims."""
    assert normal(correct[0]) == normal(dict(consoles())["make check"])
