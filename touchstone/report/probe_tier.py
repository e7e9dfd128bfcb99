"""What the text of a limiter says, number by number, with the intervals that a probe found for them; pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from touchstone.facts.identity import Interval, Tier

# What a number is called in a text as an option, and by a probe.
_OPTIONS = {
    "burst": "burst",
    "block": "block_s",
    "tick": "tick_s",
    "early": "early",
    "delay": "delay",
    "takes": "takes_s",
}
_FLOWS = ("token-bucket", "leaky-bucket")
_CAPS = ("concurrency", "builds")


@dataclass(frozen=True, slots=True)
class Reading:
    """One limiter, read.

    Attributes:
        numbers: Each of its numbers: the value is that of the text, the ends are those of the probe where it has any.
        options: Its options that are words, such as ``{"opens": "clock"}``.
        measured: The numbers that the probe has an interval of.
    """

    family: str
    numbers: Mapping[str, Interval]
    options: Mapping[str, str]
    measured: frozenset[str] = frozenset()

    def value(self, name: str) -> float:
        """A number as the text has it."""
        return self.numbers[name].value

    def low(self, name: str) -> float:
        """The least that it may be."""
        return self.numbers[name].low

    def high(self, name: str) -> float:
        """The most that it may be."""
        return self.numbers[name].high

    def says(self, option: str, word: str) -> bool:
        """Whether an option has this value."""
        return self.options.get(option) == word


def readings(tiers: tuple[Tier, ...]) -> tuple[Reading, ...]:
    """What the tiers of a probe say."""
    return tuple(_reading(tier.text, tier.numbers, tier.options) for tier in tiers)


def readings_of(text: str) -> tuple[Reading, ...]:
    """What a text says, which may have two tiers; nothing of ``none``. No number of it has an interval."""
    return tuple(_reading(part, {}, {}) for part in text.split("+") if part not in ("", "none"))


def _reading(text: str, found: Mapping[str, Interval], options: Mapping[str, str]) -> Reading:
    head, *rest = text.split(",")
    family, colon, shown = head.partition(":")
    if not colon:
        family, shown = "fixed-window", head
    told = dict(option.split("=", 1) for option in rest)
    values = _values(family, shown)
    values |= {_OPTIONS[name]: float(value) for name, value in told.items() if name in _OPTIONS}
    if family == "token-bucket":
        values.setdefault("burst", values["limit"])
    elif family == "leaky-bucket":
        values = {"burst": 0.0, "delay": 0.0} | values
    words = {name: value for name, value in {**options, **told}.items() if name not in _OPTIONS}
    numbers = {name: _around(value, found.get(name)) for name, value in values.items()}
    measured = frozenset(found)
    if family in _FLOWS and "rate_per_s" not in found:
        numbers["rate_per_s"] = _rate(numbers)
        measured |= {"rate_per_s"} if {"limit", "window_s"} <= measured else set()
    return Reading(family, numbers, words, measured)


def _values(family: str, shown: str) -> dict[str, float]:
    first, _, second = shown.partition("/")
    if family == "minimum-gap":
        return {"gap_s": float(first)}
    if family in _CAPS:
        return {"limit": float(first)}
    values = {"limit": float(first), "window_s": float(second)}
    return values | {"rate_per_s": values["limit"] / values["window_s"]} if family in _FLOWS else values


def _around(value: float, found: Interval | None) -> Interval:
    return Interval(value, min(found.low, value), max(found.high, value)) if found else Interval(value, value, value)


def _rate(numbers: Mapping[str, Interval]) -> Interval:
    """A rate from the limit and the window, where the probe told those."""
    limit, window = numbers["limit"], numbers["window_s"]
    return Interval(limit.value / window.value, limit.low / window.high, limit.high / window.low)
