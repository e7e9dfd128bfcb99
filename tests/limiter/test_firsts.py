"""What may be behind a limiter, and what becomes of it when the first one turns out to be another one."""

import math

import numpy as np
import pytest

from touchstone.facts.observed import Moment
from touchstone.limiter.account import Candidate
from touchstone.limiter.belief import Belief
from touchstone.limiter.catalogue import ENTRIES, behind
from touchstone.limiter.cells import Cells, grid
from touchstone.limiter.kinds import Tiered
from touchstone.limiter.rates import Firsts, meets
from touchstone.limiter.summary import tier

LOG = next(entry.kind for entry in ENTRIES if entry.kind.name == "sliding-log")
BURSTS_S = (0.0, 1.005, 2.01, 3.015)


def belief_of(thought_s: float, known_s: float, limit: float = 3.0, loose: float = 0.02, luck: float = 0.0) -> Belief:
    """A log of three in a second that a fixed window is behind, after four bursts, of which the last one is refused.

    Args:
        thought_s: Its window as it was thought to be when something behind it was thought of.
        known_s: Its window as it is known now.
        luck: Logarithm of how much likelier all that is behind it was beforehand.
    """
    first = Candidate(LOG, {"limit": np.array([limit]), "window_s": np.array([thought_s])})
    belief = Belief(3)
    belief.cells = [Cells.point(LOG, {"limit": 3.0, "window_s": known_s}, 0.001), *behind(first, loose, 9, 20.0, luck)]
    belief.see(MOMENTS)
    return belief


MOMENTS = [Moment(at, 0.001, at < BURSTS_S[-1]) for at in BURSTS_S for _ in range(3)]


def thought_s(belief: Belief) -> set[float]:
    """The windows that the first limiters are thought to have."""
    return {round(cells.kind.known["window_s"], 3) for cells in belief.cells if isinstance(cells.kind, Tiered)}


def test_first_limiter_that_is_known_better_by_now_is_reckoned_with_anew() -> None:
    """What is behind it may be as likely as before: nothing contradicts it any more."""
    belief = belief_of(1.04, 1.0)
    before = belief.evidence()
    Firsts().renew(belief, MOMENTS)
    (window_s,) = thought_s(belief)
    assert window_s == pytest.approx(1.0, abs=0.005)
    assert belief.evidence() > before
    assert all(cells.seen == len(MOMENTS) for cells in belief.cells)


@pytest.mark.parametrize(
    ("thought", "limit", "loose"),
    [
        pytest.param(1.001, 3.0, 0.02, id="hardly-another-one"),
        pytest.param(1.04, 2.0, 0.02, id="another-limit"),
        pytest.param(1.02, 3.0, 0.0005, id="known-better-before"),
    ],
)
def test_first_limiter_that_is_as_it_was_is_left_alone(thought: float, limit: float, loose: float) -> None:
    """As is one whose limit is another one, which is thought of by itself."""
    belief = belief_of(thought, 1.0, limit, loose)
    kept = list(belief.cells)
    Firsts().renew(belief, MOMENTS)
    assert belief.cells == kept


def test_first_limiter_that_explains_less_is_left_alone() -> None:
    """What is known of the plain one may be wrong because of what the second one refused."""
    belief = belief_of(1.02, 1.0, luck=10.0)
    Firsts().renew(belief, MOMENTS)
    assert thought_s(belief) == {1.02}


def test_first_limiter_is_taken_at_the_middle_of_what_it_may_be() -> None:
    """The likeliest of its windows may be near one end: the other end has to be within reach, too."""
    belief = Belief(3)
    belief.cells = [grid(LOG, [3], [(1.0, 1.2)], 10, 1.0)]
    belief.see(MOMENTS[:3])
    firsts = Firsts()
    firsts.keep(belief)
    candidate, share, _ = firsts.kept["sliding-log"]
    found = tier(belief.cells[0]).numbers["window_s"]
    window_s = float(candidate.params["window_s"][0])
    assert window_s * (1.0 + share) == pytest.approx(found.high, rel=0.005)
    assert window_s / (1.0 + share) == pytest.approx(found.low, rel=0.005)


def test_bucket_is_taken_at_the_middle_of_its_rates() -> None:
    """The time of a token is what is looked for, and a rate what is told."""
    belief = Belief(3)
    bucket = next(entry.kind for entry in ENTRIES if entry.kind.name == "token-bucket")
    belief.cells = [grid(bucket, [3], [(0.5, 0.6)], 10, 1.0)]
    firsts = Firsts()
    belief.see(MOMENTS[:3])
    firsts.keep(belief)
    assert float(firsts.kept["token-bucket"][0].params["token_s"][0]) == pytest.approx(math.sqrt(0.3), rel=0.01)


@pytest.mark.parametrize(("shares", "sure"), [((0.95, 0.2), True), ((0.5, 0.8), False)])
def test_second_limiter_is_sure_only_behind_a_first_one_that_was(
    monkeypatch: pytest.MonkeyPatch, shares: tuple[float, ...], sure: bool
) -> None:
    """Once is enough: what the second one refuses speaks against the first one, too."""
    belief, firsts = belief_of(1.0, 1.0), Firsts()
    behind_it = next(cells.kind for cells in belief.cells if isinstance(cells.kind, Tiered))
    belief.cells = belief.cells[:1]
    assert not firsts.was_sure(behind_it)
    for share in shares:
        monkeypatch.setattr(belief, "kinds", lambda share=share: {"sliding-log": share})
        firsts.keep(belief)
    assert firsts.was_sure(behind_it) is sure


def test_share_is_that_of_what_is_behind_another_one() -> None:
    """Of all first limiters together."""
    belief = belief_of(1.0, 1.0)
    plain = belief.kinds()["sliding-log"]
    assert Firsts().share(belief) == pytest.approx(1.0 - plain)
    belief.cells = belief.cells[:1]
    assert Firsts().share(belief) == 0.0


def test_pair_is_no_first_limiter() -> None:
    """However likely it is: nothing is thought of behind two."""
    known = {"limit": 3.0, "phase": 0.0, "wide_phase": 0.0, "window_s": 1.0}
    plain, pair = (
        Cells.point(kind, {"limit": 9.0, "window_s": 20.0}, 0.001) for kind in (LOG, Tiered(LOG, known, LOG, 0.01))
    )
    for cells, kept in ((plain, 1), (pair, 0)):
        belief, firsts = Belief(3), Firsts()
        belief.cells = [cells]
        belief.see(MOMENTS[:9])
        firsts.keep(belief)
        assert len(firsts.kept) == kept


@pytest.mark.parametrize(
    ("refused_s", "count"),
    [
        pytest.param([], 0, id="never"),
        pytest.param([5.0, 5.1, 9.9], 1, id="in-one-filling"),
        pytest.param([5.0, 5.1, 15.2, 15.3], 2, id="in-two"),
        pytest.param([0.5], 0, id="by-the-first-one"),
    ],
)
def test_second_limit_is_met_where_the_first_one_would_have_let_through(refused_s: list[float], count: int) -> None:
    """Refusals that are less than half a window apart come from one filling."""
    known = {"limit": 3.0, "phase": 0.0, "wide_phase": 0.0, "window_s": 1.0}
    moments = [Moment(0.0, 0.001, True)] * 3 + [Moment(at, 0.001, False) for at in refused_s]
    assert meets(Tiered(LOG, known, LOG, 0.01), moments, 10.0) == count
