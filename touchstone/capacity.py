"""
Where the capacity of a target is, as far as a load run can tell from outside, and what happened beyond it; pure.

A refusal may come from a full host or from a rate limit, and an answer does not say which. What tells them apart is how
many builds were in flight: a full host refuses when the most builds are running and lets the next one in when one has
ended; a rate limit refuses whatever is running. Only builds of the run count, since those of others are not seen.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from touchstone.inflight import InFlight, Step, lives_of
from touchstone.loadfacts import Attempt
from touchstone.ratefit import Decided, fits
from touchstone.runfacts import RunLog

Finding = Literal[
    "unknown",  # no start that needs room was answered
    "not-reached",  # none was refused
    "capacity",  # refused only while the most builds were in flight, and let in again when one had ended
    "either",  # refused only then, but nobody tried again when one had ended
    "rate",  # refused only while fewer were in flight
    "rate-or-both",  # refused then and then, and a rate limit alone would explain it
    "both",
]
SPANS_S = (1, 10, 60)
_REFUSED = 429
_SOON_S = 1.5  # Retry-After counts in whole seconds, so that clients come back up to one too late


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    One start that needed room and was refused.

    Attributes:
        at_s: When the answer had arrived, since the run started.
        sure: Builds that were surely in flight then.
        at_most: Builds that may have been in flight while it was under way.
        below: Whether those are fewer than were in flight at another time, so that there was room.
    """

    at_s: float
    sure: int
    at_most: int
    below: bool


@dataclass(frozen=True, slots=True)
class Clients:
    """
    What became of the clients that wanted a build of their own; of all clients where none did.

    Attributes:
        wanted: How many there were; each of them is in one of the six numbers that follow.
        at_once: Let in at their first try.
        later: Let in at a later one, after waiting from *wait_p50_s* in the middle up to *wait_max_s*.
        gave_up: Ended their tries without a build, since they had waited long enough.
        still_trying: Refused, and would have come back, when the run ended.
        turned_away: Refused, and never meant to come back.
        failed: Got neither a build nor a refusal at last, but an error or no answer.
        tries: Tries of all of them.
    """

    wanted: int
    at_once: int
    later: int
    gave_up: int
    still_trying: int
    turned_away: int
    failed: int
    wait_p50_s: float
    wait_max_s: float
    tries: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """
    What a run says about the capacity.

    Attributes:
        at_least: The most builds that were surely in flight at once.
        at_most: The fewest that may have been in flight when a start was refused for want of room; None where none was.
        admitted: Starts that were let in and needed room.
        busiest: By length in seconds, the most that were let in within such a time.
        refusals: In order of time.
        refused_needless: Starts that needed no room and were refused all the same.
        steps: Builds in flight over time.
    """

    finding: Finding
    at_least: int
    at_most: int | None
    admitted: int
    busiest: dict[int, int]
    refusals: tuple[Refusal, ...]
    refused_needless: int
    steps: tuple[Step, ...]
    clients: Clients

    @property
    def refused_full(self) -> int:
        """
        Refusals at which the most builds may have been in flight.
        """
        return sum(not refusal.below for refusal in self.refusals)

    @property
    def refused_below(self) -> int:
        """
        Refusals that want of room cannot explain.
        """
        return sum(refusal.below for refusal in self.refusals)

    @property
    def is_known(self) -> bool:
        """
        Whether the run met the capacity.
        """
        return self.finding in ("capacity", "both")


def capacity(log: RunLog) -> Capacity | None:
    """
    What the load run that *log* is about says about the capacity; None where it started no builds.
    """
    if not log.attempts:
        return None
    fresh = [attempt for attempt in log.attempts if attempt.fresh]
    flight = InFlight(lives_of(log.attempts, log.builds))
    served_at = sorted(attempt.done_at for attempt in fresh if _is_served(attempt))
    refusals = _refusals(fresh, flight)
    full = [refusal for refusal in refusals if not refusal.below]
    needless = sum(attempt.status == _REFUSED and not attempt.fresh for attempt in log.attempts)
    until_s = max(attempt.done_at for attempt in log.attempts)
    return Capacity(
        finding=_finding(log.attempts, flight, refusals, needless=needless),
        at_least=flight.most,
        at_most=min((refusal.at_most for refusal in full), default=None),
        admitted=len(served_at),
        busiest={span_s: _busiest(served_at, span_s) for span_s in SPANS_S},
        refusals=refusals,
        refused_needless=needless,
        steps=flight.steps(max([until_s, *(build.ended_at for build in log.builds)])),
        clients=_clients(fresh or log.attempts),
    )


def _is_served(attempt: Attempt) -> bool:
    return 200 <= attempt.status < 300


def _refusals(fresh: Iterable[Attempt], flight: InFlight) -> tuple[Refusal, ...]:
    refused = sorted((a for a in fresh if a.status == _REFUSED), key=lambda attempt: attempt.done_at)
    most = flight.most
    counts = [(a.done_at, flight.sure(a.done_at), flight.at_most(a.sent_at, a.done_at)) for a in refused]
    return tuple(Refusal(at_s, sure, at_most, at_most < most) for at_s, sure, at_most in counts)


def _finding(attempts: Sequence[Attempt], flight: InFlight, refusals: Sequence[Refusal], *, needless: int) -> Finding:
    fresh = [attempt for attempt in attempts if attempt.fresh]
    below = sum(refusal.below for refusal in refusals) + needless
    if not any(_is_served(attempt) for attempt in fresh):
        return "rate" if below else "unknown"
    if not refusals and not needless:
        return "not-reached"
    if below == len(refusals) + needless:
        return "rate"
    if below:
        return "rate-or-both" if _rate_explains(attempts) else "both"
    return "capacity" if _was_let_in_again(fresh, flight, refusals[0].at_s) else "either"


def _was_let_in_again(fresh: Iterable[Attempt], flight: InFlight, refused_at: float) -> bool:
    """
    Whether a start was served soon after room had come back: much later, a rate limit would have let it in as well.
    """
    soon_s = max(_SOON_S, flight.length_s)
    later = (a.sent_at for a in fresh if _is_served(a) and a.sent_at > refused_at)
    return any(sent_at - flight.last_full_at(sent_at) <= soon_s for sent_at in later)


def _rate_explains(attempts: Iterable[Attempt]) -> bool:
    """
    Whether a rate limit for each key explains all by itself: one that counts every start, or only those that need room.
    """
    keys: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if _is_served(attempt) or attempt.status == _REFUSED:
            keys.setdefault(attempt.credential, []).append(attempt)
    return all(fits(_decided(own)) or _fits_fresh(own) for own in keys.values())


def _fits_fresh(own: Sequence[Attempt]) -> bool:
    """
    The same for a limit that leaves starts alone that need no room; one that refused such a start does not.
    """
    if any(attempt.status == _REFUSED and not attempt.fresh for attempt in own):
        return False
    return fits(_decided(attempt for attempt in own if attempt.fresh))


def _decided(attempts: Iterable[Attempt]) -> list[Decided]:
    return [Decided(a.sent_at, a.done_at, _is_served(a)) for a in attempts]


def _busiest(at_s: Sequence[float], span_s: float) -> int:
    return max((bisect_right(at_s, at + span_s) - number for number, at in enumerate(at_s)), default=0)


def _clients(attempts: Iterable[Attempt]) -> Clients:
    tries: dict[tuple[str, int], list[Attempt]] = {}
    for attempt in sorted(attempts, key=lambda a: a.number):
        tries.setdefault((attempt.credential, attempt.want), []).append(attempt)
    served = [[a for a in own if _is_served(a)][:1] for own in tries.values()]
    pairs = [(own[0], first[0]) for own, first in zip(tries.values(), served, strict=True) if first]
    waits_s = sorted(let_in.done_at - first.intended_at for first, let_in in pairs if let_in is not first)
    ends = Counter(_end_of(own[-1]) for own, first in zip(tries.values(), served, strict=True) if not first)
    return Clients(
        wanted=len(tries),
        at_once=len(pairs) - len(waits_s),
        later=len(waits_s),
        gave_up=ends["gave_up"],
        still_trying=ends["still_trying"],
        turned_away=ends["turned_away"],
        failed=ends["failed"],
        wait_p50_s=waits_s[len(waits_s) // 2] if waits_s else 0.0,
        wait_max_s=max(waits_s, default=0.0),
        tries=sum(map(len, tries.values())),
    )


def _end_of(last: Attempt) -> str:
    """
    What became of a client that was never let in, by its last try.
    """
    if last.status != _REFUSED:
        return "failed"
    if last.gave_up:
        return "gave_up"
    # Only fairness has phases, and its clients do not wait.
    return "turned_away" if last.phase else "still_trying"
