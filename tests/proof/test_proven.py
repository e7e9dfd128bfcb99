"""Every claim is proven by a fault: the part of `touchstone prove` that runs on every push."""

from functools import cache
from pathlib import Path

import pytest

from tests.command import Shell
from touchstone.contract import claims as ledger_of_claims
from touchstone.facts.runlog import read
from touchstone.proof.catalogue import listed_faults
from touchstone.proof.faults import FAULTS as ALL_FAULTS
from touchstone.proof.prover import prove
from touchstone.proof.result import Trial
from touchstone.rules import catalogue

FAULTS = {name: fault for name, fault in ALL_FAULTS.items() if fault.under == "check"}
CLAIMS = {claim.id for claim in ledger_of_claims.load().judged()}
CHECKS = {(rule.id, claim) for rule in (*catalogue.EXCHANGE_RULES, *catalogue.STORY_RULES) for claim in rule.claims}
# Only cases about other claims find these, so trials of their own cases do not.
FOUND_ELSEWHERE = (
    "auto-build-compares-versions-as-text",
    "delete-ignores-the-account",
    "deleted-content-still-conflicts",
    "digest-covers-the-first-64-kib",
    "fifth-build-at-once-is-dropped",
    "fourth-build-at-once-logs-into-the-first",
    "log-of-the-replaced-stays-open",
    "log-of-the-unbuilt-is-open",
    "resent-start-restarts",
)
# Faults that cover the pairs of check and claim that no fault of the subset covers.
COVERING = (
    "each-start-builds",
    "goldens-cannot-be-deleted",
    "small-plan-publishes-anyway",
    "cancelled-builds-keep-their-place",
    "failures-are-tidied-up-later",
    "refused-publish-publishes",
    "only-the-started-ref-cancels",
    "limit-is-409-of-builds",
    "unread-log-stays-open",
)


@cache
def subset() -> tuple[str, ...]:
    """Returns a few faults that together break every claim; quick ones come first."""
    left, chosen = set(CLAIMS), []
    own = {name: fault for name, fault in FAULTS.items() if name not in FOUND_ELSEWHERE}
    for is_quick in (True, False):
        faults = {name: set(fault.breaks) for name, fault in own.items() if (fault.profile == "quick") == is_quick}
        while best := max(faults, key=lambda name: len(faults[name] & left), default=""):
            if not faults[best] & left:
                break
            left -= faults.pop(best)
            chosen.append(best)
    return tuple(chosen)


def tried(names: tuple[str, ...], folder: Path, *, only_own: bool) -> dict[str, Trial]:
    """Returns the trials of these faults. A fault that is not killed is tried again alone, without disturbed timing."""
    chosen = [candidate for candidate in listed_faults() if candidate.subject.name in names]
    found = {}
    for jobs in (8, 1):
        trials = prove(chosen, folder / str(jobs), jobs=jobs, seed=1, only_own=only_own, on_outcome=lambda _trial: None)
        found |= {trial.subject.name: trial for trial in trials}
        chosen = [one for one in chosen if found[one.subject.name].state != "killed"]
        if len(chosen) > 3:
            break
    return found


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """Trials of the subset; each runs only the cases about the claims that its fault breaks."""
    return tried(subset(), tmp_path_factory.mktemp("trials"), only_own=True)


def test_every_claim_has_a_fault_and_every_fault_a_claim() -> None:
    broken = {claim for fault in FAULTS.values() for claim in fault.breaks}
    assert broken == CLAIMS
    assert [name for name, fault in FAULTS.items() if not fault.breaks] == []


@pytest.mark.parametrize("name", subset())
def test_fault_is_killed(name: str, trials: dict[str, Trial]) -> None:
    trial = trials[name]
    assert (trial.trouble, trial.lacking, trial.state) == ("", (), "killed")


@pytest.mark.prove
def test_every_check_judges_its_claims(tmp_path: Path) -> None:
    """Each check upholds its claims with the correct twin, or finds them broken with a fault."""
    trials = tried((*subset(), *COVERING), tmp_path / "trials", only_own=False)
    assert [trial.subject.name for trial in trials.values() if trial.state != "killed"] == []
    Shell(tmp_path).run("check", "--target", "twin")
    (log,) = tmp_path.glob("reports/*/runlog.jsonl")
    covered = {(tally.check, tally.claim) for tally in read(log).tallies if tally.held}
    covered |= {(check, claim) for t in trials.values() for claim, blame in t.broken.items() for check in blame.checks}
    assert CHECKS - covered == set()
