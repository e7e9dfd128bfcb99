"""What is advised to clients, tried on the limiters of the twin in a time of its own."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.report.identities import around, identity
from touchstone.facts.identity import Runner
from touchstone.limiter.pace import Pace
from touchstone.report.probe_view import advice
from touchstone.twin import RateLimit, decide, limiter_for
from touchstone.twin.limits import Limiter

REQUESTS = 200
BEGINS_AT = 1000.37  # somewhere in a window of the clock
BUILD_S = 1.7

RATED = (
    "fixed-window:8/4",
    "fixed-window:1/2",
    "fixed-window:100/60,opens=clock",
    "fixed-window:5/10,block=30",
    "fixed-window:6/3,refused=restart",
    "sliding-log:8/4",
    "sliding-log:10/60",
    "sliding-log:5/2,refused=count",
    "sliding-log:1/1",
    "sliding-counter:8/4",
    "sliding-counter:2/4",
    "sliding-counter:30/60,opens=first",
    "sliding-counter:10/10,refused=count",
    "sliding-counter:8/4,rule=below",
    "decaying-counter:8/4",
    "decaying-counter:2/3",
    "token-bucket:10/60,burst=5",
    "token-bucket:8/4",
    "token-bucket:1/1",
    "token-bucket:3/1,burst=12,starts=empty",
    "token-bucket:4/2,burst=9,tick=1",
    "token-bucket:1/4,burst=1,tick=3",
    "token-bucket:2/1,burst=6,early=0.5",
    "minimum-gap:2",
    "minimum-gap:0.05",
    "leaky-bucket:8/4",
    "leaky-bucket:5/1,burst=10",
    "leaky-bucket:5/1,burst=10,delay=4",
    "sliding-log:5/1+fixed-window:20/10",
    "token-bucket:50/10,burst=20+minimum-gap:0.1",
    "token-bucket:10/60,burst=5+builds:4",
)
CAPPED = ("concurrency:4,takes=0.5", "concurrency:1,takes=2", "builds:4", "builds:1")
FRUGAL = {"token-bucket:1/4,burst=1,tick=3"}  # a bucket of one token that comes in steps


@dataclass
class Client:
    """Sends requests that are spaced and capped as it is told, in virtual time."""

    limiter: Limiter
    pace: Pace
    now_at: float = BEGINS_AT
    refused: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        self._answered_at: list[float] = []
        self._ends_at: deque[float] = deque()

    def send(self) -> None:
        """Sends one as soon as there is room."""
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
        """Sends nothing for a while."""
        self.now_at += seconds

    def steady(self, count: int) -> None:
        """Sends one after the other."""
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
            self.limiter.ended(self._ends_at.popleft())


def client(text: str, begins_at: float = BEGINS_AT) -> Client:
    """A client that does as it is advised."""
    pace = advice(identity(text), "startBuild").pace
    assert pace is not None
    limiter = limiter_for(RateLimit.parse(text))
    made = Client(limiter, pace, begins_at)
    if "starts=empty" in text:
        decide(limiter, begins_at)
        made.rest(pace.rest_s)
    return made


def most_per_s(text: str) -> float:
    """What a client is let through that knows to the moment when it is its turn."""
    limiter, now_at, taken_at = limiter_for(RateLimit.parse(text.replace("+builds:4", ""))), BEGINS_AT, []
    limiter.refuse(now_at)  # what begins empty begins here
    for _ in range(4 * REQUESTS):
        while (wait_s := limiter.wait_s(now_at)) > 0:
            now_at += max(wait_s, 1e-7)
        limiter.take(now_at)
        taken_at.append(now_at)
    return 2 * REQUESTS / (taken_at[-1] - taken_at[2 * REQUESTS - 1])


@pytest.mark.parametrize("text", [*RATED, *CAPPED])
def test_client_that_does_as_advised_is_never_refused(text: str) -> None:
    """Two hundred requests at the advised pace are all let through, wherever in a window they begin."""
    for begins_at in (BEGINS_AT, 5000.0, 77.999):
        one = client(text, begins_at)
        one.steady(REQUESTS)
        assert (one.sent, one.refused) == (REQUESTS, 0)


@pytest.mark.parametrize("text", [*RATED, *CAPPED])
def test_bursts_that_are_advised_are_let_through(text: str) -> None:
    """A burst after a rest is let through, and so is what follows it at the advised pace."""
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


@pytest.mark.parametrize("text", sorted(set(RATED) - FRUGAL))
def test_advice_costs_little_of_what_the_limiter_gives(text: str) -> None:
    """The advised pace is at least 80 % of what the limiter lets through in the long run."""
    pace = client(text).pace
    assert 1 / pace.spacing_s >= 0.8 * most_per_s(text)


@pytest.mark.parametrize("text", sorted(set(RATED) - FRUGAL))
def test_going_a_third_faster_is_refused(text: str) -> None:
    """The advice is no more careful than it has to be: 1.3 times its rate does not go well for long."""
    one = client(text.replace("+builds:4", ""))
    one.pace = replace(one.pace, spacing_s=one.pace.spacing_s / 1.3)
    one.steady(REQUESTS)
    assert one.refused


@pytest.mark.parametrize("text", CAPPED)
def test_one_more_at_once_than_advised_is_refused(text: str) -> None:
    """The advised number at once is all that there is room for."""
    one = client(text)
    more = {name: count + 1 for name in ("at_once", "in_flight") if (count := getattr(one.pace, name)) is not None}
    one.pace = replace(one.pace, **more)
    one.steady(REQUESTS)
    assert one.refused


def refused_at(text: str) -> tuple[Limiter, float, Callable[[float], bool]]:
    """A limiter that has just refused one, when, and how it is asked."""
    limiter = limiter_for(RateLimit.parse(text))
    now_at = BEGINS_AT
    while decide(limiter, now_at)[0]:
        now_at += 1e-6
    return limiter, now_at, lambda at: decide(limiter, at)[0]


@pytest.mark.parametrize("text", RATED)
def test_after_a_refusal_the_advised_wait_is_enough(text: str) -> None:
    """One that comes after the advised wait is let through, where nothing came meanwhile."""
    pace = client(text).pace
    assert pace.free_s is not None
    limiter, now_at, ask = refused_at(text)
    for _ in range(4):
        limiter.ended(now_at)
    assert ask(now_at + pace.free_s)


@pytest.mark.parametrize("text", [text for text in RATED if text != "sliding-log:5/1+fixed-window:20/10"])
def test_polling_is_harmful_exactly_where_it_is_called_so(text: str) -> None:
    """Where a client is told that trying earlier makes the wait longer, it does, and nowhere else."""
    pace = client(text).pace
    assert pace.free_s is not None
    limiter, now_at, ask = refused_at(text)
    for _ in range(4):
        limiter.ended(now_at)
    let_in = [ask(now_at + pace.free_s * step / 50) for step in range(1, 51)]
    assert any(let_in) is not pace.harmful


def test_unsettled_probe_advises_what_is_safe_with_all_that_is_likely() -> None:
    """The advice is the more careful of two limiters that are both still likely; the unlikely third is not minded."""
    runners = (
        Runner("token-bucket", 0.6, "token-bucket:8/4"),
        Runner("sliding-log", 0.395, "sliding-log:6/4,refused=count"),
        Runner("minimum-gap", 0.005, "minimum-gap:100"),
    )
    found = advice(identity("token-bucket:8/4", sure=False, families=runners), "startBuild")
    assert found.pace is not None
    assert (found.pace.burst, found.pace.harmful) == (6, True)
    assert 4 / 6 < found.pace.spacing_s < 1
    assert found.lines[0] == "not settled: this is safe with each that is still likely: token bucket, sliding log"


def test_share_of_others_is_left_to_them() -> None:
    """Where others may take half, half the rate and half the burst is left."""
    alone = advice(identity("token-bucket:8/4"), "startBuild").pace
    beside = advice(identity("token-bucket:8/4", others_share=around(0.4, 0.25)), "startBuild").pace
    assert alone
    assert beside
    assert beside.burst == 4
    assert beside.spacing_s == pytest.approx(2 * alone.spacing_s)


def test_wide_interval_makes_the_advice_more_careful() -> None:
    """The rate that is advised comes from the low end of the interval."""
    sure = identity("token-bucket:8/4")
    numbers = {**sure.tiers[0].numbers, "rate_per_s": around(2.0, 0.2)}
    vague = replace(sure, tiers=(replace(sure.tiers[0], numbers=numbers),))
    found = advice(vague, "startBuild")
    assert found.rate_per_s == pytest.approx(1.6 / 1.02)


def test_no_limiter_is_told_as_none() -> None:
    """Where nothing was refused, how far that goes is all that is said."""
    found = advice(identity("none"), "getBuild")
    assert found.pace is None
    assert found.lines == ("no limit was met by 400 reads (43 requests, 61 s); nothing is known beyond",)


def test_advice_reads_as_sentences() -> None:
    """A bucket with a cap beside it is told line by line."""
    assert advice(identity("token-bucket:10/60,burst=5+builds:4"), "startBuild").lines == (
        "send one build each 6.14 s: 9.76 builds a minute",
        "or up to 4 builds at once after 30.7 s without any; then go on after 6.14 s",
        "have at most 4 builds in flight; start the next one when one reads as ended",
        "after a 429 wait 6.14 s without sending any build and until a build has ended; then one is let through",
        "trying earlier does no harm, but is no use",
        "Retry-After: nothing that was found speaks against it; where one is longer, wait so long",
    )


def test_finding_about_retry_after_makes_it_not_to_be_trusted() -> None:
    """An answer's own word is not advised where a finding says that it is wrong."""
    found = advice(identity("sliding-log:8/4", findings=("Retry-After says 1 s, but it takes 4 s",)), "startBuild")
    assert not found.retry_after
    assert found.lines[-1] == "Retry-After: do not rely on it, it disagrees with how the limiter behaves"


@pytest.mark.parametrize(
    "text", ["sliding-log:9/2,refused=count+minimum-gap:1", "minimum-gap:1+sliding-log:9/2,refused=count"]
)
def test_advice_on_two_tiers_holds_for_both(text: str) -> None:
    """In whatever order they are told, the more careful setting of each counts."""
    pace = advice(identity(text), "startBuild").pace
    assert pace
    assert (pace.burst, pace.harmful) == (1, True)
    assert pace.spacing_s > 1
    assert pace.free_s
    assert pace.free_s > 2


def test_rate_of_which_nothing_is_known_is_advised_all_the_same() -> None:
    """An interval that reaches down to 0 makes the advice slow, and nothing fails."""
    vague = identity("token-bucket:8/4").tiers[0]
    vague = replace(vague, numbers={**vague.numbers, "rate_per_s": around(2.0, 1.0)})
    found = advice(replace(identity("token-bucket:8/4"), tiers=(vague,)), "startBuild")
    assert found.rate_per_s == pytest.approx(0.04 / 1.02)
