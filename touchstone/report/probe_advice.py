"""The settings of a client that is never refused, from what a probe found; pure."""

from dataclasses import dataclass, replace
from itertools import chain

from touchstone.facts.identity import Identity, Interval, Tier
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


def _lines(found: Advice, identity: Identity, what: str) -> list[str]:
    from touchstone.report import html  # noqa: PLC0415 - which needs all views

    text = (
        html.environment()
        .get_template("probe_advice.txt.j2")
        .render(
            pace=found.pace,
            identity=identity,
            what=what,
            retry_after=found.retry_after,
            families=["+".join(map(describe_family, name.split("+"))) for name in found.families],
            cost=describe_cost(identity.cost),
            rate=describe_rate,
        )
    )
    return [line for line in text.splitlines() if line]


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
