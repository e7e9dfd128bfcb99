"""Somebody else on the same key: how likely it is that they took what a limiter had left."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.limiter.answers import KINDS
from touchstone.limiter.interference import SHARES, Known, at_least, came_first, took_all
from touchstone.limiter.kinds import Kind

LOG, WINDOW, BUCKET = (KINDS[name] for name in ("sliding-log", "fixed-window", "token-bucket"))
PARAMS = {"limit": np.array([20.0]), "window_s": np.array([2.0]), "phase": np.zeros(1), "token_s": np.array([0.1])}


def full(kind: Kind, accepted: int) -> dict[str, object]:
    """What a limiter keeps in mind after so many at second 0."""
    state = kind.start(PARAMS, 0.0)
    for _ in range(accepted):
        state = kind.update(PARAMS, state, 0.0, True)
    return state


def taken(accepted: int, at: float, known: Known) -> NDArray[np.float64]:
    """How likely it is that others have all that a log has left at *at* which let so many through at second 0."""
    left = LOG.room(PARAMS, full(LOG, accepted), at)
    return took_all(LOG, PARAMS, {}, left, at, known)


def after_refusal(had: float, shut_until: float = 0.0) -> Known:
    """What is known of a limiter that refused at second 0 while others had so many of its places."""
    return Known(np.array([had]), np.array([np.inf]), np.array([shut_until]), np.zeros(1), 0.0)


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_arrivals_of_others_follow_a_poisson_distribution(count: int) -> None:
    found = at_least(np.array([float(count)]), np.array([50.0]))[:, 0]
    for share, chance in list(zip(SHARES[:, 0], found, strict=True))[1:]:
        mean = 50.0 * share
        true = 1 - sum(math.exp(-mean) * mean**n / math.factorial(n) for n in range(count))
        assert chance == pytest.approx(true, rel=0.2, abs=1e-3)


def test_others_are_likelier_the_less_is_left_and_the_more_they_take() -> None:
    nobody = [taken(accepted, 0.0, Known.nothing(1))[0, 0] for accepted in (0, 10, 19)]
    assert nobody == pytest.approx([1e-4] * 3)
    chances = [taken(accepted, 0.0, Known.nothing(1))[1:, 0] for accepted in (19, 17, 10)]
    assert all((more > less).all() for more, less in itertools.pairwise(chances))
    assert all((np.diff(chance) > 0).all() for chance in chances[:2])


def test_others_may_have_begun_with_the_first_request_or_long_before() -> None:
    long_ago, newly = Known.nothing(1), Known.nothing(1, began_at=0.0)
    first, always = (taken(17, 0.001, known)[2, 0] for known in (newly, long_ago))
    assert first == pytest.approx(0.5 * always, rel=0.01)
    assert first < taken(17, 1.0, newly)[2, 0] < taken(17, 1.999, newly)[2, 0]
    assert taken(17, 1.999, newly)[2, 0] == pytest.approx(taken(17, 1.999, long_ago)[2, 0], rel=0.05)
    refused = newly.refused(LOG, np.array([3.0]), 0.0, np.zeros(1))
    assert taken(17, 0.5, refused)[2, 0] == pytest.approx(taken(17, 0.5, after_refusal(3.0))[2, 0])


def test_what_others_had_a_moment_ago_they_still_have() -> None:
    soon, later = (taken(17, at, after_refusal(3.0))[2, 0] for at in (0.001, 1.999))
    assert soon > 0.99
    assert later < 0.7


def test_what_others_did_not_have_a_moment_ago_they_have_not_now() -> None:
    known = replace(after_refusal(0.0), below=np.array([3.0]))
    assert taken(17, 0.5, known)[2, 0] == pytest.approx(1e-4)
    unknown = replace(known, below=np.array([np.inf]))
    fewer, any_number = (taken(18, 0.5, one)[2, 0] for one in (known, unknown))
    assert 0.05 < fewer < 0.9 * any_number


def test_others_get_nothing_of_a_log_that_is_shut() -> None:
    open_, shut = (taken(18, 0.5, after_refusal(0.0, until))[2, 0] for until in (0.0, 0.499))
    assert shut < 0.01 < open_


def first_by(kind: Kind, state: dict[str, object], s: float, since_s: float = 9.0, *, accepted: bool = True) -> Any:
    """How likely it is that others had a limiter move on sooner by *s*, a row for each share."""
    return came_first(np.array([s]), kind, PARAMS, state, since_s, accepted=accepted)


def test_others_may_have_opened_a_window_early_but_not_a_log() -> None:
    state = WINDOW.update(PARAMS, full(WINDOW, 20), 3.0, True)
    early = [first_by(WINDOW, state, s)[:, 0] for s in (0.1, 0.9, 1.1)]
    assert early[0][0] == early[2].max() == 0.0
    assert (early[0][1:] > early[1][1:]).all()
    assert first_by(LOG, full(LOG, 20), 0.1) == 0.0
    # What a refusal says of it counts once.
    whole, again = (first_by(WINDOW, state, 0.5, since_s, accepted=False)[2, 0] for since_s in (9.0, 0.001))
    assert whole > 0.2
    assert again < 0.01


def test_token_may_be_there_early_only_where_there_are_others() -> None:
    early = [first_by(BUCKET, full(BUCKET, 20), s)[:, 0] for s in (0.05, 0.2)]
    assert list(early[0]) == [0.0, 0.1, 0.1, 0.1]
    assert early[1].max() == 0.0
