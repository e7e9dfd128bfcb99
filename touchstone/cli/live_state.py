"""What a load run has come to so far, from the events of its run log as they appear; pure."""

from collections import defaultdict
from typing import Any

from touchstone.facts.histogram import Histogram
from touchstone.facts.sample import UNSENT, Window
from touchstone.facts.sample_json import decode
from touchstone.loadgen.metrics import is_timed

RECENT_S = 10


class LiveState:
    """The numbers of a run that is under way.

    Attributes:
        scenario: Its name; empty before the run says what it is to do.
        duration_s: How long arrivals are scheduled for.
        seen_s: The second up to which anything was told, since the schedule began.
        counts: Requests, and unsent arrivals, by operation and outcome.
        times: Response times by operation, of answers that tell one.
        arrivals: What came due by second of the schedule.
        builds: Builds that were started and have not ended.
        late_s: The worst lateness at p99 that a worker told.
        behind: Numbers of workers that could not keep up, or were lost.
        findings: How many were met.
        course: How far the set-up or the clean-up has come, in words; empty while neither is under way.
    """

    def __init__(self) -> None:
        self.scenario = ""
        self.duration_s = 0.0
        self.seen_s = 0
        self.counts: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.times: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.arrivals: defaultdict[int, int] = defaultdict(int)
        self.builds = 0
        self.late_s = 0.0
        self.behind: set[int] = set()
        self.findings = 0
        self.course = ""
        self._began_at = 0.0
        self._scheduled = 0
        self._recent: dict[int, dict[tuple[str, str], Window]] = {}

    @property
    def scheduled(self) -> int:
        """Arrivals that the schedule holds."""
        return self._scheduled

    def add(self, event: dict[str, Any]) -> None:
        """Takes in one event; of those that are none of its business, nothing."""
        match event.get("type"):
            case "course":
                hint = f" ({event['hint']})" if event.get("hint") else ""
                self.course = f"{event['doing']}: {event['done']:,} of {event['of']:,}{hint}"
            case "workload":
                self.course = ""
                self.scenario = str(event["scenario"])
                self.duration_s, self._began_at = float(event["duration_s"]), float(event["began_at"])
                self._scheduled = sum(event["scheduled"].values())
            case "window":
                self._window(decode(event))
            case "attempt":
                self.builds += bool(event["fresh"]) and 200 <= int(event["status"]) < 300
            case "build":
                self.builds = max(0, self.builds - 1)
            case "worker":
                self._worker(event)
            case "finding":
                self.findings += 1

    def _window(self, window: Window) -> None:
        self.counts[window.operation, window.outcome] += window.count
        second = window.at_s - int(self._began_at)
        self.seen_s = max(self.seen_s, second + 1)
        if window.paced or window.outcome == UNSENT:
            self.arrivals[second] += window.count
        if is_timed(window):
            self.times[window.operation].merge(window.response)
        key = (window.operation, window.outcome)
        kept = self._recent.setdefault(second, {}).setdefault(key, Window(0, window.at_s, *key))
        kept.count += window.count
        kept.response.merge(window.response)
        for old in [at for at in self._recent if at < self.seen_s - RECENT_S]:
            del self._recent[old]

    def _worker(self, event: dict[str, Any]) -> None:
        number = int(event["number"])
        if number < 0:
            return
        self.late_s = max(self.late_s, float(event["late_p99_s"]))
        if event["state"] == "lost" or event["behind_from_s"] is not None:
            self.behind.add(number)

    def rate_per_s(self, operation: str, outcome: str) -> float:
        """Requests a second over the last seconds that were told."""
        seconds = min(RECENT_S, max(1, self.seen_s))
        counted = sum(
            kinds[operation, outcome].count for kinds in self._recent.values() if (operation, outcome) in kinds
        )
        return counted / seconds

    def recent(self, operation: str) -> Histogram:
        """Response times of the last seconds that were told."""
        windows = (window for kinds in self._recent.values() for window in kinds.values())
        return Histogram.merged(w.response for w in windows if w.operation == operation and is_timed(w))

    @property
    def total(self) -> int:
        """Requests that were sent."""
        return sum(count for (_, outcome), count in self.counts.items() if outcome != UNSENT)
