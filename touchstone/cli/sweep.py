"""The command that removes what killed runs left: argv in, exit code out."""

import os
from collections.abc import Sequence, Sized
from pathlib import Path

import typer
from rich.console import Console

from touchstone.check.sweep import Swept
from touchstone.check.sweep import sweep as sweep_journals
from touchstone.cli.options import Config, Reports, Target, Url, examples
from touchstone.config import Flags, load
from touchstone.report.terminal import say

app = typer.Typer()

# Of what is left for one reason so many are named; the journal has them all.
NAMED = 3


@app.command(epilog=examples("sweep --target staging"))
def sweep(
    target: Target = None,
    url: Url = None,
    config: Config = None,
    report_dir: Reports = None,
) -> None:
    """Remove what killed runs left on a target.

    Only versions with names of those runs are touched.
    """
    settings = load(Flags(target=target, url=url, config=config), os.environ, Path.cwd())
    out = Console()
    reports = report_dir or Path("reports")
    folders = (settings.state_dir, reports, *(path for path in reports.glob("*") if path.is_dir()))
    swept = sweep_journals(settings, folders, lambda text: out.print(text, markup=False, highlight=False))
    for why, refs in _reasons(swept).items():
        more = f" and {len(refs) - NAMED} more" if len(refs) > NAMED else ""
        say(out, f"could not be removed: {', '.join(refs[:NAMED])}{more}: {why}")
    code = 3 if any(one.left for one in swept) else 0
    say(out, f"exit {code}: {_told(swept)}")
    raise typer.Exit(code)


def _reasons(swept: Sequence[Swept]) -> dict[str, list[str]]:
    """What is left, by the reason."""
    reasons: dict[str, list[str]] = {}
    for one in swept:
        for ref, why in one.left.items():
            reasons.setdefault(why, []).append(ref)
    return reasons


def _told(swept: Sequence[Swept]) -> str:
    """What came of it all, and what to do about what is left."""
    removed, gone, left = (sum(map(len, parts)) for parts in _columns(swept))
    told = f"{removed} templates removed, {left} left"
    told += f"; {gone} {'was' if gone == 1 else 'were'} gone already" if gone else ""
    silent = next((one.url for one in swept if one.silent), "")
    if silent:
        return f"{told}; {silent} did not answer: check the URL and that the server runs, and sweep again"
    return f"{told}; set right what is told above, and sweep again" if left else told


def _columns(swept: Sequence[Swept]) -> tuple[list[Sized], list[Sized], list[Sized]]:
    return [one.removed for one in swept], [one.gone for one in swept], [one.left for one in swept]
