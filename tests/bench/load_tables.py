"""The tables of the bench of load: medians, ranges and ratios."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# Whichever of them is there is what all others are compared with.
YARDSTICKS = ("wrk", "Locust FastHttpUser")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one generator.

    Attributes:
        cpu_us: CPU time of its processes for each request.
        busy: Share of a core that its processes had.
        server_busy: The same of the server.
        late_p50_ms: How late it sent; 0 where it is not paced.
        says: What is wrong with the run.
    """

    per_s: float
    cpu_us: float
    busy: float
    server_busy: float
    late_p50_ms: float = 0.0
    late_p99_ms: float = 0.0
    says: str = ""


def compared(runs: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """A line for each generator: its median, its range, and its ratio to the first yardstick that is there."""
    yardstick = next((name for name in YARDSTICKS if name in runs), next(iter(runs)))
    unit_us = _median(run.cpu_us for run in runs[yardstick])
    head = f"{'requests/s':>12}{'of a core':>11}{'server':>8}{'CPU/request':>13}{'range':>16}"
    yield f"{'':<24}{head}{f'x {yardstick}':>{len(yardstick) + 5}}   late p50 / p99"
    for name, each in runs.items():
        cpu_us = _median(run.cpu_us for run in each)
        low, high = min(run.cpu_us for run in each), max(run.cpu_us for run in each)
        yield (
            f"{name:<24}{_median(run.per_s for run in each):>12,.0f}{_median(run.busy for run in each):>11.0%}"
            f"{_median(run.server_busy for run in each):>8.0%}{cpu_us:>10.1f} us{f'{low:.1f} to {high:.1f}':>16}"
            f"{cpu_us / unit_us:>{len(yardstick) + 5}.2f}{_late(each)}"
        )
    for name, each in runs.items():
        for said in dict.fromkeys(run.says for run in each if run.says):
            yield f"{name}: {said}"


def _late(runs: Sequence[Measured]) -> str:
    if not any(run.late_p99_ms for run in runs):
        return ""
    p50_ms, p99_ms = _median(run.late_p50_ms for run in runs), _median(run.late_p99_ms for run in runs)
    return f"   {p50_ms:.2f} / {p99_ms:.2f} ms"


def taken_apart(costs: Mapping[str, Sequence[float]], beside: Sequence[str]) -> Iterator[str]:
    """A line for each part: the median of its turns in microseconds, and what it adds to the part before.

    Args:
        beside: Parts that add to the last one of the others.
    """
    yield f"{'a read by the flows engine':<40}{'CPU/request':>12}{'middle half':>20}{'adds':>12}"
    before_us = None
    for name, turns in costs.items():
        low, middle, high = statistics.quantiles(turns, n=4)
        adds = "" if before_us is None else f"{middle - before_us:+.1f} us"
        yield f"{name:<40}{middle:>9.1f} us{f'{low:.1f} to {high:.1f} us':>20}{adds:>12}"
        if name not in beside:
            before_us = middle


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)
