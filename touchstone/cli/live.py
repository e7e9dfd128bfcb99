"""Shows how a load or a probe comes along: on a terminal that people watch what moves, elsewhere lines."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from touchstone.cli.options import say
from touchstone.cli.progress import Show, is_watched
from touchstone.facts.runlog import decode
from touchstone.facts.sample import UNSENT, Histogram, Window
from touchstone.facts.wording import brief, chance_words, figure, plural
from touchstone.loadgen.metrics import LASTING, Kind, is_timed, kind_of
from touchstone.report.probe_sentences import describe_family
from touchstone.report.terminal import KIND_STYLES

LINE_EVERY_S = 30
# A set-up is told of from the beginning where so much is to be done, and where it takes so long.
SET_UP_EVERY_S, _MANY = 10.0, 100
_DRAW_EVERY_S = 0.25
_KIND_NAMES: dict[Kind, str] = {"refused": "refused", "error": "errors", "cut": "cut off", "unsent": "never sent"}


@contextmanager
def load_progress_on(console: Console, now: Callable[[], float] = time.monotonic) -> Iterator[Show]:
    """Shows what a load run has come to: as a table on a terminal, elsewhere as a line now and then.

    Events of the type ``course`` are in no run log: they say how far the set-up or the clean-up has come.
    """
    state = LoadState()
    if not is_watched(console):
        yield _line_printer(console, state, now)
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        drawn_at = 0.0

        def show(event: dict[str, Any]) -> None:
            nonlocal drawn_at
            state.add(event)
            if now() - drawn_at >= _DRAW_EVERY_S or (event.get("type") == "course" and not event["done"]):
                drawn_at = now()
                live.update(state.picture(), refresh=True)

        yield show


def _line_printer(console: Console, state: "LoadState", now: Callable[[], float]) -> Show:
    last_s, printed_at = 0, now()

    def show(event: dict[str, Any]) -> None:
        nonlocal last_s, printed_at
        state.add(event)
        if event.get("type") == "course":
            begins = not event["done"]
            if begins or now() - printed_at >= SET_UP_EVERY_S:
                printed_at = now()
                if not begins or event["of"] >= _MANY:
                    say(console, state.set_up)
        elif state.at_s >= last_s + LINE_EVERY_S:
            last_s = state.at_s - state.at_s % LINE_EVERY_S
            say(console, state.line())

    return show


class LoadState:
    """What a load run has come to so far, from the events of its run log as they appear."""

    def __init__(self) -> None:
        self.scenario, self.duration_s, self._began_at = "", 0.0, 0.0
        self.at_s = 0  # since the schedule began
        self.counts: defaultdict[tuple[str, str], int] = defaultdict(int)  # by operation and outcome
        self.times: defaultdict[str, Histogram] = defaultdict(Histogram)  # response times by operation
        self.builds = self.findings = 0  # builds in flight
        self.behind: set[int] = set()  # numbers of workers that could not keep up, or were lost
        self.set_up = ""  # how far the set-up or the clean-up has come

    def add(self, event: dict[str, Any]) -> None:
        """Takes in one event; of those that are none of its business, nothing."""
        match event.get("type"):
            case "course":
                hint = f" ({event['hint']})" if event.get("hint") else ""
                self.set_up = f"{event['doing']}: {event['done']:,} of {event['of']:,}{hint}"
            case "workload":
                self.set_up, self.scenario = "", str(event["scenario"])
                self.duration_s, self._began_at = float(event["duration_s"]), float(event["began_at"])
            case "window":
                window = decode(event)
                assert isinstance(window, Window)
                self._window(window)
            case "attempt":
                self.builds += bool(event["fresh"]) and 200 <= int(event["status"]) < 300
            case "build":
                self.builds = max(0, self.builds - 1)
            case "worker":
                if event["number"] >= 0 and (event["state"] == "lost" or event["behind_from_s"] is not None):
                    self.behind.add(int(event["number"]))
            case "finding":
                self.findings += 1

    def _window(self, window: Window) -> None:
        self.counts[window.operation, window.outcome] += window.count
        self.at_s = max(self.at_s, window.at_s - int(self._began_at) + 1)
        if is_timed(window):
            self.times[window.operation].merge(window.response)

    @property
    def total(self) -> int:
        """Requests that were sent."""
        return sum(count for (_, outcome), count in self.counts.items() if outcome != UNSENT)

    def line(self) -> str:
        """The state in one line."""
        kinds: defaultdict[Kind, int] = defaultdict(int)
        for (_, outcome), count in self.counts.items():
            kinds[kind_of(outcome)] += count
        whole = Histogram.merged(times for operation, times in self.times.items() if operation not in LASTING)
        parts = [f"{self._clock()}: {plural(self.total, 'request')}"]
        parts += [f"p99 {brief(whole.quantile_s(0.99))}"] if whole.cells else []
        parts += [f"{kinds[kind]:,} {name}" for kind, name in _KIND_NAMES.items() if kinds[kind]]
        parts += [plural(self.findings, "finding")] if self.findings else []
        return ", ".join(parts)

    def picture(self) -> RenderableType:
        """The state as it is drawn on a terminal."""
        if not self.scenario:
            return Text(self.set_up or "getting ready")
        findings = f", {plural(self.findings, 'finding')}" if self.findings else ""
        head = f"  {self._clock()}  {plural(self.total, 'request')}, builds in flight {self.builds}"
        behind = f"behind or lost: worker {', '.join(map(str, sorted(self.behind)))}" if self.behind else ""
        return Group(
            Text.assemble((self.scenario, "bold"), head, (findings, "bold red")),
            self._table(),
            *[Text(text, style) for text, style in ((behind, "bold yellow"), (self.set_up, "bold")) if text],
        )

    def _clock(self) -> str:
        if self.at_s > self.duration_s:
            return f"{self.at_s} s, all {self.duration_s:g} s of arrivals are over"
        return f"{self.at_s} s of {self.duration_s:g} s"

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("operation", no_wrap=True)
        for title in ("count", "per s", "p50", "p99"):
            table.add_column(title, justify="right", no_wrap=True)
        for operation in sorted({name for name, _ in self.counts}):
            outcomes = {one: count for (name, one), count in sorted(self.counts.items()) if name == operation}
            sent = sum(count for one, count in outcomes.items() if one != UNSENT)
            times = self.times[operation]
            quantiles = (brief(times.quantile_s(share)) if times.cells else "–" for share in (0.5, 0.99))
            table.add_row(Text(operation, "bold"), f"{sent:,}", self._per_s(sent), *quantiles)
            for outcome, count in outcomes.items():
                name = "never sent" if outcome == UNSENT else outcome
                table.add_row(Text(f"  {name}", KIND_STYLES[kind_of(outcome)]), f"{count:,}", self._per_s(count))
        return table

    def _per_s(self, count: int) -> str:
        return figure(count / max(1, self.at_s))


# --- probe -----------------------------------------------------------------------------------------------------------

_FAMILIES = 3
# Below this nobody wants to read of a family.
_LEAST = 0.01


@contextmanager
def probe_progress_on(console: Console) -> Iterator[Show]:
    """Prints a line for each stimulus of a probe, and shows on a terminal what goes on."""
    state = _ProbeState()
    status = console.status(state.now)

    def show(event: dict[str, Any]) -> None:
        line = state.add(event)
        status.update(state.now)
        if line:
            say(console, line)

    with status if is_watched(console) else nullcontext():
        yield show


class _ProbeState:
    """How far a probe has come, by the events of its run log; *now* says what goes on."""

    def __init__(self) -> None:
        self.now = "getting ready"
        self._belief: dict[str, Any] = {}

    def add(self, event: dict[str, Any]) -> str:
        """Takes an event in; a line to be printed, or nothing."""
        match event.get("type"):
            case "course":
                self.now = f"{event['doing']}: {event['done']} of {event['of']}"
            case "heard":
                self._belief = event
            case "stimulus":
                self.now = f"stimulus {event['number']}"
                return f"{event['number']}: {event['name']}; {self._known()}"
            case "trial":
                self.now = f"trial {event['number']}"
                reads = plural(event["arrivals"], "read")
                return f"{self.now}: {event['stage']}, {reads} at {figure(event['rate_per_s'])} a second"
            case "tried":
                outcome, mark = event["outcome"], event["mark"]
                late = f", sent late by {brief(outcome['late_p99_s'])} at p99" if mark == "late" else ""
                reads = f"{outcome['due']:,} reads, p99 {brief(outcome['p99_s'])}{late}"
                return f"trial {event['trial']['number']}: {mark}: {reads}"
            case "knee":
                self.now = "clearing up"
            case "identity":
                self.now = "clearing up"
                return f"the probe ends ({event['why'] or 'cut short'}); {self._known()}"
        return ""

    def _known(self) -> str:
        """What is known and what it has cost."""
        belief = self._belief
        if not belief:
            return "nothing is known yet"
        ranked = sorted(belief["families"].items(), key=lambda each: -each[1])[:_FAMILIES]
        likely = ", ".join(
            f"{describe_family(name)} {chance_words(share)}" for name, share in ranked if share >= _LEAST
        )
        builds = f", {plural(belief['builds'], 'build')}" if belief["builds"] else ""
        spent = f"{plural(belief['requests'], 'request')} ({belief['refused']:,} refused){builds} so far"
        return f"known: {likely or 'nothing'}; {spent}"
