"""What the parent process tells the child that runs the cases, and how the child notices that its parent is gone.

The hand-over goes through the child's environment: it holds keys, which no file and no command line may.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from touchstone.check.cases import Quarry
from touchstone.config import HANDOVER, Settings
from touchstone.errors import UsageError


@dataclass(frozen=True, slots=True)
class Carried:
    """What every such process is told.

    Attributes:
        settings: The merged settings, as JSON with keys.
    """

    settings: str

    def environment(self) -> dict[str, str]:
        """The variable that carries this to the child."""
        return {HANDOVER: json.dumps(asdict(self))}

    def parsed_settings(self) -> Settings:
        """The settings as an object."""
        return Settings.from_json(self.settings)


Mode = Literal[
    "run",  # judge a target by all cases
    "plan",  # list the cases, send nothing
    "record",  # play scenarios with a target, so that they can be recorded
    "replay",  # play recordings
]

LIFELINE_VARIABLE = "TOUCHSTONE_LIFELINE_FD"

# What a child ends with whose run log takes no more: what it did after that is not in it.
UNWRITTEN = 74
# What is said of such a run.
UNFINISHED = "the run log could not be written any more, and the run was ended"

# What a child ends with whose main key may neither publish nor build.
BARRED = 75

# What a process ends with when its parent died: nobody reads it, it only must not look like a pass.
ORPHANED = 3


@dataclass(frozen=True, slots=True)
class Handover(Carried):
    """What one child is to do.

    Attributes:
        url: Base URL of the target; for the embedded twin the one that it was given.
        run_log: Path of the run log, header already written.
        latency_s: What a status read takes, as measured by the smoke test.
        quarry: What a proof is after; the cases stop once it is found. None for a run that judges everything.
        plays: Names of the scenarios to record, or paths of the recordings to replay.
        speed: How many times as fast streams and waits are replayed as they were recorded; 0 for at once.
        accounts: Whose each key in the recordings of others is.
    """

    run_id: str
    url: str
    run_log: str
    latency_s: float
    mode: Mode = "run"
    quarry: Quarry | None = None
    plays: tuple[str, ...] = ()
    speed: float = 0.0
    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)


def received(environ: Mapping[str, str]) -> Handover:
    """The hand-over that this process was started with.

    Raises:
        UsageError: there is none: pytest was started by hand.
    """
    text = environ.get(HANDOVER)
    if not text:
        raise UsageError(
            "contract_tests: not started by touchstone; run `touchstone check` (options: `touchstone check --help`)"
        )
    values = json.loads(text)
    quarry = values.pop("quarry", None)
    values["plays"] = tuple(values["plays"])
    return Handover(**values, quarry=Quarry(tuple(quarry["breaks"]), quarry["any_one"]) if quarry else None)


def hold_lifeline(environ: Mapping[str, str], *, under_gevent: bool = False) -> None:
    """Ends this process as soon as its parent is gone: an orphan would go on sending what nobody cleans up.

    Args:
        under_gevent: Whether to wait in gevent's pool of threads, as a process of Locust has to.
    """
    number = environ.get(LIFELINE_VARIABLE)
    if number and under_gevent:
        import gevent  # noqa: PLC0415 - only where Locust runs
        from gevent.os import tp_read  # noqa: PLC0415

        gevent.spawn(_wait_for_end, int(number), tp_read)
    elif number:
        threading.Thread(target=_wait_for_end, args=(int(number), os.read), daemon=True).start()


def _wait_for_end(descriptor: int, read: Callable[[int, int], bytes]) -> None:
    with contextlib.suppress(OSError):
        while read(descriptor, 64):
            pass
    os._exit(ORPHANED)
