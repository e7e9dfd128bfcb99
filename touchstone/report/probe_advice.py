"""The settings of a client that is never refused, from what a probe found; pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

from touchstone.facts.identity import Identity
from touchstone.facts.wording import brief, plural
from touchstone.report.probe_pace import Pace, pace
from touchstone.report.probe_tier import Reading, readings, readings_of
from touchstone.report.probe_words import cost_words, family_words, measured_rate, noun

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
    lines: tuple[str, ...]


def advice(identity: Identity, operation: str) -> Advice:
    """What a client should do, going by what is known of the limiter."""
    chains = _chains(identity)
    paces = [reduce(Pace.also, map(pace, chain)) for chain in chains]
    safest = _shared(reduce(Pace.also, paces), identity.others_share.high) if paces else None
    families = tuple(dict.fromkeys("+".join(tier.family for tier in chain) for chain in chains))
    rate_per_s = 1 / safest.spacing_s if safest and safest.spacing_s else None
    retry_after = not any("retry-after" in finding.lower() for finding in identity.findings)
    found = Advice(safest, rate_per_s, families, retry_after, ())
    return replace(found, lines=tuple(_lines(found, identity, noun(operation), chains)))


def _chains(identity: Identity) -> list[tuple[Reading, ...]]:
    """Every limiter that it may be: the one that was found, or all that are likely where none stands out."""
    found = [readings(identity.tiers), *map(readings_of, identity.alike)]
    if not identity.sure:
        found += [readings_of(one.text) for one in identity.families if one.probability >= _LIKELY]
    return [chain for chain in found if chain]


def _shared(found: Pace, others_share: float) -> Pace:
    """The pace beside somebody else who takes a part of what there is."""
    left = 1 - min(max(others_share, 0.0), 0.95)
    burst = None if found.burst is None else max(math.floor(found.burst * left + 1e-9), 1)
    return replace(
        found, spacing_s=found.spacing_s / left, burst=burst, rest_s=found.rest_s / left, after_s=found.after_s / left
    )


def _lines(found: Advice, identity: Identity, what: str, chains: list[tuple[Reading, ...]]) -> Iterator[str]:
    if found.pace is None:
        yield _nothing(identity, what)
        return
    if len(found.families) > 1 and not identity.sure:
        names = ", ".join("+".join(map(family_words, name.split("+"))) for name in found.families)
        yield f"not settled: this is safe with each that is still likely: {names}"
    yield from _sending(found.pace, what)
    if any(tier.says("starts", "empty") for chain in chains for tier in chain):
        begins = "begins" if identity.sure else "may begin"
        yield f"a new account {begins} with nothing: its first {what} is refused{'' if identity.sure else ' then'}"
    yield from _refused(found, what, chains)
    if identity.others_share.high > 0:
        yield "others take a part of what the limiter gives; that is allowed for as far as this run saw it"


def _nothing(identity: Identity, what: str) -> str:
    if not identity.unlimited_to:
        return "nothing is known of the limiter, so nothing can be advised"
    met = f"no limit was met by {plural(identity.unlimited_to, what)} ({cost_words(identity.cost)})"
    return f"{met}; nothing is known beyond"


def _sending(found: Pace, what: str) -> Iterator[str]:
    if found.spacing_s:
        yield f"send one {what} each {brief(found.spacing_s)}: {measured_rate(1 / found.spacing_s, what)}"
        if found.burst and found.burst > 1:
            after = f"then go on after {brief(found.after_s)}"
            yield f"or up to {plural(found.burst, what)} at once after {brief(found.rest_s)} without any; {after}"
        else:
            yield f"never send two {what}s at once"
    if found.at_once is not None:
        yield f"have at most {plural(found.at_once, 'request')} under way; send the next one when one is answered"
    if found.in_flight is not None:
        yield f"have at most {plural(found.in_flight, 'build')} in flight; start the next one when one reads as ended"


def _refused(found: Advice, what: str, chains: list[tuple[Reading, ...]]) -> Iterator[str]:
    waits, safest = [], found.pace
    assert safest is not None
    if safest.free_s is not None:
        waits.append(f"{brief(safest.free_s)} without sending any {what}")
    waits += ["until one under way is answered"] if safest.at_once is not None else []
    waits += ["until a build has ended"] if safest.in_flight is not None else []
    yield f"after a 429 wait {' and '.join(waits)}; then one is let through"
    if any("block_s" in tier.numbers for chain in chains for tier in chain):
        yield "the first one refused shuts all: it costs more than waiting would"
    if safest.harmful:
        yield "do not try earlier: a request that is refused counts, and makes the wait longer"
    else:
        yield "trying earlier does no harm, but is no use"
    if found.retry_after:
        yield "Retry-After: nothing that was found speaks against it; where one is longer, wait so long"
    else:
        yield "Retry-After: do not rely on it, it disagrees with how the limiter behaves"
