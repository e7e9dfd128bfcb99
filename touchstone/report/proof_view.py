"""One frozen view of a proof, from which each of its reports is written, and the same as proof.json."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from touchstone.contract.claims import Claim
from touchstone.proof.result import GOOD, State, Trial, median
from touchstone.report.json_report import fields

SCHEMA_VERSION = 1
# In the order in which reports tell them.
KINDS = ("schema", "semantic", "stateful", "timing", "concurrency", "security", "load", "stream")
WRONG: dict[State, tuple[str, str]] = {
    "missed": ("1 fault missed", "{} faults missed"),
    "noisy": ("1 fault found with noise", "{} faults found with noise"),
    "accused": ("1 legitimate server accused", "{} legitimate servers accused"),
    "failed": ("1 trial could not be carried out", "{} trials could not be carried out"),
}
Mark = Literal["proves", "also", "noise", ""]


@dataclass(frozen=True, slots=True)
class ProofRun:
    """How the trials were run.

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
    """One claim and the faults that broke it.

    Attributes:
        by: Names of killed faults that had to break it.
        also: Names of faults that broke it beside another claim.
    """

    claim: Claim
    by: tuple[str, ...]
    also: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KindCount:
    """The faults of one kind, or of all.

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
    """All that a report may tell about a proof.

    Attributes:
        kinds: Those that faults were tried of, in the order of KINDS.
        total: All faults together.
    """

    run: ProofRun
    trials: tuple[Trial, ...]
    claims: tuple[Proven, ...]
    kinds: tuple[KindCount, ...]
    total: KindCount
    exit_code: int
    reason: str

    def count(self, *states: State) -> int:
        """How many trials ended so."""
        return sum(trial.state in states for trial in self.trials)

    @property
    def exchanges(self) -> int:
        """All that were made."""
        return sum(trial.exchanges for trial in self.trials)

    @property
    def wrong(self) -> tuple[Trial, ...]:
        """Trials that did not end well, the worst first."""
        return tuple(trial for state in WRONG for trial in self.trials if trial.state == state)

    @property
    def legitimate(self) -> dict[str, tuple[Trial, ...]]:
        """The servers that must not be accused, by what permits them."""
        reasons = dict.fromkeys(trial.subject.permits for trial in self.trials if not trial.subject.is_fault)
        return {
            reason: tuple(t for t in self.trials if not t.subject.is_fault and t.subject.permits == reason)
            for reason in reasons
        }

    @property
    def gaps(self) -> tuple[Proven, ...]:
        """Claims that no fault proves, where all faults were asked for."""
        return tuple(row for row in self.claims if not row.by) if self.run.complete else ()


def mark(trial: Trial, claim: str) -> Mark:
    """What *claim* is to *trial*: the cell of the matrix."""
    if claim not in trial.broken:
        return ""
    if claim in noise(trial):
        return "noise"
    return "proves" if claim in trial.blamed else "also"


def noise(trial: Trial) -> tuple[str, ...]:
    """The claims that were blamed without a right; whatever is said against a legitimate server is noise."""
    return trial.noise if trial.subject.is_fault else tuple(trial.broken)


def says(trial: Trial) -> str:
    """What the server does, for people: its docstring without the marks around code."""
    return trial.subject.says.replace("`", "")


def proof_view(run: ProofRun, trials: Sequence[Trial], claims: Sequence[Claim]) -> ProofView:
    """Sums up what became of the trials.

    Args:
        claims: All claims that are judged, in the order of the ledger.
    """
    rows = tuple(_proven(claim, trials) for claim in claims)
    faults = [trial for trial in trials if trial.subject.is_fault]
    kinds = sorted({trial.subject.kind for trial in faults}, key=lambda kind: ((*KINDS, kind).index(kind), kind))
    counts = tuple(_kind_count(kind, [t for t in faults if t.subject.kind == kind]) for kind in kinds)
    exit_code, reason = _ending(run, trials, rows)
    return ProofView(run, tuple(trials), rows, counts, _kind_count("all", faults), exit_code, reason)


def _proven(claim: Claim, trials: Sequence[Trial]) -> Proven:
    by = tuple(t.subject.name for t in trials if t.state == "killed" and mark(t, claim.id) == "proves")
    also = tuple(t.subject.name for t in trials if mark(t, claim.id) in ("also", "noise"))
    return Proven(claim, by, also)


def _kind_count(kind: str, faults: Sequence[Trial]) -> KindCount:
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
    unproven = sum(not row.by for row in rows) if run.complete else 0
    wrong = [_counted(states[state], *forms) for state, forms in WRONG.items() if states[state]]
    wrong += [_counted(unproven, "1 claim without a proof", "{} claims without a proof")] if unproven else []
    if wrong:
        only_failed = len(wrong) == 1 and states["failed"]
        return 3 if only_failed else 1, ", ".join(wrong)
    return 0, _praise(trials)


def _praise(trials: Sequence[Trial]) -> str:
    sorts = Counter(trial.subject.sort for trial in trials)
    faults = sorts["fault"] + sorts["generated"]
    parts = [_counted(faults, "the fault is killed without noise", "all {} faults killed without noise")]
    parts += [_counted(sorts["permitted"], "the permitted mutation survives", "all {} permitted mutations survive")]
    parts += [_counted(sorts["variant"], "the variant survives", "all {} variants survive")]
    assert all(trial.state in GOOD for trial in trials)
    return ", ".join(filter(None, parts)) or "nothing was tried"


def _counted(number: int, one: str, many: str) -> str:
    return one if number == 1 else many.format(number) if number else ""


def render_json(view: ProofView) -> str:
    """The proof as JSON text, ASCII only; none of its keys is ever left out.

    The keys:

    - ``schema_version``: 1; it changes when a key goes or gets another meaning.
    - ``run``: ``id``, ``started_at`` (ISO 8601, UTC), ``duration_s``, ``jobs``, ``seed``, ``asked`` (trials asked
      for), ``complete`` (all named faults asked for), ``whole``, ``interrupted``, ``exit_code``, ``reason``.
    - ``trials``, in the order of the lists that they come from; each has ``name``, ``sort`` (fault, generated,
      permitted or variant), ``class`` (empty for a variant), ``says`` (what the server does), ``state`` (killed,
      missed, noisy, survived, accused or failed), ``breaks`` and ``also`` (globs over claims), ``permits`` (what
      allows it, where it is no fault), ``blamed`` (claims rightly found broken), ``lacking`` (what of ``breaks``
      was not), ``noise`` (claims wrongly found broken), ``broken`` (by claim: ``check``, ``expected``, ``actual``,
      ``case``, the ``exchanges`` and ``seconds`` until then, and all ``checks`` that found it, also later),
      ``exchanges_until_found`` and ``seconds_until_found`` (null where the proof is not complete), ``judged`` (claims
      judged on an occasion), ``exchanges``, ``seconds``, ``exit_code`` (of the examination), and ``trouble`` (why it
      has no say).
    - ``claims``, in the order of the ledger: ``id``, ``level``, ``proven_by`` and ``seen_beside`` (names of
      faults).
    - ``classes``, and ``total`` for all of them: ``class``, ``faults``, ``killed``, ``missed``, ``noisy``,
      ``failed``, ``median_exchanges`` and ``median_seconds`` (until found, of the killed ones; null where none
      was).
    - ``counts``: ``trials``, and how many of them ended in each state.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": {**asdict(view.run), **fields(view, "exit_code", "reason")},
        "trials": list(map(_trial, view.trials)),
        "claims": [
            {**fields(row.claim, "id", "level"), "proven_by": row.by, "seen_beside": row.also} for row in view.claims
        ],
        "classes": list(map(_count, view.kinds)),
        "total": _count(view.total),
        "counts": {"trials": len(view.trials), **{state: view.count(state) for state in get_args(State)}},
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _trial(trial: Trial) -> dict[str, Any]:
    subject, found = trial.subject, trial.found
    blame = ("check", "checks", "expected", "actual", "case", "exchanges", "seconds")
    return {
        **fields(subject, "name", "sort"),
        "class": subject.kind,
        "says": subject.says,
        "state": trial.state,
        **fields(subject, "breaks", "also", "permits"),
        "blamed": trial.blamed if subject.is_fault else [],
        "lacking": trial.lacking if subject.is_fault else [],
        "noise": noise(trial),
        "broken": {claim: fields(one, *blame) for claim, one in trial.broken.items()},
        "exchanges_until_found": found.exchanges if found else None,
        "seconds_until_found": found.seconds if found else None,
        **fields(trial, "judged", "exchanges", "seconds", "exit_code", "trouble"),
    }


def _count(row: KindCount) -> dict[str, Any]:
    medians = (row.exchanges, row.seconds) if row.killed else (None, None)
    counts = fields(row, "faults", "killed", "missed", "noisy", "failed")
    return {"class": row.kind, **counts, "median_exchanges": medians[0], "median_seconds": medians[1]}
