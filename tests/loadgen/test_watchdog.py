"""The watchdog of a load run: it stops a run whose threshold is broken, and no other."""

import random
from collections.abc import Iterable

import pytest

from touchstone.facts.events import Limit
from touchstone.facts.sample import NO_ANSWER, UNSENT, Sample, Window
from touchstone.loadgen.master import Watchdog
from touchstone.loadgen.thresholds import STATISTICS

P90, MAX = Limit("getBuild", "p90_s", 0.1), Limit("getBuild", "max_s", 0.1)
ERRORS = Limit("*", "error_share", 0.0)


def second(at_s: int, times_s: Iterable[float], *, outcome: str = "200", late_s: float = 0.0) -> Window:
    window = Window(0, at_s, "getBuild", outcome)
    for time_s in times_s:
        window.add(Sample("getBuild", outcome, float(at_s), at_s + late_s, at_s + late_s + time_s))
    return window


def stops(limit: Limit, *windows: Window) -> bool:
    """Whether the run may be stopped once these windows have come."""
    watchdog = Watchdog([limit])
    for window in windows:
        watchdog.add(window)
    assert watchdog.broken() in (None, limit)
    return watchdog.broken() is not None


@pytest.mark.parametrize(
    ("limit", "bad"),
    [
        (P90, [second(n, [0.5] * 10) for n in range(7)]),
        (MAX, [second(n, [0.01] * 9 + [0.5]) for n in range(7)]),
        (P90, [second(n, [0.01] * 8, outcome=outcome) for n in range(7) for outcome in ("200", NO_ANSWER)]),
        (MAX, [second(n, [0.01] * 8, outcome=outcome) for n in range(7) for outcome in ("200", NO_ANSWER)]),
        (MAX, [second(n, [0.01] * 8, outcome=NO_ANSWER) for n in range(7)]),
        (Limit("getBuild", "mean_s", 0.1), [second(n, [0.11, 0.13] * 5) for n in range(7)]),
        (ERRORS, [second(n, [0.01] * 10, outcome="500") for n in range(7)]),
        (Limit("*", "late_share", 0.1), [second(n, [0.01] * 10, late_s=0.2) for n in range(7)]),
        (Limit("*", "unsent_share", 0.1), [Window(0, n, "getBuild", UNSENT, 10) for n in range(7)]),
    ],
)
def test_limit_that_is_far_exceeded_stops_a_run(limit: Limit, bad: list[Window]) -> None:
    assert stops(limit, *bad)
    assert not stops(limit, *bad[:2])  # its beginning
    assert not stops(limit, *(second(n, [0.01] * 10) for n in range(7)))
    assert not stops(limit)


def test_chance_stops_no_run() -> None:
    chance = random.Random(1)  # a target that just keeps its limit, looked at every second
    for _ in range(50):
        watchdog = Watchdog([P90])
        for at_s in range(30):
            watchdog.add(second(at_s, [0.5 if chance.random() < 0.1 else 0.05 for _ in range(10)]))
            assert watchdog.broken() is None


def test_late_generator_stops_no_run() -> None:
    assert not stops(P90, *(second(n, [0.5] * 10, late_s=0.02) for n in range(7)))
    longest = Limit("getBuild", "max_s", 0.4)
    assert not stops(longest, *(second(n, [0.01] * 200) for n in range(7)), second(7, [0.01], late_s=0.5))


@pytest.mark.parametrize("name", [name for name, one in STATISTICS.items() if one.sort in ("rate", "drift")])
def test_what_needs_the_whole_run_stops_none(name: str) -> None:
    assert not stops(Limit("*", name, 1.0), *(second(n, [9.0] * 50, outcome="500") for n in range(9)))
