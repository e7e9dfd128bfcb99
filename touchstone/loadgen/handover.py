"""What the processes of a load run hand to each other.

The command's handover to Locust goes through the environment, since it holds keys; a master's to its workers goes over
the network and holds none.
"""

import json
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from touchstone.check.handover import Handover
from touchstone.config import UNBOUNDED_BUILDS
from touchstone.facts.events import Limit
from touchstone.loadgen.plan import ARRIVAL, Plan, Stage
from touchstone.loadgen.workloads import Options

# What a worker prints for whoever started it.
JOINED, REFUSAL = "touchstone: it has joined its master", "touchstone refused: "

# Exchanges that a run keeps besides evidence, so that whole stories can be judged after it.
MAX_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Go:
    """What the workers of a run do together.

    Attributes:
        origin: Value of the master's monotonic clock at run second 0.
        first_seq: Exchanges are numbered from here, in steps of *workers*.
        builds: How many the workers may begin, all together.
    """

    options: Options
    stage: Stage
    origin: float
    workers: int = 1
    first_seq: int = 1
    builds: int = UNBOUNDED_BUILDS

    def public(self) -> dict[str, Any]:
        """The same as JSON values."""
        return GO.dump_python(self, mode="json")  # type: ignore[no-any-return]  # pydantic promises no type


@dataclass(frozen=True, slots=True)
class Part:
    """One worker's part of a run, as it is sent to that worker.

    Attributes:
        rows: The arrivals that are its own, as the bytes of an array of `ARRIVAL`.
        arrivals: How many the whole schedule has.
        keep_every: One story in so many is kept whole.
        builds: How many it may begin; *builds_after* are added where it does what comes after all arrivals.
        origin: Value of its own monotonic clock at run second 0.
    """

    go: Go
    number: int
    rows: bytes
    arrivals: int
    keep_every: int
    builds: int
    builds_after: int
    origin: float
    clock_error_s: float = 0.0

    @property
    def assigned(self) -> NDArray[np.void]:
        """The arrivals that are its own."""
        return np.frombuffer(self.rows, ARRIVAL)

    @property
    def clock_offset_s(self) -> float:
        """See `touchstone.facts.events.Worker`."""
        return round(self.origin - self.go.origin, 6)


# Both as JSON values, and back.
GO, PART = TypeAdapter(Go), TypeAdapter(Part)


def deal(go: Go, plan: Plan, number: int) -> Part:
    """One worker's part; it may begin the builds of its arrivals and its share of the rest, or its share of too few."""
    shares = [plan.schedule.share(each, go.workers) for each in range(go.workers)]
    own = [share.builders("own", "shared") for share in shares]
    after = min(plan.builds_after, go.builds)
    spare = go.builds - after - sum(own)
    builds = own[number] + share_of(spare, number, go.workers)
    stories = plan.around() + plan.sends() - plan.schedule.counts.get("read", 0)
    return Part(
        go=go,
        number=number,
        rows=shares[number].rows.tobytes(),
        arrivals=len(plan.schedule),
        keep_every=max(1, -(-stories // MAX_KEPT)),
        builds=builds if spare >= 0 else share_of(go.builds - after, number, go.workers),
        builds_after=after,
        origin=go.origin,
    )


def share_of(whole: int, number: int, workers: int) -> int:
    """One worker's share of something that is dealt evenly; all shares together are the whole."""
    return whole // workers + (number < whole % workers)


@dataclass(frozen=True, slots=True)
class LoadHandover(Handover):
    """What one Locust process is to do; its run log is empty on a worker elsewhere, which reports to the master.

    Attributes:
        go_file: File with a `Go`, which may be too long for the environment; empty on a worker elsewhere.
        aborts: Whether the run ends as soon as one of the limits is broken.
        workers: How many workers the master waits for; 1 where the process does all by itself.
    """

    by_hand = ("load", "touchstone load SCENARIO")

    go_file: str = ""
    limits: tuple[Limit, ...] = ()
    aborts: bool = False
    workers: int = 1

    def go(self) -> Go:
        """What is to be done."""
        return GO.validate_python(json.loads(Path(self.go_file).read_text(encoding="utf-8")))


def rss_bytes() -> int:
    """Memory of this process that is in RAM; where the system does not show it, the most that it has been."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
