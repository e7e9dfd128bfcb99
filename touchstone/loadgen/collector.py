"""Gathers what a worker saw until it is time to tell it: samples by second, and everything else in order."""

from collections.abc import Callable
from typing import Any

from touchstone.facts import runlog
from touchstone.facts.sample import UNSENT, Histogram, Sample, Window

# An arrival that is sent later than this has met a generator that cannot keep up.
BEHIND_S = 0.1

Event = dict[str, Any]


class Collector:
    """What one worker has to tell.

    Attributes:
        late: Lateness of the scheduled arrivals so far.
        sent: Scheduled arrivals sent so far.
        unsent: Scheduled arrivals that came due and were not sent.
        unwatched: Watchers among them that had nothing to watch.
        over_budget: Those of them that --max-requests left no room for.
        undone: Clients that were not done and send nothing more.
        behind_from_s: When an arrival that was sent too late was due first; None where none was.
    """

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._windows: dict[tuple[int, str, str, bool], Window] = {}
        self._events: list[Event] = []
        self.late = Histogram()
        self.sent = 0
        self.unsent = 0
        self.unwatched = 0
        self.over_budget = 0
        self.undone = 0
        self.behind_from_s: float | None = None

    def sample(self, sample: Sample, *, paced: bool) -> None:
        """Counts a sample. One that the schedule paced tells about the generator as well."""
        self._window(int(sample.intended_at), sample.operation, sample.outcome, paced).add(sample)
        if paced:
            self.sent += 1
            self.late.add(sample.late_s)
            if sample.late_s > BEHIND_S:
                self._behind(sample.intended_at)

    def skip(self, operation: str, intended_at: float, *, over_budget: bool = False) -> None:
        """Counts an arrival that came due and was not sent."""
        self.unsent += 1
        self.over_budget += over_budget
        self._window(int(intended_at), operation, UNSENT, paced=True).count += 1

    def write(self, event: runlog.Event) -> None:
        """Keeps an event of the run log."""
        self._events.append(runlog.encode(event))

    def drain(self, fold: Callable[[Window], None] = lambda _window: None) -> list[Event]:
        """All that was not told yet, as events of a run log; *fold* is given each window first."""
        windows, self._windows = self._windows, {}
        events, self._events = self._events, []
        for window in windows.values():
            fold(window)
        return [*map(runlog.encode, windows.values()), *events]

    def _window(self, at_s: int, operation: str, outcome: str, paced: bool) -> Window:
        key = (at_s, operation, outcome, paced)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(self._worker, at_s, operation, outcome, paced=paced)
        return window

    def _behind(self, since_s: float) -> None:
        self.behind_from_s = since_s if self.behind_from_s is None else min(self.behind_from_s, since_s)
