"""Reports of a proof: the data that they show, terminal output, self-contained HTML page, and proof.json."""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from rich.console import Console

from touchstone.contract.claims import Claim
from touchstone.facts.wording import plural
from touchstone.proof.result import State, Trial, median
from touchstone.report import html
from touchstone.report.json_report import SCHEMA_VERSION, fields
from touchstone.report.terminal import render as render_text
from touchstone.report.terminal import table

Cell = Literal["proves", "also", "noise", "missing"]  # what a trial shows about one claim


class Ending(NamedTuple):
    """How reports show one outcome of a trial; *noun* and *fate* name a problem: ``fault`` and ``missed``."""

    tone: str
    style: str
    noun: str = ""
    fate: str = ""


# The worst outcome comes first.
ENDINGS: dict[State, Ending] = {
    "missed": Ending("broken", "bold red", "fault", "missed"),
    "noisy": Ending("indeterminate", "bold red", "fault", "found with a wrong blame"),
    "accused": Ending("broken", "bold red", "correct server", "accused"),
    "failed": Ending("could-not-run", "bold yellow", "trial", "failed"),
    "killed": Ending("upheld", "green"),
    "survived": Ending("upheld", "green"),
}


@dataclass(frozen=True, slots=True)
class ProofRun:
    """Settings and duration of a proof, and whether it was interrupted."""

    id: str
    started_at: str  # ISO 8601 in UTC
    duration_s: float
    jobs: int
    seed: int
    asked: int  # number of trials to run
    complete: bool = False  # whether all faults are tried: then a claim that no fault breaks is a gap
    whole: bool = False  # whether trials continue after their fault is found
    interrupted: bool = False


class Proven(NamedTuple):
    """One claim. *by*: killed faults that must break it. *also*: other faults and variants that broke it."""

    claim: Claim
    by: tuple[str, ...]
    also: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProofView:
    """Everything that the reports of a proof show."""

    run: ProofRun
    trials: tuple[Trial, ...]
    cells: dict[str, dict[str, Cell]]  # what each trial shows, by trial name and claim id
    claims: tuple[Proven, ...]
    classes: tuple[dict[str, Any], ...]  # counts of faults by class, as in proof.json
    total: dict[str, Any]
    exit_code: int
    reason: str

    @property
    def states(self) -> Counter[State]:
        """Number of trials by outcome."""
        return Counter(trial.state for trial in self.trials)

    @property
    def wrong(self) -> tuple[Trial, ...]:
        """Trials with a problem, the worst first."""
        return tuple(t for state, ending in ENDINGS.items() if ending.fate for t in self.trials if t.state == state)

    @property
    def gaps(self) -> tuple[Proven, ...]:
        """Claims without a proof: no fault that must break them was killed. Empty unless all faults were tried."""
        return tuple(row for row in self.claims if not row.by) if self.run.complete else ()


def noise(trial: Trial) -> tuple[str, ...]:
    """Claims that a trial wrongly found broken; on a correct server, all claims that it found broken."""
    return trial.noise if trial.subject.is_fault else tuple(trial.broken)


def proof_view(run: ProofRun, trials: Sequence[Trial], claims: Sequence[Claim]) -> ProofView:
    """Builds the view of trials; *claims*: all judged claims in the order of `openapi/claims.yaml`."""
    cells = {trial.subject.name: _cells(trial, claims) for trial in trials}
    killed = {trial.subject.name for trial in trials if trial.state == "killed"}
    rows = []
    for claim in claims:
        of_claim = {name: row[claim.id] for name, row in cells.items() if claim.id in row}
        by = tuple(name for name, cell in of_claim.items() if cell == "proves" and name in killed)
        also = tuple(name for name, cell in of_claim.items() if cell in ("also", "noise"))
        rows.append(Proven(claim, by, also))
    faults = [trial for trial in trials if trial.subject.is_fault]
    kinds = sorted({fault.subject.kind for fault in faults})
    counts = tuple(_count(kind, [fault for fault in faults if fault.subject.kind == kind]) for kind in kinds)
    exit_code, reason = _ending(run, trials, sum(not row.by for row in rows) if run.complete else 0)
    return ProofView(run, tuple(trials), cells, tuple(rows), counts, _count("all", faults), exit_code, reason)


def _cells(trial: Trial, claims: Sequence[Claim]) -> dict[str, Cell]:
    unrelated, blamed = noise(trial), trial.blamed
    lacking = trial.lacking if trial.subject.is_fault else ()
    cells: dict[str, Cell] = {}
    for claim in claims:
        if claim.id in trial.broken:
            cells[claim.id] = "noise" if claim.id in unrelated else "proves" if claim.id in blamed else "also"
        elif any(fnmatchcase(claim.id, glob) for glob in lacking):
            cells[claim.id] = "missing"
    return cells


def _count(kind: str, faults: Sequence[Trial]) -> dict[str, Any]:
    """Counts of the trials of one class of faults; medians cover killed faults and are None if no fault was killed."""
    states = Counter(trial.state for trial in faults)
    found = [trial.found for trial in faults if trial.state == "killed" and trial.found]
    return {
        "class": kind,
        "faults": len(faults),
        **{state: states[state] for state in ("killed", "missed", "noisy", "failed")},
        "median_exchanges": median(blame.exchanges for blame in found) if found else None,
        "median_seconds": median(blame.seconds for blame in found) if found else None,
    }


def _ending(run: ProofRun, trials: Sequence[Trial], unproven: int) -> tuple[int, str]:
    if run.interrupted:
        return 130, f"interrupted after {len(trials)} of {run.asked} trials"
    states = Counter(trial.state for trial in trials)
    rows = [(states[state], ending.noun, ending.fate) for state, ending in ENDINGS.items() if ending.fate]
    rows.append((unproven, "claim", "without a proof"))
    if wrong := [f"{plural(number, noun)} {fate}" for number, noun, fate in rows if number]:
        return 3 if len(wrong) == 1 and states["failed"] else 1, ", ".join(wrong)
    parts = [f"{plural(states['killed'], 'fault')} killed without a wrong blame"] if states["killed"] else []
    parts += [f"{plural(states['survived'], 'correct server')} survived"] if states["survived"] else []
    return 0, ", ".join(parts) or "no trial"


def headline_of(view: ProofView) -> tuple[str, str]:
    """Tone and headline of a proof; see `html.headline_of`."""
    if view.exit_code in (3, 130):
        return "could-not-run", "Interrupted" if view.exit_code == 130 else "Trials failed"
    if view.exit_code:
        return "broken", "Not proven"
    praise = "All faults found" if view.total["faults"] else "No correct server accused"
    return "upheld", "Every claim is proven" if view.run.complete else praise


def again(trial: Trial, run: ProofRun) -> str:
    """Command that repeats the trial with the whole check."""
    subject = trial.subject
    flag = "--variant" if subject.sort == "variant" else "--fault"
    generated = ["--generated"] if subject.sort in ("generated", "permitted") else []
    return shlex.join(["touchstone", "prove", *generated, flag, subject.name, "--whole", "--seed", str(run.seed)])


def render_json(view: ProofView) -> str:
    """The proof as JSON in ASCII; every key is always present.

    In a trial, ``breaks`` and ``also`` are globs of the claims that must and may be broken. ``blamed`` and ``noise``
    are the claims that were rightly and wrongly found broken. ``lacking`` are the globs in ``breaks`` that match no
    broken claim. ``broken`` has the first finding on each broken claim.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": {**asdict(view.run), **fields(view, "exit_code reason")},
        "trials": list(map(_trial, view.trials)),
        "claims": [fields(row, "id=claim.id level=claim.level proven_by=by seen_beside=also") for row in view.claims],
        "classes": view.classes,
        "total": view.total,
        "counts": {"trials": len(view.trials), **{state: view.states[state] for state in get_args(State)}},
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _trial(trial: Trial) -> dict[str, Any]:
    found, blame = trial.found, "check checks expected actual case exchanges seconds"
    return {
        **fields(trial.subject, "name sort class=kind says"),
        "state": trial.state,
        **fields(trial.subject, "breaks also permits"),
        "blamed": trial.blamed if trial.subject.is_fault else [],
        "lacking": trial.lacking if trial.subject.is_fault else [],
        "noise": noise(trial),
        "broken": {claim: fields(one, blame) for claim, one in trial.broken.items()},
        "exchanges_until_found": found.exchanges if found else None,
        "seconds_until_found": found.seconds if found else None,
        **fields(trial, "judged exchanges seconds exit_code trouble"),
    }


def write(view: ProofView, console: Console, page: Path | None = None) -> None:
    """Writes the proof and the path of its HTML *page* to *console*; the last line has the exit code."""
    titles = ("class", ">faults", ">killed", ">missed", ">noisy", ">failed", ">median exchanges", ">median seconds")
    rows = list[list[str]]()
    for row in (*view.classes, view.total):
        kind, *counts, exchanges, seconds = row.values()
        medians = (f"{exchanges:.0f}", f"{seconds:.2f}") if row["killed"] else ("–", "–")
        rows.append([kind, *map(str, counts), *medians])
    tables = {"classes": lambda: table(console, titles, rows, wide=False)}
    render_text(console, "proof.txt.j2", tables, view=view, endings=ENDINGS, noise=noise, page=str(page or ""))


def render(view: ProofView) -> str:
    """HTML page of the proof."""
    tone, headline = headline_of(view)
    columns = [trial for trial in view.trials if trial.subject.is_fault or trial.state == "accused"]
    places = {row.claim.id: place for place, row in enumerate(view.claims)}

    def first(trial: Trial) -> int:
        """Row of the first claim that must break (or else, that broke). Columns sorted by this row form a diagonal."""
        cells = view.cells[trial.subject.name]
        due = [claim for claim, cell in cells.items() if cell in ("proves", "missing")]
        return min((places[claim] for claim in due or cells), default=len(places))

    columns.sort(key=lambda trial: (not trial.subject.is_fault, first(trial)))
    touched = {claim for trial in columns for claim in view.cells[trial.subject.name]}
    subjects = [row for row in view.claims if view.run.complete or row.by or row.also]
    return html.page(
        "proof.html.j2",
        ("report.css", "proof.css"),
        ("proof.js",),
        view=view,
        tone=tone,
        headline=headline,
        columns=columns,
        rows=[row for row in view.claims if view.run.complete or row.claim.id in touched],
        subjects=[(name, list(group)) for name, group in groupby(subjects, key=lambda row: row.claim.subject)],
        again=again,
        noise=noise,
        endings=ENDINGS,
    )
