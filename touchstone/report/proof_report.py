"""A proof in each of its reports: one view of the trials, on a terminal, as a self-contained page and as proof.json."""

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
from rich.text import Text

from touchstone.contract.claims import Claim
from touchstone.facts.wording import plural
from touchstone.proof.result import State, Trial, median
from touchstone.report import html
from touchstone.report.json_report import SCHEMA_VERSION, fields
from touchstone.report.terminal import render as render_text
from touchstone.report.terminal import table

Cell = Literal["proves", "also", "noise", "missing"]


class Ending(NamedTuple):
    """How one outcome of a trial is shown; *noun* and *fate* say what went wrong."""

    tone: str
    style: str
    noun: str = ""
    fate: str = ""


# The worst first.
ENDINGS: dict[State, Ending] = {
    "missed": Ending("broken", "bold red", "fault", "missed"),
    "noisy": Ending("indeterminate", "bold red", "fault", "found with noise"),
    "accused": Ending("broken", "bold red", "legitimate server", "accused"),
    "failed": Ending("could-not-run", "bold yellow", "trial", "could not be carried out"),
    "killed": Ending("upheld", "green"),
    "survived": Ending("upheld", "green"),
}


@dataclass(frozen=True, slots=True)
class ProofRun:
    """How the trials were run."""

    id: str
    started_at: str  # ISO 8601 in UTC
    duration_s: float
    jobs: int
    seed: int
    asked: int  # number of trials to run
    complete: bool = False  # all named faults are to be tried, so that a claim without one is a gap
    whole: bool = False  # examinations went on after their proof was complete
    interrupted: bool = False


class Proven(NamedTuple):
    """One claim, the killed faults that had to break it, and the faults that broke it beside another one."""

    claim: Claim
    by: tuple[str, ...]
    also: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProofView:
    """What the reports of a proof show."""

    run: ProofRun
    trials: tuple[Trial, ...]
    cells: dict[str, dict[str, Cell]]  # by name of the trial and id of the claim
    claims: tuple[Proven, ...]
    classes: tuple[dict[str, Any], ...]  # counts of faults by class, as proof.json has them
    total: dict[str, Any]
    exit_code: int
    reason: str

    @property
    def states(self) -> Counter[State]:
        """How many trials ended how."""
        return Counter(trial.state for trial in self.trials)

    @property
    def wrong(self) -> tuple[Trial, ...]:
        """Trials that did not end well, the worst first."""
        return tuple(t for state, ending in ENDINGS.items() if ending.fate for t in self.trials if t.state == state)

    @property
    def gaps(self) -> tuple[Proven, ...]:
        """Claims that no fault proves, where all faults were asked for."""
        return tuple(row for row in self.claims if not row.by) if self.run.complete else ()


def noise(trial: Trial) -> tuple[str, ...]:
    """The claims that were blamed without a right; whatever is blamed on a legitimate server is noise."""
    return trial.noise if trial.subject.is_fault else tuple(trial.broken)


def proof_view(run: ProofRun, trials: Sequence[Trial], claims: Sequence[Claim]) -> ProofView:
    """Sums up the trials; *claims* are all that are judged, in the order of the ledger."""
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
    """The row of a class; medians are those of killed faults, None without one."""
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
    sorts: Counter[str] = Counter("fault" if trial.subject.is_fault else trial.subject.sort for trial in trials)
    fates = {
        "fault": ("fault", "killed without noise"),
        "permitted": ("permitted mutation", "survived"),
        "variant": ("variant", "survived"),
    }
    parts = [f"{plural(sorts[sort], noun)} {fate}" for sort, (noun, fate) in fates.items() if sorts[sort]]
    return 0, ", ".join(parts) or "nothing was tried"


def headline_of(view: ProofView) -> tuple[str, str]:
    """Tone and words."""
    if view.exit_code in (3, 130):
        return "could-not-run", "Interrupted" if view.exit_code == 130 else "Could not be carried out"
    if view.exit_code:
        return "broken", "Not proven"
    praise = "All found that was to be found" if view.total["faults"] else "Nothing accused that is permitted"
    return "upheld", "Every claim is proven" if view.run.complete else praise


def again(trial: Trial, run: ProofRun) -> str:
    """The command that tries this server once more, whole."""
    subject = trial.subject
    flag = "--variant" if subject.sort == "variant" else "--fault"
    generated = ["--generated"] if subject.sort in ("generated", "permitted") else []
    return shlex.join(["touchstone", "prove", *generated, flag, subject.name, "--whole", "--seed", str(run.seed)])


def render_json(view: ProofView) -> str:
    """The proof as JSON text, ASCII only; no key is ever left out.

    Of a trial, ``breaks`` and ``also`` are globs over claims; ``permits`` is what allows a server that is no fault;
    ``blamed``, ``lacking`` and ``noise`` are claims rightly found broken, not found, and wrongly found; ``broken`` has
    the first finding about each claim, with the ``exchanges`` and ``seconds`` until then and all ``checks`` that found
    it; what is until found is null where the proof is not complete. Of a class, medians are those of killed faults.
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
    """Writes the proof to *console*, with the path of its *page*; the last line is the exit code and its reason."""
    titles = ("class", ">faults", ">killed", ">missed", ">noisy", ">failed", ">median exchanges", ">median seconds")
    tables = {"classes": lambda: table(console, titles, map(_class_row, (*view.classes, view.total)), wide=False)}
    render_text(console, "proof.txt.j2", tables, view=view, endings=ENDINGS, noise=noise, page=str(page or ""))


def _class_row(row: dict[str, Any]) -> list[str | Text]:
    kind, *counts, exchanges, seconds = row.values()
    medians = (f"{exchanges:.0f}", f"{seconds:.2f}") if row["killed"] else ("–", "–")
    return [kind, *map(str, counts), *medians]


def render(view: ProofView) -> str:
    """The proof as an HTML page."""
    tone, headline = headline_of(view)
    # Faults are columns of the picture, and so are legitimate servers that were accused.
    columns = [trial for trial in view.trials if trial.subject.is_fault or trial.state == "accused"]
    places = {row.claim.id: place for place, row in enumerate(view.claims)}

    def first(trial: Trial) -> int:
        """The place of the first claim that a server has to break, else of the first it broke; so a diagonal shows."""
        cells = view.cells[trial.subject.name]
        due = [claim for claim, cell in cells.items() if cell in ("proves", "missing")]
        return min((places[claim] for claim in due or cells), default=len(places))

    columns.sort(key=first)
    touched = {claim for trial in columns for claim in view.cells[trial.subject.name]}
    subjects = [row for row in view.claims if view.run.complete or row.by or row.also]
    return html.page(
        "proof.html.j2",
        ("report.css", "proof.css"),
        ("proof.js",),
        view=view,
        run=view.run,
        tone=tone,
        headline=headline,
        columns=columns,
        rows=[row for row in view.claims if view.run.complete or row.claim.id in touched],
        numbers={trial.subject.name: number for number, trial in enumerate(view.trials, start=1)},
        subjects=[(name, list(group)) for name, group in groupby(subjects, key=lambda row: row.claim.subject)],
        again=again,
        noise=noise,
        endings=ENDINGS,
        symbols=html.SYMBOLS,
    )
