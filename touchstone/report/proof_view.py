"""
One frozen view of a proof, from which each of its reports is written.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from touchstone.claims import Claim
from touchstone.proof import GOOD, State, Trial, median

_WRONG: dict[State, str] = {
    "missed": "faults missed",
    "noisy": "faults found with noise",
    "accused": "legitimate servers accused",
}
Mark = Literal["proves", "also", "noise", ""]


@dataclass(frozen=True, slots=True)
class ProofRun:
    """
    How the trials were run.

    Attributes:
        started_at: ISO 8601 in UTC.
        asked: How many trials were asked for.
        complete: Whether all named faults were asked for, so that a claim without one is a gap.
        whole: Whether examinations went on after their proof was complete.
    """

    id: str
    started_at: str
    duration_s: float
    jobs: int
    seed: int
    asked: int
    complete: bool = False
    whole: bool = False
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Proven:
    """
    One claim and the faults that broke it.

    Attributes:
        by: Names of killed faults that had to break it.
        also: Names of faults that broke it beside another claim.
    """

    claim: Claim
    by: tuple[str, ...]
    also: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KindCount:
    """
    The faults of one kind.

    Attributes:
        exchanges: Median until found, of the killed ones.
        seconds: The same, from the first request of the examination.
    """

    kind: str
    faults: int
    killed: int
    missed: int
    noisy: int
    failed: int
    exchanges: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ProofView:
    """
    All that a report may tell about a proof.
    """

    run: ProofRun
    trials: tuple[Trial, ...]
    claims: tuple[Proven, ...]
    kinds: tuple[KindCount, ...]
    exit_code: int
    reason: str

    def count(self, *states: State) -> int:
        """
        How many trials ended so.
        """
        return sum(trial.state in states for trial in self.trials)

    @property
    def gaps(self) -> tuple[Proven, ...]:
        """
        Claims that no fault proves, where all faults were asked for.
        """
        return tuple(row for row in self.claims if not row.by) if self.run.complete else ()


def mark(trial: Trial, claim: str) -> Mark:
    """
    What *claim* is to *trial*: the cell of the matrix.
    """
    if claim not in trial.broken:
        return ""
    if claim in trial.blamed:
        return "proves"
    return "also" if trial.subject.allows(claim) else "noise"


def proof_view(run: ProofRun, trials: Sequence[Trial], claims: Sequence[Claim]) -> ProofView:
    """
    Sums up what became of the trials.

    Args:
        claims: All claims that are judged, in the order of the ledger.
    """
    rows = tuple(_proven(claim, trials) for claim in claims)
    kinds = tuple(_kind_count(kind, trials) for kind in dict.fromkeys(t.subject.kind for t in trials if t.subject.kind))
    exit_code, reason = _ending(run, trials, rows)
    return ProofView(run, tuple(trials), rows, kinds, exit_code, reason)


def _proven(claim: Claim, trials: Sequence[Trial]) -> Proven:
    by = tuple(t.subject.name for t in trials if t.state == "killed" and mark(t, claim.id) == "proves")
    also = tuple(t.subject.name for t in trials if mark(t, claim.id) in ("also", "noise"))
    return Proven(claim, by, also)


def _kind_count(kind: str, trials: Sequence[Trial]) -> KindCount:
    faults = [trial for trial in trials if trial.subject.kind == kind and trial.subject.is_fault]
    states = Counter(trial.state for trial in faults)
    found = [trial.found for trial in faults if trial.state == "killed" and trial.found]
    return KindCount(
        kind,
        len(faults),
        states["killed"],
        states["missed"],
        states["noisy"],
        states["failed"],
        median(blame.exchanges for blame in found),
        median(blame.seconds for blame in found),
    )


def _ending(run: ProofRun, trials: Sequence[Trial], rows: Sequence[Proven]) -> tuple[int, str]:
    states = Counter(trial.state for trial in trials)
    if run.interrupted:
        return 130, f"interrupted after {len(trials)} of {run.asked} trials"
    wrong = [f"{states[state]} {words}" for state, words in _WRONG.items() if states[state]]
    unproven = sum(not row.by for row in rows) if run.complete else 0
    wrong += [f"{unproven} claims without a proof"] if unproven else []
    if wrong:
        return 1, ", ".join(wrong)
    if states["failed"]:
        return 3, f"{states['failed']} of {len(trials)} trials could not be carried out"
    return 0, _praise(trials)


def _praise(trials: Sequence[Trial]) -> str:
    faults = sum(trial.subject.is_fault for trial in trials)
    permitted = sum(trial.subject.sort == "permitted" for trial in trials)
    variants = sum(trial.subject.sort == "variant" for trial in trials)
    parts = [f"all {faults} faults killed without noise"] if faults else []
    parts += [f"all {permitted} permitted mutations survive"] if permitted else []
    parts += [f"all {variants} variants survive"] if variants else []
    assert all(trial.state in GOOD for trial in trials)
    return ", ".join(parts) or "nothing was tried"
