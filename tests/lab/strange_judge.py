"""What an identity is worth for other clients of a limiter: whether it foretells the answers, and advises well."""

import heapq
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tests.lab.strange_limiters import Decision, Stranger
from tests.lab.strangers import Entry, Setting
from tests.limiting import decide, limiter_for
from touchstone.facts.identity import Identity
from touchstone.limiter.pace import Pace
from touchstone.report.probe_view import advice
from touchstone.twin import RateLimit
from touchstone.twin.limits import Tiers

# A clock is tried at so many places, because no text has its place.
HISTORIES, BURSTS, PLACES, MOST_STARTS = 20, 16, 24, 4000
# Pauses of clients in windows; as many are shorter than the middle of these, by their ratio, as are longer.
SHORTEST, LONGEST = 0.05, 2.5
MOST_STEADY, MOST_BURST, SOON_S = 500, 200, 0.005
LEAST_S, LEG_SPREAD_S = 0.0012, 0.0003


@dataclass(frozen=True)
class Start:
    """A start of a client: when at the earliest, when its build ends, whether it waits for the answer before."""

    at: float
    lasts_s: float
    serial: bool


class Claimed(Stranger):
    """The limiter that an identity claims, with its clock *later_s* behind."""

    def __init__(self, identity: Identity, later_s: float, takes_s: float) -> None:
        is_short = [one.family == "concurrency" and "takes" not in one.text for one in identity.tiers]
        rests = [f",takes={takes_s}" if short else "" for short in is_short]
        self._limiters = [limiter_for(one.text + rest) for one, rest in zip(identity.tiers, rests, strict=True)]
        self._whole, self._later_s = Tiers(self._limiters), later_s

    def decide(self, at: float) -> Decision:
        return (*decide(self._whole, at + self._later_s), None) if self._limiters else super().decide(at)

    def ended(self, at: float) -> None:
        for limiter in self._limiters:
            limiter.ended()


def history(setting: Setting, number: int, *, builds: bool, at_once: bool) -> list[Start]:
    """What a client sends: bursts with pauses, enough of them to reach each limit.

    Args:
        builds: Builds mostly last, which they sometimes do anyway.
        at_once: Some bursts come at once.
    """
    chance, starts = random.Random(f"{setting.scales}/{number}"), list[Start]()
    at, (few, window_s) = 1000.0 + 60 * chance.random(), setting.scales[number % len(setting.scales)]
    most = max(limit for limit, _ in setting.scales)
    for _ in range(max(BURSTS, 6 * most // few)):
        at += window_s * SHORTEST * (LONGEST / SHORTEST) ** chance.random()
        volley, gap_s = at_once and chance.random() < 0.4, chance.uniform(0.002, 0.005)
        lasting = chance.random() < (0.6 if builds else 0.2)
        for _ in range(chance.randint(1, max(2, round(1.5 * few)))):
            at += 0.0001 if volley else gap_s
            starts.append(Start(at, chance.uniform(0.05, window_s) if lasting else LEAST_S, not volley))
    return starts[:MOST_STARTS]


def answers(limiter: Stranger, starts: Iterable[Start], *, open_loop: bool) -> tuple[list[bool], list[Start]]:
    """Whether each start is accepted, and when it came: later where answers are delayed, unless in an *open_loop*."""
    ends, accepts, came, later_s, free_at = list[float](), list[bool](), list[Start](), 0.0, 0.0
    for start in starts:
        if not open_loop and start.serial:
            later_s = max(later_s, free_at - start.at)
        at = start.at + later_s
        while ends and ends[0] <= at:
            limiter.ended(heapq.heappop(ends))
        accepted, delay_s, _ = limiter.decide(at)
        if accepted:
            heapq.heappush(ends, at + delay_s + start.lasts_s)
        free_at = max(free_at, at + delay_s + LEAST_S)
        accepts.append(accepted)
        came.append(replace(start, at=at))
    return accepts, came


def likeness(setting: Setting, entry: Entry, identity: Identity, *, shorter: bool = False) -> tuple[float, float]:
    """Share of equal decisions of the claimed and the true limiter, and of two that are true.

    Args:
        shorter: Takes the true one without its longest limit.
    """
    make = setting.shorter if shorter and setting.shorter else setting.make
    builds = "builds" in (entry.caps, *(one.family for one in identity.tiers))
    at_once = entry.caps == "at once" or "concurrency" in identity.text
    claimed = same = count = 0
    for number in range(HISTORIES):
        starts = history(setting, number, builds=builds, at_once=at_once)
        takes_s = max(make(number).decide(starts[0].at)[1], LEAST_S)
        true, starts = answers(make(number), starts, open_loop=False)
        claims = (Claimed(identity, later_s, takes_s) for later_s in _places_s(identity))
        claimed += max(_equal(true, answers(claim, starts, open_loop=True)[0]) for claim in claims)
        same += _equal(true, answers(make(1000 + number if entry.by_chance else number), starts, open_loop=True)[0])
        count += len(true)
    return claimed / count, same / count


def _equal(some: Sequence[bool], others: Sequence[bool]) -> int:
    return sum(one == other for one, other in zip(some, others, strict=True))


def _places_s(identity: Identity) -> list[float]:
    for text in (one.text for one in identity.tiers):
        rate = RateLimit.parse(text)
        by_clock = rate.options.get("opens", "clock" if rate.family == "sliding-counter" else "") == "clock"
        step_s = rate.options.get("tick_s", rate.window_s if by_clock else 0.0)
        if step_s:
            return [step_s * place / PLACES for place in range(PLACES)]
    return [0.0]


def refusals(limiter: Stranger, identity: Identity, setting: Setting, seed: int) -> tuple[int, int] | None:
    """Refused and all starts of a client that does as it is advised; None where there is no advice."""
    advised, limit = advice(identity, "startBuild").pace, max(limit for limit, _ in setting.scales)
    if advised is None and not identity.unlimited_to:
        return None
    pace = advised or Pace(spacing_s=identity.cost.seconds / max(1, identity.cost.requests))
    steady = min(3 * limit + 50, MOST_STEADY) if advised else identity.unlimited_to
    plan = [(pace.spacing_s or SOON_S, 1)] * steady
    plan += [(max(pace.rest_s, SOON_S), min(pace.burst or 1, MOST_BURST)), (max(pace.after_s, SOON_S), 1)] * 3
    client = _Client(limiter, pace, pace.in_flight or max(1, identity.holds_to), random.Random(seed))
    for pause_s, count in plan[: None if advised else steady]:
        client.send(pause_s, count)
    return client.refused, client.sent


class _Client:
    """Sends starts, of which it has no more at once, and no more builds in flight, than its pace has."""

    def __init__(self, limiter: Stranger, pace: Pace, most_builds: int, chance: random.Random) -> None:
        self.limiter, self.pace, self.most_builds, self.chance = limiter, pace, most_builds, chance
        self.at, self.sent, self.refused, self.ends = 1000.0 + 60 * chance.random(), 0, 0, list[float]()

    def send(self, pause_s: float, count: int) -> None:
        """Sends as many after a pause; each build is ended after a second, or when its place is needed."""
        self.at, free_at = self.at + pause_s, 0.0
        for number in range(count):
            if number and not (self.pace.at_once and number % self.pace.at_once):
                self.at = max(self.at + 0.002, free_at)
            at = self.at + LEG_SPREAD_S * self.chance.random()
            while self.ends and (self.ends[0] <= at or len(self.ends) >= self.most_builds):
                self.limiter.ended(min(at, heapq.heappop(self.ends)))
            accepted, delay_s, _ = self.limiter.decide(at)
            free_at = max(free_at, at + delay_s + LEAST_S)
            if accepted:
                heapq.heappush(self.ends, at + delay_s + 1.0)
            else:
                self.at += self.pace.free_s or 0.0
            self.sent, self.refused = self.sent + 1, self.refused + (not accepted)
        self.at = max(self.at, free_at)
