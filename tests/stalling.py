"""A server that stalls for one second in every five: what its answers take follows from the schedule of its stalls."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

STALL_S, PERIOD_S = 1.0, 5.0
SERVICE_S = 0.1

Asgi = Callable[..., Any]


def stalling(app: Asgi) -> Asgi:
    """The same application, whose answers take SERVICE_S, and in a stall as long as until its end besides."""

    async def stalled(scope: Any, receive: Any, send: Any) -> None:
        # The stall is the time that a run is to measure.
        into_s = time.monotonic() % PERIOD_S
        await asyncio.sleep(SERVICE_S + max(0.0, STALL_S - into_s))
        await app(scope, receive, send)

    return stalled


def quantile_s(share: float) -> float:
    """What *share* of the answers to evenly spaced arrivals take at most.

    An arrival meets a stall with the probability STALL_S / PERIOD_S, and is then equally likely to be anywhere in it.
    """
    waits_longer = STALL_S / PERIOD_S
    beyond = 1.0 - share
    return SERVICE_S + (STALL_S * (1.0 - beyond / waits_longer) if beyond < waits_longer else 0.0)
