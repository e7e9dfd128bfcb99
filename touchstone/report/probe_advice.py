"""The settings of a client that is never refused, from what a probe found; pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from touchstone.facts.identity import Identity, Interval, Tier
from touchstone.facts.wording import brief, plural
from touchstone.limiter.pace import Pace, pace
from touchstone.report.probe_sentences import describe_cost, describe_family, describe_rate, noun

_LIKELY = 0.01  # a family that is less likely than this is not minded


@dataclass(frozen=True, slots=True)
class Advice:
    """What a client should do.

    Attributes:
        pace: How it is never refused; None where nothing was ever refused, or nothing is known.
        rate_per_s: What it may send steadily; None where no rate limits it.
        families: The families for which this holds; several where the probe could not tell which one it is.
        retry_after: Whether nothing that was found speaks against the Retry-After of an answer.
        lines: All of it in words.
    """

    pace: Pace | None
    rate_per_s: float | None
    families: tuple[str, ...]
    retry_after: bool
    lines: tuple[str, ...] = ()


def advice(identity: Identity, operation: str) -> Advice:
    """What a client should do: what is safe with the limiter that was found, or with all that are likely."""
    chains = [identity.tiers] if identity.tiers else []
    if not identity.sure:
        likely = [one.text for one in identity.families if one.probability >= _LIKELY and one.text]
        chains += [tuple(map(_tier_of, text.split("+"))) for text in likely]
    safest = pace(chain.from_iterable(chains)).beside(identity.others_share.high) if chains else None
    families = tuple(dict.fromkeys("+".join(tier.family for tier in tiers) for tiers in chains))
    rate_per_s = 1 / safest.spacing_s if safest and safest.spacing_s else None
    retry_after = not any("retry-after" in finding.lower() for finding in identity.findings)
    found = Advice(safest, rate_per_s, families, retry_after)
    return replace(found, lines=tuple(_lines(found, identity, noun(operation))))


def _tier_of(text: str) -> Tier:
    """The limiter that a text such as ``token-bucket:8/4,burst=2`` describes; its numbers are taken for certain."""
    family, _, rest = text.partition(":")
    numbers, *pairs = rest.split(",")
    options = dict(pair.split("=", 1) for pair in pairs)
    first, _, second = numbers.partition("/")
    values = {"gap_s": float(first)} if family == "minimum-gap" else {"limit": float(first)}
    values |= {"window_s": float(second)} if second else {}
    values |= {"block_s": float(options["block"])} if "block" in options else {}
    if family in ("token-bucket", "leaky-bucket"):
        usual = values["limit"] if family == "token-bucket" else 0.0
        values = {"rate_per_s": values["limit"] / values["window_s"], "burst": float(options.get("burst", usual))}
    return Tier(family, text, {name: Interval(value, value, value) for name, value in values.items()}, options)


def _lines(found: Advice, identity: Identity, what: str) -> Iterator[str]:
    if found.pace is None:
        if identity.unlimited_to:
            limit = f"no limit was met by {plural(identity.unlimited_to, what)} ({describe_cost(identity.cost)})"
            yield f"{limit}; nothing is known beyond"
        else:
            yield "nothing is known of the limiter, so nothing can be advised"
        return
    if not identity.sure:
        names = ", ".join("+".join(map(describe_family, name.split("+"))) for name in found.families)
        yield f"not settled: this is safe with each that is still likely: {names}"
    yield from _sending(found.pace, what)
    if any(tier.options.get("starts") == "empty" for tier in identity.tiers):
        yield f"a new account begins with nothing: its first {what} is refused"
    yield from _refused(found.pace, what)
    if any("block_s" in tier.numbers for tier in identity.tiers):
        yield "the first one refused shuts all: it costs more than waiting would"
    if found.retry_after:
        yield "Retry-After: nothing that was found speaks against it; where one is longer, wait so long"
    else:
        yield "Retry-After: do not rely on it, it disagrees with how the limiter behaves"
    if identity.others_share.high > 0:
        yield "others take a part of what the limiter gives; that is allowed for as far as this run saw it"


def _sending(found: Pace, what: str) -> Iterator[str]:
    if found.spacing_s:
        yield f"send one {what} each {brief(found.spacing_s)}: {describe_rate(1 / found.spacing_s, what)}"
        if found.burst and found.burst > 1:
            after = f"then go on after {brief(found.after_s)}"
            yield f"or up to {plural(found.burst, what)} at once after {brief(found.rest_s)} without any; {after}"
        else:
            yield f"never send two {what}s at once"
    if found.at_once is not None:
        yield f"have at most {plural(found.at_once, 'request')} under way; send the next one when one is answered"
    if found.in_flight is not None:
        yield f"have at most {plural(found.in_flight, 'build')} in flight; start the next one when one reads as ended"


def _refused(found: Pace, what: str) -> Iterator[str]:
    waits = [f"{brief(found.free_s)} without sending any {what}"] if found.free_s is not None else []
    waits += ["until one under way is answered"] if found.at_once is not None else []
    waits += ["until a build has ended"] if found.in_flight is not None else []
    yield f"after a 429 wait {' and '.join(waits)}; then one is let through"
    if found.harmful:
        yield "do not try earlier: a request that is refused counts, and makes the wait longer"
    else:
        yield "trying earlier does no harm, but is no use"
