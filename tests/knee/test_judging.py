"""What one trial tells: kept, missed, or nothing, since the generator or a limit was in the way."""

import pytest

from touchstone.facts.probe_events import Mark, Outcome, Stage, Trial
from touchstone.limiter.knee import marked, miss_share, most_missed

SLO_S = 0.1


def trial(stage: Stage = "bracket", arrivals: int = 1_000) -> Trial:
    """A trial of so many reads."""
    stops = None if stage == "capacity" else most_missed(arrivals)
    return Trial(1, stage, 100.0, arrivals, 1, stops)


@pytest.mark.parametrize(
    ("outcome", "mark"),
    [
        (Outcome(due=1_000, sent=1_000), "passed"),
        (Outcome(due=1_000, sent=1_000, slow=10), "passed"),
        (Outcome(due=1_000, sent=1_000, slow=11), "failed"),
        (Outcome(due=1_000, sent=1_000, slow=5, failed=6), "failed"),
        (Outcome(due=1_000, sent=1_000, slow=11, late_p99_s=0.0101), "late"),
        (Outcome(due=1_000, sent=1_000, slow=11, late_p99_s=0.0099), "failed"),
        # Few were late, but what they held up may be what makes the difference.
        (Outcome(due=1_000, sent=1_000, slow=14, late=1, late_p99_s=0.001), "late"),
        (Outcome(due=1_000, sent=1_000, slow=16, late=1, late_p99_s=0.001), "failed"),
        # Lateness only ever makes answers later: what is kept all the same is kept.
        (Outcome(due=1_000, sent=1_000, slow=9, late=500, late_p99_s=0.09), "passed"),
        (Outcome(due=500, sent=500, slow=30, stopped=True), "failed"),
        (Outcome(due=500, sent=500, slow=12, stopped=True), "cut"),
        (Outcome(due=0, sent=0, stopped=True), "cut"),
        (Outcome(due=0, sent=0), "late"),
        (Outcome(due=900, sent=900, refused=1), "refused"),
        (Outcome(due=900, sent=900, slow=600, refused=1, late_p99_s=1.0), "refused"),
    ],
)
def test_trial_is_marked(outcome: Outcome, mark: Mark) -> None:
    """By its misses, unless something else than the target explains them."""
    assert marked(trial(), outcome, SLO_S) == mark


@pytest.mark.parametrize(
    ("outcome", "mark"),
    [
        (Outcome(due=300, sent=300, slow=290, due_per_s=200, done_per_s=171), "passed"),
        (Outcome(due=300, sent=300, slow=290, due_per_s=200, done_per_s=169), "failed"),
        (Outcome(due=300, sent=300, slow=290, due_per_s=200, done_per_s=169, late_p99_s=0.02), "late"),
        (Outcome(due=300, sent=300, due_per_s=200, done_per_s=200, late_p99_s=0.02), "passed"),
        (Outcome(due=300, sent=300, p50_s=0.2, due_per_s=200, done_per_s=200, late_p99_s=0.2), "late"),
        (Outcome(due=300, sent=300, due_per_s=200, done_per_s=20, stopped=True), "cut"),
        (Outcome(due=300, sent=300, refused=2, due_per_s=200, done_per_s=100), "refused"),
    ],
)
def test_over_drive_is_marked(outcome: Outcome, mark: Mark) -> None:
    """By whether answers keep up with reads, however long each takes."""
    assert marked(trial("capacity"), outcome, SLO_S) == mark


def test_misses_that_stop_a_trial_are_beyond_chance() -> None:
    """Three standard deviations over the allowance, of misses that come in bunches."""
    assert most_missed(800) == 24
    assert most_missed(2_500) == 54


def test_share_of_misses_has_the_interval_of_wilson() -> None:
    """Known values, for misses that do not come in bunches."""
    found = miss_share(Outcome(due=2_500, sent=2_500, slow=10, blocks=((500, 2),) * 5))
    assert (found.value, found.low, found.high) == pytest.approx((0.004, 0.00217, 0.00735), abs=1e-5)
    nothing = miss_share(Outcome(due=800, sent=800))
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx(0.00478, abs=1e-5)


def test_misses_in_bunches_widen_the_interval() -> None:
    """Ten misses of one second tell less than ten misses of ten seconds."""
    even = miss_share(Outcome(due=1_000, sent=1_000, slow=10, blocks=((100, 1),) * 10))
    bunched = miss_share(Outcome(due=1_000, sent=1_000, slow=10, blocks=((100, 10), *((100, 0),) * 9)))
    assert bunched.low < even.low < even.high < bunched.high
