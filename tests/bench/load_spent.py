"""What processes spend: CPU time of a whole tree of them, to the microsecond and while they run."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# linux/posix-timers.h: the clock of another process is its number, inverted, and which of its clocks.
_PROCESS_BITS, _CPU_CLOCK = 3, 2

# linux/prctl.h
_END_WITH_PARENT = 1


def can_measure() -> bool:
    """Whether this system tells what other processes spend."""
    return sys.platform == "linux" and Path("/proc/self/task").is_dir()


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, user and system, threads that are gone included; 0 where it is gone itself."""
    try:
        return time.clock_gettime((~pid << _PROCESS_BITS) | _CPU_CLOCK)
    except OSError:
        return 0.0


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        try:
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        except OSError:
            continue
    return found


def pinned(core: int) -> dict[str, Any]:
    """
    What has `subprocess.Popen` start a process that stays on *core*, in a group of its own, and ends with this one.
    """
    library = ctypes.CDLL(None)

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        library.prctl(_END_WITH_PARENT, signal.SIGKILL)

    return {"preexec_fn": prepare, "start_new_session": True}


def cores() -> tuple[int, int]:
    """One for the server and another one for whoever loads it; twice the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent within a time, and on how many requests.

    Attributes:
        whole: Whether all processes were there to the end of it.
    """

    wall_s: float
    cpu_s: float
    server_s: float
    requests: int
    whole: bool


def spent_within(seconds: float, pid: int, requests: Callable[[], int], server_s: Callable[[], float]) -> Spent:
    """What the tree of *pid* spends within some seconds from now.

    Args:
        requests: How many the server has served, with the one that asks for it.
        server_s: CPU time of the server.
    """
    processes = tree(pid)

    def now() -> tuple[float, float, float, int]:
        return time.monotonic(), sum(map(cpu_s, processes)), server_s(), requests()

    before = now()
    time.sleep(seconds)  # the stretch that is measured
    after = now()
    wall, cpu, server, served = (later - earlier for later, earlier in zip(after, before, strict=True))
    # The second question was served as well.
    return Spent(wall, cpu, server, int(served) - 1, tree(pid) == processes)
