"""The text that names a rate limit, such as ``token-bucket:8/4,burst=16``: read, checked and written."""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, Literal, get_args

from touchstone.errors import UsageError

Family = Literal[
    "none",
    "fixed-window",
    "sliding-log",
    "sliding-counter",
    "decaying-counter",
    "token-bucket",
    "minimum-gap",
    "leaky-bucket",
    "concurrency",
    "builds",
]
FAMILIES: tuple[str, ...] = get_args(Family)
FORM = "[FAMILY:]LIMIT/SECONDS[,OPTION=VALUE], for example 8/4 or token-bucket:8/4,burst=16"

# The forms of which the numbers are not LIMIT/SECONDS, with what is expected there.
_GAP, _COUNTS, _NONE = "minimum-gap", ("concurrency", "builds"), "none"
_MOST_TIERS = 2
# A count that decays is never 0 again: with a limit of 1 only one start would ever be let through.
_LEAST_DECAYING = 2
_OTHER_FORMS: Mapping[str, str] = {
    _NONE: "none, which has no numbers and no options",
    _GAP: "minimum-gap:SECONDS with more than 0 seconds, e.g. minimum-gap:2",
    "concurrency": "concurrency:N[,takes=SECONDS] with N at least 1, e.g. concurrency:4,takes=0.5",
    "builds": "builds:N with N at least 1, e.g. builds:4",
}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit on build starts per account. An option that has its usual value reads None.

    Attributes:
        limit: Starts per window, at least 1; of ``concurrency`` and ``builds``, those at once; 0 for ``none``.
        window_s: Length of the window, or of the gap, in seconds, above 0; 0 where the family has none.
        family: How starts are counted.
        burst: Size of a ``token-bucket``, usually *limit*; places in the queue of a ``leaky-bucket``, usually 0.
        opens: What opens a window: its ``first`` start (usual for ``fixed-window``), or the ``clock`` (usual for
            ``sliding-counter``), at multiples of its length.
        block_s: Seconds for which the first refused start shuts a ``fixed-window``; a fresh window follows.
        refused: What a refused start does, usually nothing: it is counted (``count``), or opens the full window anew
            (``restart``).
        rule: ``below`` where a start is let through while the sum without it is below *limit*.
        starts: ``empty`` where a bucket is empty when it meets its first start.
        tick_s: Seconds of a clock at whose whole multiples tokens are added; usually they are without steps.
        early: The share of a token that a start may lack, from 0 to below 1.
        delay: Starts in the queue of a ``leaky-bucket`` that do not wait, usually 0.
        takes_s: Seconds that each start takes to be answered, usually 0.
        also: The other tier, where a start has to pass two.
    """

    limit: int
    window_s: float
    family: Family = "fixed-window"
    burst: int | None = None
    opens: Literal["first", "clock"] | None = None
    block_s: float | None = None
    refused: Literal["count", "restart"] | None = None
    rule: Literal["below"] | None = None
    starts: Literal["empty"] | None = None
    tick_s: float | None = None
    early: float | None = None
    delay: int | None = None
    takes_s: float | None = None
    also: "RateLimit | None" = None

    def __post_init__(self) -> None:
        """Drops options with their usual values, so that equal limits are equal."""
        for name, option in OPTIONS[self.family].items():
            usual = self.limit if (self.family, name) == ("token-bucket", "burst") else option.usual
            if usual is not None and getattr(self, option.field) == usual:
                object.__setattr__(self, option.field, None)

    @property
    def tiers(self) -> tuple["RateLimit", ...]:
        """The tiers in the order of the text, each by itself."""
        alone = replace(self, also=None)
        return (alone,) if self.also is None else (alone, *self.also.tiers)

    def __str__(self) -> str:
        """The shortest text that is read as this limit and names its family."""
        return "+".join(_text(tier) for tier in self.tiers)

    @classmethod
    def parse(cls, text: str, where: str = "rate") -> "RateLimit":
        """Reads the text form of a limit.

        Args:
            text: ``[FAMILY:]LIMIT/SECONDS[,OPTION=VALUE …]``, or one of the other forms of a family; two of them are
                joined with ``+``.
            where: What the message calls the place that the text comes from, such as ``--rate``.

        Raises:
            UsageError: the text has another form, names an unknown family or option, or a value is out of range.
        """
        parts = text.strip().split("+")
        tiers = [_tier(part.strip(), where) for part in parts]
        if len(tiers) > 1 and any(tier.family == _NONE for tier in tiers):
            raise UsageError(f"{where}: found {_NONE!r} in {text!r}; expected two limits; leave {_NONE!r} out")
        if len(tiers) > _MOST_TIERS:
            raise UsageError(f"{where}: found {len(tiers)} tiers in {text!r}; expected one, or two joined with +")
        return replace(tiers[0], also=tiers[1]) if len(tiers) > 1 else tiers[0]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of one family.

    Attributes:
        field: The attribute of RateLimit that holds it.
        expected: What a message says of it.
        read: Makes its value from a text; None where the text is none.
        usual: The value that stands for no option; None where there is none.
        words: All values, where they are words.
    """

    field: str
    expected: str
    read: Callable[[str], object]
    usual: object = None
    words: tuple[str, ...] = ()


def _words(name: str, *words: str, usual: str | None = None) -> Option:
    expected = " or ".join(f"{name}={word}" for word in words)
    return Option(name, expected, lambda text: text if text in words else None, usual, words)


def _count(name: str, least: int, usual: int | None = None) -> Option:
    def read(text: str) -> int | None:
        return int(text) if text.isdecimal() and int(text) >= least else None

    return Option(name, f"{name}=N with N at least {least}, e.g. {name}=16", read, usual)


def _seconds(name: str, usual: float | None = None) -> Option:
    def read(text: str) -> float | None:
        value = _decimal(text)
        return value if 0 < value < math.inf or value == usual else None

    least = "more than 0" if usual is None else "0 or more"
    return Option(f"{name}_s", f"{name}=SECONDS with {least} seconds, e.g. {name}=0.5", read, usual)


def _share(name: str) -> Option:
    def read(text: str) -> float | None:
        value = _decimal(text)
        return value if 0 <= value < 1 else None

    return Option(name, f"{name}=SHARE with a share of a token from 0 to below 1, e.g. {name}=0.5", read, 0.0)


def _decimal(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "none": {},
    "fixed-window": {
        "opens": _words("opens", "first", "clock", usual="first"),
        "block": _seconds("block"),
        "refused": _words("refused", "restart"),
    },
    "sliding-log": {"refused": _words("refused", "count")},
    "sliding-counter": {
        "opens": _words("opens", "first", "clock", usual="clock"),
        "refused": _words("refused", "count"),
        "rule": _words("rule", "below"),
    },
    "decaying-counter": {},
    "token-bucket": {
        "burst": _count("burst", 1),
        "starts": _words("starts", "empty"),
        "tick": _seconds("tick"),
        "early": _share("early"),
    },
    "minimum-gap": {},
    "leaky-bucket": {"burst": _count("burst", 0, usual=0), "delay": _count("delay", 0, usual=0)},
    "concurrency": {"takes": _seconds("takes", usual=0.0)},
    "builds": {},
}


def _tier(text: str, where: str) -> RateLimit:
    head, *options = text.split(",")
    name, colon, numbers = head.partition(":")
    if not colon and ("/" in head or not head[:1].isalpha()):
        name, numbers = "fixed-window", head
    family = _family(name.strip(), where)
    limit, window_s = _numbers(family, numbers, bool(colon), text, where)
    values: dict[str, Any] = {}
    for option in options:
        field, value = _option(family, option, text, where)
        if field in values:
            raise UsageError(f"{where}: found {option!r} in {text!r}; expected each option once; keep one of the two")
        values[field] = value
    rate = RateLimit(limit, window_s, family, **values)
    if rate.refused == "restart" and (rate.block_s is not None or rate.opens == "clock"):
        other = "opens=clock" if rate.opens == "clock" else "block"
        raise UsageError(
            f"{where}: found refused=restart and {other} in {text!r}; "
            "expected one of the two, since a window that restarts has no other opening; leave one out"
        )
    return rate


def _family(name: str, where: str) -> Family:
    for family in get_args(Family):
        if name == family:
            return family  # type: ignore[no-any-return]  # get_args() is untyped; the loop makes it one of them
    near = difflib.get_close_matches(name, FAMILIES, n=1, cutoff=0)[0]
    known = ", ".join(FAMILIES)
    raise UsageError(f"{where}: unknown family {name!r}; expected one of {known}; did you mean {near}?")


def _numbers(family: Family, numbers: str, given: bool, text: str, where: str) -> tuple[int, float]:
    wrong = UsageError(f"{where}: found {text!r}; expected {_OTHER_FORMS.get(family, FORM)}")
    if family == _NONE:
        if given:
            raise wrong
        return 0, 0.0
    starts, _, window = ("1", "/", numbers) if family == _GAP else numbers.partition("/")
    try:
        limit = int(starts)
        window_s = float(window) if window or family not in _COUNTS else math.nan
    except ValueError:
        raise wrong from None
    if family in _COUNTS:
        if limit < 1 or "/" in numbers:
            raise wrong
        return limit, 0.0
    if limit < 1 or not 0 < window_s < math.inf:
        least = "at least 1 start and more than 0 seconds, e.g. 1/1"
        raise wrong if family == _GAP else UsageError(f"{where}: found {text!r}; expected {least}")
    if family == "decaying-counter" and limit < _LEAST_DECAYING:
        least = "at least 2 starts, since a count that decays is never 0 again, e.g. decaying-counter:2/1"
        raise UsageError(f"{where}: found {text!r}; expected {least}")
    return limit, window_s


def _option(family: Family, option: str, text: str, where: str) -> tuple[str, object]:
    name, _, value = (part.strip() for part in option.partition("="))
    known = OPTIONS[family]
    if name in known:
        read = known[name].read(value)
        if read is None:
            words = difflib.get_close_matches(value, known[name].words, n=1, cutoff=0)
            meant = f"; did you mean {words[0]}?" if words else ""
            raise UsageError(f"{where}: found {option!r} in {text!r}; expected {known[name].expected}{meant}")
        return known[name].field, read
    having = [other for other, options in OPTIONS.items() if name in options]
    if having:
        raise UsageError(
            f"{where}: found {option!r} in {text!r}; only {' and '.join(having)} may have {name!r}; leave it out"
        )
    if not known:
        raise UsageError(f"{where}: found {option!r} in {text!r}; expected no option, as {family} has none")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
    expected = "; ".join(each.expected for each in known.values())
    raise UsageError(f"{where}: found {option!r} in {text!r}; expected {expected}; did you mean {near}?")


def _text(tier: RateLimit) -> str:
    if tier.family == _NONE:
        return _NONE
    numbers = f"{tier.limit}/{_shortest(tier.window_s)}"
    if tier.family == _GAP:
        numbers = _shortest(tier.window_s)
    elif tier.family in _COUNTS:
        numbers = str(tier.limit)
    held = {field.name: getattr(tier, field.name) for field in fields(tier)}
    chosen = {name: held[option.field] for name, option in OPTIONS[tier.family].items()}
    options = [f",{name}={_shortest(value)}" for name, value in chosen.items() if value is not None]
    return f"{tier.family}:{numbers}{''.join(options)}"


def _shortest(value: float | str) -> str:
    if isinstance(value, str):
        return value
    text = format(Decimal(repr(value)), "f")  # no exponent: its sign would part two tiers
    return text.rstrip("0").rstrip(".") if "." in text else text
