"""Limiters that give again in less time than lies between the first request and the burst."""

from dataclasses import replace

import pytest

from tests.limiter.judged import judge
from tests.limiter.played import PLENTY, through
from tests.limiter.virtual import Net


@pytest.mark.alone
@pytest.mark.parametrize(
    "text",
    [
        "fixed-window:5/0.1",
        "fixed-window:5/0.2",
        "fixed-window:12/0.4,opens=clock",
        "sliding-log:5/0.3",
        "sliding-counter:10/0.3",
        "token-bucket:30/1,burst=3",
        "minimum-gap:0.2",
        "minimum-gap:0.4",
    ],
)
def test_quick_limiter_is_named_with_its_numbers(text: str) -> None:
    """The first request is forgotten by the burst, and counts for nothing in it."""
    found = through(Net(text), replace(PLENTY, seed=3)).known
    judged = judge(text, found)
    assert (judged.family, judged.exact, found.sure) == (True, True, True)
    assert max(time.error for time in judged.times) < 0.02


@pytest.mark.alone
@pytest.mark.parametrize(
    "text", ["minimum-gap:0.02", "minimum-gap:0.04", "minimum-gap:0.06", "token-bucket:40/1,burst=2"]
)
def test_limiter_as_quick_as_a_probe_is_not_named_wrongly(text: str) -> None:
    """What gives again while a probe thinks may stay unsure."""
    found = through(Net(text), replace(PLENTY, seed=3)).known
    assert not judge(text, found).misled
