"""A proof on a terminal and as one self-contained page: each server, claims × faults, and what did not end well."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from touchstone.proof.result import State, Trial
from touchstone.report import html
from touchstone.report.proof_view import WRONG, ProofRun, ProofView, Proven, mark, noise, says
from touchstone.report.terminal import inert, table
from touchstone.report.terminal import render as render_text

Shape = Literal["proves", "also", "noise", "missing"]
SHAPES: tuple[Shape, ...] = ("proves", "also", "noise", "missing")

ROW_PX = 13
GAP_PX = 7  # between subjects
_NAMED_MOST = 72  # columns that are wide enough to bear a name
_NAME_PX_PER_CHAR = 6.7  # of a monospaced font of 11 px
_PLAIN_HEAD_PX = 30

MAX_TOLD = 40  # of what did not end well, told with its evidence; the others in short
STATES: tuple[State, ...] = (*WRONG, "killed", "survived")
TONES: dict[State, str] = {
    "missed": "broken",
    "noisy": "indeterminate",
    "accused": "broken",
    "failed": "could-not-run",
    "killed": "upheld",
    "survived": "upheld",
}
SYMBOLS: dict[State, str] = {"missed": "✕", "noisy": "≠", "accused": "✕", "failed": "!", "killed": "✓", "survived": "✓"}
SHAPE_WORDS: dict[Shape, str] = {
    "proves": "the claim to blame, found broken",
    "also": "broken beside it, as the fault may",
    "noise": "blamed without a right",
    "missing": "the claim to blame, not found broken",
}

_MAX_CELL_CHARS = 300
_MAX_NAMES = 6
_STYLES: dict[State, str] = {
    "killed": "green",
    "survived": "green",
    "missed": "bold red",
    "noisy": "bold red",
    "accused": "bold red",
    "failed": "bold yellow",
}


def write(view: ProofView, console: Console, page: Path | None = None) -> None:
    """Writes the proof to *console*; the last line is the exit code and its reason.

    Args:
        page: Where the report for a browser is.
    """
    names = {
        reason: [trial.subject.name for trial in trials if trial.subject.sort == "permitted"]
        for reason, trials in view.legitimate.items()
    }
    render_text(
        console,
        "proof.txt.j2",
        {
            "trials": lambda: _trials(view, console),
            "matrix": lambda: _write_matrix(view, console),
            "classes": lambda: _classes(view, console),
        },
        view=view,
        permitted={reason: some for reason, some in names.items() if some},
        styles=_STYLES,
        says=says,
        noise=noise,
        page=str(page or ""),
    )


def _trials(view: ProofView, console: Console) -> None:
    rows: list[list[str | Text]] = []
    for trial in view.trials:
        ended = trial.found or trial
        server = Text("\n").join([Text(trial.subject.name), *(Text.assemble("  ", line) for line in _blame(trial))])
        rows.append([Text(trial.state, _STYLES[trial.state]), server, str(ended.exchanges), f"{ended.seconds:.2f}"])
    table(console, ("state", "server, and what was blamed", ">exchanges", ">seconds"), rows)
    console.print()


def _blame(trial: Trial) -> list[Text]:
    """What was blamed, rightly or not, and what was not though it had to be; a line for each."""
    if trial.state == "failed":
        return [Text(f"because {_clip(trial.trouble)}", "yellow")]
    rightly = trial.blamed if trial.subject.is_fault else ()
    lines = [Text(f"blames {claim}", "dim") for claim in rightly]
    if trial.state == "missed":
        lines += [Text(f"misses {glob}", "red") for glob in trial.lacking]
    return lines + [Text(f"noise  {claim}", "red") for claim in noise(trial)]


def _write_matrix(view: ProofView, console: Console) -> None:
    """Claims × faults; only cells that hold something are printed, since the page has room for the others."""
    rows: list[list[str | Text]] = []
    for row in view.claims:
        lines = [Text(_names(row.by))] if row.by else []
        lines += [Text(f"beside another: {_names(row.also)}", "dim")] if row.also else []
        if lines:
            rows.append([row.claim.id, Text("\n").join(lines)])
    if rows:
        table(console, ("claim", "proven by"), rows, "Claims, and the faults that prove them")
        console.print()


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _classes(view: ProofView, console: Console) -> None:
    if not view.kinds:
        return
    titles = ("class", ">faults", ">killed", ">missed", ">noisy", ">failed", ">median exchanges", ">median seconds")
    rows = []
    for row in (*view.kinds, view.total):
        medians = (f"{row.exchanges:.0f}", f"{row.seconds:.2f}") if row.killed else ("–", "–")
        rows.append([row.kind, *map(str, (row.faults, row.killed, row.missed, row.noisy, row.failed)), *medians])
    table(console, titles, rows, "Faults by class, and medians until found", wide=False)
    console.print()


def _clip(text: str) -> str:
    return inert(text, _MAX_CELL_CHARS)


def render(view: ProofView) -> str:
    """The proof as an HTML page."""
    tone, symbol, headline = headline_of(view)
    wrong = view.wrong
    return html.page(
        "proof.html.j2",
        ("report.css", "proof.css"),
        ("proof.js",),
        view=view,
        run=view.run,
        tone=tone,
        symbol=symbol,
        headline=headline,
        matrix=matrix(view),
        row_px=ROW_PX,
        wrong=wrong[:MAX_TOLD],
        further=wrong[MAX_TOLD:],
        numbers={trial.subject.name: number for number, trial in enumerate(view.trials, start=1)},
        subjects=_subjects(view),
        again={trial.subject.name: again(trial, view.run) for trial in wrong[:MAX_TOLD]},
        noise=noise,
        says=says,
        states=STATES,
        tones=TONES,
        symbols=SYMBOLS,
        shape_words=SHAPE_WORDS,
    )


def again(trial: Trial, run: ProofRun) -> str:
    """The command that tries this server once more, whole."""
    subject = trial.subject
    flag = "--variant" if subject.sort == "variant" else "--fault"
    generated = ["--generated"] if subject.sort in ("generated", "permitted") else []
    arguments = ["touchstone", "prove", *generated, flag, subject.name, "--whole", "--seed", str(run.seed)]
    return shlex.join(arguments)


def headline_of(view: ProofView) -> tuple[str, str, str]:
    """Tone, symbol and words."""
    if view.exit_code == 130:
        return "could-not-run", "!", "Interrupted"
    if view.exit_code == 3:
        return "could-not-run", "!", "Could not be carried out"
    if view.exit_code:
        return "broken", "✕", "Not proven"
    if view.run.complete:
        return "upheld", "✓", "Every claim is proven"
    return "upheld", "✓", "All found that was to be found" if view.total.faults else "Nothing accused that is permitted"


def _subjects(view: ProofView) -> list[tuple[str, Sequence[Proven]]]:
    """The claims by subject; where only some faults were asked for, those that a fault broke."""
    rows = [row for row in view.claims if view.run.complete or row.by or row.also]
    return [(name, list(group)) for name, group in groupby(rows, key=lambda row: row.claim.subject)]


@dataclass(frozen=True, slots=True)
class Row:
    """One claim.

    Attributes:
        y: Its upper edge.
    """

    proven: Proven
    y: int


@dataclass(frozen=True, slots=True)
class Band:
    """Neighbours of one subject.

    Attributes:
        start: Left or upper edge.
        size: Width or height.
    """

    name: str
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Column:
    """One fault.

    Attributes:
        number: Place of the trial in the proof, from 1.
        x: Its left edge.
        cells: By shape, the claims with the upper edges of their rows.
    """

    trial: Trial
    number: int
    x: int
    cells: dict[Shape, list[tuple[str, int]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Claims × faults, in CSS pixels.

    Attributes:
        rows: In the order of the ledger.
        columns: In the order of the first claim that each has to break, so that a diagonal shows.
        subjects: What the rows are about, and what the columns have to break.
        left_out: How many claims no fault here has to do with; they get a row only where all faults were asked for.
        named: Whether columns are wide enough for the names of their faults.
        head: Height of what stands above the first row.
        names_px: Width of the names of the claims.
    """

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    row_bands: tuple[Band, ...]
    column_bands: tuple[Band, ...]
    left_out: int
    named: bool
    column_px: int
    head: int
    names_px: int

    @property
    def width(self) -> int:
        """Width of the columns together."""
        last = self.column_bands[-1:]
        return last[0].start + last[0].size if last else 0

    @property
    def height(self) -> int:
        """Lower edge of the last row."""
        return self.rows[-1].y + ROW_PX if self.rows else self.head


def matrix(view: ProofView) -> Matrix:
    """Lays out the faults of *view* against the claims."""
    places = {row.claim.id: number for number, row in enumerate(view.claims)}
    marked = [(number, trial, _marks(trial, places)) for number, trial in enumerate(view.trials, 1) if _shown(trial)]
    touched = {claim for _, _, marks in marked for claim in marks}
    kept = [row for row in view.claims if view.run.complete or row.claim.id in touched]
    marked.sort(key=lambda item: (_first(item[2], places), item[0]))
    are_named = len(marked) <= _NAMED_MOST
    longest = max((len(trial.subject.name) for _, trial, _ in marked), default=0)
    head = _PLAIN_HEAD_PX + (round(longest * _NAME_PX_PER_CHAR) if are_named else 0)
    names_px = 12 + round(max((len(row.claim.id) for row in kept), default=0) * _NAME_PX_PER_CHAR)
    column_px = 16 if are_named else 8 if len(marked) <= 150 else 5
    row_bands = tuple(_bands([row.claim.subject for row in kept], ROW_PX, head))
    ys = list(_steps(row_bands, ROW_PX))
    rows = tuple(Row(row, y) for row, y in zip(kept, ys, strict=True))
    heights = {row.proven.claim.id: row.y for row in rows}
    subjects = [_subject_at(view.claims, _first(marks, places)) for _, _, marks in marked]
    column_bands = tuple(_bands(subjects, column_px, 0))
    columns = tuple(
        Column(trial, number, x, _cells(marks, heights))
        for (number, trial, marks), x in zip(marked, _steps(column_bands, column_px), strict=True)
    )
    left_out = len(view.claims) - len(rows)
    return Matrix(rows, columns, row_bands, column_bands, left_out, are_named, column_px, head, names_px)


def _shown(trial: Trial) -> bool:
    """Faults are columns, and so is a legitimate server that was accused."""
    return trial.subject.is_fault or trial.state == "accused"


def _marks(trial: Trial, places: dict[str, int]) -> dict[str, Shape]:
    marks: dict[str, Shape] = {}
    for claim in places:
        shape = mark(trial, claim)
        if shape:
            marks[claim] = shape
        elif any(fnmatchcase(claim, glob) for glob in trial.lacking):
            marks[claim] = "missing"
    return marks


def _first(marks: dict[str, Shape], places: dict[str, int]) -> int:
    """
    The place of the first claim that was to be broken, of any marked one where none was; past the end without a mark.
    """
    due = [places[claim] for claim, shape in marks.items() if shape in ("proves", "missing")]
    return min(due or [places[claim] for claim in marks], default=len(places))


def _subject_at(rows: Sequence[Proven], place: int) -> str:
    return rows[place].claim.subject if place < len(rows) else "no claim"


def _bands(names: Sequence[str], size: int, start: int) -> Iterator[Band]:
    for name, group in groupby(names):
        length = size * len(list(group))
        yield Band(name, start, length)
        start += length + GAP_PX


def _steps(bands: Sequence[Band], size: int) -> Iterator[int]:
    for band in bands:
        yield from range(band.start, band.start + band.size, size)


def _cells(marks: dict[str, Shape], heights: dict[str, int]) -> dict[Shape, list[tuple[str, int]]]:
    cells: dict[Shape, list[tuple[str, int]]] = {}
    for claim, shape in marks.items():
        cells.setdefault(shape, []).append((claim, heights[claim]))
    return cells
