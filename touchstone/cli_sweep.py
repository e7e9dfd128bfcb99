"""
The command that removes what killed runs left: argv in, exit code out.
"""

import os
from pathlib import Path

import typer
from rich.console import Console

from touchstone.options import Config, Reports, Target, Url
from touchstone.settings import Flags, load
from touchstone.sweep import sweep as sweep_journals

app = typer.Typer()


@app.command()
def sweep(
    target: Target = None,
    url: Url = None,
    config: Config = None,
    report_dir: Reports = None,
) -> None:
    """
    Remove what killed runs left on a target.

    Only what their journals name is touched.
    """
    settings = load(Flags(target=target, url=url, config=config), os.environ, Path.cwd())
    out = Console()
    reports = report_dir or Path("reports")
    folders = (settings.state_dir, reports, *(path for path in reports.glob("*") if path.is_dir()))
    swept = sweep_journals(settings, folders, lambda text: out.print(text, markup=False, highlight=False))
    removed = sum(len(one.removed) for one in swept)
    left = [ref for one in swept for ref in one.left]
    for ref in left:
        out.print(f"could not be removed: {ref}", markup=False, highlight=False)
    code = 3 if left else 0
    out.print(f"exit {code}: {removed} templates removed, {len(left)} left", markup=False, highlight=False)
    raise typer.Exit(code)
