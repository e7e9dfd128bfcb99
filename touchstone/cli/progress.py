"""Shows how a run comes along, on a terminal only."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

from touchstone.facts.wording import plural
from touchstone.proof.result import GOOD, Trial


def is_watched(console: Console) -> bool:
    """Whether *console* is a terminal that people watch."""
    return console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI")


@contextmanager
def progress_on(console: Console) -> Iterator[Callable[[dict[str, Any]], None]]:
    """
    A function that takes each event of the run log; it shows nothing unless *console* is a terminal that people watch.
    """
    if not is_watched(console):
        yield lambda _event: None
        return
    with Progress(*_columns(console), console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        counts = {"case": 0, "exchange": 0, "finding": 0}

        def show(event: dict[str, Any]) -> None:
            kind = str(event.get("type"))
            if kind in counts:
                counts[kind] += 1
            if kind == "exchange":
                progress.update(task, description=_line(str(event.get("case")), counts))

        yield show


def _columns(console: Console) -> tuple[ProgressColumn, ...]:
    # The usual one turns dots of Braille.
    spinner = SpinnerColumn("dots" if console.encoding.startswith("utf") else "line")
    return spinner, TextColumn("{task.description}"), TimeElapsedColumn()


def _line(case: str, counts: dict[str, int]) -> str:
    findings = f", [red]{plural(counts['finding'], 'finding')}[/red]" if counts["finding"] else ""
    done = f"{plural(counts['case'], 'case')}, {plural(counts['exchange'], 'exchange')}{findings}"
    return f"{done}: {case.replace('[', chr(92) + '[')}"


@contextmanager
def trials_on(console: Console) -> Iterator[Callable[[Trial, int], None]]:
    """A function that takes each outcome of a proof and how many are to come.

    On a terminal it moves a line; elsewhere it says what went wrong, and now and then how far the proof has come.
    """
    if not is_watched(console):
        yield lambda trial, to_come: _tell(console, trial, to_come)
        return
    with Progress(*_columns(console), console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def show(trial: Trial, to_come: int) -> None:
            if trial.state not in GOOD:
                _tell(progress.console, trial, to_come)
            progress.update(task, description=f"{to_come} to come; {trial.state}: {trial.subject.name}")

        yield show


def _tell(console: Console, trial: Trial, to_come: int) -> None:
    if trial.state not in GOOD:
        console.print(f"{trial.state}: {trial.subject.name}", markup=False, highlight=False, soft_wrap=True)
    elif to_come and to_come % 50 == 0:
        console.print(f"{to_come} trials to come", markup=False, highlight=False)
