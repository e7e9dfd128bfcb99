"""How many requests of the schedule a target served in a second, answers that came after its end included; pure.

Such answers must make no target look faster than it is, nor a few of them one that keeps up slower. So the rate is the
highest of those up to the end of the schedule, and up to each later moment: what was answered by then, over the time
until then.
"""

from collections.abc import Sequence
from itertools import accumulate

from touchstone.facts.events import Workload
from touchstone.facts.sample import Window
from touchstone.loadgen.totals import LASTING, totals

# What comes so much of the schedule after its end is as if it had come in time: the last requests are due just before.
_AFTER_SHARE = 0.01


def of_schedule(windows: Sequence[Window], workload: Workload) -> list[Window]:
    """The windows of what was due while arrivals were scheduled."""
    begins_at, ends_at = workload.began_at, workload.began_at + workload.duration_s
    return [window for window in windows if int(begins_at) <= window.at_s < ends_at]


def throughput(windows: Sequence[Window], operation: str, workload: Workload, *, sooner_s: float = 0.0) -> float:
    """Requests of the schedule that were served, in a second.

    A window counts from when its last answer had come. How long a log is followed is how long its build takes: it
    counts from when it was due.

    Args:
        windows: Those of the schedule, which is longer than no time at all.
        sooner_s: How much sooner each answer might have come.
    """
    length_s = workload.duration_s
    done = sorted(
        (max(length_s, _after_s(window, workload) - sooner_s), totals([window], operation).kinds["served"])
        for window in windows
    )
    served = accumulate(count for _, count in done)
    return max((count / after_s for (after_s, _), count in zip(done, served, strict=True)), default=0.0)


def _after_s(window: Window, workload: Workload) -> float:
    """How long after the beginning of the schedule all of a window was done."""
    if window.operation in LASTING:
        return 0.0
    after_s = (window.done_at or window.at_s + 1.0) - workload.began_at  # as in `touchstone.metrics`
    return after_s if after_s > workload.duration_s * (1 + _AFTER_SHARE) else 0.0
