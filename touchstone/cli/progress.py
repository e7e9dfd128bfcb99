"""Shows how a check or a proof comes along: on a terminal that people watch a line that moves."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

from touchstone.cli.options import say
from touchstone.facts.wording import plural

if TYPE_CHECKING:
    from touchstone.proof.result import Trial

# Takes each event of a run log.
Show = Callable[[dict[str, Any]], None]


def is_watched(console: Console) -> bool:
    """Whether *console* is a terminal that people watch."""
    return console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI")


def _columns(console: Console) -> tuple[ProgressColumn, ...]:
    # The usual one turns dots of Braille.
    spinner = SpinnerColumn("dots" if console.encoding.startswith("utf") else "line")
    return spinner, TextColumn("{task.description}", markup=False), TimeElapsedColumn()


@contextmanager
def progress_on(console: Console) -> Iterator[Show]:
    """Shows the cases of a check on a terminal; elsewhere nothing."""
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
                done = ", ".join(plural(count, noun) for noun, count in counts.items() if count or noun != "finding")
                progress.update(task, description=f"{done}: {event.get('case')}")

        yield show


@contextmanager
def trials_on(console: Console) -> Iterator[Callable[["Trial", int], None]]:
    """Shows each outcome of a proof and how many are to come; off a terminal what went wrong, and every 50th."""
    from touchstone.proof.result import GOOD  # noqa: PLC0415 - nothing but a proof loads it

    def tell(trial: "Trial", to_come: int) -> None:
        if trial.state not in GOOD:
            say(console, f"{trial.state}: {trial.subject.name}")
        elif to_come and to_come % 50 == 0 and not is_watched(console):
            say(console, f"{to_come} trials to come")

    if not is_watched(console):
        yield tell
        return
    with Progress(*_columns(console), console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def show(trial: "Trial", to_come: int) -> None:
            tell(trial, to_come)
            progress.update(task, description=f"{to_come} to come; {trial.state}: {trial.subject.name}")

        yield show
