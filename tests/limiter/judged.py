"""What a probe found, judged against the text that the limiter was built from; pure."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.limiting import Limited, decide
from touchstone.errors import UsageError
from touchstone.facts.identity import Cost, Identity, Interval, Tier
from touchstone.twin import RateLimit
from touchstone.twin.limits import FAMILIES

# From this probability of a family on, or where it says that it is sure, a probe counts as confident.
CONFIDENT = 0.99
# A time that is off by more than this share of itself belongs to another limiter.
OTHER_BY = 0.1

Reading = tuple[RateLimit, ...]
_OPTIONS = ("opens", "refused", "rule", "starts", "tick_s", "early", "block_s")
_STORIES, _BURSTS = 6, 30
# Pauses are up to so many windows long.
_PAUSES = (0.1, 0.5, 1.0, 2.5)


@dataclass(frozen=True, slots=True)
class Time:
    """A window, a gap, a block or a rate: the share of the true one by which it is off, whether its interval has it."""

    name: str
    error: float
    covered: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """What is right of an identity.

    Attributes:
        family: Whether each tier has the right family.
        variant: Whether each tier has the right options too, or others that let the same through.
        exact: Whether all limits, bursts and caps are right.
        times: All of its times, where the family is right.
        misled: Whether it claims with confidence what is wrong: the family; or, where it is sure, a count, or a time by
            more than OTHER_BY.
        readable: Whether each of its texts, those that are alike included, is one that a twin takes.
    """

    family: bool
    variant: bool
    exact: bool
    times: tuple[Time, ...]
    misled: bool
    readable: bool = True

    @property
    def error(self) -> float:
        """The largest error of a time; 0 where there is none."""
        return max((time.error for time in self.times), default=0.0)


@dataclass(frozen=True, slots=True)
class Spent:
    """What an identity cost: requests over the limit and 5 more, refusals beyond a tenth of it, seconds over the
    longest time in which a tier gives its limit anew; None where no tier has a time.
    """

    requests: float
    refused: float
    windows: float | None


def judge(text: str, identity: Identity) -> Judged:
    """Compares an identity with the text of the limiter that was asked."""
    true = RateLimit.parse(text)
    tiers = identity.tiers or (Tier("none", "none"),)
    found = [rate for tier in tiers if (rate := _read(tier.text))]
    others = [_read(text) for text in identity.alike]
    readable = len(found) == len(tiers) and None not in others
    if fitting := [reading for reading in readings(true) if _families(reading) == _families(found)]:
        whole = next((reading for reading in fitting if _exact(reading, tiers)), fitting[0])
        variant = all(_same_options(mine, other) for mine, other in zip(whole, found, strict=True))
        return _judged(identity, variant, _exact(whole, tiers), tuple(_times(whole, tiers)), readable)
    if true in others:
        return _judged(identity, True, True, (), readable)
    return Judged(False, False, False, (), confident(identity), readable)


def _read(text: str) -> RateLimit | None:
    try:
        return RateLimit.parse(text)
    except UsageError:
        return None


def _judged(identity: Identity, variant: bool, exact: bool, times: tuple[Time, ...], readable: bool) -> Judged:
    far = any(time.error > OTHER_BY for time in times)
    return Judged(True, variant, exact, times, identity.sure and (not exact or far), readable)


def confident(identity: Identity) -> bool:
    """Whether it claims to know the family."""
    return identity.sure or (bool(identity.families) and identity.families[0].probability > CONFIDENT)


def spent(text: str, cost: Cost) -> Spent:
    """What an identity cost, by the numbers of the true limiter."""
    tiers = RateLimit.parse(text).tiers
    limit = sum(map(_holds, tiers))
    longest_s = max((_given_anew_s(tier) for tier in tiers), default=0.0)
    windows = cost.seconds / longest_s if longest_s else None
    return Spent(cost.requests / (limit + 5), cost.refused - 0.1 * limit, windows)


def _holds(tier: RateLimit) -> int:
    if tier.family == "token-bucket":
        return int(tier.options.get("burst", tier.limit))
    return tier.options.get("burst", 0) + 1 if tier.family == "leaky-bucket" else tier.limit


def _given_anew_s(tier: RateLimit) -> float:
    if tier.family in ("token-bucket", "leaky-bucket"):
        return _holds(tier) * tier.window_s / tier.limit
    return tier.window_s


def readings(true: RateLimit) -> Iterator[Reading]:
    """A limiter as its text has it, and in all other ways that let the same through at the same times."""
    for order in itertools.permutations(true.tiers):
        yield from itertools.product(*map(_spellings, order))


def _spellings(tier: RateLimit) -> list[RateLimit]:
    gap_s, burst = _gap_s(tier), tier.options.get("burst", tier.limit)
    rate, others = f"{tier.limit}/{tier.window_s!r}", set(tier.options) - {"burst"}
    texts: list[str] = []
    if gap_s is not None:
        families = ("fixed-window", "sliding-log", "token-bucket", "leaky-bucket")
        texts = [f"minimum-gap:{gap_s!r}", *(f"{family}:1/{gap_s!r}" for family in families)]
    elif tier.family == "leaky-bucket" and "burst" in tier.options and tier.options.get("delay", 0) >= burst:
        texts = [f"token-bucket:{rate},burst={burst + 1}"]
    elif tier.family == "token-bucket" and not others:
        texts = [f"leaky-bucket:{rate},burst={burst - 1},delay={burst - 1}"]
    elif tier.family == "token-bucket" and others == {"tick_s"}:
        # Where each tick fills it, the ticks are windows.
        tick_s = tier.options["tick_s"]
        texts = [f"{burst}/{tick_s!r},opens=clock"] if tier.limit * tick_s / tier.window_s >= burst else []
    return [tier, *map(RateLimit.parse, texts)]


def _gap_s(tier: RateLimit) -> float | None:
    """The gap that a limiter asks for between two starts, where it asks for nothing else."""
    is_plain = set(tier.options) <= {"burst"}
    if is_plain and tier.family in ("token-bucket", "leaky-bucket") and _holds(tier) == 1:
        return tier.window_s / tier.limit
    is_gap = tier.family in ("minimum-gap", "fixed-window", "sliding-log") and tier.limit == 1
    return tier.window_s if is_plain and is_gap else None


def _families(reading: Sequence[RateLimit]) -> tuple[str, ...]:
    return tuple(tier.family for tier in reading)


def _counts(tier: RateLimit) -> Mapping[str, int]:
    if tier.family in ("none", "minimum-gap"):
        return {}
    if tier.family == "token-bucket":
        return {"burst": _holds(tier)}
    if tier.family == "leaky-bucket":
        return {name: tier.options.get(name, 0) for name in ("burst", "delay")}
    return {"limit": tier.limit}


def _exact(reading: Reading, tiers: Sequence[Tier]) -> bool:
    none = Interval(0.0, 0.0, 0.0)
    return all(
        found.numbers.get(name, none).value == count
        for tier, found in zip(reading, tiers, strict=True)
        for name, count in _counts(tier).items()
    )


def _times(reading: Reading, tiers: Sequence[Tier]) -> Iterator[Time]:
    for tier, found in zip(reading, tiers, strict=True):
        for name, true in _true_times(tier):
            if name in found.numbers:
                number = found.numbers[name]
                yield Time(name, abs(number.value / true - 1), number.low <= true <= number.high)


def _true_times(tier: RateLimit) -> Iterator[tuple[str, float]]:
    if tier.family == "minimum-gap":
        yield "gap_s", tier.window_s
    elif tier.family in ("token-bucket", "leaky-bucket"):
        yield "rate_per_s", tier.limit / tier.window_s
    elif tier.window_s:
        yield "window_s", tier.window_s
    if "block_s" in tier.options:
        yield "block_s", tier.options["block_s"]


def _same_options(mine: RateLimit, other: RateLimit) -> bool:
    """Whether the other's options make of these numbers a limiter that lets the same through."""
    known = [FAMILIES[mine.family].argument(name) for name in FAMILIES[mine.family].options]
    options = {name: value for name, value in other.options.items() if name in _OPTIONS and name in known}
    options |= {name: value for name, value in mine.options.items() if name not in _OPTIONS}
    if "block_s" in mine.options and "block_s" in other.options:
        options["block_s"] = mine.options["block_s"]
    odd = replace(mine, options=options)
    return odd == mine or alike(odd, mine)


def alike(one: RateLimit, other: RateLimit) -> bool:
    """Whether two limiters answer the same to many bursts with pauses between them, some refused in part."""
    most = max(_holds(one), 1)
    for number in range(_STORIES):
        chance = random.Random(number)
        pauses_s = [one.window_s * chance.choice(_PAUSES) * chance.random() for _ in range(_BURSTS)]
        bursts = [[pause_s] + [0.001 * one.window_s] * chance.randint(0, most) for pause_s in pauses_s]
        gaps_s = list(itertools.chain.from_iterable(bursts))
        if _answers(one, gaps_s) != _answers(other, gaps_s):
            return False
    return True


def _answers(rate: RateLimit, gaps_s: Sequence[float]) -> list[tuple[bool, float]]:
    limiter, answers = Limited(rate), []
    for at in itertools.accumulate(gaps_s, initial=1000.0):
        accepted, delay_s = decide(limiter, at)
        answers.append((accepted, round(delay_s, 6)))
    return answers
