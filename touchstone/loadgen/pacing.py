"""When to send: a timetable of arrivals in the order in which they are due, and timers that go off on time."""

import asyncio
import ctypes
import os
import sys
import time
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Protocol

Due = tuple[float, int]

_NEVER = float("inf")

# linux/timerfd.h; the flags of timerfd_create are those of open.
_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1


class Timetable:
    """Arrivals that are due one after the other, each to be handed out once. More may be added while it is read.

    Due times stay what they were, however late they are handed out.

    Attributes:
        total: How many arrivals were added.
        taken: How many of them were handed out.
    """

    def __init__(self) -> None:
        self.total = 0
        self.taken = 0
        self._dues = array("d")
        self._shots = array("I")
        self._at = 0
        self._later: deque[tuple[array[float], array[int]]] = deque()

    def add(self, dues: "array[float]", shots: "array[int]") -> None:
        """Appends arrivals.

        Args:
            dues: In ascending order, none of them before one that was added earlier.
            shots: What to send, one for each.
        """
        if len(dues):
            self._later.append((dues, shots))
            self.total += len(dues)

    @property
    def next_at(self) -> float:
        """When the next arrival is due; infinite where there is none."""
        if self._at == len(self._dues) and not self._turn():
            return _NEVER
        return self._dues[self._at]

    @property
    def last_at(self) -> float:
        """When the last arrival is due that was added so far; minus infinity where there was none."""
        dues = self._later[-1][0] if self._later else self._dues
        return dues[-1] if dues else -_NEVER

    def take(self, now: float) -> list[Due]:
        """Hands out all arrivals that are due at *now*: when each was due, and what to send."""
        found: list[Due] = []
        while self.next_at <= now:
            dues, shots, at, end = self._dues, self._shots, self._at, len(self._dues)
            while at < end and dues[at] <= now:
                found.append((dues[at], shots[at]))
                at += 1
            self._at = at
        self.taken += len(found)
        return found

    def peak_per_s(self, step_s: float = 0.1) -> float:
        """The highest rate among steps of *step_s* in what is left."""
        most = 0
        for dues in (self._dues[self._at :], *(dues for dues, _ in self._later)):
            at = 0
            while at < len(dues):
                end = bisect_right(dues, dues[at] + step_s)
                most = max(most, end - at)
                at = end
        return most / step_s

    def _turn(self) -> bool:
        """Goes on to the next arrays, so that those that are done with take no memory."""
        if not self._later:
            return False
        self._dues, self._shots = self._later.popleft()
        self._at = 0
        return True


class Timer(Protocol):
    """Calls back once it is time.

    Attributes:
        coarse: Whether it may be late by a millisecond or two even where nothing else goes on.
    """

    coarse: bool

    def arm(self, at: float) -> None:
        """Asks for a call at *at* on the monotonic clock, instead of what was asked for before."""

    def close(self) -> None:
        """Calls no more."""


class LoopTimer:
    """A timer of the event loop; uvloop's count milliseconds. See `Timer`."""

    coarse = True

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, at: float) -> None:
        """Asks for a call at *at* on the monotonic clock, instead of what was asked for before."""
        self.close()
        self._handle = self._loop.call_later(max(0.0, at - time.monotonic()), self._callback)

    def close(self) -> None:
        """Calls no more."""
        if self._handle is not None:
            self._handle.cancel()


class _Spec(ctypes.Structure):
    """The itimerspec of timerfd_settime."""

    _fields_ = (
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class KernelTimer:
    """A timer of the Linux kernel, exact to some microseconds, that the event loop waits for as for a socket.

    Raises:
        OSError: this system has none.
    """

    coarse = False

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        if sys.platform != "linux":
            raise OSError("timerfd is a thing of Linux")
        # os.timerfd_create came with Python 3.13. A call that does not block need not let go of the interpreter.
        library = ctypes.PyDLL(None)
        self._settime = library.timerfd_settime
        self._settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._spec = _Spec()
        self._pointer = ctypes.addressof(self._spec)
        self._fd = library.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError("timerfd_create failed")
        self._loop = loop
        self._callback = callback
        self._armed = False
        loop.add_reader(self._fd, self._due)

    def arm(self, at: float) -> None:
        """Asks for a call at *at* on the monotonic clock, instead of what was asked for before."""
        whole_s = int(at)
        # All zeros would switch it off.
        self._set_to(whole_s, int((at - whole_s) * 1e9) or 1)
        self._armed = True

    def close(self) -> None:
        """Calls no more."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _set_to(self, at_s: int, at_ns: int) -> None:
        self._spec.at_s, self._spec.at_ns = at_s, at_ns
        self._settime(self._fd, _ABSOLUTE, self._pointer, None)

    def _due(self) -> None:
        self._armed = False
        self._callback()
        # Its descriptor is readable until it is read or set, and mostly it is set anyway.
        if not self._armed and self._fd >= 0:
            self._set_to(0, 0)


def timer(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> Timer:
    """The most exact timer that there is."""
    try:
        return KernelTimer(loop, callback)
    except (OSError, AttributeError):
        return LoopTimer(loop, callback)
