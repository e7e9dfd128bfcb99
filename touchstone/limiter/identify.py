"""The identification from the first request to the last: what is asked next, what was heard, what is known; pure."""

import math
from collections.abc import Sequence
from dataclasses import replace

from touchstone.facts.identity import Identity, Step, Tier, Why
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Segment, Stimulus, drain
from touchstone.limiter.caps import Crowds, Held, InFlight, perhaps_by_builds
from touchstone.limiter.chapters import (
    MOST_CHAPTERS,
    REST_TIMES,
    Chapter,
    describe_chapters,
    describe_first_refusal,
    doubted,
)
from touchstone.limiter.filling import AFTER_S
from touchstone.limiter.opening import Opening
from touchstone.limiter.queues import Queues
from touchstone.limiter.rates import Rates
from touchstone.limiter.story import Story
from touchstone.limiter.telling import cost, identity
from touchstone.limiter.terms import Terms

# Rates of no longer than this often have a longer one behind them: they are spent so many times in a row, up to so many
# requests; what is let through within as long counts, whatever it was sent for.
_MOMENT_S, _MOMENTS, _MOST_MOMENTS = 2.0, 5.0, 61
# The window of a longer rate is hardly ever shorter than this.
_LEAST_LONG_S = 5.0
# Between two fillings there is so much more than what it takes to be full again.
_SLOWER = 1.1


def of_a_moment(tiers: Sequence[Tier], refill_s: float) -> tuple[int, float]:
    """How many have to be let through, and within how many seconds; 0 of any but one rate of a moment.

    Args:
        tiers: What is known of the rate.
        refill_s: How long it takes to give its limit anew.
    """
    if len(tiers) != 1:
        return 0, 0.0
    numbers = tiers[0].numbers
    longest_s = max(refill_s, numbers["window_s"].value if "window_s" in numbers else 0.0)
    if longest_s > _MOMENT_S:
        return 0, 0.0
    most = max((numbers[name].value for name in ("limit", "burst") if name in numbers), default=1.0)
    return min(math.ceil(_MOMENTS * most), _MOST_MOMENTS), max(_SLOWER * _MOMENTS * longest_s, _LEAST_LONG_S)


def most_within(answers: Sequence[Answer], span_s: float) -> int:
    """The most that were accepted of those sent within so many seconds."""
    sent_at = [answer.sent_at for answer in answers if answer.accepted]
    first = most = 0
    for last, at in enumerate(sent_at):
        while at - sent_at[first] > span_s:
            first += 1
        most = max(most, last - first + 1)
    return most


_PLENTY = 10_000
# Before it begins once more with one build at a time, or fills what it never met full, nothing is sent for so many
# seconds at most.
_ALONE, _RESTED, _MOST_REST_S = "alone", "rest, once more", 60.0
# Requests one after the other that are further apart may be too slow to meet a rate.
_SLOW_S = 0.01
# What is let through by these counts as spent, however long it took.
_SOAKS = ("soak", "builds", "in flight")


class Probe:
    """One identification. The same terms and the same answers lead to the same questions and the same identity.

    Times are seconds on one clock that begins with the run and goes on while a probe is interrupted.

    Attributes:
        steps: What was sent so far, and what was known after each.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.steps: list[Step] = []
        self._frees = 0
        self._anew = False
        self._why: Why = ""
        self._before: list[Chapter] = []
        self._stood: list[Chapter] = []
        self._alone = self._refilled = False
        self._answers: list[Answer] = []
        self._begin(0.0)

    def _begin(self, at: float) -> None:
        """Knows nothing, and asks for nothing before *at*."""
        self._begins_at = at
        self.story = Story()
        self._opening = Opening(self.story, self.terms.starts, self.terms.most_requests - len(self._answers))
        self._opening.capped = self._alone
        self._rates: Rates | None = None
        self._queue = Queues(self.story)
        self._held = Held(self._room, self.terms.most_held, self.terms.builds_s)
        self._in_flight = InFlight(self._room)
        self._crowds = Crowds()
        self._by_cap: dict[str, set[int]] = {}
        self._soaked = 0
        self._rested = False

    def ask(self, now_at: float) -> Stimulus | None:
        """What is sent next, from *now_at* on; None where nothing more is asked."""
        if self._why:
            return None
        left = self.left
        if left <= 0:
            self._why = "budget"
            return None
        stimulus = self._ask(max(now_at, self._begins_at), left)
        if stimulus is None:
            short = self._rates is not None and left < self._rates.limit + 2
            self._why = "settled" if self._tiers()[1] else "budget" if short else "nothing left to learn"
            return None
        if stimulus.stage != "builds":
            stimulus = replace(stimulus, frees=self._frees)
        stimulus = replace(stimulus, anew=self._anew)
        return stimulus.within(self.terms.most_requests - len(self._answers), self._builds_left)

    @property
    def left(self) -> int:
        """Requests that there is room for, all of which may be accepted."""
        return min(self.terms.most_requests - len(self._answers), self._builds_left)

    @property
    def _builds_left(self) -> int:
        return self.terms.most_builds - self._accepted if self.terms.starts else _PLENTY

    @property
    def _accepted(self) -> int:
        return sum(answer.accepted for answer in self._answers)

    def _ask(self, now_at: float, left: int) -> Stimulus | None:
        if not self._opening.over:
            return self._opening.ask(now_at)
        if self._opening.queued:
            return self._queue.ask(now_at, left)
        if self._rates and self._rates.nearly:
            if not self._rested and not self.story.answers[0].accepted:
                return self._after_rest(self._rates, now_at)
            if stimulus := self._besides(self._rates.begins_at(now_at), left):
                return stimulus
        if self._rates and (stimulus := self._rates.ask(now_at, left)):
            if self._opening.capped:
                parts = tuple(replace(part, alone=True) for part in stimulus.segments)
                stimulus = replace(stimulus, segments=parts)
            return stimulus
        if self._rates and not self._rates.settled:
            return self._one_at_a_time(now_at)
        return self._besides(now_at, left) or self._soak(now_at, left)

    def _one_at_a_time(self, now_at: float) -> Stimulus | None:
        """Begins once more with one build at a time, where no rate explains what builds in flight may have caused."""
        builds = self.terms.starts and self.terms.caps and self._refilled
        if not builds or self._alone or not self._rates:
            return None
        at = self._rested_at(self._rates, now_at)
        return Stimulus("one build alone", (Segment((at,), alone=True),), stage=_ALONE)

    def _after_rest(self, rates: Rates, now_at: float) -> Stimulus:
        """
        All that a limiter lets through after a rest, which was not full when it was met: it may never have been since.
        """
        fills = drain(self._rested_at(rates, now_at), round(rates.limit) + 2)
        return Stimulus(_RESTED, (replace(fills, alone=self._opening.capped),), stage=_RESTED)

    def _rested_at(self, rates: Rates, now_at: float) -> float:
        return now_at + min(REST_TIMES * max(rates.refill_s, self.story.seconds), _MOST_REST_S)

    def _besides(self, now_at: float, left: int) -> Stimulus | None:
        """What else there may be: caps, and a second limit. What these let through tells of the limit, too."""
        return self._ask_caps(now_at, left) or self._soak(now_at, left, short=True)

    def _ask_caps(self, now_at: float, left: int) -> Stimulus | None:
        if not self.terms.caps:
            return None
        if self.terms.starts and (stimulus := self._held.ask(now_at, left)):
            return stimulus
        if stimulus := self._in_flight.ask(now_at, min(left, self._held.cap or left)):
            return stimulus
        return self._ask_crowds(now_at, left)

    def _ask_crowds(self, now_at: float, left: int) -> Stimulus | None:
        """
        Where there is no rate, and one after the other took their time: as many at once as a cap lets in, or as may be.
        """
        if self._rates or self._opening.step_s < _SLOW_S:
            return None
        if under_way := self._in_flight.tier():
            return self._crowds.ask(now_at, int(under_way.numbers["limit"].value), left, together=True)
        if self._held.tier():
            return self._crowds.ask(now_at, self._held.cap, left, together=False)
        return self._crowds.ask(now_at, self.terms.most_held, left, together=True, capless=True)

    def _soak(self, now_at: float, left: int, *, short: bool = False) -> Stimulus | None:
        """As many as the rate lets through, again and again.

        Args:
            short: Whether only as often as shows whether the rate of a moment is the first of two.
        """
        if self._rates is None:
            return None
        missing = self._missing_of_a_moment(self._rates) if short else self.terms.soak - self._accepted
        if missing <= 0:
            return None
        _, full_at = self._rates.room(now_at)
        at = max(now_at, full_at + AFTER_S)
        room, _ = self._rates.room(at)
        alone = self._opening.capped or self._held.tier() is not None
        return Stimulus("soak", (Segment((at,) * max(1, min(room, left, missing)), alone=alone),), stage="soak")

    def _missing_of_a_moment(self, rates: Rates) -> int:
        """How many have yet to be let through in a row before a rate of a moment counts as the only one."""
        needed, within_s = of_a_moment(rates.tiers(), rates.refill_s)
        return needed - max(self._soaked, most_within(self.story.answers, within_s) if needed else 0)

    def _room(self, at: float) -> tuple[int, float]:
        return self._rates.room(at) if self._rates else (_PLENTY, at)

    def hear(self, stimulus: Stimulus, answers: Sequence[Answer]) -> None:
        """Takes in the answers to a stimulus, in the order in which they were sent; fewer where it was cut short."""
        if stimulus.anew:
            self.resume()
        if stimulus.stage == _ALONE and answers:
            self._alone = True
            self._begin(0.0)
        self._anew = self._anew and not answers
        self._frees = 0 if answers else self._frees
        self.story.add(answers)
        self._answers += answers
        self._tell(stimulus.stage, answers)
        self._refilled = self._refilled or self._opening.refilled
        self._soaked += sum(answer.accepted for answer in answers) if stimulus.stage in _SOAKS else 0
        opened = stimulus.stage in ("opening", "queue", _ALONE) and self._opening.over and not self._opening.queued
        if opened and self._opening.limited:
            self._rates = Rates(self.story, self.terms.seed, self._accepted_first())
        elif self._rates:
            asked = stimulus.stage == "rate"
            self._rates.hear(answers, asked=asked, bits=stimulus.bits if asked else 0.0)
        if stimulus.stage == "builds":
            self._doubt_caps()
        self._doubted()
        families = self._rates.families() if self._rates else {}
        ended_at = max((answer.done_at for answer in answers), default=0.0)
        self.steps.append(Step(stimulus.name, ended_at, stimulus.bits, families))
        surprise = self._rates.surprises.met if self._rates else None
        if self._rates and surprise and len(self._before) + 1 < MOST_CHAPTERS:
            self._before.append(surprise)
            self._stood += [self._rates.stood] if self._rates.stood else []
            self._begin(ended_at + REST_TIMES * max(self._rates.refill_s, self.story.seconds))

    def _tell(self, stage: str, answers: Sequence[Answer]) -> None:
        """Has the part hear that asked."""
        if stage in ("opening", _ALONE):
            self._opening.hear(answers)
        elif stage == "queue":
            self._queue.hear(answers)
            if self._queue.disproved:
                self._opening.resume(answers)
        elif stage == "builds":
            self._held.hear(answers)
            self._frees = self._held.holds_to
            self._leave_out(answers, stage, disproved=self._held.disproved)
        elif stage == "in flight":
            self._in_flight.hear(answers)
            if not self._rates and self._opening.shows_queue(answers):
                self._opening.queued, self._in_flight = True, InFlight(self._room)
            self._leave_out(answers, stage, disproved=self._in_flight.disproved or self._in_flight.taken_back)
        elif stage == "crowd":
            self._crowds.hear(answers)
        elif stage == _RESTED:
            self._rested = self._rested or bool(answers)

    def resume(self) -> None:
        """Goes on after an interruption, at the end of which every build was cancelled."""
        self._anew, self._frees = True, 0
        self._held.begin_anew()

    def _leave_out(self, answers: Sequence[Answer], stage: str, *, disproved: bool) -> None:
        """What a cap refuses tells nothing of the rate; what is let through counts there too.

        Where there is no cap after all, each of these refusals is one that the rate has to explain.
        """
        first = len(self.story.answers) - len(answers)
        refused = {first + number for number, answer in enumerate(answers) if not answer.accepted}
        refused |= self._by_cap.pop(stage, set())
        if disproved:
            self.story.left_out -= refused
            if self._rates and refused:
                self._rates.rethink()
        else:
            self.story.left_out |= refused
            self._by_cap[stage] = refused

    def _doubt_caps(self) -> None:
        """Looks for the rate once more where what is known of builds in flight by now puts it in another light."""
        self._doubt_refusals()
        self._doubt_builds()

    def _doubt_refusals(self) -> None:
        """
        Looks for the rate once more, one build at a time, where what it was found by may have been refused by the cap.

        What is left may be no refusal at all.
        """
        if not self._rates or self._opening.capped or not self._held.over or not self._held.tier():
            return
        doubtful = perhaps_by_builds(self.story.answers, self._held.cap) - self.story.left_out
        if not doubtful:
            return
        self.story.left_out |= doubtful
        self._opening.go_on_alone()
        self._rates = Rates(self.story, self.terms.seed, self._accepted_first()) if self._opening.over else None

    def _doubt_builds(self) -> None:
        """Looks for a rate after all, where builds were begun one at a time because of a cap that is none."""
        if self._held.disproved and self._opening.capped and not self._rates:
            self._opening.capped = self._opening.refilled = self._alone = self._refilled = False
            self.story.left_out.clear()
            self._rates = Rates(self.story, self.terms.seed, self._accepted_first())

    def _accepted_first(self) -> int:
        """
        How many were accepted before the first refusal that is the rate's, save those before which one was refused.
        """
        count = 0
        for number, answer in enumerate(self.story.answers):
            if number in self.story.left_out:
                continue
            if not answer.accepted and count:
                return count
            count += answer.accepted
        return max(count, 1)

    def stop(self, why: Why) -> None:
        """Has nothing more asked."""
        self._why = why

    def known(self) -> Identity:
        """What is known by now."""
        tiers, sure = self._tiers()
        unlimited = len(self.story.answers) if not self._rates and not self._opening.queued else 0
        return identity(
            tiers,
            self._rates,
            self.story,
            spent=cost(self._answers, starts=self.terms.starts),
            why=self._why,
            sure=sure,
            more_notes=(*describe_first_refusal(self._answers), *self._said_before(tiers), *self._said_of_caps()),
            unlimited_to=unlimited,
            uncapped_to=self._in_flight.uncapped_to,
            holds_to=self._held.holds_to,
        )

    def _said_before(self, tiers: Sequence[Tier]) -> tuple[str, ...]:
        """What was found before answers came that contradict it."""
        if not self._before:
            return ()
        return describe_chapters(
            self._before, tiers, self._answers[0].sent_at, builds=self._alone, doubted=self._doubted()
        )

    def _doubted(self) -> list[Chapter]:
        """What may still be all that there is, though it was contradicted."""
        before, rates = [*self._before, *self._stood], self._rates
        if not before or not rates:
            return []
        settled = rates.settled
        found = doubted(before, rates.tiers(), self.story.moments(), rates.belief.evidence()) if settled else []
        rates.doubted = bool(found)
        return found

    def _said_of_caps(self) -> tuple[str, ...]:
        """What was met and is not told as a cap, and why no higher one could be met."""
        over = self._why not in ("", "interrupted")
        hidden = self._held.hidden(spent=self._why == "budget") if over and self._rates else ""
        return tuple(text for text in (self._held.doubt, self._in_flight.doubt, self._crowds.doubt, hidden) if text)

    def _tiers(self) -> tuple[list[Tier], bool]:
        queue = self._queue.tier() if self._opening.queued else None
        rates = [queue] if queue else []
        sure = self._queue.settled if self._opening.queued else self._opening.unrefused
        if self._rates:
            rates = self._rates.tiers()
            sure = self._rates.settled and not self._doubted()
        caps = [cap for cap in (self._held.tier(), self._in_flight.tier()) if cap]
        sure = sure and self._held.sure and self._in_flight.sure and not self._crowds.refused
        return rates + caps, sure
