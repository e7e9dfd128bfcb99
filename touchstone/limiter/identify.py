"""Identifies a limiter: goes through the stages of a probe, proposes each stimulus, and gives the result; no I/O."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import dropwhile

from touchstone.facts.identity import Cost, Identity, Interval, Runner, Step, Tier, Why
from touchstone.facts.probe import Answer, Moment, Segment, Stimulus, Terms, drain, promised, volley
from touchstone.limiter.belief import against, hints, plain, taken, tier
from touchstone.limiter.rate_inference import AFTER_S, EarlierResult, Rates, Story
from touchstone.limiter.stages import AT_ONCE, CANARY_S, Held, InFlight, Opening, Queues, room_for

# A limit with a period up to _MOMENT_S may hide a second, longer one. So the probe uses up the first _MOMENTS times.
_MOMENT_S, _MOMENTS, _MOST_MOMENTS = 2.0, 5.0, 61
_PLENTY = 10_000
# A rest lasts _REST_TIMES times the refill time, or the probe so far if that is longer, but at most _MOST_REST_S.
_ALONE, _RESTED, _REST_TIMES, _MOST_REST_S = "alone", "rest, once more", 1.5, 60.0
# The two stimuli of a check. First: a rest of such a share of the refill time, requests until one is refused, and some
# more. Second: a request just before the limiter accepts one again, and requests just after that.
_CHECK, _CHECKS, _CHECK_REST, _CHECK_REFUSED = "check", 2, (0.35, 0.65), 6
_BOTH = "both"  # a volley that tests both caps: on concurrent requests, and on builds in flight
_MOST_MEASURED = 2  # most attempts to measure a build cap before the rate limit is known
_MOST_RESULTS = 2  # most searches: a surprise (responses that contradict the result) starts a new search
_LATE_TIMES = 2.0  # after a cancel, the probe waits so many times as long as a cancelled build has kept its place
_SLOW_S = 0.01  # sequential requests that are further apart may be too slow to reach a rate limit
_MOST_CROWDED = 40  # if this many requests, concurrent as far as a cap allows, are not refused: no rate limit
_HIDDEN_RATE = "a volley was refused in part: there is a rate limit that single requests never reach, or a higher cap"
_LEAST_SHARE = 1e-4  # families with a lower probability are not reported
_NO_FIT = "other clients may use the key, or the limiter drifted, was changed, or is of an unknown family"
_LESS = "it explains the responses less well"
_WINDOW_S, _RATE_OFF = 1.0, 0.02  # larger errors in RateLimit fields are reported: of the window, of the rate


def short_period_test(tiers: Sequence[Tier], refill_s: float) -> int:
    """Accepted requests that reveal a longer limit behind a single short one; 0 in other cases."""
    numbers = tiers[0].numbers
    longest_s = max(refill_s, numbers["window_s"].value if "window_s" in numbers else 0.0)
    if len(tiers) != 1 or longest_s > _MOMENT_S:
        return 0
    most = max((numbers[name].value for name in ("limit", "burst") if name in numbers), default=1.0)
    return min(math.ceil(_MOMENTS * most), _MOST_MOMENTS)


class Probe:
    """Identification of one limiter: the same terms and responses always lead to the same stimuli and the same result.

    Times are run seconds: seconds since the start of the run, including interruptions.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.steps: list[Step] = []
        self._frees = 0
        self._anew = False
        self._why: Why = ""
        self._before: list[EarlierResult] = []
        self._past: list[Story] = []  # responses before each new search, which its result must explain as well
        self._alone = self._refilled = False
        self._answers: list[Answer] = []
        self._begin(0.0)

    def _begin(self, at: float) -> None:
        self._begins_at = at
        self.story = Story()
        left = self.terms.most_requests - len(self._answers)
        self._opening = Opening(self.story, self.terms.starts, left, self.terms.soak)
        self._opening.capped = self._alone
        self._rates: Rates | None = None
        self._queue = Queues(self.story)
        self._measured = 0
        self._held = Held(self._room, self.terms.most_held, self.terms.builds_s)
        self._in_flight = InFlight(self._room)
        self._crowded = self._crowd_refused = 0
        self._by_cap: dict[str, set[int]] = {}
        self._rested = self._volleyed = False
        self._checked = 0

    def propose(self, now_at: float) -> Stimulus | None:
        """Next stimulus, with no request due before *now_at*; None at the end of the probe."""
        if self._why:
            return None
        accepted = sum(answer.accepted for answer in self._answers)
        requests = self.terms.most_requests - len(self._answers)
        builds = self.terms.most_builds - accepted if self.terms.starts else _PLENTY
        left = min(requests, builds)
        stimulus = self._propose(max(now_at, self._begins_at), left) if left > 0 else None
        if stimulus is None:
            short = left <= 0 or (self._rates is not None and left < self._rates.limit + 2)
            settled = left > 0 and self._tiers()[1]
            self._why = "settled" if settled else "budget" if short else "nothing left to learn"
            return None
        frees = stimulus.frees if stimulus.stage == "builds" and self._held.holds_to else self._frees
        return replace(stimulus, frees=frees, anew=self._anew).within(requests, builds)

    def _propose(self, now_at: float, left: int) -> Stimulus | None:
        rates = self._rates
        if not self._opening.over:
            # Once a cap refused a start, it is measured first: the search for a rate limit then stays below it.
            measures = self._opening.capped and self._measured < _MOST_MEASURED
            early = self._held.propose(now_at + self._measured, left) if measures else None
            return early or self._promised(now_at, left) or self._opening.propose(now_at)
        if self._opening.queued:
            return self._queue.propose(now_at, left)
        if rates and rates.nearly:
            if not self._rested and not self.story.answers[0].accepted:  # the whole limit may never have been available
                fills = drain(self._rested_at(rates, now_at), round(rates.limit) + 2)
                return Stimulus(_RESTED, (replace(fills, beside=self._opening.beside),), stage=_RESTED)
            if stimulus := self._check(now_at, left) or self._besides(now_at, left):
                return stimulus
        elif rates and rates.likely and (stimulus := self._check(now_at, left)):
            return stimulus
        if rates and (stimulus := rates.propose(now_at, left)):
            parts = tuple(replace(part, beside=self._opening.beside) for part in stimulus.segments)
            return replace(stimulus, segments=parts)
        if rates and not rates.settled:
            # A build cap may be the reason that no rate limit fits: start again with one build at a time.
            if not (self.terms.starts and self.terms.caps and self._refilled) or self._alone:
                return None
            part = Segment((self._rested_at(rates, now_at),), beside=0)
            return Stimulus("one build alone", (part,), stage=_ALONE)
        missing = self.terms.soak - sum(answer.accepted for answer in self._answers)
        besides = self._check(now_at, left) or self._besides(now_at, left)
        return besides or self._soak(now_at, left, missing)

    def _check(self, now_at: float, left: int) -> Stimulus | None:
        """Requests at times that the search did not choose, which a limiter of another family answers differently."""
        rates, low = self._rates, _CHECK_REST[0]
        if self._checked >= _CHECKS or not rates or rates.quoted:
            return None
        if self._checked:
            *before, drained = rates.edges(now_at)
            at_once = self._volley(rates.room(drained.at[0])[0], drained.at[0], left)
            parts = (*before, *at_once, drained)
        else:
            share = low + (_CHECK_REST[1] - low) * random.Random(f"{self.terms.seed}/{len(self._answers)}").random()
            at = now_at + share * rates.refill_s
            refused = Segment((at,) * min(_CHECK_REFUSED, round(rates.limit)))
            parts = (drain(at, 2 * round(rates.limit) + 2), refused)
        return Stimulus(_CHECK, tuple(replace(part, beside=self._beside) for part in parts), stage=_CHECK)

    def _promised(self, now_at: float, left: int) -> Stimulus | None:
        """The volley that tests both caps, if the RateLimit fields promise to accept it."""
        answers = self.story.answers
        if len(answers) != 1 or not (both := self._volley(promised(answers[0].quota) - 1, now_at + CANARY_S, left)):
            return None
        return Stimulus(f"{len(both[0].at)} at once", both, stage=_BOTH)

    def _volley(self, room: int, at: float, left: int) -> tuple[Segment, ...]:
        """The volley that tests both caps, unless it was sent; it reaches a low rate limit once more."""
        count = min(room + 1, AT_ONCE, self.terms.most_held, left)
        if self._volleyed or self._opening.capped or not self.terms.caps or count < 2:
            return ()
        return (replace(volley(at, count), holds=self.terms.starts),)

    def _rested_at(self, rates: Rates, now_at: float) -> float:
        return now_at + min(_REST_TIMES * max(rates.refill_s, self.story.seconds), _MOST_REST_S)

    def _besides(self, now_at: float, left: int) -> Stimulus | None:
        rates = self._rates
        needed = short_period_test(rates.tiers(), rates.refill_s) if rates and not rates.quoted else 0
        limited = dropwhile(lambda answer: answer.accepted, self.story.answers[1:])
        missing = needed - sum(answer.accepted for answer in limited)
        return self._propose_caps(now_at, left) or self._soak(now_at, left, missing)

    def _propose_caps(self, now_at: float, left: int) -> Stimulus | None:
        if not self.terms.caps:
            return None
        room, at = room_for(min(AT_ONCE, self.terms.most_held), self._room, now_at)
        if both := self._volley(room, at, left):
            return Stimulus(f"{len(both[0].at)} at once", both, stage=_BOTH)
        held = self._held.propose(now_at, left) if self.terms.starts else None
        under_way = held or self._in_flight.propose(now_at, min(left, self._held.cap or left))
        return under_way or self._propose_volley(now_at, left)

    def _propose_volley(self, now_at: float, left: int) -> Stimulus | None:
        """As many requests at once as a cap or the budget allows, if sequential ones were too slow to reach a limit."""
        under_way, held = self._in_flight.tier(), self._held.tier()
        cap = self._in_flight.volley_caps[0] if under_way else self._held.cap if held else self.terms.most_held
        over = self._crowd_refused or self._crowded >= _MOST_CROWDED or self._opening.cap or not 1 < cap <= left
        if self._rates or self._opening.step_s < _SLOW_S or over:
            return None
        part = Segment((now_at,) * cap) if held and not under_way else volley(now_at, cap)
        return Stimulus(f"{cap} at a time", (part,), stage="crowd")

    def _soak(self, now_at: float, left: int, missing: int) -> Stimulus | None:
        if self._rates is None or missing <= 0:
            return None
        _, full_at = self._rates.room(now_at)
        at = max(now_at, full_at + AFTER_S)
        room, _ = self._rates.room(at)
        return Stimulus("soak", (Segment((at,) * max(1, min(room, left, missing)), beside=self._beside),), stage="soak")

    @property
    def _beside(self) -> int | None:
        """Most builds beside which no cap refuses a start; None without a cap."""
        return max(self._held.cap - 2, 0) if self._held.tier() else self._opening.beside

    def _room(self, at: float) -> tuple[int, float]:
        return self._rates.room(at) if self._rates else (_PLENTY, at)

    def observe(self, stimulus: Stimulus, answers: Sequence[Answer]) -> None:
        """Updates the probe with the responses to a stimulus, in order of sending; the last ones may be missing."""
        if stimulus.anew:
            self.resume()
        at_once = next((part for part in stimulus.segments if part.together), None)
        room = min(self._room(at_once.at[0])[0], len(at_once.at)) if at_once else 0
        if stimulus.stage == _ALONE and answers:
            self._alone = True
            self._begin(0.0)
        if answers:
            self._anew, self._frees = False, 0
        if stimulus.frees and stimulus.stage != "builds":
            self._held.begin_anew()
        self.story.answers += answers
        self._answers += answers
        self._pass_on(stimulus.stage, answers, room)
        self._refilled = self._refilled or self._opening.refilled
        opens = stimulus.stage in ("opening", "queue", _ALONE, _BOTH)
        if opens and self._opening.over and not self._opening.queued and self._opening.limited:
            self._rates = Rates(self.story, self.terms.seed)
        elif self._rates:
            stage = stimulus.stage
            self._rates.observe(answers, for_rate=stage == "rate", bits=stimulus.bits, rested=stage == _RESTED)
            self._rates.quoted = _is_quoted(self._rates, *self.story.quote())
        ended_at = max((answer.done_at for answer in answers), default=0.0)
        self.steps.append(Step(stimulus.name, ended_at, stimulus.bits, self._rates.families() if self._rates else {}))
        if self._rates and self._rates.surprise and len(self._before) + 1 < _MOST_RESULTS:
            self._before.append(self._rates.surprise)
            self._past.append(self.story)
            self._begin(ended_at + _REST_TIMES * max(self._rates.refill_s, self.story.seconds))

    def _pass_on(self, stage: str, answers: Sequence[Answer], room: int) -> None:
        self._rested = self._rested or (stage == _RESTED and bool(answers))
        self._checked += stage == _CHECK and bool(answers)
        if stage in ("opening", _ALONE):
            self._opening.observe(answers)
        elif stage == "queue":
            self._queue.observe(answers)
            if self._queue.disproved:
                self._opening.resume(answers)
        elif stage == "builds":
            self._observe_builds(answers)
        elif stage == "in flight":
            self._in_flight.observe(answers)
            if not self._rates and self._opening.shows_queue(answers):
                self._opening.queued, self._in_flight = True, InFlight(self._room)
            self._leave_out(answers, stage, disproved=self._in_flight.disproved or self._in_flight.taken_back)
        elif stage in (_BOTH, _CHECK) and any(answer.stream for answer in answers):
            self._observe_both(answers, room)
        elif stage == "crowd":
            self._crowded += max(1, len(answers))
            self._crowd_refused += sum(not answer.accepted for answer in answers)

    def _observe_both(self, answers: Sequence[Answer], room: int) -> None:
        """Both caps are at least as high as a volley that the rate limit alone explains; else each is looked for."""
        sent = [number for number, answer in enumerate(answers) if answer.stream]
        room -= sum(answer.accepted for answer in answers[: sent[0] - 1])
        answers, count = answers[sent[0] - 1 :], len(sent) + 1
        accepted = [answer for answer in answers[:count] if answer.accepted]
        self._frees = len(accepted)
        if len(accepted) == count < room:  # an interruption cut the volley short
            return
        self._volleyed = True
        if not self._rates and self._opening.shows_queue(answers):
            self._opening.queued = self._opening.over = True
        elif len(accepted) < room and not self._opening.over:
            self._opening.observe(sorted(answers, key=lambda answer: not answer.accepted))
        elif len(accepted) < room:
            self._checked, self._held.at_once = min(self._checked, 1), len(accepted)
            self._leave_out(answers, "builds", disproved=False)
        elif accepted:
            self._in_flight.uncapped_to, self._in_flight.over = len(accepted), True
            if self.terms.starts:
                self._held.observe(accepted)

    def _observe_builds(self, answers: Sequence[Answer]) -> None:
        held, early = self._held, not self._opening.over
        held.waits = self._rates is not None
        held.observe(answers)
        self._frees = held.holds_to if answers else self._frees
        if held.over and held.late_s:
            self._begins_at = self.story.answers[-1].done_at + _LATE_TIMES * held.late_s
        self._leave_out(answers, "builds", disproved=held.disproved and not early)
        if early and (held.over or held.disturbed):
            self._measured += 2 if held.over else 1
            self._opening.cap = held.cap if held.over and held.tier() else 0
            self.story.alone_from = len(self.story.answers)
            if not self._opening.cap:
                self._held = Held(self._room, self.terms.most_held, self.terms.builds_s)
        disproved = self._measured >= _MOST_MEASURED and not self._alone if early else held.disproved
        if disproved and self._opening.capped and not self._opening.cap and not self._rates:
            self._opening.capped, self._opening.over = False, True  # a rate limit refused the starts
            self._alone, self._refilled, self._opening.refilled = False, early, early
            self.story.left_out.clear()
            self.story.alone_from = 0
            self._rates = Rates(self.story, self.terms.seed)

    def resume(self) -> None:
        """Continues after an interruption, which has cancelled all builds."""
        self._anew, self._frees = True, 0
        self._held.begin_anew()

    def _leave_out(self, answers: Sequence[Answer], stage: str, *, disproved: bool) -> None:
        """Excludes refusals by a cap from the search for the rate limit; with *disproved*, includes them again."""
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

    def stop(self, why: Why) -> None:
        """Ends the probe; *why* is the reason that the result gives."""
        self._why = why

    def known(self) -> Identity:
        """The result so far."""
        (tiers, sure), rates, moments = self._tiers(), self._rates, self.story.moments()
        rest = "".join(f"+{one.text}" for one in tiers[1:])
        doubtful = rates if rates and rates.doubtful and moments else None
        return Identity(
            tiers=tuple(tiers),
            families=runners(rates, moments) if rates else (),
            cost=cost(self._answers, starts=self.terms.starts),
            alike=tuple(text + rest for text in alike(tiers[0])) if tiers else (),
            unlimited_to=0 if rates or self._opening.queued or self._has_refused else len(self._answers),
            uncapped_to=self._in_flight.uncapped_to,
            holds_to=self._held.holds_to,
            refused_for_s=refused_for_s(self._answers),
            others_share=taken(doubtful.belief.likeliest().best(), moments) if doubtful else Interval(0.0, 0.0, 0.0),
            sure=sure,
            why=self._why,
            findings=findings(rates, tiers, self.story),
            notes=(*_odd(rates, moments), *self._notes(tiers)),
        )

    def _notes(self, tiers: Sequence[Tier]) -> Iterator[str]:
        answers = self._answers
        if answers and not answers[0].accepted and any(answer.accepted for answer in answers):
            why = "the key was used shortly before, or the limiter starts empty"
            yield f"the first request was refused: {why}"
        for one in self._before:
            yield one.describe(tiers, answers[0].sent_at if answers else 0.0, builds=self._alone)
        over = self._why not in ("", "interrupted")
        hidden = self._held.hidden(spent=self._why == "budget") if over and self._rates else ""
        hidden_rate = _HIDDEN_RATE if self._crowd_refused else ""
        delays = "" if self._rates or self._opening.queued else self.story.delays
        yield from filter(None, (self._held.doubt, self._in_flight.doubt, hidden_rate, hidden, delays))

    @property
    def _has_refused(self) -> bool:
        return any(not answer.accepted for answer in self._answers)

    def _tiers(self) -> tuple[list[Tier], bool]:
        """All limiters found so far, and whether they are certain."""
        queue = self._queue.tier() if self._opening.queued else None
        found = [queue] if queue else []
        unlimited = self._opening.unrefused and not self.story.delays
        sure = self._queue.settled if self._opening.queued else unlimited
        if self._rates:
            found = self._rates.tiers()
            explains = not any(map(self._rates.odd, self._past)) and (not self._past or self._answers[0].accepted)
            sure = self._rates.settled and explains
        caps = [cap for cap in (self._held.tier(), self._in_flight.tier()) if cap]
        # Refusals that nothing explains: without any limiter, or without a rate limit though there seemed to be one.
        unexplained = self._has_refused and not (found or (caps and not self._before))
        sure = sure and self._held.sure and self._in_flight.sure
        return found + caps, sure and not self._crowd_refused and not unexplained


def cost(answers: Sequence[Answer], *, starts: bool) -> Cost:
    """Cost of the requests with these *answers* (in order of sending). With *starts*, accepted ones began builds."""
    accepted = sum(answer.accepted for answer in answers)
    seconds = max(answer.done_at for answer in answers) - answers[0].sent_at if answers else 0.0
    return Cost(len(answers), len(answers) - accepted, accepted if starts else 0, round(seconds, 3))


def refused_for_s(answers: Sequence[Answer]) -> float:
    """Longest time in seconds from a refusal to the next accepted request, or to the last response."""
    longest_s, since = 0.0, math.inf
    for answer in answers:
        longest_s = max(longest_s, answer.done_at - since)
        since = math.inf if answer.accepted else min(since, answer.sent_at)
    return longest_s


def runners(rates: Rates, moments: Sequence[Moment]) -> tuple[Runner, ...]:
    """Families, the likeliest first, each with the evidence against it; at least two if two were ever likely."""
    found, families = [], rates.families()
    for number, (family, share) in enumerate(families.items()):
        if number == 0 or share >= _LEAST_SHARE or (number == 1 and not rates.remembered.keys() - families.keys()):
            cells = rates.belief.likeliest(family)
            lost = (against(cells.best(), moments) or _LESS) if number else ""
            found.append(Runner(family, round(share, 6), tier(cells).text, lost))
    for family, (cell, text) in rates.remembered.items():
        if len(found) < 2 and family not in families:
            found.append(Runner(family, 0.0, text, against(cell, moments) or _LESS))
    return tuple(found)


def alike(found: Tier) -> tuple[str, ...]:
    """Notations of other limiters that no request can distinguish from *found*."""
    if found.family == "minimum-gap":
        gap = plain(found.numbers["gap_s"])
        return tuple(f"{family}:1/{gap}" for family in ("fixed-window", "sliding-log", "token-bucket", "leaky-bucket"))
    if found.family == "token-bucket" and not found.options and found.numbers["burst"].value > 1:
        places = f"{found.numbers['burst'].value - 1:g}"
        numbers = found.text.partition(":")[2].partition(",")[0]
        return (f"leaky-bucket:{numbers},burst={places},delay={places}",)
    return ()


def findings(rates: Rates | None, tiers: Sequence[Tier], story: Story) -> tuple[str, ...]:
    """Sentences about header fields that contradict the identified limiter."""
    if rates is None or not rates.settled:
        return ()
    wrong_hints = hints(rates.belief.likeliest().best(), story.moments())
    return (*wrong_hints, *_misquoted(tiers[0], *story.quote()))


def _is_quoted(rates: Rates, limit: float | None, window_s: float | None) -> bool:
    """Whether RateLimit fields report the very limiter that is likeliest."""
    return limit == rates.limit and window_s is not None and not [*_misquoted(rates.tiers()[0], limit, window_s)]


def _misquoted(found: Tier, limit: float | None, window_s: float | None) -> Iterator[str]:
    numbers = found.numbers
    window = numbers.get("window_s") or numbers["gap_s"]
    most = (numbers.get("limit") or numbers.get("burst") or Interval(1.0, 1.0, 1.0)).value
    per_s = limit / window_s if limit and window_s and found.family in ("token-bucket", "minimum-gap") else 0.0
    if abs(per_s * window.value / most - 1) <= _RATE_OFF:
        return  # for a steady rate, any window with the right ratio to the limit is correct
    if limit is not None and limit != most:
        yield f"the RateLimit fields report a limit of {limit:g}, but the limiter accepts {most:g} requests"
    if window_s is not None and abs(window_s - window.value) >= _WINDOW_S:
        yield f"the RateLimit fields report a window of {window_s:g} s, but the window is {plain(window)} s"


def _odd(rates: Rates | None, moments: Sequence[Moment]) -> Iterator[str]:
    odd = [moment.at - moments[0].at for moment in rates.odd()] if rates and moments else []
    if len(odd) > 1:
        when = f"from second {odd[0]:.1f} to second {odd[-1]:.1f}"
        yield f"{len(odd)} of {len(moments)} responses contradict the likeliest limiter, {when}: {_NO_FIT}"
    elif odd:
        yield f"one of {len(moments)} responses contradicts the likeliest limiter, in second {odd[0]:.1f}: {_NO_FIT}"
    elif rates and rates.doubtful:
        yield f"some responses fit no known limiter: {_NO_FIT}"
