"""Judges a load run when it is over: whole stories by the rules of a check, the run as a whole, and the thresholds.

What looks at one answer alone was judged while the run went on; see `touchstone.loadgen.inline_judge`.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from touchstone.check.run import given_contents
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.facts.events import Case, CaseOutcome, Footer, Notice, Occurrence, Remark, RunLog, tallies
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.wording import plural, was
from touchstone.loadgen.inline_judge import INLINE_RULES, STORY_TIME_RULES
from touchstone.loadgen.metrics import ALL, TARGET
from touchstone.loadgen.not_judged import ASKED_AT_THE_END, STORM, unasked, unwatched
from touchstone.loadgen.rules import judge_load
from touchstone.loadgen.setup import CLEAN_UP, SET_UP
from touchstone.loadgen.thresholds import STATISTICS, Reading, judge_thresholds, limit_text, measured, named
from touchstone.loadgen.workloads import INVARIANTS, scenario
from touchstone.rules import catalogue
from touchstone.rules.history import Bounds, History
from touchstone.rules.judge import Judge, said
from touchstone.rules.verdict import judge as judge_claims

# They look for what may be in a start's way, whoever sent it. The load rules know every start, kept or not, and judge.
_NEED_EVERY_START = frozenset({"room.free"})

# What was not judged is named so often, besides the first, whose reason is told; the report has those of all.
_MOST_NAMED = 3

UNSHOWN = "this scenario does not set out to show it; `touchstone check` does"
UNSHOWN_BUT_IN_STORM = f"this scenario does not set out to show it; `touchstone load {STORM}` does"


def judge_load_run(run_log: Path, settings: Settings, footer: Footer, *, own_limits: bool = False) -> Footer:
    """Writes what the rules say of a run into its log.

    Args:
        own_limits: Whether the caller set the thresholds.

    Returns:
        The footer, with an exit code of 3 where the run did not show what it was to show.
    """
    log = dataclasses.replace(read(run_log), footer=footer)  # what ended a run is a reason for what it does not show
    if log.workload is None:
        return footer
    case = f"load.{log.workload.scenario}"
    with RunLogWriter(run_log) as writer:
        _judge_stories(log, settings, writer, case)
        readings = measured(log) if log.windows else ()
        if log.windows:
            _judge_whole(log, writer, case, readings)
        judged = _write_open(dataclasses.replace(read(run_log), footer=footer), writer)
        _write_unshown(judged, writer, case)
        if not footer.exit_code and (reason := shortfall(judged, readings, own_limits=own_limits)):
            footer = dataclasses.replace(footer, exit_code=3, reason=reason)
        if footer.exit_code and judged.findings:  # they decide how the run ends, and its own reason would be lost
            writer.write(Remark(footer.reason))
    return footer


def _judge_stories(log: RunLog, settings: Settings, writer: RunLogWriter, case: str) -> None:
    """Judges what was kept: each version by its story, where all is there, set-up and clean-up by every rule."""
    ledger, target = ledger_of_claims.load().raised(INVARIANTS), settings.target
    bounds = Bounds(target.build_timeout_s, target.cancel_timeout_s)
    history = History(Contract.load(), bounds, given=given_contents(settings))
    partial = _partial(log)
    fitting = tuple(rule for rule in STORY_TIME_RULES if not partial or rule.id not in _NEED_EVERY_START)
    judge = Judge(history, ledger, fitting, catalogue.STORY_RULES, target.key_sources)
    judgements: list[Judgement] = []
    for exchange in sorted(log.exchanges, key=lambda each: each.done_at):
        judgements += judge.see(exchange)
        if exchange.case in (SET_UP, CLEAN_UP):
            judgements += [j for rule in INLINE_RULES for j in said(rule, exchange, history, judge.failed)]
    judgements += judge.tell(dict.fromkeys(e.ref for e in log.exchanges if e.ref and e.ref not in partial))
    writer.write(*tallies(case, judgements))
    _write_findings(writer, (judge.finding(j) for j in judgements if j.outcome == "broken"), case)
    for rule_id, error in judge.failed.items():
        _write_failed(writer, rule_id, f"the rule {rule_id} failed: {error}")
    if _is_cut(log):
        writer.write(
            Remark(
                "a worker did not tell all that it saw: the stories of versions were judged answer by answer, "
                "and by the rules of the whole run"
            )
        )
    elif partial:
        writer.write(Remark(_partial_reason(log, partial)))


def _partial_reason(log: RunLog, partial: set[str]) -> str:
    """Of how many versions not everything was kept, and why."""
    number = len({attempt.ref for attempt in log.attempts} | {build.ref for build in log.builds})
    cut = len(partial & {attempt.ref for attempt in log.attempts if attempt.cut_off})
    many = len(partial) - cut
    reasons = [f"{many:,} of them since there were too many"] if many else []
    reasons += [f"{cut:,} of them since the run was stopped before their start was answered"] if cut else []
    return (
        f"of the stories of {plural(number, 'version')} that {was(number)} started, "
        f"{len(partial):,} {was(len(partial))} not kept whole, "
        f"{' and '.join(reasons).removeprefix(f'{len(partial):,} of them ')}; "
        "they were judged answer by answer, and by the rules of the whole run"
    )


def _partial(log: RunLog) -> set[str]:
    """The versions of which not everything was kept. A single exchange may be there all the same, as evidence."""
    if _is_cut(log):
        return {exchange.ref for exchange in log.exchanges if exchange.ref}
    kept = {exchange.seq for exchange in log.exchanges}
    started = {attempt.ref for attempt in log.attempts if attempt.seq not in kept}
    return started | {build.ref for build in log.builds if build.seq not in kept}


def _is_cut(log: RunLog) -> bool:
    """Whether the load began and a worker has not told all: what it started and cancelled last is in no log."""
    assert log.workload is not None
    last = {worker.number: worker.state for worker in log.workers if worker.number != TARGET}
    told = sum(state == "done" for state in last.values())
    return log.workload.began_at > 0 and told < log.workload.workers


def _write_failed(writer: RunLogWriter, rule_id: str, text: str) -> None:
    """An error of ours: the run must not look like a pass, whatever else upholds the claim of the rule."""
    writer.write(Case(f"rule.{rule_id}", "", "error", 0.0, (), text))


def _write_findings(writer: RunLogWriter, findings: Iterable[Finding], case: str) -> None:
    for finding in findings:
        writer.write(Occurrence(finding, case))


def _judge_whole(log: RunLog, writer: RunLogWriter, case: str, readings: tuple[Reading, ...]) -> None:
    """Judges what only the whole run can show."""
    ledger = ledger_of_claims.load().raised(INVARIANTS)
    for ruling in (judge_load(log, ledger), judge_thresholds(readings, log, ledger)):
        writer.write(*tallies(case, ruling.judgements))
        _write_findings(writer, ruling.findings, case)
        for notice in ruling.notices:
            writer.write(notice)
            if notice.verdict == "could-not-run":  # a rule that failed says nothing else
                _write_failed(writer, notice.claim, notice.reason)


def _write_open(log: RunLog, writer: RunLogWriter) -> RunLog:
    """The log with notices about claims that stay open: about reads in a storm, about logs where too few watched."""
    reason, notices = unwatched(log)
    if reason:
        writer.write(Remark(reason))
    if notice := unasked(log):
        notices = [notice, *notices]
    for notice in notices:
        writer.write(notice)
    return dataclasses.replace(log, notices=(*log.notices, *notices))


def _write_unshown(log: RunLog, writer: RunLogWriter, case: str) -> None:
    """Says of each claim that nothing judged that the scenario was not to show it, unless it was."""
    assert log.workload is not None
    chosen = scenario(log.workload.scenario)
    told = {tally.claim for tally in log.tallies} | {finding.claim for finding in log.findings}
    told |= {notice.claim for notice in log.notices}
    for claim in log.header.claims:
        if claim.id not in told and claim.id not in chosen.shows:
            reason = UNSHOWN_BUT_IN_STORM if claim.id == ASKED_AT_THE_END else UNSHOWN
            writer.write(Notice(claim.id, "not-applicable", reason))
    began_at = log.workload.began_at
    duration_s = max((window.at_s + 1.0 for window in log.windows), default=began_at) - began_at
    outcome: CaseOutcome = "failed" if any(occurrence.case == case for occurrence in log.occurrences) else "passed"
    writer.write(Case(case, chosen.says, outcome, round(duration_s, 3), chosen.shows))


def shortfall(log: RunLog, readings: Iterable[Reading], *, own_limits: bool) -> str:
    """What could not be judged and why, in one line: of the first the reason, of others the name; empty where all was.

    A run that breaks nothing is a pass only where what it was made for was judged. So it is none where a claim that
    the scenario is for has no verdict, where one of the invariants stays open though the run had occasion to judge it,
    where the generator kept a threshold from being judged, and where a threshold that the caller set himself was not
    judged. A threshold of ours that has too few samples in a short run is reported, and stops nothing.

    Args:
        log: The run with all judgements.
        own_limits: Whether the caller set the thresholds.
    """
    missing = [*_open_claims(log), *_open_limits(readings, own_limits=own_limits)]
    if not missing:
        return ""
    (_, reason), *others = missing
    names = [name for name, _ in others[:_MOST_NAMED]]
    names += [f"{len(others) - _MOST_NAMED} more"] if len(others) > _MOST_NAMED else []
    return f"not judged: {reason}" + (f"; nor {', '.join(names)}" if names else "")


def _open_claims(log: RunLog) -> Iterator[tuple[str, str]]:
    """The name of each claim, and what is said of it where it comes first."""
    assert log.workload is not None
    shows = scenario(log.workload.scenario).shows
    for claim in judge_claims(log).claims:
        name = claim.claim.id
        is_open = claim.verdict == "indeterminate" and name in (*INVARIANTS, *shows)
        if is_open or (claim.verdict == "not-applicable" and name in shows):
            yield name, f"{name}, {claim.reason}"


def _open_limits(readings: Iterable[Reading], *, own_limits: bool) -> Iterator[tuple[str, str]]:
    for reading in readings:
        enough = reading.count >= STATISTICS[reading.limit.statistic].samples_needed
        if reading.verdict == "indeterminate" and (own_limits or enough):
            name = f"{named(reading.limit.operation)} {reading.limit.statistic}".removeprefix(f"{named(ALL)} ")
            yield name, f"{limit_text(reading.limit)}, {reading.reason}"
