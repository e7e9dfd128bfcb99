"""
What a load run was to show and did not; pure.

A run that breaks nothing is a pass only where what it was made for was judged. So it is none where a claim that the
scenario is for has no verdict, where one of the invariants stays open though the run had occasion to judge it, where
the generator kept a threshold from being judged, and where a threshold that the caller set himself was not judged. A
threshold of ours that has too few samples in a short run is told, and stops nothing.
"""

from collections.abc import Iterable, Iterator

from touchstone.runfacts import RunLog
from touchstone.statistic import STATISTICS
from touchstone.thresholds import Reading, told_limit
from touchstone.times import samples_needed
from touchstone.verdict import judge
from touchstone.workloads import INVARIANTS, scenario

_NAMED = 3


def shortfall(log: RunLog, readings: Iterable[Reading], *, own_limits: bool) -> str:
    """
    What could not be judged and why, in one sentence; empty where nothing is missing.

    Args:
        log: The run with all judgements.
        own_limits: Whether the caller set the thresholds.
    """
    missing = [*_claims(log), *_limits(readings, own_limits=own_limits)]
    if not missing:
        return ""
    more = f"; and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return "not judged: " + "; ".join(missing[:_NAMED]) + more


def _claims(log: RunLog) -> Iterator[str]:
    assert log.workload is not None
    shows = scenario(log.workload.scenario).shows
    for claim in judge(log).claims:
        name = claim.claim.id
        is_open = claim.verdict == "indeterminate" and name in (*INVARIANTS, *shows)
        if is_open or (claim.verdict == "not-applicable" and name in shows):
            yield f"{name}, {claim.reason}"


def _limits(readings: Iterable[Reading], *, own_limits: bool) -> Iterator[str]:
    for reading in readings:
        enough = reading.count >= samples_needed(STATISTICS[reading.limit.statistic])
        if reading.verdict == "indeterminate" and (own_limits or enough):
            yield f"{told_limit(reading.limit)}, {reading.reason}"
