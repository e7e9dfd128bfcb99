"""Two runs beside each other: an interval that is honest, verdicts that follow from it, and what cannot be compared."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loadlogs import BEGAN_AT, Storm, fold, log_of, long, steady, workload
from tests.loadlogs import header as load_header
from tests.report.conftest import Story, found, header, ledger
from tests.test_room import FULL_HOST, story
from touchstone.errors import UsageError
from touchstone.facts.events import Footer, Notice, Occurrence, RunLog, Tally, Target
from touchstone.facts.finding import Finding
from touchstone.facts.sample import NO_ANSWER, Histogram, Sample
from touchstone.loadgen.metrics import metrics
from touchstone.report.comparison import NOISE, TOO_FEW, UNCERTAIN, Change, Comparison, Lack, compare
from touchstone.report.resampling import (
    Durations,
    Floats,
    Interval,
    block_s,
    durations,
    quantiles_s,
    rates_apart,
    ratios,
    shares_apart,
    telling,
)

SHARES = (0.5, 0.9, 0.99)


def drawn(
    chance: np.random.Generator, seconds: int, per_s: int, *, slower: float = 1.0, sway: float = 0.0
) -> Durations:
    """Durations of one distribution; seconds that *sway* share their fate, as those of a real target do."""
    values = 0.004 * slower * chance.lognormal(0, 0.5, (seconds, per_s)) * chance.lognormal(0, sway, (seconds, 1))
    grains = np.floor(np.log(values * 1e9) * 60)
    columns, places = np.unique(grains, return_inverse=True)
    rows = np.arange(seconds)[:, np.newaxis] // block_s(seconds)
    flat = rows * len(columns) + places.reshape(values.shape)
    blocks = int(rows.max()) + 1
    counts = np.bincount(flat.ravel(), minlength=blocks * len(columns)).reshape(blocks, -1).astype(float)
    return Durations(counts, np.exp((columns + 0.5) / 60) / 1e9)


@pytest.mark.parametrize(("seconds", "per_s", "sway"), [(20, 60, 0.0), (60, 40, 0.15)])
def test_interval_of_equal_runs_holds_zero(seconds: int, per_s: int, sway: float) -> None:
    """Of pairs of runs from one distribution, about 95 % have an interval that holds 0, also of few blocks."""
    chance, pairs = np.random.default_rng(11), 80
    runs = [[drawn(chance, seconds, per_s, sway=sway) for _ in range(2)] for _ in range(pairs)]
    hits = np.array([[one.has_zero for one in ratios(*pair, SHARES, seed)] for seed, pair in enumerate(runs)]).mean(
        axis=0
    )

    # Of 80 fair ones at 95 %, less than 88 % are met once in 200 times; more is only too careful.
    assert (hits >= 0.88).all()


@pytest.mark.parametrize("slower", [1.2, 1 / 1.2])
def test_shift_of_a_fifth_is_found(slower: float) -> None:
    """A run that is a fifth slower, or faster, is told from its twin, and the interval holds the truth."""
    chance = np.random.default_rng(5)
    median, p90, _ = ratios(drawn(chance, 60, 50), drawn(chance, 60, 50, slower=slower), SHARES, 1)

    for one in (median, p90):
        assert not one.has_zero
        assert one.low < slower - 1 < one.high


def test_interval_is_the_same_every_time() -> None:
    """The rounds are drawn with a seed, so that the same two runs give the same words."""
    assert compare(steady(seed=1), steady(seed=2)) == compare(steady(seed=1), steady(seed=2))


def test_quantiles_are_those_of_the_histogram() -> None:
    """The resampled quantiles are taken as the reported ones are."""
    histogram = Histogram()
    for n in range(1, 778):
        histogram.add(0.0003 * n**1.3)
    run = durations([(0, histogram)], 1)

    for share, value in zip(SHARES, quantiles_s(run.counts, run.lengths_s, SHARES)[0], strict=True):
        assert value == pytest.approx(histogram.quantile_s(share), rel=0.003)


@pytest.mark.parametrize(("seconds", "length_s"), [(1, 1), (9, 1), (11, 2), (20, 3), (60, 4), (600, 9), (14_400, 36)])
def test_blocks_are_as_long_as_the_cube_root(seconds: int, length_s: int) -> None:
    """A long run is cut into longer blocks, a short one so that it has five, and none into more than 400."""
    assert block_s(seconds) == length_s


def test_blocks_without_requests_tell_nothing() -> None:
    """Of two runs in which nothing was counted any difference is possible, and no other."""
    nothing = np.zeros((6, 2))

    assert shares_apart(nothing, nothing, 1) == Interval(0.0, -1.0, 1.0)


COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=40)


def counted(run: list[tuple[int, int]]) -> Floats:
    """Of each block what was counted, and what it was counted among."""
    return np.array([(min(pair), max(pair)) for pair in run], dtype=float)


@settings(max_examples=60)
@given(COUNTS, COUNTS, st.integers(0, 99))
def test_interval_lies_within_the_possible_and_holds_the_difference(
    before: list[tuple[int, int]], after: list[tuple[int, int]], seed: int
) -> None:
    """Whatever was counted, no share differs by more than one, and nothing becomes less by more than all of it."""
    first, second = counted(before), counted(after)
    share = shares_apart(first, second, seed)

    assert -1 <= share.low <= share.value <= share.high <= 1
    if first[:, 0].sum() and second[:, 0].sum():
        rate = rates_apart(first, second, seed)
        old, new = (part / whole for part, whole in (first.sum(axis=0), second.sum(axis=0)))
        assert -1 <= rate.low <= rate.value <= rate.high
        assert rate.value == pytest.approx(new / old - 1)


TIMES = st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=12)


@settings(max_examples=40)
@given(TIMES, TIMES, st.integers(0, 99))
def test_no_stray_of_a_time_is_within_its_interval(before: list[list[int]], after: list[list[int]], seed: int) -> None:
    """Whatever the durations are, the interval of a percentile holds the one that was measured."""
    runs = [Durations(np.array(rows, dtype=float), np.array([0.001, 0.004, 1.0])) for rows in (before, after)]

    for value, low, high in ratios(runs[0], runs[1], SHARES, seed):
        assert -1 <= low <= value <= high or not (telling(runs[0].counts) and telling(runs[1].counts))


def test_rate_that_doubles_is_told_with_its_interval() -> None:
    """A rate of 20 a second that becomes 40 is more by about 100 %, and the interval holds no zero."""
    chance = np.random.default_rng(3)
    first, second = (
        np.column_stack((chance.poisson(4 * per_s, 20).astype(float), np.full(20, 4.0))) for per_s in (20, 40)
    )
    apart = rates_apart(first, second, 1)

    assert 0.8 < apart.low < 1.0 < apart.high < 1.25


def test_few_blocks_widen_an_interval() -> None:
    """The same shares in blocks of which most hold nothing are told with less certainty."""
    whole = np.column_stack((np.array([4.0, 9, 2, 8, 5, 6, 3, 7]), np.full(8, 10.0)))
    more = np.vstack((whole, np.zeros((40, 2))))
    full, sparse = shares_apart(whole, whole[::-1], 1), shares_apart(more, whole[::-1], 1)

    assert sparse.high - sparse.low > 0.9 * (full.high - full.low)
    assert telling(more) == 8


def changes(compared: Comparison, operation: str) -> dict[str, Change]:
    """The changes of one operation by statistic."""
    (one,) = [one for one in compared.operations if one.name == operation]
    return {change.statistic: change for change in (*one.times, *one.counted)}


def with_tail(duration_s: int, arrivals: str = "constant:20") -> RunLog:
    """Twenty answers a second as long as arrivals are scheduled, and five seconds of polls afterwards."""
    at = [BEGAN_AT + n / 20 for n in range(20 * duration_s)] + [BEGAN_AT + duration_s + n for n in range(5)]
    windows = fold(Sample("getBuild", "200", t, t, t + 0.01) for t in at)
    return log_of(workload(duration_s=float(duration_s), arrivals=arrivals), windows=windows)


def test_rate_is_that_of_the_schedule() -> None:
    """A short run serves as many a second as a long one, though as long a tail of polls follows it."""
    rate = changes(compare(with_tail(20), with_tail(60)), "getBuild")["throughput_per_s"]
    at_once = changes(compare(with_tail(20, "at once"), with_tail(60, "at once")), "getBuild")["throughput_per_s"]

    assert (rate.before, rate.after, rate.verdict) == (20.0, 20.0, NOISE)
    assert at_once.before == pytest.approx((400 + 5) / 25)


def test_slower_run_is_told_slower() -> None:
    """Each percentile has both values, the difference in per cent with its interval, and a verdict."""
    told = changes(compare(steady(seed=1, stall_s=0), steady(seed=2, stall_s=0, slower=1.2)), "getBuild")
    p50 = told["p50_s"]
    assert p50.apart is not None

    assert p50.verdict == "slower"
    assert p50.apart.low < 0.2 < p50.apart.high
    assert p50.before == pytest.approx(0.0044, rel=0.1)
    assert (told["p999_s"].verdict, told["p999_s"].apart) == (TOO_FEW, None)
    assert told["throughput_per_s"].verdict == told["refused_share"].verdict == NOISE
    assert changes(compare(steady(seed=2, stall_s=0, slower=1.2), steady(seed=1, stall_s=0)), "getBuild")[
        "p50_s"
    ].verdict == "faster"  # fmt: skip


def test_run_does_not_differ_from_itself() -> None:
    """The same run twice has no difference beyond noise, and none at all."""
    compared = compare(steady(), steady())

    for one in compared.operations:
        for change in (*one.times, *one.counted):
            assert change.before == change.after
            assert change.verdict in (NOISE, UNCERTAIN, TOO_FEW)
            assert change.apart is None or change.apart.value == 0


def test_long_runs_are_compared() -> None:
    """Minutes at 2,000 a second: 300,000 samples carry p99.9, and errors are told apart."""
    before, after = long(duration_s=150), long(duration_s=150)
    worse = tuple(replace(w, outcome="500") if w.at_s % 5 == 0 else w for w in after.windows)
    told = changes(compare(before, replace(after, windows=worse)), "*")

    assert told["p999_s"].verdict == NOISE
    assert told["error_share"].verdict == "more"
    assert told["throughput_per_s"].verdict == "less"


def test_short_run_has_too_few_samples() -> None:
    """Some seconds of a few requests say nothing, however far apart the numbers are."""
    runs = [
        log_of(
            workload(), windows=fold(Sample("getBuild", "200", at, at, at + took) for at in (BEGAN_AT, BEGAN_AT + 1))
        )
        for took in (0.01, 5.0)
    ]
    told = changes(compare(*runs), "getBuild")

    assert {change.verdict for change in told.values()} == {TOO_FEW}
    assert told["p99_s"].lack == Lack(2, 1000, "sample")
    assert told["throughput_per_s"].lack == Lack(2, 5, "block")


def test_few_events_are_too_few() -> None:
    """Three errors against none are no difference that anybody should act on."""
    after = steady()
    failed = fold([Sample("getBuild", NO_ANSWER, BEGAN_AT + n, BEGAN_AT + n, BEGAN_AT + n + 1.0) for n in range(3)])
    told = changes(compare(steady(), replace(after, windows=after.windows + failed)), "getBuild")

    assert (told["error_share"].verdict, told["error_share"].lack) == (TOO_FEW, Lack(3, 10, "event"))


def test_difference_that_is_not_excluded_is_no_equality() -> None:
    """Where an interval holds 0 and a difference by half as well, nobody says that there is none."""
    told = changes(compare(bursts(1), bursts(2)), "getBuild")
    p50, rate = told["p50_s"], told["throughput_per_s"]
    assert p50.apart is not None
    assert rate.apart is not None

    assert (p50.verdict, rate.verdict) == (UNCERTAIN, UNCERTAIN)
    assert p50.apart.has_zero
    assert p50.apart.high > 0.5
    assert -1 < rate.apart.low < rate.apart.value < rate.apart.high
    fewer = changes(compare(bursts(12), bursts(2)), "getBuild")["throughput_per_s"]
    assert fewer.apart is not None
    assert (fewer.apart.low < -0.5 < 0 < fewer.apart.high < 0.5, fewer.verdict) == (True, UNCERTAIN)


def bursts(seed: int) -> RunLog:
    """Ten seconds, in each of which a few or many requests take long or no time."""
    chance = np.random.default_rng(seed)
    counts, times = chance.geometric(0.08, 10), 0.001 * chance.lognormal(0, 2, 10)
    at = [(BEGAN_AT + n + k / 200, float(times[n])) for n in range(10) for k in range(int(counts[n]) + 5)]
    return log_of(workload(duration_s=10.0), windows=fold(Sample("getBuild", "200", t, t, t + took) for t, took in at))


def test_rate_from_nothing_is_more() -> None:
    """From no request served to twenty a second no share leads, and it is more all the same."""
    refused = fold(
        Sample("getBuild", "429", BEGAN_AT + n / 20, BEGAN_AT + n / 20, BEGAN_AT + n / 20) for n in range(400)
    )
    told = compare(log_of(workload(duration_s=20.0), windows=refused), with_tail(20))
    back = compare(with_tail(20), log_of(workload(duration_s=20.0), windows=refused))
    more, less = (changes(one, "getBuild")["throughput_per_s"] for one in (told, back))

    assert (more.before, more.after, more.apart, more.verdict) == (0.0, 20.0, None, "more")
    assert (less.before, less.after, less.apart, less.verdict) == (20.0, 0.0, None, "less")


def test_requests_without_an_answer_are_not_compared() -> None:
    """A percentile that is one of requests without an answer has no quotient, and is no lack of samples."""
    after = steady(stall_s=0)
    dead = tuple(
        replace(w, outcome=NO_ANSWER) if w.operation == "getBuild" and w.at_s % 2 else w for w in after.windows
    )
    told = changes(compare(steady(stall_s=0), replace(after, windows=dead)), "getBuild")

    assert (told["p90_s"].after, told["p90_s"].verdict) == (math.inf, UNCERTAIN)
    assert told["p90_s"].lack is None


def test_operation_of_one_run_only_is_listed() -> None:
    """An operation that only one run used has its numbers, and no difference."""
    before = steady()
    some = tuple(window for window in before.windows if window.operation != "cancelBuild")
    (one,) = [o for o in compare(before, replace(before, windows=some)).operations if o.name == "cancelBuild"]

    assert (one.counts, one.times, one.counted) == ((111, None), (), ())


def test_workloads_that_are_not_alike_are_told() -> None:
    """What the two had not in common is named, option by option; a seed is no such thing."""
    before = steady()
    assert before.workload is not None
    other = replace(
        before.workload, scenario="soak", arrivals="constant:60", workers=2, seed=9,
        options={"mix": {"read": 6, "start": 2}, "build_s": 2},
    )  # fmt: skip
    told = compare(before, replace(before, workload=other)).unlike

    assert [one.what for one in told] == ["scenario", "arrivals", "workers", "mix", "seconds of a build"]
    assert [(one.before, one.after) for one in told[-2:]] == [("read 100 %", "read 75 %, start 25 %"), ("–", "2")]
    assert compare(before, before).unlike == ()


@pytest.mark.parametrize(
    ("scenario", "first", "second"),
    [
        ("steady", {"options": {"mix": {"read": 9, "start": 1}}}, {"options": {"mix": {"start": 0.1, "read": 0.9}}}),
        ("steady", {"options": {"users": 8}}, {"options": {"users": 9}}),  # of a closed model only
        ("steady", {"options": {"builds": 0}}, {"options": {"builds": 4}}),
        ("storm", {"options": {"lines": 1}}, {"options": {"lines": 9}}),
        ("steady", {"options": {"ready": 4, "max_requests": None}}, {"options": {"seed": 7}}),
        ("steady", {"arrivals": "trace:/home/a/day.csv"}, {"arrivals": "trace:/tmp/b/day.csv"}),
    ],
)
def test_what_says_nothing_about_the_load_is_left_out(
    scenario: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """An option that the scenario does not heed, another way to write the same, and a folder are no difference."""
    runs = [log_of(workload(scenario, **changed), windows=steady().windows) for changed in (first, second)]

    assert compare(*runs).unlike == ()


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        (("http://127.0.0.1:8123/api", "http://localhost:9999/api"), None),
        (("http://127.0.0.1:8123/api", "https://x.example/api"), ("a server on this machine", "https://x.example/api")),
        (("https://x.example/api", "https://y.example/api"), ("https://x.example/api", "https://y.example/api")),
    ],
)
def test_target_is_told_by_the_machine_that_it_is(urls: tuple[str, str], words: tuple[str, str] | None) -> None:
    """On this machine a port says nothing; elsewhere another address is another target."""
    runs = [steady(header=load_header(target=Target("staging", url, "url"))) for url in urls]
    told = [(one.before, one.after) for one in compare(*runs).unlike if one.what == "target"]

    assert told == ([] if words is None else [words])


def test_options_of_a_foreign_log_are_told_as_they_are() -> None:
    """Values that no run of ours writes down are told and stop nothing."""
    runs = [steady(workload=workload(options={"mix": mix, "build_s": "long"})) for mix in ([1], "none")]

    assert [(one.what, one.before, one.after) for one in compare(*runs).unlike] == [("mix", "[1]", "none")]


def test_closed_model_is_compared_by_service_times() -> None:
    """Where one of the two runs has no response times, service times of both are compared."""
    before, after = steady(seed=1), steady(seed=2)
    assert after.workload is not None
    compared = compare(before, replace(after, workload=replace(after.workload, model="closed")))

    assert not compared.is_timed
    assert "model" in [one.what for one in compared.unlike]
    p50 = changes(compared, "getBuild")["p50_s"]
    service = metrics(compared.before).operations[1].whole.service
    assert service is not None
    assert p50.before == service.at(0.5).value_s


def test_capacities_that_differ_are_told() -> None:
    """Two storms that met another capacity differ, whatever the times are."""
    logs = (replace(Storm(capacity=capacity).run(), exchanges=story(FULL_HOST)) for capacity in (4, 6))
    both = compare(*logs)

    assert (both.capacity_turn, both.differs) == ((4, 6), True)
    assert "capacity 4 before, 6 now" in both.reason
    assert compare(Storm().run(), Storm().run()).capacity_turn is None


def check_run(*, broken: tuple[str, ...] = (), idle: tuple[str, ...] = (), extra: int = 0) -> RunLog:
    """A check run in which some claims are broken and some were not judged."""
    claims = ledger(extra)
    tallies = tuple(Tally("c", "rules", claim.id, held=1) for claim in claims if claim.id not in (*broken, *idle))
    return RunLog(
        header=header(claims=claims),
        tallies=tallies,
        occurrences=tuple(Occurrence(finding_about(claim)) for claim in broken),
        notices=tuple(Notice(claim, "not-applicable", "set second_api_key_env") for claim in idle),
        footer=Footer("2026-01-02T03:04:15Z", 9.75, 0, ""),
    )


def finding_about(claim: str) -> Finding:
    """A finding about one claim."""
    return found(Story().ask("getBuild", "default/x@1.0.0", 500, {}), claim, "200", "500")


def test_claims_that_turned_are_told() -> None:
    """Claims with another verdict, findings that are new or gone, and claims that only one run judged."""
    before = check_run(broken=("cancel.settles", "start.answers-202"), idle=("limit.error-shape",))
    after = check_run(broken=("start.answers-202", "events.frames-are-json"), extra=2)
    both = compare(before, after)
    claims = both.claims

    assert not both.is_load
    assert {(turn.after.claim.id, turn.before.verdict, turn.after.verdict) for turn in claims.turned} == {
        ("cancel.settles", "broken", "upheld"),
        ("events.frames-are-json", "upheld", "broken"),
        ("limit.error-shape", "not-applicable", "upheld"),
    }
    assert [finding.claim for finding in claims.new] == ["events.frames-are-json"]
    assert [finding.claim for finding in claims.gone] == ["cancel.settles"]
    assert [item.claim.id for item in claims.only_after] == ["extra.promise-number-000", "extra.promise-number-001"]
    assert claims.only_before == ()
    told = "3 claims with another verdict (1 newly broken, 1 fixed, 1 now judged), 1 new finding, 1 gone"
    assert both.reason == told


def test_equal_check_runs_are_alike() -> None:
    """The same run twice has nothing to tell."""
    run = check_run(broken=("cancel.settles",))

    assert compare(run, run).claims.are_alike
    assert not compare(run, run).differs


def test_kinds_are_not_mixed() -> None:
    """A load run and a check run are not compared, and the message says which is which."""
    with pytest.raises(UsageError, match=r"A \(.*\) is a load run \(storm\), B \(.*\) is a check run; expected two"):
        compare(Storm().run(), check_run())


def test_load_run_without_requests_is_refused() -> None:
    """A load run that ended before its first request has nothing to compare."""
    with pytest.raises(UsageError, match=r"compare: B \(.*\) is a load run that sent no request"):
        compare(steady(), log_of(workload()))
