"""What ended a load run before its time, and what a run says of what it does not show for that."""

from typing import Any

import pytest

from tests.loadlogs import BEGAN_AT, fold, worker
from tests.loadlogs import log_of as load_log
from tests.loadlogs import workload as load_of
from tests.ruled import attempt, log_of, ruled
from touchstone.facts.events import Attempt, Case, Footer, RunLog
from touchstone.facts.sample import NO_ANSWER, Sample
from touchstone.loadgen.not_judged import ABORTED, Ending, ending

INTERRUPTED = Footer("", 0.0, 130, "interrupted by SIGTERM", interrupted=True)
OUT_OF_TIME = Case("load.storm.seconds", "", "error", 0.0, (), "stopped by --max-seconds 6: what was not over by then")
SILENT = fold(Sample("getBuild", NO_ANSWER, BEGAN_AT + n, BEGAN_AT + n, BEGAN_AT + n + 1) for n in range(4))
BACK_OFF, HONEST, NOTHING = (
    *("limit.ends-after-back-off", "limit.retry-after-is-honest", "limit.refused-start-starts-nothing"),
)


@pytest.mark.parametrize(
    ("facts", "words", "advice"),
    [
        ({"footer": INTERRUPTED}, "the run was interrupted by SIGTERM", ""),
        ({"cases": (OUT_OF_TIME,)}, "--max-seconds ended the run", "raise it"),
        ({"warnings": (f"{ABORTED}: * p90_s is beyond 1",)}, "--abort-on-fail ended the run", "leave it out"),
        ({"workers": (worker(spent_at_s=9.0),)}, "--max-requests ended the run", "raise it"),
        ({"workers": (worker(over_budget=2),)}, "--max-requests ended the run", "raise it"),
        ({"windows": SILENT}, "the target answered nobody any more", ""),
        ({"footer": INTERRUPTED, "windows": SILENT, "cases": (OUT_OF_TIME,)}, "the run was interrupted by SIGTERM", ""),
    ],
)
def test_what_ended_a_run_is_told_with_what_would_not(facts: dict[str, Any], words: str, advice: str) -> None:
    """A signal, a bound of the caller, a broken threshold or a target that fell silent; a signal comes first."""
    assert ending(load_log(load_of(), **facts)) == Ending(words, advice)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"workers": (worker(state="running", spent_at_s=None), worker())},
        {"footer": Footer("", 0.0, 3, "Locust ended with 1")},
        {"cases": (Case("load.storm.seconds", "", "passed", 0.0),)},
    ],
)
def test_run_that_came_to_its_end_was_ended_by_nothing(facts: dict[str, Any]) -> None:
    """A run that did all that it was to do has no ending to tell of."""
    assert ending(load_log(load_of(), **facts)) is None


def reason(log: RunLog, claim: str) -> str:
    """Why a claim is not applicable."""
    (notice,) = [notice for notice in ruled(log).notices if notice.claim == claim]
    return notice.reason


def run_of(scenario: str, *tries: Attempt, **facts: Any) -> RunLog:
    """A run of one scenario with these starts."""
    return log_of(workload=load_of(scenario), attempts=tries, **facts)


def test_other_scenarios_name_the_one_that_shows_it() -> None:
    """A run of steady sends its reader to storm, and storm nobody to itself."""
    for claim in (BACK_OFF, HONEST, NOTHING):
        assert "`touchstone load storm`" in reason(run_of("steady"), claim)
        assert "`touchstone load" not in reason(run_of("storm"), claim)
    assert "`touchstone load fairness`" in reason(run_of("storm"), "limit.is-per-key")
    assert reason(run_of("fairness"), "limit.is-per-key") == "no key started alone and then beside another one"


def test_storm_without_a_refusal_says_so() -> None:
    """Where nothing was refused, more builds meet a limit; where the run was ended before, that is told."""
    served = attempt(1, 202)
    stopped = run_of("storm", served, footer=INTERRUPTED)
    cut = run_of("storm", served, cases=(OUT_OF_TIME,))

    assert reason(run_of("storm", served), BACK_OFF).endswith("; no start was refused; raise --builds to meet a limit")
    assert reason(stopped, BACK_OFF).endswith("; no start was refused before the run was interrupted by SIGTERM")
    assert reason(cut, BACK_OFF).endswith("; no start was refused before --max-seconds ended the run; raise it")


def test_limit_that_answers_another_status_is_not_denied() -> None:
    """Starts that were answered 503, or not at all, may have been refused by a limit: nobody knows."""
    tries = (attempt(1, 202), *(attempt(1, 503, want=n, seq=n) for n in range(2, 5)), attempt(1, 0, want=9, seq=9))

    assert reason(run_of("storm", *tries), BACK_OFF).endswith(
        "; no start was answered 429, but 4 with an error or not at all: nobody knows what refused them"
    )


def test_refusals_that_nobody_came_back_from_say_why() -> None:
    """Without a Retry-After there is nothing to be honest about; one beyond all patience was not waited out."""
    silent = [attempt(number, 429, float(number), seq=number) for number in (1, 2)]
    told = [attempt(1, 429, 1.0, want=n, seq=n, retry_after_s=99.0, gave_up=True) for n in (1, 2)]

    assert reason(run_of("storm", *silent), HONEST).endswith("; 2 refusals came without a Retry-After that can be read")
    assert reason(run_of("storm", *told), HONEST).endswith(
        "; 2 clients gave up, as patience_s of the target allows no longer wait; raise it"
    )
