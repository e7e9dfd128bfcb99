"""Terminal output of commands: the plan of a run, its progress, and its report."""

import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from touchstone.check.cases import ALONE, Declared, Pace, duration_s
from touchstone.check.examination import CLEAN_UP
from touchstone.cli.options import say
from touchstone.config import Settings
from touchstone.facts.runlog import decode, read
from touchstone.facts.sample import Window
from touchstone.facts.wording import plural
from touchstone.loadgen.metrics import ALL, Totals
from touchstone.report import github, html
from touchstone.report.probe_view import WINDOWS
from touchstone.report.terminal import say as say_fitted
from touchstone.report.terminal import table
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.types import Progress as Show

LINE_EVERY_S = 30
SHARED_FROM = ("lifecycle.fresh_build", "lifecycle.build_of_another")  # cases whose versions the others share


def is_watched(console: Console) -> bool:
    """Whether the console is an interactive terminal, outside of CI."""
    return console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI")


@contextmanager
def changing_on(console: Console) -> Iterator[Callable[[str], None]]:
    """Yields a function that replaces the text shown on an interactive terminal. Elsewhere, it shows nothing."""
    if not is_watched(console):
        yield lambda _text: None
        return
    spinner = SpinnerColumn("dots" if console.encoding.startswith("utf") else "line")
    text = TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold"))
    with Progress(spinner, text, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda text: progress.update(task, description=text)


class CheckState:
    """Progress of a check so far, from the events of its run log."""

    def __init__(self) -> None:
        self.cases = 0  # number of cases; 0 until they are known
        self.done = self.findings = self.begun = 0
        self.running: dict[str, None] = {}  # cases, in the order of their first requests
        self.building: set[str] = set()

    def add(self, event: dict[str, Any]) -> None:
        """Updates the progress with one event of any type."""
        match event.get("type"):
            case "selected":
                self.cases = len(event["cases"])
            case "case":
                self.done += 1
                self.running.pop(event["id"], None)
            case "finding":
                self.findings += 1
            case "exchange":
                if event["case"] in ("smoke", CLEAN_UP):
                    return
                self.running.setdefault(event["case"])
                # The text is not parsed, since there are thousands of exchanges.
                runs = '"building"' in ((event["response"] or {}).get("body") or {}).get("text", "")
                operation, ref = event["operation"], str(event["ref"])
                if runs and operation in ("startBuild", "publishTemplate") and ref not in self.building:
                    self.begun += 1
                    self.building.add(ref)
                elif not runs and operation in ("getBuild", "deleteTemplate"):
                    self.building.discard(ref)

    def line(self, elapsed_s: float) -> str:
        """Returns the progress as one line: cases, builds, findings, the case that runs longest, and the time left."""
        is_open = 0 < self.done < self.cases
        left = _minutes(elapsed_s / self.done * (self.cases - self.done)) if is_open else ""
        return html.sentence("check_progress", self, left) if self.cases else ""


class LoadState:
    """Progress of a load run so far, from the events of its run log and the ``progress`` events of its set-up."""

    def __init__(self) -> None:
        self.duration_s = self._began_at = 0.0
        self.at_s = 0  # seconds since the start of the schedule
        self.totals = Totals(ALL)
        self.findings = 0
        self.set_up = "starting"  # progress of the set-up or clean-up; empty while the load runs

    def add(self, event: dict[str, Any]) -> None:
        """Updates the progress with one event of any type."""
        match event.get("type"):
            case "progress":
                hint = f" ({event['hint']})" if event.get("hint") else ""
                self.set_up = f"{event['doing']}: {event['done']:,} of {event['of']:,}{hint}"
            case "workload":
                self.set_up = ""
                self.duration_s, self._began_at = float(event["duration_s"]), float(event["began_at"])
            case "window":
                window = decode(event)
                assert isinstance(window, Window)
                self.totals.add(window)
                self.at_s = max(self.at_s, window.at_s - int(self._began_at) + 1)
            case "finding":
                self.findings += 1

    def line(self, _elapsed_s: float) -> str:
        """Returns the progress as one line: time, requests, latency, refusals, errors and findings."""
        return self.set_up or html.sentence("load_progress", self, self.totals)


@contextmanager
def progress_on(
    console: Console, state: CheckState | LoadState, now: Callable[[], float] = time.monotonic
) -> Iterator[Show]:
    """Yields a function that shows the progress of a run from its events; outside a terminal, every 30 s."""
    watched, began_at = is_watched(console), now()
    printed_at = began_at
    with changing_on(console) as change:

        def show(event: dict[str, Any]) -> None:
            nonlocal printed_at
            state.add(event)
            at = now()
            if (watched or at - printed_at >= LINE_EVERY_S) and (line := state.line(at - began_at)):
                change(line)
                if not watched:
                    printed_at = at
                    say(console, line)

        yield show


@contextmanager
def probe_progress_on(console: Console) -> Iterator[Show]:
    """Yields a function that prints what a probe sends and finds. On a terminal, it also shows the present step."""
    belief: dict[str, Any] = {}
    terms: dict[str, Any] = {}
    template = html.environment().overlay(autoescape=False).get_template("probe_progress.txt.j2")
    with changing_on(console) as change:

        def show(event: dict[str, Any]) -> None:
            if event.get("type") == "heard":
                belief.update(event)
            terms.update(event.get("terms", {}))
            needs_s = WINDOWS * (event.get("retry_after_s") or 0.0)
            if needs_s > terms.get("most_s", math.inf):
                event |= {"type": "long", "needs_s": needs_s, "most_s": terms.pop("most_s")}  # said once
            text = template.render(event=event, belief=belief)
            now, _, line = text.rstrip().partition("\n")
            if now:
                change(now)
            if line:
                say(console, line)

        yield show


def print_lines(console: Console, template: str, insert: Callable[[], None] = lambda: None, **values: object) -> None:
    """Prints a template of report/assets line by line. The line ``@`` calls *insert*; lines from ``!`` never wrap."""
    jinja = html.environment().overlay(autoescape=False)
    for line in jinja.get_template(template).render(values).splitlines():
        if line == "@":
            insert()
        elif line.startswith("!"):
            say(console, line[1:])
        else:
            say_fitted(console, line)


def print_plan(
    text: str,
    settings: Settings,
    console: Console,
    pace: Pace | None = None,
    *,
    shared: bool = True,
    listed: bool = True,
) -> None:
    """Prints the costs of the cases, or of groups of cases unless *listed*, and the totals.

    *pace*: times of a build and of a request, for an estimate of the duration, or None for no estimate; *shared*:
    whether the costs include ready versions that cases share.
    """
    cases = [Declared(**row) for row in json.loads(text)]
    target, rows = settings.target, cases
    ready = (0 if not target.templates.buildable else 1) if target.publish == "never" else 2
    ready = max(0, ready - sum(case.id.startswith(SHARED_FROM) for case in cases))
    if shared and ready:
        name = f"shared by the cases: {plural(ready, 'ready version')}"
        rows = [Declared(name, "", builds=ready, requests=10 * ready), *cases]
    groups: defaultdict[str, list[Declared]] = defaultdict(list)
    for row in rows:
        groups[row.id if listed else row.id.partition(".")[0].partition(":")[0]].append(row)
    cells = []
    for name, group in groups.items():
        claims = {claim for row in group for claim in row.claims}
        costs = sum(row.builds for row in group), sum(row.requests for row in group)
        cells.append((name, *map(str, (len(claims) or "", *costs))))
    titles = ("case" if listed else "cases about", ">claims", ">builds", ">requests")
    values: dict[str, Any] = {"cases": cases, "claims": {claim for case in cases for claim in case.claims}}
    if pace:
        whole = sum(case.builds for case in cases if case.stage < ALONE) + ready
        takes = _minutes(duration_s(cases, pace, target.max_in_flight))
        values |= {"takes": takes, "build_minutes": whole * pace.build_s / 60}
    insert = partial(table, console, titles, cells)
    print_lines(console, "check_plan.txt.j2", insert, **values, rows=rows, target=target, pace=pace)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def print_report(run_log: Path, folder: Path, console: Console, note: str = "", **how: bool) -> None:
    """Prints *note*, then the report, which also goes to GitHub Actions. *how*: see `write_text`."""
    say(console, f"report: {folder / 'report.html'}\n")
    run = view(read(run_log))
    github.publish(run, folder)
    if note:
        say(console, f"{note}\n")
    write_text(run, console, **how)
