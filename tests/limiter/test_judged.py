"""The judge of probes: what it calls right, and what wrong, of identities that were made by hand."""

from collections.abc import Mapping

import pytest

from tests.limiter.forms import FORMS, drawn
from tests.limiter.judged import alike, judge, readings, spent
from touchstone.facts.identity import Cost, Identity, Interval, Runner, Tier
from touchstone.twin import RateLimit


def identity(
    *tiers: tuple[str, Mapping[str, float]], sure: bool = True, share: float = 1.0, also: tuple[str, ...] = ()
) -> Identity:
    """An identity of these texts and numbers, each of which is known to 1 % where it is no whole number."""
    found = tuple(
        Tier(RateLimit.parse(text).family, text, {name: _number(value) for name, value in numbers.items()})
        for text, numbers in tiers
    )
    families = (Runner(found[0].family, share, found[0].text),) if found else ()
    return Identity(found, families, Cost(0, 0, 0, 0.0), alike=also, sure=sure)


def _number(value: float) -> Interval:
    exact = float(value).is_integer()
    return Interval(value, value if exact else value * 0.99, value if exact else value * 1.01)


WINDOW = ("fixed-window:8/2.31", {"limit": 8, "window_s": 2.31})
BUCKET = ("token-bucket:5/1.2,burst=5", {"burst": 5, "rate_per_s": 5 / 1.2, "window_s": 1.2})
CAP = ("builds:3", {"limit": 3})
QUEUE = ("leaky-bucket:1/0.25,burst=6", {"burst": 6, "delay": 0, "rate_per_s": 4})


@pytest.mark.parametrize(
    ("true", "said"),
    [
        ("fixed-window:8/2.3", identity(WINDOW)),
        ("token-bucket:25/6,burst=5", identity(BUCKET)),
        ("fixed-window:8/2.3+builds:3", identity(WINDOW, CAP)),
        ("leaky-bucket:4/1,burst=6", identity(QUEUE)),
        ("none", identity()),
        ("concurrency:4,takes=0.3", identity(("concurrency:4", {"limit": 4}))),
        # A queue that lets nobody wait is a bucket, ticks that fill it are windows, and a limit of 1 is a gap.
        ("leaky-bucket:25/6,burst=4,delay=4", identity(BUCKET)),
        ("token-bucket:50/2,burst=8,tick=2.3", identity(("8/2.31,opens=clock", {"limit": 8, "window_s": 2.31}))),
        ("sliding-log:1/2.5", identity(("minimum-gap:2.51", {"gap_s": 2.51}))),
        ("minimum-gap:2.5", identity(("token-bucket:1/2.51", {"burst": 1, "rate_per_s": 0.399}))),
        # Whichever of two rates comes first, of one family or of two.
        (
            "fixed-window:3/0.7+fixed-window:8/2.3",
            identity(WINDOW, ("fixed-window:3/0.701", {"limit": 3, "window_s": 0.701})),
        ),
        (
            "fixed-window:8/2.3+fixed-window:3/0.7",
            identity(WINDOW, ("fixed-window:3/0.701", {"limit": 3, "window_s": 0.701})),
        ),
        (
            "sliding-log:3/0.7+fixed-window:8/2.3",
            identity(WINDOW, ("sliding-log:3/0.701", {"limit": 3, "window_s": 0.701})),
        ),
    ],
)
def test_right_identity_is_right_in_everything(true: str, said: Identity) -> None:
    """Family, options and counts are right, each time is near and in its interval, and nobody is misled."""
    judged = judge(true, said)
    assert (judged.family, judged.variant, judged.exact, judged.misled) == (True, True, True, False)
    assert judged.error < 0.01
    assert all(time.covered for time in judged.times)


def test_times_are_compared_where_a_family_has_some() -> None:
    """One time of a window, a gap and a bucket each, two of a window that shuts, none of a cap."""
    block = ("fixed-window:8/2.31,block=4", {"limit": 8, "window_s": 2.31, "block_s": 4.1})
    assert [time.name for time in judge("8/2.3", identity(WINDOW)).times] == ["window_s"]
    assert [time.name for time in judge("token-bucket:5/1.2", identity(BUCKET)).times] == ["rate_per_s"]
    assert [time.name for time in judge("8/2.3,block=4.1", identity(block)).times] == ["window_s", "block_s"]
    assert judge("builds:3", identity(CAP)).times == ()


@pytest.mark.parametrize(
    ("true", "said"),
    [
        ("sliding-log:8/2.3", identity(WINDOW)),
        ("fixed-window:8/2.3", identity()),
        ("fixed-window:8/2.3+builds:3", identity(WINDOW)),
        ("fixed-window:8/2.3", identity(WINDOW, CAP)),
        ("none", identity(WINDOW)),
        ("leaky-bucket:25/6,burst=4,delay=3", identity(BUCKET)),
        ("fixed-window:8/2.3", identity(WINDOW, WINDOW)),
        ("token-bucket:5/2,burst=8,tick=2.3", identity(("8/2.3,opens=clock", {"limit": 8, "window_s": 2.3}))),
    ],
)
def test_wrong_family_misleads(true: str, said: Identity) -> None:
    """Another family, a tier too many or too few is wrong, and misleads where it is told with confidence."""
    judged = judge(true, said)
    assert (judged.family, judged.variant, judged.exact, judged.misled) == (False, False, False, True)


def test_confident_is_who_is_sure_or_almost_certain_of_a_family() -> None:
    """A wrong family misleads from 99 % on, or where it is called sure; below that it is only wrong."""
    true = "sliding-log:8/2.3"
    assert judge(true, identity(WINDOW, sure=False, share=0.995)).misled
    assert judge(true, identity(WINDOW, sure=True, share=0.6)).misled
    assert not judge(true, identity(WINDOW, sure=False, share=0.98)).misled


@pytest.mark.parametrize(
    ("true", "said"),
    [
        ("fixed-window:9/2.3", WINDOW),
        ("token-bucket:25/6,burst=6", BUCKET),
        ("leaky-bucket:4/1,burst=6,delay=2", QUEUE),
        ("builds:4", CAP),
        ("concurrency:4", ("concurrency:5", {"limit": 5})),
    ],
)
def test_wrong_count_misleads_where_it_is_sure(true: str, said: tuple[str, dict[str, float]]) -> None:
    """A limit, burst, delay or cap has to be right to a unit."""
    judged = judge(true, identity(said))
    assert (judged.family, judged.exact, judged.misled) == (True, False, True)
    assert not judge(true, identity(said, sure=False)).misled


def test_time_that_is_off_is_told_by_how_much() -> None:
    """A window that is 5 % off is out of its interval; one that is twice as long is that of another limiter."""
    judged = judge("fixed-window:8/2.2", identity(WINDOW))
    assert (judged.error, judged.times[0].covered, judged.misled) == (pytest.approx(0.05), False, False)
    assert judge("fixed-window:8/4.62", identity(WINDOW)).misled
    assert not judge("fixed-window:8/4.62", identity(WINDOW, sure=False)).misled


def test_wrong_options_are_the_right_family() -> None:
    """
    A window on the clock that is told as one that a request opens has the right family and numbers, and wrong options.
    """
    judged = judge("fixed-window:8/2.31,opens=clock", identity(WINDOW))
    assert (judged.family, judged.variant, judged.exact, judged.misled) == (True, False, True, False)


def test_true_text_among_those_alike_is_right() -> None:
    """An identity that names the true text as one that no request can tell from its own is right."""
    odd = identity(WINDOW, also=("sliding-log:8/2.3",))
    assert judge("sliding-log:8/2.3", odd).family
    assert not judge("sliding-log:9/2.3", odd).family


def test_text_that_no_twin_takes_is_told() -> None:
    """A text that cannot be read is of no family, and one among those alike is told, whatever else is right."""
    wrong = identity(WINDOW, also=("leaky-bucket:8/4,burst=7,burst=6",))
    assert (judge("fixed-window:8/2.3", wrong).family, judge("fixed-window:8/2.3", wrong).readable) == (True, False)
    tier = Tier("leaky-bucket", "leaky-bucket:1/2,burst=-1")
    judged = judge("leaky-bucket:1/2", Identity((tier,), (), Cost(0, 0, 0, 0.0)))
    assert (judged.family, judged.readable) == (False, False)
    assert judge("fixed-window:8/2.3", identity(WINDOW)).readable


def test_options_that_let_the_same_through_are_alike() -> None:
    """A burst that is the limit, and a window of one start that restarts or counts; a log is no window."""
    one = RateLimit.parse("fixed-window:1/2,refused=restart")
    assert alike(one, RateLimit.parse("sliding-log:1/2,refused=count"))
    assert alike(RateLimit.parse("token-bucket:5/2"), RateLimit.parse("leaky-bucket:5/2,burst=4,delay=4"))


@pytest.mark.parametrize("limit", [2, 5, 60])
@pytest.mark.parametrize(
    "forms",
    [
        ("fixed-window:{}/2", "sliding-log:{}/2"),
        ("fixed-window:{}/2", "fixed-window:{}/2,block=3"),
        ("fixed-window:{}/2", "fixed-window:{}/2,opens=clock"),
        ("sliding-log:{}/2", "sliding-log:{}/2,refused=count"),
        ("sliding-counter:{}/2", "sliding-counter:{}/2,opens=first"),
        ("sliding-counter:{}/2", "sliding-counter:{}/2,rule=below"),
        ("sliding-counter:{}/2,opens=first", "sliding-counter:{}/2,opens=first,refused=count"),
        ("token-bucket:{}/2", "token-bucket:{}/2,early=0.5"),
        ("token-bucket:{}/2", "token-bucket:{}/2,starts=empty"),
        ("leaky-bucket:3/2,burst={}", "leaky-bucket:3/2,burst={},delay=1"),
    ],
)
def test_options_that_do_something_are_not_alike(forms: tuple[str, str], limit: int) -> None:
    """Small and large limits are filled often enough that every option shows."""
    one, other = (RateLimit.parse(form.format(limit)) for form in forms)
    assert not alike(one, other)


@pytest.mark.parametrize(
    "true", ["leaky-bucket:5/2,burst=4,delay=4", "token-bucket:9/2,burst=4,tick=1", "sliding-log:1/2"]
)
def test_every_reading_of_a_limiter_lets_the_same_through(true: str) -> None:
    """What is accepted in the place of a limiter answers as it does."""
    found = list(readings(RateLimit.parse(true)))
    assert len(found) > 1
    assert all(alike(RateLimit.parse(true), tier) for (tier,) in found)


def test_cost_is_measured_by_what_the_limiter_takes() -> None:
    """By its limit, the size of a bucket, or both tiers together; seconds by the longest time of a tier."""
    cost = Cost(requests=26, refused=5, builds=21, seconds=6.0)
    window, bucket = spent("fixed-window:8/3", cost), spent("token-bucket:4/1,burst=8", cost)
    assert (window.requests, window.refused, window.windows) == (2.0, pytest.approx(4.2), 2.0)
    assert (bucket.requests, bucket.refused, bucket.windows) == (2.0, pytest.approx(4.2), 3.0)
    assert spent("fixed-window:6/3+builds:2", cost).requests == 2.0
    assert spent("builds:8", cost).windows is None


@pytest.mark.parametrize("name", FORMS)
def test_drawn_limiters_are_read_as_their_family(name: str) -> None:
    """
    Each form draws texts of its own families, the same for the same seed, others for others, small ones where asked.
    """
    families = FORMS[name].family.split(" + ")
    for seed in range(20):
        rate = RateLimit.parse(drawn(name, seed))
        assert len(rate.tiers) == len(families)
        assert rate.family == families[0] or families[0] == "rate"
        assert RateLimit.parse(drawn(name, seed)) == rate
        small = RateLimit.parse(drawn(name, seed, most=8))
        assert all(max(tier.limit, tier.options.get("burst", 0)) <= 8 for tier in small.tiers)
    assert name == "none" or len({drawn(name, seed) for seed in range(20)}) > 3
