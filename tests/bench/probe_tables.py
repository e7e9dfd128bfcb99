"""Tables of bench_probe: accuracy and cost by family, and limiters that were not identified."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.limiter.judged import Judged, Spent
from touchstone.facts.identity import Identity

# A time counts as near that is off by no more than this share of itself.
NEAR = 0.01
_NONE, _ALL = "-", "all"
_WRONG, _NOTHING = Judged(False, False, False, (), False), Spent(0.0, 0.0, None)


@dataclass(frozen=True, slots=True)
class Run:
    """One probe of one limiter.

    Attributes:
        name: The form of the limiter.
        family: What it is counted under.
        text: What it was made from.
        spent: Cost of the whole probe.
        error: Why there is no result.
    """

    name: str
    family: str
    seed: int
    text: str
    identity: Identity | None = None
    judged: Judged = _WRONG
    spent: Spent = _NOTHING
    cpu_s: float = 0.0
    error: str = ""

    @property
    def near(self) -> bool:
        """Whether all of its times are near the true ones."""
        return self.judged.family and self.judged.error <= NEAR


def accuracy(runs: Sequence[Run]) -> Iterator[str]:
    """A line for each family and one for all: what was named rightly."""
    head = f"{'options':>8}{'exact':>9}{'in 1 %':>9}{'covered':>9}{'sure':>9}{'misled':>8}"
    yield f"{'':<18}{'n':>4}{'family right':>14}{head}"
    for name, each in _grouped(runs):
        right = sum(run.judged.family for run in each)
        timed = [run for run in each if run.judged.times]
        times = [time for run in timed for time in run.judged.times]
        sure = sum(bool(run.identity and run.identity.sure) for run in each)
        yield (
            f"{name:<18}{len(each):>4}{_of(right, len(each)):>14}"
            f"{_of(sum(run.judged.variant for run in each), len(each)):>8}"
            f"{_of(sum(run.judged.exact for run in each), len(each)):>9}"
            f"{_of(sum(run.near for run in timed), len(timed)):>9}"
            f"{_of(sum(time.covered for time in times), len(times)):>9}"
            f"{_of(sure, len(each)):>9}{sum(run.judged.misled for run in each):>8}"
        )


def costs(runs: Sequence[Run]) -> Iterator[str]:
    """A line for each family and one for all: what that took."""
    head = f"{'req/(L+5)':>12}{'p95':>7}{'refused-L/10':>14}{'s/window':>10}{'p95':>9}{'CPU s':>8}{'most':>7}"
    yield f"{'':<18}{'n':>4}{head}"
    for name, each in _grouped(runs):
        # What has no rate is asked for one up to a few hundred requests, whatever its cap: no part of the sum.
        of_requests = [
            run.spent.requests for run in each if run.spent.windows is not None or name not in ("none", _ALL)
        ]
        of_windows = [run.spent.windows for run in each if run.spent.windows is not None]
        refused = statistics.median(run.spent.refused for run in each)
        yield (
            f"{name:<18}{len(each):>4}{_format(_median(of_requests), '.2f'):>12}{_format(_p95(of_requests), '.2f'):>7}"
            f"{refused:>14.1f}{_format(_median(of_windows), '.2f'):>10}{_format(_p95(of_windows), '.2f'):>9}"
            f"{statistics.median(run.cpu_s for run in each):>8.1f}{max(run.cpu_s for run in each):>7.1f}"
        )


def faults(runs: Iterable[Run]) -> Iterator[str]:
    """A line for each limiter that was not named as it is, with what was said of it."""
    for run in runs:
        wrong = [
            *([run.error] if run.error else []),
            *([] if run.judged.readable else ["a text that no twin takes"]),
            *([] if run.judged.family else ["family"]),
            *([] if run.judged.variant or not run.judged.family else ["options"]),
            *([] if run.judged.exact or not run.judged.family else ["count"]),
            *([] if run.near or not run.judged.family else [f"{run.judged.error:.1%} off"]),
            *(f"{time.name} not in its interval" for time in run.judged.times if not time.covered),
            *(["MISLED"] if run.judged.misled else []),
        ]
        if wrong:
            yield f"  {run.name} seed {run.seed}: {run.text} -> {_describe(run)}: {', '.join(wrong)}"


def _describe(run: Run) -> str:
    if run.identity is None:
        return "nothing"
    likely = ", ".join(f"{one.family} {one.probability:.3f}" for one in run.identity.families[:2])
    sure = "sure" if run.identity.sure else f"not sure, {run.identity.why}"
    return f"{run.identity.text} ({sure}{'; ' if likely else ''}{likely}; {run.identity.cost.requests} requests)"


def _grouped(runs: Sequence[Run]) -> Iterator[tuple[str, list[Run]]]:
    families = dict.fromkeys(run.family for run in runs)
    for family in families:
        yield family, [run for run in runs if run.family == family]
    if len(families) > 1:
        yield _ALL, list(runs)


def _of(part: int, whole: int) -> str:
    return f"{part}/{whole}" if whole else _NONE


def _format(number: float | None, spec: str) -> str:
    return _NONE if number is None else format(number, spec)


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None


def _p95(values: Sequence[float]) -> float | None:
    return sorted(values)[min(len(values) - 1, math.floor(0.95 * len(values)))] if values else None
