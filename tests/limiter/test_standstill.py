"""When stimuli tell nothing any more."""

import pytest

from touchstone.limiter.rates import Stand, Standstill

BEFORE = Stand("sliding-log", 0.98, 0.05)


@pytest.mark.parametrize(
    ("after", "stuck"),
    [
        pytest.param(BEFORE, 1, id="nothing"),
        pytest.param(Stand("sliding-log", 0.981, 0.0495), 1, id="next-to-nothing"),
        pytest.param(Stand("sliding-log", 0.99, 0.05), 0, id="more-of-the-kind"),
        pytest.param(Stand("sliding-log", 0.98, 0.04), 0, id="more-of-its-times"),
        pytest.param(Stand("token-bucket", 0.98, 0.05), 0, id="another-kind"),
        pytest.param(Stand("sliding-log", 0.96, 0.05), 0, id="less"),
    ],
)
def test_what_told_next_to_nothing_counts(after: Stand, stuck: int) -> None:
    """Of the kind and of its times."""
    found = Standstill()
    found.count(BEFORE, after, asked=True, accepted=True)
    assert found.stuck == stuck


def test_no_more_is_asked_after_five_that_told_nothing() -> None:
    """One that told something begins the count anew; what was sent for something else does not count."""
    found = Standstill()
    for told in [False] * 4 + [True] + [False] * 4:
        found.count(BEFORE, Stand("sliding-log", 0.99, 0.05) if told else BEFORE, asked=True, accepted=True)
        assert not found.over
    found.count(BEFORE, BEFORE, asked=False, accepted=True)
    assert not found.over
    found.count(BEFORE, BEFORE, asked=True, accepted=True)
    assert found.over


def test_unlikely_kind_is_never_at_a_standstill() -> None:
    """There is more to be told."""
    found, unlikely = Standstill(), Stand("sliding-log", 0.6, 0.05)
    for _ in range(9):
        found.count(unlikely, unlikely, asked=True, accepted=False)
    assert (found.stuck, found.over, found.idle) == (0, False, 9)


@pytest.mark.parametrize(
    ("asked", "accepted", "share", "idle"),
    [(True, False, 0.98, 1), (True, True, 0.98, 0), (False, False, 0.98, 0), (True, False, 0.8, 0)],
)
def test_only_what_was_refused_and_told_little_is_idle(asked: bool, accepted: bool, share: float, idle: int) -> None:
    """It is waited longer for then."""
    found = Standstill()
    found.count(BEFORE, Stand("sliding-log", share, 0.05), asked=asked, accepted=accepted)
    assert found.idle == idle
