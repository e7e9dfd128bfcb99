"""Limiters that were used just before a probe: what it meets first is none of what it is to find out."""

from dataclasses import replace

import pytest

from tests.limiter.answers import row
from tests.limiter.judged import judge
from tests.limiter.played import NO_CAPS, rates_of, through
from tests.limiter.virtual import Net
from touchstone.facts.identity import Interval
from touchstone.facts.observed import Moment
from touchstone.limiter.belief import disagreements, hints, taken
from touchstone.limiter.cells import Cells
from touchstone.limiter.identify import Probe
from touchstone.limiter.kinds import KINDS as ALL
from touchstone.limiter.kinds import Kind, Tiered
from touchstone.limiter.rate_inference import Rates
from touchstone.twin import decide

KINDS: dict[str, Kind] = {kind.text: kind for kind in ALL}
LOG, EMPTY = KINDS["sliding-log"], KINDS["token-bucket,starts=empty"]
REFUSED = "the first request was refused: the key was used shortly before"
NUMBERS = {"limit": 3.0, "window_s": 2.0, "token_s": 0.5}


def used(text: str, count: int = 70) -> Net:
    """A limiter that somebody sent so many requests to in a moment, 0.3 s ago."""
    net = Net(text)
    for number in range(count):
        decide(net._limiter, net.began_at - 0.3 + number * 0.004)
    return net


@pytest.mark.alone
@pytest.mark.parametrize("count", [70, 6])
@pytest.mark.parametrize(
    "text",
    [
        "fixed-window:14/2.962",
        "fixed-window:14/2.88,opens=clock",
        "sliding-log:11/2.691",
        "sliding-counter:9/3.6",
        "token-bucket:8/3.691,burst=12",
    ],
)
def test_limiter_that_was_just_used_is_named_as_any_other(text: str, count: int) -> None:
    """
    With its counts, and without an option that it has not. Where a part was used, it may not be sure of its counts.
    """
    whole = through(used(text, count), NO_CAPS)
    found = whole.known
    assert [turn.stimulus.stage for turn in whole.turns].count("rest, once more") <= 1
    judged = judge(text, found)
    assert (judged.family, judged.misled) == (True, False), found.text
    assert judged.exact or (count < 70 and not found.sure), found.text
    assert "block" not in found.text
    assert "empty" not in found.text


@pytest.mark.alone
def test_limiter_that_was_met_shut_is_filled_after_a_rest() -> None:
    """A bucket from which each token is taken as it comes is like a window that lets one through, until it may fill."""
    whole = through(used("token-bucket:8/3.691,burst=28"), NO_CAPS)
    rests = [turn for turn in whole.turns if turn.stimulus.stage == "rest, once more"]
    assert rests
    assert sum(answer.accepted for answer in rests[0].answers) > 1
    assert whole.known.tiers[0].numbers["burst"].value == 28
    assert whole.known.notes[0].startswith(REFUSED)


@pytest.mark.parametrize("capped", [False, True])
@pytest.mark.parametrize(("first", "stage"), [("-+", "rest, once more"), ("+", "builds")])
def test_only_what_was_met_shut_is_rested(
    monkeypatch: pytest.MonkeyPatch, first: str, stage: str, capped: bool
) -> None:
    """Once: as long again as all lasted by then, and half as long more, and for as many as it is known to let through.

    One build at a time where more in flight are refused for that.
    """
    rates = rates_of("fixed-window:3/1")
    probe = Probe(replace(NO_CAPS, caps=True))
    probe._opening.over, probe._opening.capped = True, capped
    probe._rates, probe.story = rates, rates._story
    probe.story.answers[:0] = row(first[:-1], -5.0)
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "nearly", property(lambda _: True))
    seconds = probe.story.seconds
    stimulus = probe.ask(100.0)
    assert stimulus is not None
    assert stimulus.stage == stage
    if first == "-+":
        assert stimulus.segments[0].at == pytest.approx((100.0 + 1.5 * seconds,) * 5)
        assert stimulus.segments[0].until == "refused"
        assert stimulus.segments[0].alone is capped
        probe._rested = True
        after = probe.ask(200.0)
        assert after is not None
        assert after.stage == "builds"


@pytest.mark.parametrize(
    ("kind", "outcomes", "first"),
    [(LOG, "--++-", 2), (LOG, "++-", 0), (LOG, "--", 2), (EMPTY, "--++-", 0)],
)
def test_what_was_refused_first_tells_only_of_what_starts_empty(kind: Kind, outcomes: str, first: int) -> None:
    """All others begin with the first one that was let through."""
    assert kind.begins(moments(outcomes)) == first


def test_one_of_two_that_starts_empty_is_enough() -> None:
    """Then what was refused first tells of both."""
    known = {"limit": 3.0, "window_s": 2.0, "token_s": 0.5, "phase": 0.0, "wide_phase": 0.0}
    assert Tiered(EMPTY, known, LOG, 0.01).empty
    assert Tiered(LOG, known, EMPTY, 0.01).empty
    assert not Tiered(LOG, known, LOG, 0.01).empty


def moments(outcomes: str) -> list[Moment]:
    """One each tenth of a second, the first at second 7; refused ones with a hint of 9 s, which is too long."""
    return [
        Moment(7.0 + number / 10, 0.001, outcome == "+", hint_s=None if outcome == "+" else 9.0)
        for number, outcome in enumerate(outcomes)
    ]


def test_what_was_refused_first_is_left_out_of_every_account() -> None:
    """What is likely, what was contradicted, what others took, and what a hint said, are those of what came after."""
    whole, later = moments("---+++-"), moments("---+++-")[3:]
    candidate = Cells.point(LOG, NUMBERS, 0.001)
    assert disagreements(candidate, whole) == disagreements(candidate, later) == []
    assert taken(candidate, whole) == taken(candidate, later)
    assert taken(candidate, whole[:3]) == Interval(0.0, 0.0, 0.0)
    assert hints(candidate, whole) == hints(candidate, later)
    cells = [Cells.point(LOG, NUMBERS, 0.001) for _ in range(2)]
    for one, story in zip(cells, (whole, later), strict=True):
        one.see(story)
    assert cells[0].masses() == pytest.approx(cells[1].masses())
    assert cells[0].known.began_at == 7.3


def test_cells_wait_for_the_first_that_is_let_through() -> None:
    """However the story comes in, and nothing weighs anything until then."""
    whole, at_once, bit_by_bit = moments("---+++-"), Cells.point(LOG, NUMBERS, 0.001), Cells.point(LOG, NUMBERS, 0.001)
    at_once.see(whole)
    for count in (2, 3, 5, 7):
        bit_by_bit.see(whole[:count])
        assert (bit_by_bit.likely == 0.0).all() or count > 3
    assert bit_by_bit.masses() == pytest.approx(at_once.masses())


@pytest.mark.parametrize(("outcomes", "said"), [("-+", True), ("+-", False), ("--", False), ("", False)])
def test_first_request_that_was_refused_is_said(outcomes: str, said: bool) -> None:
    """Where anything was let through at all."""
    probe = Probe(NO_CAPS)
    probe._answers = row(outcomes)
    assert any(note.startswith(REFUSED) for note in probe.known().notes) is said
