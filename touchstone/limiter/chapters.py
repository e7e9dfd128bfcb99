"""What was known of a limiter before answers came that nothing explains, and it was asked anew; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from touchstone.facts.identity import Tier
from touchstone.facts.observed import Answer, Moment
from touchstone.limiter.account import Candidate
from touchstone.limiter.belief import loose
from touchstone.limiter.cells import Cells
from touchstone.limiter.summary import tier

# How many surprises there may be until it is no limiter that stays as it is.
MOST_CHAPTERS = 2
# So many stimuli there are to explain a surprise by what was not thought of before; and so many in all, where some of
# that may still come to explain it.
_CHANCES, _MOST_CHANCES = 3, 8
# So many times as long as the last limiter takes to give its limit anew, and as all lasted, nothing is sent: whatever
# is there by now forgets.
REST_TIMES = 1.5
_IN_FLIGHT, _AS_WELL = "builds in flight may have been why, or ", ", and may be the same limiter all the same"
# Numbers that are closer than this factor are rather those of one limiter, of which somebody else takes a part.
_CLOSE = 1.5
# What was known with times to this share explains what came later, with somebody else taking a part, where that is no
# less likely than this, as a logarithm, than by what is known now.
_KNOWN, _UNLIKELY = 0.05, 20.0


@dataclass(frozen=True, slots=True)
class Chapter:
    """All that was asked until answers came that contradict it.

    Attributes:
        tiers: The likeliest limiter by then.
        probability: Of its family.
        last_at: When the last request was sent that it explains, in seconds on the clock of the run.
        surprised_at: When the first one was that was asked in the stimulus that it does not explain.
        candidate: The likeliest limiter, and how far its times may be from what they are thought to be; None where
            that was not known well.
        loose: That distance, as a share of themselves.
    """

    tiers: tuple[Tier, ...]
    probability: float
    last_at: float
    surprised_at: float
    candidate: Candidate | None = field(default=None, compare=False)
    loose: float = 0.0

    @classmethod
    def until(
        cls, answers: Sequence[Answer], story: Sequence[Answer], tiers: Sequence[Tier], probability: float, cells: Cells
    ) -> "Chapter | None":
        """What is known before the last *answers* of a story; None where there are none.

        Args:
            cells: The likeliest kind.
        """
        if not answers:
            return None
        share = loose(tier(cells))
        candidate = Candidate.of(cells) if share <= _KNOWN else None
        return cls(tuple(tiers), probability, story[-len(answers) - 1].sent_at, answers[0].sent_at, candidate, share)

    def explains(self, moments: Sequence[Moment], evidence: float) -> bool:
        """Whether what was known may be all that is behind a later story, if somebody else takes a part.

        Args:
            evidence: Logarithm of how likely that story is by all that is thought of now.
        """
        if self.candidate is None:
            return False
        numbers = {name: float(value[0]) for name, value in self.candidate.params.items()}
        cells = Cells.point(self.candidate.kind, numbers, self.loose)
        cells.see(moments)
        return float((cells.likely + cells.run).max()) > evidence - _UNLIKELY

    @property
    def text(self) -> str:
        """The likeliest limiter, as `touchstone serve --rate` takes it."""
        return "+".join(tier.text for tier in self.tiers)


@dataclass
class Surprises:
    """Whether answers came that nothing explains that was likely until then.

    Where they made it think of more limiters, these get a few stimuli to explain them.

    Attributes:
        met: What was known until then; None without such answers.
    """

    met: Chapter | None = None
    _open: Chapter | None = None
    _left: int = 0
    _heard: int = 0

    def hear(self, surprise: Chapter | None, *, widens: bool, explained: bool, hopeful: bool = False) -> None:
        """Takes in how the answers to one more stimulus stand.

        Args:
            surprise: What was known before them, where they are surprising.
            widens: Whether they made it think of more limiters.
            explained: Whether one of all limiters that it thinks of explains everything by now.
            hopeful: Whether one may yet come to explain it.
        """
        if surprise and widens:
            self._open, self._left, self._heard = surprise, _CHANCES, 0
            return
        self._heard += 1
        self._left -= not hopeful or self._heard > _MOST_CHANCES - _CHANCES
        if surprise or (self._open and self._left <= 0 and not explained):
            self.met = self.met or self._open or surprise
        if self._left <= 0:
            self._open = None


def describe_first_refusal(answers: Sequence[Answer]) -> tuple[str, ...]:
    """A note that the first request was refused, and why that may be; empty where it was not."""
    if not answers or answers[0].accepted or not any(answer.accepted for answer in answers):
        return ()
    return ("the first request was refused: the key was used shortly before, or the limiter begins with nothing left",)


def describe_chapters(
    before: Sequence[Chapter],
    tiers: Sequence[Tier],
    first_at: float,
    *,
    builds: bool = False,
    doubted: Sequence[Chapter] = (),
) -> tuple[str, ...]:
    """A sentence on each earlier chapter: what was found then, beside what is found now.

    Args:
        first_at: When the first request of all was sent.
        builds: Whether builds in flight may have been in the way, since one at a time is all that could be explained.
        doubted: Those of which it may be that nothing else is there.
    """
    why = _IN_FLIGHT if builds else ""
    return tuple(
        _describe_chapter(one, tiers, first_at, why, doubted=any(one is other for other in doubted)) for one in before
    )


def _describe_chapter(chapter: Chapter, tiers: Sequence[Tier], first_at: float, why: str, *, doubted: bool) -> str:
    last_s, surprised_s = chapter.last_at - first_at, chapter.surprised_at - first_at
    if _same(chapter.tiers, tiers):
        return (
            f"from second {surprised_s:.1f} on answers did not fit; asked anew after a rest, it was found to be the "
            f"same limiter: {why}somebody else may use the key now and then"
        )
    return (
        f"from second {surprised_s:.1f} on answers contradict what was likeliest until second {last_s:.1f}, "
        f"{chapter.text} ({chapter.probability:.0%}): {why}the limiter was changed, or somebody else uses the "
        f"key; what is told is what was found since{_AS_WELL if doubted else ''}"
    )


def doubted(
    before: Sequence[Chapter], tiers: Sequence[Tier], moments: Sequence[Moment], evidence: float
) -> list[Chapter]:
    """
    What was found before and may be what is found now: they are close to each other, or it explains all of it as well.

    Args:
        moments: What was seen since.
        evidence: Logarithm of how likely that is by all that is thought of now.
    """
    others = [chapter for chapter in before if not _same(chapter.tiers, tiers)]
    return [one for one in others if _close(one.tiers, tiers) or one.explains(moments, evidence)]


def _close(before: Sequence[Tier], after: Sequence[Tier]) -> bool:
    return [tier.family for tier in before] == [tier.family for tier in after] and all(
        name in mine.numbers and 1 / _CLOSE < mine.numbers[name].value / number.value < _CLOSE
        for mine, other in zip(before, after, strict=True)
        for name, number in other.numbers.items()
    )


def _same(before: Sequence[Tier], after: Sequence[Tier]) -> bool:
    """Whether what was thought to be known before holds what is known now."""
    if [tier.family for tier in before] != [tier.family for tier in after]:
        return False
    return all(
        name in mine.numbers and mine.numbers[name].low <= number.high and number.low <= mine.numbers[name].high
        for mine, other in zip(before, after, strict=True)
        for name, number in other.numbers.items()
    )
