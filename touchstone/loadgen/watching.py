"""Says of watchers that had nothing to watch, since the start of their build was not accepted; pure.

Whoever reads that every watcher got the whole log must know how many were none.
"""

from collections.abc import Iterator

from touchstone.facts.events import Notice, RunLog
from touchstone.loadgen.lateness import punctuality
from touchstone.loadgen.workloads import scenario

# What only a log shows that somebody follows.
_OF_LOGS = "events."


def told_unwatched(log: RunLog) -> str:
    """That some did not watch, and why; empty where all did."""
    assert log.workload is not None
    number = punctuality(log).unwatched
    if not number:
        return ""
    whole = log.workload.scheduled.get("streamBuildEvents", 0)
    return (
        f"{number:,} of {whole:,} watchers did not watch, since the start of their build was not accepted; "
        "lower --builds, or raise patience_s of the target"
    )


def unseen(log: RunLog) -> Iterator[Notice]:
    """Why claims about logs that the scenario is for have no verdict, where too few watched."""
    reason = told_unwatched(log)
    assert log.workload is not None
    if not reason:
        return
    told = {tally.claim for tally in log.tallies} | {finding.claim for finding in log.findings}
    for claim in scenario(log.workload.scenario).shows:
        if claim.startswith(_OF_LOGS) and claim not in told:
            yield Notice(claim, "indeterminate", reason)
