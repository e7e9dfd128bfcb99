"""Schedules: which arrival is what, who sends it, and that nothing is lost on the way."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.errors import UsageError
from touchstone.loadgen.arrivals import parse
from touchstone.loadgen.chance import exponentials, uniforms
from touchstone.loadgen.mix import assign
from touchstone.loadgen.schedule import Schedule, draw_up, due_times

MIX = {"read": 88.0, "start": 4.0, "cancel": 4.0, "stream": 4.0}

WEIGHTS = st.dictionaries(
    st.sampled_from("abcdef"), st.integers(0, 60).map(lambda number: number / 10), min_size=1
).filter(lambda weights: any(weights.values()))


def steady(text: str = "20", seed: int = 1) -> Schedule:
    """A schedule of 40 seconds with a mix of actions."""
    return draw_up(parse(text, 40.0), 40.0, MIX, seed)


@settings(max_examples=60)
@given(weights=WEIGHTS, count=st.integers(0, 400))
def test_any_prefix_has_the_right_shares(weights: dict[str, float], count: int) -> None:
    """However many arrivals have come, each action has had its share of them, less than one arrival off."""
    actions = assign(count, weights)
    assert len(actions) == count
    for action, weight in enumerate(weights.values()):
        had = np.cumsum(actions == action)
        due = np.arange(1, count + 1) * weight / math.fsum(weights.values())
        assert np.all(np.abs(had - due) < 1)


def test_actions_are_spread_evenly() -> None:
    """Rare actions do not come together, though their weights are the same, and the order repeats itself."""
    actions = assign(50, MIX)
    assert np.flatnonzero(actions != 0).tolist() != []
    assert np.all(np.diff(np.flatnonzero(actions == 1)) == 25)
    assert actions[:25].tolist() == actions[25:].tolist()


def test_weights_count_as_they_are_written() -> None:
    """Only the ratios matter, and a decimal fraction is what it says, not what a machine holds for it."""
    assert assign(60, {"a": 0.1, "b": 0.2}).tolist() == assign(60, {"a": 1, "b": 2}).tolist()
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


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"read": 1.0, "start": -1.0}, "weight of start: found -1.0; expected a number of 0 or more"),
        ({"read": math.nan}, "weight of read: found nan; expected a number of 0 or more"),
        ({"read": 0.0, "start": 0.0}, "weights of read, start: all are 0; expected one above 0"),
        ({}, "weights of nothing: all are 0; expected one above 0"),
    ],
)
def test_weights_without_a_share_are_an_error(weights: dict[str, float], told: str) -> None:
    """A weight below 0 and weights that are all 0 are told by the action's name."""
    with pytest.raises(UsageError) as error:
        assign(10, weights)
    assert str(error.value) == told


def test_logarithm_is_that_of_the_library() -> None:
    """The exponential gaps are minus the logarithm of the uniform numbers, to the last place but a few."""
    drawn = uniforms(seed=3, stream=0, count=1000)
    sums = exponentials(seed=3, total=500.0)
    assert np.diff(sums) == pytest.approx(-np.log(drawn[1 : len(sums)]), rel=1e-9)
    assert sums[0] == pytest.approx(-math.log(drawn[0]), rel=1e-15)


def test_uniform_numbers_are_never_at_the_ends() -> None:
    """Neither 0 nor 1 is drawn, and streams of one seed differ."""
    drawn = uniforms(seed=3, stream=0, count=5000)
    assert 0 < drawn.min() < drawn.max() < 1
    assert abs(float(drawn.mean()) - 0.5) < 4 / math.sqrt(12 * 5000)
    assert drawn[:3].tolist() != uniforms(seed=3, stream=1, count=3).tolist()


def test_sums_go_on_from_block_to_block() -> None:
    """A process longer than what is drawn at once has no seam: its gaps keep their mean."""
    sums = exponentials(seed=3, total=150_000.0)
    assert abs(len(sums) - 150_000) < 4 * math.sqrt(150_000)
    assert np.all(np.diff(sums) > 0)
    assert sums[-1] < 150_000


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


def test_schedule_tells_its_peak_and_its_gap() -> None:
    """The busiest second is found wherever it begins, and a wait at either end of the run counts."""
    schedule = draw_up(parse("spike:10..100@7.5s+1s", 40.0), 40.0, {"read": 1}, seed=1)
    assert schedule.peak_per_s == 100
    assert schedule.per_second[:10].tolist() == [10, 10, 10, 10, 10, 10, 10, 55, 55, 10]
    assert len(schedule.per_second) == 40
    assert schedule.longest_gap_s == pytest.approx(0.1)
    late = draw_up(parse("spike:0..10@30s+2s", 40.0), 40.0, {"read": 1}, seed=1)
    assert late.longest_gap_s == pytest.approx(30.05)
    early = draw_up(parse("spike:0..10@0s+2s", 40.0), 40.0, {"read": 1}, seed=1)
    assert early.longest_gap_s == pytest.approx(38.05)
    assert early.per_second.tolist() == [10, 10] + 38 * [0]


class Rounded:
    """Arrivals that rounding has put out of order, and onto the end of the run."""

    def count(self, _until_s: float) -> float:
        return 3.0

    def due(self, _duration_s: float, _seed: int) -> np.ndarray:
        return np.array([0.25, np.nextafter(0.25, 0), 1.0])


def test_rounding_reorders_nothing() -> None:
    """An error in the last place neither swaps two arrivals nor takes one out of the run."""
    assert due_times(Rounded(), 1.0, seed=1).tolist() == [0.25, 0.25, np.nextafter(1.0, 0)]


@pytest.mark.parametrize("rate", [3, 7, 49, 100])
def test_peak_of_a_constant_rate_is_the_rate(rate: int) -> None:
    """Two arrivals a second apart are not within one second, whatever rounding makes of them."""
    assert steady(str(rate)).peak_per_s == rate


def test_bytes_read_back() -> None:
    """What one worker writes down another one reads, share or whole, and both come to the same digest."""
    for schedule in (steady("poisson:20"), steady().share(1, 3)):
        read = Schedule.from_bytes(schedule.to_bytes())
        assert read == schedule
        assert (read.names, read.duration_s, read.digest) == (schedule.names, schedule.duration_s, schedule.digest)
        assert read.numbers.tolist() == schedule.numbers.tolist()
        assert {read, schedule} == {schedule}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "schedule: expected a line of JSON first, got b''"),
        (b"[1, 2]\nxx", "schedule: expected a line of JSON first, got b'[1, 2]'"),
        (
            b'{"arrivals": 2, "duration_s": 1.0, "names": ["a"]}\nxx',
            "schedule of 2 arrivals: expected 28 bytes after its line, got 2",
        ),
    ],
)
def test_bytes_of_something_else_are_an_error(data: bytes, told: str) -> None:
    """A cut or foreign text is told with what was expected, never taken for a shorter schedule."""
    with pytest.raises(ValueError) as error:
        Schedule.from_bytes(data)
    assert str(error.value) == told


def test_digest_tells_schedules_apart() -> None:
    """Equal settings come to one digest; another seed, mix, rate, length or share to another."""
    seeded = "poisson:20"
    digests = [
        steady(seeded).digest,
        steady(seeded, seed=2).digest,
        steady("21").digest,
        steady("20").digest,
        steady("20").share(0, 2).digest,
        draw_up(parse("20", 40.0), 40.0, {**MIX, "read": 87.0}, seed=1).digest,
    ]
    assert len(set(digests)) == len(digests)
    assert steady(seeded).digest == digests[0]


def test_digest_is_the_same_on_every_machine() -> None:
    """A schedule of a given seed comes to the digest that is written down here."""
    assert steady("poisson:ramp:5..50").digest == DIGEST


DIGEST = "dfbd1be87f0a3111932f0daf9f08d1e7203891d97f9b01364c715af5aa8a3f7a"


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
