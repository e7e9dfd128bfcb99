"""A proof on a terminal: each server, claims × faults, what did not end well and why, the counts, and one last line."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.facts.wording import clipped, one_line, plural
from touchstone.proof.result import State, Trial
from touchstone.report.proof_view import WRONG, ProofView, noise, says

_TABLE_FROM_COLUMNS = 76  # below, columns beside each other would be too narrow to read
_MAX_CELL_CHARS = 300
_MAX_NAMES = 6
_MAX_TOLD = 20  # of what did not end well, told with its evidence
_MAX_FINDINGS = 4  # of one server
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
    if view.trials:
        _trials(view, console)
        _matrix(view, console)
        _permitted(view, console)
        _wrong(view, console)
        _gaps(view, console)
        _classes(view, console)
    _totals(view, console)
    if page is not None:
        _line(console, Text(f"report: {page}"))
    style = {0: "bold green", 1: "bold red"}.get(view.exit_code, "bold yellow")
    _line(console, Text(f"exit {view.exit_code}: {view.reason}", style))


def _trials(view: ProofView, console: Console) -> None:
    if console.width < _TABLE_FROM_COLUMNS:
        for trial in view.trials:
            _paragraph(console, Text.assemble((trial.state, _STYLES[trial.state]), " ", trial.subject.name), 0)
            for line in _blame(trial):
                _paragraph(console, line, 2)
            _paragraph(console, Text(f"{_exchanges(trial)} exchanges, {_seconds(trial)} s", "dim"), 2)
        console.print()
        return
    table = _table("state", "server, and what was blamed", numbers=("exchanges", "seconds"), expand=True)
    for trial in view.trials:
        lines = [Text(trial.subject.name), *(Text.assemble("  ", line) for line in _blame(trial))]
        table.add_row(
            Text(trial.state, _STYLES[trial.state]), Text("\n").join(lines), _exchanges(trial), _seconds(trial)
        )
    console.print(table)
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


def _exchanges(trial: Trial) -> str:
    return str(trial.found.exchanges if trial.found else trial.exchanges)


def _seconds(trial: Trial) -> str:
    return f"{trial.found.seconds if trial.found else trial.seconds:.2f}"


def _matrix(view: ProofView, console: Console) -> None:
    """Claims × faults; only cells that hold something are printed, since the page has room for the others."""
    rows = [row for row in view.claims if row.by or row.also]
    if not rows:
        return
    cells = []
    for row in rows:
        lines = [Text(_names(row.by))] if row.by else []
        lines += [Text(f"beside another: {_names(row.also)}", "dim")] if row.also else []
        cells.append((row.claim.id, lines))
    if console.width < _TABLE_FROM_COLUMNS:
        _heading(console, "Claims, and the faults that prove them")
        for claim, lines in cells:
            _paragraph(console, Text(claim), 0)
            for line in lines:
                _paragraph(console, line, 2)
    else:
        table = _table("claim", "proven by", expand=True)
        table.columns[0].no_wrap = True
        for claim, lines in cells:
            table.add_row(claim, Text("\n").join(lines))
        console.print(table)
    console.print()


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _permitted(view: ProofView, console: Console) -> None:
    """What no examination may find, each reason with the mutations that it permits."""
    reasons = {
        reason: [trial.subject.name for trial in trials if trial.subject.sort == "permitted"]
        for reason, trials in view.legitimate.items()
    }
    if not any(reasons.values()):
        return
    _heading(console, f"Permitted mutations ({sum(map(len, reasons.values()))})")
    for reason, names in reasons.items():
        if names:
            _paragraph(console, Text(_clip(reason)), 2)
            _paragraph(console, Text(", ".join(names), "dim"), 4)
    console.print()


def _wrong(view: ProofView, console: Console) -> None:
    """What did not end well, with the evidence; the table above may have scrolled away."""
    wrong = view.wrong
    if not wrong:
        return
    _heading(console, f"Did not end well ({len(wrong)})", "bold red")
    for trial in wrong[:_MAX_TOLD]:
        _paragraph(console, Text.assemble((trial.state, _STYLES[trial.state]), " ", trial.subject.name), 0)
        _paragraph(console, Text(says(trial)), 2)
        if trial.subject.permits:
            _paragraph(console, Text(f"permitted by {_clip(trial.subject.permits)}"), 2)
        if trial.state == "failed":
            _paragraph(console, Text(_clip(trial.trouble), "yellow"), 2)
        elif trial.subject.is_fault:
            _paragraph(console, Text(f"has to break {', '.join(trial.subject.breaks)}"), 2)
        _findings(trial, console)
    if len(wrong) > _MAX_TOLD:
        _line(console, Text(f"… and {len(wrong) - _MAX_TOLD} more: see the report"))
    console.print()


def _findings(trial: Trial, console: Console) -> None:
    unrelated = noise(trial)
    ordered = [*unrelated, *(claim for claim in trial.broken if claim not in unrelated)]
    for claim in ordered[:_MAX_FINDINGS]:
        blame = trial.broken[claim]
        word = "noise" if claim in unrelated else "blames" if claim in trial.blamed else "beside"
        _paragraph(console, Text(f"{word} {claim}: expected {_clip(blame.expected)}; actual {_clip(blame.actual)}"), 2)
        _paragraph(console, Text(f"{blame.check} in {_clip(blame.case)}, after {blame.exchanges} exchanges", "dim"), 4)
    if len(ordered) > _MAX_FINDINGS:
        _paragraph(console, Text(f"… and {plural(len(ordered) - _MAX_FINDINGS, 'more finding')}", "dim"), 2)


def _gaps(view: ProofView, console: Console) -> None:
    if view.gaps:
        _heading(console, f"Claims that no fault proves ({len(view.gaps)})", "bold red")
        for row in view.gaps:
            _paragraph(console, Text(f"{row.claim.id}: {row.claim.says}"), 2)
        console.print()


def _classes(view: ProofView, console: Console) -> None:
    if not view.kinds:
        return
    titles = ("faults", "killed", "missed", "noisy", "failed")
    if console.width < _TABLE_FROM_COLUMNS:
        _heading(console, "Faults by class, and medians until found")
        for row in (*view.kinds, view.total):
            counts = ((row.killed, "killed"), (row.missed, "missed"), (row.noisy, "noisy"), (row.failed, "failed"))
            told = ", ".join(f"{number} {word}" for number, word in counts if number)
            pace = f"; {row.exchanges:.0f} exchanges, {row.seconds:.2f} s" if row.killed else ""
            _paragraph(console, Text(f"{row.kind}: {told} of {row.faults}{pace}"), 2)
        console.print()
        return
    table = _table("class", numbers=(*titles, "median exchanges", "median seconds"))
    table.columns[0].no_wrap = True
    for row in (*view.kinds, view.total):
        if row is view.total:
            table.add_section()
        medians = (f"{row.exchanges:.0f}", f"{row.seconds:.2f}") if row.killed else ("–", "–")
        table.add_row(row.kind, *map(str, (row.faults, row.killed, row.missed, row.noisy, row.failed)), *medians)
    console.print(table)
    console.print()


def _totals(view: ProofView, console: Console) -> None:
    count = len(view.trials)
    text = Text(f"{count} trial{'s' * (count != 1)}: " if count else "no trial was carried out")
    states: tuple[State, ...] = ("killed", "survived", *WRONG)
    text.append_text(
        Text(", ").join(Text(f"{view.count(s)} {s}", _STYLES[s]) for s in states if view.count(s)),
    )
    _paragraph(console, text, 0)
    run = view.run
    pace = f"{run.duration_s:.1f} s, {run.jobs} at a time, seed {run.seed}"
    _paragraph(console, Text(f"{view.exchanges:,} exchanges, {pace}"), 0)


def _table(*texts: str, numbers: tuple[str, ...] = (), expand: bool = False) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=expand)
    for title in texts:
        table.add_column(title, overflow="fold", ratio=1 if expand and title == texts[-1] else None)
    for title in numbers:
        table.add_column(title, justify="right")
    return table


def _heading(console: Console, title: str, style: str = "bold") -> None:
    _paragraph(console, Text(title, style), 0)


def _paragraph(console: Console, text: Text, indent: int) -> None:
    for piece in text.wrap(console, max(console.width - indent, 10), overflow="fold"):
        piece.rstrip()
        console.print(Text.assemble(" " * indent, piece))


def _line(console: Console, text: Text) -> None:
    # Never broken by us: a path has to survive being copied, and a last line has to stay one line.
    console.print(text, soft_wrap=True)


def _clip(text: str) -> str:
    return clipped(one_line(text), _MAX_CELL_CHARS)
