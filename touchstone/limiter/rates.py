"""
How many requests are let through in a while: the question after the first refusal; pure.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from touchstone.limiter.account import Candidate
from touchstone.limiter.belief import Belief
from touchstone.limiter.cells import Cells
from touchstone.limiter.identity import Tier, Why
from touchstone.limiter.observed import Answer
from touchstone.limiter.planner import choose
from touchstone.limiter.stimulus import Stimulus
from touchstone.limiter.story import Story
from touchstone.limiter.summary import likeliest_limit, tier

# What has to be known of a limiter before it counts as found.
SURE, SURE_KIND, SURE_LIMIT, NARROW = 0.997, 0.98, 0.995, 0.019
# From this share on it is likelier that somebody else uses the key, or that it is no limiter that is known.
_MISFIT = 0.5
# A family that was never that likely is not worth a word when it is ruled out.
_REMEMBERED = 0.02


class Rates:
    """
    The part of a probe that finds the rate.

    Args:
        accepted: Requests that were accepted before the first refusal.
    """

    def __init__(self, story: Story, seed: int, accepted: int) -> None:
        self._story, self._seed = story, seed
        self._asked = 0
        self.accepted = accepted
        self.wide = False
        self.belief = Belief(accepted)
        self.belief.see(story.moments())
        self.why: Why = ""
        self.remembered: dict[str, Candidate] = {}
        self.texts: dict[str, str] = {}
        self._remember()

    def _remember(self) -> None:
        """
        Keeps the likeliest of each family, for the day when it is ruled out.
        """
        families = self.belief.families()
        for number, (family, share) in enumerate(families.items()):
            if number and share > _REMEMBERED:
                cells = self.belief.likeliest(family)
                self.remembered.pop(family, None)  # the last one that was likely comes last
                self.remembered[family] = Candidate.of(cells, share)
                self.texts[family] = tier(cells).text
        self.remembered = dict(sorted(self.remembered.items(), key=lambda item: item[0] in families, reverse=True))

    def ask(self, now_at: float, left: int) -> Stimulus | None:
        """
        What is sent next; None where nothing more is to be found out.

        Args:
            left: Requests that there is room for.
        """
        if self.why or self.settled:
            self.why = self.why or "settled"
            return None
        rng = np.random.default_rng([self._seed, len(self._story.answers)])
        story = self._story
        choice = choose(self.belief, now_at + 0.001, story.pace_s(), story.blur_s(), rng, left)
        if choice is None:
            self.why = "nothing left to learn"
            return None
        return replace(choice.stimulus, bits=choice.bits, stage="rate")

    def hear(self, answers: Sequence[Answer]) -> None:
        """
        Takes in what came of it; the story has it already.
        """
        moments = self._story.moments()
        self.belief.see(moments)
        if not self.wide and self.belief.others() > _MISFIT:
            # Somebody else takes a part: the limit may be more than what was ever accepted.
            self.wide = True
            self.belief = Belief(self.accepted, wide=True)
            self.belief.see(moments)
        self._remember()

    @property
    def settled(self) -> bool:
        """
        Whether one family and its numbers stand out.
        """
        if max(self.belief.families().values()) < SURE:
            return False
        cells = self.belief.likeliest()
        if not self._agreed(cells):
            return False
        _, share = likeliest_limit(cells)
        numbers = tier(cells).numbers
        times = [number for name, number in numbers.items() if name.endswith("_s") and name != "rate_per_s"]
        return share >= SURE_LIMIT and all(number.high / number.low - 1 <= NARROW for number in times)

    def _agreed(self, cells: Cells) -> bool:
        """
        Whether no other kind of the same family is left that might have other numbers.
        """
        kinds = self.belief.kinds()
        return kinds[cells.kind.name] >= SURE_KIND

    def tier(self, family: str = "") -> Tier:
        """
        The likeliest limiter, of one family or of all.
        """
        return tier(self.belief.likeliest(family))

    def room(self, at: float) -> tuple[int, float]:
        """
        How many requests it would surely let through at *at*, and when it would be as many as it can be.
        """
        cells = self.belief.likeliest()
        params, keep = cells.params(), cells.masses() > cells.masses().max() - 6
        rooms = cells.kind.room(params, cells.state, np.full(len(cells), at))[keep]
        turns = cells.kind.turn_at(params, cells.state)[keep]
        return int(rooms.min()), float(turns.max())
