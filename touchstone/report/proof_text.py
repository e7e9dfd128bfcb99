"""
A proof on a terminal: what became of each server, claims × faults, the counts by class, and one last line.
"""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.proof import State, Trial
from touchstone.report.proof_view import ProofView
from touchstone.report.visible import clipped, one_line

_MAX_CELL_CHARS = 160
_MAX_NAMES = 6
_STYLES: dict[State, str] = {
    "killed": "green",
    "survived": "green",
    "missed": "bold red",
    "noisy": "bold red",
    "accused": "bold red",
    "failed": "bold yellow",
}


def write(view: ProofView, console: Console) -> None:
    """
    Writes the proof to *console*; the last line is the exit code and its reason.
    """
    if view.trials:
        console.print(_trials(view.trials))
        _matrix(view, console)
        _permitted(view, console)
        if view.kinds:
            console.print(_kinds(view))
    for row in view.gaps:
        _say(console, Text(f"{row.claim.id}: no fault proves it", "bold red"))
    run = view.run
    exchanges = sum(trial.exchanges for trial in view.trials)
    pace = f"{run.duration_s:.1f} s, {run.jobs} at a time, seed {run.seed}"
    _say(
        console,
        Text(f"{len(view.trials)} trials, {exchanges:,} exchanges, {pace}"),
    )
    style = {0: "bold green", 1: "bold red"}.get(view.exit_code, "bold yellow")
    _say(console, Text(f"exit {view.exit_code}: {view.reason}", style))


def _trials(trials: tuple[Trial, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("state")
    table.add_column("server", overflow="fold")
    table.add_column("blamed", overflow="fold")
    table.add_column("noise", overflow="fold")
    for title in ("exchanges", "seconds"):
        table.add_column(title, justify="right")
    for trial in trials:
        found = trial.found
        table.add_row(
            Text(trial.state, _STYLES[trial.state]),
            trial.subject.name,
            _blamed(trial),
            Text("\n".join(trial.noise) or "0", "bold red" if trial.noise else "dim"),
            str(found.exchanges if found else trial.exchanges),
            f"{found.seconds if found else trial.seconds:.2f}",
        )
    return table


def _blamed(trial: Trial) -> Text:
    if trial.trouble:
        return Text(clipped(one_line(trial.trouble), _MAX_CELL_CHARS), "yellow")
    text = Text("\n").join(Text(claim) for claim in trial.blamed)
    if trial.state in ("missed", "noisy") and trial.lacking:
        text = Text("\n").join([*([text] if trial.blamed else []), *(Text(f"not {c}", "red") for c in trial.lacking)])
    return text


def _matrix(view: ProofView, console: Console) -> None:
    """
    Claims × faults; only cells that hold something are printed, since the page has room for the others.
    """
    rows = [row for row in view.claims if row.by or row.also]
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("claim", "proven by", "seen beside another by"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(row.claim.id, _names(row.by), Text(_names(row.also), "dim"))
    console.print()
    console.print(table)
    console.print()


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _permitted(view: ProofView, console: Console) -> None:
    """
    What no examination may find, each reason with the mutations that it permits.
    """
    reasons: dict[str, list[str]] = {}
    for trial in view.trials:
        if trial.subject.sort == "permitted":
            reasons.setdefault(trial.subject.permits, []).append(trial.subject.name)
    if not reasons:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("", justify="right")
    table.add_column("permitted because", overflow="fold")
    table.add_column("mutations", overflow="fold")
    for reason, names in reasons.items():
        table.add_row(str(len(names)), reason, ", ".join(names))
    console.print(table)
    console.print()


def _kinds(view: ProofView) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("class")
    for title in ("faults", "killed", "missed", "noisy", "failed", "median exchanges", "median seconds"):
        table.add_column(title, justify="right")
    for row in view.kinds:
        table.add_row(
            row.kind,
            *(str(number) for number in (row.faults, row.killed, row.missed, row.noisy, row.failed)),
            f"{row.exchanges:.0f}",
            f"{row.seconds:.2f}",
        )
    return table


def _say(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
