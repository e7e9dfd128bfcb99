"""Capacity of a target, the number of builds that it runs at once, as a load run observes it from outside; no I/O.

A full host and a rate limit both refuse starts with 429. Only a client that cancels builds can distinguish them
(`Room`). Only reads show when a build begins and ends. So builds in flight (running builds) are counted twice: those
that certainly run, and those that possibly run.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from touchstone.facts.events import Attempt, Build, RunLog
from touchstone.facts.exchange import Exchange
from touchstone.loadgen.metrics import grouped
from touchstone.loadgen.rules import Record, build_over_at, rate_explains
from touchstone.rules.possible_states import CLOCK_SHARE

Finding = Literal[
    "unknown",  # no start was accepted or refused
    "not-reached",  # starts were accepted, and none was refused
    "capacity",  # starts are refused only if the host is full, and accepted after cancels
    "either",  # starts are refused only if the host may be full; a rate limit may also be the cause
    "rate",  # some starts are refused although the host has room; a rate limit can explain all refusals
    "both",  # some starts are refused although the host has room; others are accepted after cancels
    "unclear",  # no single cause explains all refusals, or a worker was lost
]
_MOST_MESSAGES, _LONGEST_MESSAGE = 3, 80
_LEAST_TURNS = 3  # a full host is certain after this many cancels with an accepted start
_CONCLUSIVE = 2.0  # before a cancel, refusals must last this many times as long as the fastest acceptance by a cancel


@dataclass(frozen=True, slots=True)
class Step:
    """Builds in flight from *at_s* to the next step: *sure* builds for certain, and possibly *unsure* more."""

    at_s: float
    sure: int
    unsure: int


class InFlight:
    """Number of builds in flight at each time of a run; `most` is the highest number that certainly ran at once.

    A build certainly runs from the response to its start to the last read with the status building, or to the end of
    its steps. It possibly runs from its start to the read that shows its end; for ever if no read does.
    """

    def __init__(self, attempts: Iterable[Attempt], builds: Sequence[Build], steps_s: float = 0.0) -> None:
        """*steps_s*: duration of the steps of a successful build."""
        served = grouped((attempt for attempt in attempts if attempt.is_served), lambda attempt: attempt.want)
        self._may_from, self._sure_to = list[float](), list[float]()
        for build in builds:
            accepted_at = build.accepted_at
            starts = sorted(served.get(build.want, []), key=lambda start: abs(start.done_at - build.accepted_at))
            may_from_at = min([accepted_at, *(start.sent_at for start in starts[:1])])
            lasted_at = may_from_at + CLOCK_SHARE * steps_s if build.end == "ready" else accepted_at
            insort(self._may_from, may_from_at)
            insort(self._sure_to, max(accepted_at, build.seen_building_at or 0.0, min(lasted_at, build.ended_at)))
        self._sure_from = sorted(build.accepted_at for build in builds)
        self._may_to = sorted(map(build_over_at, builds))
        self.most = max(map(self.sure, self._sure_from), default=0)

    def sure(self, at_s: float) -> int:
        """Number of builds certainly in flight at *at_s*."""
        return bisect_right(self._sure_from, at_s) - bisect_left(self._sure_to, at_s)

    def at_most(self, from_s: float, to_s: float) -> int:
        """Number of builds that were possibly in flight at any time from *from_s* to *to_s*."""
        return bisect_right(self._may_from, to_s) - bisect_left(self._may_to, from_s)

    def steps(self, until_s: float) -> tuple[Step, ...]:
        """Numbers of builds in flight over time, from the first start to *until_s*."""
        found = []
        for at in sorted({at for at in (*self._sure_from, *self._sure_to, *self._may_to) if at <= until_s}):
            # Counts just after `at`: without builds that end at `at`, with builds that begin at `at`.
            begun = bisect_right(self._sure_from, at)
            sure = max(0, begun - bisect_right(self._sure_to, at))
            found.append(Step(at, sure, max(0, begun - bisect_right(self._may_to, at) - sure)))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Turn:
    """One cancel in load/room.py: while starts are refused, a client cancels a build and starts another."""

    held_s: float  # seconds from the first to the last refusal before the cancel
    swap_s: float  # seconds from the last refusal before the cancel to the response to the start after it
    let_in: bool  # whether the start after the cancel was accepted


@dataclass(frozen=True, slots=True)
class Room:
    """Observations of the client in load/room.py, which fills the host at the end of a storm and cancels builds.

    If starts are accepted after cancels and at no other time, the host was full: a rate limit ignores cancels.
    """

    idle: int  # starts refused before the client had a build in flight
    inside: int  # builds that the client had in flight when a start was refused, or no version was left
    refused: int  # starts refused while the client had builds in flight and none of them ended
    unbidden: int  # starts accepted after a refusal although none of the client's builds had ended
    turns: tuple[Turn, ...]  # cancels that ended a build, in order

    @property
    def is_full_host(self) -> bool:
        """Whether the host was certainly full: starts were accepted after several cancels, and at no other time."""
        followed = [turn for turn in self.turns if turn.let_in]
        if self.unbidden or len(followed) < _LEAST_TURNS:
            return False
        quick_s = min(turn.swap_s + turn.held_s for turn in followed)
        return max(turn.held_s for turn in followed) >= _CONCLUSIVE * quick_s

    @property
    def let_in(self) -> int:
        """Number of starts accepted right after a cancel."""
        return sum(turn.let_in for turn in self.turns)

    @property
    def refused_after_cancel(self) -> int:
        """Number of starts refused right after a cancel."""
        return len(self.turns) - self.let_in

    @property
    def refused_with_room(self) -> int:
        """Number of refusals that a full host does not explain."""
        return self.idle + self.refused_after_cancel + self.unbidden


def room(log: RunLog) -> Room | None:
    """Observations of the client in load/room.py; None if the run had no such client."""
    of_room = (e for e in log.exchanges if "room" in e.note and e.operation == "startBuild")
    if not (starts := sorted(of_room, key=lambda exchange: exchange.seq)):
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
    """Result of one cancel; None if no start followed the cancel, or if the start got neither a 2xx nor a 429."""
    held = [exchange for exchange in starts if _step(exchange) == "full"]
    again = next((exchange for exchange in starts if _step(exchange) == "again"), None)
    if not held or again is None or not (again.status == 429 or 200 <= again.status < 300):
        return None
    held_s = held[-1].sent_at - held[0].done_at if len(held) > 1 else 0.0
    return Turn(held_s, again.done_at - held[-1].done_at, let_in=again.status != 429)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refusal of one start that needed room on the host, since its version was not built yet."""

    at_s: float  # run second at which the response arrived
    sure: int  # builds certainly in flight at `at_s`
    at_most: int  # builds possibly in flight during the request
    below: bool  # whether the host had room: at another time, more builds than `at_most` ran at once


@dataclass(frozen=True, slots=True)
class Clients:
    """Outcomes of the clients that started versions not built yet. Without such clients: outcomes of all clients."""

    wanted: int  # number of these clients: the sum of the next six numbers
    at_once: int  # accepted at the first try
    later: int  # accepted at a later try; median and maximum of their waits are `wait_p50_s` and `wait_max_s`
    gave_up: int  # gave up without a build, since further waits would have exceeded patience_s
    still_trying: int  # waiting for a retry or a response when the run ended
    turned_away: int  # refused, in a scenario without retries
    failed: int  # ended with an error or without a response
    wait_p50_s: float
    wait_max_s: float
    tries: int  # tries of all these clients together


@dataclass(frozen=True, slots=True)
class Capacity:
    """Capacity of the target as observed in one run."""

    finding: Finding
    at_least: int  # the most builds certainly in flight at once
    at_most: int | None  # the fewest builds possibly in flight at a refusal by a full host; None if unknown
    admitted: int  # accepted starts that needed room
    busiest: dict[int, int]  # by length of an interval in seconds: the most starts accepted within one
    refusals: tuple[Refusal, ...]  # in order of time
    refused_needless: int  # refused starts that needed no room, since their version was already built
    refused_unsure: int  # refused starts that may have needed room
    steps: tuple[Step, ...]  # builds in flight over time
    clients: Clients
    room: Room | None  # observations of the client that cancels builds; None without it
    messages: tuple[str, ...]  # texts of recorded refusals, as hints for readers; not evidence
    is_torn: bool  # whether a worker was lost, so that its builds are unknown

    @property
    def refused_full(self) -> int:
        """Number of refusals that a full host can explain."""
        return sum(not refusal.below for refusal in self.refusals)

    @property
    def refused_below(self) -> int:
        """Number of refusals that a full host cannot explain."""
        return sum(refusal.below for refusal in self.refusals)

    @property
    def is_known(self) -> bool:
        """Whether the run reached the capacity."""
        return self.finding in ("capacity", "both")


def capacity(log: RunLog) -> Capacity | None:
    """Capacity as a load run shows it; None if the run started no builds."""
    if not log.attempts:
        return None
    fresh = [attempt for attempt in log.attempts if attempt.fresh]
    # If the run did not publish the versions, the duration of their steps is unknown.
    steps_s = float(log.workload.options.get("build_s", 0.0)) if log.workload and log.templates else 0.0
    flight = InFlight(log.attempts, log.builds, steps_s)
    served_at = sorted(attempt.done_at for attempt in fresh if attempt.is_served)
    filled = room(log)
    at_least = max(flight.most, filled.inside + min(filled.unbidden, 1) if filled else 0)
    refused = sorted((start for start in fresh if start.is_refused), key=lambda start: start.done_at)
    counts = [(r.done_at, flight.sure(r.done_at), flight.at_most(r.sent_at, r.done_at)) for r in refused]
    refusals = tuple(Refusal(at_s, sure, at_most, at_most < at_least) for at_s, sure, at_most in counts)
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
    """Whether a rate limit per key explains all refusals: a limit on all starts, or on starts that need a new build."""
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
    """Texts of recorded refusals, most frequent first, without refusals to the client in load/aftermath.py."""
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
    # Only clients of the scenario fairness have a phase, and they do not retry.
    return "turned_away" if last.phase else "still_trying"
