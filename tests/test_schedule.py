"""Schedules: which arrival is what, who sends it, and that nothing is lost on the way."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.errors import UsageError
from touchstone.loadgen.plan import Schedule, assign, draw_up
from touchstone.loadgen.workloads import ACTIONS, SCENARIOS, Options

MIX = {"read": 88.0, "start": 4.0, "cancel": 4.0, "stream": 4.0}
NAMES = tuple(ACTIONS)

WEIGHTS = st.dictionaries(
    st.sampled_from(NAMES), st.integers(0, 60).map(lambda number: number / 10), min_size=1
).filter(lambda weights: any(weights.values()))


def steady(text: str = "constant:20", seed: int = 1, **more: Any) -> Schedule:
    """A schedule of 40 seconds with a mix of actions."""
    return draw_up(replace(Options(SCENARIOS["steady"], text, 40.0, MIX, seed), **more))


def test_actions_are_spread_evenly() -> None:
    """Each action comes at even distances, and however many arrivals there are, each has its share of them."""
    assert np.all(np.diff(np.flatnonzero(assign(50, MIX) == 1)) == 25)
    for count in (0, 1, 7, 33, 400):
        numbers = np.bincount(assign(count, MIX), minlength=4)
        assert numbers.sum() == count
        assert np.all(np.abs(numbers - count * np.array([0.88, 0.04, 0.04, 0.04])) < 1)
    assert assign(3, {"a": 0.0, "b": 1.0}).tolist() == [1, 1, 1]


def test_drawn_actions_have_their_shares_and_no_pattern() -> None:
    """
    With a seed each arrival draws its action: the counts are within four deviations, and neighbours are independent.
    """
    actions = assign(20_000, {"a": 1, "b": 3}, seed=7)
    share = float(np.mean(actions == 0))
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 20_000)
    pairs = float(np.mean((actions[1:] == 0) & (actions[:-1] == 0)))
    assert abs(pairs - 0.0625) < 4 * math.sqrt(0.0625 / 20_000)
    assert actions.tolist() == assign(20_000, {"a": 1, "b": 3}, seed=7).tolist()
    assert actions.tolist() != assign(20_000, {"a": 1, "b": 3}, seed=8).tolist()


@pytest.mark.parametrize("text", ["20", "poisson:20", "ramp:0..40"])
def test_schedule_has_every_arrival_with_its_action(text: str) -> None:
    """Arrivals are numbered in the order in which they are due, and the counts add up."""
    schedule = steady(text)
    assert len(schedule) == sum(schedule.counts.values())
    assert schedule.rows["number"].tolist() == list(range(len(schedule)))
    assert np.all(np.diff(schedule.rows["due_s"]) >= 0)
    assert tuple(schedule.counts) == tuple(MIX)


def test_counts_of_an_even_mix_are_exact() -> None:
    """800 arrivals of which one in 25 is rare are 32 of each rare kind."""
    assert steady().counts == {"read": 704, "start": 32, "cancel": 32, "stream": 32}


def test_poisson_schedule_draws_its_actions() -> None:
    """In a Poisson process the actions are drawn, so that the arrivals of one action may come together."""
    places = np.flatnonzero(steady("poisson:20").rows["action"] == NAMES.index("start"))
    assert len(set(np.diff(places).tolist())) > 5


@settings(max_examples=60)
@given(weights=WEIGHTS, rate=st.integers(1, 12), workers=st.integers(1, 9), chance=st.booleans())
def test_shares_are_the_schedule(weights: dict[str, float], rate: int, workers: int, chance: bool) -> None:
    """Each arrival is in one worker's share, as it was and in order, and no worker has more to do than another."""
    whole = steady(f"{'poisson:' if chance else ''}{rate}", seed=rate, mix=weights, duration_s=20.0)
    shares = [whole.share(worker, workers) for worker in range(workers)]
    assert sorted(number for share in shares for number in share.rows["number"].tolist()) == list(range(len(whole)))
    for share in shares:
        assert share.rows.tolist() == whole.rows[share.rows["number"]].tolist()
        assert np.all(np.diff(share.rows["number"].astype(int)) > 0)
    for counts in (
        [len(share) for share in shares],
        *([share.counts.get(name, 0) for share in shares] for name in whole.counts),
    ):
        assert max(counts) - min(counts) <= 1


def test_equal_options_have_equal_schedules() -> None:
    """Another seed, mix, rate or length makes another schedule."""
    seeded = "poisson:20"
    found = [
        steady(seeded),
        steady(seeded, seed=2),
        steady("21"),
        steady("20"),
        steady("20").share(0, 2),
        steady("20", mix={**MIX, "read": 87.0}),
    ]
    assert len({schedule.rows.tobytes() for schedule in found}) == len(found)
    assert steady(seeded).rows.tobytes() == found[0].rows.tobytes()


def test_trace_says_what_its_arrivals_are(tmp_path: Path) -> None:
    """The operations of a trace are its actions; the weights count only where it names none."""
    (tmp_path / "seen.csv").write_text("at_s,operation\n0,stream\n1,read\n50,start\n", "utf-8")
    schedule = steady(f"trace:{tmp_path / 'seen.csv'}")
    assert [NAMES[action] for action in schedule.rows["action"]] == ["stream", "read"]
    (tmp_path / "plain").write_text("0\n1\n2\n", "utf-8")
    assert steady(f"trace:{tmp_path / 'plain'}", mix={"read": 2, "start": 1}).counts == {"read": 2, "start": 1}


@pytest.mark.parametrize(
    ("named", "hint"),
    [("starts", "; did you mean start?"), ("getBuild", ""), ("START", ""), ("", "")],
    ids=["near", "id", "case", "empty"],
)
def test_trace_with_an_unknown_action_is_an_error(named: str, hint: str, tmp_path: Path) -> None:
    """The message names the line, what it says, every action that may stand there, and the nearest."""
    (tmp_path / "seen.csv").write_text(f"at_s,operation\n0,read\n# later\n50,{named}\n", "utf-8")
    with pytest.raises(UsageError) as error:
        steady(f"trace:{tmp_path / 'seen.csv'}")
    found = f"{tmp_path}/seen.csv:4: found {named!r} in the column operation; "
    assert str(error.value) == f"{found}expected an action of this run: {', '.join(sorted(MIX))}{hint}"
