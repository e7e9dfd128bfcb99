"""Data that the processes of a load run pass to each other.

The command passes a `LoadHandover` to Locust in the environment, since it contains keys. The master sends a `Part` to
each worker, over the network and without keys.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from touchstone.check.handover import Handover
from touchstone.config import UNBOUNDED_BUILDS
from touchstone.facts.events import Limit
from touchstone.loadgen.plan import ARRIVAL, Options, Plan, Stage

# Lines that a worker prints for its parent process.
JOINED, REFUSAL = "touchstone: it has joined its master", "touchstone refused: "

# Maximum number of exchanges in a run log besides evidence. After the run, rules judge whole sequences of these.
MAX_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Go:
    """Instructions for all workers of a run."""

    options: Options
    stage: Stage
    origin: float  # value of the master's monotonic clock at run second 0
    workers: int = 1  # number of workers that the master waits for; 1 if there is only one process
    first_seq: int = 1  # ``seq`` of the first exchange; each worker counts on from there, in steps of *workers*
    builds: int = UNBOUNDED_BUILDS


@dataclass(frozen=True, slots=True)
class Part:
    """One worker's part of a run."""

    go: Go
    number: int
    rows: bytes  # the worker's arrivals, as the bytes of an array of `ARRIVAL`
    arrivals: int  # number of arrivals in the whole schedule
    keep_every: int  # the run log keeps the exchanges of every client whose number is a multiple of this
    builds: int
    builds_after: int  # additional builds that the worker may begin if it runs the closing steps
    origin: float  # value of the worker's monotonic clock at run second 0
    clock_error_s: float = 0.0

    @property
    def assigned(self) -> NDArray[np.void]:
        """Arrivals of this worker."""
        return np.frombuffer(self.rows, ARRIVAL)


GO, PART = TypeAdapter(Go), TypeAdapter(Part)


def deal(go: Go, plan: Plan, number: int) -> Part:
    """Part of one worker: builds for its arrivals and a share of the rest; if builds are too few, an equal share."""
    shares = [plan.schedule.share(each, go.workers) for each in range(go.workers)]
    own = [share.builders("own", "shared") for share in shares]
    after = min(plan.builds_after, go.builds)
    spare = go.builds - after - sum(own)
    builds = own[number] + share_of(spare, number, go.workers)
    if spare < 0:
        builds = share_of(go.builds - after, number, go.workers)
    stories = plan.around() + plan.sends() - plan.schedule.counts.get("read", 0)
    rows, keep_every = shares[number].rows.tobytes(), max(1, -(-stories // MAX_KEPT))
    return Part(go, number, rows, len(plan.schedule), keep_every, builds, after, go.origin)


def share_of(whole: int, number: int, workers: int) -> int:
    """Share of worker *number* if *whole* is divided evenly among *workers*; all shares add up to *whole*."""
    return whole // workers + (number < whole % workers)


@dataclass(frozen=True, slots=True)
class LoadHandover(Handover):
    """Instructions for one Locust process. *run_log* is empty on a remote worker, which reports to the master."""

    go_file: str = ""  # path of a file with a `Go`, which may be too long for the environment; empty on a remote worker
    limits: tuple[Limit, ...] = ()
    aborts: bool = False  # whether the run ends as soon as a threshold is broken

    def go(self) -> Go:
        """Reads the instructions for the workers."""
        return GO.validate_python(json.loads(Path(self.go_file).read_text(encoding="utf-8")))
