"""The judgement of a load run that is over: its stories, the whole, its thresholds, and how the run then ends."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.loadgen.rulings import FINDING, attempt, ended
from tests.loadlogs import BEGAN_AT, Storm, fold, log_of, unsent, worker, workload
from tests.rules.exchanges import build, exchange, publish
from touchstone.check.handover import Errand
from touchstone.check.job import finish, write_header
from touchstone.config import Settings, TargetSettings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.facts.events import Attempt, Build, Footer, Limit, Occurrence, RunLog, Tally
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.sample import Sample
from touchstone.loadgen import rules as load_rules
from touchstone.loadgen.judge import CLEAN_UP, SET_UP, judge_load_run
from touchstone.loadgen.plan import INVARIANTS, SCENARIOS
from touchstone.rules import catalogue
from touchstone.rules.rule import rule
from touchstone.rules.verdict import Verdict, judge

SETTINGS = Settings(target=TargetSettings("served", "http://127.0.0.1:9/api", "key", build_timeout_s=5.0))
DONE = Footer("", 0.0, 0, "")
STOPPED = Footer("", 0.0, 130, "interrupted by SIGINT", interrupted=True)
ENDS, VANISHED, READS = "status.build-ends", "status.build-does-not-vanish", "limit.reads-are-not-charged"
CLAIMS = SCENARIOS["storm"].claims
OTHERS = [claim for claim in CLAIMS if claim != ENDS]
REFS = [f"default/touchstone-t1-own-{number}@1.0.0" for number in range(3)]
ALSO = ("load.builds-admitted", "load.p99", "load.max", "load.errors")
FOUND = Occurrence(FINDING, "load.storm")


@dataclass(frozen=True, slots=True)
class Judged:
    log: RunLog
    footer: Footer
    code: int

    def verdict(self, claim: str) -> Verdict:
        return next(each.verdict for each in judge(self.log).claims if each.claim.id == claim)

    @property
    def broken(self) -> set[str]:
        return {claim.claim.id for claim in judge(self.log).claims if claim.verdict == "broken"}


Judge = Callable[..., Judged]


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    """Puts a load run that never took place on disk, and judges it.

    Its workers have judged *upheld*, by default all that its scenario is to show, and that reads are not charged.
    """
    path = tmp_path / "runlog.jsonl"

    def judge_run(
        log: RunLog, upheld: Iterable[str] | None = None, reads: bool = True, footer: Footer = DONE, own: bool = False
    ) -> Judged:
        assert log.workload is not None
        name = log.workload.scenario
        ledger = ledger_of_claims.load().raised(INVARIANTS)
        path.unlink(missing_ok=True)
        write_header(path, "r1", SETTINGS, ["load", name], ledger, Contract.load(), Errand("load"), ALSO)
        with RunLogWriter(path) as writer:
            writer.write(log.workload, *log.exchanges, *log.windows, *log.attempts, *log.builds, *log.workers)
            writer.write(*log.occurrences)
            held = list(SCENARIOS[name].claims if upheld is None else upheld)
            held += [READS] if name == "storm" and reads else []
            writer.write(*(Tally(f"load.{name}", "appraised", claim, held=9) for claim in held))
        footer = finish(path, judge_load_run(path, SETTINGS, footer, own_limits=own))
        return Judged(read(path), footer, footer.exit_code)

    return judge_run


def storm(*limits: Limit, **changes: Any) -> RunLog:
    log = Storm(**({"starts": 12, "capacity": 3} | changes)).run()
    assert log.workload is not None
    return replace(log, workload=replace(log.workload, limits=limits))


def late(late_s: float, number: int = 200, limit: Limit | None = None) -> RunLog:
    at = [BEGAN_AT + n / 50 for n in range(number)]
    windows = fold(Sample("getBuild", "200", t, t + late_s, t + late_s + 0.002) for t in at)
    limits = (limit or Limit("getBuild", "p99_s", 0.5),)
    planned = workload("steady", limits=limits, duration_s=number / 50, scheduled={"getBuild": number})
    return log_of(planned, windows=windows, workers=(worker(sent=number, assigned=number),))


def test_run_that_went_well_passes(judged: Judge) -> None:
    log = storm(Limit("startBuild", "max_s", 1.0))
    found = judged(log)
    assert (found.code, found.broken) == (0, set())
    assert {found.verdict(claim) for claim in (*CLAIMS, "load.max")} == {"upheld"}
    assert found.verdict("publish.empty-is-400") == "not-applicable"
    (case,) = found.log.cases
    ends_at = max(window.at_s for window in log.windows) + 1
    assert (case.id, case.outcome, case.duration_s, case.claims) == ("load.storm", "passed", ends_at - BEGAN_AT, CLAIMS)


@pytest.mark.parametrize("claim", OTHERS)
def test_claim_of_a_scenario_that_nothing_judged_is_no_pass(judged: Judge, claim: str) -> None:
    found = judged(storm(), upheld=[each for each in CLAIMS if each != claim])
    assert (found.verdict(claim), found.code) == ("could-not-run", 3)
    assert claim in found.footer.reason


@pytest.mark.parametrize(
    ("log", "how", "code", "verdicts"),
    [
        (storm(), {"reads": False}, 3, {READS: "indeterminate"}),
        (replace(storm(), builds=(), attempts=()), {"upheld": OTHERS}, 3, {ENDS: "not-applicable"}),
        (late(0.001), {}, 0, {READS: "not-applicable"}),
        (replace(late(0.001), windows=()), {}, 3, {}),
        (replace(late(0.001), windows=(unsent(3, "getBuild", 200),)), {}, 3, {}),
        (storm(capacity=None), {"footer": STOPPED, "reads": False}, 130, {READS: "indeterminate"}),
        (replace(storm(), occurrences=(FOUND,)), {"footer": STOPPED}, 130, {FINDING.claim: "broken"}),
        (replace(storm(), occurrences=(FOUND,)), {}, 1, {FINDING.claim: "broken"}),
    ],
    ids=[
        *("reads-open", "no-builds", "other-scenario", "nothing-reported", "nothing-sent"),
        *("interrupted", "interrupted-broken", "broken"),
    ],
)
def test_run_ends_by_what_it_shows(
    judged: Judge, log: RunLog, how: dict[str, Any], code: int, verdicts: dict[str, Verdict]
) -> None:
    found = judged(log, **how)
    assert (found.code, {claim: found.verdict(claim) for claim in verdicts}) == (code, verdicts)
    assert code != 130 or found.footer.reason == STOPPED.reason


def test_lost_build_ends_with_1(judged: Judge) -> None:
    log = storm()
    found = judged(replace(log, builds=(replace(log.builds[0], end="vanished"), *log.builds[1:])))
    assert (found.code, found.broken) == (1, {VANISHED})
    assert found.log.occurrences[0].case == found.log.cases[-1].id == "load.storm"
    assert found.log.cases[-1].outcome == "failed"


def test_load_without_a_sample_judges_no_threshold(judged: Judge) -> None:
    log = log_of(workload("storm", began_at=0.0, limits=(Limit("*", "error_share", 0.0),)))
    footer = replace(DONE, exit_code=3, reason="the load could not be set up: full")
    found = judged(log, upheld=(), footer=footer)
    assert (found.code, found.footer.reason, found.log.cases[-1].duration_s) == (3, footer.reason, 0.0)
    assert found.verdict("load.errors") == "not-applicable"


@pytest.mark.parametrize(
    ("log", "own", "code", "verdict"),
    [
        (late(0.06), False, 3, "indeterminate"),
        (late(0.04), False, 0, "upheld"),
        (late(0.06, 50), False, 0, "indeterminate"),  # too few samples are not the generator's fault
        (late(0.001, 50), True, 3, "indeterminate"),  # but a limit of the caller's own has to be judged
        (late(0.00005, limit=Limit("getBuild", "p99_s", 0.001)), False, 1, "broken"),
    ],
    ids=["late-generator", "punctual-generator", "few-samples", "few-samples-own-limit", "broken"],
)
def test_threshold_decides_how_a_run_ends(judged: Judge, log: RunLog, own: bool, code: int, verdict: str) -> None:
    found = judged(log, own=own)
    assert (found.code, found.verdict("load.p99")) == (code, verdict)
    assert ("p99_s" in found.footer.reason) == (code == 3)


@pytest.mark.parametrize(
    ("log", "footer", "why"),
    [(storm(), replace(DONE, exit_code=3, reason="Locust ended with 1"), "Locust"), (late(0.06), DONE, "p99_s")],
)
def test_broken_claim_outweighs_what_else_ended_a_run(judged: Judge, log: RunLog, footer: Footer, why: str) -> None:
    found = judged(replace(log, occurrences=(FOUND,)), footer=footer)
    assert (found.code, why in found.log.warnings[-1]) == (1, True)


def fail(*_: Any) -> Iterator[Judgement]:
    raise ZeroDivisionError("by nought")
    yield


@pytest.mark.parametrize(
    ("module", "rules", "sick"),
    [(load_rules, "RULES", ("overall.sick", ENDS, fail)), (catalogue, "STORY_RULES", rule("sick.story", ENDS)(fail))],
    ids=["load", "story"],
)
def test_rule_that_fails_is_no_pass(
    judged: Judge, monkeypatch: pytest.MonkeyPatch, module: Any, rules: str, sick: Any
) -> None:
    monkeypatch.setattr(module, rules, (sick,))
    found = judged(replace(storm(), exchanges=tuple(story(REFS[0], 10_000))))
    (case,) = (case for case in found.log.cases if case.outcome == "error")
    assert (found.code, found.verdict(ENDS)) == (3, "upheld")  # the workers have upheld it
    assert "ZeroDivisionError: by nought" in case.message


def story(ref: str, seq: int, *, cancelled: bool = True) -> list[Exchange]:
    """A version published, started, running, cancelled, and twice at rest; without the cancel its build vanished."""
    facts: dict[str, Any] = {"ref": ref, "case": "load.storm"}
    at, digest = BEGAN_AT + seq / 100, f"{seq:064x}"
    running, rested = build("building", ref, digest), build("not_built", ref, digest)
    set_up = {"content": ref, "digest": digest, "case": SET_UP, "sent_at": 0.5 + seq / 1e6, "done_at": 0.6 + seq / 1e6}
    steps = [
        publish(seq, ref, **set_up),
        exchange("startBuild", 202, json=running, seq=seq + 1, sent_at=at, **facts),
        exchange("getBuild", 200, json=running, seq=seq + 2, sent_at=at + 0.3, **facts),
        exchange("cancelBuild", 202, json={"cancelling": True}, seq=seq + 3, sent_at=at + 0.6, **facts),
        exchange("getBuild", 200, json=rested, seq=seq + 4, sent_at=at + 0.9, **facts),
        exchange("getBuild", 200, json=rested, seq=seq + 5, sent_at=at + 1.2, **facts),
    ]
    return [step for step in steps if cancelled or step.operation != "cancelBuild"]


def stories(*kept: Iterable[Exchange]) -> RunLog:
    """A storm of three clients that cancel; of each story only these exchanges were kept."""
    whole = [story(ref, 1_000 * number) for number, ref in enumerate(REFS, start=1)]
    attempts, builds = list[Attempt](), list[Build]()
    for n, (_, start, *_, last) in enumerate(whole):
        facts: dict[str, Any] = {"want": n, "ref": REFS[n]}
        attempts.append(attempt(1, 202, start.sent_at, done_at=start.done_at, seq=start.seq, **facts))
        times = {"accepted_at": start.done_at, "ended_at": last.done_at}
        builds.append(ended("cancelled", seq=last.seq, **times, **facts))
    starts = [Sample("startBuild", "202", a.sent_at, a.sent_at, a.done_at) for a in attempts]
    facts = {"attempts": tuple(attempts), "builds": tuple(builds), "windows": fold(starts), "workers": (worker(),)}
    facts["exchanges"] = tuple(each for steps in kept for each in steps)
    return log_of(workload("storm", duration_s=1.0, scheduled={"startBuild": 3}), **facts)


def test_whole_stories_are_judged(judged: Judge) -> None:
    good, bad = story(REFS[0], 1_000), story(REFS[1], 2_000, cancelled=False)
    found = judged(stories(good, bad, story(REFS[2], 3_000)))
    assert found.broken == {VANISHED}
    assert {e for finding in found.log.findings for e in finding.evidence} <= {e.seq for e in bad}
    assert {tally.check.partition(".")[0] for tally in found.log.tallies if tally.held} > {"appraised", "access"}
    assert found.log.warnings == ()


@pytest.mark.parametrize(
    "kept",
    [
        [0, 2, 4, 5],  # the start was not kept, but the reads were evidence of something
        [0, 1, 2, 4],  # the start was evidence itself, and the last read was not kept
    ],
    ids=str,
)
def test_story_that_was_not_kept_whole_accuses_nobody(judged: Judge, kept: list[int]) -> None:
    whole = story(REFS[0], 1_000)
    log = stories([whole[n] for n in kept], story(REFS[1], 2_000), story(REFS[2], 3_000))
    found = judged(log)
    assert (found.code, found.broken) == (0, set())
    assert "1 of 3 versions" in found.log.warnings[0]


def test_stories_of_a_run_whose_worker_was_lost_accuse_nobody(judged: Judge) -> None:
    log = stories(story(REFS[0], 1_000), story(REFS[1], 2_000, cancelled=False), story(REFS[2], 3_000))
    assert judged(replace(log, workers=(worker(state="lost"), worker(-1)))).broken == set()


@pytest.mark.parametrize(("case", "is_judged"), [(SET_UP, True), (CLEAN_UP, True), ("load.storm", False)])
def test_answers_that_no_worker_has_judged_are_judged(judged: Judge, case: str, is_judged: bool) -> None:
    wrong = exchange("getBuild", 500, json={"error": "oops"}, ref=REFS[0], seq=9_000, case=case, sent_at=90.0)
    found = judged(replace(storm(), exchanges=(wrong,)))
    assert ("http.no-server-error" in found.broken) is is_judged
    assert {occurrence.case for occurrence in found.log.occurrences} <= {"load.storm"}
