"""Limiters that are packages for Python, with a clock of ours instead of their own."""

import importlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.lab.strange_limiters import YES, Decision, Stranger, no


class Clock:
    """Stands in for the module `time`, and for an event loop, in packages."""

    at = 0.0

    def time(self) -> float:
        """Seconds."""
        return self.at

    monotonic = current_time = time

    def is_closed(self) -> bool:
        """A loop that runs."""
        return False


CLOCK = Clock()
Accepts = Callable[[], bool]


class Package(Stranger):
    """A limiter of a package, built when the first start arrives."""

    def __init__(self, build: Callable[..., Accepts], *numbers: Any) -> None:
        self._build: Callable[[], Accepts] = lambda: build(*numbers)
        self._accepts: Accepts | None = None

    def decide(self, at: float) -> Decision:
        CLOCK.at = at
        self._accepts = self._accepts or self._build()
        return YES if self._accepts() else no()


def _in(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def throttled(using: str, limit: int, window_s: int, burst: int | None = None) -> Accepts:
    """One of the algorithms of throttled-py, which counts in whole seconds."""
    vars(importlib.import_module("throttled.utils"))["time"] = CLOCK
    quota = _in("throttled", "per_duration")(timedelta(seconds=window_s), limit, burst)
    limiter = _in("throttled", "Throttled")(using=using, quota=quota, store=_in("throttled", "MemoryStore")())
    return lambda: not limiter.limit("key").limited


def rush(limiter: str, limit: int, window_s: float) -> Accepts:
    """`PeriodicLimiter` or `GenericCellRatelimiter` of rush."""
    store = _in("rush.stores.dictionary", "DictionaryStore")()
    store.current_time = lambda tzinfo=UTC: datetime.fromtimestamp(CLOCK.at, tzinfo)
    module = "rush.limiters.gcra" if limiter.startswith("Generic") else "rush.limiters.periodic"
    quota = _in("rush.quota", "Quota")(timedelta(seconds=window_s), limit)
    throttle = _in("rush.throttle", "Throttle")(quota, _in(module, limiter)(store))
    return lambda: not throttle.check("key", 1).limited


def costly(per_s: float, size: int) -> Accepts:
    """The package token-bucket; every second start costs 2 tokens."""
    vars(importlib.import_module("token_bucket.storage"))["time"] = CLOCK
    limiter, costs = _in("token_bucket", "Limiter")(per_s, size, _in("token_bucket", "MemoryStorage")()), [2, 1]

    def accepts() -> bool:
        costs.reverse()
        return bool(limiter.consume("key", costs[0]))

    return accepts


def kombu(per_s: float, size: int) -> Accepts:
    """The bucket of kombu, which limits the tasks of Celery."""
    vars(importlib.import_module("kombu.utils.limits"))["monotonic"] = CLOCK.monotonic
    bucket = _in("kombu.utils.limits", "TokenBucket")(per_s, size)
    return lambda: bool(bucket.can_consume())


def botocore(per_s: float) -> Accepts:
    """The bucket of botocore, which is empty at first and holds the tokens of one second."""
    bucket = _in("botocore.retries.bucket", "TokenBucket")(per_s, CLOCK)

    def accepts() -> bool:
        try:
            return bool(bucket.acquire(block=False))
        except _in("botocore.exceptions", "CapacityNotAvailableError"):
            return False

    return accepts


def workers(count: int, limit: int, window_s: float, seed: int | None) -> Accepts:
    """Processes with an aiolimiter each, of which one gets a start: in turn, or with a *seed* by chance."""
    limiters = [_in("aiolimiter", "AsyncLimiter")(limit, window_s) for _ in range(count)]
    chance, turns = random.Random(seed), iter(range(10**9))

    def accepts() -> bool:
        limiter = limiters[next(turns) % count if seed is None else chance.randrange(count)]
        limiter._event_loop = CLOCK
        accepted = bool(limiter.has_capacity())
        limiter._level += accepted  # as `acquire` does where there is capacity
        return accepted

    return accepts


def decorated(limit: int, window_s: float) -> Accepts:
    """The decorator of the package ratelimit."""
    limited = _in("ratelimit", "RateLimitDecorator")(limit, window_s, CLOCK.time, raise_on_limit=False)(lambda: True)
    return lambda: limited() is True
