"""A server with a limit, and a driver that sends the rounds for the rules on limits, in virtual time."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rules.exchanges import REF, build, exchange, publish
from touchstone.facts.exchange import Credential, Exchange
from touchstone.twin.limits import FixedWindow, Limiter, SlidingLog, TokenBucket

THEIRS = "default/touchstone-t1-theirs@1.0.0"
PATIENCE_S = 60.0


class AlignedWindow(Limiter):
    """Accepts *limit* starts in each window of the clock."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit, self._window_s = limit, window_s
        self._window, self._taken = -1, 0

    def wait_s(self, now_at: float) -> float:
        if self._window != now_at // self._window_s or self._taken < self._limit:
            return 0.0
        return (self._window + 1) * self._window_s - now_at

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        window = int(now_at // self._window_s)
        self._window, self._taken = window, 1 + (self._taken if window == self._window else 0)


class Never(FixedWindow):
    """Accepts no start any more after the first refusal."""

    def wait_s(self, now_at: float) -> float:
        if wait_s := super().wait_s(now_at):
            self._closes_at = math.inf
        return min(wait_s, 2.0)


LIMITERS: Mapping[str, Callable[[int, float], Limiter]] = {
    "fixed-window": FixedWindow,
    "aligned-window": AlignedWindow,
    "sliding-log": SlidingLog,
    "token-bucket": lambda limit, window_s: TokenBucket(limit, window_s, limit),
}


@dataclass
class Server:
    """A server of starts and reads with a limit.

    Attributes:
        shared: All keys share one limit.
        reads_charged: Reads count as starts.
        retry_after: Makes the header from the remaining seconds; None sends no header.
    """

    make: Callable[[], Limiter]
    shared: bool = False
    reads_charged: bool = False
    retry_after: Callable[[float], str] | None = lambda wait_s: str(math.ceil(wait_s))
    _limiters: dict[str, Limiter] = field(default_factory=dict)

    def answer(self, operation: str, credential: Credential, now_at: float) -> tuple[int, dict[str, str]]:
        limiter = self._limiters.setdefault("" if self.shared else credential, self.make())
        wait_s = limiter.wait_s(now_at)
        if operation == "getBuild":
            if self.reads_charged and not wait_s:
                limiter.take(now_at)
            return 200, {}
        if wait_s:
            return 429, {"retry-after": self.retry_after(wait_s)} if self.retry_after else {}
        limiter.take(now_at)
        return 202, {}


@dataclass
class Driver:
    """Sends the rounds for the rules on limits.

    Attributes:
        builds: Handling of builds, see rules/history.py; empty for starts of a ready version.
    """

    server: Server
    latency_s: float
    now_at: float
    rest_s: float
    builds: str = ""
    exchanges: list[Exchange] = field(default_factory=list)

    def send(self, phase: str, number: int, **note: Any) -> Exchange:
        operation = "getBuild" if phase == "reads" else "startBuild"
        other = phase == "other-key"
        credential: Credential = "second" if other else "primary"
        status, headers = self.server.answer(operation, credential, self.now_at + self.latency_s / 2)
        ref = THEIRS if other else REF
        if self.builds and phase not in ("reads", "other-key"):
            ref, note = self.fresh(phase), note | {"builds": self.builds}
        served = build("building", ref) if self.builds else build("ready", ref, reused=True)
        sent = exchange(
            operation,
            status,
            json={"error": "later"} if status == 429 else served,
            headers=headers,
            ref=ref,
            credential=credential,
            seq=len(self.exchanges) + 1,
            sent_at=self.now_at,
            done_at=self.now_at + self.latency_s,
            note={"limit": {"round": number, "phase": phase} | note},
        )
        self.now_at += self.latency_s
        self.exchanges.append(sent)
        return sent

    def fresh(self, phase: str) -> str:
        """An unbuilt version; each round begins with the same one."""
        burst = list(itertools.takewhile(lambda e: _phase(e) == "burst", reversed(self.exchanges)))
        return REF if phase == "burst" and not burst else f"default/touchstone-t1-fresh-{len(burst)}@1.0.0"

    def run(self) -> list[Exchange]:
        self.setting()
        usual = self.round(1, reads=0, lasting_s=0.0)
        if usual is None:
            return self.exchanges
        self.now_at += self.rest_s
        usual = self.round(2, reads=0, lasting_s=0.0)
        if usual is None:
            return self.exchanges
        served, lasting_s = usual
        self.now_at += self.rest_s
        self.round(3, reads=3 * max(1, served), lasting_s=lasting_s)
        return self.exchanges

    def setting(self) -> None:
        self.exchanges += [
            publish(1, REF, sent_at=self.now_at - 3),
            publish(2, THEIRS, credential="second", sent_at=self.now_at - 2.5),
            exchange(json=build("ready", THEIRS), ref=THEIRS, credential="second", seq=3, sent_at=self.now_at - 2),
        ]

    def round(self, number: int, *, reads: int, lasting_s: float) -> tuple[int, float] | None:
        for _ in range(reads):
            self.send("reads", number)
        began_at, burst = self.now_at, [self.send("burst", number)]
        while burst[-1].status != 429 or (self.now_at - began_at < lasting_s):
            if len(burst) > 200:
                return None
            burst.append(self.send("burst", number))
        took_s = self.now_at - began_at
        self.send("other-key", number)
        refused = self.send("confirm", number)
        return (sum(e.status == 202 for e in burst), took_s) if self.retries(number, refused) else None

    def retries(self, number: int, refused: Exchange) -> bool:
        if refused.status != 429:
            return True
        waited_s = 0.0
        for doubled in itertools.count():
            after = refused.response.header("retry-after") if refused.response else None
            wait_s = float(after) if after else 2.0 ** min(doubled, 6)
            waited_s += wait_s + self.latency_s
            self.now_at += wait_s
            gave_up = waited_s >= PATIENCE_S
            refused = self.send("retry", number, **({"gave_up": True} if gave_up else {}))
            if refused.status != 429 or gave_up:
                return refused.status != 429
        return False


def _phase(sent: Exchange) -> str:
    return str(sent.note.get("limit", {}).get("phase"))
