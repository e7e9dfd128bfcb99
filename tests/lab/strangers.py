"""Thirty limiters that are in no table of the project, in three settings each, for probes in virtual time.

Ten have packages for Python in them, with another clock; the others do as services do. Even numbers are half A, odd
ones half B. What identifies limiters is not to be tuned to half B.
"""

import heapq
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.lab.strange_limiters import (
    Builds,
    Busy,
    Chain,
    Decision,
    LimitReq,
    Log,
    Moody,
    Stranger,
    SubBuckets,
    Ticking,
    WarmUp,
    Window,
)
from tests.lab.strange_packages import Package, botocore, costly, decorated, kombu, rush, throttled, workers
from tests.limiter.virtual import LEG_S, Net
from touchstone.facts.probe import Answer, Segment, Stimulus

Make = Callable[[int], Stranger]


@dataclass(frozen=True)
class Setting:
    """A limiter with numbers.

    Attributes:
        make: Builds it anew, from a seed.
        scales: Limit and seconds of each of its limits: how much and how long clients go at it.
        shorter: Builds it without its longest limit, where that may never be reached; the last part of a Chain.
        most_s: How long a probe may take.
    """

    make: Make
    scales: Sequence[tuple[int, float]]
    shorter: Make | None = None
    most_s: float = 900.0


@dataclass(frozen=True)
class Entry:
    """A stranger.

    Attributes:
        caps: What else it limits than a rate: ``builds`` in flight, or requests ``at once``.
        by_chance: Whether two of them answer differently.
        limitless: Whether it refuses by chance alone.
        needs: Packages.
    """

    name: str
    settings: Sequence[Setting]
    caps: str = ""
    by_chance: bool = False
    limitless: bool = False
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """Packages that it needs and that are not installed."""
        return ", ".join(name for name in self.needs if importlib.util.find_spec(name) is None)


def _one(make: Callable[..., Stranger], *rows: tuple[int, float, Sequence[object]], **named: object) -> list[Setting]:
    """Settings of a limiter: limit and window for clients, and its arguments; with ``seed=...`` in *named* a seed."""

    def setting(numbers: Sequence[object]) -> Make:
        return lambda seed: make(*numbers, **(named | ({"seed": seed} if "seed" in named else {})))

    return [Setting(setting(numbers), [(limit, window_s)]) for limit, window_s, numbers in rows]


def _chain(*makes: Make, scales: Sequence[tuple[int, float]], most_s: float = 900.0, far: bool = False) -> Setting:
    def chain(count: int) -> Make:
        return lambda seed: Chain(*(make(seed) for make in makes[:count]))

    return Setting(chain(len(makes)), scales, chain(len(makes) - 1) if far else None, most_s)


def _far(*numbers: tuple[int, float]) -> Setting:
    few, many = [lambda _, one=one: Package(rush, "PeriodicLimiter", *one) for one in numbers]
    return _chain(few, many, scales=numbers, far=True)


def _calendar(few: int, short_s: float, many: int) -> Setting:
    parts = lambda _: Window(few, short_s, clock=True), lambda _: Window(many, 60.0, clock=True)
    return _chain(*parts, scales=[(few, short_s), (many, 60.0)], far=True)


def _nginx(per_s: float, burst: int, connections: int, takes_s: float) -> Setting:
    parts = lambda _: LimitReq(per_s, burst), lambda _: Busy(connections, takes_s, waits=True)
    return _chain(*parts, scales=[(burst + 1, (burst + 1) / per_s), (connections, 4 * takes_s)])


def _settling(limit: int, window_s: float, cap: int, settle_s: float) -> Setting:
    parts = lambda _: Window(limit, window_s), lambda _: Builds(cap, settle_s)
    return _chain(*parts, scales=[(limit, window_s)])


def _both(limit: int, window_s: int, per_s: float, size: int) -> Setting:
    parts = lambda _: Package(throttled, "fixed_window", limit, window_s), lambda _: Package(kombu, per_s, size)
    return _chain(*parts, scales=[(limit, window_s), (size, size / per_s)])


def _hourly(limit: int, *few: tuple[int, float]) -> Setting:
    parts = [lambda _, one=one: Log(*one) for one in few]
    hour = lambda _: Window(limit, 3600.0)  # noqa: E731 - one of the parts
    return _chain(*parts, hour, scales=[*few, (limit, 3600.0)], most_s=300.0, far=True)


def _package(*rows: tuple[int, float, Sequence[object]]) -> list[Setting]:
    return _one(Package, *rows)


ENTRIES: Sequence[Entry] = (
    Entry("rush gcra", _package(
        (6, 3, (rush, "GenericCellRatelimiter", 6, 3)), (40, 60, (rush, "GenericCellRatelimiter", 40, 60)),
        (17, 5.3, (rush, "GenericCellRatelimiter", 17, 5.3))), needs=("rush",)),
    Entry("throttled token bucket", _package(
        (5, 2, (throttled, "token_bucket", 5, 2)), (10, 20, (throttled, "token_bucket", 30, 60, 10)),
        (20, 11, (throttled, "token_bucket", 13, 7, 20))), needs=("throttled",)),
    Entry("leaky ticks", _one(
        Ticking, (5, 2, (5, 1, 0.4, 0.3)), (30, 60, (30, 1, 2.0, 0.2)), (12, 5, (12, 1, 0.43, 0.5)), seed=0),
        by_chance=True),
    Entry("calendar second and minute", [_calendar(5, 1, 30), _calendar(20, 5, 60), _calendar(11, 2.5, 53)]),
    Entry("grace", [
        *_one(Window, (15, 5, (10, 5)), seed=0, clock=True, hard=15, share=0.5),
        *_one(Window, (60, 30, (40, 30)), seed=0, clock=True, hard=60, share=0.3),
        *_one(Window, (20, 7.3, (12, 7.3)), clock=True, hard=20, later_s=0.25)], by_chance=True),
    Entry("adaptive build cap", _one(
        Builds, (4, 3, (4, 0, 2)), (8, 5, (8, 0, 4)), (13, 2.7, (13, 0, 3))), caps="builds"),
    Entry("throttled sliding window", _package(
        (10, 2, (throttled, "sliding_window", 10, 2)), (40, 60, (throttled, "sliding_window", 40, 60)),
        (17, 9, (throttled, "sliding_window", 17, 9))), needs=("throttled",)),
    Entry("cost of 1 or 2", _package(
        (6, 3, (costly, 2.0, 6)), (24, 48, (costly, 0.5, 24)), (45, 33, (costly, 1.37, 45))), needs=("token_bucket",)),
    Entry("nginx requests and connections", [
        _nginx(5, 10, 3, 0.08), _nginx(0.5, 20, 5, 0.2), _nginx(7, 33, 4, 0.031)], caps="at once"),
    Entry("rate and builds that free late", [
        _settling(8, 4, 3, 0.05), _settling(30, 20, 5, 0.2), _settling(12, 6.5, 4, 0.5)], caps="builds"),
    Entry("builds that free late", _one(
        Builds, (3, 2, (3, 0.1)), (7, 4, (7, 0.5)), (5, 3, (5, 0.25))), caps="builds"),
    Entry("slots of a pool", _one(
        Busy, (4, 1, (4, 1.0, False, 0.2)), (10, 5, (10, 5.0, False, 0.1)), (7, 2.3, (7, 2.3, False, 0.3)), seed=0),
        by_chance=True),
    Entry("window and bucket", [_both(20, 10, 3, 5), _both(60, 60, 2, 10), _both(25, 13, 5, 8)],
          needs=("throttled", "kombu")),
    Entry("two rates far apart", [
        _far((10, 1), (200, 60)), _far((5, 0.5), (60, 30)), _far((3, 0.06), (290, 60))], needs=("rush",)),
    Entry("batches", _one(
        Ticking, (10, 4, (10, 5, 2.0, 0.0)), (40, 24, (40, 10, 6.0, 0.0)), (17, 4, (17, 3, 0.7, 0.0)), seed=0)),
    Entry("penalty box", [
        *_one(Window, (6, 3, (6, 3)), ban_s=1.0, forgives_s=60.0),
        *_one(Window, (30, 20, (30, 20)), ban_s=2.0, forgives_s=120.0),
        *_one(Window, (9, 4.7, (9, 4.7)), ban_s=0.8, forgives_s=45.0)]),
    Entry("windows of 2 % more or less", _one(
        Window, (10, 4, (10, 4)), (50, 30, (50, 30)), (23, 7.7, (23, 7.7)), seed=0, jitter=0.02), by_chance=True),
    Entry("early refusals", _one(
        Log, (12, 5, (12, 5)), (60, 30, (60, 30)), (21, 8.3, (21, 8.3)), seed=0, early=0.7), by_chance=True),
    Entry("botocore bucket", _package((3, 1, (botocore, 3)), (20, 1, (botocore, 20)), (7, 1, (botocore, 7.5))),
          needs=("botocore",)),
    Entry("workers", [
        *_package((10, 5, (workers, 2, 5, 5, None))),
        *_one(lambda seed: Package(workers, 3, 10, 20, seed), (30, 20, ()), seed=0),
        *_one(lambda seed: Package(workers, 4, 4, 7.7, seed), (16, 7.7, ()), seed=0)],
        by_chance=True, needs=("aiolimiter",)),
    Entry("cancels and reads count", [
        *_one(Window, (10, 5, (20, 5)), costs=1), *_one(Window, (15, 30, (60, 30)), costs=3),
        *_one(Window, (11, 7.3, (33, 7.3)), costs=2)]),
    Entry("refusals count half", _one(Log, (10, 4, (10, 4)), (40, 30, (40, 30)), (15, 6.3, (15, 6.3)), half=0.5)),
    Entry("ten sub-buckets", _one(SubBuckets, (10, 5, (10, 5)), (60, 60, (60, 60)), (27, 8.8, (27, 8.8)))),
    Entry("warm-up", _one(
        WarmUp, (5, 3, (2.0, 5, 10, 30)), (20, 20, (1.0, 20, 30, 120)), (9, 3, (3.17, 9, 6, 15)))),
    Entry("ratelimit decorator", _package(
        (5, 1.5, (decorated, 5, 1.5)), (15, 60, (decorated, 15, 60)), (33, 9.7, (decorated, 33, 9.7))),
        needs=("ratelimit",)),
    Entry("throttled fixed window", _package(
        (10, 1, (throttled, "fixed_window", 10, 1)), (30, 60, (throttled, "fixed_window", 30, 60)),
        (50, 7, (throttled, "fixed_window", 50, 7))), needs=("throttled",)),
    Entry("a limit that varies", [
        *_one(Window, (12, 3, (12, 3)), seed=0, clock=True, least=8),
        *_one(Window, (50, 30, (50, 30)), seed=0, clock=True, least=30),
        *_one(Window, (30, 6.7, (30, 6.7)), seed=0, clock=True, least=5)], by_chance=True),
    Entry("by the hour", [_hourly(60), _hourly(1000, (10, 1)), _hourly(120, (7, 2.5))]),
    Entry("clocks that differ", [
        *_one(Log, (8, 4, (8, 4)), seed=0, skew_s=0.05), *_one(Log, (30, 20, (30, 20)), seed=0, skew_s=0.3),
        *_one(Log, (19, 6.1, (19, 6.1)), seed=0, skew_s=0.1)], by_chance=True),
    Entry("refusals by chance", [
        *_one(Moody, (50, 5, (0.01,)), (50, 5, (0.003,)), (50, 5, (0.03,)), seed=0)], by_chance=True, limitless=True),
)  # fmt: skip
# By number, from 1 on.
STRANGERS = dict(enumerate(ENTRIES, 1))
SIZES = ("small", "medium", "odd")


def half(name: str) -> dict[int, Entry]:
    """The strangers of half A, which have even numbers, or of half B."""
    return {number: entry for number, entry in STRANGERS.items() if number % 2 == (name == "B")}


@dataclass
class StrangerNet(Net):
    """A stranger behind a network; a build that is not held is cancelled when its start is answered."""

    stranger: Stranger = field(default_factory=Stranger)
    cancels: list[float] = field(default_factory=list)

    def _decide(self, arrived_at: float) -> Decision:
        while self.cancels and self.cancels[0] <= arrived_at:
            self.stranger.ended(self.began_at + heapq.heappop(self.cancels))
        return self.stranger.decide(self.began_at + arrived_at)

    def send(self, stimulus: Stimulus) -> list[Answer]:
        """Sends a stimulus to its end."""
        for _ in range(min(stimulus.frees, len(self.held))):
            self.held.pop(0)
            heapq.heappush(self.cancels, self.now_at + LEG_S)
        self.now_at += 2 * LEG_S if stimulus.frees else 0.0
        return super().send(replace(stimulus, frees=0))

    def _ask(self, sent_at: float, segment: Segment, stream: int, leg_s: float | None = None) -> Answer:
        arrived_at = sent_at + (self._leg_s() if leg_s is None else leg_s)
        accepted, delay_s, hint_s = self._decide(arrived_at)
        done_at = arrived_at + delay_s + self._leg_s()
        if accepted and segment.holds:
            self.held.append(arrived_at)
        elif accepted:
            heapq.heappush(self.cancels, done_at if segment.alone else done_at + self._leg_s())
        return Answer(sent_at, done_at, accepted, hint_s, stream=stream)
