"""What several commands print: the plan of a check or a recording, and at its end what a run came to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from touchstone.cli.options import say as say_whole
from touchstone.config import Settings
from touchstone.facts.runlog import read
from touchstone.facts.wording import plural
from touchstone.report import github
from touchstone.report.terminal import say, table
from touchstone.report.text import write as write_text
from touchstone.report.view import View, view


def print_plan(text: str, settings: Settings, console: Console, *, shared: bool = True) -> None:
    """Prints a plan of contract tests: a row a case, then the sums; *shared* where the cases share ready versions."""
    cases: list[dict[str, Any]] = json.loads(text)
    target, rows = settings.target, list[dict[str, Any]]()
    ready = (0 if not target.templates.buildable else 1) if target.publish == "never" else 2
    if shared and ready:
        case = f"shared by the cases: {plural(ready, 'ready version')}"
        rows.append({"case": case, "claims": (), "builds": ready, "requests": 10 * ready})
    rows += cases
    cells = [(row["case"], f"{len(row['claims']) or ''}", f"{row['builds']}", f"{row['requests']}") for row in rows]
    table(console, ("case", ">claims", ">builds", ">requests"), cells)
    claims = {claim for case in cases for claim in case["claims"]}
    builds, requests = (sum(row[name] for row in rows) for name in ("builds", "requests"))
    say(
        console,
        f"{plural(len(cases), 'case')}, {plural(len(claims), 'claim')}; at most {plural(builds, 'build')} "
        f"(budget {target.max_builds:,}) and about {plural(requests, 'request')} besides polling and cleaning up; "
        f"nothing was sent to {target.url or 'the embedded twin'}",
    )
    if builds > target.max_builds:
        say(
            console,
            "the budget is smaller than the plan: claims may be left unjudged and the run end with 3; "
            f"--max-builds {builds} lets all cases run",
        )


def print_report(
    run_log: Path, folder: Path, console: Console, before: Callable[[View], str] | None = None, **how: bool
) -> None:
    """Prints the report of a run after a line of *before*; GitHub Actions has it, too. *how* is for `write_text`."""
    say_whole(console, f"report: {folder / 'report.html'}\n")
    run = view(read(run_log))
    github.publish(run, folder)
    if before:
        say_whole(console, f"{before(run)}\n")
    write_text(run, console, **how)
