"""Why a load run, or a claim of it, was not judged: what ended the run, silences, and what it had no occasion for."""

from dataclasses import replace
from typing import Any

import pytest

from tests.loadlogs import BEGAN_AT, Storm, fold, header, log_of, worker, workload
from tests.rules.exchanges import exchange
from touchstone.check.budget import SILENT_S
from touchstone.facts.events import Case, Footer, RunLog, Tally
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Sample, Window
from touchstone.loadgen.not_judged import ABORTED, CLOSING_CLAIM, again, ending, fallen, pauses, unprobed, unwatched

INTERRUPTED = Footer("", 0.0, 130, "interrupted by SIGTERM", interrupted=True)
OUT_OF_TIME = Case("load.storm.seconds", "", "error", 0.0)
SIGNAL, SECONDS, REQUESTS = "SIGTERM", "--max-seconds", "--max-requests"
SILENT = fold(Sample("getBuild", NO_ANSWER, BEGAN_AT + n, BEGAN_AT + n, BEGAN_AT + n + 1) for n in range(4))


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        ((), "touchstone load --seed 20"),
        (("/src/touchstone/__main__.py", "load", "my load"), "touchstone load 'my load' --seed 20"),
        (("load", "storm", "--seed=7"), "touchstone load storm --seed=7"),
    ],
)
def test_run_can_be_repeated_by_its_command(argv: tuple[str, ...], command: str) -> None:
    assert again(header(argv=argv)) == command


@pytest.mark.parametrize(
    ("facts", "cause", "has_advice"),
    [
        ({"footer": INTERRUPTED}, SIGNAL, False),
        ({"cases": (OUT_OF_TIME,)}, SECONDS, True),
        ({"warnings": (f"{ABORTED}: * p90_s is beyond 1",)}, "--abort-on-fail", True),
        ({"workers": (worker(spent_at_s=9.0),)}, REQUESTS, True),
        ({"workers": (worker(over_budget=2),)}, REQUESTS, True),
        ({"windows": SILENT}, "the target", False),
        ({"footer": INTERRUPTED, "windows": SILENT, "cases": (OUT_OF_TIME,)}, SIGNAL, False),
        ({}, "", False),
        ({"workers": (worker(state="running", at_s=1.0, over_budget=2), worker())}, "", False),
        ({"cases": (replace(OUT_OF_TIME, outcome="passed"), Case("load.storm", "", "error", 0.0))}, "", False),
    ],
)
def test_what_ended_a_run_is_its_cause(facts: dict[str, Any], cause: str, has_advice: bool) -> None:
    found = ending(log_of(workload(), **facts))
    assert bool(found) == bool(cause)
    assert found is None or (cause in found.cause and bool(found.advice) is has_advice)
    assert found is None or found.whole == found.cause + (f"; {found.advice}" if has_advice else "")


def reads(*ends: tuple[float, str] | tuple[float, str, float]) -> tuple[Window, ...]:
    """One read each: due at this second of the schedule, its outcome, and the second in which it was done."""
    times = [(BEGAN_AT + at, outcome, BEGAN_AT + (done[0] if done else at + 0.01)) for at, outcome, *done in ends]
    return fold(Sample("getBuild", outcome, at, at, done_at) for at, outcome, done_at in times)


UNANSWERED = [(2, NO_ANSWER)] * 4


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([(0, "200"), (1, NO_ANSWER), (2, NO_ANSWER), (5, NO_ANSWER)], (1, 3, 0, 3)),
        ([(0, NO_ANSWER), (0, NO_ANSWER), (7, NO_ANSWER)], (0, 3, 0, 3)),
        ([(0, "200"), (0, NO_ANSWER), (1, "200"), (1, NO_ANSWER), *UNANSWERED], (2, 4, 0, 6)),
        ([(0, "200"), (1, NO_ANSWER), (2, NO_ANSWER)], None),
        ([(0, "200"), (1, NO_ANSWER), (2, NO_ANSWER), (5, NO_ANSWER), (6, "429")], None),
        # Those that hung until the run was stopped; where all are young, the target may only be slow.
        ([(0, "200"), (14, CUT_OFF, 20), (15, CUT_OFF, 20), (16, CUT_OFF, 20)], (14, 3, 3, 3)),
        ([(0, "200"), (18, CUT_OFF, 20), (18.5, CUT_OFF, 20), (19, CUT_OFF, 20)], (18, 3, 3, 3)),
        ([(0, "200"), (18.1, CUT_OFF, 20), (18.5, CUT_OFF, 20), (19, CUT_OFF, 20)], None),
        ([(0, "200"), *UNANSWERED[:3], (19, CUT_OFF, 20), (19, CUT_OFF, 20)], (2, 5, 2, 5)),
    ],
)
def test_silence_up_to_the_end_is_counted(ends: list[Any], expected: tuple[int, ...] | None) -> None:
    found = fallen(reads(*ends))
    counts = found and (found.from_s - BEGAN_AT, found.unanswered, found.cut_off, found.in_all)
    assert counts == expected


EARLY, HUNG = (0.0, "200", 0.0), tuple((float(at), "200", 30.5) for at in range(2, 30))


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((EARLY, *HUNG), [(3, 30, 28)]),
        ((EARLY, *HUNG[:2]), []),
        ((EARLY, *HUNG, (12.5, "429", 12.6), (22.5, "500", 22.6)), []),
        ((EARLY, (2.0, "200", 30.5), (3.0, NO_ANSWER, 3.1), (4.0, CUT_OFF, 20.0)), [(3, 30, 3)]),
        ((EARLY, *HUNG[:2], (4.0, UNSENT, 4.0)), []),
        ((EARLY, *HUNG, *((float(at), "200", 60.5) for at in range(35, 60))), [(3, 30, 28), (36, 60, 25)]),
        ((EARLY, *((float(at), NO_ANSWER, 30.0) for at in range(2, 30))), []),  # that is how it ended
        ((EARLY, *((2.0, "200", SILENT_S + 2.9),) * 3), []),
        ((EARLY, *((2.0, "200", SILENT_S + 3.1),) * 3), [(3, 3 + SILENT_S, 3)]),
    ],
)
def test_pause_is_found_where_somebody_waited_and_was_answered_later(ends: Any, expected: list[Any]) -> None:
    found = pauses(reads(*ends))
    assert [(pause.from_s - BEGAN_AT, pause.to_s - BEGAN_AT, pause.waiting) for pause in found] == expected


def test_log_that_is_followed_makes_no_pause() -> None:
    long = [Sample("streamBuildEvents", "200", BEGAN_AT + 1, BEGAN_AT + 1, BEGAN_AT + 40)] * 5
    assert not pauses((*reads(EARLY, (41.0, "200", 41.1)), *fold(long)))


def storm_closing(*statuses: int) -> RunLog:
    """A storm whose closing client, which meets the limit on purpose, was answered so."""
    note = {"limit": {"round": 2, "phase": "burst"}}
    starts = (exchange("startBuild", status, seq=n, note=note) for n, status in enumerate(statuses))
    return replace(Storm(starts=12, capacity=3).run(), exchanges=tuple(starts))


SPENT = (worker(spent_at_s=9.0),)


@pytest.mark.parametrize(
    ("log", "verdict", "parts"),
    [
        (storm_closing(), "indeterminate", []),
        (replace(storm_closing(), windows=()), "indeterminate", []),
        (storm_closing(202, 202), "not-applicable", ["2 starts"]),
        (storm_closing(202, 503), "indeterminate", ["503"]),
        (storm_closing(202, 0), "indeterminate", ["ReadTimeout"]),
        (storm_closing(429, 202), "indeterminate", ["patience_s"]),
        (replace(storm_closing(), workers=SPENT), "indeterminate", [REQUESTS]),
        (replace(storm_closing(202), workers=SPENT), "indeterminate", ["1 start ", REQUESTS]),
    ],
)
def test_storm_says_why_nothing_is_known_of_reads(log: RunLog, verdict: str, parts: list[str]) -> None:
    (notice,) = unprobed(log)
    assert unprobed(replace(log, tallies=(Tally("load", "rule", CLOSING_CLAIM, held=1),))) == []
    assert unprobed(replace(log, workload=workload("steady"))) == []
    assert (notice.claim, notice.verdict) == (CLOSING_CLAIM, verdict)
    assert all(part in notice.reason for part in parts)


def test_watchers_without_a_build_leave_claims_open() -> None:
    planned = workload("watchers", scheduled={"startBuild": 2, "streamBuildEvents": 12})
    workers = (worker(1, state="running", at_s=4.0, unwatched=1), worker(0, unwatched=6), worker(1, unwatched=5))
    tallies = tuple(Tally("load", "rule", f"events.{name}", held=1) for name in ("answers-200", "carry-the-output"))
    why, notices = unwatched(log_of(planned, workers=workers, tallies=tallies))
    assert [(notice.claim, notice.verdict) for notice in notices] == [("events.watchers-agree", "indeterminate")]
    assert "11 of 12 " in why
