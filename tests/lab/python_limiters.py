"""Limiters that are packages of Python, as an application around that of the twin."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pyrate_limiter
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import STRATEGIES
from starlette.responses import JSONResponse

from tests.lab import COUNTED
from touchstone.twin import Twin, TwinSettings

Admits = Callable[[str], bool]
Strategy = Literal["fixed-window", "moving-window", "sliding-window-counter"]
Algorithm = Literal["SlidingWindowLog", "FixedWindow", "GCRA", "TokenBucket"]

_LOGS = {"SlidingWindowLog": pyrate_limiter.SlidingWindowLog, "FixedWindow": pyrate_limiter.FixedWindow}
_STATES = {"GCRA": pyrate_limiter.GCRA, "TokenBucket": pyrate_limiter.TokenBucket}


def limits(strategy: Strategy, limit: int, window_s: int) -> Admits:
    """The package `limits`, which counts in memory; its windows are of whole seconds."""
    limiter = STRATEGIES[strategy](MemoryStorage())
    item = RateLimitItemPerSecond(limit, window_s)
    return lambda key: limiter.hit(item, key)


def pyrate_limiter(algorithm: Algorithm, limit: int, window_s: float, burst: int | None = None) -> Admits:
    """The package `pyrate-limiter`, which counts in memory and milliseconds; *burst* is *limit* where it is None."""
    rate = pyrate_limiter.Rate(limit, round(window_s * 1000), burst)
    limiters: dict[str, pyrate_limiter.Limiter] = {}

    def bucket() -> pyrate_limiter.InMemoryBucket | pyrate_limiter.StateBucket:
        if algorithm in _LOGS:
            return pyrate_limiter.InMemoryBucket([rate], algorithm=_LOGS[algorithm]())
        return pyrate_limiter.StateBucket([rate], algorithm=_STATES[algorithm]())

    def admits(key: str) -> bool:
        if key not in limiters:
            limiters[key] = pyrate_limiter.Limiter(pyrate_limiter.SingleBucketFactory(bucket(), schedule_leak=False))
        return bool(limiters[key].try_acquire(key, blocking=False))

    return admits


@contextlib.contextmanager
def around_twin(settings: TwinSettings, admits: Admits) -> Iterator[str]:
    """A twin that receives only starts which *admits*, given the key of the caller, lets through; its base URL."""
    counted = COUNTED.format(base_path=settings.base_path)

    def wrap(app: Callable[..., Any]) -> Callable[..., Any]:
        async def limited(scope: Any, receive: Any, send: Any) -> None:
            is_counted = scope.get("method") == "POST" and re.fullmatch(counted, scope["path"])
            key = dict(scope.get("headers", ())).get(b"authorization", b"").decode("latin-1")
            if is_counted and not admits(key):
                await JSONResponse({"error": "Too many requests."}, 429)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return limited

    with Twin(settings, wrap=wrap) as twin:
        yield twin.url
