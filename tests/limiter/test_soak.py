"""How much has to be let through before a limit that is met often counts as the only one."""

import pytest

from tests.limiter.answers import row
from touchstone.facts.identity import Interval, Tier
from touchstone.limiter.identify import most_within, of_a_moment


def of(**numbers: float) -> Tier:
    """A tier with these numbers."""
    return Tier("family", "text", {name: Interval(value, value, value) for name, value in numbers.items()})


@pytest.mark.parametrize(
    ("tier", "refill_s", "needed", "within_s"),
    [
        pytest.param(of(limit=4, window_s=1.0), 1.0, 20, 5.5, id="window"),
        pytest.param(of(limit=4, window_s=0.5), 0.5, 20, 5.0, id="short-window"),
        pytest.param(of(limit=30, window_s=2.0), 2.0, 61, 11.0, id="many"),
        pytest.param(of(burst=3, rate_per_s=2.0), 1.5, 15, 8.25, id="bucket"),
        pytest.param(of(gap_s=1.0), 1.0, 5, 5.5, id="gap"),
        pytest.param(of(limit=4, window_s=2.1), 1.0, 0, 0.0, id="counts-for-longer"),
        pytest.param(of(limit=4, window_s=1.0), 2.1, 0, 0.0, id="is-shut-for-longer"),
    ],
)
def test_rate_of_a_moment_is_spent_several_times(tier: Tier, refill_s: float, needed: int, within_s: float) -> None:
    """Five times, within about as long as that takes; one that lasts longer is none of a moment."""
    assert of_a_moment([tier], refill_s) == (needed, pytest.approx(within_s))


def test_two_limits_are_enough() -> None:
    """Nothing is looked for behind both."""
    assert of_a_moment([of(limit=4, window_s=1.0), of(limit=9, window_s=1.0)], 1.0) == (0, 0.0)


def test_most_of_any_stretch_count() -> None:
    """However much came before or after, and nothing of what was refused."""
    answers = [*row("+++", 1.0), *row("+-+-++", 9.0), *row("+", 20.0)]
    assert most_within(answers, 1.0) == 4
    assert most_within(answers, 9.0) == 7
    assert most_within(answers, 100.0) == 8
    assert most_within(row("--", 1.0), 100.0) == 0
    assert most_within([], 100.0) == 0
