"""The responses to a probe so far, and the search for the rate limit from the first refusal on; no I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import dropwhile, groupby, pairwise, takewhile

import numpy as np

from touchstone.facts.identity import Tier
from touchstone.facts.probe import Answer, Moment, Segment, Stimulus, drain, moments
from touchstone.limiter.belief import Belief, behind, best_limit, disagreements, loose, overlap, taken, tier, uncertain
from touchstone.limiter.cells import Cells
from touchstone.limiter.kinds import Tiered
from touchstone.limiter.planner import ALONE, choose, steady

_PACE_S = 0.001
_QUOTE = ("limit", "window_s")
# A gap of several mean ones is a pause; a window is rarely so short that it ends during a burst.
_PAUSE_TIMES, _SHORT_TIMES, _MANY = 4.0, 50.0, 150
_SLOW_SHARE, _SLOW_TIMES, _SLOW_S = 0.9, 10.0, 0.1  # requests this much slower than half of them may be delayed
_FEWEST, _STEADY, _SPREAD = 4, 0.97, 0.5  # signs of a steady pace: number of responses, R² of a line, spread


@dataclass
class Story:
    """The story of a probe: all responses so far, in the order of their requests."""

    answers: list[Answer] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)  # indices of refusals with another cause than the rate limit
    alone_from: int = 0  # few builds run at a time from the response with this index on

    @property
    def quickest_s(self) -> float:
        """Shortest response time."""
        return min(answer.took_s for answer in self.answers)

    @property
    def served_s(self) -> float:
        """Shortest response time of an accepted request; a refusal may be faster."""
        return min((answer.took_s for answer in self.answers if answer.accepted), default=self.quickest_s)

    @property
    def seconds(self) -> float:
        """Seconds from the first request to the last response."""
        return max(a.done_at for a in self.answers) - self.answers[0].sent_at if self.answers else 0.0

    def moments(self) -> list[Moment]:
        """Estimates when the rate limiter decided about each request, except those in *left_out*."""
        heeded = [answer for number, answer in enumerate(self.answers) if number not in self.left_out]
        return moments(heeded, self.quickest_s, self.served_s - self.quickest_s) if heeded else []

    def opened(self) -> tuple[int, int, float]:
        """Accepted requests before the first refusal; the least limit and the longest window that may have ended then.

        These are 0 if the requests were so fast that hardly any window can have ended, or too many to try all limits.
        """
        found = takewhile(lambda one: one.accepted, dropwhile(lambda one: not one.accepted, self.moments()))
        at = [moment.at for moment in found]
        if not _FEWEST <= len(at) <= _MANY:
            return max(len(at), 1), 0, 0.0
        gaps_s = np.diff(at)
        fast = len(at) - 1 - int(np.max(np.nonzero(gaps_s > _PAUSE_TIMES * np.mean(gaps_s)), initial=-1))
        longest_s = min(2 * (at[-1] - at[0]), _SHORT_TIMES * (at[-1] - at[-fast]))
        return len(at), max(fast // 2, 1), longest_s

    @property
    def delays(self) -> str:
        """Sentence that many requests took much longer than most; empty if they did not."""
        usual_s, slow_s = np.quantile([answer.took_s for answer in self.answers] or [0.0], (0.5, _SLOW_SHARE))
        if slow_s < _SLOW_TIMES * usual_s + _SLOW_S:
            return ""
        slow = f"{1 - _SLOW_SHARE:.0%} of the requests took at least {slow_s:.2g} s, and half at most {usual_s:.2g} s"
        return f"{slow}: the target may delay requests instead of refusing them"

    def blur_s(self, share: float = 0.5) -> float:
        """Quantile *share* of the errors, in seconds, with which the times of decisions are known."""
        return float(np.quantile([moment.blur_s for moment in self.moments()], share))

    def pace_s(self) -> float:
        """Shortest interval so far between two sequential requests, in seconds; below a build cap, the usual one."""
        answers = self.answers[self.alone_from :]
        gaps = [b.sent_at - a.sent_at for a, b in pairwise(answers) if not b.stream]
        if self.alone_from and gaps:
            gaps = [float(np.mean([gap for gap in gaps if gap <= _PAUSE_TIMES * np.mean(gaps)]))]
        return max(min(gaps, default=_PACE_S), self.quickest_s)

    def quote(self) -> tuple[float | None, float | None]:
        """Limit and window (seconds) in the RateLimit fields; None if no response has it, or if responses disagree."""
        values = [{answer.quota[name] for answer in self.answers if name in answer.quota} for name in _QUOTE]
        limit, window_s = (found.pop() if len(found) == 1 else None for found in values)
        return limit, window_s


def in_turn_s(answers: Sequence[Answer]) -> float:
    """Seconds between the responses to concurrent requests; 0 unless the responses arrived at a steady pace."""
    took_s = np.sort([answer.took_s for answer in answers if answer.accepted])
    if len(took_s) < _FEWEST or took_s[-1] - took_s[0] < _SPREAD * took_s[-1]:
        return 0.0
    steps = np.arange(len(took_s))
    steady = float(np.corrcoef(steps, took_s)[0, 1]) ** 2
    return float(np.polyfit(steps, took_s, 1)[0]) if steady >= _STEADY else 0.0


NEARLY = 0.97  # a kind above this probability is nearly certain
# Thresholds of certainty: probabilities, then widths of intervals. _NARROW_ENOUGH: if stimuli change nothing more.
_SURE, _SURE_KIND, _LIKELY_KIND, _SURE_LIMIT, _NARROW, _NARROW_ENOUGH = 0.993, 0.998, 0.93, 0.998, 0.019, 0.05
_LIKELY = 0.9  # above this probability, a check says more than further stimuli
_MOST_STUCK, _STILL, _STILL_WIDE = 5, 0.003, 0.98  # the search stops after this many stimuli with less effect
# Each refused stimulus that changes the probability by less than _MOVED delays the next by _PATIENCE refill times.
_MOVED, _PATIENCE = 0.1, 0.05
_MISFIT = 0.5  # above this probability of other clients, no limiter alone explains the responses
_UNSHARED, _NOBODY = 0.09, 0.002  # highest probability of other clients for a certain result, and after one burst only
_CONTRADICTED = 0.02  # if a larger share of responses contradicts a limiter, it is another one
_MOST_WIDENED = 3  # limits how often other clients or a second limiter are added to the hypotheses
_MOST_AGAIN = 4  # limits the stimuli to reach a limit again once all else is known
_HIDDEN = 0.9  # a limit with a higher probability was reached; only other clients may hide a higher limit
_LEAST_VAGUE = 0.05  # least relative error of parameters if no limiter explains everything
_AT_MOST, _UNSETTLED = 0.9, 0.99  # sum of reported probabilities if no family explains everything; if none is certain
_UNLIKELY = 4.5  # limiters are ignored if their log probability is this much below the highest
_MOST = 0.9  # quantile of the time errors by which intervals are widened
_REMEMBERED = 0.02  # a family that never reached this probability is not mentioned
# Log improbability of a surprise: of responses to any stimulus, to a predictable one, and of all equal responses.
_SURPRISE, _PREDICTED, _ONE_SIDED = 5.0, 2.0, 2.0
_CHANCES, _MOST_CHANCES, _HOPE = 3, 8, 0.02  # stimuli to explain a surprise; more if a second limiter is this likely
# Search for a second limiter: least probability of the first, highest of other clients, number of first candidates.
_LIKELY_FIRST, _CLEAR, _MOST_FIRSTS = 0.1, 0.3, 3
# First of two limiters: largest error of its times for a search, and for certainty; least probability for certainty.
_KNOWN_FIRST, _LOOSE_FIRST, _SURE_FIRST = 0.3, 0.05, 0.9
_APART = 0.5  # refusals further apart than this share of a window belong to two bursts
# Extra wait after a refill: AFTER_S; for families in _AT_A_TIME, these time errors plus this share of the refill time.
AFTER_S, _SOON_TIMES, _SOON_SHARE, _AT_A_TIME = 0.05, 4.0, 0.005, ("fixed-window", "sliding-log")
# Families whose counts outlast a window; windows between two bursts for these; highest limit that is cheap to reach.
_LONG_MEMORY, _FILLING_WINDOWS, _CHEAP = ("sliding-counter",), 2.0, 12
_LEAST_FILLINGS, _MOST_OF_IT = 2, 0.8  # bursts before a limit is certain; share of the limit that each must reach
_MOST_GAINED = 0.9  # largest part of a token that a bucket may gain between two requests; with more it is never empty


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """Likeliest result before a surprise (responses that contradicted it). Times are run seconds."""

    tiers: tuple[Tier, ...]
    probability: float  # probability of the family
    last_at: float  # time of the last request before the surprise
    surprised_at: float  # time of the first request of the surprising stimulus

    def is_same(self, tiers: Sequence[Tier]) -> bool:
        """Whether all limiters of this result agree with *tiers*."""
        pairs = zip(self.tiers, tiers, strict=False)
        return len(self.tiers) == len(tiers) and all(overlap(before, after) for before, after in pairs)

    def describe(self, tiers: Sequence[Tier], first_at: float, *, builds: bool) -> str:
        """Sentence about this result. *builds*: builds in flight may be the cause."""
        last_s, surprised_s = self.last_at - first_at, self.surprised_at - first_at
        why = "builds in flight may be the cause, or " if builds else ""
        if self.is_same(tiers):
            return (
                f"from second {surprised_s:.1f} on, responses contradicted the limiter, but after a rest the probe "
                f"found the same limiter: {why}other clients may use the key at times"
            )
        text = "+".join(tier.text for tier in self.tiers)
        return (
            f"until second {last_s:.1f} the likeliest limiter was {text} ({self.probability:.0%}), but responses from "
            f"second {surprised_s:.1f} on contradict it: {why}the limiter was changed, or other clients use the key; "
            f"the result describes the time after that"
        )


def _as_first(cells: Cells) -> tuple[Cells, float, float]:
    """The likeliest limiter in *cells* as the first of a combination of two, the error of its times, and log prior."""
    found, logs = tier(cells), []
    for name in cells.kind.scales:
        number = found.numbers["rate_per_s" if name == "token_s" else name]
        logs.append([math.log(number.low * number.high) / (-2 if name == "token_s" else 2)])
    return replace(cells.best(), logs=np.array(logs)), loose(found), cells.log_prior()


class Rates:
    """Search for the rate limit, from the first refusal after an acceptance on."""

    def __init__(self, story: Story, seed: int) -> None:
        self._story, self._seed = story, seed
        self.wide = False
        self.surprise: EarlierResult | None = None
        self.belief = Belief(*story.opened(), story.quote())
        self.belief.update(story.moments())
        # By family: the likeliest limiter and its notation, for families that were likely at any time.
        self.remembered: dict[str, tuple[Cells, str]] = {}
        # By kind: the candidate for the first of two limiters, and the highest probability so far.
        self._firsts: dict[str, tuple[Cells, float, float]] = {}
        self._likeliest: dict[str, float] = {}
        # The result before a surprise that new hypotheses may still explain, and the number of stimuli since then.
        self._open: EarlierResult | None = None
        self._since = 0
        # Number of stimuli: in a row without a change, in a row refused without information, to reach the limit again.
        self._stuck = self._idle = self._again = 0
        # Log improbability of the latest responses while all were accepted or all refused, and which of the two.
        self._unlikely, self._alike = 0.0, set[bool]()
        self._has_observed = self._contradicted = False
        self.quoted = False  # whether RateLimit fields report the same limit and window
        self._odd = 0  # decisions that contradict the likeliest limiter
        self._rethought: float | None = None
        self._widened = 0
        self._remember()

    def _remember(self) -> None:
        families = self.belief.families()
        for family in [family for family, share in families.items() if share > _REMEMBERED][1:]:
            cells = self.belief.likeliest(family)
            self.remembered.pop(family, None)  # the most recent one comes last
            self.remembered[family] = (cells.best(), tier(cells).text)
        self.remembered = dict(sorted(self.remembered.items(), key=lambda item: item[0] in families, reverse=True))

    def _record_firsts(self) -> None:
        kinds = self.belief.kinds()
        for cells in self.belief.cells:
            name = cells.kind.text
            if isinstance(cells.kind, Tiered) or kinds[name] <= _LIKELY_FIRST:
                continue
            if (first := _as_first(cells))[1] < _KNOWN_FIRST:
                self._likeliest[name] = max(self._likeliest.get(name, 0.0), kinds[name])
                self._firsts.pop(name, None)  # the most recent one comes last
                self._firsts[name] = first

    def propose(self, now_at: float, left: int) -> Stimulus | None:
        """Next stimulus, of at most *left* requests; None if there is nothing left to learn."""
        if self.settled or self._stuck >= _MOST_STUCK or self._again >= _MOST_AGAIN:
            return None
        if self._known or self._limit_reached:
            return self._once_more(now_at)
        rng = np.random.default_rng([self._seed, len(self._story.answers)])
        story = self._story
        full = not self._has_observed and not story.moments()[-1].accepted
        begins_at = now_at + 0.001 + _PATIENCE * self._idle * self.refill_s
        terms = (self.belief, begins_at, story.pace_s(), story.blur_s(), rng, left)
        stimulus = choose(*terms, first=True) if full else None
        return stimulus or choose(*terms, narrow=self._narrow) or choose(*terms, narrow=self._narrow, aside=False)

    def _once_more(self, now_at: float) -> Stimulus:
        """Proposes to use up the whole limit until a request is refused. Recently accepted requests count as well."""
        kind, limit, refill_s = self.belief.likeliest().kind, self.limit, self.refill_s
        full_at = self.room(now_at)[1]
        if isinstance(kind, Tiered):
            return Stimulus("once more", (steady(kind, max(now_at, full_at) + AFTER_S, 2 * round(limit) + 2),))
        each_s = max(self._story.pace_s(), self._story.served_s)  # a bucket refills while it is emptied
        gained = min(each_s * limit / refill_s, _MOST_GAINED) if limit > 1 else 0.0
        most, remembers = round(limit / (1.0 - gained)) + 2, kind.family in _LONG_MEMORY
        if full_at > now_at and self._story.moments()[-1].accepted and not remembers:
            return Stimulus("once more", (drain(now_at, most),))
        soon_s = _SOON_TIMES * self._story.blur_s() + _SOON_SHARE * refill_s
        later_s = AFTER_S + kind.tick_s + (refill_s if remembers else 0.0)
        at = max(now_at, full_at) + (soon_s if kind.family in _AT_A_TIME else later_s)
        return Stimulus("once more", (drain(at, most),))

    def edges(self, now_at: float) -> tuple[Segment, ...]:
        """A request just before the likely limiters accept one again, and those that they accept afterwards."""
        cells, soon_s = self.belief.likeliest(), _SOON_TIMES * self._story.blur_s() + _SOON_SHARE * self.refill_s
        keep = cells.masses() > cells.masses().max() - _UNLIKELY
        free_at = float(cells.kind.free_at(cells.params(), cells.state)[keep].min()) - soon_s
        before = (Segment((free_at,)),) if free_at > now_at else ()
        drained = self._once_more(now_at).segments[-1]
        enough = len(drained.at) if self._filled_once else 2  # if the whole limit was reached twice, two will do
        return (*before, replace(drained, at=drained.at[:enough]))

    @property
    def likely(self) -> bool:
        """Whether one limiter is so likely that a check of it says the most."""
        cells, others = self.belief.likeliest(), self.belief.others()
        if isinstance(cells.kind, Tiered) or self.doubtful or others > _UNSHARED or best_limit(cells)[1] < _HIDDEN:
            return False
        if cells.kind.family in _LONG_MEMORY:  # what came before the probe may still count
            return self.nearly
        return self._leader()[1] > _LIKELY and 2 * loose(tier(cells)) <= _NARROW_ENOUGH

    def observe(
        self, answers: Sequence[Answer], *, for_rate: bool = True, bits: float = 0.0, rested: bool = False
    ) -> None:
        """Updates the search with responses to a stimulus with an expected information of *bits*.

        *for_rate*: whether this search proposed the stimulus; *rested*: whether a rest made the whole limit available
        for the first time, so that a surprise ends the search.
        """
        moments, before = self._story.moments(), self._leader()
        evidence = self.belief.evidence() if self._rethought is None else self._rethought
        self._rethought = None
        known = self._current_result(answers)
        self._again += for_rate and self._known
        self._has_observed = self._has_observed or for_rate
        may_widen = not self.wide
        if self.wide and self._widened < _MOST_WIDENED and self.nearly:
            self._record_firsts()  # one limiter stands out again, and may be the first of two
            may_widen = True
        self.belief.update(moments)
        after = self._leader()
        self._count(before, after, for_rate=for_rate, accepted=any(answer.accepted for answer in answers))
        self._odd = len(self.odd())
        self._contradicted = after[1] > NEARLY and self._odd > max(1, _CONTRADICTED * len(moments))
        allowed = _SURPRISE + math.log(2) * bits if bits or not for_rate else _PREDICTED
        surprising = known is not None and evidence - self.belief.evidence() > allowed
        widens = may_widen and (surprising or (self.doubtful and not self.wide))
        if widens:
            self._widen()
        elif not self.wide and self.belief.others() < _CLEAR:
            self._record_firsts()
        self._remember()
        unlikely = evidence - self.belief.evidence()
        surprising = surprising and (rested or unlikely > allowed)
        self._track_surprise(known if surprising else None, widens=widens and not rested)
        alike = {answer.accepted for answer in answers} or self._alike
        self._unlikely = unlikely + (self._unlikely if alike == self._alike else 0.0) if len(alike) == 1 else 0.0
        self._alike = alike

    def _leader(self) -> tuple[str, float, float]:
        """The likeliest kind, its probability, and the relative error of its times."""
        name, share = next(iter(self.belief.kinds().items()))
        return name, share, loose(tier(self.belief.likeliest()))

    def _count(
        self, before: tuple[str, float, float], after: tuple[str, float, float], *, for_rate: bool, accepted: bool
    ) -> None:
        alike, moved = before[0] == after[0], abs(before[1] - after[1])
        still = alike and after[1] > NEARLY and moved < _STILL and after[2] > before[2] * _STILL_WIDE
        self._stuck = self._stuck + for_rate if still else 0
        self._idle = self._idle + 1 if for_rate and alike and moved < _MOVED and not accepted else 0

    def _track_surprise(self, surprise: EarlierResult | None, *, widens: bool) -> None:
        """Records a surprise, unless new hypotheses explain it within a few stimuli."""
        if surprise and widens:
            self._open, self._since = surprise, 0
            return
        explained = not self._contradicted and self.belief.others() <= _MISFIT
        kinds = self.belief.kinds()
        hope = sum(kinds[cells.kind.text] for cells in self.belief.cells if isinstance(cells.kind, Tiered))
        self._since += 1
        over = self._since >= (_MOST_CHANCES if hope > _HOPE else _CHANCES)
        if surprise or (self._open and over and not explained):
            self.surprise = self.surprise or self._open or surprise
        self._open = None if over else self._open

    def _current_result(self, answers: Sequence[Answer]) -> EarlierResult | None:
        if not self._has_observed or not answers:
            return None
        last_at, share = self._story.answers[-len(answers) - 1].sent_at, next(iter(self.families().values()))
        return EarlierResult(tuple(self.tiers()), share, last_at, answers[0].sent_at)

    def _widen(self) -> None:
        """Adds two hypotheses: other clients use a part of a higher limit, or there is a second limiter."""
        self.wide, self._widened = True, self._widened + 1
        before = self.belief
        self._begin_anew()
        self.belief.take(before)

    def _begin_anew(self) -> None:
        moments = self._story.moments()
        old = self.belief
        self.belief = Belief(old.accepted, old.least, old.longest_s, self._story.quote(), wide=self.wide)
        for first in list(self._firsts.values())[-_MOST_FIRSTS:] if self.wide else ():
            self.belief.cells += behind(*first, moments)
        self.belief.update(moments)

    def rethink(self) -> None:
        """Computes the posterior again, because responses that were left out count now."""
        self._stuck, self._rethought = 0, self.belief.evidence()
        self._begin_anew()

    def odd(self, story: Story | None = None) -> list[Moment]:
        """Decisions that contradict the likeliest limiter by more than the error of its parameters.

        First refusals may be due to requests before the probe, which still count: they contradict nothing.
        """
        cells, moments = self.belief.likeliest(), (story or self._story).moments()
        since = moments[0].at + self.refill_s * (2 if cells.kind.family in _LONG_MEMORY else 1) if moments else 0.0
        found = (moment for moment, _ in disagreements(cells.best(), moments, loose(tier(cells))))
        return [moment for moment in found if moment.accepted or moment.at > since]

    def families(self) -> dict[str, float]:
        """Probability of each family, the likeliest first; the sum is below 1 until the result is certain."""
        most = _AT_MOST if self.doubtful else 1.0 if self.settled else _UNSETTLED
        return {family: share * most for family, share in self.belief.families().items()}

    @property
    def doubtful(self) -> bool:
        """Whether no limiter alone explains the refusals."""
        return bool(self.surprise) or self._contradicted or self.belief.others() > _MISFIT

    @property
    def settled(self) -> bool:
        """Whether one family and its parameters are certain, if necessary by a second burst up to the limit."""
        both_ways = self._unlikely < _ONE_SIDED and (self.quoted or not self._filled_once)
        return self._known and both_ways and not self._odd and self.belief.others() < _UNSHARED

    @property
    def _filled_once(self) -> bool:
        """Whether the limit was reached only once. Then other clients may have used a part of it."""
        cells, moments = self.belief.likeliest(), self._story.moments()
        kind, refill_s, limit = cells.kind, self.refill_s, self.limit
        if isinstance(kind, Tiered):
            count, last_at = 0, -math.inf
            for one, _ in disagreements(Cells.point(kind.first, kind.known, kind.loose), moments, kind.loose):
                if not one.accepted and one.at > last_at + _APART * refill_s:
                    count, last_at = count + 1, one.at
            return count < _LEAST_FILLINGS
        if kind.family in _LONG_MEMORY:
            if self.belief.others() < _NOBODY:
                return False
            if limit > _CHEAP:
                refused_at = [moment.at for moment in moments if not moment.accepted]
                return refused_at[-1] - refused_at[0] < _FILLING_WINDOWS * refill_s
        runs = [(accepted, len([*run])) for accepted, run in groupby(moment.accepted for moment in moments)]
        # A burst counts if a refusal follows directly.
        return sum(accepted and size >= _MOST_OF_IT * limit for accepted, size in runs[:-1]) < _LEAST_FILLINGS

    @property
    def _narrow(self) -> bool:
        most = _NARROW_ENOUGH if self._stuck >= _MOST_STUCK else _NARROW
        return 2 * loose(tier(self.belief.likeliest())) <= most

    @property
    def _all_but_limit(self) -> bool:
        family, share = next(iter(self.belief.families().items()))
        alone = share < _SURE and self.belief.others() < ALONE
        is_family_known = share >= _SURE or (alone and self.belief.alone(family) >= _SURE)
        return not self.doubtful and is_family_known and self._agreed(self.belief.likeliest()) and self._narrow

    @property
    def _known(self) -> bool:
        cells = self.belief.likeliest()
        if isinstance(kind := cells.kind, Tiered):
            was_sure = self._likeliest.get(kind.first.text, 0.0) > _SURE_FIRST
            if not was_sure or kind.loose > _LOOSE_FIRST or self.belief.others() > ALONE:
                return False
        return best_limit(cells)[1] >= _SURE_LIMIT and self._all_but_limit

    def _agreed(self, cells: Cells) -> bool:
        """Whether the kind of *cells* is certain in its family, or likely while other kinds have equal parameters."""
        family = self.belief.families()[cells.kind.family]
        kinds = {name: share / family for name, share in self.belief.kinds().items()}
        if kinds[cells.kind.text] >= _SURE_KIND:
            return True
        like = [one for one in self.belief.cells if one.kind.scales == cells.kind.scales]
        like = [one for one in like if best_limit(one)[0] == best_limit(cells)[0]]
        alike = sum(kinds[one.kind.text] for one in like if overlap(tier(one), tier(cells), times_only=True))
        return kinds[cells.kind.text] >= _LIKELY_KIND and alike >= _SURE_KIND

    def tiers(self) -> list[Tier]:
        """The likeliest limiter, or both limiters if a combination of two is likeliest."""
        cells, moments = self.belief.likeliest(), self._story.moments()
        kind, blur_s = cells.kind, self._story.blur_s(_MOST)
        more = max(taken(cells.best(), moments).high, _LEAST_VAGUE) if self.doubtful else 0.0
        first = [tier(Cells.point(kind.first, kind.known, kind.loose))] if isinstance(kind, Tiered) else []
        return [uncertain(one, blur_s, more) for one in (*first, tier(cells))]

    @property
    def limit(self) -> float:
        """The likeliest limit."""
        return best_limit(self.belief.likeliest())[0]

    @property
    def nearly(self) -> bool:
        """Whether everything but the limit is certain, and the limit is nearly certain."""
        alone = not isinstance(self.belief.likeliest().kind, Tiered) and self.belief.others() <= _UNSHARED
        return alone and self._limit_reached

    @property
    def _limit_reached(self) -> bool:
        return best_limit(self.belief.likeliest())[1] > _HIDDEN and self._all_but_limit

    @property
    def refill_s(self) -> float:
        """Seconds in which the likeliest limiter refills its whole limit."""
        best = self.belief.likeliest().best()
        return float(best.kind.refill_s(best.params())[0])

    def room(self, at: float) -> tuple[int, float]:
        """Number of requests that all likely limiters accept at *at*, and the time at which all have recovered."""
        cells = self.belief.likeliest()
        params, keep = cells.params(), cells.masses() > cells.masses().max() - _UNLIKELY
        rooms = cells.kind.room(params, cells.state, np.full(len(cells), at))[keep]
        turns = cells.kind.turn_at(params, cells.state)[keep]
        return int(rooms.min()), float(turns.max())
