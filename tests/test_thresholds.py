"""Thresholds: what is measured, when a limit is kept, broken or open, and what that says about claims."""

import dataclasses
import io
import re
from collections.abc import Iterable
from typing import Any

import pytest
from rich.console import Console

from tests.loadlogs import BEGAN_AT, fold, header, log_of, unsent, worker, workload
from touchstone.contract import claims
from touchstone.facts.events import Case, Footer, LedgerClaim, Limit, Occurrence, RunLog, Tally
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, Sample, Window
from touchstone.loadgen.metrics import TARGET
from touchstone.loadgen.not_judged import ABORTED
from touchstone.loadgen.thresholds import STATISTICS, Reading, judge_thresholds, limit_text, measured, value_text
from touchstone.report import html, json_report, junit
from touchstone.report.load_view import limit_lines
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.rules.verdict import judge

LEDGER = claims.load()


def samples(
    times_s: Iterable[float], operation: str = "getBuild", outcome: str = "200", *, late_s: float = 0.0, **more: Any
) -> list[Sample]:
    """One request each, spread over the run; *late_s* is a part of the time."""
    times_s = list(times_s)
    gap_s = 60.0 / max(len(times_s), 1)
    return [
        Sample(operation, outcome, at, at + late_s, at + late_s + time_s, **more)
        for at, time_s in ((BEGAN_AT + n * gap_s, time_s) for n, time_s in enumerate(times_s))
    ]


def run(limits: Iterable[Limit], *windows: Window, **facts: Any) -> RunLog:
    """A run that went through its schedule."""
    sent = sum(window.count for window in windows if window.paced)
    planned = workload(scheduled={"getBuild": sent}, limits=tuple(limits))
    plan = {field: facts.pop(field) for field in ("scheduled", "model", "duration_s", "options") if field in facts}
    plan |= {"workers": facts.pop("workers_planned")} if "workers_planned" in facts else {}
    return log_of(dataclasses.replace(planned, **plan), windows=windows, **({"workers": (worker(),)} | facts))


def reading(statistic: str, value: float, *windows: Window, operation: str = "getBuild", **facts: Any) -> Reading:
    """What one limit came to."""
    (found,) = measured(run([Limit(operation, statistic, value)], *windows, **facts))
    return found


def hundred(slow: int, slow_s: float = 2.0, of: int = 100) -> tuple[Window, ...]:
    """A hundred reads of 10 ms, so many of them slower."""
    return fold(samples([0.01] * (of - slow) + [slow_s] * slow))


@pytest.mark.parametrize(
    ("statistic", "kept", "broken"),
    [
        ("p50_s", 50, 51),
        ("p90_s", 10, 11),
        ("p95_s", 5, 6),
        ("p99_s", 1, 2),
        ("max_s", 0, 1),
        ("mean_s", 49, 51),
    ],
)
def test_limit_on_a_time_is_broken_by_one_answer_too_many(statistic: str, kept: int, broken: int) -> None:
    """Of a hundred answers, as many may be slow as lie beyond the percentile, and not one more."""
    assert reading(statistic, 1.0, *hundred(kept)).verdict == "kept"
    found = reading(statistic, 1.0, *hundred(broken))
    assert (found.verdict, found.count) == ("broken", 100)
    assert found.value is not None
    assert found.value > 1.0


def test_p999_needs_a_thousand_samples() -> None:
    """It is measured from a thousand on; with fewer the reading says how many are lacking."""
    assert reading("p999_s", 1.0, *hundred(1, of=1000)).verdict == "kept"
    assert reading("p999_s", 1.0, *hundred(2, of=1000)).verdict == "broken"
    few = reading("p999_s", 1.0, *hundred(999, of=999))
    assert few.verdict == "indeterminate"
    assert few.reason == "999 samples, but p999_s needs at least 1,000: run longer or faster"


def test_limit_that_is_just_met_is_kept() -> None:
    """At most means that the limit itself is allowed, and so does at least."""
    windows = fold(samples([0.25] * 30, outcome="200"))
    assert reading("max_s", 0.25, *fold(samples([0.25]))).verdict == "kept"
    assert reading("throughput_per_s", 0.5, *windows).verdict == "kept"
    assert reading("throughput_per_s", 0.51, *windows).verdict == "broken"


@pytest.mark.parametrize(
    ("outcome", "operation", "counts", "is_error"),
    [
        ("200", "getBuild", True, False),
        ("202", "getBuild", True, False),
        ("404", "cancelBuild", True, False),
        ("429", "getBuild", False, False),
        ("500", "getBuild", False, True),
        ("401", "getBuild", False, True),
        (NO_ANSWER, "getBuild", True, True),  # it takes for ever
    ],
)
def test_each_outcome_counts_for_what_it_tells(outcome: str, operation: str, counts: bool, is_error: bool) -> None:
    """
    A refusal pulls no percentile down and is no error; a quick 500 makes no time better; silence counts as waiting.
    """
    windows = (*fold(samples([0.5] * 4, operation, "202")), *fold(samples([3.0] * 4, operation, outcome)))
    assert reading("max_s", 1.0, *windows, operation=operation).count == (8 if counts else 4)
    errors = reading("error_share", 0.4, *windows, operation=operation)
    assert (errors.value, errors.count) == (0.5 if is_error else 0.0, 8)
    assert errors.verdict == ("broken" if is_error else "kept")


def test_all_operations_leave_out_how_long_a_log_was_followed() -> None:
    """That is how long its build takes; its own limit may speak of it."""
    windows = (*fold(samples([0.01] * 20)), *fold(samples([9.0] * 20, "streamBuildEvents")))
    assert reading("max_s", 1.0, *windows, operation="*").count == 20
    assert reading("error_share", 0.0, *windows, operation="*").count == 40
    assert reading("max_s", 1.0, *windows, operation="streamBuildEvents").verdict == "broken"


def test_arrival_that_could_not_be_sent_takes_for_ever() -> None:
    """A percentile is known as long as the unsent ones lie beyond it."""
    windows = (*hundred(0, of=99), unsent(5, "getBuild", 1))
    assert reading("p90_s", 1.0, *windows).verdict == "kept"
    for statistic in ("max_s", "mean_s"):
        assert reading(statistic, 1.0, *windows).reason.startswith("1 arrival could not be sent")
    many = (*hundred(0), unsent(5, "getBuild", 20))
    assert reading("p90_s", 1.0, *many).verdict == "indeterminate"
    share = reading("unsent_share", 0.1, *many)
    assert (share.verdict, share.count) == ("broken", 120)


def test_request_without_an_answer_takes_for_ever() -> None:
    """
    However fast its connection was refused, it is beyond every limit; as long as a percentile is before it, it is kept.
    """
    refused = fold(samples([0.0001] * 20, outcome=NO_ANSWER))
    windows = (*hundred(0), *refused)
    assert reading("p50_s", 1.0, *windows).verdict == "kept"
    assert reading("p50_s", 1.0, *windows).value == pytest.approx(0.01, rel=0.001)
    for statistic in ("p90_s", "p99_s", "max_s", "mean_s"):
        found = reading(statistic, 1.0, *windows)
        assert (found.verdict, found.value, value_text(found)) == ("broken", None, "no answer")
        assert found.reason == "no answer came to 20 of 120 requests"
    assert reading("p50_s", 1.0, *refused).reason == "no answer came to 20 of 20 requests"
    assert reading("p90_s", 1.0, *hundred(0, of=3), *fold(samples([0.1], outcome=NO_ANSWER))).verdict == "indeterminate"


def test_log_that_broke_off_is_no_answer_of_all_operations() -> None:
    """How long a log is followed is told of it alone, and so is that it never ended."""
    windows = (*hundred(0), *fold(samples([1.0] * 50, "streamBuildEvents", NO_ANSWER)))
    assert reading("p99_s", 1.0, *windows, operation="*").verdict == "kept"
    assert reading("p90_s", 1.0, *windows, operation="streamBuildEvents").verdict == "broken"


# A run whose 100 requests were used up before the last 20 arrivals.
SPENT: dict[str, Any] = {
    "options": {"max_requests": 100},
    "workers": (worker(sent=100, unsent=20, assigned=120, over_budget=20, spent_at_s=60.0),),
}


@pytest.mark.parametrize(("statistic", "value"), [("unsent_share", 0.1), ("throughput_per_s", 9.0)])
def test_what_the_callers_own_budget_kept_from_being_sent_is_open(statistic: str, value: float) -> None:
    """--max-requests ends the sending: too few were sent because no more were allowed; what is kept is kept."""
    many = (*hundred(0), unsent(5, "getBuild", 20))
    spent = reading(statistic, value, *many, **SPENT)
    assert spent.verdict == "indeterminate"
    assert spent.reason == (
        "the 100 requests that --max-requests allows were used up before 20 arrivals of the schedule; raise it"
    )
    assert reading(statistic, value, *many, options={"max_requests": 101}).verdict == "broken"
    loose = 0.5 if statistic == "unsent_share" else 1.0
    assert reading(statistic, loose, *many, **SPENT).verdict == "kept"


@pytest.mark.parametrize(
    ("statistic", "limit", "verdict"),
    [
        ("p50_s", 1.0, "kept"),  # whatever the others take
        ("p95_s", 1.0, "indeterminate"),
        ("max_s", 3.0, "indeterminate"),
        ("mean_s", 1.0, "indeterminate"),
        ("p95_s", 0.001, "broken"),
        ("max_s", 1.0, "broken"),
    ],
)
def test_times_before_the_budget_was_used_up_are_told(statistic: str, limit: float, verdict: str) -> None:
    """What was not sent for want of requests is in no time, as in the table; a limit that it might break is open."""
    sent = hundred(2)
    spent = reading(statistic, limit, *sent, unsent(5, "getBuild", 20), **SPENT)
    assert (spent.verdict, spent.value) == (verdict, reading(statistic, limit, *sent).value)
    kept_so_far = (
        "kept so far, but the 100 requests that --max-requests allows were used up before 20 arrivals of the schedule; "
        "raise it"
    )
    assert spent.reason == (kept_so_far if verdict == "indeterminate" else "")


def test_arrival_that_could_not_be_sent_outweighs_a_budget() -> None:
    """Where the generator left out arrivals that it was allowed to send, their times are unknown, budget or not."""
    spent = reading("p95_s", 1.0, *hundred(0), unsent(5, "getBuild", 21), **SPENT)
    assert (spent.verdict, spent.value) == ("indeterminate", None)
    assert spent.reason.startswith("21 arrivals could not be sent")


def test_value_beyond_its_limit_by_a_hair_is_told_with_more_digits() -> None:
    """Nobody reads "0.25 s, at most 0.25" where it is broken."""
    limit = Limit("getBuild", "p99_s", 0.25)
    assert value_text(Reading(limit, 0.25004, 100, "broken")) == "250.04 ms"
    assert value_text(Reading(limit, 0.25, 100, "kept")) == "250 ms"
    (line,) = limit_lines([Reading(limit, 0.25004, 100, "broken")])
    assert (line.measured, line.limit) == ("250.04 ms", "250 ms")
    assert limit_lines([Reading(limit, 0.26, 100, "broken")])[0].measured == "260 ms"


def test_closed_model_says_what_its_times_are() -> None:
    """Nothing is due, so times count from sending, and shares of what was due do not apply."""
    windows = tuple(dataclasses.replace(window, paced=False) for window in hundred(0))
    assert "closed model" in reading("p99_s", 1.0, *windows, model="closed", scheduled={}).reason
    assert reading("late_share", 0.1, *windows, model="closed", scheduled={}).verdict == "not-applicable"


# --- what a generator cannot tell ------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [0, 60])
def test_generator_that_is_late_itself_judges_no_time(slow: int) -> None:
    """More than a tenth of the limit late at p99: neither kept nor broken, and it says by how much and from when."""
    late = fold(samples([0.01] * 50)) + fold(samples([0.01 + (n < slow) for n in range(60)], late_s=0.2))
    late = tuple(dataclasses.replace(window, at_s=window.at_s) for window in late)
    found = reading("p50_s", 1.0, *late)
    assert found.verdict == "indeterminate"
    assert found.reason == (
        "the generator was 200 ms late at p99, more than a tenth of the limit of 1 s; lower the rate or add workers"
    )
    assert reading("p50_s", 2.1, *late).verdict == "kept"
    assert reading("error_share", 0.0, *late).verdict == "kept"


@pytest.mark.parametrize("statistic", ["p50_s", "p99_s", "mean_s", "max_s"])
def test_service_times_alone_break_a_limit_however_late_the_generator(statistic: str) -> None:
    """What takes longer from sending to the answer than limit and lateness together is the target's own doing."""
    late = fold(samples([1.5] * 100, late_s=0.2))
    found = reading(statistic, 1.0, *late)
    assert found.verdict == "broken"
    assert found.reason == "1.5 s from sending to the answer, and the generator was no more than 200 ms late"
    assert reading(statistic, 1.31, *late).verdict == "indeterminate"
    assert reading(statistic, 1.0, *fold(samples([1.5] * 100, late_s=0.6))).verdict == "indeterminate"


def test_requests_that_follow_others_are_judged_by_the_lateness_of_all() -> None:
    """What no schedule paces is held up by the same generator."""
    polls = fold(samples([0.01] * 100), paced=False)
    starts = fold(samples([0.01] * 100, "startBuild", "202", late_s=0.5))
    assert "was 500 ms late" in reading("p99_s", 1.0, *polls, *starts).reason


@pytest.mark.parametrize("slow", [0, 50])
def test_lost_worker_leaves_every_limit_open(slow: int) -> None:
    """Its samples are gone, so neither what is kept nor what is broken is known."""
    found = reading("p90_s", 1.0, *hundred(slow), workers=(worker(), worker(1, state="lost")))
    assert (found.verdict, found.reason) == ("indeterminate", "worker 1 was lost with its samples")


def test_run_that_was_cut_keeps_nothing_and_may_break() -> None:
    """What was kept until then is open, what was broken stays so, and a rate is not known."""
    cut: dict[str, Any] = {"scheduled": {"getBuild": 200}}
    kept = reading("p90_s", 1.0, *hundred(0), **cut)
    assert kept.verdict == "indeterminate"
    assert kept.reason == "kept so far, but the run ended before 100 arrivals of its schedule"
    assert reading("p90_s", 1.0, *hundred(50), **cut).verdict == "broken"
    assert reading("throughput_per_s", 9.0, *hundred(0), **cut).verdict == "indeterminate"


def test_requests_that_were_cut_off_keep_nothing_and_break_nothing() -> None:
    """What they would have been answered, and when, nobody knows; what is broken without them stays so."""
    cut = fold(samples([9.0] * 3, outcome=CUT_OFF))
    kept = reading("p90_s", 1.0, *hundred(0), *cut)
    assert (kept.verdict, kept.count) == ("indeterminate", 100)
    assert kept.reason == "kept so far, but 3 requests had no answer yet when the run was stopped"
    assert reading("error_share", 0.0, *hundred(0), *cut).value == 0
    assert reading("p90_s", 1.0, *hundred(50), *cut).verdict == "broken"


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (
            {"footer": Footer("", 0.0, 130, "interrupted by SIGINT", interrupted=True)},
            "the run was interrupted by SIGINT",
        ),
        ({"cases": (Case("load.storm.seconds", "", "error", 0.0),)}, "--max-seconds ended the run"),
        ({"warnings": (f"{ABORTED}: * p90_s is beyond 1",)}, "--abort-on-fail ended the run"),
        ({"workers": (worker(undone=4, spent_at_s=60.0),)}, "--max-requests ended the run"),
        ({}, "the run ended"),
    ],
)
def test_run_that_ended_before_its_clients_keeps_nothing_and_may_break(ended: dict[str, Any], words: str) -> None:
    """
    All of the schedule was sent, but who was to come back did not: whatever ended the run, nobody knows how they fared.
    """
    ended = {"workers": (worker(), worker(1, undone=4)), "options": {"max_requests": 200}, **ended}
    kept = reading("p90_s", 1.0, *hundred(0), **ended)
    assert kept.verdict == "indeterminate"
    assert kept.reason == f"kept so far, but {words} before all its clients were done"
    assert reading("p90_s", 1.0, *hundred(50), **ended).verdict == "broken"
    done = {**ended, "workers": (worker(), worker(1))}
    assert reading("p90_s", 1.0, *hundred(0), **done).verdict == "kept"


def test_operation_that_nobody_sends_does_not_apply() -> None:
    """Where none was scheduled or sent the limit is about nothing; where some were scheduled, samples are lacking."""
    found = reading("p90_s", 1.0, *hundred(0), operation="cancelBuild")
    assert (found.verdict, found.value) == ("not-applicable", None)
    refused = fold(samples([0.01] * 30, "startBuild", "429"))
    found = reading("p90_s", 1.0, *refused, operation="startBuild", scheduled={"startBuild": 30})
    assert (found.verdict, found.reason) == ("indeterminate", "no answer of startBuild tells a time")


# --- growth ----------------------------------------------------------------------------------------------------------


def course(first: dict[str, Any], last: dict[str, Any], per_s: int = 10) -> tuple[Window, ...]:
    """Reads, ten a second; what is told of them changes in the middle of the run."""
    ticks = [BEGAN_AT + n / per_s for n in range(60 * per_s)]
    told = [(at, first if at < BEGAN_AT + 30 else last) for at in ticks]
    return fold(
        Sample("getBuild", f.get("outcome", "200"), at, at, at + f.get("time_s", 0.02), f.get("body_bytes", 200))
        for at, f in told
    )


@pytest.mark.parametrize(
    ("statistic", "last"),
    [
        ("latency_drift_share", {"time_s": 0.05}),
        ("bytes_drift_share", {"body_bytes": 500}),
        ("error_drift_share", {"outcome": "500"}),
    ],
)
def test_growth_is_told_from_the_first_fifth_to_the_last(statistic: str, last: dict[str, Any]) -> None:
    """What is two and a half times as much at the end has grown by 150 %; of errors, the share itself counts."""
    grown = reading(statistic, 0.9, *course({}, last))
    assert grown.verdict == "broken"
    assert grown.value == pytest.approx(1.0 if statistic == "error_drift_share" else 1.5, abs=0.01)
    assert reading(statistic, 0.9, *course({}, {})).value == pytest.approx(0.0)
    less = reading(statistic, 0.0, *course(last, {}))
    assert (less.verdict, statistic == "error_drift_share" or (less.value or 0) < 0) == ("kept", True)


def test_hiccup_in_the_last_fifth_is_no_growth() -> None:
    """One piece of five that is slow, and times in the noise of the machine, are left out."""
    windows = list(course({}, {}))
    at = BEGAN_AT + 55
    windows += fold(Sample("getBuild", "200", at + n / 100, at + n / 100, at + 9.0) for n in range(50))
    assert reading("latency_drift_share", 0.1, *windows).verdict == "kept"
    assert reading("latency_drift_share", 0.1, *course({"time_s": 0.001}, {"time_s": 0.009})).verdict == "kept"


def test_another_mix_is_no_growth() -> None:
    """Operations are compared each with itself, and the one that has grown most is named."""
    slow = fold(Sample("startBuild", "202", at, at, at + 1) for at in (BEGAN_AT + 31 + n / 10 for n in range(290)))
    assert reading("latency_drift_share", 0.1, *course({}, {}), *slow, operation="*").verdict == "kept"
    found = reading("latency_drift_share", 0.1, *course({}, {"time_s": 0.06}), *slow, operation="*")
    assert re.fullmatch(r"getBuild most: 2\d(\.\d)? ms first, 6\d(\.\d)? ms last", found.reason)


def test_short_run_tells_no_growth() -> None:
    """With too little to compare the reading says so."""
    found = reading("latency_drift_share", 0.1, *hundred(0, of=20))
    assert found.verdict == "indeterminate"
    assert "run longer" in found.reason


def test_memory_is_told_by_the_embedded_target_alone() -> None:
    """The memory of any other server cannot be seen, and that of the generator is none of its business."""
    told = [worker(TARGET, at_s=BEGAN_AT + n, rss_bytes=100_000_000 * (1 if n < 30 else 2)) for n in range(0, 60, 3)]
    found = reading("memory_drift_share", 0.5, *hundred(0), operation="*", workers=(worker(), *told))
    assert (found.verdict, found.value) == ("broken", 1.0)
    grown = [worker(0, at_s=BEGAN_AT + n, rss_bytes=1_000_000 * (n + 1)) for n in range(60)]
    assert reading("memory_drift_share", 0.5, *hundred(0), operation="*", workers=grown).verdict == "not-applicable"


# --- what is said of claims ------------------------------------------------------------------------------------------


def verdicts(log: RunLog) -> dict[str, str]:
    """The verdict on each claim of a threshold."""
    ruling = judge_thresholds(measured(log), log, LEDGER)
    known = tuple(LedgerClaim(c.id, c.level, c.says, c.source, c.subject) for c in LEDGER.judged("load"))
    tallies = tuple(
        Tally("load", j.check, j.claim, int(j.outcome == "held"), int(j.outcome != "held"), j.actual)
        for j in ruling.judgements
    )
    whole = dataclasses.replace(
        log,
        header=header(claims=known),
        tallies=tallies,
        occurrences=tuple(Occurrence(finding, "load") for finding in ruling.findings),
        notices=ruling.notices,
        cases=(Case("load", "", "passed", 1.0),),
    )
    return {item.claim.id: item.verdict for item in judge(whole).claims if item.verdict != "could-not-run"}


def test_claim_holds_only_where_each_of_its_limits_is_kept() -> None:
    """One that is broken breaks it; one that is open leaves it open, however many are kept."""
    few = fold(samples([0.01] * 9, "startBuild", "202"))
    limits = [Limit(operation, "p90_s", 1.0) for operation in ("getBuild", "startBuild")]
    plan: dict[str, Any] = {"scheduled": {"getBuild": 100, "startBuild": 9}}
    assert verdicts(run(limits[:1], *hundred(0))) == {"load.p90": "upheld"}
    assert verdicts(run(limits, *hundred(0), *few, **plan)) == {"load.p90": "indeterminate"}
    assert verdicts(run(limits, *hundred(50), *few, **plan)) == {"load.p90": "broken"}
    assert verdicts(run([Limit("cancelBuild", "p90_s", 1.0)], *hundred(0))) == {"load.p90": "not-applicable"}


def test_every_statistic_decides_a_claim_of_the_ledger() -> None:
    """A breach of any limit can become a finding."""
    assert {s.claim for s in STATISTICS.values()} <= {claim.id for claim in LEDGER.judged("load")}
    assert len({s.claim for s in STATISTICS.values()}) == len(STATISTICS)


def test_breach_is_a_finding_without_an_exchange() -> None:
    """It says what was measured of how many, and the command that measures it again."""
    log = run([Limit("getBuild", "p99_s", 0.5)], *hundred(5))
    (finding,) = judge_thresholds(measured(log), log, LEDGER).findings
    assert (finding.claim, finding.level, finding.evidence) == ("load.p99", "must", ())
    assert finding.expected == "getBuild p99_s at most 0.5" == limit_text(Limit("getBuild", "p99_s", 0.5))
    assert finding.actual.endswith(" s")
    assert finding.where == "getBuild over 60 s, 100 samples"
    assert finding.curl == "touchstone load steady --seed 20"
    (of_all,) = judge_thresholds(
        measured(run([Limit("*", "error_share", 0.0)], *fold(samples([1], outcome="500")))), log, LEDGER
    ).findings
    assert of_all.sentence() == (
        "request MUST load.errors: all operations over 60 s, 1 sample → "
        "expected all operations error_share at most 0; actual 100 %"
    )


@pytest.mark.parametrize(
    ("limit", "value", "says_limit", "says_value"),
    [
        (Limit("*", "throughput_per_s", 30_000.0), 28_181.3, "at least 30,000", "28,181 a second"),
        (Limit("*", "throughput_per_s", 2_000_000.0), 39.97, "at least 2,000,000", "39.97 a second"),
        (Limit("*", "p99_s", 0.5), 0.71, "at most 0.5", "710 ms"),
        (Limit("*", "p99_s", 0.00005), 0.0000612, "at most 0.00005", "61.2 µs"),
        (Limit("*", "error_share", 0.001), 0.0004, "at most 0.001", "0.04 %"),
        (Limit("*", "bytes_drift_share", 0.1), 123.4, "at most 0.1", "12,340 %"),
        (Limit("*", "max_s", 1.0), None, "at most 1", "unknown"),
    ],
)
def test_number_is_told_without_an_exponent(
    limit: Limit, value: float | None, says_limit: str, says_value: str
) -> None:
    """In a finding, what was measured as well as what was allowed."""
    assert limit_text(limit).endswith(f" {says_limit}")
    assert value_text(Reading(limit, value, 100, "kept")) == says_value


def test_every_report_copes_with_a_finding_without_an_exchange() -> None:
    """On the terminal, as a page, as JSON and as JUnit."""
    log = run([Limit("getBuild", "p99_s", 0.5)], *hundred(5))
    (finding,) = judge_thresholds(measured(log), log, LEDGER).findings
    seen = view(dataclasses.replace(log, occurrences=(Occurrence(finding, "load.steady"),)))
    console = Console(file=io.StringIO(), width=120)
    write_text(seen, console)
    told = (console.file.getvalue(), html.render(seen), json_report.render(seen), junit.render(seen))  # type: ignore[attr-defined]
    assert [finding.expected in text for text in told] == [True] * 4
