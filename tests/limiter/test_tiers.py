"""A limit behind another one: met when it is spent, and found then; and what is said where nothing fits."""

import numpy as np
import pytest

from tests.limiter.virtual import Net, play
from touchstone.facts.identity import Identity
from touchstone.facts.observed import Moment
from touchstone.limiter.belief import Belief, behind
from touchstone.limiter.cells import Cells
from touchstone.limiter.identify import Probe
from touchstone.limiter.kinds import KINDS as ALL
from touchstone.limiter.kinds import Tiered
from touchstone.limiter.planner import candidates, crowds
from touchstone.limiter.terms import Terms

TWO = "sliding-log:5/1.3+fixed-window:20/10"


def probed(net: Net, *, soak: int = 0, most: int = 600) -> Identity:
    """What a probe without a search for caps says."""
    probe = Probe(Terms(seed=2, starts=True, most_requests=most, most_builds=600, most_s=900.0, caps=False, soak=soak))
    play(probe, net)
    return probe.known()


@pytest.mark.alone
def test_second_limit_is_found_where_it_is_spent() -> None:
    """Both are named with their limits, and nobody else is blamed."""
    found = probed(Net(TWO, seed=1), soak=60)
    assert [tier.family for tier in found.tiers] == ["sliding-log", "fixed-window"]
    assert [tier.numbers["limit"].value for tier in found.tiers] == [5, 20]
    assert found.tiers[1].numbers["window_s"].value == pytest.approx(10.0, rel=0.02)
    assert found.notes == ()


@pytest.mark.alone
def test_second_limit_is_not_made_up() -> None:
    """Where there is one, as many requests show one."""
    found = probed(Net("sliding-log:5/1.3"), soak=60)
    assert [tier.family for tier in found.tiers] == ["sliding-log"]
    assert found.sure


@pytest.mark.alone
def test_limiter_that_is_changed_is_doubted() -> None:
    """From second 2 on every window is four times as long: no limiter explains both, and none gets more than 90 %."""
    found = probed(Net("sliding-log:6/1.5", changes=((2.0, "sliding-log:2/6"),)), most=29)
    assert not found.sure
    assert max(runner.probability for runner in found.families) <= 0.9


@pytest.mark.parametrize(("late_s", "count"), [(0.0005, 3), (0.05, 10)])
def test_refusal_that_may_be_the_first_ones_tells_nothing_of_the_second(late_s: float, count: int) -> None:
    """Just after the first one should have let it in; a good while after that it can only be the second one's."""
    kinds = {kind.text: kind for kind in ALL}
    both = Tiered(kinds["sliding-log"], {"limit": 3.0, "window_s": 1.0}, kinds["fixed-window"], 1e-5)
    params = {"limit": np.array([10.0]), "window_s": np.array([60.0]), "phase": np.zeros(1)}
    state = both.start(params, 0.0)
    for _ in range(3):
        state = both.update(params, state, 0.0, True)
    state = both.update(params, state, 1.0 + late_s, False)
    assert state["count"] == [count]


def test_second_limit_is_met_by_a_steady_stream() -> None:
    """As many as the first one lets through one by one, until the second one refuses: a burst meets the first one only.

    There are enough to fill the second one after its window that is open by now; and some begin when it is full again.
    """
    kinds = {kind.text: kind for kind in ALL}
    first = Cells.point(kinds["sliding-log"], {"limit": 4.0, "window_s": 2.0}, 0.0)
    belief = Belief(4)
    belief.cells = behind(first, 0.001, 12, 20.0)
    belief.see([Moment(10.0, 0.001, True)])
    found = crowds(belief, 40, np.random.default_rng(1))
    most = max(int(crowd.params["limit"].max()) for crowd in found)
    named = {one.name: one.segments[0] for one in candidates(found, 30.0, 0.001, 0.001, 8) if "steady" in one.name}
    streams = {name: stream for name, stream in named.items() if name.startswith(("steady", "rest, steady"))}
    assert len(streams) > 1
    for stream in streams.values():
        assert len(stream.at) > 2 * most
        assert np.diff(stream.at) == pytest.approx(1.05 * 2.0 / 4.0)
        assert stream.until == "refused"
    assert streams["rest, steady"].at[0] > 35.0
    assert min(stream.at[0] for stream in streams.values()) == pytest.approx(30.0)


@pytest.mark.alone
def test_rate_of_a_moment_is_spent_until_the_one_behind_it_shows() -> None:
    """Nobody has to ask for it; and no more than so many are let through where there is none."""
    probe = Probe(Terms(1, True, most_requests=400, most_builds=400, most_s=300.0, caps=False))
    play(probe, Net("sliding-log:4/0.7+fixed-window:14/9", seed=1))
    assert [tier.numbers["limit"].value for tier in probe.known().tiers] == [4.0, 14.0]
    assert "soak" in [step.name for step in probe.steps]
    alone = Probe(Terms(1, True, most_requests=400, most_builds=400, most_s=300.0, caps=False))
    play(alone, Net("fixed-window:4/0.5", seed=1))
    accepted = [answer.sent_at for answer in alone.story.answers if answer.accepted]
    assert (len(alone.known().tiers), alone.known().sure) == (1, True)
    assert 20 <= len(accepted) <= 24
    assert accepted[19] - accepted[0] < 5.0
