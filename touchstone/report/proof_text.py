"""A proof on a terminal: each server, claims × faults, what did not end well and why, the counts, and one last line."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from touchstone.facts.wording import plural
from touchstone.proof.result import State, Trial
from touchstone.report.proof_view import WRONG, ProofView, noise, says
from touchstone.report.terminal import inert, paragraph, section, table, unbroken

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
        gaps = [f"{row.claim.id}: {row.claim.says}" for row in view.gaps]
        section(console, f"Claims that no fault proves ({len(gaps)})", gaps, "bold red")
        _classes(view, console)
    _totals(view, console)
    if page is not None:
        unbroken(console, f"report: {page}")
    style = {0: "bold green", 1: "bold red"}.get(view.exit_code, "bold yellow")
    unbroken(console, Text(f"exit {view.exit_code}: {view.reason}", style))


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


def _matrix(view: ProofView, console: Console) -> None:
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


def _permitted(view: ProofView, console: Console) -> None:
    """What no examination may find, each reason with the mutations that it permits."""
    reasons = {
        reason: [trial.subject.name for trial in trials if trial.subject.sort == "permitted"]
        for reason, trials in view.legitimate.items()
    }
    if not any(reasons.values()):
        return
    paragraph(console, f"Permitted mutations ({sum(map(len, reasons.values()))})", style="bold")
    for reason, names in reasons.items():
        if names:
            paragraph(console, _clip(reason), 2)
            paragraph(console, ", ".join(names), 4, "dim")
    console.print()


def _wrong(view: ProofView, console: Console) -> None:
    """What did not end well, with the evidence; the table above may have scrolled away."""
    wrong = view.wrong
    if not wrong:
        return
    paragraph(console, f"Did not end well ({len(wrong)})", style="bold red")
    for trial in wrong[:_MAX_TOLD]:
        paragraph(console, Text.assemble((trial.state, _STYLES[trial.state]), " ", trial.subject.name))
        paragraph(console, says(trial), 2)
        if trial.subject.permits:
            paragraph(console, f"permitted by {_clip(trial.subject.permits)}", 2)
        if trial.state == "failed":
            paragraph(console, _clip(trial.trouble), 2, "yellow")
        elif trial.subject.is_fault:
            paragraph(console, f"has to break {', '.join(trial.subject.breaks)}", 2)
        _findings(trial, console)
    if len(wrong) > _MAX_TOLD:
        unbroken(console, f"… and {len(wrong) - _MAX_TOLD} more: see the report")
    console.print()


def _findings(trial: Trial, console: Console) -> None:
    unrelated = noise(trial)
    ordered = [*unrelated, *(claim for claim in trial.broken if claim not in unrelated)]
    for claim in ordered[:_MAX_FINDINGS]:
        blame = trial.broken[claim]
        word = "noise" if claim in unrelated else "blames" if claim in trial.blamed else "beside"
        paragraph(console, f"{word} {claim}: expected {_clip(blame.expected)}; actual {_clip(blame.actual)}", 2)
        paragraph(console, f"{blame.check} in {_clip(blame.case)}, after {blame.exchanges} exchanges", 4, "dim")
    if len(ordered) > _MAX_FINDINGS:
        paragraph(console, f"… and {plural(len(ordered) - _MAX_FINDINGS, 'more finding')}", 2, "dim")


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


def _totals(view: ProofView, console: Console) -> None:
    count = len(view.trials)
    text = Text(f"{count} trial{'s' * (count != 1)}: " if count else "no trial was carried out")
    states: tuple[State, ...] = ("killed", "survived", *WRONG)
    text.append_text(
        Text(", ").join(Text(f"{view.count(s)} {s}", _STYLES[s]) for s in states if view.count(s)),
    )
    paragraph(console, text, 0)
    run = view.run
    pace = f"{run.duration_s:.1f} s, {run.jobs} at a time, seed {run.seed}"
    paragraph(console, f"{view.exchanges:,} exchanges, {pace}")


def _clip(text: str) -> str:
    return inert(text, _MAX_CELL_CHARS)
