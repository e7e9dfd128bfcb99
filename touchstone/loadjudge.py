"""
Judges a load run when it is over: whole stories by the rules of a check, the run as a whole, and the thresholds.

What looks at one answer alone was judged while the run went on; see `touchstone.appraiser`.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from touchstone import claims as ledger_of_claims
from touchstone import rules
from touchstone.appraiser import INLINE_RULES, STORY_TIME_RULES
from touchstone.contract import Contract
from touchstone.finding import Finding, Judgement
from touchstone.judge import Judge, said
from touchstone.loadrules import judge_load
from touchstone.rules.history import Bounds, History
from touchstone.run import given_contents
from touchstone.runfacts import Case, Footer, Notice, RunLog
from touchstone.runlog import RunLogWriter, read
from touchstone.setting_up import CLEAN_UP, SET_UP
from touchstone.settings import Settings
from touchstone.statistic import STATISTICS
from touchstone.thresholds import Reading, judge_thresholds, measured, samples_needed, told_limit
from touchstone.workloads import INVARIANTS, scenario

UNSHOWN = "this scenario does not set out to show it; `touchstone check` does"


def judge_load_run(run_log: Path, settings: Settings, footer: Footer) -> Footer:
    """
    Writes what the rules say of a run into its log.

    Returns:
        The footer, with an exit code of 3 where the generator kept a threshold from being judged.
    """
    log = read(run_log)
    if log.workload is None:
        return footer
    case = f"load.{log.workload.scenario}"
    with RunLogWriter(run_log) as writer:
        _judge_stories(log, settings, writer, case)
        if log.windows:
            footer = _judge_whole(log, writer, case, footer)
        _tell_unshown(read(run_log), writer, case)
    return footer


def _judge_stories(log: RunLog, settings: Settings, writer: RunLogWriter, case: str) -> None:
    """
    Judges what was kept: each version by its story, where all of it is there, and set-up and clean-up by every rule.
    """
    ledger, target = ledger_of_claims.load().raised(INVARIANTS), settings.target
    bounds = Bounds(target.build_timeout_s, target.cancel_timeout_s)
    history = History(Contract.load(), bounds, given=given_contents(settings))
    judge = Judge(history, ledger, STORY_TIME_RULES, rules.STORY_RULES)
    judgements: list[Judgement] = []
    for exchange in sorted(log.exchanges, key=lambda each: each.done_at):
        judgements += judge.see(exchange)
        if exchange.case in (SET_UP, CLEAN_UP):
            judgements += [j for rule in INLINE_RULES for j in said(rule, exchange, history, judge.failed)]
    kept = {exchange.seq for exchange in log.exchanges}
    partial = {attempt.ref for attempt in log.attempts if attempt.seq not in kept}
    judgements += judge.tell(dict.fromkeys(e.ref for e in log.exchanges if e.ref and e.ref not in partial))
    writer.judgements(case, judgements)
    _write_findings(writer, (judge.finding(j) for j in judgements if j.outcome == "broken"), case)
    for rule_id, error in judge.failed.items():
        writer.case(Case(f"rule.{rule_id}", "", "error", 0.0, (), f"the rule {rule_id} failed: {error}"))
    if partial:
        writer.warning(f"{len(partial)} of {len(partial) + len(kept)} stories were too many to keep; judged by answers")


def _write_findings(writer: RunLogWriter, findings: Iterable[Finding], case: str) -> None:
    for finding in findings:
        writer.finding(finding, case)


def _judge_whole(log: RunLog, writer: RunLogWriter, case: str, footer: Footer) -> Footer:
    """
    Judges what only the whole run can show.
    """
    ledger, readings = ledger_of_claims.load().raised(INVARIANTS), measured(log)
    for ruling in (judge_load(log, ledger), judge_thresholds(readings, log, ledger)):
        writer.judgements(case, ruling.judgements)
        _write_findings(writer, ruling.findings, case)
        for notice in ruling.notices:
            writer.notice(notice)
    reason = _unjudged(readings)
    if footer.exit_code or not reason:
        return footer
    return dataclasses.replace(footer, exit_code=3, reason=reason)


def _unjudged(readings: Iterable[Reading]) -> str:
    """
    Why a threshold could not be judged though there were enough samples: the generator, and never the target.
    """
    for reading in readings:
        need = samples_needed(STATISTICS[reading.limit.statistic])
        if reading.verdict == "indeterminate" and reading.count >= need:
            return f"{told_limit(reading.limit)} could not be judged: {reading.reason}"
    return ""


def _tell_unshown(log: RunLog, writer: RunLogWriter, case: str) -> None:
    """
    Says of each claim that nothing judged that the scenario was not to show it, unless it was.
    """
    assert log.workload is not None
    chosen = scenario(log.workload.scenario)
    told = {tally.claim for tally in log.tallies} | {finding.claim for finding in log.findings}
    told |= {notice.claim for notice in log.notices}
    for claim in log.header.claims:
        if claim.id not in told and claim.id not in chosen.shows:
            writer.notice(Notice(claim.id, "not-applicable", UNSHOWN))
    duration_s = max((window.at_s + 1.0 for window in log.windows), default=0.0) - log.workload.began_at
    writer.case(Case(case, chosen.says, "passed", round(duration_s, 3), chosen.shows))
