"""A limiter in numbers and as a text, beside the twin's limiter that the text makes."""

import random

import numpy as np
import pytest

from touchstone.facts.identity import Interval
from touchstone.facts.observed import Moment
from touchstone.limiter.belief import best_limit, plain, quantiles, tier
from touchstone.limiter.cells import Cells, grid
from touchstone.limiter.kinds import KINDS as ALL
from touchstone.limiter.kinds import Kind
from touchstone.twin import RateLimit, decide, limiter_for

TRUE_S = {"window_s": 2.0, "gap_s": 2.0, "token_s": 0.4, "block_s": 3.0}
KINDS: dict[str, Kind] = {kind.text: kind for kind in ALL}
# A whole multiple of the windows and of the ticks: the twin's clocks begin there.
BEGAN_AT = 1000.0


def narrow(kind: Kind, limit: int, share: float = 0.004) -> Cells:
    """What is left of a kind that is known well, after a first request."""
    ranges = [(TRUE_S[name] * (1 - share), TRUE_S[name] * (1 + share)) for name in kind.scales]
    cells = grid(kind, [limit], ranges, 5, 0.1)
    cells.see([Moment(BEGAN_AT, 0.001, not kind.text.endswith("empty"))])
    return cells


def limit_of(kind: Kind) -> int:
    """A limit that the kind may have."""
    return 1 if kind.family == "minimum-gap" else 5


@pytest.mark.parametrize("name", KINDS)
def test_text_is_read_as_the_same_family_with_its_options(name: str) -> None:
    """By the reader of `touchstone serve --rate`."""
    kind = KINDS[name]
    found = tier(narrow(kind, limit_of(kind)))
    read = RateLimit.parse(found.text)
    assert (found.family, read.family) == (kind.family, kind.family)
    assert kind.options.keys() == found.options.keys()
    assert all(f",{option}={value}" in found.text for option, value in found.options.items())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", KINDS)
def test_text_makes_a_limiter_that_decides_alike(name: str, seed: int) -> None:
    """Three hundred requests at random times, many of them close together."""
    kind, chance, at = KINDS[name], random.Random(seed), BEGAN_AT
    limit = limit_of(kind)
    limiter = limiter_for(RateLimit.parse(tier(narrow(kind, limit)).text))
    params = {"limit": np.array([float(limit)]), "phase": np.zeros(1)}
    params |= {scale: np.array([TRUE_S[scale]]) for scale in kind.scales}
    state, seen = kind.start(params, at), []
    for _ in range(300):
        expected = bool(at >= kind.free_at(params, state)[0])
        actual, _ = decide(limiter, at)
        seen.append(actual)
        assert actual == expected, f"request {len(seen)} at {at}"
        state = kind.update(params, state, at, expected)
        pause_s = chance.choice([0.193, 0.77, 1.93, 6.1]) if chance.random() < 0.3 else 0.011
        at += pause_s * (0.5 + chance.random())
    assert set(seen) == {True, False}


@pytest.mark.parametrize("name", KINDS)
def test_intervals_hold_the_numbers(name: str) -> None:
    """Each number lies between its bounds, and so does the true one."""
    kind = KINDS[name]
    limit = limit_of(kind)
    numbers = tier(narrow(kind, limit)).numbers
    true = {**TRUE_S, "limit": limit, "burst": limit, "rate_per_s": 1 / TRUE_S["token_s"]}
    if "burst" in numbers:
        true["window_s"] = limit * TRUE_S["token_s"]
    for key, number in numbers.items():
        assert number.low <= number.value <= number.high, key
        assert number.low <= true[key] <= number.high, key


@pytest.mark.parametrize(
    ("token_s", "burst", "text"),
    [
        (0.5, 8, "token-bucket:8/4"),
        (1 / 3, 8, "token-bucket:3/1,burst=8"),
        (2 / 3, 4, "token-bucket:90/60,burst=4"),
        (360.0, 7, "token-bucket:10/3600,burst=7"),
    ],
)
def test_bucket_is_told_by_whole_numbers(token_s: float, burst: int, text: str) -> None:
    """The time that fills it, or tokens in a second, a minute or an hour, whichever is shorter."""
    cells = grid(KINDS["token-bucket"], [burst], [(token_s * 0.9995, token_s * 1.0005)], 5, 0.1)
    cells.see([Moment(BEGAN_AT, 0.001, True)])
    found = tier(cells).text
    assert found == text
    assert RateLimit.parse(found).family == "token-bucket"


def test_gap_has_no_limit() -> None:
    """It lets one through, always."""
    assert set(tier(narrow(KINDS["minimum-gap"], 1)).numbers) == {"gap_s"}


def test_limit_that_weighs_most_is_told_with_all_that_it_may_be() -> None:
    """Smaller limits weigh more beforehand; the interval holds those that are left."""
    cells = grid(KINDS["sliding-log"], [4, 5, 6], [(1.9, 2.1)], 5, 0.1)
    cells.see([Moment(BEGAN_AT, 0.001, True)])
    value, share = best_limit(cells)
    assert value == 4
    assert share == pytest.approx((1 / 4) / (1 / 4 + 1 / 5 + 1 / 6), rel=1e-3)
    limit = tier(cells).numbers["limit"]
    assert (limit.low, limit.value, limit.high) == (4, 4, 6)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Interval(0.99987, 0.999, 1.001), "1"),
        (Interval(1.0001, 0.995, 1.004), "1"),
        (Interval(59.98, 59.9, 60.05), "60"),
        (Interval(2.4993, 2.497, 2.502), "2.5"),
        (Interval(2.37, 2.369, 2.371), "2.37"),
        (Interval(0.0500012, 0.04999, 0.05001), "0.05"),
        (Interval(3600.2, 3599.0, 3601.0), "3600"),
        (Interval(0.00012345, 0.00012345, 0.00012345), "0.00012345"),
        (Interval(1234567.0, 1234567.0, 1234567.0), "1234567"),
        (Interval(0.0000123, 0.0000123, 0.0000123), "0.0000123"),
        (Interval(0.0, 0.0, 0.0), "0"),
    ],
)
def test_shortest_decimal_that_is_as_good_is_written(number: Interval, text: str) -> None:
    """Never with an exponent, which no limit of the twin could have beside another tier."""
    assert plain(number) == text


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_lies_in_the_interval(seed: int) -> None:
    """And near its middle."""
    chance = random.Random(seed)
    value = 10 ** chance.uniform(-2, 4)
    width = value * 10 ** chance.uniform(-4, -1)
    number = Interval(value, value - width, value + width)
    assert number.low <= float(plain(number)) <= number.high


def test_quantiles_are_those_of_the_weights() -> None:
    """Whatever the order of the values."""
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([0.2, 0.5, 0.3])
    assert quantiles(values, weights, (0.1, 0.5, 0.6, 0.9)) == [1.0, 1.0, 2.0, 3.0]
