"""Where the capacity of a target is, as far as a load run can tell from outside, and what happened beyond it; pure.

A refusal may come from a full host or from a rate limit, and an answer does not say which. A full host refuses while
the most builds are in flight, and a rate limit whatever is; where all builds take as long, one looks like the other.
What tells them apart is a client that cancels builds (see `touchstone.room`), or starts that no rate limit of the usual
kinds would refuse and serve as the target did. Only builds of the run count, since those of others are not seen.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from touchstone.facts.events import Attempt, RunLog
from touchstone.facts.exchange import Exchange
from touchstone.loadgen.in_flight import InFlight, Step, lives_of
from touchstone.loadgen.rate_fit import Decided, fits
from touchstone.loadgen.room import Room, room

Finding = Literal[
    "unknown",  # no start that needs room was answered
    "not-reached",  # none was refused
    "capacity",  # refused only while the most builds were in flight, and no rate limit explains when
    "either",  # refused only then, or while nobody knows how many were, and a rate limit would explain it as well
    "rate",  # refused while fewer were in flight or where no room was needed, and a rate limit explains all of it
    "both",  # the same, but a rate limit explains only what was refused while fewer were
    "unclear",  # the same, but neither explains it
]
SPANS_S = (1, 10, 60)
_REFUSED = 429
_MOST_TOLD = 3
_MOST_TOLD_LENGTH = 80
_STARTS_NOTHING = "limit.refused-start-starts-nothing"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One start that needed room and was refused.

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
    """What became of the clients that wanted a build of their own; of all clients where none did.

    Attributes:
        wanted: How many there were; each of them is in one of the six numbers that follow.
        at_once: Let in at their first try.
        later: Let in at a later one, after waiting from *wait_p50_s* in the middle up to *wait_max_s*.
        gave_up: Ended their tries without a build, since they had waited long enough.
        still_trying: Refused, and would have come back, or not answered yet, when the run ended.
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
    """What a run says about the capacity.

    Attributes:
        at_least: The most builds that were surely in flight at once.
        at_most: The fewest that may have been in flight when a start was refused for want of room; None where nothing
            says that one was.
        admitted: Starts that were let in and needed room.
        busiest: By length in seconds, the most that were let in within such a time.
        refusals: In order of time.
        refused_needless: Starts that needed no room and were refused all the same.
        refused_unsure: Starts that were refused and of which nobody knows whether they needed room.
        steps: Builds in flight over time.
        room: What a client saw that cancelled builds when the host refused; None where none did.
        told: What refusals said, as far as they were kept: hints of the target, and no proof.
        is_short: Whether refused starts began builds all the same, which are not counted.
        is_torn: Whether a worker was lost, of whose builds nobody knows.
    """

    finding: Finding
    at_least: int
    at_most: int | None
    admitted: int
    busiest: dict[int, int]
    refusals: tuple[Refusal, ...]
    refused_needless: int
    refused_unsure: int
    steps: tuple[Step, ...]
    clients: Clients
    room: Room | None = None
    told: tuple[str, ...] = ()
    is_short: bool = False
    is_torn: bool = False

    @property
    def refused_full(self) -> int:
        """Refusals at which the most builds may have been in flight."""
        return sum(not refusal.below for refusal in self.refusals)

    @property
    def refused_below(self) -> int:
        """Refusals that want of room cannot explain."""
        return sum(refusal.below for refusal in self.refusals)

    @property
    def is_known(self) -> bool:
        """Whether the run met the capacity."""
        return self.finding in ("capacity", "both")


def capacity(log: RunLog) -> Capacity | None:
    """What the load run that *log* is about says about the capacity; None where it started no builds."""
    if not log.attempts:
        return None
    fresh = [attempt for attempt in log.attempts if attempt.fresh]
    flight = InFlight(lives_of(log.attempts, log.builds, _steps_s(log)))
    served_at = sorted(attempt.done_at for attempt in fresh if _is_served(attempt))
    asked = room(log)
    at_least = max(flight.most, asked.at_least if asked else 0)
    refusals = _refusals(fresh, flight, at_least)
    finding = _finding(log, refusals, asked)
    full = [refusal.at_most for refusal in refusals if not refusal.below]
    until_s = max(attempt.done_at for attempt in log.attempts)
    return Capacity(
        finding=finding,
        at_least=at_least,
        at_most=min(full, default=None) if finding in ("capacity", "either", "both") else None,
        admitted=len(served_at),
        busiest={span_s: _busiest(served_at, span_s) for span_s in SPANS_S},
        refusals=refusals,
        refused_needless=_refused(log.attempts, fresh=False),
        refused_unsure=_refused(log.attempts, fresh=None),
        steps=flight.steps(max([until_s, *(build.ended_at for build in log.builds)])),
        clients=_clients(fresh or log.attempts),
        room=asked,
        told=_told(log.exchanges),
        is_short=any(one.finding.claim == _STARTS_NOTHING for one in log.occurrences),
        is_torn=_is_torn(log),
    )


def _is_torn(log: RunLog) -> bool:
    return any(worker.state == "lost" for worker in log.workers)


def _is_served(attempt: Attempt) -> bool:
    return 200 <= attempt.status < 300


def _steps_s(log: RunLog) -> float:
    """How long the steps of each build take at least; 0 for versions that were there before the run."""
    return float(log.workload.options.get("build_s", 0.0)) if log.workload and log.templates else 0.0


def _refusals(fresh: Iterable[Attempt], flight: InFlight, most: int) -> tuple[Refusal, ...]:
    refused = sorted((a for a in fresh if a.status == _REFUSED), key=lambda attempt: attempt.done_at)
    counts = [(a.done_at, flight.sure(a.done_at), flight.at_most(a.sent_at, a.done_at)) for a in refused]
    return tuple(Refusal(at_s, sure, at_most, at_most < most) for at_s, sure, at_most in counts)


def _refused(attempts: Iterable[Attempt], *, fresh: bool | None) -> int:
    return sum(attempt.status == _REFUSED and attempt.fresh is fresh for attempt in attempts)


def _finding(log: RunLog, refusals: Sequence[Refusal], asked: Room | None) -> Finding:
    refused = [attempt for attempt in log.attempts if attempt.status == _REFUSED]
    has_room = sum(refusal.below for refusal in refusals) + _refused(log.attempts, fresh=False)
    has_room += asked.refused_with_room if asked else 0
    if not refused:
        return "not-reached" if any(map(_is_served, log.attempts)) else "unknown"
    is_full = asked is not None and asked.is_full_host
    if _is_torn(log):
        return "capacity" if refusals and is_full else "unclear"
    starts = _starts(log)
    if not has_room:
        return "capacity" if refusals and (is_full or not _rate_explains(starts)) else "either"
    # What needs no room is refused by a rate limit for sure, whatever its kind.
    if not is_full and (_refused(log.attempts, fresh=False) == has_room == len(refused) or _rate_explains(starts)):
        return "rate"
    if is_full:
        return "both"
    full_at = {refusal.at_s for refusal in refusals if not refusal.below}
    rest = [start for start in starts if start.served or not (start.is_full or start.done_at in full_at)]
    return "both" if _rate_explains(rest) else "unclear"


@dataclass(frozen=True, slots=True)
class _Start:
    """One start as a rate limit counts it.

    Attributes:
        is_full: Whether it was sent to a host that the last client had filled.
    """

    credential: str
    fresh: bool | None
    sent_at: float
    done_at: float
    served: bool
    is_full: bool = False


def _starts(log: RunLog) -> list[_Start]:
    """All starts of the run: those of clients, and those before and after, of which fewer things are known."""
    known = {attempt.seq for attempt in log.attempts}
    others = [e for e in log.exchanges if e.operation == "startBuild" and e.seq not in known]
    found = [_Start(a.credential, a.fresh, a.sent_at, a.done_at, _is_served(a)) for a in log.attempts if _tells(a)]
    found += [_of_exchange(e) for e in others if _tells(e)]
    return found


def _of_exchange(start: Exchange) -> _Start:
    step = start.note.get("room", {}).get("step")
    fresh = True if step else None
    served = start.status != _REFUSED
    return _Start(start.credential, fresh, start.sent_at, start.done_at, served, is_full=step in ("fill", "full"))


def _tells(start: Attempt | Exchange) -> bool:
    return 200 <= start.status < 300 or start.status == _REFUSED


def _rate_explains(starts: Iterable[_Start]) -> bool:
    """
    Whether a rate limit for each key explains all by itself: one that counts every start, or only those that need room.
    """
    keys: dict[str, list[_Start]] = {}
    for start in starts:
        keys.setdefault(start.credential, []).append(start)
    return all(fits(_decided(own)) or _fits_fresh(own) for own in keys.values())


def _fits_fresh(own: Sequence[_Start]) -> bool:
    """The same for a limit that leaves starts alone that need no room; one that refused such a start does not."""
    if any(not start.served and not start.fresh for start in own):
        return False
    return fits(_decided(start for start in own if start.fresh))


def _decided(starts: Iterable[_Start]) -> list[Decided]:
    return [Decided(start.sent_at, start.done_at, start.served) for start in starts]


def _told(exchanges: Iterable[Exchange]) -> tuple[str, ...]:
    """What kept refusals of starts say, each once, those that say it most often first.

    Those of the client that met a limit on purpose tell nothing about the others.
    """
    refused = (e for e in exchanges if e.operation == "startBuild" and e.status == _REFUSED and "limit" not in e.note)
    found = Counter(message for message in map(_message, refused) if message)
    return tuple(message for message, _ in found.most_common(_MOST_TOLD))


def _message(exchange: Exchange) -> str:
    error = exchange.body.get("error")
    told = error.get("message") if isinstance(error, dict) else error
    told = told if isinstance(told, str) else exchange.body.get("message")
    return " ".join(told.split())[:_MOST_TOLD_LENGTH] if isinstance(told, str) else ""


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
    """What became of a client that was never let in, by its last try."""
    if last.cut_off:
        return "still_trying"
    if last.status != _REFUSED:
        return "failed"
    if last.gave_up:
        return "gave_up"
    # Only fairness has phases, and its clients do not wait.
    return "turned_away" if last.phase else "still_trying"
