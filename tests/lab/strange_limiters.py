"""Limiters in the spirit of real services, in virtual time; none is one of the families of the twin."""

import math
import random
from dataclasses import dataclass, field

# Whether a start is accepted, the delay of its answer, and the wait that a refusal announces.
Decision = tuple[bool, float, float | None]
YES: Decision = (True, 0.0, None)


def no(wait_s: float | None = None) -> Decision:
    """A refusal; it announces the wait in whole seconds, rounded up."""
    return False, 0.0, None if wait_s is None else float(math.ceil(wait_s))


class Stranger:
    """A limiter of one key; this one accepts everything. Times never decrease."""

    def decide(self, at: float) -> Decision:
        """Accepts or refuses a start, and counts it."""
        return YES

    def ended(self, at: float) -> None:
        """Handles the end of a build that was accepted, mostly by a cancel."""


class Chain(Stranger):
    """Limiters in a row. The first one that refuses a start ends the row; those before it have counted the start."""

    def __init__(self, *parts: Stranger) -> None:
        self.parts, self.refused = parts, [0] * len(parts)

    def decide(self, at: float) -> Decision:
        delay_s = 0.0
        for number, part in enumerate(self.parts):
            decision = part.decide(at)
            if not decision[0]:
                self.refused[number] += 1
                return decision
            delay_s += decision[1]
        return True, delay_s, None

    def ended(self, at: float) -> None:
        for part in self.parts:
            part.ended(at)


@dataclass
class Window(Stranger):
    """A count per window, which the first start opens or the clock.

    Attributes:
        jitter: Spread of the length of a window, as a share of it.
        least: The limit of each window is drawn between this and the limit.
        costs: Units that the end of a build counts, besides the 1 of its start.
        hard: Beyond the limit, up to so many are accepted, each with probability *share*, and delayed *later_s* more.
        ban_s: After a refusal all is refused for so long, then twice as long, and so on.
        forgives_s: So long after the end of a ban the next one is as short as the first.
    """

    limit: int
    window_s: float
    clock: bool = False
    jitter: float = 0.0
    least: int = 0
    costs: int = 0
    hard: int = 0
    share: float = 1.0
    later_s: float = 0.0
    ban_s: float = 0.0
    forgives_s: float = 0.0
    seed: int = 0
    count: int = 0
    most: int = 0
    strikes: int = 0
    closes_at: float = -math.inf
    banned_to: float = -math.inf

    def __post_init__(self) -> None:
        """Begins."""
        self.chance = random.Random(self.seed)

    def _roll(self, at: float) -> None:
        if at >= self.closes_at:
            lasts_s = self.window_s * (1 + self.chance.gauss(0, self.jitter))
            self.closes_at = (at // self.window_s + 1) * self.window_s if self.clock else at + lasts_s
            self.count, self.most = 0, self.chance.randint(self.least, self.limit) if self.least else self.limit

    def decide(self, at: float) -> Decision:
        self._roll(at)
        extra = self.count + 1 - self.most
        if at >= self.banned_to and (
            extra <= 0 or (self.count < self.hard and (self.share == 1 or self.chance.random() < self.share))
        ):
            self.count += 1
            return True, max(0, extra) * self.later_s, None
        if self.ban_s and at >= self.banned_to:
            self.strikes = 0 if at > self.banned_to + self.forgives_s else self.strikes + 1
            self.banned_to = at + self.ban_s * 2**self.strikes
        return no(max(self.closes_at, self.banned_to) - at)

    def ended(self, at: float) -> None:
        self._roll(at)
        self.count += self.costs


@dataclass
class Log(Stranger):
    """A log of the last *window_s* seconds.

    Attributes:
        half: What a refused start counts.
        early: From this share of the limit on, starts are refused by chance, the more the fuller it is.
        skew_s: Spread of the clocks of those that decide; the waits that they announce are wrong as well.
        jitter: Spread of how long a start counts, as a share of *window_s*.
    """

    limit: int
    window_s: float
    half: float = 0.0
    early: float = 1.0
    skew_s: float = 0.0
    jitter: float = 0.0
    seed: int = 0
    log: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begins."""
        self.chance = random.Random(self.seed)

    def decide(self, at: float) -> Decision:
        now_at = at + self.chance.gauss(0, self.skew_s)
        self.log = [one for one in self.log if one[0] > now_at]
        count, ends_at = sum(weight for _, weight in self.log), now_at + self.window_s
        ends_at += self.window_s * self.jitter * self.chance.uniform(-1, 1)
        full = (count / self.limit - self.early) / (1 - self.early) if self.early < 1 else 0.0
        if count + 1 > self.limit or self.chance.random() < full:
            self.log += [(ends_at, self.half)] if self.half else []
            wait_s = min((one[0] for one in self.log), default=now_at) - now_at
            return no(wait_s * self.chance.uniform(0.5, 1.1) if self.skew_s else wait_s)
        self.log.append((ends_at, 1.0))
        return YES


class SubBuckets(Stranger):
    """A rolling window of ten counts, each of a tenth of the window by the clock."""

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit, self.step_s, self.counts = limit, window_s / 10, dict[int, int]()

    def decide(self, at: float) -> Decision:
        now = int(at / self.step_s)
        self.counts = {number: count for number, count in self.counts.items() if number > now - 10}
        if sum(self.counts.values()) >= self.limit:
            return no((min(self.counts) + 10) * self.step_s - at)
        self.counts[now] = self.counts.get(now, 0) + 1
        return YES


@dataclass
class Ticking(Stranger):
    """A bucket that gains *batch* tokens each *tick_s*, from a moment by chance on; *jitter*: spread of the ticks."""

    size: int
    batch: int
    tick_s: float
    jitter: float
    seed: int

    def __post_init__(self) -> None:
        """Begins."""
        self.chance, self.tokens, self.next_at = random.Random(self.seed), self.size, 0.0

    def decide(self, at: float) -> Decision:
        self.next_at = self.next_at or at + self.chance.random() * self.tick_s
        while self.next_at <= at:
            self.tokens = min(self.size, self.tokens + self.batch)
            self.next_at += self.tick_s * (1 + self.jitter * self.chance.uniform(-1, 1))
        if not self.tokens:
            return no(self.next_at - at)
        self.tokens -= 1
        return YES


@dataclass
class WarmUp(Stranger):
    """A bucket that fills at half the rate for the first *warm_s*, and so again after *idle_s* without starts."""

    per_s: float
    size: float
    warm_s: float
    idle_s: float
    tokens: float = 0.0
    cold_at: float = -math.inf
    last_at: float = -math.inf

    def decide(self, at: float) -> Decision:
        if at - self.last_at > self.idle_s:
            self.cold_at, self.last_at, self.tokens = at, at, self.size
        cold_s = max(0.0, min(at, self.cold_at + self.warm_s) - self.last_at)
        self.tokens = min(self.size, self.tokens + self.per_s * (at - self.last_at - cold_s / 2))
        self.last_at = at
        accepted = self.tokens >= 1
        self.tokens -= accepted
        return YES if accepted else no((1 - self.tokens) / self.per_s)


@dataclass
class LimitReq(Stranger):
    """``limit_req`` of nginx with ``nodelay``: counts in thousandths of a request and whole milliseconds."""

    per_s: float
    burst: int
    excess: int = 0
    last_ms: int = 0

    def decide(self, at: float) -> Decision:
        now_ms = int(at * 1000)
        excess = max(0, self.excess - int(self.per_s * (now_ms - self.last_ms)) + 1000) if self.last_ms else 0
        if excess > 1000 * self.burst:
            return no()
        self.excess, self.last_ms = excess, now_ms
        return YES


@dataclass
class Busy(Stranger):
    """At most *limit* at once. Each takes *takes_s*, more or less by *jitter*; *waits*: the answer comes at the end."""

    limit: int
    takes_s: float
    waits: bool
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Begins."""
        self.chance, self.ends_at = random.Random(self.seed), list[float]()

    def decide(self, at: float) -> Decision:
        self.ends_at = [one for one in self.ends_at if one > at]
        if len(self.ends_at) >= self.limit:
            return no()
        takes_s = self.takes_s * (1 + self.jitter * self.chance.uniform(-1, 1))
        self.ends_at.append(at + takes_s)
        return True, takes_s if self.waits else 0.0, None


@dataclass
class Builds(Stranger):
    """A cap on running builds. One that ended frees its place *settle_s* later.

    Attributes:
        least: With it the cap adapts: a refusal halves it, down to this, at most once a second; builds that end raise
            it slowly up to the limit.
    """

    limit: int
    settle_s: float = 0.0
    least: int = 0

    def __post_init__(self) -> None:
        """Begins."""
        self.running, self.cap, self.cut_at, self.frees_at = 0, float(self.limit), 0.0, list[float]()

    def decide(self, at: float) -> Decision:
        self.running -= sum(one <= at for one in self.frees_at)
        self.frees_at = [one for one in self.frees_at if one > at]
        if self.running < int(self.cap):
            self.running += 1
            return YES
        if self.least and at > self.cut_at + 1.0:
            self.cap, self.cut_at = max(float(self.least), self.cap / 2), at
        return no()

    def ended(self, at: float) -> None:
        self.frees_at.append(at + self.settle_s)
        self.cap = min(float(self.limit), self.cap + 1 / self.cap)


class Moody(Stranger):
    """Refuses a *share* of all starts by chance."""

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.chance = share, random.Random(seed)

    def decide(self, at: float) -> Decision:
        return no(1.0) if self.chance.random() < self.share else YES
