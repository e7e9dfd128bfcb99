"""
A target that answers nobody any more: noticed while others still wait, and told afterwards.
"""

import math
from typing import Any

import pytest

from tests.loadlogs import BEGAN_AT, Storm, fold
from touchstone.report.load_words import silence_words
from touchstone.sample import NO_ANSWER, UNSENT, Sample, Window
from touchstone.silence import SILENT_S, Silence, fallen


def test_silence_lasts_when_nobody_was_answered_for_long() -> None:
    """
    It counts from when the first request was sent that got no answer since the last one that did.
    """
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
    """
    One read each, at this second of the schedule, with this outcome.
    """
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
    """
    From the first second after the last answer in which requests got none; a few that went astray are no silence.
    """
    found = fallen(asked(*ends))
    assert (found and (found.from_s - BEGAN_AT, found.unanswered)) == expected


def test_silence_is_told() -> None:
    """
    A target that never answered is told of as such.
    """
    some = fallen(asked((0, "200"), *[(7, NO_ANSWER)] * 4))
    none = fallen(asked(*[(0, NO_ANSWER)] * 4))
    assert some
    assert none
    assert silence_words(some, BEGAN_AT) == (
        "From second 7 on the target answered nobody in full any more: 4 requests got no complete answer."
    )
    assert (
        silence_words(none, BEGAN_AT)
        == "The target answered no request of the load in full: 4 requests got no complete answer."
    )
    assert fallen(Storm().run().windows) is None
