"""Rate limiters for build starts, and their text form, such as ``token-bucket:8/4,burst=16``."""

import contextlib
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

from touchstone.errors import UsageError, nearest

# The shortest wait that a limiter reports while it rejects starts; floats cannot express epoch seconds more finely.
GRAIN_S = 1e-6


class Limiter:
    """Base class of rate limiters for one account: it accepts all starts. Callers pass times that never decrease."""

    def wait_s(self, now_at: float) -> float:
        """Returns the seconds until a start would be accepted; changes no state."""
        return 0.0

    def delay_s(self, now_at: float) -> float:
        """Returns the delay, in seconds, of the response to a start that is accepted now; changes no state."""
        return 0.0

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        """Counts one accepted start; *delay_s*: delay of its response in seconds, caused by all limiters together."""

    def refuse(self, now_at: float) -> None:
        """Handles a start that this limiter, or one combined with it, rejected. Most limiters ignore such starts."""


def accept(limiter: Limiter, now_at: float) -> float:
    """Counts one accepted start; returns the delay of its response in seconds."""
    delay_s = limiter.delay_s(now_at)
    limiter.take(now_at, delay_s)
    return delay_s


def window_of(now_at: float, window_s: float) -> int:
    """Returns the window number n with n * *window_s* ≤ *now_at* < (n + 1) * *window_s*, in spite of rounding."""
    number = math.floor(now_at / window_s)
    if number * window_s > now_at:
        return number - 1
    return number + 1 if (number + 1) * window_s <= now_at else number


def _left_s(due_at: float, now_at: float) -> float:
    """Returns the seconds until *due_at*, or 0 if the difference is only a rounding error."""
    return due_at - now_at if due_at - now_at > GRAIN_S else 0.0


@dataclass(eq=False)
class FixedWindow(Limiter):
    """At most *limit* starts in a window of *window_s* seconds."""

    limit: int
    window_s: float
    opens: str = "first"  # ``first``: a start opens a window; ``clock``: windows begin at multiples of *window_s*
    block_s: float | None = None  # after the first rejected start, all starts are rejected for this time
    refused: str = ""  # ``restart``: each rejected start prolongs the full window to *window_s* from now
    _closes_at: float = field(default=-math.inf, init=False)
    _shut_until_at: float = field(default=-math.inf, init=False)
    _taken: int = field(default=0, init=False)

    def wait_s(self, now_at: float) -> float:
        if now_at < self._shut_until_at:
            return self._shut_until_at - now_at
        is_full = now_at < self._closes_at and self._taken >= self.limit
        return self._closes_at - now_at if is_full else 0.0

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        if now_at >= self._closes_at:
            self._closes_at, self._taken = now_at + self.window_s, 0
            if self.opens == "clock":
                self._closes_at = (window_of(now_at, self.window_s) + 1) * self.window_s
        self._taken += 1

    def refuse(self, now_at: float) -> None:
        if now_at < self._shut_until_at or self.wait_s(now_at) <= 0:
            return
        if self.block_s is not None:
            self._shut_until_at, self._closes_at = now_at + self.block_s, -math.inf
        elif self.refused == "restart":
            self._closes_at = now_at + self.window_s


class SlidingLog(Limiter):
    """At most *limit* starts in any *window_s* seconds; ``refused="count"`` counts rejected starts as well."""

    def __init__(self, limit: int, window_s: float, refused: str = "") -> None:
        self._window_s, self._refused = window_s, refused
        self._expires_at = deque([-math.inf] * limit, maxlen=limit)

    def wait_s(self, now_at: float) -> float:
        return max(0.0, self._expires_at[0] - now_at)

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        self._expires_at.append(now_at + self._window_s)

    def refuse(self, now_at: float) -> None:
        if self._refused == "count":
            self.take(now_at)


@dataclass(eq=False)
class SlidingCounter(Limiter):
    """Counts the starts of the current window, plus a share of the starts of the previous window.

    The share is the part of the previous window that lies in the last *window_s* seconds.
    """

    limit: int
    window_s: float
    opens: str = "clock"  # ``first``: the first start after two idle windows opens a window
    refused: str = ""  # ``count``: rejected starts count as well
    rule: str = ""  # ``below``: accepts if the sum is below *limit*; by default, if sum + 1 is at most *limit*
    # Windows are numbered from this time, so that rounding does not shift their edges.
    _origin_at: float = field(default=0.0, init=False)
    _window: int = field(default=0, init=False)
    _before: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.opens == "first":
            self._origin_at = -math.inf

    def _rolled(self, now_at: float) -> tuple[float, int, int, int]:
        """Returns the origin, the window number at *now_at*, and the starts of the previous and of this window."""
        if self._origin_at == -math.inf:
            return now_at, 0, 0, 0
        window = window_of(now_at - self._origin_at, self.window_s)
        if window == self._window:
            return self._origin_at, window, self._before, self._taken
        if window == self._window + 1:
            return self._origin_at, window, self._taken, 0
        return (now_at, 0, 0, 0) if self.opens == "first" else (self._origin_at, window, 0, 0)

    def wait_s(self, now_at: float) -> float:
        origin_at, window, before, taken = self._rolled(now_at)
        opened_at, is_below = origin_at + window * self.window_s, self.rule == "below"
        total = before * (1 - (now_at - opened_at) / self.window_s) + taken
        if total < self.limit if is_below else total + 1 <= self.limit:
            return 0.0
        most = self.limit if is_below else self.limit - 1
        if taken > most or (taken == most and (is_below or not before)):
            # No start fits into this window any more.
            opened_at, before, taken = opened_at + self.window_s, taken, 0
        share_out = max(0.0, 1 - (most - taken) / before)
        return max(GRAIN_S, opened_at + share_out * self.window_s - now_at)

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        self._origin_at, self._window, self._before, self._taken = self._rolled(now_at)
        self._taken += 1

    def refuse(self, now_at: float) -> None:
        if self.refused == "count":
            self.take(now_at)


class TokenBucket(Limiter):
    """A bucket of *burst* tokens that gains *limit* tokens per *window_s* seconds; `_full_at`: when it is full."""

    def __init__(
        self,
        limit: int,
        window_s: float,
        burst: int | None = None,
        starts: str = "",  # ``empty``: the bucket is empty when the first start arrives
        tick_s: float | None = None,  # tokens are added only at multiples of this time
        early: float = 0.0,  # part of a token that may be missing when a start is accepted
    ) -> None:
        size = limit if burst is None else burst
        self._token_s = window_s / limit
        self._size_s, self._depth_s = size * self._token_s, (size - 1 + early) * self._token_s
        self._tick_s = tick_s
        self._full_at: float | None = None if starts == "empty" else -math.inf

    def _last_tick_at(self, now_at: float) -> float:
        return now_at if self._tick_s is None else window_of(now_at, self._tick_s) * self._tick_s

    def _due_at(self, now_at: float) -> float:
        return self._last_tick_at(now_at) + self._size_s if self._full_at is None else self._full_at

    def wait_s(self, now_at: float) -> float:
        due_at = self._due_at(now_at) - self._depth_s
        # Without `_left_s`, a rounding error could delay a token by a whole tick.
        if self._tick_s is None or not _left_s(due_at, self._last_tick_at(now_at)):
            return _left_s(due_at, self._last_tick_at(now_at))
        tick = max(window_of(now_at, self._tick_s) + 1, math.ceil((due_at - GRAIN_S) / self._tick_s))
        return tick * self._tick_s - now_at

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        self._full_at = max(self._due_at(now_at), self._last_tick_at(now_at)) + self._token_s

    def refuse(self, now_at: float) -> None:
        """Lets a bucket that is empty at first fill from the first start on, even if this start is rejected."""
        self._full_at = self._due_at(now_at)


class LeakyBucket(TokenBucket):
    """Accepts one start per *window_s* / *limit* seconds, and up to *burst* starts that come too early.

    The first *delay* early starts get their responses at once; the responses to the others wait for their turn.
    Source: nginx, ngx_http_limit_req_module, ``limit_req … burst= delay=``.
    """

    def __init__(self, limit: int, window_s: float, burst: int = 0, delay: int = 0) -> None:
        super().__init__(limit, window_s, burst + 1)
        self._spared_s = delay * self._token_s

    def delay_s(self, now_at: float) -> float:
        return _left_s(self._due_at(now_at) - self._spared_s, now_at)


@dataclass(eq=False)
class Concurrency(Limiter):
    """At most *limit* starts at the same time; the response to each start takes *takes_s* seconds."""

    limit: int
    window_s: float
    takes_s: float = 0.0
    _ends_at: list[float] = field(default_factory=list, init=False)

    def wait_s(self, now_at: float) -> float:
        left_s = sorted(ends_at - now_at for ends_at in self._ends_at if ends_at > now_at)
        return left_s[-self.limit] if len(left_s) >= self.limit else 0.0

    def delay_s(self, now_at: float) -> float:
        return self.takes_s

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        self._ends_at = [ends_at for ends_at in self._ends_at if ends_at > now_at] + [now_at + delay_s]


@dataclass(eq=False)
class Tiers(Limiter):
    """Combined limiters (tiers). A start counts only if all accept it; each limiter handles every rejected start."""

    tiers: Sequence[Limiter]

    def wait_s(self, now_at: float) -> float:
        return max(tier.wait_s(now_at) for tier in self.tiers)

    def delay_s(self, now_at: float) -> float:
        return sum(tier.delay_s(now_at) for tier in self.tiers)

    def take(self, now_at: float, delay_s: float = 0.0) -> None:
        for tier in self.tiers:
            tier.take(now_at, delay_s)

    def refuse(self, now_at: float) -> None:
        for tier in self.tiers:
            tier.refuse(now_at)


FORM = (
    "[FAMILY:]LIMIT/SECONDS[,OPTION=VALUE] with at least 1 start and more than 0 seconds, "
    "for example 8/4 or token-bucket:8/4,burst=16"
)
# Kinds of numeric options: type, check of a value, and description for messages.
_NUMBERS: Mapping[str, tuple[type[int] | type[float], Callable[[float], bool], str]] = {
    "SECONDS": (float, lambda value: 0 < value < math.inf, "SECONDS with more than 0 seconds, e.g. {}=0.5"),
    "SECONDS OR 0": (float, lambda value: 0 <= value < math.inf, "SECONDS with 0 or more seconds, e.g. {}=0.5"),
    "N": (int, lambda value: value >= 1, "N with N at least 1, e.g. {}=16"),
    "N OR 0": (int, lambda value: value >= 0, "N with N at least 0, e.g. {}=16"),
    "SHARE": (float, lambda value: 0 <= value < 1, "SHARE with a share of a token from 0 to below 1, e.g. {}=0.5"),
}


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of limiter and its text form."""

    limiter: Callable[..., Limiter]
    options: Mapping[str, str] = field(default_factory=dict)  # by option: a key of _NUMBERS, or choices separated by |
    form: str = FORM
    numbers: str = "LIMIT/SECONDS"  # what follows the name and its colon

    def argument(self, option: str) -> str:
        """Returns the name of the constructor argument that an option sets."""
        return f"{option}_s" if self.options[option].startswith("SECONDS") else option


FAMILIES: Mapping[str, Family] = {
    "none": Family(lambda *_: Limiter(), form="none, which has no numbers and no options", numbers=""),
    "fixed-window": Family(FixedWindow, {"opens": "first|clock", "block": "SECONDS", "refused": "restart"}),
    "sliding-log": Family(SlidingLog, {"refused": "count"}),
    "sliding-counter": Family(SlidingCounter, {"opens": "first|clock", "refused": "count", "rule": "below"}),
    "token-bucket": Family(TokenBucket, {"burst": "N", "starts": "empty", "tick": "SECONDS", "early": "SHARE"}),
    "minimum-gap": Family(
        SlidingLog, form="minimum-gap:SECONDS with more than 0 seconds, e.g. minimum-gap:2", numbers="SECONDS"
    ),
    "leaky-bucket": Family(LeakyBucket, {"burst": "N OR 0", "delay": "N OR 0"}),
    "concurrency": Family(
        Concurrency,
        {"takes": "SECONDS OR 0"},
        form="concurrency:N[,takes=SECONDS] with N at least 1, e.g. concurrency:4,takes=0.5",
        numbers="LIMIT",
    ),
    "builds": Family(lambda *_: Limiter(), form="builds:N with N at least 1, e.g. builds:4", numbers="LIMIT"),
}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A rate limit on the build starts of an account."""

    limit: int  # starts per window; for ``concurrency`` and ``builds``, starts or builds at once; 0 for ``none``
    window_s: float  # seconds above 0; 0 for a family without a window
    family: str = "fixed-window"
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)  # constructor arguments without the defaults
    also: "RateLimit | None" = None  # a second limit that holds at the same time

    @property
    def tiers(self) -> tuple["RateLimit", ...]:
        """Returns the combined limits (tiers), each on its own, in the order of the text form."""
        alone = replace(self, also=None)
        return (alone,) if self.also is None else (alone, *self.also.tiers)

    @classmethod
    def parse(cls, text: str, where: str = "rate") -> "RateLimit":
        """Parses one of the forms of FAMILIES, or two joined with ``+``; raises a UsageError for any other text."""
        tiers = [_tier(part.strip(), where) for part in text.strip().split("+")]
        if len(tiers) > 1 and any(tier.family == "none" for tier in tiers):
            raise UsageError(f"{where}: found 'none' in {text!r}; expected two limits; leave 'none' out")
        if len(tiers) > 2:
            raise UsageError(f"{where}: found {len(tiers)} tiers in {text!r}; expected one, or two joined with +")
        return replace(tiers[0], also=tiers[1]) if len(tiers) > 1 else tiers[0]


def limiter_of(tiers: Sequence[RateLimit]) -> Limiter:
    """Returns a new limiter for one account; without *tiers*, it accepts all starts. It ignores caps on builds."""
    limiters = [FAMILIES[tier.family].limiter(tier.limit, tier.window_s, **tier.options) for tier in tiers]
    return Tiers(limiters) if len(limiters) > 1 else limiters[0] if limiters else Limiter()


def parted(rate: RateLimit | None) -> tuple[list[RateLimit], int | None]:
    """Splits a limit into its limits on starts and its cap on running builds (None if it has no cap)."""
    tiers = rate.tiers if rate is not None else ()
    caps = [tier.limit for tier in tiers if tier.family == "builds"]
    return [tier for tier in tiers if tier.family != "builds"], min(caps, default=None)


def _tier(text: str, where: str) -> RateLimit:
    head, *parts = text.split(",")
    name, colon, numbers = head.partition(":")
    if not colon and ("/" in head or not head[:1].isalpha()):
        name, numbers = "fixed-window", head
    name = name.strip()
    if name not in FAMILIES:
        raise UsageError(f"{where}: unknown family {name!r}; {nearest(name, FAMILIES)}")
    family = FAMILIES[name]
    try:
        limit, window_s = _numbers(family, numbers if colon or name == "fixed-window" else "")
    except ValueError:
        raise UsageError(f"{where}: found {text!r}; expected {family.form}") from None
    options: dict[str, Any] = {}
    for part in parts:
        option, value = _option(name, part, text, where)
        if option in options:
            raise UsageError(f"{where}: found {part!r} in {text!r}; expected each option once; keep one of the two")
        options[option] = value
    if options.get("refused") == "restart" and ("block" in options or options.get("opens") == "clock"):
        other = "opens=clock" if options.get("opens") == "clock" else "block"
        raise UsageError(f"{where}: found refused=restart and {other} in {text!r}; expected only one; leave one out")
    defaults = {name: each.default for name, each in signature(family.limiter).parameters.items()}
    if name == "token-bucket":
        defaults["burst"] = limit
    arguments = {family.argument(option): options[option] for option in family.options if option in options}
    changed = {key: value for key, value in arguments.items() if value != defaults[key]}
    return RateLimit(limit, window_s, name, changed)


def _numbers(family: Family, text: str) -> tuple[int, float]:
    if not family.numbers:
        if text:
            raise ValueError(text)
        return 0, 0.0
    limit, window = {"LIMIT/SECONDS": text.split("/"), "SECONDS": ["1", text], "LIMIT": [text, "1"]}[family.numbers]
    if int(limit) < 1 or not 0 < float(window) < math.inf:
        raise ValueError(text)
    return int(limit), float(window) if "SECONDS" in family.numbers else 0.0


def _option(family: str, part: str, text: str, where: str) -> tuple[str, object]:
    name, _, value = (piece.strip() for piece in part.partition("="))
    found, known = f"{where}: found {part!r} in {text!r}", FAMILIES[family].options
    if name not in known:
        if having := [other for other, each in FAMILIES.items() if name in each.options]:
            raise UsageError(f"{found}; only {' and '.join(having)} may have {name!r}; leave it out")
        raise UsageError(f"{found}; {family} has no such option; {nearest(name, known)}")
    values = known[name]
    if values in _NUMBERS:
        kind, fits, _ = _NUMBERS[values]
        with contextlib.suppress(ValueError):
            if fits(number := kind(value)):
                return name, number
    elif value in values.split("|"):
        return name, value
    words = [_NUMBERS[values][2].format(name)] if values in _NUMBERS else values.split("|")
    raise UsageError(f"{found}; expected {' or '.join(f'{name}={word}' for word in words)}")
