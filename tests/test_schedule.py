"""Schedules: which arrival is what, who sends it, and that nothing is lost on the way."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.errors import UsageError
from touchstone.loadgen.arrivals import parse
from touchstone.loadgen.schedule import Schedule, assign, draw_up, due_times

MIX = {"read": 88.0, "start": 4.0, "cancel": 4.0, "stream": 4.0}

WEIGHTS = st.dictionaries(
    st.sampled_from("abcdef"), st.integers(0, 60).map(lambda number: number / 10), min_size=1
).filter(lambda weights: any(weights.values()))


def steady(text: str = "20", seed: int = 1) -> Schedule:
    """A schedule of 40 seconds with a mix of actions."""
    return draw_up(parse(text, 40.0), 40.0, MIX, seed)


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
    """Times, actions and numbers belong together, and the counts add up."""
    schedule = steady(text)
    assert len(schedule) == len(schedule.due_s) == len(schedule.actions) == sum(schedule.counts.values())
    assert schedule.numbers.tolist() == list(range(len(schedule)))
    assert tuple(schedule.counts) == schedule.names == tuple(MIX)


def test_counts_of_an_even_mix_are_exact() -> None:
    """800 arrivals of which one in 25 is rare are 32 of each rare kind."""
    assert steady().counts == {"read": 704, "start": 32, "cancel": 32, "stream": 32}


def test_poisson_schedule_draws_its_actions() -> None:
    """In a Poisson process the actions are drawn, so that the arrivals of one action may come together."""
    places = np.flatnonzero(steady("poisson:20").actions == 1)
    assert len(set(np.diff(places).tolist())) > 5


@settings(max_examples=60)
@given(weights=WEIGHTS, rate=st.integers(1, 12), workers=st.integers(1, 9), chance=st.booleans())
def test_shares_are_the_schedule(weights: dict[str, float], rate: int, workers: int, chance: bool) -> None:
    """Each arrival is in one worker's share, as it was and in order, and no worker has more to do than another."""
    whole = draw_up(parse(f"{'poisson:' if chance else ''}{rate}", 20.0), 20.0, weights, seed=rate)
    shares = [whole.share(worker, workers) for worker in range(workers)]
    assert sorted(number for share in shares for number in share.numbers.tolist()) == whole.numbers.tolist()
    for share in shares:
        assert share.due_s.tolist() == whole.due_s[share.numbers].tolist()
        assert share.actions.tolist() == whole.actions[share.numbers].tolist()
        assert np.all(np.diff(share.numbers.astype(int)) > 0)
    for counts in ([len(share) for share in shares], *zip(*(share.counts.values() for share in shares), strict=True)):
        assert max(counts) - min(counts) <= 1


def test_share_of_a_share_keeps_the_numbers_of_the_whole() -> None:
    """A worker with processes of its own deals its share on, and every arrival still says which one it is."""
    whole = steady()
    parts = [whole.share(worker, 2).share(process, 3) for worker in range(2) for process in range(3)]
    assert sorted(number for part in parts for number in part.numbers.tolist()) == whole.numbers.tolist()


class Rounded:
    """Arrivals that rounding has put out of order, and onto the end of the run."""

    def count(self, _until_s: float) -> float:
        return 3.0

    def due(self, _duration_s: float, _seed: int) -> np.ndarray:
        return np.array([0.25, np.nextafter(0.25, 0), 1.0])


def test_rounding_reorders_nothing() -> None:
    """An error in the last place neither swaps two arrivals nor takes one out of the run."""
    assert due_times(Rounded(), 1.0, seed=1).tolist() == [0.25, 0.25, np.nextafter(1.0, 0)]


def test_bytes_read_back() -> None:
    """What one worker writes down another one reads, share or whole, and both come to the same bytes."""
    for schedule in (steady("poisson:20"), steady().share(1, 3)):
        read = Schedule.from_bytes(schedule.to_bytes())
        assert (read.names, read.duration_s) == (schedule.names, schedule.duration_s)
        assert read.to_bytes() == schedule.to_bytes()
        assert read.numbers.tolist() == schedule.numbers.tolist()


def test_bytes_distinguish_schedules() -> None:
    """Equal settings come to the same bytes; another seed, mix, rate, length or share to another."""
    seeded = "poisson:20"
    digests = [
        steady(seeded).to_bytes(),
        steady(seeded, seed=2).to_bytes(),
        steady("21").to_bytes(),
        steady("20").to_bytes(),
        steady("20").share(0, 2).to_bytes(),
        draw_up(parse("20", 40.0), 40.0, {**MIX, "read": 87.0}, seed=1).to_bytes(),
    ]
    assert len(set(digests)) == len(digests)
    assert steady(seeded).to_bytes() == digests[0]


def test_schedule_cannot_be_written_to() -> None:
    """Whoever holds a schedule can rely on it, and making one leaves the caller's arrays alone."""
    times = np.array([0.5])
    schedule = Schedule(("read",), 1.0, times, np.zeros(1, dtype=np.uint16), np.zeros(1, dtype=np.uint32))
    with pytest.raises(ValueError, match="read-only"):
        schedule.due_s[0] = 0
    times[0] = 0.25
    assert schedule.due_s.tolist() == [0.5]


def test_schedule_without_an_arrival_is_an_error() -> None:
    """A run that would send nothing is refused before it begins."""
    told = "--arrivals: constant:0.01 makes no arrival in 20 s; raise the rate or run for longer"
    with pytest.raises(UsageError) as error:
        draw_up(parse("0.01", 20.0), 20.0, MIX, seed=1)
    assert str(error.value) == told


def test_trace_says_what_its_arrivals_are(tmp_path: Path) -> None:
    """The operations of a trace are its actions; the weights count only where it names none."""
    (tmp_path / "seen.csv").write_text("at_s,operation\n0,stream\n1,read\n50,start\n", "utf-8")
    schedule = draw_up(parse("trace:seen.csv", 40.0, folder=tmp_path), 40.0, MIX, seed=1)
    assert [schedule.names[action] for action in schedule.actions] == ["stream", "read"]
    (tmp_path / "plain").write_text("0\n1\n2\n", "utf-8")
    plain = draw_up(parse("trace:plain", 40.0, folder=tmp_path), 40.0, {"a": 2, "b": 1}, seed=1)
    assert plain.counts == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("named", "hint"),
    [("starts", "; did you mean start?"), ("getBuild", ""), ("START", "")],
    ids=["near", "id", "case"],
)
def test_trace_with_an_unknown_action_is_an_error(named: str, hint: str, tmp_path: Path) -> None:
    """The message names the line, what it says, every action that may stand there, and the nearest."""
    (tmp_path / "seen.csv").write_text(f"at_s,operation\n0,read\n# later\n50,{named}\n", "utf-8")
    with pytest.raises(UsageError) as error:
        draw_up(parse("trace:seen.csv", 40.0, folder=tmp_path), 40.0, MIX, seed=1)
    found = f"{tmp_path}/seen.csv:4: found {named!r} in the column operation; "
    assert str(error.value) == f"{found}expected an action of this run: {', '.join(sorted(MIX))}{hint}"
