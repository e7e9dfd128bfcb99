"""The settings of a client that is never refused, from what a probe found; pure.

The pace of each family is proven against the limiters of the twin in tests/report/test_probe_advice.py.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce

from touchstone.facts.identity import Identity
from touchstone.facts.wording import brief, plural
from touchstone.report.probe_sentences import (
    Reading,
    describe_cost,
    describe_family,
    measured_rate,
    noun,
    readings,
    readings_of,
)

_LIKELY = 0.01  # a family that is less likely than this is not minded
# Kept off the edge of what is measured: two requests of a client do not travel equally long.
MARGIN = 1.02
# Where a limiter forgives nothing, what comes closer together than it was sent is refused: so much more, or a tenth.
JITTER_S, _JITTER_SHARE = 0.01, 0.1
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Pace:
    """How a client is never refused.

    Attributes:
        spacing_s: Seconds from one request to the next; 0 where the limiter does not count over time.
        burst: Requests that it may send at once after a rest; None for any number.
        rest_s: Seconds without a request before a burst.
        after_s: Seconds from a burst to the next request.
        free_s: Seconds after a refusal in which nothing is sent, and after which one is let through; None where that
            depends on an answer or on the end of a build.
        harmful: Whether a request that is refused makes the wait longer.
        at_once: Requests that may be under way; None for any number.
        in_flight: Builds that may be in flight; None for any number.
    """

    spacing_s: float = 0.0
    burst: int | None = None
    rest_s: float = 0.0
    after_s: float = 0.0
    free_s: float | None = None
    harmful: bool = False
    at_once: int | None = None
    in_flight: int | None = None

    def also(self, other: "Pace") -> "Pace":
        """The pace that holds for both."""
        return Pace(
            max(self.spacing_s, other.spacing_s),
            _least(self.burst, other.burst),
            max(self.rest_s, other.rest_s),
            max(self.after_s, other.after_s),
            max((wait_s for wait_s in (self.free_s, other.free_s) if wait_s is not None), default=None),
            self.harmful or other.harmful,
            _least(self.at_once, other.at_once),
            _least(self.in_flight, other.in_flight),
        )


def _least(one: int | None, other: int | None) -> int | None:
    return min((number for number in (one, other) if number is not None), default=None)


def pace(tier: Reading) -> Pace:
    """The pace that a limiter lets, from the ends of its intervals that are worse for a client."""
    return _PACES[tier.family](tier)


def _whole(tier: Reading, name: str) -> int:
    return max(math.floor(tier.low(name) + 1e-6), 1)


def _rate(tier: Reading) -> float:
    """The least rate; a probe that knows next to nothing of it may say 0."""
    return max(tier.low("rate_per_s"), tier.value("rate_per_s") * _LEAST_SHARE)


def _spaced(least_s: float, *, forgives: bool = True) -> float:
    """A spacing off the edge of the least one."""
    return least_s * MARGIN if forgives else least_s + max(min(JITTER_S, _JITTER_SHARE * least_s), 0.02 * least_s)


def _window(tier: Reading) -> Pace:
    count, window_s = _whole(tier, "limit"), tier.high("window_s")
    free_s = max(tier.high("block_s"), window_s) if "block_s" in tier.numbers else window_s
    harmful = tier.says("refused", "restart") or tier.says("refused", "count")
    spacing_s = _spaced(window_s / count, forgives=count > 1)
    rest_s = _spaced(window_s)
    return Pace(spacing_s, count, rest_s, rest_s, free_s * MARGIN, harmful)


def _sliding_counter(tier: Reading) -> Pace:
    count, window_s, harmful = _whole(tier, "limit"), tier.high("window_s"), tier.says("refused", "count")
    # With one less in a window there is always room for one more; with a limit of one, only beside an empty window.
    steady = count if tier.says("rule", "below") else count - 1
    least_s = window_s / steady if steady else 2 * window_s
    free_s = 2 * window_s if harmful or count == 1 else window_s * (1 + 1 / count)
    rest_s = _spaced(2 * window_s)
    return Pace(_spaced(least_s), count, rest_s, rest_s, free_s * MARGIN, harmful)


def _decaying(tier: Reading) -> Pace:
    count, window_s = max(_whole(tier, "limit"), 2), tier.high("window_s")
    spacing_s = _spaced(-window_s * math.log(1 - 1 / count))
    return Pace(spacing_s, count - 1, _spaced(window_s * math.log(count)), spacing_s, spacing_s)


def _token_bucket(tier: Reading) -> Pace:
    token_s, depth = 1 / _rate(tier), _whole(tier, "burst")
    tick_s = tier.high("tick_s") if "tick_s" in tier.numbers else 0.0
    least_s = _token_spacing_s(token_s, depth, tick_s)
    spacing_s = _spaced(least_s, forgives=depth > 1)
    rest_s = _spaced(depth * token_s + tick_s)
    after_s = _spaced(token_s + tick_s) if not tick_s else rest_s
    return Pace(spacing_s, depth, rest_s, max(after_s, spacing_s), (token_s + tick_s) * MARGIN)


def _token_spacing_s(token_s: float, depth: int, tick_s: float) -> float:
    """Where tokens come in lots, the bucket has to hold those of a whole tick, or not all of them are of use."""
    if not tick_s or depth >= 1 + tick_s / token_s:
        return token_s
    of_use = math.floor(min(depth, tick_s / token_s + 1e-9))
    return tick_s / of_use if of_use else tick_s * math.ceil(token_s / tick_s - 1e-9)


def _leaky_bucket(tier: Reading) -> Pace:
    start_s, places = 1 / _rate(tier), round(tier.low("burst")) + 1
    spacing_s = _spaced(start_s, forgives=places > 1)
    return Pace(spacing_s, places, _spaced(places * start_s), spacing_s, start_s * MARGIN)


def _gap(tier: Reading) -> Pace:
    spacing_s = _spaced(tier.high("gap_s"), forgives=False)
    return Pace(spacing_s, 1, spacing_s, spacing_s, tier.high("gap_s") * MARGIN)


def _concurrency(tier: Reading) -> Pace:
    return Pace(burst=_whole(tier, "limit"), at_once=_whole(tier, "limit"))


def _builds(tier: Reading) -> Pace:
    return Pace(burst=_whole(tier, "limit"), in_flight=_whole(tier, "limit"))


_PACES: Mapping[str, Callable[[Reading], Pace]] = {
    "fixed-window": _window,
    "sliding-log": _window,
    "sliding-counter": _sliding_counter,
    "decaying-counter": _decaying,
    "token-bucket": _token_bucket,
    "leaky-bucket": _leaky_bucket,
    "minimum-gap": _gap,
    "concurrency": _concurrency,
    "builds": _builds,
}


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
        names = ", ".join("+".join(map(describe_family, name.split("+"))) for name in found.families)
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
    limit = f"no limit was met by {plural(identity.unlimited_to, what)} ({describe_cost(identity.cost)})"
    return f"{limit}; nothing is known beyond"


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
