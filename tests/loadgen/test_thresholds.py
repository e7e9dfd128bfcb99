"""Thresholds: what is measured, when a limit is kept, broken or open, what that says of claims, and their file."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from tests.loadlogs import BEGAN_AT, fold, log_of, unsent, worker, workload
from touchstone.contract import claims
from touchstone.errors import UsageError
from touchstone.facts.events import Case, Footer, Limit, RunLog
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, Sample, Window
from touchstone.loadgen.metrics import TARGET
from touchstone.loadgen.thresholds import Reading, judge_thresholds, measured, read_thresholds

LEDGER = claims.load()
OPEN = "indeterminate"
Windows = tuple[Window, ...]


def alike(
    number: int, time_s: float = 0.01, operation: str = "getBuild", outcome: str = "200", **late: float
) -> Windows:
    return of([time_s] * number, operation, outcome, **late)


def of(times_s: list[float], operation: str = "getBuild", outcome: str = "200", late_s: float = 0.0) -> Windows:
    """One request each, spread over the run; *late_s* is a part of the time."""
    at = [BEGAN_AT + n * 60.0 / len(times_s) for n in range(len(times_s))]
    times = zip(at, times_s, strict=True)
    return fold(Sample(operation, outcome, t, t + late_s, t + late_s + time_s) for t, time_s in times)


def hundred(slow: int = 0, number: int = 100) -> Windows:
    return of([0.01] * (number - slow) + [2.0] * slow)


def run(limits: Iterable[Limit], *windows: Window, **facts: Any) -> RunLog:
    """A run that went through its schedule; *facts* of the workload or of the log."""
    sent = sum(window.count for window in windows if window.paced)
    plan = {field: facts.pop(field) for field in ("scheduled", "model", "duration_s", "options") if field in facts}
    planned = workload(**({"scheduled": {"getBuild": sent}, "limits": tuple(limits)} | plan))
    return log_of(planned, windows=windows, **({"workers": (worker(),)} | facts))


def reading(statistic: str, value: float, *windows: Window, operation: str = "getBuild", **facts: Any) -> Reading:
    (found,) = measured(run([Limit(operation, statistic, value)], *windows, **facts))
    return found


def verdict(statistic: str, value: float, *windows: Window, **facts: Any) -> str:
    return reading(statistic, value, *windows, **facts).verdict


FAST, FOLLOWED, UNANSWERED = hundred(), "streamBuildEvents", alike(20, 0.0001, outcome=NO_ANSWER)
MANY, MORE = (*FAST, unsent(5, "getBuild", 20)), (*hundred(2), unsent(5, "getBuild", 20))
LOGS, BROKEN_OFF = (*alike(20), *alike(20, 9.0, FOLLOWED)), (*FAST, *alike(50, 1.0, FOLLOWED, NO_ANSWER))
ALL, OF_LOGS = {"operation": "*"}, {"operation": FOLLOWED}
# A run whose 100 requests were used up before the last 20 arrivals.
SPENT: dict[str, Any] = {
    "options": {"max_requests": 100},
    "workers": (worker(sent=100, unsent=20, assigned=120, over_budget=20, spent_at_s=60.0),),
}
CLOSED: dict[str, Any] = {"model": "closed", "scheduled": {}}
STARTS: dict[str, Any] = {"operation": "startBuild", "scheduled": {"startBuild": 30}}
LATE = (*alike(50), *of([0.01] * 60, late_s=0.2))
POLLS = tuple(replace(window, paced=False) for window in FAST)

READINGS: list[tuple[Windows, str, float, dict[str, Any], tuple[Any, ...]]] = [
    # As many answers may be slow as lie beyond a percentile, and no more.
    *(
        (hundred(slow + more), name, 1.0, {}, ("broken" if more else "kept", ANY, 100))
        for name, slow in (("p50_s", 50), ("p99_s", 1), ("max_s", 0), ("mean_s", 49))
        for more in (0, 1)
    ),
    # One sample has to lie beyond it.
    *(
        (hundred(0, count), name, 1.0, {}, ("kept" if count >= needed else OPEN, ANY, count))
        for name, needed in (("p50_s", 2), ("p95_s", 20), ("p999_s", 1000))
        for count in (needed - 1, needed)
    ),
    # A limit that is just met is kept.
    (alike(1, 0.25), "max_s", 0.25, {}, ("kept",)),
    (alike(30, 0.25), "throughput_per_s", 0.5, {}, ("kept",)),
    (alike(30, 0.25), "throughput_per_s", 0.51, {}, ("broken",)),
    # Times are of answers that are foreseen, and errors are what no working client expects.
    *(
        row
        for outcome, counts, is_error in (
            *(("200", True, False), ("404", True, False), ("429", False, False)),
            *(("500", False, True), ("401", False, True), (NO_ANSWER, True, True)),
        )
        for windows in [(*alike(4, 0.5), *alike(4, 3.0, outcome=outcome))]
        for row in (
            (windows, "max_s", 1.0, {}, ("broken" if counts else "kept", ANY, 8 if counts else 4)),
            (windows, "error_share", 0.4, {}, ("broken", 0.5, 8) if is_error else ("kept", 0.0, 8)),
        )
    ),
    # How long a log is followed is no time of all operations.
    (LOGS, "max_s", 1.0, ALL, ("kept", ANY, 20)),
    (LOGS, "max_s", 1.0, OF_LOGS, ("broken", ANY, 20)),
    (BROKEN_OFF, "p99_s", 1.0, ALL, ("kept",)),
    (BROKEN_OFF, "p90_s", 1.0, OF_LOGS, ("broken",)),
    # What could not be sent, and what got no answer, takes for ever.
    ((*FAST, unsent(5, "getBuild", 1)), "p90_s", 1.0, {}, ("kept", ANY, 100)),
    ((*FAST, unsent(5, "getBuild", 1)), "max_s", 1.0, {}, (OPEN, None, 100)),
    (MANY, "p90_s", 1.0, {}, (OPEN, None, 100)),
    (MANY, "unsent_share", 0.1, {}, ("broken", pytest.approx(1 / 6), 120)),
    ((*FAST, *UNANSWERED), "p50_s", 1.0, {}, ("kept", pytest.approx(0.01, rel=0.001), 120)),
    *(((*FAST, *UNANSWERED), name, 1.0, {}, ("broken", None, 120)) for name in ("p90_s", "p99_s", "max_s", "mean_s")),
    # What --max-requests kept from being sent is open where it would decide.
    *((MANY, "unsent_share", limit, SPENT, (end,)) for limit, end in ((0.1, OPEN), (0.5, "kept"))),
    (MANY, "throughput_per_s", 9.0, SPENT, (OPEN,)),
    *((MORE, "p95_s", limit, SPENT, (end,)) for limit, end in ((1.0, OPEN), (0.001, "broken"))),
    (MORE, "p50_s", 1.0, SPENT, ("kept", pytest.approx(0.01, rel=0.001), 100)),
    *((MORE, "max_s", limit, SPENT, (end, pytest.approx(2.0), 100)) for limit, end in ((3.0, OPEN), (1.0, "broken"))),
    ((*hundred(2), unsent(5, "getBuild", 21)), "p95_s", 1.0, SPENT, (OPEN, None)),  # one of them was allowed
    # Nothing is due in a closed model, nor of an operation that is not sent.
    *((POLLS, name, 0.1, CLOSED, ("not-applicable", None)) for name in ("late_share", "unsent_share")),
    (POLLS, "p99_s", 0.1, CLOSED, ("kept",)),
    (FAST, "p90_s", 1.0, {"operation": "cancelBuild"}, ("not-applicable", None, 0)),
    ((), "p90_s", 1.0, STARTS, (OPEN, None, 0)),
    # A generator that is late judges no time within its reach.
    (LATE, "p50_s", 1.0, {}, (OPEN, ANY, 110)),
    (LATE, "p50_s", 2.1, {}, ("kept",)),
    (LATE, "late_share", 0.5, {}, ("broken", pytest.approx(60 / 110), 110)),
    *(
        (alike(100, 1.5, late_s=late_s), name, limit, {}, (end,))
        for name in ("p50_s", "mean_s", "max_s")
        for late_s, limit, end in ((0.2, 1.0, "broken"), (0.2, 1.31, OPEN), (0.6, 1.0, OPEN))
    ),
]


@pytest.mark.parametrize(("windows", "statistic", "limit", "facts", "expected"), READINGS)
def test_limit_has_a_value_and_a_verdict(
    windows: Windows, statistic: str, limit: float, facts: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    found = reading(statistic, limit, *windows, **facts)
    assert (found.verdict, found.value, found.count)[: len(expected)] == expected
    assert found.verdict in ("kept", "broken") or found.reason


CUT = alike(3, 9.0, outcome=CUT_OFF)
UNDONE: dict[str, Any] = {"workers": (worker(), worker(1, undone=4))}


@pytest.mark.parametrize(
    ("windows", "facts", "quoted"),
    [
        ((), {"workers": (worker(), worker(1, state="lost"))}, "worker 1"),
        ((), {"scheduled": {"getBuild": 200}}, "100 arrivals"),
        (CUT, {}, "3 requests"),
        ((), UNDONE | {"footer": Footer("", 0.0, 130, "interrupted by SIGINT", interrupted=True)}, "SIGINT"),
        ((), UNDONE | {"cases": (Case("load.storm.seconds", "", "error", 0.0),)}, "--max-seconds"),
        ((), {"workers": (worker(undone=4, spent_at_s=60.0),), "options": {"max_requests": 200}}, "--max-requests"),
    ],
    ids=["lost", "cut", "cut-off", "interrupted", "out-of-time", "out-of-requests"],
)
def test_run_that_ended_early_keeps_nothing_and_may_break(windows: Windows, facts: dict[str, Any], quoted: str) -> None:
    kept = reading("p90_s", 1.0, *hundred(), *windows, **facts)
    assert (kept.verdict, kept.count, quoted in kept.reason) == (OPEN, 100, True)
    broken = verdict("p90_s", 1.0, *hundred(50), *windows, **facts)
    assert broken == (OPEN if "lost" in str(facts) else "broken")  # its samples are gone, whatever they were
    assert verdict("throughput_per_s", 0.1, *hundred(), *windows, **facts) == OPEN
    assert verdict("p90_s", 1.0, *hundred()) == "kept"


PER_S, LENGTH_S = 100, 4


def serve(after_s: list[float], late_s: float = 0.0) -> Windows:
    """A hundred requests a second for four seconds, each answered so long after it was due; reported as answered."""
    reports: dict[int, list[Sample]] = {}
    for n, wait_s in enumerate(after_s):
        at = BEGAN_AT + n / PER_S
        reports.setdefault(int(2 * (at + wait_s)), []).append(Sample("getBuild", "200", at, at + late_s, at + wait_s))
    return tuple(window for half_second in reports.values() for window in fold(half_second))


def throughput(value: float, *windows: Window) -> tuple[Any, Any]:
    plan = {"scheduled": {"getBuild": PER_S * LENGTH_S}, "duration_s": float(LENGTH_S)}
    found = reading("throughput_per_s", value, *windows, operation="*", **plan)
    return found.verdict, found.value


def test_target_that_answers_after_the_schedule_is_no_faster_than_it_is() -> None:
    # Such a target serves 72 a second of the hundred that come.
    slower = [0.002 + n / 72 - n / PER_S for n in range(PER_S * LENGTH_S)]
    assert throughput(74.0, *serve(slower)) == ("broken", pytest.approx(72, rel=0.01))
    late = serve(slower, late_s=1.2)
    assert [throughput(value, *late)[0] for value in (70.0, 90.0, 101.0)] == ["kept", OPEN, "broken"]
    few = (*serve([0.001] * 300), unsent(int(BEGAN_AT) + 3, "getBuild", 100))
    assert throughput(90.0, *few) == (OPEN, 75.0)
    # One answer that comes much later costs no more than itself.
    assert throughput(99.75, *serve([0.001] * 399 + [8.0])) == ("kept", 99.75)


def halves(first: dict[str, Any], last: dict[str, Any]) -> Windows:
    """Ten reads a second, which change in the middle of the run."""
    plain: dict[str, Any] = {"outcome": "200", "time_s": 0.02, "body_bytes": 200}
    each = ((BEGAN_AT + n / 10, plain | (first if n < 300 else last)) for n in range(600))
    return fold(Sample("getBuild", f["outcome"], at, at, at + f["time_s"], f["body_bytes"]) for at, f in each)


@pytest.mark.parametrize(
    ("statistic", "last", "growth"),
    [
        ("latency_drift_share", {"time_s": 0.05}, 1.5),
        ("bytes_drift_share", {"body_bytes": 500}, 1.5),
        ("error_drift_share", {"outcome": "500"}, 1.0),  # of errors, the share itself
    ],
)
def test_growth_is_that_from_the_first_fifth_to_the_last(statistic: str, last: dict[str, Any], growth: float) -> None:
    found = reading(statistic, 0.9, *halves({}, last))
    assert (found.verdict, found.value, found.count) == ("broken", pytest.approx(growth, abs=0.01), 240)
    assert reading(statistic, 0.9, *halves({}, {})).value == pytest.approx(0.0)
    assert verdict(statistic, 0.0, *halves(last, {})) == "kept"
    assert verdict(statistic, 0.1, *hundred(0, 20)) == OPEN  # too little to compare


def test_noise_is_no_growth() -> None:
    at = BEGAN_AT + 55
    hiccup = fold(Sample("getBuild", "200", at + n / 100, at + n / 100, at + 9.0) for n in range(50))
    assert verdict("latency_drift_share", 0.1, *halves({}, {}), *hiccup) == "kept"
    assert verdict("latency_drift_share", 0.1, *halves({"time_s": 0.001}, {"time_s": 0.009})) == "kept"
    assert verdict("bytes_drift_share", 0.1, *halves({"body_bytes": 9}, {"body_bytes": 99})) == "kept"


def test_memory_is_that_of_the_embedded_target() -> None:
    target = [worker(TARGET, at_s=BEGAN_AT + n, rss_bytes=100_000_000 * (1 if n < 30 else 2)) for n in range(0, 60, 3)]
    found = reading("memory_drift_share", 0.5, *hundred(), operation="*", workers=(worker(), *target))
    assert (found.verdict, found.value) == ("broken", 1.0)
    assert verdict("memory_drift_share", 0.5, *hundred(), operation="*", workers=(worker(), *target[:3])) == OPEN
    grown = [worker(0, at_s=BEGAN_AT + n, rss_bytes=1_000_000 * (n + 1)) for n in range(60)]
    assert verdict("memory_drift_share", 0.5, *hundred(), operation="*", workers=grown) == "not-applicable"


def outcomes(log: RunLog) -> set[str]:
    """What the limits of a run say of the one claim that they are about."""
    ruling = judge_thresholds(measured(log), log, LEDGER)
    assert {each.claim for each in (*ruling.judgements, *ruling.findings, *ruling.notices)} == {"load.p90"}
    found: set[str] = {judgement.outcome for judgement in ruling.judgements} | {n.verdict for n in ruling.notices}
    return found | {"broken" for _ in ruling.findings}


def test_claim_holds_only_where_each_of_its_limits_is_kept() -> None:
    few = alike(9, operation="startBuild", outcome="202")
    limits = [Limit(operation, "p90_s", 1.0) for operation in ("getBuild", "startBuild")]
    plan: dict[str, Any] = {"scheduled": {"getBuild": 100, "startBuild": 9}}
    assert outcomes(run(limits[:1], *FAST)) == {"held"}
    assert outcomes(run(limits, *FAST, *few, **plan)) == {OPEN}
    assert outcomes(run(limits, *hundred(50), *few, **plan)) == {"broken", OPEN}
    assert outcomes(run([Limit("cancelBuild", "p90_s", 1.0)], *FAST)) == {"not-applicable"}


def test_breach_is_a_finding_without_an_exchange() -> None:
    log = run([Limit("getBuild", "p99_s", 0.5)], *hundred(5))
    (finding,) = judge_thresholds(measured(log), log, LEDGER).findings
    assert (finding.claim, finding.level, finding.operation, finding.evidence) == ("load.p99", "must", "getBuild", ())
    assert (finding.expected, finding.actual) == ("getBuild p99_s at most 0.5", "2 s")
    assert finding.curl == "touchstone load steady --seed 20"


def file_of(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="latin-1")
    return path


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[stedy.getBuild]\np99_s = 1", "[stedy]: .*steady"),
        ("[steady.getBild]\np99_s = 1", "[steady.getBild]: .*getBuild"),
        ("[soak.getBuild]\nmemory_drift_share = 0.1", "[soak.getBuild] memory_drift_share: "),
        *(
            (f"[steady.getBuild]\n{name} = {value}", f"[steady.getBuild] {name}: found ")
            for name, values in (
                ("p99_s", ("0", "nan", "'1'", "true", "1e301")),
                *(("error_share", ("1.5", "-0.1")), ("latency_drift_share", ("2",))),
            )
            for value in values
        ),
        ("steady = 1", "[steady]: found 1;"),
        ("[steady]\ngetBuild = 1", "[steady.getBuild]: found 1;"),
        ("[steady", ""),
        (None, ""),
    ],
)
def test_file_that_cannot_be_meant_is_an_error(tmp_path: Path, text: str | None, place: str) -> None:
    path = tmp_path / "gone.toml" if text is None else file_of(tmp_path, text)
    place = place.replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(UsageError, match=f"^{path}: {place}"):
        read_thresholds(path)
