"""
The judgement of a load run that is over: what was kept, the run as a whole, its thresholds, and how the run then ends.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.loadlogs import BEGAN_AT, Storm, fold, log_of, worker, workload
from tests.ruled import attempt
from tests.rules.exchanges import build, exchange, publish
from tests.test_runlog import FINDING
from touchstone.check.handover import Errand
from touchstone.check.job import finish, write_header
from touchstone.config import Settings, TargetSettings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.facts.events import Attempt, Build, Case, Footer, Limit, Occurrence, RunLog, Tally
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.sample import Sample
from touchstone.loadgen import rules as load_rules
from touchstone.loadgen.judge import UNSHOWN, UNSHOWN_BUT_IN_STORM, judge_load_run
from touchstone.loadgen.rules import LoadRule, Record
from touchstone.loadgen.setup import CLEAN_UP, SET_UP
from touchstone.loadgen.workloads import INVARIANTS, SCENARIOS
from touchstone.rules import catalogue as rules
from touchstone.rules.history import History
from touchstone.rules.rule import rule
from touchstone.rules.verdict import Verdict, judge

SETTINGS = Settings(target=TargetSettings("served", "http://127.0.0.1:9/api", "key", build_timeout_s=5.0))
DONE = Footer("", 0.0, 0, "")
READS = "limit.reads-are-not-charged"
VANISHED = "status.build-does-not-vanish"
REFS = [f"default/touchstone-t1-own-{number}@1.0.0" for number in range(3)]
TOLD = (
    "of the stories of 3 versions that were started, 1 was not kept whole, since there were too many; they were "
    "judged answer by answer, and by the rules of the whole run"
)
ALSO = ("load.builds-admitted", "load.p99", "load.max", "load.errors")


@dataclass(frozen=True, slots=True)
class Judged:
    """A run log after its judgement."""

    log: RunLog
    footer: Footer

    @property
    def code(self) -> int:
        """The exit code of the run."""
        return self.footer.exit_code

    def verdict(self, claim: str) -> tuple[Verdict, str]:
        """The verdict on a claim, and its reason."""
        (found,) = (each for each in judge(self.log).claims if each.claim.id == claim)
        return found.verdict, found.reason

    @property
    def broken(self) -> set[str]:
        """The claims that were found broken."""
        return {claim.claim.id for claim in judge(self.log).claims if claim.verdict == "broken"}


@dataclass
class Court:
    """Puts a load run that never took place on disk, and has it judged."""

    path: Path
    settings: Settings

    def judge(self, log: RunLog, *, shown: Iterable[str] | None = None, footer: Footer = DONE, **how: bool) -> Judged:
        """What becomes of a run whose workers have upheld *shown*, by default all that its scenario is to show.

        A storm has asked whether reads are charged, unless *asked* is false.
        """
        assert log.workload is not None
        name = log.workload.scenario
        ledger = ledger_of_claims.load().raised(INVARIANTS)
        write_header(self.path, "r1", self.settings, ["load", name], ledger, Contract.load(), Errand("load"), ALSO)
        with RunLogWriter(self.path) as writer:
            writer.write(log.workload)
            writer.write(*log.exchanges, *log.windows, *log.attempts, *log.builds, *log.workers)
            for occurrence in log.occurrences:
                writer.write(Occurrence(occurrence.finding, occurrence.case))
            asked = [READS] if how.pop("asked", name == "storm") else []
            for claim in (*(SCENARIOS[name].shows if shown is None else shown), *asked):
                writer.write(Tally(f"load.{name}", "appraised", claim, held=9))
        judged = finish(self.path, judge_load_run(self.path, self.settings, footer, **how))
        return Judged(read(self.path), judged)


@pytest.fixture
def court(tmp_path: Path) -> Court:
    """A court with a folder."""
    return Court(tmp_path / "runlog.jsonl", SETTINGS)


def storm(*limits: Limit, **changes: Any) -> RunLog:
    """A storm that went well, with these thresholds."""
    log = Storm(**({"starts": 12, "capacity": 3} | changes)).run()
    assert log.workload is not None
    return replace(log, workload=replace(log.workload, limits=limits))


# --- the run as a whole -----------------------------------------------------------------------------------------------


def test_run_that_went_well_passes(court: Court) -> None:
    """All that the scenario is to show is upheld, and of what it is not to show it is said that it was not to."""
    judged = court.judge(storm(Limit("startBuild", "max_s", 1.0)))

    assert (judged.code, judged.broken) == (0, set())
    assert [judged.verdict(claim)[0] for claim in SCENARIOS["storm"].shows] == ["upheld"] * 5
    assert judged.verdict("load.max") == ("upheld", "")
    assert judged.verdict("publish.empty-is-400") == ("not-applicable", UNSHOWN)


def test_run_is_a_case_of_what_it_shows(court: Court) -> None:
    """The report has one case: the scenario, how long it took from its first arrival on, and its claims."""
    log = storm()
    judged = court.judge(log)
    ends = max(window.at_s for window in log.windows) + 1

    assert judged.log.cases == (
        Case("load.storm", SCENARIOS["storm"].says, "passed", ends - BEGAN_AT, SCENARIOS["storm"].shows),
    )


@pytest.mark.parametrize("claim", SCENARIOS["storm"].shows)
def test_claim_that_a_scenario_shows_and_nothing_judged_is_no_pass(court: Court, claim: str) -> None:
    """A run without a verdict on what it was to show ends with 3 and names the claim."""
    others = [each for each in SCENARIOS["storm"].shows if each != claim]
    log = storm()
    if claim == "status.build-ends":  # builds judge it, too
        log = replace(log, builds=(), attempts=())
    judged = court.judge(log, shown=others)

    assert judged.verdict(claim)[0] in ("could-not-run", "not-applicable")
    if claim != "status.build-ends":
        assert (judged.code, judged.footer.reason) == (3, f"1 must claim could not be judged: {claim}")


def test_lost_build_ends_with_1(court: Court) -> None:
    """What only the whole run shows is a finding like any other."""
    log = storm()
    builds = (replace(log.builds[0], end="vanished"), *log.builds[1:])
    judged = court.judge(replace(log, builds=builds))

    assert (judged.code, judged.broken) == (1, {VANISHED})
    assert judged.log.occurrences[0].case == judged.log.cases[-1].id == "load.storm"
    assert judged.log.cases[-1].outcome == "failed"


def test_run_without_a_workload_is_left_alone(court: Court) -> None:
    """Where the load was never planned there is nothing to judge."""
    write_header(court.path, "r1", court.settings, ["load"], ledger_of_claims.load(), Contract.load(), Errand("load"))
    before = court.path.read_bytes()

    assert judge_load_run(court.path, court.settings, replace(DONE, exit_code=3, reason="no")).reason == "no"
    assert court.path.read_bytes() == before


def test_load_that_never_began_is_judged_by_its_set_up(court: Court) -> None:
    """Without a sample the run as a whole and its thresholds are not judged; how it ended stays, and why."""
    log = log_of(workload("storm", began_at=0.0, limits=(Limit("*", "error_share", 0.0),)))
    judged = court.judge(log, shown=(), footer=replace(DONE, exit_code=3, reason="the load could not be set up: full"))

    assert (judged.code, judged.footer.reason) == (3, "the load could not be set up: full")
    assert judged.log.cases[-1].duration_s == 0.0
    assert judged.verdict("load.errors")[0] == "not-applicable"
    assert judged.log.warnings == ()


def test_load_without_a_sample_took_no_time(court: Court) -> None:
    """A run that began and sent nothing has a case of no length, not of less."""
    judged = court.judge(log_of(workload("storm"), workers=(worker(sent=0, assigned=0),)), shown=())

    assert (judged.code, judged.log.cases[-1].duration_s) == (3, 0.0)


def test_reason_of_a_run_is_told_where_findings_decide_how_it_ends(court: Court) -> None:
    """A run that broke off and found something ends with 1, and the report still says why it broke off."""
    log = replace(storm(), occurrences=(Occurrence(FINDING, "load.storm"),))
    judged = court.judge(log, footer=replace(DONE, exit_code=3, reason="Locust ended with 1"))

    assert (judged.code, judged.log.warnings[-1]) == (1, "Locust ended with 1")


def test_interrupted_run_stays_interrupted(court: Court) -> None:
    """Whatever was found, a run that somebody stopped ends with 130."""
    log = replace(storm(), occurrences=(Occurrence(FINDING, "load.storm"),))
    stopped = Footer("", 0.0, 130, "interrupted by SIGINT", interrupted=True)
    judged = court.judge(log, footer=stopped)

    assert (judged.code, judged.footer.reason) == (130, "interrupted by SIGINT")


def test_what_an_interrupted_run_does_not_show_is_blamed_on_the_interrupt(court: Court) -> None:
    """The rules of the whole run and what is said of reads name the signal, which no other line of the log does yet."""
    stopped = Footer("", 0.0, 130, "interrupted by SIGINT", interrupted=True)
    judged = court.judge(storm(capacity=None), footer=stopped, asked=False)

    assert judged.verdict(READS)[1] == "the run was interrupted by SIGINT before one client alone asked the limit"
    back_off = judged.verdict("limit.ends-after-back-off")
    assert back_off[0] == "not-applicable"
    assert back_off[1].endswith("; no start was refused before the run was interrupted by SIGINT")


# --- what was to be shown ---------------------------------------------------------------------------------------------


def test_storm_that_did_not_ask_about_reads_is_no_pass(court: Court) -> None:
    """An invariant that stays open ends the run with 3, unless something was broken."""
    judged = court.judge(storm(), asked=False)

    assert (judged.code, judged.verdict(READS)[0]) == (3, "indeterminate")
    assert judged.footer.reason == f"not judged: {READS}, the run ended before one client alone asked the limit"


def test_storm_that_did_not_begin_sends_nobody_to_storm(court: Court) -> None:
    """A target that could not be reached is no reason to run the same scenario."""
    unreached = replace(storm(), windows=(), attempts=(), builds=())
    judged = court.judge(unreached, footer=replace(DONE, exit_code=3, reason="no answer"), asked=False)

    assert judged.verdict(READS) == ("indeterminate", "the load did not begin, and so nobody asked the limit")
    assert judged.code == 3


def test_other_scenarios_leave_reads_to_storm(court: Court) -> None:
    """The claim says which scenario asks."""
    assert court.judge(late(0.001)).verdict(READS) == ("not-applicable", UNSHOWN_BUT_IN_STORM)


def test_claim_that_a_scenario_is_for_must_not_stay_open(court: Court) -> None:
    """Few starts say nothing about the fairness of a limit: 3, each open claim with its reason."""
    starts = [
        attempt(1, 202, BEGAN_AT + number, want=number, seq=number, phase=phase, fresh=False)
        for number, phase in enumerate(["alone"] * 4 + ["beside-greedy"] * 4)
    ]
    windows = fold(Sample("startBuild", "202", a.intended_at, a.sent_at, a.done_at) for a in starts)
    log = log_of(workload("fairness", scheduled={"startBuild": 8}), windows=windows, attempts=tuple(starts))
    judged = court.judge(log, shown=[claim for claim in SCENARIOS["fairness"].shows if claim != "limit.is-per-key"])

    assert judged.code == 3
    assert judged.footer.reason == (
        "not judged: limit.is-per-key, 4 starts alone and 4 beside; at least 5 of each: run longer"
    )


def test_claim_that_a_scenario_is_for_must_not_go_without_an_occasion(court: Court) -> None:
    """Watchers that found no build to watch have shown nothing."""
    reads = fold([Sample("getBuild", "200", BEGAN_AT, BEGAN_AT, BEGAN_AT + 0.01)])
    log = log_of(workload("storm", scheduled={"getBuild": 1}), windows=reads)
    judged = court.judge(log, shown=[claim for claim in SCENARIOS["storm"].shows if claim != "status.build-ends"])

    assert (judged.code, judged.footer.reason.partition(",")[0]) == (3, "not judged: status.build-ends")


# --- thresholds -------------------------------------------------------------------------------------------------------


def late(late_s: float, number: int = 200) -> RunLog:
    """Reads that are answered fast and sent late."""
    at = [BEGAN_AT + n / 50 for n in range(number)]
    windows = fold(Sample("getBuild", "200", t, t + late_s, t + late_s + 0.002) for t in at)
    limits = (Limit("getBuild", "p99_s", 0.5),)
    planned = workload("steady", limits=limits, duration_s=number / 50, scheduled={"getBuild": number})
    return log_of(planned, windows=windows, workers=(worker(sent=number, assigned=number),))


def test_threshold_that_the_generator_kept_from_being_judged_is_no_pass(court: Court) -> None:
    """A generator later at p99 than a tenth of a limit ends the run with 3, and the reason tells by how much."""
    judged = court.judge(late(0.06))

    assert judged.verdict("load.p99")[0] == "indeterminate"
    assert judged.code == 3
    assert judged.footer.reason.startswith(
        "not judged: getBuild p99_s at most 0.5, the generator was 60 ms late at p99"
    )


def test_punctual_generator_judges(court: Court) -> None:
    """A tenth of the limit is late enough for no doubt."""
    judged = court.judge(late(0.04))

    assert (judged.code, judged.verdict("load.p99")[0]) == (0, "upheld")


def test_too_few_samples_are_not_the_generators_fault(court: Court) -> None:
    """A percentile that needs more samples stays indeterminate, and the run passes all the same."""
    judged = court.judge(late(0.06, number=50))

    assert (judged.code, judged.verdict("load.p99")[0]) == (0, "indeterminate")


def test_threshold_of_the_callers_own_has_to_be_judged(court: Court) -> None:
    """Whoever sets a limit himself is told with 3 that the samples were too few for it."""
    judged = court.judge(late(0.001, number=50), own_limits=True)

    assert judged.code == 3
    assert judged.footer.reason == (
        "not judged: getBuild p99_s at most 0.5, 50 samples, but p99_s needs at least 100: run longer or faster"
    )


def test_broken_threshold_ends_with_1(court: Court) -> None:
    """A breach is a finding, whoever finds it."""
    log = late(0.00005)
    assert log.workload
    judged = court.judge(replace(log, workload=replace(log.workload, limits=(Limit("getBuild", "max_s", 0.001),))))

    assert (judged.code, judged.broken) == (1, {"load.max"})


def test_broken_claim_outweighs_a_late_generator(court: Court) -> None:
    """What was found is found, however late it was sent."""
    judged = court.judge(replace(late(0.06), occurrences=(Occurrence(FINDING, "load.steady"),)))

    assert (judged.code, judged.footer.reason) == (1, "1 must claim broken")
    assert judged.log.warnings[-1].startswith("not judged: getBuild p99_s at most 0.5, the generator")


# --- rules that fail --------------------------------------------------------------------------------------------------


def test_load_rule_that_fails_is_no_pass(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours ends the run with 3, also where the workers have upheld the claim of the rule."""

    def sick(_: Record) -> Iterator[Judgement]:
        raise ZeroDivisionError("by nought")
        yield

    monkeypatch.setattr(load_rules, "RULES", (LoadRule("overall.sick", "status.build-ends", sick),))
    judged = court.judge(storm())

    assert judged.verdict("status.build-ends")[0] == "upheld"
    assert (judged.code, judged.footer.reason) == (3, "1 case ended without a verdict: rule.status.build-ends")
    assert judged.log.cases[0].message == "the rule overall.sick failed: ZeroDivisionError: by nought"


def test_story_rule_that_fails_is_no_pass(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other rules still speak, and the run ends with 3."""

    @rule("sick.story", "status.build-ends")
    def sick(_ref: str, _history: History) -> Iterator[Judgement]:
        raise ZeroDivisionError("by nought")
        yield

    monkeypatch.setattr(rules, "STORY_RULES", (sick,))
    log = replace(storm(), exchanges=tuple(story(REFS[0], 10_000)))
    judged = court.judge(log)

    assert (judged.code, judged.footer.reason) == (3, "1 case ended without a verdict: rule.sick.story")


# --- stories ----------------------------------------------------------------------------------------------------------


def story(ref: str, seq: int, *, cancelled: bool = True) -> list[Exchange]:
    """
    A version that is published, started, seen running, cancelled, and seen at rest; without the cancel it vanished.
    """
    facts: dict[str, Any] = {"ref": ref, "case": "load.storm"}
    at = BEGAN_AT + seq / 100
    told = [
        publish(
            seq, ref, content=ref, digest=f"{seq:064x}", case=SET_UP, sent_at=0.5 + seq / 1e6, done_at=0.6 + seq / 1e6
        ),
        exchange("startBuild", 202, json=_built("building", ref, seq), seq=seq + 1, sent_at=at, **facts),
        exchange("getBuild", 200, json=_built("building", ref, seq), seq=seq + 2, sent_at=at + 0.3, **facts),
        exchange("cancelBuild", 202, json={"cancelling": True}, seq=seq + 3, sent_at=at + 0.6, **facts),
        exchange("getBuild", 200, json=_built("not_built", ref, seq), seq=seq + 4, sent_at=at + 0.9, **facts),
        exchange("getBuild", 200, json=_built("not_built", ref, seq), seq=seq + 5, sent_at=at + 1.2, **facts),
    ]
    return [each for each in told if cancelled or each.operation != "cancelBuild"]


def _built(status: str, ref: str, seq: int) -> dict[str, Any]:
    return build(status, ref, f"{seq:064x}")


def facts_of(told: list[Exchange], want: int) -> tuple[Attempt, Build]:
    """What a client tells of a story besides its exchanges."""
    start, last = told[1], told[-1]
    done_at, ref = start.done_at, start.ref or ""
    return (
        Attempt(want, 1, ref, "primary", "", True, start.sent_at, start.sent_at, done_at, 202, None, False, start.seq),
        Build(want, ref, "primary", done_at, last.done_at, "cancelled", told[2].done_at, last.seq),
    )


def stories(*kept: Iterable[Exchange]) -> RunLog:
    """A storm of three clients that cancel; of each story only these exchanges were kept."""
    whole = [story(ref, 1_000 * number) for number, ref in enumerate(REFS, start=1)]
    attempts, builds = zip(*(facts_of(told, want) for want, told in enumerate(whole)), strict=True)
    ones = [Sample("startBuild", "202", told[1].sent_at, told[1].sent_at, told[1].done_at) for told in whole]
    planned = workload("storm", duration_s=1.0, scheduled={"startBuild": 3})
    return log_of(
        planned,
        exchanges=tuple(each for told in kept for each in told),
        attempts=attempts,
        builds=builds,
        windows=fold(ones),
        workers=(worker(sent=3, assigned=3),),
    )


def test_whole_stories_are_judged(court: Court) -> None:
    """
    A build that falls back to rest though nobody cancelled it is found in its story; a cancelled one is not accused.
    """
    good, bad = story(REFS[0], 1_000), story(REFS[1], 2_000, cancelled=False)
    judged = court.judge(stories(good, bad, story(REFS[2], 3_000)))

    assert judged.broken == {VANISHED}
    assert {e for finding in judged.log.findings for e in finding.evidence} <= {e.seq for e in bad}
    assert judged.log.warnings == ()


@pytest.mark.parametrize(
    "kept",
    [
        [0, 2, 4, 5],  # the start was not kept, but the reads were evidence of something
        [0, 1, 2, 4],  # the start was evidence itself, and the last read was not kept
        [0, 1],
        [0, 4],
        [0],
    ],
    ids=str,
)
def test_story_that_was_not_kept_whole_accuses_nobody(court: Court, kept: list[int]) -> None:
    """A cancel that was not kept is no cancel that was not sent, whatever else of the story is there as evidence."""
    whole = story(REFS[0], 1_000)
    judged = court.judge(stories([whole[n] for n in kept], story(REFS[1], 2_000), story(REFS[2], 3_000)))

    assert (judged.code, judged.broken) == (0, set())
    assert [*judged.log.warnings] == [TOLD]


def test_start_that_was_not_kept_may_be_what_is_in_the_way(court: Court) -> None:
    """Refusals of a client whose story was kept are explained by builds of clients whose stories were not."""
    longest_s = court.settings.target.build_timeout_s + court.settings.target.cancel_timeout_s
    kept = story(REFS[0], 1_000)
    at = BEGAN_AT + longest_s + 20
    refused = [
        exchange(
            "startBuild", 429, json={"error": "busy"}, headers={"retry-after": "1"}, ref=REFS[1], seq=2_001 + n,
            sent_at=at + 2 * n, case="load.storm",
        )
        for n in range(3)
    ]  # fmt: skip
    others = [e for e in story(REFS[1], 2_000) if e.case == SET_UP]
    log = stories(kept, others, refused)
    first, _, third = log.attempts
    busy = replace(third, sent_at=at - 1.0, done_at=at - 0.99)
    beside = replace(log.builds[2], accepted_at=at - 0.99, ended_at=at + 30.0, end="ready")
    tries = tuple(
        replace(first, want=1, number=n + 1, ref=REFS[1], seq=e.seq, sent_at=e.sent_at, done_at=e.done_at, status=429,
                retry_after_s=1.0)
        for n, e in enumerate(refused)
    )  # fmt: skip
    of_kept = replace(log, attempts=(first, *tries), builds=log.builds[:1])
    of_all = replace(log, attempts=(first, *tries, busy), builds=(log.builds[0], beside))

    judged = Court(court.path.with_name("kept.jsonl"), court.settings).judge(of_kept)
    assert "room.free" in {finding.check for finding in judged.log.findings}
    assert court.judge(of_all).broken == set()


@pytest.mark.parametrize("case", [SET_UP, CLEAN_UP])
def test_findings_of_set_up_and_clean_up_count(court: Court, case: str) -> None:
    """What the parent sends itself no worker has judged, so that every rule looks at it here."""
    wrong = exchange("deleteTemplate", 500, json={"error": "oops"}, ref=REFS[0], seq=9_000, case=case, sent_at=90.0)
    judged = court.judge(replace(storm(), exchanges=(wrong,)))

    assert judged.code == 1
    assert "http.no-server-error" in judged.broken
    assert {occurrence.case for occurrence in judged.log.occurrences} == {"load.storm"}


def test_what_workers_have_judged_is_not_judged_again(court: Court) -> None:
    """The rules that look at one answer were asked when it came; asked again they would count it twice."""
    wrong = exchange("getBuild", 500, json={"error": "oops"}, ref=REFS[0], seq=9_000, case="load.storm", sent_at=9.0)
    judged = court.judge(replace(storm(), exchanges=(wrong,)))

    assert "http.no-server-error" not in judged.broken
