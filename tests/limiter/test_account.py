"""What one limiter would have answered, beside what was answered."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from touchstone.facts.observed import Moment
from touchstone.limiter.belief import against, disagreements, hints, taken
from touchstone.limiter.cells import Cells
from touchstone.limiter.kinds import KINDS
from touchstone.twin import RateLimit, decide, limiter_for

TIMES = (10.0, 10.2, 10.201, 10.202, 10.203, 11.5, 12.05, 12.06, 12.3, 14.4, 14.41, 14.42, 14.43)


BY_TEXT = {kind.text: kind for kind in KINDS}


def candidate(name: str, limit: float, **times: float) -> Cells:
    """A kind with numbers."""
    return Cells.point(BY_TEXT[name], {"limit": limit, **times}, 0.0)


KNOWN: dict[str, tuple[Cells, int]] = {
    "fixed-window:3/2": (candidate("fixed-window", 3, window_s=2.0), 3),
    "sliding-log:3/2": (candidate("sliding-log", 3, window_s=2.0), 3),
    "token-bucket:3/2": (candidate("token-bucket", 3, token_s=2 / 3), 3),
    "minimum-gap:2": (candidate("minimum-gap", 1, gap_s=2.0), 1),
}


def decided(text: str, times: Sequence[float] = TIMES, *, says: float | None = None) -> list[Moment]:
    """What the twin's limiter decides at these times; each refusal says when it ends, or what *says* says."""
    limiter, found = limiter_for(RateLimit.parse(text)), []
    for at in times:
        wait_s = limiter.wait_s(at)
        accepted, _ = decide(limiter, at)
        hint_s = None if accepted else float(-(-wait_s // 1)) if says is None else says
        found.append(Moment(at, 0.0007, accepted, hint_s))
    return found


@pytest.mark.parametrize("text", KNOWN)
def test_limiter_that_answered_contradicts_nothing(text: str) -> None:
    """Nothing speaks against it."""
    known, _ = KNOWN[text]
    moments = decided(text)
    assert against(known, moments) == ""
    assert disagreements(known, moments) == []


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("fixed-window:3/2", "sliding-log:3/2"),
        ("token-bucket:3/2", "fixed-window:3/2"),
        ("sliding-log:3/2", "minimum-gap:2"),
    ],
)
def test_limiter_that_did_not_answer_is_contradicted(text: str, other: str) -> None:
    """The request that tells most clearly is named, by its second after the first one."""
    said = against(KNOWN[other][0], decided(text))
    assert said.startswith("it would have ")
    second = float(said.split(" at second ")[1].split()[0].rstrip(","))
    assert min(abs(second - (at - TIMES[0])) for at in TIMES) < 0.001


def test_contradiction_says_which_way_it_went() -> None:
    """What was let through, and what was refused, against the limiter."""
    gap, _ = KNOWN["minimum-gap:2"]
    moments = [Moment(10.0, 0.001, True), Moment(11.0, 0.001, True)]
    assert against(gap, moments) == "it would have refused the request at second 1.000, which was let through"
    moments = [Moment(10.0, 0.001, True), Moment(12.5, 0.001, False)]
    assert against(gap, moments) == "it would have let the request at second 2.500 through, which was refused"


def test_what_is_within_the_blur_contradicts_nothing() -> None:
    """A moment may lie a little earlier or later."""
    gap, _ = KNOWN["minimum-gap:2"]
    assert against(gap, [Moment(10.0, 0.01, True), Moment(11.99, 0.01, True)]) == ""
    assert against(gap, []) == ""


@pytest.mark.parametrize("text", KNOWN)
def test_honest_hints_are_no_finding(text: str) -> None:
    """Whole seconds that are never too short are what Retry-After can say."""
    assert hints(KNOWN[text][0], decided(text)) == ()


@pytest.mark.parametrize("text", KNOWN)
@pytest.mark.parametrize(("says", "word"), [(0.0, "less"), (9.0, "more")])
def test_hints_that_are_off_are_a_finding(text: str, says: float, word: str) -> None:
    """They are counted, and the worst is told with what it takes."""
    moments = decided(text, says=says)
    (told,) = hints(KNOWN[text][0], moments)
    refused = sum(not moment.accepted for moment in moments)
    assert told.startswith(f"Retry-After says {word} than is left in ")
    assert f" of {refused} refusals: at worst {says:g} s where it takes " in told


def test_one_hint_that_is_off_is_chance() -> None:
    """More than one has to be."""
    moments = decided("fixed-window:3/2")
    number = next(number for number, moment in enumerate(moments) if not moment.accepted)
    moments[number] = replace(moments[number], hint_s=60.0)
    assert hints(KNOWN["fixed-window:3/2"][0], moments) == ()


def test_refusals_without_a_word_are_no_finding() -> None:
    """Nothing is said that might be wrong."""
    silent = [replace(moment, hint_s=None) for moment in decided("fixed-window:3/2")]
    assert hints(KNOWN["fixed-window:3/2"][0], silent) == ()
    assert hints(KNOWN["fixed-window:3/2"][0], []) == ()


@pytest.mark.parametrize("text", KNOWN)
def test_nothing_is_taken_of_a_limiter_that_is_used_alone(text: str) -> None:
    """What it refuses it has no room for."""
    assert taken(KNOWN[text][0], decided(text)).value == 0.0


def test_room_that_a_limiter_had_when_it_refused_was_taken() -> None:
    """Three of five were let through, and the fourth request was refused: two of five went to somebody else."""
    five = candidate("fixed-window", 5, window_s=9.0)
    answers = [Moment(10.0 + 0.1 * number, 0.0007, number < 3) for number in range(4)]
    share = taken(five, answers)
    assert share.value == pytest.approx(2 / 5)
    assert 0.0 < share.low < 2 / 5 < share.high < 1.0


def test_what_others_have_still_counts_once() -> None:
    """
    Of three in two seconds one was let through: the other two are gone, however often that shows, until they are back.
    """
    log, _ = KNOWN["sliding-log:3/2"]
    refused = [Moment(10.0 + 0.01 * number, 0.0, False) for number in range(1, 11)]
    once = [Moment(10.0, 0.0, True), *refused]
    assert taken(log, once).value == pytest.approx(2 / 3, abs=0.02)
    assert taken(log, once).low < 2 / 3 < taken(log, once).high
    again = [*once, Moment(20.0, 0.0, True), Moment(20.01, 0.0, False)]
    assert taken(log, again).value == pytest.approx(4 / 6, abs=0.02)
    assert taken(log, [*once[:1]]).value == 0.0
