"""What several commands print: the plan of a check or a recording, and at its end what a run came to."""

import json
from collections.abc import Callable, Iterable, Mapping
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

# A ready version of each of two accounts, built on first use and kept to the end.
SHARED_BUILDS, SHARED_REQUESTS = 2, 20


def print_plan(text: str, settings: Settings, console: Console, *, shared: bool = True) -> None:
    """Prints the plan that the contract tests made of themselves: a row a case, then the sums.

    Args:
        shared: Whether the cases share ready versions.
    """
    shared_builds, shared_requests = _shared(settings) if shared else (0, 0)
    cases = json.loads(text)
    shares = f"shared by the cases: {plural(shared_builds, 'ready version')}"
    rows = [(shares, "", f"{shared_builds}", f"{shared_requests}")] if shared_builds else []
    rows += [(c["case"], f"{len(c['claims'])}", f"{c['builds']}", f"{c['requests']}") for c in cases]
    table(console, ("case", ">claims", ">builds", ">requests"), rows)
    claims = {claim for case in cases for claim in case["claims"]}
    builds = builds_of(cases, settings, shared=shared)
    requests = shared_requests + sum(case["requests"] for case in cases)
    target = settings.target
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


def builds_of(cases: Iterable[Mapping[str, Any]], settings: Settings, *, shared: bool = True) -> int:
    """How many builds a run starts at most, by the plan that the contract tests made of themselves."""
    return (_shared(settings)[0] if shared else 0) + sum(int(case["builds"]) for case in cases)


def _shared(settings: Settings) -> tuple[int, int]:
    """Builds and requests of the ready versions: where nothing may be published, of the first that the user named."""
    if settings.target.publish == "never":
        return (1, SHARED_REQUESTS // SHARED_BUILDS) if settings.target.templates.buildable else (0, 0)
    return SHARED_BUILDS, SHARED_REQUESTS


def print_report(
    run_log: Path, folder: Path, console: Console, before: Callable[[View], str] | None = None, **how: bool
) -> None:
    """Prints where the reports of a run are and what is in them, and tells a job of GitHub Actions.

    Args:
        before: Makes a line that stands before the report.
        how: What `report.text.write` takes.
    """
    say_whole(console, f"report: {folder / 'report.html'}\n")
    run = view(read(run_log))
    github.publish(run, folder)
    if before:
        say_whole(console, f"{before(run)}\n")
    write_text(run, console, **how)
