"""A probe names small limiters of the twin by family and numbers, in virtual time; `make bench` tries many more."""

import pytest

from tests.limiter.forms import drawn
from tests.limiter.judged import judge
from tests.limiter.virtual import Net, play
from touchstone.limiter.identify import Probe
from touchstone.limiter.terms import Terms

# Few requests fill a small limiter, so that it costs little to think about it.
MOST = 8
SEED = 1
NAMES = (
    *("fixed-window", "fixed-window/clock", "sliding-log", "sliding-log/count", "sliding-counter"),
    *("token-bucket", "minimum-gap", "leaky-bucket", "none", "concurrency", "builds", "sliding-log+builds"),
)


@pytest.mark.alone
@pytest.mark.parametrize("name", NAMES)
def test_small_limiter_is_named_with_its_numbers(name: str) -> None:
    """The family is right and sure, its counts are exact, and its times right to one per cent."""
    text = drawn(name, SEED, MOST)
    probe = Probe(Terms(SEED, True, most_requests=1000, most_builds=400, most_s=900.0))
    play(probe, Net(text, SEED))
    known = probe.known()
    judged = judge(text, known)
    assert known.sure, known
    assert (judged.family, judged.exact, judged.misled) == (True, True, False), (text, known)
    assert judged.error <= 0.01, (text, known)
