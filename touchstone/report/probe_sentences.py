"""Result of a probe as text: limiters with their numbers, certainty and cost."""

import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from touchstone.facts.identity import Identity, Interval, Tier
from touchstone.facts.probe import Answer
from touchstone.facts.wording import brief, figure, percentage, plural

_UNITS = {1.0: "per second", 60.0: "per minute", 3600.0: "per hour", 86400.0: "per day"}

TEXTS: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "assets" / "probe.toml").read_text("utf-8"))
_USUAL = {"fixed-window": {"opens": "first"}, "sliding-counter": {"opens": "clock"}}


def noun(operation: str) -> str:
    """Noun for a request of an operation: ``build`` or ``read``."""
    return "build" if operation == "startBuild" else "read"


def describe_family(family: str) -> str:
    """Display name of a family of limiters, such as ``token bucket``."""
    return {"builds": "cap on builds in flight", "none": "no limit"}.get(family, family.replace("-", " "))


def lasting(duration_s: float) -> str:
    """Describes a duration; in minutes, hours or days if it is a whole number of them: ``4 s``, ``2 h``, ``1 day``."""
    for unit_s, unit in ((86400.0, "day"), (3600.0, "h"), (60.0, "min")):
        count = duration_s / unit_s
        if count >= 1 and abs(count - round(count)) < 1e-9:
            return plural(round(count), unit) if unit == "day" else f"{round(count)} {unit}"
    return brief(duration_s)


def describe_rate(rate_per_s: float, what: str, unit_s: float = 0.0) -> str:
    """Describes a rate, such as ``10 builds per minute``; *unit_s* 0 means the shortest unit that gives at least 1."""
    if unit_s not in _UNITS:
        unit_s = next((unit_s for unit_s in _UNITS if rate_per_s * unit_s >= 0.9995), 86400.0)
    number = figure(rate_per_s * unit_s)
    return f"{number} {what}{'' if number == '1' else 's'} {_UNITS[unit_s]}"


def describe_numbers(tier: Tier, what: str) -> dict[str, str]:
    """Describes the numbers of a limiter, by name; prefers the numbers in the limiter's text, which are rounder."""
    first, _, second = tier.text.rpartition(":")[2].partition(",")[0].partition("/")
    unit, found = "build" if tier.family == "builds" else what, {}
    for name, number in tier.numbers.items():
        if name == "rate_per_s":
            found[name] = describe_rate(float(first) / float(second), what, float(second))
        elif name.endswith("_s"):
            written = {"gap_s": first, "window_s": second}.get(name) if "rate_per_s" not in tier.numbers else None
            found[name] = lasting(float(written or number.value))
        else:
            found[name] = plural(round(number.value), unit) if name == "limit" else f"{round(number.value)}"
    return found


def describe_limiter(tiers: Sequence[Tier], what: str) -> str:
    """Describes one or two limiters, each with its numbers and their uncertainty."""
    caps = [_describe_tier(tier, what) for tier in tiers if tier.family == "builds"]
    rates = [f"{describe_family(t.family)}: {_describe_tier(t, what)}" for t in tiers if t.family != "builds"]
    cap = " and ".join(caps)
    if not rates:
        return f"at most {cap}" if cap else "no limit"
    return "; and ".join(rates) + (f"; and at most {cap}" if cap else "")


def _describe_tier(tier: Tier, what: str) -> str:
    numbers = describe_numbers(tier, what)
    known = {name: numbers[name] + give_or_take(name, number) for name, number in tier.numbers.items()}
    text, options = TEXTS["limiters"][tier.family].format(what=what, **known), TEXTS["options"]
    for option, value in (_USUAL.get(tier.family, {}) | tier.options).items():
        text += options.get(f"{option}={value}", options.get(option, "")).format(value)
    return text


def give_or_take(name: str, number: Interval) -> str:
    """Uncertainty of a time or rate: `` (±0.4 %)``, empty below 0.05 %; of a count: `` (±1)`` or `` (4 to 6)``."""
    over, under = number.high - number.value, number.value - number.low
    if not name.endswith("_s"):
        if round(over) == round(under):
            return f" (±{round(over)})"
        return f" ({round(number.low)} to {round(number.high)})"
    share = max(over, under) / number.value if number.value else 0.0
    if share >= 1:
        return " (very uncertain)"
    return f" (±{percentage(share, 2)})" if share >= 0.0005 else ""


def describe_stimulus(name: str) -> str:
    """Describes a stimulus: ``3 spread, drain`` is three requests with pauses, then requests until one is refused."""
    parts = []
    for part in name.split(", "):
        count, _, rest = part.partition(" ")
        if count.isdigit():
            rest = "with pauses between them" if rest == "spread" else rest * (count != "1")
            part = f"{plural(int(count), 'request')} {rest}".strip()  # noqa: PLW2901
        parts.append(TEXTS["stimuli"].get(part, part))
    return ", then ".join(parts)


def describe_free(identity: Identity) -> Iterable[str]:
    """Yields a text for each cap on open requests or on builds that the probe looked for and did not find."""
    capped = {tier.family for tier in identity.tiers}
    if identity.uncapped_to and "concurrency" not in capped:
        yield f"no cap on open requests up to {identity.uncapped_to}"
    if identity.holds_to and "builds" not in capped:
        yield f"no cap on builds in flight up to {identity.holds_to}"


def describe_fields(identity: Identity, answers: Sequence[Answer]) -> Iterable[tuple[str, str, str]]:
    """Yields a row for each header field about the limit: its name, what it says, and what the limiter does."""
    numbers = identity.tiers[0].numbers if identity.tiers else {}
    pairs = {"limit": numbers.get("limit") or numbers.get("burst"), "window_s": numbers.get("window_s")}
    for name, number in pairs.items():
        if values := {answer.quota[name] for answer in answers if name in answer.quota}:
            unit = " s" if name == "window_s" else ""
            yield TEXTS["fields"][name], _ends(values, unit), figure(number.value) + unit if number else "not found"
    hinted = [number for number, answer in enumerate(answers) if answer.retry_after_s is not None]
    found = Counter(filter(None, (_after(number, answers) for number in hinted)))
    if any(tier.family in ("builds", "concurrency") for tier in identity.tiers):
        found.pop("early", None)  # the probe itself made room
    if found:
        says = _ends([answers[number].retry_after_s or 0.0 for number in hinted], " s")
        does = ", ".join(f"{count} of {found.total()} {TEXTS['waits'][what]}" for what, count in sorted(found.items()))
        yield TEXTS["fields"]["retry_after"], says, does


def _ends(values: Collection[float], unit: str) -> str:
    return " to ".join(dict.fromkeys((f"{min(values):g}{unit}", f"{max(values):g}{unit}")))


def _after(number: int, answers: Sequence[Answer]) -> str:
    """What came of a Retry-After, as in the table ``waits``; empty if no later request shows it."""
    at = answers[number].done_at
    due_at = at + (answers[number].retry_after_s or 0.0)
    later = (one for one in answers[number + 1 :] if one.sent_at > at and (one.accepted or one.sent_at >= due_at))
    first = next(later, None)
    if first is None:
        return ""
    if not first.accepted:
        return "late"
    return "early" if first.sent_at < due_at - 1.0 else "kept"
