"""
Every claim is proven by a fault, every check can speak: the part of `touchstone prove` that every push repeats.
"""

from collections.abc import Collection, Mapping
from functools import cache

import pytest

from touchstone import claims as ledger_of_claims
from touchstone import rules, runner
from touchstone.candidates import named
from touchstone.proof import Trial
from touchstone.prover import prove
from touchstone.runlog import read
from touchstone.settings import UNBOUNDED_BUILDS, Settings, TargetSettings
from touchstone.twin.faults import FAULTS as ALL_FAULTS

FAULTS = {name: fault for name, fault in ALL_FAULTS.items() if fault.under == "check"}
CLAIMS = [claim.id for claim in ledger_of_claims.load().judged()]
CHECKS = sorted((rule.id, claim) for rule in (*rules.EXCHANGE_RULES, *rules.STORY_RULES) for claim in rule.claims)
AT_ONCE = 8
# Beside those that break every claim: no other fault makes these checks speak about these claims.
SPEAKERS = (
    "each-start-builds",
    "goldens-cannot-be-deleted",
    "small-plan-publishes-unseen",
    "cancelled-builds-keep-their-place",
    "failures-are-tidied-up-later",
    "refused-publish-publishes",
    "only-the-started-ref-cancels",
)


def complaints(claims: Collection[str], faults: Mapping[str, tuple[str, ...]]) -> set[str]:
    """
    What is lacking between claims and the faults that break them, each by its name.
    """
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
    """
    Few faults that break every claim together: again and again one of those that break most of what is left.
    """
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


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """
    What became of the faults of the subset.
    """
    chosen = [candidate for candidate in named() if candidate.subject.name in {*subset(), *SPEAKERS}]
    folder = tmp_path_factory.mktemp("trials")
    outcomes = prove(chosen, folder, jobs=AT_ONCE, seed=1, whole=False, told=lambda _trial: None)
    return {outcome.subject.name: outcome for outcome in outcomes}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """
    The checks, with their claims, that found the correct twin right.
    """
    folder = tmp_path_factory.mktemp("correct")
    target = TargetSettings(max_builds=UNBOUNDED_BUILDS)
    settings = Settings(target=target, report_dir=folder, state_dir=folder / "state", profile="quick", strict=True)
    outcome = runner.check(settings, ["touchstone", "check"], lambda _event: None)
    assert outcome.exit_code == 0
    return {(tally.check, tally.claim) for tally in read(outcome.run_log).tallies if tally.held}


def test_every_claim_has_a_fault_and_every_fault_a_claim() -> None:
    """
    At least eighty faults; no claim goes unproven, and no fault breaks what nobody claims.
    """
    assert len(FAULTS) >= 80
    assert complaints(CLAIMS, {name: fault.breaks for name, fault in FAULTS.items()}) == set()


def test_what_is_lacking_is_named() -> None:
    """
    A claim without a fault, a fault without a claim, and a claim that is misspelt.
    """
    assert complaints(["a", "b"], {"x": ("a",), "y": ("c",), "z": ()}) == {
        "b: no fault breaks it",
        "y: breaks c, which is no claim",
        "z: breaks no claim",
    }


@pytest.mark.timeout("600")
@pytest.mark.parametrize("name", subset())
def test_fault_is_killed(name: str, trials: Mapping[str, Trial]) -> None:
    """
    The fault is found, blamed on the claims that it breaks, and on no other.
    """
    trial = trials[name]
    assert (trial.trouble, trial.lacking, trial.noise) == ("", (), ())
    assert trial.state == "killed"


@pytest.mark.timeout("600")
def test_every_check_has_spoken(trials: Mapping[str, Trial], held: set[tuple[str, str]]) -> None:
    """
    No check is there that never gives a verdict: each finds the correct twin right or one of the faults wrong.
    """
    blames = [(claim, blame) for trial in trials.values() for claim, blame in trial.broken.items()]
    spoke = held | {(check, claim) for claim, blame in blames for check in blame.checks}
    silent = [pair for pair in CHECKS if pair not in spoke]
    assert [f"{check}: never spoke about {claim}" for check, claim in silent] == []
