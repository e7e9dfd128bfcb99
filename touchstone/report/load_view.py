"""View of a load run: the data about the load that reports show."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from touchstone.facts.events import Attempt, RunLog, Workload
from touchstone.facts.sample import Window
from touchstone.facts.wording import figure, percentage
from touchstone.loadgen.capacity import Capacity, capacity
from touchstone.loadgen.metrics import Metrics, Punctuality, metrics, punctuality
from touchstone.loadgen.not_judged import Fallen, Pause, fallen, limit_starts, pauses
from touchstone.loadgen.thresholds import STATISTICS, Reading, ReadingVerdict, measured, scope_text, value_text

_TINY_SHARE = 0.0005  # a value below this share of its limit has a margin that would round to 100 %
_ORDER: tuple[ReadingVerdict, ...] = ("broken", "indeterminate", "kept", "not-applicable")


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One threshold, as reports show it."""

    operation: str  # the operation, or all operations together
    says: str  # description of the limited statistic
    bound: str  # ``at most`` or ``at least``
    limit: str  # the limit, in the statistic's unit
    measured: str  # the measured value, in the statistic's unit
    margin_share: float | None  # distance from the limit divided by the limit; negative if broken; None if unknown
    margin: str  # *margin_share* as text
    reading: Reading  # the measurement


@dataclass(frozen=True, slots=True)
class LoadView:
    """The load of a run, as reports show it."""

    workload: Workload
    numbers: Metrics
    kept: Punctuality
    capacity: Capacity | None  # None if the run started no builds
    limits: tuple[LimitLine, ...]  # broken ones first, then indeterminate ones
    windows: tuple[Window, ...]  # requests of each second, for the charts
    attempts: tuple[Attempt, ...]  # starts, for the charts
    closing_counts: tuple[int, int, int]  # starts that test the rate limit after a storm: all, refused, failed
    silence: Fallen | None  # period without responses at the end of the run
    pauses: tuple[Pause, ...]  # earlier periods without responses

    @property
    def origin_s(self) -> int:
        """Time in the run at which every chart begins: the start of the schedule, or an earlier first request."""
        return min([int(self.workload.began_at), *(window.at_s for window in self.windows)])


def load_view(log: RunLog) -> LoadView | None:
    """View of the load; None if the run was not a load run."""
    if log.workload is None:
        return None
    statuses = [start.status for start in limit_starts(log)]
    return LoadView(
        workload=log.workload,
        numbers=metrics(log),
        kept=punctuality(log),
        capacity=capacity(log),
        limits=limit_lines(measured(log)),
        windows=log.windows,
        attempts=log.attempts,
        closing_counts=(len(statuses), statuses.count(429), sum(status >= 500 or not status for status in statuses)),
        silence=fallen(log.windows),
        pauses=pauses(log.windows),
    )


def limit_lines(readings: Iterable[Reading]) -> tuple[LimitLine, ...]:
    """Thresholds as reports show them, the worst first."""
    return tuple(map(_line, sorted(readings, key=lambda reading: _ORDER.index(reading.verdict))))


def _line(reading: Reading) -> LimitLine:
    statistic, limit, value = STATISTICS[reading.limit.statistic], reading.limit.value, reading.value
    share = None
    if value is not None and limit:
        share = (value - limit) / limit if statistic.is_floor else (limit - value) / limit
    return LimitLine(
        operation=scope_text(reading.limit.operation),
        says=statistic.description,
        bound="at least" if statistic.is_floor else "at most",
        limit=value_text(replace(reading, value=limit)),
        measured=value_text(reading),
        margin_share=share,
        margin=_margin_text(share, is_floor=statistic.is_floor),
        reading=reading,
    )


def _margin_text(share: float | None, *, is_floor: bool) -> str:
    if not share:
        return "–" if share is None else "exactly at the limit"
    name, above = ("minimum" if is_floor else "limit"), share > 0 if is_floor else share < 0
    if above and abs(share) >= 1:
        return f"{figure(1 + abs(share))} × the {name}"
    size = "over 99.9 %" if 0 < 1 - abs(share) < _TINY_SHARE else percentage(min(abs(share), 1.0))
    return f"{size} {'above' if above else 'below'} the {name}"
