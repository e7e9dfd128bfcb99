"""
How fast reads may come by chance under a limiter: none is refused by the twin's, and little of what it gives is wasted.
"""

import math

import pytest

from touchstone.facts.identity import Cost, Identity, Interval, Tier
from touchstone.facts.probe_events import Trial
from touchstone.limiter.knee import due_times
from touchstone.limiter.pace import ceiling
from touchstone.twin import RateLimit, decide, limiter_for

NONE = Interval(0.0, 0.0, 0.0)


def known(value: float) -> Interval:
    """A number that is known exactly."""
    return Interval(value, value, value)


def identity(*tiers: Tier, others: Interval = NONE) -> Identity:
    """What a probe found."""
    return Identity(tiers, (), Cost(0, 0, 0, 0.0), others_share=others, sure=True)


def counted(family: str, limit: float, window_s: float, **more: float) -> Tier:
    """So many in a window."""
    values = {"limit": limit, "window_s": window_s, **more}
    return Tier(family, f"{family}:{limit:g}/{window_s:g}", {name: known(value) for name, value in values.items()})


def bucket(rate_per_s: float, burst: float) -> Tier:
    """A bucket of tokens."""
    text = f"token-bucket:{rate_per_s:g}/1,burst={burst:g}"
    return Tier("token-bucket", text, {"rate_per_s": known(rate_per_s), "burst": known(burst)})


TIERS = [
    counted("fixed-window", 200, 1.0),
    counted("fixed-window", 1_000, 10.0),
    counted("sliding-log", 200, 1.0),
    counted("sliding-counter", 200, 1.0),
    counted("decaying-counter", 200, 1.0),
    bucket(200, 50),
    bucket(100, 100),
    bucket(1_000, 20),
]


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.text)
@pytest.mark.parametrize("seed", range(4))
def test_no_read_of_a_trial_is_refused(tier: Tier, seed: int) -> None:
    """Whenever the windows of the limiter begin."""
    found = ceiling(identity(tier))
    limiter = limiter_for(RateLimit.parse(tier.text))
    due = due_times(Trial(1, "confirm", found[0], 2_500, 1_000 + seed)) + 100.37 * (1 + seed)
    assert all(decide(limiter, float(at))[0] for at in due)


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.text)
def test_much_of_what_the_limiter_gives_is_used(tier: Tier) -> None:
    """A ceiling that is far too low would hide knees that can be found."""
    found = ceiling(identity(tier))
    gives = tier.numbers.get("rate_per_s", known(tier.numbers["limit"].value / 1.0 if "limit" in tier.numbers else 0.0))
    most = gives.value / (tier.numbers["window_s"].value if "window_s" in tier.numbers else 1.0)
    share = 0.3 if tier.family == "decaying-counter" else 0.5
    assert share * most < found[0] < most


def test_burst_of_one_lets_nothing_come_by_chance() -> None:
    """Two reads may always come closer together than a gap lets them."""
    gap = Tier("minimum-gap", "minimum-gap:0.1", {"gap_s": known(0.1)})
    for tier in (gap, bucket(10, 1), counted("fixed-window", 1, 1.0)):
        found = ceiling(identity(tier))
        assert found[0] == 0.0


def test_queue_lets_through_what_does_not_wait() -> None:
    """What waits in a queue is answered late, which would look like a knee."""
    values = {"rate_per_s": known(100), "burst": known(50), "delay": known(0)}
    found = ceiling(identity(Tier("leaky-bucket", "leaky-bucket:100/1,burst=50", values)))
    assert found[0] == 0.0


def test_cap_on_requests_at_once_has_no_rate() -> None:
    """What it refuses depends on how long answers take; nothing is known before."""
    for tiers in ((), (Tier("concurrency", "concurrency:8", {"limit": known(8)}),)):
        assert ceiling(identity(*tiers))[0] == math.inf


def test_two_limits_let_through_what_both_do() -> None:
    """The lower ceiling counts, and the longer rest."""
    both = ceiling(identity(counted("fixed-window", 200, 1.0), counted("fixed-window", 1_000, 60.0)))
    alone = ceiling(identity(counted("fixed-window", 1_000, 60.0)))
    assert both == alone
    assert both[1] > 60.0


def test_what_others_take_is_left_to_them() -> None:
    """Half of the limit is half of the ceiling, or less."""
    alone = ceiling(identity(bucket(200, 50)))
    shared = ceiling(identity(bucket(200, 50), others=Interval(0.4, 0.3, 0.5)))
    assert shared[0] < 0.5 * alone[0] * (1 + 1e-6)


def test_ends_of_intervals_that_are_worse_count() -> None:
    """A rate that is hardly known is taken for the lowest that it may be."""
    unsure = Tier("token-bucket", "", {"rate_per_s": Interval(200, 100, 300), "burst": Interval(50, 40, 60)})
    found = ceiling(identity(unsure))
    assert found[0] < 100
    assert math.isfinite(found[1])
