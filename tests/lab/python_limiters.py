"""Limiters that are packages of Python, as an application around that of the twin."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import STRATEGIES
from pyrate_limiter import (
    GCRA,
    FixedWindow,
    InMemoryBucket,
    Limiter,
    Rate,
    SingleBucketFactory,
    SlidingWindowLog,
    StateBucket,
    TokenBucket,
)
from starlette.responses import JSONResponse

from tests.lab.counted import Counted, Operation
from touchstone.twin import Twin, TwinSettings

Asgi = Callable[..., Any]
Strategy = Literal["fixed-window", "moving-window", "sliding-window-counter"]
Algorithm = Literal["SlidingWindowLog", "FixedWindow", "GCRA", "TokenBucket"]

_LOGS = {"SlidingWindowLog": SlidingWindowLog, "FixedWindow": FixedWindow}
_STATES = {"GCRA": GCRA, "TokenBucket": TokenBucket}


@contextlib.contextmanager
def limits(
    settings: TwinSettings, strategy: Strategy, limit: int, window_s: int, operation: Operation = "startBuild"
) -> Iterator[str]:
    """The package `limits`, which counts in memory; its windows are of whole seconds."""
    limiter = STRATEGIES[strategy](MemoryStorage())
    item = RateLimitItemPerSecond(limit, window_s)
    with _around(settings, operation, lambda key: limiter.hit(item, key)) as url:
        yield url


@contextlib.contextmanager
def pyrate_limiter(
    settings: TwinSettings,
    algorithm: Algorithm,
    limit: int,
    window_s: float,
    burst: int | None = None,
    operation: Operation = "startBuild",
) -> Iterator[str]:
    """The package `pyrate-limiter`, which counts in memory and milliseconds.

    Args:
        burst: Size of the bucket for GCRA and TokenBucket, which are one algorithm; *limit* where it is None.
    """
    rate = Rate(limit, round(window_s * 1000), burst)
    limiters: dict[str, Limiter] = {}

    def admits(key: str) -> bool:
        if key not in limiters:
            limiters[key] = Limiter(SingleBucketFactory(_bucket(algorithm, rate), schedule_leak=False))
        return bool(limiters[key].try_acquire(key, blocking=False))

    with _around(settings, operation, admits) as url:
        yield url


def _bucket(algorithm: Algorithm, rate: Rate) -> InMemoryBucket | StateBucket:
    if algorithm in _LOGS:
        return InMemoryBucket([rate], algorithm=_LOGS[algorithm]())
    return StateBucket([rate], algorithm=_STATES[algorithm]())


@contextlib.contextmanager
def _around(settings: TwinSettings, operation: Operation, admits: Callable[[str], bool]) -> Iterator[str]:
    """A twin that is asked only what *admits*, given the key of the caller, lets through."""
    counted = Counted.of(operation, settings)

    def wrap(app: Asgi) -> Asgi:
        async def limited(scope: Any, receive: Any, send: Any) -> None:
            is_counted = scope.get("method") == counted.method and re.fullmatch(counted.path, scope["path"])
            key = dict(scope.get("headers", ())).get(b"authorization", b"").decode("latin-1")
            if is_counted and not admits(key):
                await JSONResponse({"error": "Too many requests."}, 429)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return limited

    with Twin(settings, wrap=wrap) as twin:
        yield twin.url
