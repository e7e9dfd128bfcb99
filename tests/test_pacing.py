"""Arrivals are handed out once, in order and never before their time; a timer goes off when it is asked to."""

import asyncio
import math
import sys
import time
from array import array
from collections.abc import Callable

import pytest

from touchstone.loadgen.pacing import KernelTimer, LoopTimer, Timer, Timetable, timer


def table(*parts: list[float]) -> Timetable:
    """A timetable of which each part came by itself; the shots are numbered through."""
    found, number = Timetable(), 0
    for dues in parts:
        found.add(array("d", dues), array("I", range(number, number + len(dues))))
        number += len(dues)
    return found


def test_arrivals_are_handed_out_when_they_are_due() -> None:
    """What is due by now comes at once, in order, with its shot; the rest later; each arrival once."""
    arrivals = table([0.5, 1.0, 1.0, 2.0])
    assert arrivals.take(0.4) == []
    assert arrivals.take(1.0) == [(0.5, 0), (1.0, 1), (1.0, 2)]
    assert arrivals.take(1.0) == []
    assert (arrivals.taken, arrivals.total, arrivals.next_at) == (3, 4, 2.0)
    assert arrivals.take(99.0) == [(2.0, 3)]
    assert (arrivals.take(99.0), arrivals.taken, arrivals.next_at) == ([], 4, math.inf)


def test_due_times_stay_what_they_were_however_late_it_is() -> None:
    """An arrival that is handed out late was due when it was due."""
    arrivals = table([0.1, 0.2, 0.3])
    assert [due for due, _ in arrivals.take(5.0)] == [0.1, 0.2, 0.3]


def test_parts_of_a_timetable_are_one() -> None:
    """Arrivals that came in several parts are handed out as if they had come in one; empty parts are nothing."""
    arrivals = table([], [0.1, 0.2], [], [0.2, 0.3])
    assert (arrivals.total, arrivals.last_at) == (4, 0.3)
    assert arrivals.take(0.2) == [(0.1, 0), (0.2, 1), (0.2, 2)]
    arrivals.add(array("d", [0.4]), array("I", [9]))
    assert (arrivals.next_at, arrivals.last_at) == (0.3, 0.4)
    assert arrivals.take(1.0) == [(0.3, 3), (0.4, 9)]


def test_empty_timetable_never_has_anything() -> None:
    """Without arrivals nothing is next and nothing was last."""
    arrivals = table()
    assert (arrivals.next_at, arrivals.last_at, arrivals.take(9.0)) == (math.inf, -math.inf, [])
    assert arrivals.peak_per_s() == 0.0


def test_peak_is_the_rate_of_the_fullest_step() -> None:
    """The peak is counted within steps that begin with an arrival, over all parts."""
    arrivals = table([0.0, 1.0, 1.01, 1.02], [1.5, 1.51])
    assert arrivals.peak_per_s(step_s=0.1) == pytest.approx(30.0)


# --- timers ----------------------------------------------------------------------------------------------------------

Make = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Timer]

KINDS = [
    pytest.param(LoopTimer, id="loop"),
    pytest.param(KernelTimer, id="kernel", marks=pytest.mark.skipif(sys.platform != "linux", reason="of Linux")),
]


async def calls_of(make: Make, delays_s: list[float], *, replaced_s: float | None = None) -> list[float]:
    """By how much each call came after it was asked for, where each asks for the next."""
    loop, found, left = asyncio.get_running_loop(), [], list(delays_s)
    over = loop.create_future()
    wanted = 0.0

    def called() -> None:
        nonlocal wanted
        found.append(time.monotonic() - wanted)
        if left:
            wanted = time.monotonic() + left.pop(0)
            clock.arm(wanted)
        else:
            # A timer that is still ready would call again before this.
            loop.call_later(0.005, over.set_result, None)

    clock = make(loop, called)
    if replaced_s is not None:
        clock.arm(time.monotonic() + replaced_s)
    wanted = time.monotonic() + left.pop(0)
    clock.arm(wanted)
    await asyncio.wait_for(over, 20)
    clock.close()
    return found


@pytest.mark.parametrize("make", KINDS)
def test_timer_calls_once_for_each_time_it_was_asked(make: Make) -> None:
    """A timer calls after the moment that was asked for, also if that is over already, and not again."""
    late_s = asyncio.run(calls_of(make, [0.002, 0.0, -1.0, 0.001]))
    assert len(late_s) == 4
    assert all(late >= -0.002 for late in late_s)


@pytest.mark.parametrize("replaced_s", [0.0005, 60.0])
@pytest.mark.parametrize("make", KINDS)
def test_timer_forgets_what_it_was_asked_before(make: Make, replaced_s: float) -> None:
    """The last moment that was asked for counts, sooner or later than the one before."""
    assert len(asyncio.run(calls_of(make, [0.003], replaced_s=replaced_s))) == 1


@pytest.mark.parametrize("make", KINDS)
def test_timer_that_is_closed_calls_no_more(make: Make) -> None:
    """A closed timer never calls, and to close it twice does nothing."""

    async def closed() -> list[str]:
        loop, calls = asyncio.get_running_loop(), []
        clock = make(loop, lambda: calls.append("called"))
        clock.arm(time.monotonic())
        clock.close()
        clock.close()
        over = loop.create_future()
        loop.call_later(0.005, over.set_result, None)
        await over
        return calls

    assert asyncio.run(closed()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_kernel_timer_is_never_early() -> None:
    """No arrival is sent before it is due."""
    assert min(asyncio.run(calls_of(KernelTimer, [0.0003] * 20))) >= -1e-6


def test_coarse_timer_serves_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no exact timer, that of the loop is taken, and says that it is coarse."""

    async def made() -> bool:
        found = timer(asyncio.get_running_loop(), lambda: None)
        found.close()
        return found.coarse

    monkeypatch.setattr("touchstone.loadgen.pacing.sys.platform", "darwin")
    assert asyncio.run(made())
