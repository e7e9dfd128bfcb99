"""The statistics of a load run that a threshold may be about, each with the claim that it decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Sort = Literal["time", "share", "rate", "drift"]


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic.

    Attributes:
        name: As in load/thresholds.toml, with its unit.
        claim: The claim that a limit on it decides.
        says: What it is, for messages.
        quantile: Of a percentile, the share of answers that take no longer; else None.
    """

    name: str
    claim: str
    sort: Sort
    says: str
    quantile: float | None = None

    @property
    def is_floor(self) -> bool:
        """Whether its limit is the least that is allowed, and not the most."""
        return self.sort == "rate"


def _percentile(digits: str) -> Statistic:
    quantile = float(f"0.{digits}")
    return Statistic(f"p{digits}_s", f"load.p{digits}", "time", f"time of an answer at p{digits}", quantile)


STATISTICS: Mapping[str, Statistic] = {
    statistic.name: statistic
    for statistic in (
        *(_percentile(digits) for digits in ("50", "90", "95", "99", "999")),
        Statistic("max_s", "load.max", "time", "longest time of an answer"),
        Statistic("mean_s", "load.mean", "time", "mean time of an answer"),
        Statistic("error_share", "load.errors", "share", "share of requests that failed"),
        Statistic("throughput_per_s", "load.throughput", "rate", "requests served in a second of the schedule"),
        Statistic("late_share", "load.late", "share", "share of scheduled requests sent late"),
        Statistic("unsent_share", "load.unsent", "share", "share of scheduled requests not sent"),
        Statistic("latency_drift_share", "load.drift-latency", "drift", "growth of the time of an answer"),
        Statistic("error_drift_share", "load.drift-errors", "drift", "growth of the share of errors"),
        Statistic("bytes_drift_share", "load.drift-bytes", "drift", "growth of the length of an answer"),
        Statistic("memory_drift_share", "load.drift-memory", "drift", "growth of the memory of the server"),
    )
}
