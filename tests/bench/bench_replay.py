"""Measures how fast recordings are served and judged, side by side in one run: CPU time of this process, no network.

A route for each recorded request is what respx offers; the index behind one route is what a replay uses. Nothing here
is asserted: speed is reported.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import httpx
import respx

from touchstone.contract.files import recordings_dir
from touchstone.recordings import reader
from touchstone.recordings.conversation import Conversation
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.replay import alone

EXCHANGES = 5000
ROUTES = 1000


def main() -> None:
    """Prints each figure and its ratio to the first one."""
    every = [reader.read(path) for path in sorted(recordings_dir().glob("*.har"))]
    many = _many(every, EXCHANGES)
    served = _measured(lambda: _served(many), EXCHANGES)
    rows = {
        f"one indexed route, {EXCHANGES:,} exchanges": served,
        f"a route a request, {ROUTES:,} exchanges": _measured(lambda: _routed(many), ROUTES),
        "served and judged": 1 / (1 / served + 1 / _judged(every)),
    }
    for name, per_s in rows.items():
        print(f"{name:<40}{per_s:>9,.0f}/s   x {per_s / served:.2f}")


def _many(every: list[Recording], number: int) -> Recording:
    """One recording of so many exchanges, whatever they say."""
    endless = itertools.cycle(exchange for recording in every for exchange in recording.exchanges)
    numbered = (replace(exchange, seq=seq) for seq, exchange in enumerate(endless, start=1))
    return replace(every[0], exchanges=tuple(itertools.islice(numbered, number)))


def _served(recording: Recording) -> None:
    conversation = Conversation([recording])
    transport = httpx.MockTransport(conversation.serve)
    with httpx.Client(transport=transport) as client:
        for exchange in recording.exchanges:
            request = exchange.request
            client.request(request.method, request.url, headers=dict(request.headers), content=request.body)


def _routed(recording: Recording) -> None:
    router = respx.MockRouter(assert_all_called=False)
    for number in range(ROUTES):
        router.get(f"{BASE_URL}/{number}").respond(200, json={"n": number})
    with httpx.Client(transport=httpx.MockTransport(router.handler)) as client:
        for number in range(ROUTES):
            client.get(f"{BASE_URL}/{number}")


def _judged(every: list[Recording]) -> float:
    """Exchanges judged a second, each recording by itself."""
    rounds = 5
    number = rounds * sum(len(recording.exchanges) for recording in every)
    return _measured(lambda: [alone(recording) for _ in range(rounds) for recording in every], number)


def _measured(work: Callable[[], object], number: int) -> float:
    began_s = time.process_time()
    work()
    return number / (time.process_time() - began_s)


if __name__ == "__main__":
    main()
