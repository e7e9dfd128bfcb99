"""Advice for clients, tested with the limiters of the twin in virtual time."""

import math
from collections import deque
from dataclasses import dataclass, replace

import pytest

from tests.limiting import decide, limiter_for
from tests.report.identities import identity
from touchstone.limiter.pace import Pace
from touchstone.report.probe_view import advice
from touchstone.twin.limits import Limiter

REQUESTS = 200
BEGINS_AT = 1000.37  # within a window of the clock
BUILD_S = 1.7

RATED = (
    *("fixed-window:8/4", "fixed-window:5/10,block=30", "fixed-window:6/3,refused=restart"),
    *("sliding-log:8/4", "sliding-log:5/2,refused=count", "sliding-counter:8/4"),
    *("sliding-counter:10/10,refused=count", "sliding-counter:8/4,rule=below"),
    *("token-bucket:10/60,burst=5", "token-bucket:3/1,burst=12,starts=empty"),
    *("token-bucket:4/2,burst=9,tick=1", "token-bucket:1/4,burst=1,tick=3"),
    *("token-bucket:2/1,burst=6,early=0.5", "minimum-gap:2", "leaky-bucket:8/4"),
    *("leaky-bucket:5/1,burst=10,delay=4", "sliding-log:5/1+fixed-window:20/10"),
    *("token-bucket:50/10,burst=20+minimum-gap:0.1", "token-bucket:10/60,burst=5+builds:4"),
)
CAPPED = ("concurrency:4,takes=0.5", "concurrency:1,takes=2", "builds:4", "builds:1")
COARSE = {"token-bucket:1/4,burst=1,tick=3"}  # one token in steps of 3 s, so the advice has a wide margin


@dataclass
class Client:
    """Client that paces its requests as advised, in virtual time."""

    limiter: Limiter
    pace: Pace
    now_at: float = BEGINS_AT
    refused: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        self._answered_at: list[float] = []
        self._ends_at: deque[float] = deque()

    def send(self) -> None:
        if self.pace.at_once is not None:
            self._wait_for_room(self.pace.at_once)
        if self.pace.in_flight is not None:
            while len(self._ends_at) >= self.pace.in_flight:
                self.now_at = max(self.now_at, self._ends_at[0])
                self._end()
        self._end()
        accepted, delay_s = decide(self.limiter, self.now_at)
        self.sent += 1
        self.refused += not accepted
        if accepted:
            self._answered_at.append(self.now_at + delay_s)
            self._ends_at.append(self.now_at + delay_s + BUILD_S)

    def rest(self, seconds: float) -> None:
        self.now_at += seconds

    def steady(self, count: int) -> None:
        """Sends requests at the advised spacing."""
        for _ in range(count):
            due_at = self.now_at + self.pace.spacing_s
            self.send()
            self.now_at = max(self.now_at, due_at)

    def _wait_for_room(self, most: int) -> None:
        self._answered_at = sorted(at for at in self._answered_at if at > self.now_at)
        if len(self._answered_at) >= most:
            self.now_at = self._answered_at[-most]

    def _end(self) -> None:
        while self._ends_at and self._ends_at[0] <= self.now_at:
            self._ends_at.popleft()
            self.limiter.ended()


def client(text: str, begins_at: float = BEGINS_AT) -> Client:
    pace = advice(identity(text), "startBuild").pace
    assert pace is not None
    limiter = limiter_for(text)
    one = Client(limiter, pace, begins_at)
    if "starts=empty" in text:
        decide(limiter, begins_at)
        one.rest(pace.rest_s)
    return one


@pytest.mark.parametrize("text", [*RATED, *CAPPED])
def test_client_that_follows_the_advice_is_never_refused(text: str) -> None:
    for begins_at in (BEGINS_AT, 5000.0):  # at any point of a window
        one = client(text, begins_at)
        one.steady(REQUESTS)
        assert (one.sent, one.refused) == (REQUESTS, 0)


@pytest.mark.parametrize("text", [*RATED, *CAPPED])
def test_advised_bursts_are_accepted(text: str) -> None:
    one = client(text)
    assert one.pace.burst is not None
    one.rest(one.pace.rest_s)
    for _ in range(math.ceil(REQUESTS / (one.pace.burst + 3))):
        for _ in range(one.pace.burst):
            one.send()
            one.rest(1e-6)  # no two arrive at the very same moment
        one.rest(one.pace.after_s)
        one.steady(3)
        one.rest(one.pace.rest_s)
    assert one.refused == 0


@pytest.mark.parametrize("text", sorted(set(RATED) - COARSE))
def test_client_that_is_a_third_faster_is_refused(text: str) -> None:
    one = client(text.replace("+builds:4", ""))
    one.pace = replace(one.pace, spacing_s=one.pace.spacing_s / 1.3)
    one.steady(REQUESTS)
    assert one.refused


@pytest.mark.parametrize("text", CAPPED)
def test_one_more_at_once_than_advised_is_refused(text: str) -> None:
    one = client(text)
    more = {name: count + 1 for name in ("at_once", "in_flight") if (count := getattr(one.pace, name)) is not None}
    one.pace = replace(one.pace, **more)
    one.steady(REQUESTS)
    assert one.refused


@pytest.mark.parametrize("polls", [False, True])
@pytest.mark.parametrize("text", RATED)
def test_advised_wait_after_a_refusal_is_enough(text: str, polls: bool) -> None:
    """Polls during the wait are refused, and extend it only if the advice warns of them."""
    pace, limiter, now_at = client(text).pace, limiter_for(text), BEGINS_AT
    assert pace.free_s is not None
    while decide(limiter, now_at)[0]:
        now_at += 1e-6
    for _ in range(4):
        limiter.ended()
    steps = range(1, 51) if polls else (50,)
    accepted = [decide(limiter, now_at + pace.free_s * step / 50)[0] for step in steps]
    assert any(accepted) is not (polls and pace.harmful) or text == "sliding-log:5/1+fixed-window:20/10"
