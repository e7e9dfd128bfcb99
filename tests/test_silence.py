"""A target that answers nobody any more: noticed while others still wait, and told afterwards."""

import math
from typing import Any

import pytest

from tests.loadlogs import BEGAN_AT, Storm, fold
from touchstone.check.budget import SILENT_S, Silence
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Sample, Window
from touchstone.loadgen.not_judged import fallen, pauses
from touchstone.report.load_sentences import sentence


def test_silence_lasts_when_nobody_was_answered_for_long() -> None:
    """It counts from when the first request was sent that got no answer since the last one that did."""
    silence = Silence()
    assert not silence.lasts(1e9)  # nothing was asked
    silence.hear(1.0, answered=True)
    assert not silence.lasts(1e9)
    silence.hear(2.0, answered=False)
    silence.hear(9.0, answered=False)
    assert not silence.lasts(2.0 + SILENT_S)
    assert silence.lasts(math.nextafter(2.0 + SILENT_S, math.inf))
    silence.hear(12.5, answered=True)
    assert not silence.lasts(1e9)
    silence.hear(13.0, answered=False)
    assert not silence.lasts(13.0 + SILENT_S)


def asked(*ends: tuple[float, str]) -> tuple[Window, ...]:
    """One read each, at this second of the schedule, with this outcome."""
    return fold(Sample("getBuild", end, BEGAN_AT + at, BEGAN_AT + at, BEGAN_AT + at + 0.01) for at, end in ends)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([(0, "200"), (1, NO_ANSWER), (2, NO_ANSWER), (5, NO_ANSWER)], (1, 3)),
        ([(0, "500"), (1, NO_ANSWER), (2, NO_ANSWER), (2, NO_ANSWER)], (1, 3)),
        ([(0, NO_ANSWER), (0, NO_ANSWER), (7, NO_ANSWER)], (0, 3)),
        ([(0, "200"), (1, NO_ANSWER), (2, NO_ANSWER)], None),
        ([(0, "200"), (1, NO_ANSWER), (2, NO_ANSWER), (5, NO_ANSWER), (6, "429")], None),
        ([(0, "200"), (1, "200"), (2, UNSENT), (3, UNSENT), (4, UNSENT)], None),
        ([], None),
    ],
)
def test_run_that_ended_in_silence_says_since_when(ends: list[Any], expected: tuple[int, int] | None) -> None:
    """From the first second after the last answer in which requests got none; a few that went astray are no silence."""
    found = fallen(asked(*ends))
    assert (found and (found.from_s - BEGAN_AT, found.unanswered)) == expected


def test_silence_is_told() -> None:
    """A target that never answered is told of as such."""
    some = fallen(asked((0, "200"), *[(7, NO_ANSWER)] * 4))
    none = fallen(asked(*[(0, NO_ANSWER)] * 4))
    assert some
    assert none
    assert sentence("silence", some, BEGAN_AT) == (
        "From second 7 on the target answered nobody in full any more: 4 requests that were due "
        "from then on got no complete answer."
    )
    assert sentence("silence", none, BEGAN_AT).startswith("The target answered no request of the load in full: 4")
    assert fallen(Storm().run().windows) is None


def cut(*waited_s: float) -> tuple[Window, ...]:
    """A read that was answered, and later ones that had waited so long when the run was stopped in second 20."""
    stopped_at = BEGAN_AT + 20
    due = [(stopped_at - wait_s, CUT_OFF, stopped_at) for wait_s in waited_s]
    return fold(Sample("getBuild", end, at, at, done_at) for at, end, done_at in [(BEGAN_AT, "200", BEGAN_AT), *due])


def test_requests_that_hung_until_the_run_was_stopped_are_silence() -> None:
    """They got no answer either, and are told apart; where all of them are young, the target may only be slow."""
    hung = fallen(cut(6.0, 5.0, 4.0))
    assert hung
    assert (hung.from_s - BEGAN_AT, hung.unanswered, hung.cut_off, hung.in_all) == (14, 3, 3, 3)
    assert sentence("silence", hung, BEGAN_AT).endswith("answer, all of them cut off when the run was stopped.")
    assert fallen(cut(1.9, 1.9, 1.0)) is None
    assert fallen(cut(6.0, 5.0)) is None
    mixed = fallen((*cut(1.0, 1.0), *asked(*[(5, NO_ANSWER)] * 3)))
    assert mixed
    assert (mixed.unanswered, mixed.cut_off) == (5, 2)
    assert sentence("silence", mixed, BEGAN_AT).endswith(
        "5 requests that were due from then on got no complete answer, 2 of them cut off when the run was stopped."
    )


def test_silence_tells_how_many_got_no_answer_in_all() -> None:
    """Those of the seconds before are no part of it, and reports count them as well."""
    ends = asked((0, "200"), (0, NO_ANSWER), (1, "200"), (1, NO_ANSWER), *[(2, NO_ANSWER)] * 4)
    found = fallen(ends)
    assert found
    assert (found.unanswered, found.in_all) == (4, 6)
    assert sentence("silence", found, BEGAN_AT).endswith("got no complete answer; 6 in all.")


def took(*ends: tuple[float, str, float]) -> tuple[Window, ...]:
    """One read each: due at this second of the schedule, with this outcome, done at that second."""
    return fold(Sample("getBuild", end, BEGAN_AT + at, BEGAN_AT + at, BEGAN_AT + done) for at, end, done in ends)


EARLY, HUNG = (0.0, "200", 0.0), tuple((float(at), "200", 30.5) for at in range(2, 30))


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((EARLY, *HUNG), [(3, 30, 28)]),
        ((EARLY, *HUNG[:3]), [(3, 30, 3)]),
        ((EARLY, *HUNG[:2]), []),
        ((EARLY, *HUNG[-10:]), []),  # nobody asked for long before
        ((EARLY, *HUNG, (12.5, "429", 12.6), (22.5, "500", 22.6)), []),
        ((EARLY, (2.0, "200", 30.5), (3.0, NO_ANSWER, 3.1), (4.0, CUT_OFF, 20.0)), [(3, 30, 3)]),
        ((EARLY, *HUNG[:2], (4.0, UNSENT, 4.0)), []),
        ((EARLY, *HUNG, *((float(at), "200", 60.5) for at in range(35, 60))), [(3, 30, 28), (36, 60, 25)]),
        (tuple((0.0, "200", done) for done in (0.1, 20.5, 20.5, 20.5)), [(2, 20, 3)]),
        (tuple((0.0, "200", float(done)) for done in range(40)), []),
        ((EARLY, *((float(at), NO_ANSWER, 30.0) for at in range(2, 30))), []),  # that is how it ended
        ((), []),
    ],
)
def test_pause_is_told_where_somebody_waited_and_was_answered_later(ends: Any, expected: list[Any]) -> None:
    """
    At least SILENT_S without an answer to anybody, though three requests were due; one that nobody asks is not silent.
    """
    found = pauses(took(*ends))
    told = [(int(pause.from_s - BEGAN_AT), int(pause.to_s - BEGAN_AT), pause.waiting) for pause in found]
    assert told == expected


def test_pause_is_no_shorter_than_what_is_called_silence() -> None:
    """Nothing is told of a target that answers somebody every few seconds."""
    assert not pauses(took(EARLY, *((2.0, "200", SILENT_S + 2.9),) * 3))
    assert pauses(took(EARLY, *((2.0, "200", SILENT_S + 3.1),) * 3))


def test_log_that_is_followed_is_not_waited_for() -> None:
    """A log takes as long as its build, and its end is an answer all the same."""
    long = [Sample("streamBuildEvents", "200", BEGAN_AT + 1, BEGAN_AT + 1, BEGAN_AT + 40)] * 5
    assert not pauses((*took(EARLY, (41.0, "200", 41.1)), *fold(long)))
