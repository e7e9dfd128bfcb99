"""Comparison of two runs: honest intervals, verdicts, and runs that cannot be compared."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.loadlogs import BEGAN_AT, fold, log_of, steady, workload
from tests.loadlogs import header as load_header
from tests.report import checklogs
from tests.report.checklogs import Story, header, ledger
from tests.report.examples import failing, knowing, limited, storms, terminal
from touchstone.errors import UsageError
from touchstone.facts.events import Footer, Notice, Occurrence, RunLog, Tally, Target
from touchstone.facts.sample import NO_ANSWER, Histogram, Sample
from touchstone.loadgen.plan import AT_ONCE
from touchstone.report import comparison, json_report
from touchstone.report.comparison import NOISE, TOO_FEW, UNCERTAIN, Comparison, compare
from touchstone.report.html import sentence
from touchstone.report.view import view
from touchstone.rules.verdict import judge

SHARES = (0.5, 0.9, 0.99)


def drawn(
    chance: np.random.Generator, seconds: int, per_s: int, *, slower: float = 1.0, sway: float = 0.0
) -> comparison.Durations:
    """Random durations; with *sway*, those of one second are correlated, as with a real target."""
    values = 0.004 * slower * chance.lognormal(0, 0.5, (seconds, per_s)) * chance.lognormal(0, sway, (seconds, 1))
    columns, places = np.unique(np.floor(np.log(values * 1e9) * 60), return_inverse=True)
    rows = np.arange(seconds)[:, np.newaxis] // comparison.block_length_s(seconds)
    blocks = int(rows.max()) + 1
    flat = (rows * len(columns) + places.reshape(values.shape)).ravel()
    counts = np.bincount(flat, minlength=blocks * len(columns)).reshape(blocks, -1).astype(float)
    return comparison.Durations(counts, np.exp((columns + 0.5) / 60) / 1e9)


@pytest.mark.parametrize(("seconds", "per_s", "sway"), [(20, 60, 0.0), (60, 40, 0.15)])
def test_interval_of_equal_runs_contains_zero(seconds: int, per_s: int, sway: float) -> None:
    chance, pairs = np.random.default_rng(11), 60
    runs = [[drawn(chance, seconds, per_s, sway=sway) for _ in range(2)] for _ in range(pairs)]
    found = [comparison.ratios(a, b, SHARES, seed) for seed, (a, b) in enumerate(runs)]
    hits = np.array([[one.low <= 0 <= one.high for one in intervals] for intervals in found])
    # Fewer than 87 % of 60 fair 95 % intervals contain zero once in 200 times.
    assert (hits.mean(axis=0) >= 0.87).all()


@pytest.mark.parametrize("slower", [1.2, 1 / 1.2])
def test_shift_of_a_fifth_is_found(slower: float) -> None:
    chance = np.random.default_rng(5)
    for one in comparison.ratios(drawn(chance, 60, 50), drawn(chance, 60, 50, slower=slower), SHARES, 1)[:2]:
        assert not one.low <= 0 <= one.high
        assert one.low < slower - 1 < one.high


def test_quantiles_are_those_of_the_histogram() -> None:
    histogram = Histogram()
    for n in range(1, 778):
        histogram.add(0.0003 * n**1.3)
    run = comparison.durations_of([(0, histogram)], 1)
    expected = [histogram.quantile_s(share) for share in SHARES]
    assert list(comparison.quantiles_s(run.counts, run.lengths_s, SHARES)[0]) == pytest.approx(expected, rel=0.003)


def load(both: Comparison) -> comparison.LoadChanges:
    assert both.load
    return both.load


def changes(both: Comparison, operation: str) -> dict[str, comparison.Change]:
    (one,) = [one for one in load(both).operations if one.name == operation]
    return {change.statistic: change for change in one.changes}


def with_tail(duration_s: int, arrivals: str = "constant:20") -> RunLog:
    """Twenty responses a second during the schedule, and five seconds of polls afterwards."""
    at = [BEGAN_AT + n / 20 for n in range(20 * duration_s)] + [BEGAN_AT + duration_s + n for n in range(5)]
    windows = fold(Sample("getBuild", "200", t, t, t + 0.01) for t in at)
    return log_of(workload(duration_s=float(duration_s), arrivals=arrivals), windows=windows)


def bursts(seed: int) -> RunLog:
    """Ten seconds with random counts of requests and random latency each."""
    chance = np.random.default_rng(seed)
    counts, times = chance.geometric(0.08, 10), 0.001 * chance.lognormal(0, 2, 10)
    at = [(BEGAN_AT + n + k / 200, float(times[n])) for n in range(10) for k in range(int(counts[n]) + 5)]
    return log_of(workload(duration_s=10.0), windows=fold(Sample("getBuild", "200", t, t, t + took) for t, took in at))


def test_slower_run_is_slower_and_nothing_else() -> None:
    first, second = steady(seed=1, stall_s=0), steady(seed=2, stall_s=0, slower=1.2)
    found = changes(compare(first, second), "getBuild")
    apart = found["p50_s"].apart
    assert apart is not None
    assert (found["p50_s"].verdict, apart.low < 0.2 < apart.high) == ("slower", True)
    assert found["p50_s"].before == pytest.approx(0.0044, rel=0.1)
    assert (found["p999_s"].verdict, found["p999_s"].apart) == (TOO_FEW, None)
    assert found["throughput_per_s"].verdict == found["refused_share"].verdict == NOISE
    assert changes(compare(second, first), "getBuild")["p50_s"].verdict == "faster"


def test_run_does_not_differ_from_itself() -> None:
    both = compare(steady(), steady())
    found = [change for one in load(both).operations for change in one.changes]
    assert {change.verdict for change in found} <= {NOISE, UNCERTAIN, TOO_FEW}
    assert all(change.before == change.after for change in found)
    assert {change.apart.value for change in found if change.apart} == {0.0}
    assert (both.differs, both == compare(steady(), steady())) == (False, True)


def test_long_runs_have_enough_samples_for_p999() -> None:
    before = steady(per_s=400.0, stall_s=0.0)
    worse = tuple(replace(w, outcome="500") if w.at_s % 5 == 0 else w for w in before.windows)
    found = changes(compare(before, replace(before, windows=worse)), "*")
    verdicts = [found[name].verdict for name in ("p999_s", "error_share", "throughput_per_s")]
    assert verdicts == [NOISE, "more", "less"]


def test_rate_is_that_of_the_schedule() -> None:
    rate = changes(compare(with_tail(20), with_tail(60)), "getBuild")["throughput_per_s"]
    assert (rate.before, rate.after, rate.verdict) == (20.0, 20.0, NOISE)
    at_once = compare(with_tail(20, AT_ONCE), with_tail(60, AT_ONCE))
    assert changes(at_once, "getBuild")["throughput_per_s"].before == pytest.approx((400 + 5) / 25)
    assert (load(compare(with_tail(20), with_tail(60))).rated_s, load(at_once).rated_s) == ((20, 60), (25, 65))


def test_rate_from_nothing_is_more_and_to_nothing_is_less() -> None:
    at = [BEGAN_AT + n / 20 for n in range(400)]
    refused = log_of(workload(duration_s=20.0), windows=fold(Sample("getBuild", "429", t, t, t) for t in at))
    pairs = pairwise((refused, with_tail(20), refused))
    rates = [changes(compare(*pair), "getBuild")["throughput_per_s"] for pair in pairs]
    found = [(rate.before, rate.after, rate.apart, rate.verdict) for rate in rates]
    assert found == [(0.0, 20.0, None, "more"), (20.0, 0.0, None, "less")]


def test_too_little_data_has_no_conclusion() -> None:
    one, other = (
        fold(Sample("getBuild", "200", at, at, at + took) for at in (BEGAN_AT, BEGAN_AT + 1)) for took in (0.01, 5.0)
    )
    short = compare(log_of(workload(), windows=one), log_of(workload(), windows=other))
    found = changes(short, "getBuild")
    assert {change.verdict for change in found.values()} == {TOO_FEW}
    assert (found["p99_s"].lack, found["throughput_per_s"].lack) == ("2 samples; 1,000 needed", "2 blocks; 5 needed")
    assert (load(short).is_open, short.differs, load(short).differing) == (True, False, 0)

    failed = fold([Sample("getBuild", NO_ANSWER, BEGAN_AT + n, BEGAN_AT + n, BEGAN_AT + n + 1.0) for n in range(3)])
    few = changes(compare(steady(), replace(steady(), windows=steady().windows + failed)), "getBuild")["error_share"]
    assert (few.verdict, few.lack) == (TOO_FEW, "3 events; 10 needed")


def test_wide_interval_has_no_conclusion() -> None:
    found = changes(compare(bursts(1), bursts(2)), "getBuild")
    for statistic in ("p50_s", "throughput_per_s"):
        change = found[statistic]
        assert change.apart is not None
        assert change.verdict == UNCERTAIN
        assert change.apart.low <= 0 <= change.apart.high
        assert -1 < change.apart.low < change.apart.value < change.apart.high
    fewer = changes(compare(bursts(12), bursts(2)), "getBuild")["throughput_per_s"]
    assert fewer.apart is not None
    assert (fewer.apart.low < -0.5 < 0 < fewer.apart.high < 0.5, fewer.verdict) == (True, UNCERTAIN)


def differences(first: dict[str, Any], second: dict[str, Any], scenario: str = "steady") -> list[tuple[str, str, str]]:
    logs = [log_of(workload(scenario, **changed), windows=with_tail(2).windows) for changed in (first, second)]
    return [(what, before, after) for what, (before, after) in compare(*logs).unlike]


@pytest.mark.parametrize(
    ("scenario", "first", "second"),
    [
        ("steady", {"options": {"mix": {"read": 9, "start": 1}}}, {"options": {"mix": {"start": 0.1, "read": 0.9}}}),
        ("steady", {"options": {"users": 8}}, {"options": {"users": 9}}),  # of a closed model only
        ("steady", {"options": {"builds": 0}}, {"options": {"builds": 4}}),
        ("storm", {"options": {"lines": 1}}, {"options": {"lines": 9}}),
        ("steady", {"options": {"ready": 4, "max_requests": None}}, {"options": {"seed": 7}}),
        ("steady", {"arrivals": "trace:/home/a/day.csv"}, {"arrivals": "trace:/tmp/b/day.csv"}),
        ("steady", {"seed": 1}, {"seed": 2}),
    ],
)
def test_irrelevant_setting_is_no_difference(scenario: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    assert differences(first, second, scenario) == []


def test_differences_between_workloads_and_targets_are_listed() -> None:
    options = {"mix": {"read": 6, "start": 2}, "build_s": 2}
    found = differences({}, {"arrivals": "constant:60", "workers": 2, "options": options})
    assert [pair for _, *pair in found] == [
        ["constant:50", "constant:60"], ["1", "2"], ["read 100 %", "read 75 %, start 25 %"], ["–", "2"],
    ]  # fmt: skip
    runs = [
        replace(with_tail(2), header=load_header(target=Target("t", url, "url")))
        for url in ("http://127.0.0.1:8123/api", "http://localhost:9999/api", "https://x.example/api")
    ]
    assert [len(compare(runs[0], run).unlike) for run in runs] == [0, 0, 1]  # local ports do not matter


def test_capacities_that_differ_are_a_difference() -> None:
    both = storms()
    assert (load(both).capacity_turn, both.differs) == ((4, 6), True)
    assert load(compare(both.trend.runs[0], both.trend.runs[0])).capacity_turn is None


START, READY = "start.answers-202", "status.ready-stays-ready"
BROKEN, MENDED = "cancel.in-flight-is-202", "cancel.settles"
LOST, FOUND = "events.frames-are-json", "access.other-account-is-404"


def check(
    broken: tuple[str, ...] = (),
    idle: tuple[str, ...] = (),
    stuck: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (),
    **changes: object,
) -> RunLog:
    """A check; a finding on a broken claim is the same in all of them."""
    claims = tuple(claim for claim in ledger() if claim.id not in left_out)
    wrong = Story().send("getBuild", "default/x@1.0.0", 500, {})
    notices = [Notice(name, "not-applicable", "set second_api_key_env") for name in idle]
    notices += [Notice(name, "could-not-run", "no response") for name in stuck]
    return RunLog(
        header=header(**{"claims": claims, **changes}),
        tallies=tuple(Tally("c", "r", one.id, held=1) for one in claims if one.id not in (*broken, *idle, *stuck)),
        occurrences=tuple(Occurrence(checklogs.found(wrong, name, "200", "500")) for name in broken),
        notices=tuple(notices),
        footer=Footer("2026-01-02T03:04:15Z", 9.75, 0, ""),
    )


def test_claims_are_grouped_by_their_change() -> None:
    before = check(broken=(MENDED, START), idle=(FOUND, READY))
    both = compare(before, check(broken=(BROKEN,), idle=(LOST, START), stuck=(READY,)))
    found = {group: [one.latest.claim.id for one in claims] for group, claims in both.trend.turned.items() if claims}
    assert list(found.values()) == [[BROKEN], [MENDED], [START, LOST], [FOUND], [READY]]


def test_trend_compares_each_run_with_the_last_one_that_selected_the_claim() -> None:
    few = check(left_out=tuple(claim.id for claim in ledger() if claim.id != BROKEN), claims_glob=BROKEN)
    bad = check(broken=(START, BROKEN))
    both = compare(check(left_out=(READY,)), few, bad, few, bad, check(broken=(START,)), check())
    trend, names = {one.latest.claim.id: one for one in both.trend.changed}, both.trend.names
    assert (list(trend), both.trend.left_out) == ([START, READY, BROKEN], len(ledger()) - 1)
    assert trend[START].verdicts == ("upheld", "", "broken", "", "broken", "broken", "upheld")
    assert sentence("changes", trend[START], names) == "broken from C, upheld again since G"
    assert sentence("changes", trend[READY], names) == "upheld since C"  # the first run did not know it
    assert sentence("changes", trend[BROKEN], names).endswith("broken again from E, upheld again since F")
    found = [[[one.claim for one in each] for each in pair] for pair in both.trend.findings]
    assert found == [
        *([[], []], [[], []], [[START, BROKEN], []], [[], [BROKEN]]),
        *([[BROKEN], []], [[], [BROKEN]], [[], [START]]),
    ]
    (line,) = [line for line in terminal(both).splitlines() if line.startswith("claim ")]
    assert line.split() == ["claim", *"CDEFG", "what", "changed", "when"]  # the newest runs
    assert list(compare(*[check()] * 30).trend.names)[::29] == ["1", "30"]


@pytest.mark.parametrize(
    "log", [knowing(failing(), BROKEN, START), limited(steady()), checklogs.log(checklogs.write_hostile)]
)
def test_report_json_has_the_verdicts_and_findings_of_its_run(tmp_path: Path, log: RunLog) -> None:
    path = tmp_path / "report.json"
    path.write_text(json_report.render(view(log)), "utf-8")
    found = json_report.read(path)
    first, second = judge(log), judge(found)
    assert second.exit_code == first.exit_code
    assert [replace(row, checks=()) for row in second.claims] == [replace(row, checks=()) for row in first.claims]
    assert {one.id: one for one in found.findings} == {one.id: one for one in log.findings}


def test_load_run_that_sent_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"B \(.+\) is a load run without requests"):
        compare(with_tail(2), log_of(workload()))
