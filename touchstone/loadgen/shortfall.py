"""What a load run was to show and did not; pure.

A run that breaks nothing is a pass only where what it was made for was judged. So it is none where a claim that the
scenario is for has no verdict, where one of the invariants stays open though the run had occasion to judge it, where
the generator kept a threshold from being judged, and where a threshold that the caller set himself was not judged. A
threshold of ours that has too few samples in a short run is told, and stops nothing.
"""

from collections.abc import Iterable, Iterator

from touchstone.facts.events import RunLog
from touchstone.loadgen.statistic import STATISTICS
from touchstone.loadgen.thresholds import Reading, named, told_limit
from touchstone.loadgen.times import samples_needed
from touchstone.loadgen.totals import ALL
from touchstone.loadgen.workloads import INVARIANTS, scenario
from touchstone.rules.verdict import judge

# Besides the first one, whose reason is told; the report has those of all.
_NAMED = 3

_Missing = tuple[str, str]  # its name, and what is said of it where nothing else is said


def shortfall(log: RunLog, readings: Iterable[Reading], *, own_limits: bool) -> str:
    """What could not be judged and why, in one line: of the first the reason, of others the name; empty where all was.

    Args:
        log: The run with all judgements.
        own_limits: Whether the caller set the thresholds.
    """
    missing = [*_claims(log), *_limits(readings, own_limits=own_limits)]
    if not missing:
        return ""
    (_, told), *others = missing
    names = [name for name, _ in others[:_NAMED]]
    names += [f"{len(others) - _NAMED} more"] if len(others) > _NAMED else []
    return f"not judged: {told}" + (f"; nor {', '.join(names)}" if names else "")


def _claims(log: RunLog) -> Iterator[_Missing]:
    assert log.workload is not None
    shows = scenario(log.workload.scenario).shows
    for claim in judge(log).claims:
        name = claim.claim.id
        is_open = claim.verdict == "indeterminate" and name in (*INVARIANTS, *shows)
        if is_open or (claim.verdict == "not-applicable" and name in shows):
            yield name, f"{name}, {claim.reason}"


def _limits(readings: Iterable[Reading], *, own_limits: bool) -> Iterator[_Missing]:
    for reading in readings:
        enough = reading.count >= samples_needed(STATISTICS[reading.limit.statistic])
        if reading.verdict == "indeterminate" and (own_limits or enough):
            name = f"{named(reading.limit.operation)} {reading.limit.statistic}".removeprefix(f"{named(ALL)} ")
            yield name, f"{told_limit(reading.limit)}, {reading.reason}"
