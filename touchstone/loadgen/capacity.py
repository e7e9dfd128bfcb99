"""Where the capacity of a target is, as far as a load run can tell from outside, and what happened beyond it; pure.

A full host and a rate limit refuse alike; only a client that cancels builds tells them apart (see `Room`). When a build
begins and ends is known to a read only, so that each number of builds in flight is two: the sure and the possible.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from touchstone.facts.events import Attempt, Build, RunLog
from touchstone.facts.exchange import Exchange
from touchstone.loadgen.rules import Record, build_over_at, grouped, rate_explains
from touchstone.rules.possible_states import CLOCK_SHARE

Finding = Literal[
    "unknown",  # no start that needs room was answered
    "not-reached",  # none was refused
    "capacity",  # refused only while the most builds were in flight, and cancels let others in
    "either",  # refused only then, or while nobody knows how many were: a rate limit may be why as well
    "rate",  # refused while fewer were in flight or where no room was needed, and a rate limit can explain all of it
    "both",  # the same, though cancels let others in
    "unclear",  # the same, and nothing explains it
]
_MOST_MESSAGES, _LONGEST_MESSAGE = 3, 80
_LEAST_TURNS = 3  # so many turns have to go the same way, with and without a wait before the cancel
_TELLING = 2.0  # a wait is one that tells if it is so many times as long as another turn needed to let a start in


@dataclass(frozen=True, slots=True)
class Life:
    """One build on the clock of the run."""

    may_from_at: float  # when its start was sent
    sure_from_at: float  # when its start had been answered
    sure_to_at: float  # when a read showed it running last, or until when its steps lasted; `sure_from_at` at least
    may_to_at: float  # when a read showed its end; infinite where none did


@dataclass(frozen=True, slots=True)
class Step:
    """From *at_s* on, until the next step, so many builds were surely in flight, and so many more may have been."""

    at_s: float
    sure: int
    unsure: int


class InFlight:
    """The builds of a run, `most` of which were surely in flight at once."""

    def __init__(self, lives: Sequence[Life]) -> None:
        self._sure_from = sorted(life.sure_from_at for life in lives)
        self._sure_to = sorted(life.sure_to_at for life in lives)
        self._may_from = sorted(life.may_from_at for life in lives)
        self._may_to = sorted(life.may_to_at for life in lives)
        self.most = max(map(self.sure, self._sure_from), default=0)

    def sure(self, at_s: float) -> int:
        """Builds that were surely in flight at *at_s*."""
        return bisect_right(self._sure_from, at_s) - bisect_left(self._sure_to, at_s)

    def at_most(self, from_s: float, to_s: float) -> int:
        """Builds that may have been in flight at some moment from *from_s* to *to_s*."""
        return bisect_right(self._may_from, to_s) - bisect_left(self._may_to, from_s)

    def steps(self, until_s: float) -> tuple[Step, ...]:
        """The numbers over time, from the first start to *until_s*."""
        found = []
        for at in sorted({at for at in (*self._sure_from, *self._sure_to, *self._may_to) if at <= until_s}):
            # After a moment: what ends at it has ended, what begins at it has begun.
            begun = bisect_right(self._sure_from, at)
            sure = max(0, begun - bisect_right(self._sure_to, at))
            found.append(Step(at, sure, max(0, begun - bisect_right(self._may_to, at) - sure)))
        return tuple(found)


def lives_of(attempts: Iterable[Attempt], builds: Iterable[Build], steps_s: float = 0.0) -> tuple[Life, ...]:
    """The lives of *builds* by the attempts that began them; *steps_s* is how long the steps of a ready one take."""
    served = grouped((attempt for attempt in attempts if attempt.is_served), lambda attempt: attempt.want)
    lives = []
    for build in builds:
        accepted_at = build.accepted_at
        starts = sorted(served.get(build.want, []), key=lambda start: abs(start.done_at - build.accepted_at))
        may_from_at = min([accepted_at, *(start.sent_at for start in starts[:1])])
        lasted_at = may_from_at + CLOCK_SHARE * steps_s if build.end == "ready" else accepted_at
        sure_to_at = max(accepted_at, build.seen_building_at or 0.0, min(lasted_at, build.ended_at))
        lives.append(Life(may_from_at, accepted_at, sure_to_at, build_over_at(build)))
    return tuple(lives)


@dataclass(frozen=True, slots=True)
class Turn:
    """One build cancelled while the host refused."""

    held_s: float  # from the first of the refusals while nothing ended to the last one
    swap_s: float  # from the last of them to the answer to the start that followed the cancel
    let_in: bool  # whether that start was served


@dataclass(frozen=True, slots=True)
class Room:
    """What the client of load/room.py learnt about a refusal at the end of a storm.

    A rate limit looks like a full host only if it lets one start in soon after each cancel, and none without a cancel.
    """

    idle: int  # starts that were refused before it had a build in flight
    inside: int  # builds of its own that were in flight when it was refused, or when it had no version left
    refused: int  # starts that were refused while nothing ended; 0 where it filled nothing
    unbidden: int  # starts that were served though nothing of its own had ended
    turns: tuple[Turn, ...]  # cancels that were seen to end a build, in order

    @property
    def is_full_host(self) -> bool:
        """Whether enough cancels let a start in, and nothing else did."""
        followed = [turn for turn in self.turns if turn.let_in]
        if self.unbidden or len(followed) < _LEAST_TURNS:
            return False
        quick_s = min(turn.swap_s + turn.held_s for turn in followed)
        return max(turn.held_s for turn in followed) >= _TELLING * quick_s

    @property
    def let_in(self) -> int:
        """Starts that were served right after a cancel."""
        return sum(turn.let_in for turn in self.turns)

    @property
    def refused_after_cancel(self) -> int:
        """Starts that were refused right after a cancel."""
        return len(self.turns) - self.let_in

    @property
    def refused_with_room(self) -> int:
        """Refusals that want of room does not explain."""
        return self.idle + self.refused_after_cancel + self.unbidden


def room(log: RunLog) -> Room | None:
    """What that client saw; None where there was none."""
    of_room = (e for e in log.exchanges if "room" in e.note and e.operation == "startBuild")
    starts = sorted(of_room, key=lambda exchange: exchange.seq)
    if not starts:
        return None
    steps = grouped(starts, _step)
    first, fill, full = (steps.get(step, []) for step in ("first", "fill", "full"))
    turns = [_turn(own) for own in grouped(starts, lambda exchange: int(exchange.note["room"]["turn"])).values()]
    return Room(
        idle=sum(exchange.status == 429 for exchange in first),
        inside=sum(200 <= exchange.status < 300 for exchange in (*first, *fill)),
        refused=sum(exchange.status == 429 for exchange in (*fill, *full)),
        unbidden=sum(200 <= exchange.status < 300 for exchange in full),
        turns=tuple(turn for turn in turns if turn),
    )


def _step(exchange: Exchange) -> str:
    return str(exchange.note["room"]["step"])


def _turn(starts: Sequence[Exchange]) -> Turn | None:
    """One turn; None where nobody tried after the cancel, or where an error was the answer."""
    held = [exchange for exchange in starts if _step(exchange) == "full"]
    again = next((exchange for exchange in starts if _step(exchange) == "again"), None)
    if not held or again is None or not (again.status == 429 or 200 <= again.status < 300):
        return None
    return Turn(
        held_s=held[-1].sent_at - held[0].done_at if len(held) > 1 else 0.0,
        swap_s=again.done_at - held[-1].done_at,
        let_in=again.status != 429,
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """One start that needed room and was refused."""

    at_s: float  # when the answer had arrived, since the run started
    sure: int  # builds that were surely in flight then
    at_most: int  # builds that may have been in flight while it was under way
    below: bool  # whether those are fewer than were in flight at another time, so that there was room


@dataclass(frozen=True, slots=True)
class Clients:
    """What became of the clients that wanted a build of their own; of all clients where none did."""

    wanted: int  # how many there were; each of them is in one of the six numbers that follow
    at_once: int  # let in at their first try
    later: int  # let in at a later one, after waiting from `wait_p50_s` in the middle up to `wait_max_s`
    gave_up: int  # ended their tries without a build, since they had waited long enough
    still_trying: int  # refused, and would have come back, or not answered yet, when the run ended
    turned_away: int  # refused, and never meant to come back
    failed: int  # got neither a build nor a refusal at last, but an error or no answer
    wait_p50_s: float
    wait_max_s: float
    tries: int  # tries of all of them


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a run says about the capacity."""

    finding: Finding
    at_least: int  # the most builds that were surely in flight at once
    at_most: int | None  # the fewest that may have been in flight at a refusal for want of room; None without one
    admitted: int  # starts that were let in and needed room
    busiest: dict[int, int]  # by length in seconds, the most that were let in within such a time
    refusals: tuple[Refusal, ...]  # in order of time
    refused_needless: int  # starts that needed no room and were refused all the same
    refused_unsure: int  # starts that were refused and of which nobody knows whether they needed room
    steps: tuple[Step, ...]  # builds in flight over time
    clients: Clients
    room: Room | None  # what a client saw that cancelled builds when the host refused; None where none did
    messages: tuple[str, ...]  # what refusals said, as far as they were kept: hints of the target, and no proof
    is_torn: bool  # whether a worker was lost, of whose builds nobody knows

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
    # Versions that were there before the run may have any steps.
    steps_s = float(log.workload.options.get("build_s", 0.0)) if log.workload and log.templates else 0.0
    flight = InFlight(lives_of(log.attempts, log.builds, steps_s))
    served_at = sorted(attempt.done_at for attempt in fresh if attempt.is_served)
    filled = room(log)
    at_least = max(flight.most, filled.inside + min(filled.unbidden, 1) if filled else 0)
    refusals = _refusals(fresh, flight, at_least)
    is_torn = any(worker.state == "lost" for worker in log.workers)
    finding = _finding(log, refusals, filled, is_torn=is_torn)
    full = [refusal.at_most for refusal in refusals if not refusal.below]
    ends_at = max([*(attempt.done_at for attempt in log.attempts), *(build.ended_at for build in log.builds)])
    return Capacity(
        finding=finding,
        at_least=at_least,
        at_most=min(full, default=None) if finding in ("capacity", "either", "both") else None,
        admitted=len(served_at),
        busiest={
            span_s: max((bisect_right(served_at, at + span_s) - n for n, at in enumerate(served_at)), default=0)
            for span_s in (1, 10, 60)
        },
        refusals=refusals,
        refused_needless=sum(attempt.is_refused and attempt.fresh is False for attempt in log.attempts),
        refused_unsure=sum(attempt.is_refused and attempt.fresh is None for attempt in log.attempts),
        steps=flight.steps(ends_at),
        clients=_clients(fresh or log.attempts),
        room=filled,
        messages=_messages(log.exchanges),
        is_torn=is_torn,
    )


def _refusals(fresh: Iterable[Attempt], flight: InFlight, most: int) -> tuple[Refusal, ...]:
    refused = sorted((attempt for attempt in fresh if attempt.is_refused), key=lambda attempt: attempt.done_at)
    counts = [(a.done_at, flight.sure(a.done_at), flight.at_most(a.sent_at, a.done_at)) for a in refused]
    return tuple(Refusal(at_s, sure, at_most, at_most < most) for at_s, sure, at_most in counts)


def _finding(log: RunLog, refusals: Sequence[Refusal], filled: Room | None, *, is_torn: bool) -> Finding:
    refused = [attempt for attempt in log.attempts if attempt.is_refused]
    needless = sum(attempt.fresh is False for attempt in refused)
    has_room = sum(refusal.below for refusal in refusals) + needless + (filled.refused_with_room if filled else 0)
    if not refused:
        return "not-reached" if any(attempt.is_served for attempt in log.attempts) else "unknown"
    is_full = filled is not None and filled.is_full_host
    if is_torn:
        return "capacity" if refusals and is_full else "unclear"
    if is_full:
        return "both" if has_room else "capacity"
    if not has_room:
        return "either"
    return "rate" if needless == has_room == len(refused) or _is_rate(log) else "unclear"


def _is_rate(log: RunLog) -> bool:
    """Whether a rate limit for each key explains all: one that counts every start, or only those that need room."""
    of_room = {exchange.seq for exchange in log.exchanges if "room" in exchange.note}
    for starts in Record(log).by_account.values():
        decided = [start for start in starts if start.is_served or start.is_refused]
        of_builds = [start for start in decided if start.fresh or start.seq in of_room]
        refused = sum(start.is_refused for start in decided)
        is_of_builds = refused == sum(start.is_refused for start in of_builds)
        if not rate_explains([decided]) and not (is_of_builds and rate_explains([of_builds])):
            return False
    return True


def _messages(exchanges: Iterable[Exchange]) -> tuple[str, ...]:
    """What kept refusals of starts say, the most frequent first, but for the client that met a limit on purpose."""
    found = Counter[str]()
    for exchange in exchanges:
        if exchange.operation == "startBuild" and exchange.status == 429 and "limit" not in exchange.note:
            error = exchange.body.get("error")
            text = error.get("message") if isinstance(error, dict) else error
            text = text if isinstance(text, str) else exchange.body.get("message")
            if isinstance(text, str) and text.strip():
                found[" ".join(text.split())[:_LONGEST_MESSAGE]] += 1
    return tuple(message for message, _ in found.most_common(_MOST_MESSAGES))


def _clients(attempts: Iterable[Attempt]) -> Clients:
    tries = grouped(sorted(attempts, key=lambda a: a.number), lambda attempt: (attempt.credential, attempt.want))
    ends = Counter(map(_end_of, tries.values()))
    served = ((own[0], next((each for each in own if each.is_served), own[0])) for own in tries.values())
    waits_s = sorted(let_in.done_at - first.intended_at for first, let_in in served if let_in is not first)
    return Clients(
        wanted=len(tries),
        wait_p50_s=waits_s[len(waits_s) // 2] if waits_s else 0.0,
        wait_max_s=max(waits_s, default=0.0),
        tries=sum(map(len, tries.values())),
        **{name: ends[name] for name in ("at_once", "later", "gave_up", "still_trying", "turned_away", "failed")},
    )


def _end_of(tries: Sequence[Attempt]) -> str:
    last = tries[-1]
    if any(attempt.is_served for attempt in tries):
        return "at_once" if tries[0].is_served else "later"
    if last.cut_off:
        return "still_trying"
    if not last.is_refused:
        return "failed"
    if last.gave_up:
        return "gave_up"
    # Only fairness has phases, and its clients do not wait.
    return "turned_away" if last.phase else "still_trying"
