"""Shows how a probe comes along: what is known after each stimulus, and what is asked next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from touchstone.cli.progress import is_watched
from touchstone.facts.wording import brief, chance_words, figure, plural
from touchstone.report.probe_sentences import describe_family

_FAMILIES = 3
# Below this nobody wants to read of a family.
_LEAST = 0.01


@contextmanager
def probe_progress_on(console: Console) -> Iterator[Callable[[dict[str, Any]], None]]:
    """
    A function that takes each event of the run log of a probe; a line for each stimulus, and on a terminal a status.
    """
    state = _State()
    if not is_watched(console):
        yield lambda event: _tell(console, state.take(event))
        return
    with console.status("getting ready") as status:

        def show(event: dict[str, Any]) -> None:
            told = state.take(event)
            status.update(state.now)
            _tell(console, told)

        yield show


def _tell(console: Console, text: str) -> None:
    if text:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


class _State:
    """How far a probe has come, by the events of its run log.

    Attributes:
        now: What goes on, in a few words without markup.
    """

    def __init__(self) -> None:
        self.now = "getting ready"
        self._heard: dict[str, Any] = {}

    def take(self, event: dict[str, Any]) -> str:
        """Takes an event in; a line to be told, or nothing."""
        match event.get("type"):
            case "course":
                self.now = f"{event['doing']}: {event['done']} of {event['of']}"
            case "heard":
                self._heard = event
            case "stimulus":
                self.now = f"stimulus {event['number']}"
                return f"{event['number']}: {event['name']}; {self._known()}"
            case "trial":
                self.now = f"trial {event['number']}"
                return f"trial {event['number']}: {_trial_words(event)}"
            case "tried":
                return f"trial {event['trial']['number']}: {_tried_words(event)}"
            case "knee":
                self.now = "clearing up"
                return ""
            case "identity":
                self.now = "clearing up"
                return f"the probe ends ({event['why'] or 'cut short'}); {self._known()}"
        return ""

    def _known(self) -> str:
        """What is known and what it has cost."""
        heard = self._heard
        if not heard:
            return "nothing is known yet"
        ranked = sorted(heard["families"].items(), key=lambda each: -each[1])[:_FAMILIES]
        likely = ", ".join(
            f"{describe_family(name)} {chance_words(share)}" for name, share in ranked if share >= _LEAST
        )
        builds = f", {plural(heard['builds'], 'build')}" if heard["builds"] else ""
        spent = f"{plural(heard['requests'], 'request')} ({heard['refused']:,} refused){builds} so far"
        return f"known: {likely or 'nothing'}; {spent}"


def _trial_words(trial: dict[str, Any]) -> str:
    reads = plural(trial["arrivals"], "read")
    return f"{trial['stage']}, {reads} at {figure(trial['rate_per_s'])} a second"


def _tried_words(event: dict[str, Any]) -> str:
    outcome = event["outcome"]
    late = f", sent late by {brief(outcome['late_p99_s'])} at p99" if event["mark"] == "late" else ""
    return f"{event['mark']}: {outcome['due']:,} reads, p99 {brief(outcome['p99_s'])}{late}"
