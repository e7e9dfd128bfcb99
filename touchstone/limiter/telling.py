"""What is known of the limiters of one operation, put together from the parts of a probe; pure."""

from collections.abc import Iterator, Sequence

from touchstone.facts.identity import Cost, Identity, Interval, Runner, Tier, Why
from touchstone.facts.observed import Answer, Moment
from touchstone.limiter.account import Candidate, against, hints, taken
from touchstone.limiter.rates import Rates
from touchstone.limiter.story import Story
from touchstone.limiter.summary import plain

_TOLD = 1e-4
# What is to be said where no limiter explains all that was seen.
_NO_FIT = "somebody else may use the key, the limiter drifted, was changed meanwhile, or is of no known family"
# From so many on they are counted.
_SEVERAL = 2
# Why a family lost that no single answer contradicts.
_LESS = "it fits less well"
# By so much a field may differ from what is found before it is a finding: windows are sent in whole seconds.
_WINDOW_S = 1.0
_STEADY, _RATE_OFF = ("token-bucket", "minimum-gap"), 0.02


def cost(answers: Sequence[Answer], *, starts: bool) -> Cost:
    """What was spent.

    Args:
        answers: In the order in which their requests were sent.
        starts: Whether the requests start builds.
    """
    accepted = sum(answer.accepted for answer in answers)
    seconds = max(answer.done_at for answer in answers) - answers[0].sent_at if answers else 0.0
    return Cost(len(answers), len(answers) - accepted, accepted if starts else 0, round(seconds, 3))


def runners(rates: Rates, moments: Sequence[Moment]) -> tuple[Runner, ...]:
    """The families by how likely they are, each with what speaks against it."""
    found, families = [], rates.families()
    for number, (family, share) in enumerate(families.items()):
        if number and share < _TOLD:
            break
        found.append(_runner(rates, family, share, moments if number else ()))
    for family, candidate in rates.remembered.items():
        if len(found) < 2 and family not in families:
            found.append(Runner(family, 0.0, rates.texts[family], against(candidate, moments) or _LESS))
    if len(found) < 2 and len(families) > 1:
        family = list(families)[1]
        found.append(_runner(rates, family, families[family], moments))
    return tuple(found)


def _runner(rates: Rates, family: str, share: float, moments: Sequence[Moment]) -> Runner:
    cells = rates.belief.likeliest(family)
    lost = against(Candidate.of(cells), moments) if moments else ""
    return Runner(family, round(share, 6), rates.tier(family).text, lost or (_LESS if moments else ""))


def alike(tier: Tier) -> tuple[str, ...]:
    """What no request can tell from a limiter."""
    if tier.family == "minimum-gap":
        gap = plain(tier.numbers["gap_s"])
        return tuple(f"{family}:1/{gap}" for family in ("fixed-window", "sliding-log", "token-bucket", "leaky-bucket"))
    if tier.family == "token-bucket" and not tier.options and tier.numbers["burst"].value > 1:
        places = f"{tier.numbers['burst'].value - 1:g}"
        numbers = tier.text.partition(":")[2].partition(",")[0]
        return (f"leaky-bucket:{numbers},burst={places},delay={places}",)
    return ()


def findings(rates: Rates | None, tiers: Sequence[Tier], story: Story) -> tuple[str, ...]:
    """Where the words of the answers disagree with what the limiter does."""
    if rates is None or not rates.settled:
        return ()
    told = hints(Candidate.of(rates.belief.likeliest()), story.moments())
    return (*told, *_misquoted(tiers[0], _reported(story, "limit"), _reported(story, "window_s")))


def _reported(story: Story, name: str) -> float | None:
    """The value of a RateLimit field, where all answers that have it agree; else None."""
    said = {answer.quota[name] for answer in story.answers if name in answer.quota}
    return said.pop() if len(said) == 1 else None


def _misquoted(tier: Tier, limit: float | None, window_s: float | None) -> Iterator[str]:
    numbers = tier.numbers
    window = numbers.get("window_s") or numbers["gap_s"]
    most = (numbers.get("limit") or numbers.get("burst") or Interval(1.0, 1.0, 1.0)).value
    said = limit / window_s if limit and window_s and tier.family in _STEADY else 0.0
    if abs(said * window.value / most - 1) <= _RATE_OFF:
        return  # a steady rate may be told by any window: a burst and the time that fills it are only one of them
    if limit is not None and limit != most:
        yield f"the RateLimit fields say a limit of {limit:g}, and {most:g} are let through"
    if window_s is not None and abs(window_s - window.value) >= _WINDOW_S:
        yield f"the RateLimit fields say a window of {window_s:g} s, and it is {plain(window)} s"


def others_share(rates: Rates | None, moments: Sequence[Moment]) -> Interval:
    """What share of what the limiter gives somebody else takes, where there is reason to think that somebody does."""
    if rates is None or not rates.doubtful or not moments:
        return Interval(0.0, 0.0, 0.0)
    return taken(Candidate.of(rates.belief.likeliest()), moments)


def identity(
    tiers: Sequence[Tier],
    rates: Rates | None,
    story: Story,
    *,
    spent: Cost,
    why: Why,
    sure: bool,
    more_notes: tuple[str, ...] = (),
    **more: int,
) -> Identity:
    """All of it.

    Args:
        more_notes: What is to be said of caps.
    """
    tiers, moments = tuple(tiers), story.moments()
    same = alike(tiers[0]) if tiers else ()
    rest = "".join(f"+{tier.text}" for tier in tiers[1:])
    return Identity(
        tiers=tiers,
        families=runners(rates, moments) if rates else (),
        cost=spent,
        alike=tuple(text + rest for text in same),
        others_share=others_share(rates, moments),
        sure=sure,
        why=why,
        findings=findings(rates, tiers, story),
        notes=(*_notes(rates, moments), *more_notes),
        **more,
    )


def _notes(rates: Rates | None, moments: Sequence[Moment]) -> tuple[str, ...]:
    """How many answers the likeliest limiter would not have given, and when: from a moment on, or now and then."""
    if rates is None or not rates.doubtful or not moments:
        return ()
    odd = [moment.at for moment in rates.odd()]
    if len(odd) < _SEVERAL:
        return (f"some answers fit no limiter that is known: {_NO_FIT}",)
    first_s, last_s = odd[0] - moments[0].at, odd[-1] - moments[0].at
    when = f"from second {first_s:.1f} to second {last_s:.1f}"
    return (f"{len(odd)} of {len(moments)} answers do not fit the likeliest limiter, {when}: {_NO_FIT}",)
