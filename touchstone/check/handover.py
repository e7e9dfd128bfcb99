"""What a run hands over to its child, in the environment, as it holds keys; the child notices when the run is gone."""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, TypeAdapter

from touchstone.check.cases import Quarry
from touchstone.config import Settings
from touchstone.errors import UsageError

HANDOVER = "TOUCHSTONE_CHILD"


@dataclass(frozen=True, slots=True)
class Handover:
    """What every child is to know: the settings with keys, and the path of a run log whose header is written."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    # Its name where a person starts it, and the command to run instead.
    by_hand: ClassVar[tuple[str, str]] = ("contract_tests", "touchstone check")

    settings: Settings
    run_log: str

    def environment(self) -> dict[str, str]:
        """The variable that takes this to the child."""
        return {HANDOVER: json.dumps(TypeAdapter(type(self)).dump_python(self, mode="json"))}

    @classmethod
    def received(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The hand-over that this process was started with; UsageError where it was started by hand."""
        try:
            found: Self = TypeAdapter(cls).validate_python(json.loads(environ.get(HANDOVER) or ""))
        except (ValueError, RecursionError):  # what is there may hold keys, and is not shown
            process, command = cls.by_hand
            advice = f"run `{command}` (options: `{' '.join(command.split()[:2])} --help`)"
            raise UsageError(f"{process}: not started by touchstone; {advice}") from None
        return found


LIFELINE_VARIABLE = "TOUCHSTONE_LIFELINE_FD"

UNWRITTEN = 74  # What a child ends with whose run log takes no more: what it did after that is not in it
BARRED = 75  # What a child ends with whose main key may neither publish nor build
ORPHANED = 3  # What a process ends with when its parent died: nobody reads it, it only must not look like a pass


Mode = Literal[
    "run",  # judge a target by all cases
    "plan",  # list the cases, send nothing
    "record",  # play scenarios with a target, so that they can be recorded
    "replay",  # play recordings
]


@dataclass(frozen=True, slots=True)
class Errand:
    """What a run of the contract tests is for.

    Attributes:
        command: What the run log calls it.
        plays: Names of the scenarios to record, or paths of the recordings to replay; empty for a check.
        speed: How many times as fast streams and waits are replayed as they were recorded; 0 for at once.
        plugin: A pytest plugin of its own that the contract tests are run with.
        accounts: Whose each key in the recordings of others is.
    """

    command: str = "check"
    mode: Mode = "run"
    plays: tuple[str, ...] = ()
    speed: float = 0.0
    plugin: str = ""
    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)


CHECK = Errand()


@dataclass(frozen=True, slots=True)
class CheckHandover(Handover):
    """What a process that runs the contract tests is to do; with a *quarry* it stops once that is found."""

    run_id: str = ""
    latency_s: float = 0.0
    errand: Errand = CHECK
    quarry: Quarry | None = None


def hold_lifeline(environ: Mapping[str, str], *, under_gevent: bool = False) -> None:
    """Ends this process as soon as its parent is gone; *under_gevent* is set in a process of Locust."""
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
