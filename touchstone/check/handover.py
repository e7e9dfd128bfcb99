"""Data that a run passes to its child process, in an environment variable because they include keys."""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import ConfigDict, TypeAdapter

from touchstone.check.cases import Quarry
from touchstone.config import Settings
from touchstone.errors import UsageError

HANDOVER = "TOUCHSTONE_CHILD"


@dataclass(frozen=True, slots=True)
class Handover:
    """Data for any child process: the settings with keys, and the path of a run log that already has a header."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    settings: Settings
    run_log: str

    def environment(self) -> dict[str, str]:
        """Returns the environment variable that contains these data."""
        return {HANDOVER: json.dumps(TypeAdapter(type(self)).dump_python(self, mode="json"))}

    @classmethod
    def received(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Returns the data that this process received; raises UsageError if a user started the process by hand."""
        try:
            found: Self = TypeAdapter(cls).validate_python(json.loads(environ.get(HANDOVER) or ""))
        except (ValueError, RecursionError):  # the value may hold keys: keep it out of the message
            raise UsageError("not started by touchstone; `touchstone --help` lists its commands") from None
        return found


LIFELINE_VARIABLE = "TOUCHSTONE_LIFELINE_FD"

UNWRITTEN = 74  # Exit code of a child that can no longer write to its run log
BARRED = 75  # Exit code of a child whose main key may neither publish nor build
ORPHANED = 3  # Exit code of a process whose parent died; it must not be that of a pass


Mode = Literal[
    "run",  # judge a target by all cases
    "plan",  # list the cases, send nothing
    "record",  # run scenarios on a target and record them
    "replay",  # replay recordings, without a target
]


@dataclass(frozen=True, slots=True)
class Errand:
    """Purpose of a run of the contract tests."""

    command: str = "check"  # name of the command, for the run log
    mode: Mode = "run"
    plays: tuple[str, ...] = ()  # names of the scenarios to record; empty for a check
    only: tuple[str, ...] = ()  # ids of the cases to run; empty for all cases of the profile
    keep: bool = False  # whether the versions of broken claims stay on the target, and in the journal


CHECK = Errand()


@dataclass(frozen=True, slots=True)
class CheckHandover(Handover):
    """Data for the contract tests. In a proof, *quarry* is the goal; once it is reached, cases are skipped."""

    run_id: str = ""
    latency_s: float = 0.0
    errand: Errand = CHECK
    quarry: Quarry | None = None


def hold_lifeline(environ: Mapping[str, str], *, under_gevent: bool = False) -> None:
    """Ends this process when its parent ends, which closes the lifeline pipe. Locust processes need *under_gevent*."""
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
