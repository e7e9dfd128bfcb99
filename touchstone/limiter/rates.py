"""How many requests are let through in a while: the question after the first refusal; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from touchstone.facts.identity import Tier
from touchstone.facts.observed import Answer, Moment
from touchstone.facts.stimulus import Stimulus
from touchstone.limiter.account import Candidate, compare, taken
from touchstone.limiter.belief import Belief, Tail, blurred, loose, same, vague
from touchstone.limiter.catalogue import behind
from touchstone.limiter.cells import Cells
from touchstone.limiter.chapters import Chapter, Surprises
from touchstone.limiter.filling import FORGETS, LEAST_FILLINGS, Filling, met_once
from touchstone.limiter.kinds import Tiered, refill_s
from touchstone.limiter.planner import ALONE, choose
from touchstone.limiter.story import Story
from touchstone.limiter.summary import likeliest_limit, tier

# What is likelier than this is all but found.
NEARLY = 0.97
# Where so many stimuli one after the other changed less than this, no more is asked.
_MOST, _STILL, _STILL_WIDE = 5, 0.003, 0.98
# What was refused and told less than this is refused a moment later, too.
_TOLD = 0.1


@dataclass(frozen=True, slots=True)
class Stand:
    """What is known at one moment.

    Attributes:
        kind: The likeliest one.
        share: How likely it is.
        loose: How far its times may be from what they are thought to be, as a share of themselves.
    """

    kind: str
    share: float
    loose: float


@dataclass
class Standstill:
    """Stimuli that told next to nothing.

    Attributes:
        stuck: How many one after the other, where all but the last of it is known.
        idle: How many one after the other that were all refused.
    """

    stuck: int = 0
    idle: int = 0

    @property
    def over(self) -> bool:
        """Whether no more is asked."""
        return self.stuck >= _MOST

    def count(self, before: Stand, after: Stand, *, asked: bool, accepted: bool) -> None:
        """Takes in one more.

        Args:
            asked: Whether it was sent to find the rate.
            accepted: Whether any of it was let through.
        """
        alike, told = before.kind == after.kind, abs(before.share - after.share)
        still = alike and after.share > NEARLY and told < _STILL and after.loose > before.loose * _STILL_WIDE
        self.stuck = self.stuck + asked if still else 0
        self.idle = self.idle + 1 if asked and alike and told < _TOLD and not accepted else 0


# So likely a limiter has to have been for another one to be behind it, and of so many of them at most.
_LIKELY, _MOST_FIRSTS = 0.1, 3
# How well its times have to be known for that, as a share of themselves.
_KNOWN = 0.3
# So likely it has to have been for what is behind it to be sure.
_SURE = 0.9
# By so much of what they were thought to be uncertain its times have to turn out to be others, to be reckoned anew.
_MOVED = 0.5
# Refusals of a second limiter that are further apart than this share of its window come from two fillings.
_APART = 0.5


@dataclass
class Firsts:
    """What may turn out to have another limit behind it: what that refuses speaks against the right one, too."""

    kept: dict[str, tuple[Candidate, float, float]] = field(default_factory=dict)
    _likeliest: dict[str, float] = field(default_factory=dict)

    def keep(self, belief: Belief) -> None:
        """Keeps what is likely by now and well known."""
        kinds = belief.kinds()
        for cells in belief.cells:
            name = cells.kind.name
            if isinstance(cells.kind, Tiered):
                continue
            if kinds[name] > _LIKELY and (share := loose(tier(cells))) < _KNOWN:
                self._likeliest[name] = max(self._likeliest.get(name, 0.0), kinds[name])
                self.kept.pop(name, None)  # the last one that was likely comes last
                self.kept[name] = (_middle(cells), share, cells.luck())

    def was_sure(self, kind: Tiered) -> bool:
        """Whether the first of two limiters was all but certain before the second one was met."""
        return self._likeliest.get(kind.first.name, 0.0) > _SURE

    def behind(self, moments: Sequence[Moment]) -> list[Cells]:
        """What may be behind the last that were kept."""
        firsts = list(self.kept.values())[-_MOST_FIRSTS:]
        return [cells for first in firsts for cells in _behind(first, moments)]

    def share(self, belief: Belief) -> float:
        """How likely it is that there is another limit behind one."""
        kinds = belief.kinds()
        return sum(kinds[cells.kind.name] for cells in belief.cells if isinstance(cells.kind, Tiered))

    def renew(self, belief: Belief, moments: Sequence[Moment]) -> None:
        """Reckons anew with the times of a first limiter that became known better than by when it was kept."""
        for plain in [cells for cells in belief.cells if not isinstance(cells.kind, Tiered)]:
            before = [cells for cells in belief.cells if _is_behind(cells, plain)]
            if not before or not _has_moved(before[0], plain):
                continue
            after = _behind((_middle(plain), loose(tier(plain)), plain.luck()), moments)
            for cells in after:
                cells.see(moments)
                cells.refine(moments, max(one.masses().max() for one in belief.cells))
            after = [cells for cells in after if len(cells)]
            if after and _evidence(after) > _evidence(before):
                kept = [cells for cells in belief.cells if not any(cells is one for one in before)]
                belief.cells = kept + after


def meets(kind: Tiered, moments: Sequence[Moment], window_s: float) -> int:
    """How often the second of two limiters refused what the first one would have let through, half a window apart."""
    first = Candidate(kind.first, {name: np.array([value]) for name, value in kind.known.items()})
    count, last_at = 0, -math.inf
    for one in compare(first, moments, kind.loose):
        if not one.moment.accepted and one.disagrees_s > 0 and one.moment.at > last_at + _APART * window_s:
            count, last_at = count + 1, one.moment.at
    return count


def _middle(cells: Cells) -> Candidate:
    """The likeliest limit, with times in the middle of what they may be: as far from one end as from the other."""
    candidate, numbers = Candidate.of(cells), tier(cells).numbers
    middles = {name: math.sqrt(number.low * number.high) for name, number in numbers.items() if number.low > 0}
    if "token_s" in cells.kind.scales:
        middles["token_s"] = 1.0 / middles["rate_per_s"]
    times = {name: np.array([middles[name]]) for name in cells.kind.scales}
    return Candidate(candidate.kind, {**candidate.params, **times})


def _behind(first: tuple[Candidate, float, float], moments: Sequence[Moment]) -> list[Cells]:
    candidate, share, luck = first
    accepted = sum(moment.accepted for moment in moments)
    return behind(candidate, share, accepted, moments[-1].at - moments[0].at, luck)


def _is_behind(cells: Cells, plain: Cells) -> bool:
    return isinstance(cells.kind, Tiered) and cells.kind.first.name == plain.kind.name


def _has_moved(cells: Cells, plain: Cells) -> bool:
    """Whether the times of a limiter are others than what is behind it was reckoned with."""
    assert isinstance(cells.kind, Tiered)
    known, now = cells.kind.known, _middle(plain).params
    if float(now["limit"][0]) != known["limit"]:
        return False
    moved = [abs(np.log(float(now[name][0]) / known[name])) for name in plain.kind.scales]
    return max(moved) > _MOVED * cells.kind.loose and loose(tier(plain)) < cells.kind.loose


def _evidence(many: Sequence[Cells]) -> float:
    return float(np.logaddexp.reduce(np.concatenate([cells.masses() for cells in many])))


# What has to be known of a limiter before it counts as found.
SURE, SURE_KIND, LIKELY_KIND, SURE_LIMIT, NARROW = 0.993, 0.998, 0.93, 0.998, 0.019
# From this share on it is likelier that somebody else uses the key, or that it is no limiter that is known.
_MISFIT = 0.5
# Below this it is taken for granted that nobody else does.
_UNSHARED = 0.09
# Where no stimulus changes anything any more, a little less is enough.
NARROW_ENOUGH = 0.05
# More answers than this share of all that the likeliest limiter would not have given mean that it is another one.
_CONTRADICTED = 0.02
# So often it may turn out that others, or another limiter behind the one that is known, have to be thought of.
_MOST_WIDENED = 3
# How far the times of the first of two limiters may be from what they are thought to be, where both are sure.
_LOOSE_FIRST = 0.05
# So little it has to be likely that somebody else takes a part for another limiter to be behind one.
_CLEAR = 0.3
# From this share on a second limit may yet come to explain what the first one does not.
_HOPE = 0.02
# Where all was refused and told next to nothing, nothing is asked for this share of what it takes to be full again, and
# longer each time.
_PATIENCE = 0.05
# So little likely it is that somebody else takes a part where nobody is looked for any more.
_NOBODY = 0.002
# So many stimuli are tried to meet a limit once more, where all else is known.
_MOST_AGAIN = 4
# A limit that is likelier than this was met: only others may have kept a higher one from being seen.
_HIDDEN = 0.9
# What is left to all families where no limiter explains all that was seen, and as long as more is to be found out.
_AT_MOST, _UNSETTLED = 0.9, 0.99
# What is less likely than the likeliest limiter by this, as a logarithm, is not waited for.
_UNLIKELY = 4.5
# A family that was never that likely is not worth a word when it is ruled out.
_REMEMBERED = 0.02
# Answers less likely than those of a stimulus usually are, by this as a logarithm, come from something else.
_SURPRISE = 5.0
# The same of what was sure to come.
_FORESEEN = 2.0
# The same of answers that are all alike: one after the other may come from something else that always gives them.
_ONE_SIDED = 2.0


class Rates:
    """The part of a probe that finds the rate.

    Args:
        accepted: Requests that were accepted before the first refusal.

    Attributes:
        surprises: What was known until answers came that no limiter would have given that was likely by then.
        stood: What was known before the last answers, no more vaguely than if nobody else took a part.
        doubted: Whether what was known before this story began may be behind it as well.
    """

    def __init__(self, story: Story, seed: int, accepted: int) -> None:
        self._story, self._seed = story, seed
        self.accepted = accepted
        self.wide = self.doubted = False
        self.surprises = Surprises()
        self.stood: Chapter | None = None
        self._tail = Tail()
        self.belief = Belief(accepted)
        self.belief.see(story.moments())
        self._heard, self._again = False, 0
        self._still = Standstill()
        self._contradicted = False
        self._rethought: float | None = None
        self._widened = 0
        self._thought_anew = False
        self._firsts = Firsts()
        self.remembered: dict[str, Candidate] = {}
        self.texts: dict[str, str] = {}
        self._remember()

    def _remember(self) -> None:
        """Keeps the likeliest of each family, for the day when it is ruled out."""
        families = self.belief.families()
        for number, (family, share) in enumerate(families.items()):
            if number and share > _REMEMBERED:
                cells = self.belief.likeliest(family)
                self.remembered.pop(family, None)  # the last one that was likely comes last
                self.remembered[family] = Candidate.of(cells)
                self.texts[family] = tier(cells).text
        self.remembered = dict(sorted(self.remembered.items(), key=lambda item: item[0] in families, reverse=True))

    def ask(self, now_at: float, left: int) -> Stimulus | None:
        """What is sent next; None where nothing more is to be found out.

        Args:
            left: Requests that there is room for.
        """
        if self.settled or self._still.over or self._again >= _MOST_AGAIN:
            return None
        if self._known or self._was_met:
            return self._once_more(now_at)
        rng = np.random.default_rng([self._seed, len(self._story.answers)])
        story = self._story
        full = not self._heard and not story.moments()[-1].accepted
        begins_at = now_at + 0.001 + _PATIENCE * self._still.idle * self.refill_s
        terms = (self.belief, begins_at, story.pace_s(), story.blur_s(), rng, left)
        choice = choose(*terms, first=True) if full else None
        choice = choice or choose(*terms, narrow=self._narrow) or choose(*terms, narrow=self._narrow, aside=False)
        return replace(choice.stimulus, bits=choice.bits, stage="rate") if choice else None

    def _once_more(self, now_at: float) -> Stimulus:
        return self._filling(now_at).once_more(self._story, now_at)

    def _filling(self, now_at: float) -> Filling:
        return Filling(self.belief.likeliest().kind, self.limit, self.refill_s, self.room(now_at)[1])

    def begins_at(self, now_at: float) -> float:
        """When what else is let through begins, so that it counts where the limiter is to be filled once more."""
        again = not self.settled and not isinstance(self.belief.likeliest().kind, Tiered)
        return self._filling(now_at).begins_at(self._story, now_at, self.room(now_at)[0]) if again else now_at

    def hear(self, answers: Sequence[Answer], *, asked: bool = True, bits: float = 0.0) -> None:
        """Takes in what came of it.

        Args:
            asked: Whether it was this part that asked for them.
            bits: What was to be learned from them.
        """
        moments, before = self._story.moments(), self._stand()
        evidence = self.belief.evidence() if self._rethought is None else self._rethought
        self._rethought = None
        known, self.stood = self._before(answers)
        again = self._keep_again() and not self._thought_anew
        self._heard = self._heard or asked
        self._again += asked and self._known
        self.belief.see(moments)
        after = self._stand()
        self._still.count(before, after, asked=asked, accepted=any(answer.accepted for answer in answers))
        self._contradicted = after.share > NEARLY and len(self.odd()) > max(1, _CONTRADICTED * len(moments))
        foreseen = _SURPRISE + math.log(2) * bits if bits or not asked else _FORESEEN
        surprising = known is not None and evidence - self.belief.evidence() > foreseen
        widens = self._think_wider(moments, surprising=surprising, again=again)
        if self._nearly_known and not self.wide:
            self.belief.look_beyond(moments)
        self._remember()
        unlikely = evidence - self.belief.evidence()
        surprising = surprising and unlikely > foreseen
        explained = not self._contradicted and self.belief.others() <= _MISFIT
        hopeful = self._firsts.share(self.belief) > _HOPE
        self.surprises.hear(known if surprising else None, widens=widens, explained=explained, hopeful=hopeful)
        self._tail.add(answers, unlikely)

    def _think_wider(self, moments: Sequence[Moment], *, surprising: bool, again: bool) -> bool:
        """Whether it came to think of more limiters than before."""
        anew, self._thought_anew = self._thought_anew, False
        widens = surprising if self.wide else self.doubtful or surprising
        if widens and (again or not self.wide):
            self._widened += 1
            self._widen(moments)
            return True
        if self.wide:
            self._firsts.renew(self.belief, moments)
        elif self.belief.others() < _CLEAR:
            self._firsts.keep(self.belief)
        return widens and anew

    def _keep_again(self) -> bool:
        """Keeps a limiter that became clear after others were thought of, since there may be another one behind it."""
        clear = self.wide and self._widened < _MOST_WIDENED and self.nearly
        if clear:
            self._firsts.keep(self.belief)
        return clear

    def _before(self, answers: Sequence[Answer]) -> tuple[Chapter | None, Chapter | None]:
        """What was known before the last answers, and the same no more vaguely than if nobody else took a part."""
        if not self._heard:
            return None, None
        share = next(iter(self.families().values()))
        known = Chapter.until(answers, self._story.answers, self.tiers(), share, self.belief.likeliest())
        return known, known and replace(known, tiers=tuple(self._found()))

    def rethink(self) -> None:
        """Begins anew with the whole story, to which something was added in the middle."""
        self._still.stuck = 0
        self._rethought = self.belief.evidence()
        again, moments = self._keep_again(), self._story.moments()
        self.belief = Belief(self.accepted, wide=self.wide)
        if again:
            self._widened += 1
            self.belief.cells += self._firsts.behind(moments)
        self._thought_anew = again
        self.belief.see(moments)

    def odd(self) -> list[Moment]:
        """Answers that the likeliest limiter would not have given, by more than its numbers are uncertain."""
        cells = self.belief.likeliest()
        compared = compare(Candidate.of(cells), self._story.moments(), loose(tier(cells)))
        return [one.moment for one in compared if one.disagrees_s > 0]

    def _stand(self) -> Stand:
        """What is known by now."""
        name, share = next(iter(self.belief.kinds().items()))
        return Stand(name, share, loose(tier(self.belief.likeliest())))

    def families(self) -> dict[str, float]:
        """
        Probability of each family as it is told, the likeliest first; something may be at work that no family knows.
        """
        most = _AT_MOST if self.doubtful or self.doubted else 1.0 if self.settled else _UNSETTLED
        return {family: share * most for family, share in self.belief.families().items()}

    @property
    def doubtful(self) -> bool:
        """Whether no limiter alone explains all that was refused."""
        return bool(self.surprises.met) or self._contradicted or self.belief.others() > _MISFIT

    def _widen(self, moments: Sequence[Moment]) -> None:
        """
        Somebody else takes a part, and the limit is more than what was ever accepted; or there is another limit behind.
        """
        self.wide = True
        before, self.belief = self.belief, Belief(self.accepted, wide=True)
        self.belief.cells += self._firsts.behind(moments)
        self.belief.see(moments)
        self.belief.take(before)

    @property
    def settled(self) -> bool:
        """
        Whether one family and its numbers stand out, and it was seen to accept and to refuse since that was learned.
        """
        told = self._tail.unlikely < _ONE_SIDED and not self._met_once
        return self._known and told and self.belief.others() < _UNSHARED

    @property
    def _met_once(self) -> bool:
        """
        Whether all that is known of a limit comes from meeting it once, and somebody else may have had a part of it.
        """
        cells, moments = self.belief.likeliest(), self._story.moments()
        if isinstance(cells.kind, Tiered):
            return meets(cells.kind, moments, self.refill_s) < LEAST_FILLINGS
        if cells.kind.family in FORGETS and self.belief.others() < _NOBODY:
            return False
        return met_once(cells.kind.family, self.limit, self.refill_s, moments)

    @property
    def _nearly_known(self) -> bool:
        """Whether it is time to think of a limit that others may have kept from being seen."""
        return next(iter(self.belief.families().values())) > NEARLY and self._stand().loose < NARROW_ENOUGH

    @property
    def _narrow(self) -> bool:
        """Whether its times are known well enough."""
        most = NARROW_ENOUGH if self._still.over else NARROW
        return 2 * loose(tier(self.belief.likeliest())) <= most

    @property
    def _all_but_limit(self) -> bool:
        """Whether nothing but others may have made the limit seem less than it is."""
        cells = self.belief.likeliest()
        return not self.doubtful and self._family_known() and self._agreed(cells) and self._narrow

    @property
    def _known(self) -> bool:
        cells = self.belief.likeliest()
        if isinstance(cells.kind, Tiered):
            first_known = self._firsts.was_sure(cells.kind) and cells.kind.loose <= _LOOSE_FIRST
            if not first_known or self.belief.others() > ALONE:
                return False
        return likeliest_limit(cells)[1] >= SURE_LIMIT and self._all_but_limit

    def _family_known(self) -> bool:
        """
        Whether one family is left, be it that somebody else takes a part or, where that is unlikely, that nobody does.
        """
        family, share = next(iter(self.belief.families().items()))
        return share >= SURE or (self.belief.others() < ALONE and self.belief.alone(family) >= SURE)

    def _agreed(self, cells: Cells) -> bool:
        """Whether no other kind of the same family is left that might have other numbers.

        Of kinds that have the same numbers it is enough that one is much likelier than the others.
        """
        family = self.belief.families()[cells.kind.family]
        kinds = {name: share / family for name, share in self.belief.kinds().items()}
        if kinds[cells.kind.name] >= SURE_KIND:
            return True
        limit, _ = likeliest_limit(cells)
        alike = [one for one in self.belief.cells if same(one, cells, limit)]
        return kinds[cells.kind.name] >= LIKELY_KIND and sum(kinds[one.kind.name] for one in alike) >= SURE_KIND

    def tiers(self) -> list[Tier]:
        """The likeliest limiter, and what is behind it."""
        found = self._found()
        if not self.doubtful:
            return found
        share = taken(Candidate.of(self.belief.likeliest()), self._story.moments()).high
        return [vague(one, share) for one in found]

    def _found(self) -> list[Tier]:
        cells = self.belief.likeliest()
        kind = cells.kind
        first = [tier(Cells.point(kind.first, kind.known, kind.loose))] if isinstance(kind, Tiered) else []
        return [blurred(one, self._story.most_blur_s()) for one in (*first, tier(cells))]

    def tier(self, family: str = "") -> Tier:
        """The likeliest limiter, of one family or of all."""
        return tier(self.belief.likeliest(family))

    @property
    def limit(self) -> float:
        """The likeliest limit."""
        return likeliest_limit(self.belief.likeliest())[0]

    @property
    def nearly(self) -> bool:
        """Whether all but its limit is known for sure, and that nearly so."""
        alone = not isinstance(self.belief.likeliest().kind, Tiered) and self.belief.others() <= _UNSHARED
        return alone and self._was_met

    @property
    def _was_met(self) -> bool:
        return likeliest_limit(self.belief.likeliest())[1] > _HIDDEN and self._all_but_limit

    @property
    def refill_s(self) -> float:
        """How long the likeliest limiter takes to give its limit anew."""
        candidate = Candidate.of(self.belief.likeliest())
        return float(refill_s(candidate.kind, candidate.params)[0])

    def room(self, at: float) -> tuple[int, float]:
        """How many requests it would surely let through at *at*, and when it would be as many as it can be."""
        cells = self.belief.likeliest()
        params, keep = cells.params(), cells.masses() > cells.masses().max() - _UNLIKELY
        rooms = cells.kind.room(params, cells.state, np.full(len(cells), at))[keep]
        turns = cells.kind.turn_at(params, cells.state)[keep]
        return int(rooms.min()), float(turns.max())
