"""A network and limiters in virtual time, for a probe: nothing waits, and one seed always gives the same answers."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.limiting import decide, limiter_for
from touchstone.facts.probe import Answer, Segment, Stimulus
from touchstone.twin import RateLimit
from touchstone.twin.limits import Limiter

LEG_S, SPREAD_S, GAP_S = 0.0004, 0.0003, 0.0002


@dataclass
class Net:
    """A limiter behind a network.

    Attributes:
        text: The limiter, as `touchstone serve --rate` takes it.
        leg_s: Least time that a request or an answer takes.
        jitter_s: Spread of the time that a request or an answer takes besides, half a normal distribution.
        foreign_per_s: Requests of somebody else with the same key, at random moments.
        changes: When another limiter takes its place, and which.
        hints: Whether a refusal says when to come back, in whole seconds that are never too short.
        quotes: By which factor the RateLimit fields of each response are wrong, if it is not 1; 0 without the fields.
        lasts_s: After which a build ends by itself.
        think_s: How long each decision takes.
    """

    text: str
    seed: int = 1
    jitter_s: float = 0.0
    foreign_per_s: float = 0.0
    changes: tuple[tuple[float, str], ...] = ()
    hints: bool = True
    quotes: float = 0.0
    think_s: float = 0.05
    leg_s: float = LEG_S
    lasts_s: float = float("inf")
    began_at: float = 1000.0
    now_at: float = 0.0
    held: list[float] = field(default_factory=list)
    _limiter: Limiter = field(init=False)
    _chance: random.Random = field(init=False)
    _others: Iterator[float] = field(init=False)

    def __post_init__(self) -> None:
        """Puts the limiter in its place."""
        self._chance = random.Random(self.seed)
        self._limiter = limiter_for(self.text)
        self._others = self._foreign()
        self._next_at = next(self._others)

    def _foreign(self) -> Iterator[float]:
        at = 0.0
        while self.foreign_per_s:
            at += self._chance.expovariate(self.foreign_per_s)
            yield at
        yield float("inf")

    def _leg_s(self) -> float:
        extra = abs(self._chance.gauss(0.0, self.jitter_s)) if self.jitter_s else 0.0
        return self.leg_s + SPREAD_S * self._chance.random() + extra

    def _decide(self, arrived_at: float) -> tuple[bool, float, float | None]:
        while self.held and self.held[0] + self.lasts_s <= arrived_at:
            self.held.pop(0)
            self._limiter.ended()
        while self.changes and arrived_at >= self.changes[0][0]:
            self._limiter, self.changes = limiter_for(self.changes[0][1]), self.changes[1:]
        while self._next_at <= arrived_at:
            decide(self._limiter, self.began_at + self._next_at)
            self._next_at = next(self._others)
        wait_s = self._limiter.wait_s(self.began_at + arrived_at)
        accepted, delay_s = decide(self._limiter, self.began_at + arrived_at)
        hint_s = float(-(-wait_s // 1)) if self.hints and not accepted and wait_s < 1e9 else None
        return accepted, delay_s, hint_s

    def send(self, stimulus: Stimulus) -> list[Answer]:
        """Sends a stimulus to its end."""
        for _ in range(min(stimulus.frees, len(self.held))):
            self.held.pop(0)
            self._limiter.ended()
        answers: list[Answer] = []
        for segment in stimulus.segments:
            answers += self._volley(segment) if segment.together else self._serial(segment)
        return answers

    def _serial(self, segment: Segment) -> Iterator[Answer]:
        took_s: list[float] = []
        for at in segment.at:
            sent_at = max(at, self.now_at)
            answer = self._ask(sent_at, segment, 0)
            self.now_at = answer.done_at + GAP_S
            yield answer
            took_s += [answer.done_at - answer.sent_at] if answer.accepted else []
            if segment.ends_with(accepted=answer.accepted, took_s=took_s):
                return

    def _volley(self, segment: Segment) -> list[Answer]:
        """Those of a volley come in the order of how long they are under way, those of a stream as they are sent."""
        legs = [self._leg_s() for _ in segment.at]
        legs = legs if segment.until else sorted(legs)
        found: list[Answer] = []
        for number, leg_s in enumerate(legs):
            sent_at = max(segment.at[number], self.now_at)
            if segment.until == "refused" and any(a.done_at <= sent_at and not a.accepted for a in found):
                break
            found.append(self._ask(sent_at, segment, number, leg_s))
        self.now_at = max(answer.done_at for answer in found) + GAP_S
        return found

    def _ask(self, sent_at: float, segment: Segment, stream: int, leg_s: float | None = None) -> Answer:
        arrived_at = sent_at + (self._leg_s() if leg_s is None else leg_s)
        accepted, delay_s, hint_s = self._decide(arrived_at)
        if accepted and segment.holds:
            self.held.append(arrived_at)
        elif accepted:
            self._limiter.ended()
        done_at = arrived_at + delay_s + self._leg_s()
        return Answer(sent_at, done_at, accepted, hint_s, self._quota() if self.quotes else {}, stream)

    def _quota(self) -> dict[str, float]:
        tier = RateLimit.parse(self.text).tiers[0]
        return {"limit": tier.limit * self.quotes, "window_s": tier.window_s * self.quotes}
