"""The kinds of limiter that are known, how likely each is beforehand, and which parameters it may have."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from touchstone.limiter.account import Candidate
from touchstone.limiter.cells import Cells, grid
from touchstone.limiter.families import (
    BlockingWindow,
    DecayingCounter,
    FixedWindow,
    MinimumGap,
    SlidingCounter,
    SlidingLog,
    TokenBucket,
)
from touchstone.limiter.kinds import Kind, Tiered, refill_s

# From a fraction of a second to more than two hours: what is published for APIs is a second to a day.
WINDOW_S = (0.02, 10_000.0)
TOKEN_S = (0.001, 5_000.0)
_FINE, _COARSE = 160, 96
# What may be behind another limiter, how likely each is beforehand, and how many it may let through.
_BEHIND: Mapping[str, float] = {"fixed-window": 0.03, "sliding-log": 0.03, "token-bucket": 0.03}
_MOST_BEHIND, _BEHIND_STEPS, _SLOWER = 150, 60, 1.3
_BEYOND_FINE, _BEYOND_COARSE = 240, 60
# How many tokens a bucket may hold that was never seen full.
_MOST_EMPTY = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind, and how likely it is beforehand."""

    kind: Kind
    prior: float


ENTRIES: tuple[Entry, ...] = (
    Entry(FixedWindow("fixed-window"), 0.15),
    Entry(FixedWindow("fixed-window/clock", opens="clock"), 0.10),
    Entry(FixedWindow("fixed-window/restart", refused="restart"), 0.015),
    Entry(BlockingWindow(), 0.03),
    Entry(SlidingLog("sliding-log"), 0.16),
    Entry(SlidingLog("sliding-log/counts", counts_refused=True), 0.04),
    Entry(SlidingCounter("sliding-counter"), 0.04),
    Entry(SlidingCounter("sliding-counter/below", below=True), 0.04),
    Entry(SlidingCounter("sliding-counter/counts", counts_refused=True), 0.02),
    Entry(SlidingCounter("sliding-counter/first", opens="first"), 0.025),
    Entry(SlidingCounter("sliding-counter/first-counts", opens="first", counts_refused=True), 0.025),
    Entry(SlidingCounter("sliding-counter/below-counts", below=True, counts_refused=True), 0.015),
    Entry(SlidingCounter("sliding-counter/first-below", opens="first", below=True), 0.015),
    Entry(SlidingCounter("sliding-counter/first-below-counts", opens="first", below=True, counts_refused=True), 0.015),
    Entry(DecayingCounter(), 0.03),
    Entry(TokenBucket("token-bucket"), 0.19),
    Entry(TokenBucket("token-bucket/empty", empty=True), 0.02),
    Entry(TokenBucket("token-bucket/early", early=0.5), 0.02),
    Entry(TokenBucket("token-bucket/tick", tick_s=1.0), 0.02),
    Entry(MinimumGap(), 0.09),
)

# What each kind is told by, besides the name of its family.
OPTIONS_OF: Mapping[str, Mapping[str, str]] = {
    "fixed-window": {},
    "fixed-window/clock": {"opens": "clock"},
    "fixed-window/restart": {"refused": "restart"},
    "fixed-window/block": {},
    "sliding-log": {},
    "sliding-log/counts": {"refused": "count"},
    "sliding-counter": {},
    "sliding-counter/below": {"rule": "below"},
    "sliding-counter/counts": {"refused": "count"},
    "sliding-counter/first": {"opens": "first"},
    "sliding-counter/first-counts": {"opens": "first", "refused": "count"},
    "sliding-counter/below-counts": {"rule": "below", "refused": "count"},
    "sliding-counter/first-below": {"opens": "first", "rule": "below"},
    "sliding-counter/first-below-counts": {"opens": "first", "rule": "below", "refused": "count"},
    "decaying-counter": {},
    "token-bucket": {},
    "token-bucket/empty": {"starts": "empty"},
    "token-bucket/early": {"early": "0.5"},
    "token-bucket/tick": {"tick": "1"},
    "minimum-gap": {},
}


def cells_of(entry: Entry, accepted: int, wide: bool) -> Cells | None:
    """All that a kind may be after a burst of which so many were accepted; None where it cannot be this kind.

    Args:
        wide: Whether somebody else may have taken a part of what the limiter gives.
    """
    kind = entry.kind
    limits = _limits(kind, accepted, wide)
    if not limits:
        return None
    range_s = TOKEN_S if "token_s" in kind.scales else WINDOW_S
    axes = len(kind.scales) + int(kind.phase)
    return grid(kind, limits, [range_s] * len(kind.scales), _FINE if axes == 1 else _COARSE, entry.prior)


def _limits(kind: Kind, accepted: int, wide: bool) -> tuple[int, ...]:
    if isinstance(kind, MinimumGap):
        return (1,) if accepted <= 2 or wide else ()
    most = accepted + (math.ceil(0.35 * accepted) + 1 if wide else 0)
    if isinstance(kind, TokenBucket):
        if kind.empty:
            return tuple(range(2, max(2 * most, _MOST_EMPTY) + 1))
        return tuple(range(max(2, accepted // 2) if kind.phase else 2, most + 1))
    if isinstance(kind, DecayingCounter):
        # It forgets some of a burst while that lasts.
        return tuple(range(max(2, 3 * accepted // 4), most + 1))
    least = 1 if kind.phase and isinstance(kind, FixedWindow) else 2
    # The first request may have been forgotten by the burst, or lie in another window; that a burst itself lies in two
    # windows is seldom.
    return tuple(range(max(least, accepted // 2 if wide else accepted - 1), most + 1))


def beyond(kind: Kind, accepted: int, ranges_s: Sequence[tuple[float, float]]) -> Cells | None:
    """What a kind may be beyond what was ever accepted: somebody else may have taken the rest, each time as much.

    Args:
        ranges_s: Least and most of each of its times, in seconds, of all that it may be beforehand.
    """
    entry = next((entry for entry in ENTRIES if entry.kind.name == kind.name), None)
    thought_of = _limits(kind, accepted, wide=False)
    limits = [limit for limit in _limits(kind, accepted, wide=True) if limit > max(thought_of, default=0)]
    if entry is None or not limits:
        return None
    whole = math.log(WINDOW_S[1] / WINDOW_S[0]) if "token_s" not in kind.scales else math.log(TOKEN_S[1] / TOKEN_S[0])
    part = math.prod(math.log(high / low) / whole for low, high in ranges_s)
    steps = _BEYOND_FINE if len(kind.scales) + int(kind.phase) == 1 else _BEYOND_COARSE
    return grid(kind, limits, ranges_s, steps, entry.prior * part)


def behind(first: Candidate, loose: float, accepted: int, longest_s: float, luck: float = 0.0) -> list[Cells]:
    """What may be behind a limiter that is known, where it does not explain all that was refused.

    Args:
        loose: How far the times of the first one may be from what they are thought to be, as a share.
        accepted: Requests that were accepted in all.
        longest_s: Seconds since the first one.
        luck: Logarithm of how likely it was beforehand that the first one is just what it is.
    """
    known = {name: float(np.ravel(value)[0]) for name, value in first.params.items()}
    window_s = float(np.ravel(refill_s(first.kind, first.params))[0])
    found = []
    for entry in ENTRIES:
        if entry.kind.name not in _BEHIND:
            continue
        # Behind it lies only what is met later, and lets through less in the long run.
        limits = tuple(range(int(known["limit"]) + 1, min(accepted, _MOST_BEHIND) + 1))
        least_s = _SLOWER * (window_s / known["limit"] if "token_s" in entry.kind.scales else window_s)
        range_s = (least_s, 100 * longest_s)
        kind = Tiered(first.kind, known, entry.kind, loose)
        if limits:
            cells = grid(kind, limits, [range_s], _BEHIND_STEPS, _BEHIND[entry.kind.name])
            found.append(replace(cells, prior=cells.prior + luck))
    return found
