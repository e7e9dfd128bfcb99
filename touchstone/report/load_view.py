"""All that a report may say about the load of a run."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from touchstone.facts.events import Attempt, RunLog, Workload
from touchstone.facts.sample import Window
from touchstone.facts.wording import figure, percentage
from touchstone.loadgen.capacity import Capacity, capacity
from touchstone.loadgen.metrics import Metrics, Punctuality, metrics, punctuality
from touchstone.loadgen.not_judged import Fallen, Pause, fallen, limit_starts, pauses
from touchstone.loadgen.thresholds import STATISTICS, Kept, Reading, Statistic, measured, scope_text, value_text

_HARDLY = 0.0005  # of a limit: below, what is left would round to all of it
_ORDER: tuple[Kept, ...] = ("broken", "indeterminate", "kept", "not-applicable")


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One threshold and what was measured, as reports show it.

    Attributes:
        reading: What was measured.
        limit: With its unit.
        margin_share: How far the value is inside its limit, as a share of it; below zero where it is beyond, None where
            nothing was measured or the limit is zero.
    """

    reading: Reading

    @property
    def _statistic(self) -> Statistic:
        return STATISTICS[self.reading.limit.statistic]

    @property
    def operation(self) -> str:
        """What it is about."""
        return scope_text(self.reading.limit.operation)

    @property
    def says(self) -> str:
        """What is limited, in words."""
        return self._statistic.says

    @property
    def bound(self) -> str:
        """``at most`` or ``at least``."""
        return "at least" if self._statistic.is_floor else "at most"

    @property
    def limit(self) -> str:
        """The limit with its unit."""
        return value_text(replace(self.reading, value=self.reading.limit.value))

    @property
    def measured(self) -> str:
        """The value with its unit."""
        return value_text(self.reading)

    @property
    def margin_share(self) -> float | None:
        """How far the value is inside its limit."""
        limit, value = self.reading.limit.value, self.reading.value
        if value is None or not limit:
            return None
        return (value - limit) / limit if self._statistic.is_floor else (limit - value) / limit

    @property
    def margin(self) -> str:
        """The margin in words."""
        share, is_floor = self.margin_share, self._statistic.is_floor
        if share is None:
            return "–"
        if not share:
            return "just met"
        if share > 0 and not is_floor:
            return "over 99.9 % left" if 0 < 1 - share < _HARDLY else f"{percentage(min(share, 1.0))} left"
        times = 1 + share if is_floor else 1 - share
        return f"{figure(times, 7 if figure(times) == '1' else 3)} times the {'least' if is_floor else 'limit'}"


@dataclass(frozen=True, slots=True)
class LoadView:
    """The load of a run.

    Attributes:
        limits: Broken ones first, then those that could not be judged.
        capacity: None where the run started no builds.
        windows: What charts are drawn from, as are *attempts*.
        asked: Starts of the client that asks the limit at the end of a storm; how many of them were refused, and how
            many ended with 5xx or without an answer.
        silence: What the run ended in where the target answered nobody any more.
        pauses: When it answered nobody for a while, and then did again.
    """

    workload: Workload
    numbers: Metrics
    kept: Punctuality
    capacity: Capacity | None
    limits: tuple[LimitLine, ...]
    windows: tuple[Window, ...]
    attempts: tuple[Attempt, ...]
    asked: tuple[int, int, int]
    silence: Fallen | None
    pauses: tuple[Pause, ...]

    @property
    def origin_s(self) -> int:
        """The second in which the schedule began: the zero of every chart."""
        return min([int(self.workload.began_at), *(window.at_s for window in self.windows)])


def load_view(log: RunLog, readings: tuple[Reading, ...] | None = None) -> LoadView | None:
    """The view of the load, or None where the run was no load run.

    Args:
        log: The facts of the run.
        readings: What each threshold came to; worked out where they are not given.
    """
    if log.workload is None:
        return None
    statuses = [start.status for start in limit_starts(log)]
    return LoadView(
        workload=log.workload,
        numbers=metrics(log),
        kept=punctuality(log),
        capacity=capacity(log),
        limits=limit_lines(measured(log) if readings is None else readings),
        windows=log.windows,
        attempts=log.attempts,
        asked=(len(statuses), statuses.count(429), sum(status >= 500 or not status for status in statuses)),
        silence=fallen(log.windows),
        pauses=pauses(log.windows),
    )


def limit_lines(readings: Iterable[Reading]) -> tuple[LimitLine, ...]:
    """Thresholds as reports show them, what matters most first."""
    return tuple(map(LimitLine, sorted(readings, key=lambda reading: _ORDER.index(reading.verdict))))
