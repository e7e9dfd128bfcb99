"""What a probe found in words: its limiters with their numbers, read from their text and the intervals of a probe."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from touchstone.facts.identity import Cost, Identity, Interval, Runner, Tier
from touchstone.facts.wording import brief, chance_words, figure, percentage, plural

_NOUNS = {"startBuild": "build", "getBuild": "read", "getTemplate": "read", "cancelBuild": "cancel"}
_UNITS = (("a second", 1.0), ("a minute", 60.0), ("an hour", 3600.0), ("a day", 86400.0))
_HARDLY = 0.0005  # a share below which a number is told without an interval
_NARROW = 0.1  # an interval that is narrower than this share may be told by any number in it
_LARGE = 10_000  # from here on only a number of one digit and noughts reads as a round one
_NEAR = 0.0008  # a number is as good as a round one that is nearer than this share
_SHOWN = 0.01  # families that are less likely are told together

_UNANSWERED = "nothing is known: no request was answered"

WHY_WORDS = {
    "": "still going on",
    "settled": "settled",
    "nothing left to learn": "no request would tell more",
    "budget": "budget spent",
    "interrupted": "interrupted",
}
# What a number is called in a text as an option, and by a probe.
_OPTIONS = {"block": "block_s", "tick": "tick_s", "takes": "takes_s"} | {
    name: name for name in ("burst", "early", "delay")
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
    family, colon, numerals = head.partition(":")
    if not colon:
        family, numerals = "fixed-window", head
    given = dict(option.split("=", 1) for option in rest)
    values = _values(family, numerals)
    values |= {_OPTIONS[name]: float(value) for name, value in given.items() if name in _OPTIONS}
    if family == "token-bucket":
        values.setdefault("burst", values["limit"])
    elif family == "leaky-bucket":
        values = {"burst": 0.0, "delay": 0.0} | values
    flags = {name: value for name, value in {**options, **given}.items() if name not in _OPTIONS}
    numbers = {name: _around(value, found.get(name)) for name, value in values.items()}
    measured = frozenset(found)
    if family in _FLOWS and "rate_per_s" not in found:
        numbers["rate_per_s"] = _quotient(numbers)
        measured |= {"rate_per_s"} if {"limit", "window_s"} <= measured else set()
    return Reading(family, numbers, flags, measured)


def _values(family: str, numerals: str) -> dict[str, float]:
    first, _, second = numerals.partition("/")
    if family == "minimum-gap":
        return {"gap_s": float(first)}
    if family in _CAPS:
        return {"limit": float(first)}
    values = {"limit": float(first), "window_s": float(second)}
    return values | {"rate_per_s": values["limit"] / values["window_s"]} if family in _FLOWS else values


def _around(value: float, found: Interval | None) -> Interval:
    return Interval(value, min(found.low, value), max(found.high, value)) if found else Interval(value, value, value)


def _quotient(numbers: Mapping[str, Interval]) -> Interval:
    """A rate from the limit and the window, where the probe told those."""
    limit, window = numbers["limit"], numbers["window_s"]
    return Interval(limit.value / window.value, limit.low / window.high, limit.high / window.low)


def noun(operation: str) -> str:
    """What one request of an operation is called, such as ``build``."""
    return _NOUNS.get(operation, "request")


def describe_family(family: str) -> str:
    """A family in words, such as ``token bucket``."""
    return {"builds": "cap on builds in flight", "none": "no limit"}.get(family, family.replace("-", " "))


def lasting(duration_s: float) -> str:
    """A length of time in the unit that suits it: ``4 s``, ``1 min``, ``2 h``, ``1 h 30 min``, ``1 day``."""
    for unit_s, unit in ((86400.0, "day"), (3600.0, "h"), (60.0, "min")):
        count = duration_s / unit_s
        if count >= 1 and abs(count - round(count)) < 1e-9:
            return plural(round(count), unit) if unit == "day" else f"{round(count)} {unit}"
    if duration_s >= 3600:
        hours, minutes = divmod(round(duration_s / 60), 60)
        return f"{hours} h {minutes:02d} min"
    return brief(duration_s)


def describe_rate(rate_per_s: float, what: str) -> str:
    """
    A rate in the unit in which it reads well: ``10 builds a minute``, ``1 read a second``, ``5,000 reads an hour``.
    """
    return _rate(rate_per_s, *rate_unit(rate_per_s), what)


def measured_rate(rate_per_s: float, what: str) -> str:
    """A rate that nobody set, in the shortest unit in which it is at least 1: ``9.67 builds a second``.

    Whether it happens to be round in another one says nothing.
    """
    return _rate(rate_per_s, *_fitting(rate_per_s)[0], what)


def _rate(rate_per_s: float, unit: str, unit_s: float, what: str) -> str:
    number = figure(rate_per_s * unit_s)
    return f"{number} {what}{'' if number == '1' else 's'} {unit}"


def rate_unit(rate_per_s: float) -> tuple[str, float]:
    """The unit in which a rate reads well, such as ``a minute``, and its length in seconds."""
    fitting = _fitting(rate_per_s)
    return next((unit for unit in fitting if _is_round(rate_per_s * unit[1])), fitting[0])


def plain_rate(rate_per_s: Interval) -> Interval:
    """The same interval around the number in it that is the shortest to tell.

    It is told in the usual unit, unless another one takes at least two digits less.
    """
    low, value, high = rate_per_s.low, rate_per_s.value, rate_per_s.high
    found = [(*_plain(low * unit_s, value * unit_s, high * unit_s), unit_s) for _, unit_s in _fitting(value)]
    _, number, unit_s = min(found, key=lambda one: one[0] + (2 if one is not found[0] else 1))
    return Interval(number / unit_s, low, high)


def _plain(low: float, value: float, high: float) -> tuple[int, float]:
    """The shortest number that lies in an interval, near the middle of a wide one, and how many digits it has."""
    near = (high - low) / (1 if high - low <= _NARROW * value else 4)
    for digits in range(1, 9):
        number = float(f"{value:.{digits}g}")
        if abs(number - value) <= near and low <= number <= high:
            return digits, number
    return 9, value


def _fitting(rate_per_s: float) -> Sequence[tuple[str, float]]:
    return [unit for unit in _UNITS if rate_per_s * unit[1] >= 1 - _NEAR] or [_UNITS[-1]]


def _is_round(value: float) -> bool:
    near = float(f"{value:.{2 if value < _LARGE else 1}g}")
    return abs(value - near) <= _NEAR * value and (near >= 10 or abs(2 * near - round(2 * near)) < 1e-9)


def give_or_take(number: Interval) -> str:
    """How far a measured number may be off, such as `` (±0.4 %)``; empty where that is next to nothing."""
    share = max(number.high - number.value, number.value - number.low) / number.value if number.value else 0.0
    if share >= 1:  # of which nobody could make anything
        return " (hardly known)"
    return f" (±{percentage(share, 2)})" if share >= _HARDLY else ""


def whole_give_or_take(number: Interval) -> str:
    """
    How far a counted number may be off: `` (±0)``, `` (±1)``, or its ends where they are not alike: `` (5 to 8)``.
    """
    over, under = round(number.high - number.value), round(number.value - number.low)
    return f" (±{over})" if over == under else f" ({round(number.low)} to {round(number.high)})"


def stimuli(count: int) -> str:
    """So many stimuli."""
    return f"{count:,} {'stimulus' if count == 1 else 'stimuli'}"


def describe_cost(cost: Cost) -> str:
    """What was spent: ``43 requests, 61 s``."""
    return f"{plural(cost.requests, 'request')}, {brief(cost.seconds, 2)}"


def sentence(identity: Identity, operation: str) -> str:
    """What a probe found, in one sentence."""
    what, cost = noun(operation), identity.cost
    if not identity.tiers and (identity.sure or not identity.families):
        return _unlimited(identity) + ("" if identity.unlimited_to == cost.requests else f"; {describe_cost(cost)}")
    if not identity.sure:
        why = WHY_WORDS[identity.why]
        likely = describe_likely(identity.families) or describe_limiter(readings(identity.tiers), what)
        return f"not settled: {likely}; {plural(cost.requests, 'request')}: {why}"
    found = describe_limiter(readings(identity.tiers), what)
    if identity.alike:
        others = [describe_limiter(readings_of(text), what) for text in identity.alike]
        return f"{'; or '.join([found, *others])}: no request can tell them apart; {describe_cost(cost)}"
    return f"{found}; {describe_cost(cost)}"


def _unlimited(identity: Identity) -> str:
    if not identity.unlimited_to:
        return "nothing is known: it ended before it was told" if identity.cost.requests else _UNANSWERED
    first = f"no limit up to {plural(identity.unlimited_to, 'request')} in {brief(identity.cost.seconds, 2)}"
    return ", ".join([first, *describe_free(identity)])


def describe_free(identity: Identity) -> Iterable[str]:
    """What was tried without finding a cap."""
    capped = {tier.family for tier in identity.tiers}
    if identity.uncapped_to and "concurrency" not in capped:
        yield f"no cap up to {identity.uncapped_to} at once"
    if identity.holds_to and "builds" not in capped:
        yield f"no cap up to {plural(identity.holds_to, 'build')} in flight"


def describe_others(share: Interval) -> str:
    """What others take of the limit; empty where they take nothing."""
    if share.high <= 0:
        return ""
    ends = f"{percentage(share.low, 2)} to {percentage(share.high, 2)}"
    return f"others take about {percentage(share.value, 2)} of what the limiter gives ({ends})"


def describe_likely(families: Sequence[Runner]) -> str:
    """How likely each family is: ``token bucket 81 %, sliding log 17 %, others 2 %``."""
    likely = [one for one in families if one.probability >= _SHOWN] or list(families[:1])
    texts = [f"{describe_family(one.family)} {chance_words(one.probability)}" for one in likely]
    rest = sum(one.probability for one in families if one not in likely)
    return ", ".join([*texts, f"others {chance_words(rest)}"] if rest >= 0.001 else texts)


def describe_limiter(tiers: Sequence[Reading], what: str) -> str:
    """One limiter or two in words, without the numbers of a run.

    Args:
        what: What one request is called.
    """
    if not tiers:
        return "no limit"
    caps = [tier for tier in tiers if tier.family == "builds"]
    others = [tier for tier in tiers if tier.family != "builds"]
    text = "; and ".join(f"{describe_family(tier.family)}: {_WORDS[tier.family](tier, what)}" for tier in others)
    cap = " and ".join(_builds(tier, what) for tier in caps)
    if not text:
        return f"at most {cap}"
    return f"{text}, and {cap}" if cap else text


def _off(tier: Reading, name: str) -> str:
    return give_or_take(tier.numbers[name]) if name in tier.measured else ""


def _whole_off(tier: Reading, name: str) -> str:
    return whole_give_or_take(tier.numbers[name]) if name in tier.measured else ""


def _counted(tier: Reading, what: str) -> str:
    return f"{plural(round(tier.value('limit')), what)}{_whole_off(tier, 'limit')}"


def _timed(tier: Reading, name: str) -> str:
    return f"{lasting(tier.value(name))}{_off(tier, name)}"


def _builds(tier: Reading, what: str) -> str:  # noqa: ARG001  # whatever is limited, builds are what is in flight
    limit = tier.numbers["limit"]
    unsure = whole_give_or_take(limit) if limit.low < limit.high else ""
    return f"{plural(round(limit.value), 'build')} in flight{unsure}"


def _fixed_window(tier: Reading, what: str) -> str:
    opens = "on the clock" if tier.says("opens", "clock") else f"that a {what} opens"
    text = f"{_counted(tier, what)} in each window of {_timed(tier, 'window_s')} {opens}"
    if "block_s" in tier.numbers:
        return f"{text}; the first one refused shuts it for {_timed(tier, 'block_s')}"
    return f"{text}; each one refused opens it anew" if tier.says("refused", "restart") else text


def _sliding_log(tier: Reading, what: str) -> str:
    refused = ", refused ones included" if tier.says("refused", "count") else ""
    return f"{_counted(tier, what)} in any {_timed(tier, 'window_s')}{refused}"


def _sliding_counter(tier: Reading, what: str) -> str:
    opens = f"that a {what} opens" if tier.says("opens", "first") else "on the clock"
    text = f"{_counted(tier, what)} in this window of {_timed(tier, 'window_s')} {opens}, the last one weighed in"
    refused = ", refused ones included" if tier.says("refused", "count") else ""
    return f"{text}{refused}{', the one that comes not counted' if tier.says('rule', 'below') else ''}"


def _decaying(tier: Reading, what: str) -> str:
    return f"a count of up to {_counted(tier, what)} that falls to 1/e in {_timed(tier, 'window_s')}"


def _flow(tier: Reading, what: str) -> str:
    rate = tier.numbers["rate_per_s"]
    if "rate_per_s" not in tier.measured:
        return describe_rate(rate.value, what)
    rate = plain_rate(rate)
    return f"{describe_rate(rate.value, what)}{give_or_take(rate)}"


def _token_bucket(tier: Reading, what: str) -> str:
    text = f"{_flow(tier, what)}, burst {round(tier.value('burst'))}{_whole_off(tier, 'burst')}"
    text += ", empty at first" if tier.says("starts", "empty") else ""
    text += f", filled each {_timed(tier, 'tick_s')} on the clock" if "tick_s" in tier.numbers else ""
    return text + (f", of which {figure(tier.value('early'))} may be missing" if "early" in tier.numbers else "")


def _leaky_bucket(tier: Reading, what: str) -> str:
    waiting, spared = round(tier.value("burst")), round(tier.value("delay"))
    if not waiting:
        return f"{_flow(tier, what)}, none waits{_whole_off(tier, 'burst')}"
    text = f"{_flow(tier, what)}, {waiting} more wait{'s' if waiting == 1 else ''}"
    text += _whole_off(tier, "burst")
    if spared >= waiting:
        return f"{text}, answered at once"
    return f"{text}, the first {spared} of them answered at once" if spared else f"{text}, answered in turn"


def _gap(tier: Reading, what: str) -> str:
    return f"{_timed(tier, 'gap_s')} between two {what}s"


def _concurrency(tier: Reading, what: str) -> str:
    takes = f", each of which takes {_timed(tier, 'takes_s')}" if "takes_s" in tier.numbers else ""
    return f"{_counted(tier, what)} answered at once{takes}"


_WORDS: Mapping[str, Callable[[Reading, str], str]] = {
    "fixed-window": _fixed_window,
    "sliding-log": _sliding_log,
    "sliding-counter": _sliding_counter,
    "decaying-counter": _decaying,
    "token-bucket": _token_bucket,
    "leaky-bucket": _leaky_bucket,
    "minimum-gap": _gap,
    "concurrency": _concurrency,
    "builds": _builds,
}
