"""How many requests are let through in a while: the question after the first refusal; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from touchstone.facts.identity import Tier
from touchstone.facts.observed import Answer, Moment
from touchstone.facts.stimulus import Segment, Stimulus, drain
from touchstone.limiter.belief import Belief, behind, best_limit, disagreements, loose, overlap, taken, tier, uncertain
from touchstone.limiter.cells import Cells
from touchstone.limiter.kinds import Kind, Tiered
from touchstone.limiter.planner import ALONE, choose, steady
from touchstone.limiter.story import Story

NEARLY = 0.97  # what is likelier is all but found
# What has to be known of a limiter before it counts as found; the last where no stimulus changes anything any more.
_SURE, _SURE_KIND, _LIKELY_KIND, _SURE_LIMIT, _NARROW, _NARROW_ENOUGH = 0.993, 0.998, 0.93, 0.998, 0.019, 0.05
_MOST_STUCK, _STILL, _STILL_WIDE = 5, 0.003, 0.98  # after so many stimuli that changed less no more is sent
# Where all was refused and moved less than the first, it waits for this share of a refill, and longer each time.
_TOLD, _PATIENCE = 0.1, 0.05
_MISFIT = 0.5  # from here on it is likelier that somebody else uses the key, or that no known limiter is there
_UNSHARED, _NOBODY = 0.09, 0.002  # below: nobody else, it is taken for granted; nobody else is looked for
_CONTRADICTED = 0.02  # share of all answers that the likeliest limiter would not have given: more mean another one
_MOST_WIDENED = 3  # so often others, or another limiter behind, are thought of
_MOST_AGAIN = 4  # stimuli to meet a limit once more, where all else is known
_HIDDEN = 0.9  # a limit that is likelier was met: only others may have hidden a higher one
_LEAST_VAGUE = 0.05  # share by which numbers may be off where no limiter explains everything
_AT_MOST, _UNSETTLED = 0.9, 0.99  # left to all families where none explains everything; until they are settled
_UNLIKELY = 4.5  # what is less likely than the likeliest limiter by this, as a logarithm, is not waited for
_MOST = 0.9  # all but a few answers are no later than this share of them
_REMEMBERED = 0.02  # a family that was never that likely is left out
# Answers less likely by this, as a logarithm, come from something else: of any stimulus, of a sure one, of all alike.
_SURPRISE, _FORESEEN, _ONE_SIDED = 5.0, 2.0, 2.0
_CHANCES, _MOST_CHANCES, _HOPE = 3, 8, 0.02  # stimuli to explain a surprise; more while that has this share
# So likely a limiter has to have been for another one to be behind it, and so little that somebody else takes a part.
_LIKELY_FIRST, _CLEAR, _MOST_FIRSTS = 0.1, 0.3, 3
# Share by which the times of a first limiter may be off to look behind it, and to be sure; its least probability then.
_KNOWN_FIRST, _LOOSE_FIRST, _SURE_FIRST = 0.3, 0.05, 0.9
_APART = 0.5  # refusals further apart than this share of a window come from two fillings
# The wait after it should be full again: in seconds; of these families, so many blurs and this share of a refill.
AFTER_S, _SOON_TIMES, _SOON_SHARE, _AT_A_TIME = 0.05, 4.0, 0.005, ("fixed-window", "sliding-log")
_WATCHES, _WATCH_LEAST = 5, 0.5  # requests that watch a log that is full for at least this share of its window
# These remember for longer than a window: the limit is met anew after so many; when all is forgotten, if it is small.
_FORGETS, _MEETS, _CHEAP = ("sliding-counter", "decaying-counter"), 2.0, 12
_LEAST_FILLINGS, _MOST_OF_IT = 2, 0.8  # so often a limit is met, each time with this share of it let through
_ROOMY = 0.5  # with room for this share of its limit there is no need to wait until it is full again
_MOST_GAINED = 0.9  # of a request between two, or it is never empty
_CLOSE = 1.5  # numbers closer than this factor are rather those of one limiter that somebody else uses too
# What was known with times to this share may be behind a later story, if that is no less likely by this logarithm.
_KNOWN_BEFORE, _LESS_LIKELY = 0.05, 20.0


@dataclass(frozen=True, slots=True)
class Chapter:
    """What was likeliest until answers came that contradict it; times in seconds on the clock of the run."""

    tiers: tuple[Tier, ...]
    probability: float  # of its family
    last_at: float  # when the last request was sent that it explains
    surprised_at: float  # when the first request of the stimulus was sent that it does not explain
    cell: Cells | None = field(default=None, compare=False)  # its numbers; None where they were not known well

    def is_same(self, tiers: Sequence[Tier]) -> bool:
        """Whether what was known holds what is known now."""
        pairs = zip(self.tiers, tiers, strict=False)
        return len(self.tiers) == len(tiers) and all(overlap(before, after) for before, after in pairs)

    def is_close(self, tiers: Sequence[Tier]) -> bool:
        """Whether it is not what is found now, but of the same families with numbers close to these."""
        pairs = list(zip(self.tiers, tiers, strict=False))
        if self.is_same(tiers) or [one.family for one in self.tiers] != [one.family for one in tiers]:
            return False
        return all(
            name in mine.numbers and 1 / _CLOSE < mine.numbers[name].value / number.value < _CLOSE
            for mine, other in pairs
            for name, number in other.numbers.items()
        )

    def explains(self, moments: Sequence[Moment], evidence: float) -> bool:
        """Whether what was known may be all that is behind a later story, if others use the key as well.

        Args:
            evidence: Logarithm of how likely that story is by all that is thought of now.
        """
        if self.cell is None:
            return False
        cell = replace(self.cell)
        cell.see(moments)
        return float((cell.likely + cell.run).max()) > evidence - _LESS_LIKELY

    def describe(self, tiers: Sequence[Tier], first_at: float, *, builds: bool, doubted: bool) -> str:
        """A sentence on what was found then; *builds*: these may have been in the way; *doubted*: it may still hold."""
        last_s, surprised_s = self.last_at - first_at, self.surprised_at - first_at
        why = "builds in flight may have been why, or " if builds else ""
        if self.is_same(tiers):
            return (
                f"from second {surprised_s:.1f} on answers did not fit; asked anew after a rest, it was found to be "
                f"the same limiter: {why}somebody else may use the key now and then"
            )
        text, as_well = "+".join(tier.text for tier in self.tiers), ", and may be the same limiter all the same"
        return (
            f"from second {surprised_s:.1f} on answers contradict what was likeliest until second {last_s:.1f}, "
            f"{text} ({self.probability:.0%}): {why}the limiter was changed, or somebody else uses the "
            f"key; what is told is what was found since{as_well if doubted else ''}"
        )


@dataclass(frozen=True, slots=True)
class _First:
    cell: Cells
    loose: float
    luck: float

    @classmethod
    def of(cls, cells: Cells) -> "_First":
        """As it is known by now."""
        found, logs = tier(cells), []
        for name in cells.kind.scales:
            number = found.numbers["rate_per_s" if name == "token_s" else name]
            logs.append([math.log(number.low * number.high) / (-2 if name == "token_s" else 2)])
        return cls(replace(cells.best(), logs=np.array(logs)), loose(found), cells.luck())


def _fillings(moments: Sequence[Moment], least: float) -> int:
    """How often at least so many were let through before one was refused."""
    count = found = 0
    for moment in moments:
        found += not moment.accepted and count >= least
        count = count + 1 if moment.accepted else 0
    return found


class Rates:
    """The part of a probe that finds the rate; *accepted*: requests that were accepted before the first refusal."""

    def __init__(self, story: Story, seed: int, accepted: int) -> None:
        self._story, self._seed = story, seed
        self.wide = self.doubted = False  # doubted: what was known before this story began may be behind it as well
        self.surprise: Chapter | None = None
        self.belief = Belief(accepted)
        self.belief.see(story.moments())
        # The likeliest limiter of each family that was likely once, and its text.
        self.remembered: dict[str, tuple[Cells, str]] = {}
        # What may have another limit behind it; and how likely each kind was.
        self._firsts: dict[str, _First] = {}
        self._likeliest: dict[str, float] = {}
        # A surprise that what was thought of since may explain, and how many stimuli ago it came.
        self._open: Chapter | None = None
        self._since = 0
        # Stimuli in a row that changed nothing, that were refused and told nothing, that met the limit anew.
        self._stuck = self._idle = self._again = 0
        # How unlikely the last answers were that were all alike, as a logarithm, and what they were.
        self._unlikely, self._alike = 0.0, set[bool]()
        self._heard = self._contradicted = False
        self._rethought: float | None = None
        self._widened = 0
        self._remember()

    def _remember(self) -> None:
        families = self.belief.families()
        for family in [family for family, share in families.items() if share > _REMEMBERED][1:]:
            cells = self.belief.likeliest(family)
            self.remembered.pop(family, None)  # the last one that was likely comes last
            self.remembered[family] = (cells.best(), tier(cells).text)
        self.remembered = dict(sorted(self.remembered.items(), key=lambda item: item[0] in families, reverse=True))

    def _keep_firsts(self) -> None:
        kinds = self.belief.kinds()
        for cells in self.belief.cells:
            name = cells.kind.text
            if isinstance(cells.kind, Tiered) or kinds[name] <= _LIKELY_FIRST:
                continue
            if (first := _First.of(cells)).loose < _KNOWN_FIRST:
                self._likeliest[name] = max(self._likeliest.get(name, 0.0), kinds[name])
                self._firsts.pop(name, None)  # the last one that was likely comes last
                self._firsts[name] = first

    def ask(self, now_at: float, left: int) -> Stimulus | None:
        """What is sent next, of *left* requests at most; None where nothing more is to be found out."""
        if self.settled or self._stuck >= _MOST_STUCK or self._again >= _MOST_AGAIN:
            return None
        if self._known or self._limit_reached:
            return self._once_more(now_at)
        rng = np.random.default_rng([self._seed, len(self._story.answers)])
        story = self._story
        full = not self._heard and not story.moments()[-1].accepted
        begins_at = now_at + 0.001 + _PATIENCE * self._idle * self.refill_s
        terms = (self.belief, begins_at, story.pace_s(), story.blur_s(), rng, left)
        stimulus = choose(*terms, first=True) if full else None
        return stimulus or choose(*terms, narrow=self._narrow) or choose(*terms, narrow=self._narrow, aside=False)

    def _once_more(self, now_at: float) -> Stimulus:
        """All that it lets through when it is full, and one that it refuses; what was let through just now counts."""
        kind, limit, refill_s, full_at = self._filled(now_at)
        if isinstance(kind, Tiered):
            return Stimulus("once more", (steady(kind, max(now_at, full_at) + AFTER_S, 2 * round(limit) + 2),))
        each_s = max(self._story.pace_s(), self._story.served_s)  # a bucket goes on to fill while it is emptied
        gained = min(each_s * limit / refill_s, _MOST_GAINED) if limit > 1 else 0.0
        most, moments, forgets = round(limit / (1.0 - gained)) + 2, self._story.moments(), kind.family in _FORGETS
        if full_at > now_at and moments[-1].accepted and not forgets:
            leaves_at = refill_s + min(one.at for one in moments if one.accepted and one.at > now_at - refill_s)
            return Stimulus("once more", (drain(now_at, most), *self._watch(now_at, leaves_at)))
        soon_s = _SOON_TIMES * self._story.blur_s() + _SOON_SHARE * refill_s
        later_s = AFTER_S + kind.tick_s + (refill_s if forgets else 0.0)
        at = max(now_at, full_at) + (soon_s if kind.family in _AT_A_TIME else later_s)
        return Stimulus("once more", (*self._watch(now_at, full_at), drain(at, most)))

    def _filled(self, now_at: float) -> tuple[Kind, float, float, float]:
        """The likeliest kind, its limit, how long it takes to give that anew, and when it is full again."""
        return self.belief.likeliest().kind, self.limit, self.refill_s, self.room(now_at)[1]

    def _watch(self, now_at: float, until_at: float) -> tuple[Segment, ...]:
        """A few requests while a log lets nobody in, for what somebody else had in it is free for a while."""
        if self.belief.likeliest().kind.text != "sliding-log" or until_at - now_at < _WATCH_LEAST * self.refill_s:
            return ()
        step_s = (until_at - now_at) / _WATCHES
        return (Segment(tuple(now_at + step_s * (number + 0.9) for number in range(_WATCHES)), "accepted"),)

    def begins_at(self, now_at: float) -> float:
        """When something else may begin, so that it counts where the limiter is to be filled once more."""
        kind, limit, refill_s, full_at = self._filled(now_at)
        if self.settled or isinstance(kind, Tiered):
            return now_at
        if kind.family in _FORGETS:
            first_at = next((moment.at for moment in self._story.moments() if not moment.accepted), now_at)
            return max(now_at, first_at + _MEETS * refill_s + AFTER_S)
        return now_at if self.room(now_at)[0] >= _ROOMY * limit else max(now_at, full_at + AFTER_S)

    def hear(
        self, answers: Sequence[Answer], *, for_rate: bool = True, bits: float = 0.0, rested: bool = False
    ) -> None:
        """Takes in answers; *for_rate*: this part asked for them; *bits*: what was to be learned from them.

        *rested*: the limiter was full for the first time. A surprise then says that the earlier answers do not count.
        """
        moments, before = self._story.moments(), self._stand()
        evidence = self.belief.evidence() if self._rethought is None else self._rethought
        self._rethought = None
        known = self._before(answers)
        self._again += for_rate and self._known
        self._heard = self._heard or for_rate
        may_widen = not self.wide
        if self.wide and self._widened < _MOST_WIDENED and self.nearly:
            self._keep_firsts()  # it became clear again, and there may be another one behind it
            may_widen = True
        self.belief.see(moments)
        after = self._stand()
        self._count(before, after, for_rate=for_rate, accepted=any(answer.accepted for answer in answers))
        self._contradicted = after[1] > NEARLY and len(self.odd()) > max(1, _CONTRADICTED * len(moments))
        foreseen = _SURPRISE + math.log(2) * bits if bits or not for_rate else _FORESEEN
        surprising = known is not None and evidence - self.belief.evidence() > foreseen
        widens = may_widen and (surprising or (self.doubtful and not self.wide))
        if widens:
            self._widen()
        elif not self.wide and self.belief.others() < _CLEAR:
            self._keep_firsts()
        self._remember()
        unlikely = evidence - self.belief.evidence()
        surprising = surprising and (rested or unlikely > foreseen)
        self._wonder(known if surprising else None, widens=widens and not rested)
        alike = {answer.accepted for answer in answers} or self._alike
        self._unlikely = unlikely + (self._unlikely if alike == self._alike else 0.0) if len(alike) == 1 else 0.0
        self._alike = alike

    def _stand(self) -> tuple[str, float, float]:
        """The likeliest kind, its probability, and how far its times may be off, as a share of themselves."""
        name, share = next(iter(self.belief.kinds().items()))
        return name, share, loose(tier(self.belief.likeliest()))

    def _count(
        self, before: tuple[str, float, float], after: tuple[str, float, float], *, for_rate: bool, accepted: bool
    ) -> None:
        alike, moved = before[0] == after[0], abs(before[1] - after[1])
        still = alike and after[1] > NEARLY and moved < _STILL and after[2] > before[2] * _STILL_WIDE
        self._stuck = self._stuck + for_rate if still else 0
        self._idle = self._idle + 1 if for_rate and alike and moved < _TOLD and not accepted else 0

    def _wonder(self, surprise: Chapter | None, *, widens: bool) -> None:
        """Keeps a surprise that nothing explains; where more limiters were thought of, in a few more stimuli."""
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

    def _before(self, answers: Sequence[Answer]) -> Chapter | None:
        if not self._heard or not answers:
            return None
        last_at, share = self._story.answers[-len(answers) - 1].sent_at, next(iter(self.families().values()))
        cells = self.belief.likeliest()
        off, numbers = loose(tier(cells)), {name: float(value[0]) for name, value in cells.best().params().items()}
        cell = Cells.point(cells.kind, numbers, off) if off <= _KNOWN_BEFORE else None
        return Chapter(tuple(self.tiers()), share, last_at, answers[0].sent_at, cell)

    def _widen(self) -> None:
        """Thinks of somebody else who takes a part of a higher limit, and of another limit behind."""
        self.wide, self._widened = True, self._widened + 1
        before = self.belief
        self._begin_anew()
        self.belief.take(before)

    def _begin_anew(self) -> None:
        moments = self._story.moments()
        self.belief = Belief(self.belief.accepted, wide=self.wide)
        accepted, longest_s = sum(moment.accepted for moment in moments), moments[-1].at - moments[0].at
        for first in list(self._firsts.values())[-_MOST_FIRSTS:] if self.wide else ():
            self.belief.cells += behind(first.cell, first.loose, accepted, longest_s, first.luck)
        self.belief.see(moments)

    def rethink(self) -> None:
        """Begins anew with a story to which something was added in the middle."""
        self._stuck, self._rethought = 0, self.belief.evidence()
        self._begin_anew()

    def odd(self) -> list[Moment]:
        """Answers that the likeliest limiter would not have given, by more than its numbers are uncertain."""
        cells = self.belief.likeliest()
        return [moment for moment, _ in disagreements(cells.best(), self._story.moments(), loose(tier(cells)))]

    def families(self) -> dict[str, float]:
        """Probability of each family, the likeliest first; less than 1 in all."""
        most = _AT_MOST if self.doubtful or self.doubted else 1.0 if self.settled else _UNSETTLED
        return {family: share * most for family, share in self.belief.families().items()}

    @property
    def doubtful(self) -> bool:
        """Whether no limiter alone explains all that was refused."""
        return bool(self.surprise) or self._contradicted or self.belief.others() > _MISFIT

    @property
    def settled(self) -> bool:
        """Whether one family and its numbers stand out, and it accepted and refused since."""
        both_ways = self._unlikely < _ONE_SIDED and not self._filled_once
        return self._known and both_ways and self.belief.others() < _UNSHARED

    @property
    def _filled_once(self) -> bool:
        """Whether all that is known of a limit comes from meeting it once: somebody else may have had a part of it."""
        cells, moments = self.belief.likeliest(), self._story.moments()
        kind, refill_s, limit = cells.kind, self.refill_s, self.limit
        if isinstance(kind, Tiered):
            count, last_at = 0, -math.inf
            for one, _ in disagreements(Cells.point(kind.first, kind.known, kind.loose), moments, kind.loose):
                if not one.accepted and one.at > last_at + _APART * refill_s:
                    count, last_at = count + 1, one.at
            return count < _LEAST_FILLINGS
        if kind.family in _FORGETS:
            if self.belief.others() < _NOBODY:
                return False
            if limit > _CHEAP:
                refused_at = [moment.at for moment in moments if not moment.accepted]
                return refused_at[-1] - refused_at[0] < _MEETS * refill_s
        return _fillings(moments, _MOST_OF_IT * limit) < _LEAST_FILLINGS

    @property
    def _narrow(self) -> bool:
        most = _NARROW_ENOUGH if self._stuck >= _MOST_STUCK else _NARROW
        return 2 * loose(tier(self.belief.likeliest())) <= most

    @property
    def _all_but_limit(self) -> bool:
        """Whether nothing but others may have made the limit seem less than it is."""
        return not self.doubtful and self._family_known() and self._agreed(self.belief.likeliest()) and self._narrow

    @property
    def _known(self) -> bool:
        cells = self.belief.likeliest()
        if isinstance(kind := cells.kind, Tiered):
            was_sure = self._likeliest.get(kind.first.text, 0.0) > _SURE_FIRST
            if not was_sure or kind.loose > _LOOSE_FIRST or self.belief.others() > ALONE:
                return False
        return best_limit(cells)[1] >= _SURE_LIMIT and self._all_but_limit

    def _family_known(self) -> bool:
        family, share = next(iter(self.belief.families().items()))
        return share >= _SURE or (self.belief.others() < ALONE and self.belief.alone(family) >= _SURE)

    def _agreed(self, cells: Cells) -> bool:
        """Whether no other kind of the same family is left that might have other numbers, or is nearly as likely."""
        family = self.belief.families()[cells.kind.family]
        kinds = {name: share / family for name, share in self.belief.kinds().items()}
        if kinds[cells.kind.text] >= _SURE_KIND:
            return True
        alike = 0.0
        for one in self.belief.cells:
            if one.kind.scales == cells.kind.scales and best_limit(one)[0] == best_limit(cells)[0]:
                alike += kinds[one.kind.text] if overlap(tier(one), tier(cells), times_only=True) else 0.0
        return kinds[cells.kind.text] >= _LIKELY_KIND and alike >= _SURE_KIND

    def tiers(self) -> list[Tier]:
        """The likeliest limiter, and what is behind it."""
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
        """Whether all but its limit is known for sure, and that nearly so."""
        alone = not isinstance(self.belief.likeliest().kind, Tiered) and self.belief.others() <= _UNSHARED
        return alone and self._limit_reached

    @property
    def _limit_reached(self) -> bool:
        return best_limit(self.belief.likeliest())[1] > _HIDDEN and self._all_but_limit

    @property
    def refill_s(self) -> float:
        """How long the likeliest limiter takes to give its limit anew."""
        best = self.belief.likeliest().best()
        return float(best.kind.refill_s(best.params())[0])

    def room(self, at: float) -> tuple[int, float]:
        """How many requests it would surely let through at *at*, and when it would be as many as it can be."""
        cells = self.belief.likeliest()
        params, keep = cells.params(), cells.masses() > cells.masses().max() - _UNLIKELY
        rooms = cells.kind.room(params, cells.state, np.full(len(cells), at))[keep]
        turns = cells.kind.turn_at(params, cells.state)[keep]
        return int(rooms.min()), float(turns.max())
