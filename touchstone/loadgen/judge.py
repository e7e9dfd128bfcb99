"""Judgement of a load run: each response immediately; exchange sequences, the whole run and thresholds at the end.

Rules that read a single exchange judge equal exchanges alike. So responses with the same fingerprint are judged once.
"""

import functools
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from touchstone.check.run import given_contents
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.facts.events import Case, CaseOutcome, Footer, Notice, Occurrence, Remark, RunLog, Tally, tallies
from touchstone.facts.exchange import Exchange, Response
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.key_sources import USUAL, KeySources
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.sample import UNSENT
from touchstone.facts.wording import some
from touchstone.loadgen.client import Requests
from touchstone.loadgen.metrics import ALL, last_reports
from touchstone.loadgen.not_judged import CLOSING_CLAIM, STORM, judged_claims, reason_text, unprobed, unwatched
from touchstone.loadgen.plan import INVARIANTS, TABLES, scenario
from touchstone.loadgen.rules import judge_load
from touchstone.loadgen.thresholds import STATISTICS, Reading, judge_thresholds, limit_text, measured, scope_text
from touchstone.rules import catalogue
from touchstone.rules.catalogue import EXCHANGE_RULES
from touchstone.rules.history import Bounds, History
from touchstone.rules.judge import Judge, finding_of, judgements_of
from touchstone.rules.rule import Rule
from touchstone.rules.verdict import judge as judge_claims
from touchstone.target.call import LONG_BODY_BYTES, NOT_REACHED, Answer, OutgoingRequest

SET_UP, CLEAN_UP = "set-up", "clean-up"  # cases of the exchanges before and after the load

_INLINE = TABLES["inline_rules"]
_INLINE_IDS = frozenset(f"{subject}.{name}" for subject, names in _INLINE.items() for name in names)
INLINE_RULES: tuple[Rule[Exchange], ...] = tuple(rule for rule in EXCHANGE_RULES if rule.id in _INLINE_IDS)
# All other rules read several exchanges, or times. They judge after the run. A rule that is no inline rule is here.
STORY_TIME_RULES: tuple[Rule[Exchange], ...] = tuple(rule for rule in EXCHANGE_RULES if rule.id not in _INLINE_IDS)
# Inline rules that also judge long bodies, because they need only the head, the length, or a search for keys.
_OUTER = frozenset({"refusals.key", *(f"protocol.{name}" for name in _INLINE["protocol"][:4])})
OUTER_RULES: tuple[Rule[Exchange], ...] = tuple(rule for rule in INLINE_RULES if rule.id in _OUTER)
_NEED_EVERY_START = frozenset({"room.free"})  # needs all starts; if the log lacks some, only load rules judge

READ_HEADERS = frozenset({"content-type", "retry-after"})  # read by inline rules; others matter only if they hold a key
LARGE_BODY_BYTES = 65_536  # the response to a larger request is easily lost, and rules allow that
MAX_FINGERPRINTS = 50_000  # at this number the cache is cleared
_LONGEST_KEPT_BYTES = 1_024  # in a fingerprint, a longer body is replaced by its digest, to limit memory
# A request id without blanks, quotes and escapes cannot be a stack trace, and cannot make the JSON invalid.
_REQUEST_ID = re.compile(rb'"request_id"\s*:\s*"([!#-\[\]-~]*)"')
_LONGEST_MASKED_BYTES = 4_096
_MARKER = "<key:"

UNTESTED = "this scenario does not test it; `touchstone check` does"
TESTED_BY_STORM = f"this scenario does not test it; `touchstone load {STORM}` does"


@dataclass(slots=True)
class _Verdict:
    """Judgements that several fingerprints have in common, and the number of responses with these fingerprints."""

    judgements: tuple[Judgement, ...]  # without evidence and duplicates
    is_partial: bool  # whether only part of the body was judged
    count: int = 0


class AnswerJudge:
    """Judges the responses that one process receives. It never waits, so concurrent clients can share it."""

    def __init__(self, history: History, ledger: Ledger, requests: Requests, sources: KeySources = USUAL) -> None:
        self.findings: dict[str, Finding] = {}  # first occurrence of each finding, by id
        self.failed: dict[str, str] = {}  # first error of each rule, by its id
        self._history = history
        self._ledger = ledger
        self._sources = sources
        self._requests = requests
        self._secrets = requests.secrets
        self._known: dict[object, _Verdict] = {}
        self._verdicts: dict[object, _Verdict] = {}
        self._hides_key = functools.lru_cache(maxsize=1024)(self._holds_key)

    def judge(
        self, request: OutgoingRequest, answer: Answer, seq: int, case: str = ""
    ) -> tuple[tuple[Finding, ...], Exchange | None]:
        """Judges one response; returns its new findings and its exchange (None if its fingerprint is known)."""
        fingerprint = self.fingerprint(request, answer)
        verdict = None if fingerprint is None else self._known.get(fingerprint)
        if verdict is not None:
            verdict.count += 1
            return (), None
        is_partial = len(answer.body) > LONG_BODY_BYTES
        exchange = self._requests.exchange(request, answer, seq, case)
        rules = OUTER_RULES if is_partial else INLINE_RULES
        judgements = [j for rule in rules for j in judgements_of(rule, exchange, self._history, self.failed)]
        new = tuple(self._new(judgements, exchange))
        bare = (replace(j, evidence=(), actual=j.actual * (j.outcome == "indeterminate")) for j in judgements)
        alike = tuple(dict.fromkeys(bare))  # only a few: most fingerprints have the same judgements
        verdict = self._verdicts.setdefault((alike, is_partial), _Verdict(alike, is_partial))
        verdict.count += 1
        if fingerprint is not None:
            if len(self._known) >= MAX_FINGERPRINTS:
                self._known.clear()
            self._known[fingerprint] = verdict
        return new, exchange

    def fingerprint(self, request: OutgoingRequest, answer: Answer) -> object | None:
        """Response fingerprint: two responses with the same fingerprint get the same judgement.

        None for a response that contains a key or has a long body: such a response is always judged.
        """
        head, body, error = answer.head, answer.body, answer.error
        if head is None:
            if error.startswith(NOT_REACHED):
                return request.operation, len(request.body) > LARGE_BODY_BYTES
            return request, error.split(" ", 1)[0]
        if len(body) > LONG_BODY_BYTES or any(map(self._hides_key, head.headers)):
            return None
        body, request_id = masked(body)
        if request_id and self._secrets.data(request_id) != request_id:
            return None
        read = tuple((name, value) for name, value in head.headers if name in READ_HEADERS)
        known = body if len(body) <= _LONGEST_KEPT_BYTES else hashlib.blake2b(body).digest()
        return request, head.status, read, known, error and error.split(" ", 1)[0], answer.closed

    def occurrences(self) -> dict[str, int]:
        """Number of responses with each finding, by id of the finding."""
        times = dict.fromkeys(self.findings, 0)
        for verdict in self._verdicts.values():
            for name in {judgement.finding_id for judgement in verdict.judgements if judgement.outcome == "broken"}:
                times[name] += verdict.count
        return times

    def tallies(self, case: str = "") -> tuple[Tally, ...]:
        """Numbers of held and indeterminate judgements over all responses: one tally per check and claim."""
        judgements = [judgement for verdict in self._verdicts.values() for judgement in verdict.judgements]
        counts = [verdict.count for verdict in self._verdicts.values() for _ in verdict.judgements]
        return tallies(case, judgements, counts)

    def partly_judged(self) -> str:
        """Remark on responses that only some rules judged; empty if there are none."""
        number = sum(verdict.count for verdict in self._verdicts.values() if verdict.is_partial)
        return reason_text("partly_judged", number)

    def _holds_key(self, header: tuple[str, str]) -> bool:
        line = ": ".join(header)
        return _MARKER in line or self._secrets.text(line) != line

    def _new(self, judgements: Iterable[Judgement], exchange: Exchange) -> Iterable[Finding]:
        for judgement in judgements:
            if judgement.outcome == "broken" and judgement.finding_id not in self.findings:
                finding = finding_of(judgement, exchange, self._ledger, self._sources)
                self.findings[finding.id] = finding
                yield finding


def masked(body: bytes) -> tuple[bytes, bytes]:
    """Returns (body, request id). In a JSON body, the id is masked. Any other body is unchanged, and its id is b""."""
    found = _REQUEST_ID.search(body) if b'"request_id"' in body and len(body) <= _LONGEST_MASKED_BYTES else None
    if found is None:
        return body, b""
    start, end = found.span(1)
    rest = body[:start] + b"*" + body[end:]
    # If the masked body is JSON, the match was a whole value, and the original body is JSON as well.
    return (rest, found[1]) if Response(0, (), rest).json_object() else (body, b"")


def judge_load_run(run_log: Path, settings: Settings, footer: Footer, *, own_limits: bool = False) -> Footer:
    """Judges a finished run into its log; returns *footer*, with exit code 3 if something tested was not judged."""
    log = replace(read(run_log), footer=footer)  # reasons may mention how the run ended
    if log.workload is None:
        return footer
    case = f"load.{log.workload.scenario}"
    ledger = ledger_of_claims.load().raised(INVARIANTS)
    readings = measured(log) if log.windows else ()
    with RunLogWriter(run_log) as writer:
        _judge_stories(log, settings, ledger, writer, case)
        for ruling in (judge_load(log, ledger), judge_thresholds(readings, log, ledger)) if log.windows else ():
            writer.write(*tallies(case, ruling.judgements))
            writer.write(*(Occurrence(finding, case) for finding in ruling.findings), *ruling.notices)
            for notice in ruling.notices:
                if notice.verdict == "could-not-run":  # the rule raised an error, so that the run must not pass
                    writer.write(Case(f"rule.{notice.claim}", "", "error", 0.0, (), notice.reason))
        judged = replace(read(run_log), footer=footer)
        reason, notices = unwatched(judged)
        notices += unprobed(judged)
        writer.write(*([Remark(reason)] if reason else []), *notices)
        judged = replace(judged, notices=(*judged.notices, *notices))
        _write_untested(judged, writer, case)
        if not footer.exit_code and (reason := shortfall(judged, readings, own_limits=own_limits)):
            footer = replace(footer, exit_code=3, reason=reason)
        if footer.exit_code and judged.findings:  # with findings, the report gives no other reason for the exit code
            writer.write(Remark(footer.reason))
    return footer


def _judge_stories(log: RunLog, settings: Settings, ledger: Ledger, writer: RunLogWriter, case: str) -> None:
    """Applies rules for sequences to completely recorded versions, and all rules to set-up and clean-up."""
    target = settings.target
    bounds = Bounds(target.build_timeout_s, target.cancel_timeout_s)
    history = History(Contract.load(), bounds, given=given_contents(settings.target.templates))
    partial = _partial(log)
    fitting = tuple(rule for rule in STORY_TIME_RULES if not partial or rule.id not in _NEED_EVERY_START)
    judge = Judge(history, ledger, fitting, catalogue.STORY_RULES, target.key_sources)
    judgements: list[Judgement] = []
    for exchange in sorted(log.exchanges, key=lambda each: each.done_at):
        judgements += judge.add(exchange)
        if exchange.case in (SET_UP, CLEAN_UP):
            judgements += [j for rule in INLINE_RULES for j in judgements_of(rule, exchange, history, judge.failed)]
    judgements += judge.conclude(dict.fromkeys(e.ref for e in log.exchanges if e.ref and e.ref not in partial))
    write_judgements(writer, judge, judgements, case)
    if partial or _is_cut(log):
        number = len({attempt.ref for attempt in log.attempts} | {build.ref for build in log.builds})
        is_stopped = any(attempt.cut_off for attempt in log.attempts)
        writer.write(Remark(reason_text("unrecorded", len(partial), number, _is_cut(log), is_stopped)))


def _partial(log: RunLog) -> set[str]:
    if _is_cut(log):
        return {exchange.ref for exchange in log.exchanges if exchange.ref}
    kept = {exchange.seq for exchange in log.exchanges}
    started = {attempt.ref for attempt in log.attempts if attempt.seq not in kept}
    return started | {build.ref for build in log.builds if build.seq not in kept}


def _is_cut(log: RunLog) -> bool:
    """Whether a worker did not report everything, so that the log may lack its last starts and cancels."""
    assert log.workload is not None
    done = sum(worker.state == "done" for worker in last_reports(log.workers))
    return log.workload.began_at > 0 and done < log.workload.workers


def write_judgements(writer: RunLogWriter, judge: Judge, judgements: Sequence[Judgement], case: str) -> None:
    """Writes judgements of exchanges into a run log, and the errors of rules."""
    writer.write(*tallies(case, judgements))
    writer.write(*(Occurrence(judge.finding(j), case) for j in judgements if j.outcome == "broken"))
    for rule_id, error in judge.failed.items():
        writer.write(Case(f"rule.{rule_id}", "", "error", 0.0, (), f"the rule {rule_id} failed: {error}"))


def _write_untested(log: RunLog, writer: RunLogWriter, case: str) -> None:
    assert log.workload is not None
    chosen = scenario(log.workload.scenario)
    judged = judged_claims(log) | {notice.claim for notice in log.notices}
    for claim in log.header.claims:
        if claim.id not in judged and claim.id not in chosen.claims:
            reason = TESTED_BY_STORM if claim.id == CLOSING_CLAIM else UNTESTED
            writer.write(Notice(claim.id, "not-applicable", reason))
    began_at = log.workload.began_at
    duration_s = max((window.at_s + 1.0 for window in log.windows), default=began_at) - began_at
    outcome: CaseOutcome = "failed" if any(occurrence.case == case for occurrence in log.occurrences) else "passed"
    writer.write(Case(case, chosen.description, outcome, round(duration_s, 3), chosen.claims))


def shortfall(log: RunLog, readings: Iterable[Reading], *, own_limits: bool) -> str:
    """Returns why a run without a broken claim is no pass: the first item that was not judged, and names of others.

    Items are claims that the scenario tests, claims in INVARIANTS, and thresholds. A threshold with too few samples
    counts only if the caller set it (*own_limits*). The result is empty if everything was judged.
    """
    assert log.workload is not None
    if all(window.outcome == UNSENT for window in log.windows):  # also true if no worker reported anything
        return "no request of the load was sent"
    tested = scenario(log.workload.scenario).claims
    missing: list[tuple[str, str]] = []  # name of an item, and its text if it is the first
    for claim in judge_claims(log).claims:
        name = claim.claim.id
        is_open = claim.verdict == "indeterminate" and name in (*INVARIANTS, *tested)
        if is_open or (claim.verdict == "not-applicable" and name in tested):
            missing.append((name, f"{name}, {claim.reason}"))
    for reading in readings:
        enough = reading.count >= STATISTICS[reading.limit.statistic].samples_needed
        if reading.verdict == "indeterminate" and (own_limits or enough):
            name = f"{scope_text(reading.limit.operation)} {reading.limit.statistic}"
            missing.append((name.removeprefix(f"{scope_text(ALL)} "), f"{limit_text(reading.limit)}, {reading.reason}"))
    if not missing:
        return ""
    (_, reason), *others = missing
    return f"not judged: {reason}" + (f"; also not judged: {some(name for name, _ in others)}" if others else "")
