"""
The search for a knee, in virtual time: it finds that of a queue, tells nothing that the generator or a limit made up.
"""

import math
import statistics
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.knee.queueing import Late, Queue, Times, exponential, mixed, searched
from touchstone.facts.probe_events import KneeTerms, Outcome, Trial
from touchstone.limiter.knee import MOST_LATE, Search, most_missed

SEEDS = range(20)
QUEUES = {
    "M/D/4": Queue(),
    "M/D/1": Queue(servers=1, service_s=0.01),
    "M/D/2, nearly full": Queue(servers=2, service_s=0.005, slo_s=0.1),
    "M/M/4": Queue(service_s=0.01, slo_s=0.1, service=exponential),
    "M/G/8": Queue(servers=8, slo_s=0.2, service=mixed),
}


@cache
def knee_of(name: str) -> float:
    """The true knee, from far more reads than a search sends."""
    return QUEUES[name].knee_per_s(200_000)


@pytest.mark.parametrize("name", QUEUES)
def test_knee_of_a_queue_is_found(name: str) -> None:
    """
    Of twenty searches the middle one is off by a step, four of five by less than 10 %; most intervals hold the knee.
    """
    true, found = knee_of(name), [searched(QUEUES[name], seed, most=40_000)[1] for seed in SEEDS]
    rates = [knee.rate_per_s for knee in found if knee.rate_per_s]
    off = sorted(abs(rate.value / true - 1) for rate in rates)
    assert len(rates) == len(SEEDS)
    assert statistics.median(off) < 0.055
    assert off[-4] < 0.1
    assert off[-1] < 0.16
    assert sum(rate.low <= 1.02 * true and 0.98 * true <= rate.high for rate in rates) >= 16


def test_knee_costs_some_thousand_reads() -> None:
    """What a search sends is what it is told, and within what the documentation promises."""
    search, knee = searched(QUEUES["M/D/4"], 1)
    assert knee.is_known
    assert knee.requests == sum(tried.outcome.sent for tried in search.tried)
    assert 5_000 < knee.requests < 12_000
    assert knee.confirmed_by == 2_500
    assert knee.missed is not None
    assert knee.missed.low <= knee.missed.value <= 0.01
    assert knee.capacity_per_s == pytest.approx(200, rel=0.05)


def test_one_over_drive_is_enough() -> None:
    """More than the target can do is asked for once; what follows is below what it answered then."""
    search, knee = searched(QUEUES["M/D/4"], 2)
    over = [tried for tried in search.tried if tried.trial.rate_per_s > 200]
    assert [tried.trial.stage for tried in over] == ["capacity"]
    assert knee.capacity_per_s is not None
    assert max(t.trial.rate_per_s for t in search.tried if t not in over) <= max(knee.capacity_per_s, 200)


@pytest.mark.parametrize("name", QUEUES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_trial_well_below_the_knee_is_never_stopped(name: str, share: float) -> None:
    """Early stop spares reads above the knee and costs no verdict below it."""
    queue, rate = QUEUES[name], share * knee_of(name)
    trials = [Trial(1, "bracket", rate, 800, seed, most_missed(800)) for seed in range(40)]
    assert not any(queue.run(trial).stopped for trial in trials)


def test_trial_far_above_the_knee_is_stopped_early() -> None:
    """It needs less than half of its reads."""
    queue = QUEUES["M/D/4"]
    outcome = queue.run(Trial(1, "bracket", 240.0, 800, 5, most_missed(800)))
    assert outcome.stopped
    assert outcome.due < 400


def always(by_s: float) -> Late:
    """A generator that sends everything so late."""
    return lambda due, _trial: np.full(len(due), by_s)


def stalled(for_s: float, one_of: int = 1) -> Late:
    """One that stops for so long in the middle of one of so many trials, and then sends all that has come due."""

    def late(due: Times, trial: Trial) -> Times:
        if trial.number % one_of:
            return np.zeros(len(due))
        from_at = float(due[len(due) // 2])
        return np.where((due >= from_at) & (due < from_at + for_s), from_at + for_s - due, 0.0)

    return late


@pytest.mark.parametrize(
    "late", [always(0.045), always(0.2), stalled(0.5), stalled(0.1), stalled(0.03)], ids=lambda _: "late"
)
@pytest.mark.parametrize("seed", range(4))
def test_generator_that_is_late_makes_no_low_knee(late: Late, seed: int) -> None:
    """It is told that the generator was late, unless the knee comes out as high as it is."""
    _, knee = searched(replace(QUEUES["M/D/4"], late=late), seed)
    if knee.is_known:
        assert knee.rate_per_s is not None
        assert knee.rate_per_s.value > 0.9 * knee_of("M/D/4")
    else:
        assert knee.why == "generator-limited"


def test_lateness_is_told_after_four_trials_in_a_row() -> None:
    """A failed trial is repeated at the same rate, and after four of them there is no verdict."""
    search, knee = searched(replace(QUEUES["M/D/4"], late=always(0.2)), 1)
    assert knee.why == "generator-limited"
    assert knee.rate_per_s is None
    last = search.tried[-MOST_LATE:]
    assert [tried.mark for tried in last] == ["late"] * MOST_LATE
    assert len({tried.trial.rate_per_s for tried in last}) == 1
    assert len({tried.trial.seed for tried in last}) == MOST_LATE


@pytest.mark.parametrize("seed", range(4))
def test_stalls_now_and_then_only_cost_trials(seed: int) -> None:
    """One of three trials is spoilt, and the knee is found all the same."""
    _, knee = searched(replace(QUEUES["M/D/4"], late=stalled(0.4, one_of=3)), seed)
    assert knee.rate_per_s is not None
    assert abs(knee.rate_per_s.value / knee_of("M/D/4") - 1) < 0.12


def test_refusal_ends_the_search() -> None:
    """A 429 is no latency: a limit that nobody knew of hides the knee, and nothing more is sent."""
    search, knee = searched(replace(QUEUES["M/D/4"], limit_per_s=60), 1)
    assert knee.why == "rate-limited"
    assert knee.rate_per_s is None
    assert knee.last_per_s > 60 > knee.kept_per_s > 0
    assert [tried.mark for tried in search.tried].count("refused") == 1
    assert search.tried[-1].mark == "refused"
    assert search.ask(900) is None


def test_known_limit_below_the_knee_hides_it() -> None:
    """Nothing is asked above what the limiter lets through, and what is kept there is told."""
    search, knee = searched(QUEUES["M/D/4"], 1, ceiling_per_s=90.0)
    assert knee.why == "rate-limited"
    assert knee.kept_per_s == 90.0
    assert 0 < knee.kept_p99_s < 0.06
    assert max(tried.trial.rate_per_s for tried in search.tried) == 90.0
    assert search.tried[-1].trial.arrivals == 800


def test_known_limit_above_the_knee_does_not_matter() -> None:
    """The knee is found below it, though the target is never over-driven."""
    search, knee = searched(QUEUES["M/D/4"], 1, ceiling_per_s=185.0)
    assert knee.rate_per_s is not None
    assert abs(knee.rate_per_s.value / knee_of("M/D/4") - 1) < 0.1
    assert knee.capacity_per_s is None
    assert max(tried.trial.rate_per_s for tried in search.tried) == 185.0


def test_slow_limit_is_shown_by_a_short_trial() -> None:
    """Eight hundred reads at one a second would take too long for what they tell."""
    search, knee = searched(QUEUES["M/D/4"], 1, ceiling_per_s=1.0)
    assert knee.why == "rate-limited"
    assert [tried.trial.arrivals for tried in search.tried] == [60]


def test_limit_that_lets_nothing_come_by_chance_asks_for_nothing() -> None:
    """Any trial would meet a refusal."""
    search, knee = searched(QUEUES["M/D/4"], 1, ceiling_per_s=0.0)
    assert (knee.why, search.tried, knee.requests) == ("rate-limited", [], 0)


def test_capacity_that_may_not_be_reached_is_told() -> None:
    """A search that could not end within its requests is not begun; what was kept is told."""
    _, knee = searched(Queue(servers=400), 1)
    assert knee.why == "out of reach"
    assert knee.requests < 25_000
    assert knee.kept_per_s > 200
    assert knee.capacity_per_s is None


@pytest.mark.parametrize("most", [0, 50, 500, 2_000, 4_500])
def test_requests_are_never_overspent(most: int) -> None:
    """The budget is a bound, and which one it was is told."""
    _, knee = searched(QUEUES["M/D/4"], 1, most=most)
    assert knee.requests <= most
    assert knee.why in ("requests", "out of reach")


@pytest.mark.parametrize("left_s", [0.0, 5.0, 20.0, 40.0])
def test_no_trial_is_begun_that_would_not_end_in_time(left_s: float) -> None:
    """The time is a bound too."""
    search, knee = searched(QUEUES["M/D/4"], 1, left_s=left_s)
    assert knee.why == "seconds"
    assert sum(tried.trial.lasts_s for tried in search.tried) <= left_s


def test_answers_that_are_too_slow_at_rest_are_not_asked_for() -> None:
    """No rate keeps a limit that one read alone does not keep."""
    search, knee = searched(Queue(slo_s=0.01), 1)
    assert (knee.why, search.tried) == ("never", [])


def test_limit_that_few_answers_miss_at_any_rate_is_never_kept() -> None:
    """Where one of ten reads is too slow by itself, the search goes down to its floor and says so."""
    _, knee = searched(Queue(servers=8, slo_s=0.1, service=mixed), 1, left_s=1e6, most=100_000)
    assert knee.why == "never"
    assert knee.rate_per_s is None


def test_target_that_fails_is_not_driven_on() -> None:
    """A server that breaks down is no slow one."""
    search, knee = searched(replace(QUEUES["M/D/4"], fails_from_per_s=0.0), 1)
    assert knee.why == "failing"
    assert len(search.tried) == 1


def test_target_that_breaks_down_under_load_ends_the_search() -> None:
    """Answers that all fail are no capacity."""
    _, knee = searched(replace(QUEUES["M/D/4"], fails_from_per_s=120.0), 1)
    assert knee.why == "failing"
    assert 0 < knee.kept_per_s < 120


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["M/D/4", "M/M/4"])
def test_over_drive_that_was_disturbed_does_not_end_in_a_low_knee(name: str, seed: int) -> None:
    """Where answers came slowly, for whatever reason, what they came to is no upper end, and no capacity."""
    queue, left = QUEUES[name], [0.08]
    search = Search(KneeTerms(queue.slo_s, 40_000), queue.service_s, math.inf, seed)
    while (trial := search.ask(900)) is not None:
        outcome = queue.run(trial)
        if trial.stage == "capacity" and left and trial.rate_per_s > 1.3 * left[0] * queue.capacity_per_s:
            outcome = replace(outcome, done_per_s=left.pop(0) * queue.capacity_per_s)
        search.hear(trial, outcome)
    knee = search.known()
    assert not left
    assert knee.rate_per_s is not None
    assert knee.rate_per_s.value > 0.88 * knee_of(name)
    assert knee.capacity_per_s in (None, pytest.approx(queue.capacity_per_s, rel=0.2))


def test_same_outcomes_lead_to_the_same_trials() -> None:
    """What a run log tells is all that a search needs to go on."""
    search, knee = searched(QUEUES["M/D/4"], 3)
    again = Search(KneeTerms(0.06, 25_000), 0.02, math.inf, 3)
    for tried in search.tried:
        assert again.ask(math.inf) == tried.trial
        assert again.hear(tried.trial, tried.outcome) == tried
    assert again.ask(math.inf) is None
    assert again.known() == knee


def test_trial_that_was_cut_short_is_made_again() -> None:
    """It tells nothing, and is no reason to end."""
    search = Search(KneeTerms(0.06, 25_000), 0.02, math.inf, 1)
    first = search.ask(900)
    assert first is not None
    assert search.hear(first, Outcome(due=3, sent=3, stopped=True)).mark == "cut"
    again = search.ask(900)
    assert again is not None
    assert (again.rate_per_s, again.arrivals) == (first.rate_per_s, first.arrivals)
    search.stop("interrupted")
    assert search.ask(900) is None
    assert search.known().why == "interrupted"


def clean(search: Search, trial: Trial) -> Outcome:
    """What a queue makes of a trial, though chance fails the first ones that bisect above 100 a second."""
    outcome = QUEUES["M/D/4"].run(trial)
    bisected = trial.stage == "bracket" and trial.rate_per_s > 100 and len(search.tried) < 8
    return replace(outcome, slow=100, stopped=True) if bisected else outcome


def until_it_steps_up() -> tuple[Search, Trial]:
    """A search that has confirmed a rate, and asks for a higher one."""
    search = Search(KneeTerms(0.06, 40_000), 0.02, math.inf, 1)
    confirmed = 0.0
    while (trial := search.ask(900)) is not None:
        if confirmed and trial.rate_per_s > confirmed:
            return search, trial
        confirmed = trial.rate_per_s if trial.stage == "confirm" else 0.0
        search.hear(trial, clean(search, trial))
    raise AssertionError("it ended at the first rate that was confirmed")


def test_rate_that_is_kept_by_far_is_stepped_over() -> None:
    """Chance has kept the search too low, and it comes out of that."""
    search, trial = until_it_steps_up()
    assert search.tried[-1].outcome.missed < 5
    first = search.tried[-1].trial.rate_per_s
    while True:
        search.hear(trial, QUEUES["M/D/4"].run(trial))
        again = search.ask(900)
        if again is None:
            break
        trial = again
    knee = search.known()
    assert knee.rate_per_s is not None
    assert knee.rate_per_s.value > 1.04 * first


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        Outcome(due=2_500, sent=2_500, slow=100),
        Outcome(due=2_500, sent=2_500, refused=3),
        Outcome(due=9, sent=9, stopped=True),
    ],
    ids=["no time", "missed", "refused", "cut"],
)
def test_rate_that_was_confirmed_stays_so(outcome: Outcome | None) -> None:
    """Whatever becomes of the step above it."""
    search, trial = until_it_steps_up()
    confirmed = search.tried[-1].trial.rate_per_s
    if outcome is None:
        assert search.ask(1.0) is None
    else:
        search.hear(trial, outcome)
    search.stop("interrupted")
    knee = search.known()
    assert (knee.why, search.ask(900)) == ("confirmed", None)
    assert knee.rate_per_s is not None
    assert knee.rate_per_s.value == confirmed
