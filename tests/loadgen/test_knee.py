"""The search for a knee in virtual time: it finds that of a queue, and takes no fault of others for one."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest

from tests.limiter.answers import bucket, given, number, window
from tests.limiting import decide, limiter_for
from tests.loadgen.queueing import Late, Queue, Times, exponential, mixed, searched
from touchstone.facts.identity import Cost, Identity, Interval, Tier
from touchstone.facts.probe import KneeTerms, KneeWhy, Mark, Outcome, Stage, Trial
from touchstone.limiter.pace import ceiling
from touchstone.loadgen.knee import Search, due_times, marked, most_missed

QUEUES = {
    "M/D/4": Queue(),
    "M/D/1": Queue(servers=1, service_s=0.01),
    "M/D/2, nearly full": Queue(servers=2, service_s=0.005, slo_s=0.1),
    "M/M/4": Queue(service_s=0.01, slo_s=0.1, service=exponential),
    "M/G/8": Queue(servers=8, slo_s=0.2, service=mixed),
}
# The true knee of each: the highest rate at which 99 % of 200,000 reads are answered in time.
KNEES = {"M/D/4": 153.87, "M/D/1": 62.71, "M/D/2, nearly full": 378.28, "M/M/4": 351.02, "M/G/8": 359.53}
QUEUE = QUEUES["M/D/4"]


@pytest.mark.parametrize("name", QUEUES)
def test_knee_of_a_queue_is_found(name: str) -> None:
    true, found = KNEES[name], [searched(QUEUES[name], seed, most=40_000)[1] for seed in range(20)]
    rates = [knee.rate_per_s for knee in found if knee.rate_per_s]
    off = sorted(abs(rate.value / true - 1) for rate in rates)
    assert len(rates) == 20
    assert statistics.median(off) < 0.055
    assert (off[-4] < 0.1, off[-1] < 0.16) == (True, True)
    assert sum(rate.low <= 1.02 * true and 0.98 * true <= rate.high for rate in rates) >= 16


def test_search_sends_some_thousand_reads_and_overdrives_once() -> None:
    search, knee = searched(QUEUE, 2)
    assert knee.is_known
    assert 5_000 < knee.requests == sum(tried.outcome.sent for tried in search.tried) < 12_000
    assert knee.confirmed_by == 2_500
    assert knee.capacity_per_s == pytest.approx(200, rel=0.05)
    assert knee.missed is not None
    assert knee.missed.low <= knee.missed.value <= 0.01
    over = [tried for tried in search.tried if tried.trial.rate_per_s > 200]
    assert [tried.trial.stage for tried in over] == ["capacity"]


def always(by_s: float) -> Late:
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
def test_late_generator_makes_no_low_knee(late: Late, seed: int) -> None:
    _, knee = searched(replace(QUEUE, late=late), seed)
    assert knee.why == "generator-limited" if knee.rate_per_s is None else knee.rate_per_s.value > 0.9 * KNEES["M/D/4"]


def test_refusal_ends_the_search() -> None:
    search, knee = searched(replace(QUEUE, limit_per_s=60), 1)
    assert (knee.why, knee.rate_per_s) == ("rate-limited", None)
    assert knee.last_per_s > 60 > knee.kept_per_s > 0
    assert [tried.mark for tried in search.tried].index("refused") == len(search.tried) - 1
    assert search.propose(900) is None


@pytest.mark.parametrize(
    ("ceiling_per_s", "why", "arrivals"),
    [(90.0, "rate-limited", 800), (1.0, "rate-limited", 60), (185.0, "confirmed", 0)],
)
def test_known_limit_bounds_the_search(ceiling_per_s: float, why: str, arrivals: int) -> None:
    search, knee = searched(QUEUE, 1, ceiling_per_s=ceiling_per_s)
    assert (knee.why, knee.capacity_per_s) == (why, None)
    assert max(tried.trial.rate_per_s for tried in search.tried) == ceiling_per_s
    if knee.rate_per_s:
        assert abs(knee.rate_per_s.value / KNEES["M/D/4"] - 1) < 0.1
    else:
        assert (knee.kept_per_s, 0 < knee.kept_p99_s < 0.06) == (ceiling_per_s, True)
        assert search.tried[-1].trial.arrivals == arrivals


@pytest.mark.parametrize(
    ("queue", "ceiling_per_s", "why"),
    [(QUEUE, 0.0, "rate-limited"), (Queue(slo_s=0.01), math.inf, "never")],
    ids=["any read may be refused", "too slow at rest"],
)
def test_hopeless_search_sends_nothing(queue: Queue, ceiling_per_s: float, why: KneeWhy) -> None:
    search, knee = searched(queue, 1, ceiling_per_s=ceiling_per_s)
    assert (knee.why, search.tried, knee.requests) == (why, [], 0)


@pytest.mark.parametrize(
    ("queue", "why", "kept"),
    [
        (Queue(servers=8, slo_s=0.1, service=mixed), "never", (0, 1e9)),
        (replace(QUEUE, fails_from_per_s=0.0), "failing", (-1, 1)),
        (replace(QUEUE, fails_from_per_s=120.0), "failing", (0, 120)),
        (Queue(servers=400), "out of reach", (200, 1e9)),
    ],
    ids=["never kept", "fails", "fails under load", "too fast"],
)
def test_search_ends_where_no_knee_can_be_found(queue: Queue, why: KneeWhy, kept: tuple[float, float]) -> None:
    most = 25_000 if why == "out of reach" else 100_000
    search, knee = searched(queue, 1, left_s=1e6, most=most)
    assert (knee.why, knee.rate_per_s, knee.requests < most) == (why, None, True)
    assert kept[0] <= knee.kept_per_s < kept[1]
    assert queue.fails_from_per_s > 0 or len(search.tried) == 1


@pytest.mark.parametrize("most", [0, 50, 500, 2_000, 4_500])
def test_requests_are_never_overspent(most: int) -> None:
    _, knee = searched(QUEUE, 1, most=most)
    assert knee.requests <= most
    assert knee.why in ("requests", "out of reach")


@pytest.mark.parametrize("left_s", [0.0, 5.0, 20.0, 40.0])
def test_no_trial_begins_that_would_not_end_in_time(left_s: float) -> None:
    search, knee = searched(QUEUE, 1, left_s=left_s)
    assert knee.why == "seconds"
    assert sum(tried.trial.lasts_s for tried in search.tried) <= left_s


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["M/D/4", "M/M/4"])
def test_disturbed_overdrive_does_not_end_in_a_low_knee(name: str, seed: int) -> None:
    queue, left = QUEUES[name], [0.08]
    search = Search(KneeTerms(queue.slo_s, 40_000), queue.service_s, math.inf, seed)
    while (trial := search.propose(900)) is not None:
        outcome = queue.run(trial)
        if trial.stage == "capacity" and left and trial.rate_per_s > 1.3 * left[0] * queue.capacity_per_s:
            outcome = replace(outcome, done_per_s=left.pop(0) * queue.capacity_per_s)
        search.observe(trial, outcome)
    knee = search.known()
    assert not left
    assert knee.rate_per_s is not None
    assert knee.rate_per_s.value > 0.88 * KNEES[name]
    assert knee.capacity_per_s in (None, pytest.approx(queue.capacity_per_s, rel=0.2))


def test_trial_that_was_cut_short_is_repeated() -> None:
    search = Search(KneeTerms(0.06, 25_000), 0.02, math.inf, 1)
    first = given(search.propose(900))
    assert search.observe(first, Outcome(due=3, sent=3, stopped=True)).mark == "cut"
    again = given(search.propose(900))
    assert (again.rate_per_s, again.arrivals) == (first.rate_per_s, first.arrivals)
    search.stop("interrupted")
    assert (search.propose(900), search.known().why) == (None, "interrupted")


def until_it_steps_up() -> tuple[Search, Trial]:
    """A search that chance kept too low, has confirmed a rate, and asks for a higher one."""
    search = Search(KneeTerms(0.06, 40_000), 0.02, math.inf, 1)
    confirmed = 0.0
    while (trial := search.propose(900)) is not None:
        if confirmed and trial.rate_per_s > confirmed:
            return search, trial
        confirmed = trial.rate_per_s if trial.stage == "confirm" else 0.0
        outcome = QUEUE.run(trial)
        bisected = trial.stage == "bracket" and trial.rate_per_s > 100 and len(search.tried) < 8
        search.observe(trial, replace(outcome, slow=100, stopped=True) if bisected else outcome)
    raise AssertionError("it ended at the first rate that was confirmed")


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
def test_confirmed_rate_stays_confirmed(outcome: Outcome | None) -> None:
    search, trial = until_it_steps_up()
    confirmed = search.tried[-1].trial.rate_per_s
    if outcome is None:
        assert search.propose(1.0) is None
    else:
        search.observe(trial, outcome)
    search.stop("interrupted")
    knee = search.known()
    assert (knee.why, search.propose(900)) == ("confirmed", None)
    assert knee.rate_per_s is not None
    assert knee.rate_per_s.value == confirmed


def of(due: int = 1_000, **values: float | bool) -> Outcome:
    return Outcome(due=due, sent=due, **values)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("stage", "outcome", "mark"),
    [
        ("bracket", of(), "passed"),
        ("bracket", of(slow=10), "passed"),
        ("bracket", of(slow=11), "failed"),
        ("bracket", of(slow=11, late_p99_s=0.0101), "late"),
        ("bracket", of(slow=11, late_p99_s=0.0099), "failed"),
        # Few were late, but what they held up may be what makes the difference.
        ("bracket", of(slow=14, late=1, late_p99_s=0.001), "late"),
        ("bracket", of(slow=16, late=1, late_p99_s=0.001), "failed"),
        # Lateness only ever makes answers later: what is kept all the same is kept.
        ("bracket", of(slow=9, late=500, late_p99_s=0.09), "passed"),
        ("bracket", of(500, slow=30, stopped=True), "failed"),
        ("bracket", of(500, slow=12, stopped=True), "cut"),
        ("bracket", of(0), "late"),
        ("bracket", of(900, refused=1), "refused"),
        # An over-drive passes where answers keep up with reads, however long each takes.
        ("capacity", of(300, slow=290, due_per_s=200, done_per_s=171), "passed"),
        ("capacity", of(300, slow=290, due_per_s=200, done_per_s=169), "failed"),
        ("capacity", of(300, slow=290, due_per_s=200, done_per_s=169, late_p99_s=0.02), "late"),
        ("capacity", of(300, due_per_s=200, done_per_s=200, late_p99_s=0.02), "passed"),
        ("capacity", of(300, p50_s=0.2, due_per_s=200, done_per_s=200, late_p99_s=0.2), "late"),
        ("capacity", of(300, due_per_s=200, done_per_s=20, stopped=True), "cut"),
    ],
)
def test_trial_is_marked_by_what_it_shows(stage: Stage, outcome: Outcome, mark: Mark) -> None:
    trial = Trial(1, stage, 100.0, 1_000, 1, None if stage == "capacity" else most_missed(1_000))
    assert marked(trial, outcome, 0.1) == mark


def identity(*tiers: Tier, others: Interval = number(0.0)) -> Identity:  # noqa: B008 - it is never changed
    return Identity(tiers, (), Cost(0, 0, 0, 0.0), others_share=others, sure=True)


def queue_tier(rate_per_s: float, burst: float, delay: float) -> Tier:
    numbers = {"rate_per_s": number(rate_per_s), "burst": number(burst), "delay": number(delay)}
    return Tier("leaky-bucket", f"leaky-bucket:{rate_per_s:g}/1,burst={burst:g},delay={delay:g}", numbers)


TIERS = [
    window(200, number(1.0)),
    window(1_000, number(10.0)),
    *(window(200, number(1.0), family) for family in ("sliding-log", "sliding-counter")),
    bucket("token-bucket:200/1,burst=50", 50, 200),
    bucket("token-bucket:100/1,burst=100", 100, 100),
    bucket("token-bucket:1000/1,burst=20", 20, 1_000),
]


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.text)
def test_ceiling_uses_much_of_the_limit_and_no_read_is_refused(tier: Tier) -> None:
    per_s, _ = ceiling(identity(tier))
    for seed in range(3):
        limiter = limiter_for(tier.text)
        due = due_times(Trial(1, "confirm", per_s, 2_500, 1_000 + seed)) + 100.37 * (1 + seed)
        assert all(decide(limiter, float(at))[0] for at in due)
    numbers = tier.numbers
    has_rate = "rate_per_s" in numbers
    most = numbers["rate_per_s"].value if has_rate else numbers["limit"].value / numbers["window_s"].value
    assert 0.5 * most < per_s < most


@pytest.mark.parametrize(
    ("tiers", "per_s"),
    [
        ([Tier("minimum-gap", "minimum-gap:0.1", {"gap_s": number(0.1)})], 0.0),
        ([bucket("token-bucket:10/1,burst=1", 1, 10)], 0.0),
        ([window(1, number(1.0))], 0.0),
        ([queue_tier(100, 50, 0)], 0.0),
        ([], math.inf),
        ([Tier("concurrency", "concurrency:8", {"limit": number(8)})], math.inf),
    ],
    ids=["gap", "bucket", "window", "queue", "none", "cap"],
)
def test_limiters_that_let_nothing_or_anything_come_by_chance(tiers: list[Tier], per_s: float) -> None:
    assert ceiling(identity(*tiers))[0] == per_s


def test_lower_ceiling_and_longer_rest_of_two_limits_count() -> None:
    short, long = window(200, number(1.0)), window(1_000, number(60.0))
    assert ceiling(identity(short, long)) == ceiling(identity(long))
    assert ceiling(identity(long))[1] > 60.0


def test_ceiling_leaves_others_their_share_and_trusts_the_worse_ends() -> None:
    known = bucket("", 50, 200)
    assert ceiling(identity(known, others=number(0.4, 0.3, 0.5)))[0] < 0.5 * ceiling(identity(known))[0] * (1 + 1e-6)
    unsure = Tier("token-bucket", "", {"rate_per_s": number(200, 100, 300), "burst": number(50, 40, 60)})
    per_s, rest_s = ceiling(identity(unsure))
    assert (per_s < 100, math.isfinite(rest_s)) == (True, True)
