"""What `touchstone load` tells the Locust process that it starts, and what a master tells each of its workers.

The first goes through the environment: it holds keys, which no file and no command line may. The second goes over the
network and holds none: a worker on another machine shows its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from touchstone.check.handover import Carried
from touchstone.config import HANDOVER, UNBOUNDED_BUILDS
from touchstone.errors import UsageError
from touchstone.loadgen.plan import Stage
from touchstone.loadgen.workloads import Options

# How a line begins with which a worker says why it has no part in the run.
TOLD = "touchstone: "
# The same of a line with which a worker says how it comes along.
SAID = "touchstone worker: "

# Exchanges that a run keeps besides evidence, so that whole stories can be judged after it.
MAX_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Go:
    """What one worker is to do.

    Attributes:
        number: Which of the *workers* it is, from 0: the arrival with number i is its own where i mod workers is that.
        began_at: Run second at which the schedule begins.
        origin: Value of this worker's monotonic clock at run second 0.
        clock_offset_s: See `touchstone.loadfacts.Worker`.
        digest: What the schedule comes to; the same options give the same schedule everywhere.
        first_seq: Exchanges are numbered from here, in steps of *workers*.
        builds: How many the workers may begin, all together.
    """

    options: Options
    stage: Stage
    run_id: str
    began_at: float
    origin: float
    number: int = 0
    workers: int = 1
    first_seq: int = 1
    digest: str = ""
    clock_offset_s: float = 0.0
    clock_error_s: float = 0.0
    builds: int = UNBOUNDED_BUILDS

    def public(self) -> dict[str, Any]:
        """The same as JSON values."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return plain | {"options": self.options.public(), "stage": self.stage.public()}

    @classmethod
    def from_public(cls, values: Mapping[str, Any]) -> "Go":
        """What `public` wrote."""
        plain = {name: values[name] for name in _PLAIN}
        return cls(Options.from_public(values["options"]), Stage.from_public(values["stage"]), **plain)

    def of(self, number: int, workers: int) -> "Go":
        """The same for one of several workers."""
        return replace(self, number=number, workers=workers)


_PLAIN = tuple(each.name for each in fields(Go) if each.name not in {"options", "stage"})


@dataclass(frozen=True, slots=True)
class LoadHandover(Carried):
    """What one Locust process is to do.

    Attributes:
        url: Base URL of the target.
        run_log: Path of the run log; empty on a worker, which sends what it sees to the master.
        go_file: File that says what is to be done, for a large run has more refs than an environment holds; empty on
            a worker, which is told by the master.
        limits: The thresholds, as [operation, statistic, value].
        aborts: Whether the run ends as soon as one of them is broken.
        workers: How many workers the master waits for; 1 where the process does all by itself.
    """

    url: str
    run_log: str = ""
    go_file: str = ""
    limits: list[list[Any]] = field(default_factory=list)
    aborts: bool = False
    workers: int = 1

    def go(self) -> Go:
        """What is to be done."""
        return Go.from_public(json.loads(Path(self.go_file).read_text(encoding="utf-8")))


def received_load(environ: Mapping[str, str]) -> LoadHandover:
    """The hand-over that this process was started with.

    Raises:
        UsageError: there is none, or that of something else: Locust was started by hand.
    """
    text = environ.get(HANDOVER)
    try:
        return LoadHandover(**json.loads(text or ""))
    except (ValueError, TypeError):
        # It may hold keys, and is not shown.
        advice = "run `touchstone load SCENARIO` (`touchstone load --help`)"
        raise UsageError(f"load: not started by touchstone; {advice}") from None
