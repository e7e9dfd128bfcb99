"""How likely limiters are after a story, what contradicts one, and its numbers and text."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.limiter.answers import KINDS, number
from tests.limiting import decide, limiter_for
from touchstone.facts.identity import Interval
from touchstone.facts.probe import Moment
from touchstone.limiter.belief import against, disagreements, hints, plain, taken, tier
from touchstone.limiter.cells import Cells, grid
from touchstone.limiter.kinds import Kind

TIMES = (10.0, 10.2, 10.201, 10.202, 10.203, 11.5, 12.05, 12.06, 12.3, 14.4, 14.41, 14.42, 14.43)
TRUE_S = {"window_s": 2.0, "gap_s": 2.0, "token_s": 0.4, "block_s": 3.0}
# A whole multiple of the windows and of the ticks: the twin's clocks begin there.
BEGAN_AT = 1000.0


def candidate(name: str, limit: float, **times: float) -> Cells:
    return Cells.point(KINDS[name], {"limit": limit, **times}, 0.0)


KNOWN = {
    "fixed-window:3/2": candidate("fixed-window", 3, window_s=2.0),
    "sliding-log:3/2": candidate("sliding-log", 3, window_s=2.0),
    "token-bucket:3/2": candidate("token-bucket", 3, token_s=2 / 3),
    "minimum-gap:2": candidate("minimum-gap", 1, gap_s=2.0),
}


def decided(text: str, times: Sequence[float] = TIMES, *, hint_s: float | None = None) -> list[Moment]:
    """What the twin's limiter decides; each refusal hints truly when it ends, or says *hint_s*."""
    limiter, found = limiter_for(text), []
    for at in times:
        wait_s = limiter.wait_s(at)
        accepted, _ = decide(limiter, at)
        hint = None if accepted else float(-(-wait_s // 1)) if hint_s is None else hint_s
        found.append(Moment(at, 0.0007, accepted, hint))
    return found


@pytest.mark.parametrize("text", KNOWN)
def test_limiter_that_answered_is_contradicted_by_nothing(text: str) -> None:
    known, moments = KNOWN[text], decided(text)
    assert (against(known, moments), disagreements(known, moments)) == ("", [])
    assert hints(known, moments) == ()
    assert taken(known, moments).value == 0.0


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("fixed-window:3/2", "sliding-log:3/2"),
        ("token-bucket:3/2", "fixed-window:3/2"),
        ("sliding-log:3/2", "minimum-gap:2"),
    ],
)
def test_clearest_contradiction_of_another_limiter_has_its_second(text: str, other: str) -> None:
    second = float(against(KNOWN[other], decided(text)).split(" at second ")[1].split()[0].rstrip(","))
    assert min(abs(second - (at - TIMES[0])) for at in TIMES) < 0.001


@pytest.mark.parametrize("text", KNOWN)
@pytest.mark.parametrize("hint_s", [0.0, 9.0])
def test_hints_that_are_off_are_one_finding(text: str, hint_s: float) -> None:
    moments = decided(text, hint_s=hint_s)
    (finding,) = hints(KNOWN[text], moments)
    refused = sum(not moment.accepted for moment in moments)
    assert f" of {refused} refusals" in finding
    assert re.search(rf"\b{hint_s:g}\b(?!\.)", finding)


def test_missing_hints_and_a_single_wrong_one_are_no_finding() -> None:
    moments = decided("fixed-window:3/2")
    first = next(number for number, moment in enumerate(moments) if not moment.accepted)
    wrong = [*moments[:first], replace(moments[first], hint_s=60.0), *moments[first + 1 :]]
    for story in (wrong, [replace(moment, hint_s=None) for moment in moments], []):
        assert hints(KNOWN["fixed-window:3/2"], story) == ()


def test_room_that_a_limiter_had_when_it_refused_was_taken() -> None:
    share = taken(
        candidate("fixed-window", 5, window_s=9.0),
        [Moment(10.0 + 0.1 * number, 0.0007, number < 3) for number in range(4)],
    )
    assert share.value == pytest.approx(2 / 5)
    assert 0.0 < share.low < 2 / 5 < share.high < 1.0


def narrow(kind: Kind, limit: int) -> Cells:
    """What is left of a kind that is known well, after a first request."""
    ranges = [(TRUE_S[name] * 0.996, TRUE_S[name] * 1.004) for name in kind.scales]
    cells = grid(kind, [limit], ranges, 5, 0.1)
    cells.update([Moment(BEGAN_AT, 0.001, not kind.text.endswith("empty"))])
    return cells


@pytest.mark.parametrize("name", KINDS)
def test_text_of_a_kind_makes_a_limiter_that_decides_alike(name: str) -> None:
    kind = KINDS[name]
    limit = 1 if kind.family == "minimum-gap" else 5
    found = tier(narrow(kind, limit))
    limiter = limiter_for(found.text)
    assert (found.family, kind.options.keys()) == (kind.family, found.options.keys())
    assert all(f",{option}={value}" in found.text for option, value in found.options.items())
    params = {"limit": np.array([float(limit)]), "phase": np.zeros(1)}
    params |= {scale: np.array([TRUE_S[scale]]) for scale in kind.scales}
    chance = np.random.default_rng(1)
    at, outcomes, state = BEGAN_AT, set(), kind.start(params, BEGAN_AT)
    for count in range(300):
        expected = bool(at >= kind.free_at(params, state)[0])
        assert decide(limiter, at)[0] == expected, f"request {count} at {at}"
        outcomes.add(expected)
        state = kind.update(params, state, at, expected)
        pause_s = chance.choice([0.193, 0.77, 1.93, 6.1]) if chance.random() < 0.3 else 0.011
        at += float(pause_s * (0.5 + chance.random()))
    assert outcomes == {True, False}


@pytest.mark.parametrize("name", KINDS)
def test_intervals_hold_the_true_numbers(name: str) -> None:
    kind = KINDS[name]
    limit = 1 if kind.family == "minimum-gap" else 5
    numbers = tier(narrow(kind, limit)).numbers
    true = {**TRUE_S, "limit": limit, "burst": limit, "rate_per_s": 1 / TRUE_S["token_s"]}
    if "burst" in numbers:
        true["window_s"] = limit * TRUE_S["token_s"]
    assert ("limit" in numbers or "burst" in numbers) == (kind.family != "minimum-gap")
    for key, found in numbers.items():
        assert found.low <= found.value <= found.high, key
        assert found.low <= true[key] <= found.high, key


@pytest.mark.parametrize(
    ("token_s", "burst", "text"),
    [
        (0.5, 8, "token-bucket:8/4"),
        (1 / 3, 8, "token-bucket:3/1,burst=8"),
        (2 / 3, 4, "token-bucket:90/60,burst=4"),
        (360.0, 7, "token-bucket:10/3600,burst=7"),
    ],
)
def test_text_of_a_bucket_has_the_shortest_whole_numbers(token_s: float, burst: int, text: str) -> None:
    cells = grid(KINDS["token-bucket"], [burst], [(token_s * 0.9995, token_s * 1.0005)], 5, 0.1)
    cells.update([Moment(BEGAN_AT, 0.001, True)])
    assert tier(cells).text == text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (number(0.99987, 0.999, 1.001), "1"),
        (number(59.98, 59.9, 60.05), "60"),
        (number(2.4993, 2.497, 2.502), "2.5"),
        (number(0.0500012, 0.04999, 0.05001), "0.05"),
        (number(0.00012345), "0.00012345"),
        (number(0.0000123), "0.0000123"),
        (number(0.0), "0"),
    ],
)
def test_shortest_decimal_within_the_interval_is_written(interval: Interval, text: str) -> None:
    assert plain(interval) == text
