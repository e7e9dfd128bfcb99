"""State of one run of the contract tests in this process: examination, judge, journal and run log."""

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from touchstone.check.budget import Budget, Flow
from touchstone.check.cases import Declared, Scheduler
from touchstone.check.examination import PUBLISH_ADVICE, Examination, Ledger, key_advice, transport_to
from touchstone.check.handover import CheckHandover
from touchstone.check.journal import Journal
from touchstone.check.preflight import PlanWatch
from touchstone.check.sweep import EMBEDDED_URL
from touchstone.config import Templates
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.facts.events import Case, Notice, NoticeVerdict, Occurrence, Remark, RunLog, tallies
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.rules.history import Bounds, Content, Outcome
from touchstone.rules.judge import by_all_rules
from touchstone.rules.verdict import is_listed

UNSHOWN = "not tested by the recorded scenarios; record others, or run `touchstone check`"


@dataclass
class _CaseSoFar:
    """What a case that still runs has shown. *news* are the versions to judge since the last question for trouble."""

    judgements: list[Judgement] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    refs: dict[str, None] = field(default_factory=dict)
    news: dict[str, None] = field(default_factory=dict)


class Run:
    """One run of the contract tests in this process; *suspects* are the versions with findings."""

    def __init__(self, handover: CheckHandover) -> None:
        self.settings = settings = handover.settings
        self.handover = handover
        self.ledger = ledger_of_claims.load()
        self.selected = {claim.id: claim for claim in self.ledger.select(settings.claims_glob)}
        self.contract = Contract.load()
        target = settings.target
        self.log = RunLogWriter(Path(handover.run_log), drops=True)
        bounds = Bounds(target.build_timeout_s, target.cancel_timeout_s)
        self.judge = by_all_rules(bounds, given_contents(target.templates), target.key_sources)
        self.transport = transport_to(target, self.contract, self._record)
        self._clear: set[str] = set()
        self._broken: set[str] = set()
        self.done = self._take_over(read(Path(handover.run_log))) if handover.errand.mode == "run" else ()
        url = EMBEDDED_URL if target.embedded else target.url or ""
        self.journal = Journal.open(handover.run_id, url, settings.state_dir, Path(handover.run_log).parent)
        budget = Budget(target.max_builds, settings.max_seconds or float("inf"))
        ledger = Ledger(handover.run_id, self.journal, self.log, self.transport)
        # At a low latency, more requests at a time would only slow down the other cases.
        flow, pool = Flow(target.max_in_flight), ThreadPoolExecutor(min(8, 2 + int(handover.latency_s / 0.02)))
        known = self.transport, target, handover.run_id, ledger, budget, handover.latency_s
        self.exam = Examination(*known, flow=flow, pool=pool)
        self.plan = PlanWatch()
        self.scheduler = Scheduler(self.exam.flow)
        self._lock = threading.RLock()
        self.suspects: set[str] = set()
        self.declared: set[str] = set()
        self._is_alone = False
        self.unlimited = ""  # what was tried, if starts of new builds have reached no limit
        self.pending: Counter[str] = Counter()  # claims of the cases whose first attempt is not over
        self._cases: defaultdict[str, _CaseSoFar] = defaultdict(_CaseSoFar)

    def _take_over(self, log: RunLog) -> tuple[str, ...]:
        """Continues the numbers, times and verdicts of an earlier run in *log*; returns the cases that are done."""
        self._header = log.header
        self._broken = {finding.claim for finding in log.findings}
        self._clear = self._broken | {tally.claim for tally in log.tallies if tally.held}
        self.transport.number_from(max((exchange.seq for exchange in log.exchanges), default=0) + 1)
        self.transport.clock.pass_s(max((exchange.done_at for exchange in log.exchanges), default=0.0))
        return done(log)

    def exam_for(self, case_id: str) -> Examination:
        """Returns the examination for a case. Scenarios run one after the other and share one."""
        if self.handover.errand.mode == "run":
            return self.exam.for_case(case_id)
        self.exam.case = case_id
        return self.exam

    @property
    def is_lost(self) -> bool:
        """Whether the run log can no longer be written. If so, the run stops and cleans up."""
        return self.log.lost is not None

    def notice(self, case: Declared, verdict: NoticeVerdict, reason: str) -> None:
        """Records why a case did not judge its claims."""
        reason = self.transport.secrets.text(reason)
        self.log.write(*(Notice(claim, verdict, reason, case.id) for claim in case.claims if claim in self.selected))

    def _record(self, exchange: Exchange) -> None:
        with self._lock:
            self.plan.record(exchange)
            was_lost = self.is_lost
            self.log.write(exchange)
            if self.is_lost and not was_lost:
                self.exam.budget.until_at = float("-inf")  # no more requests until the clean-up
            case = self._cases[exchange.case]
            case.judgements += self.judge.add(exchange)
            if exchange.ref:
                case.refs[exchange.ref] = case.news[exchange.ref] = None

    def add(self, case_id: str, judgements: list[Judgement]) -> None:
        """Adds judgements of Schemathesis, except findings about exchanges for which a rule already has a finding."""
        with self._lock:
            case = self._cases[case_id]
            known = {judgement.evidence[-1] for judgement in case.judgements if judgement.outcome == "broken"}
            case.judgements += [j for j in judgements if j.outcome != "broken" or j.evidence[-1] not in known]

    def conclude(self, case_id: str, *, final: bool = True) -> list[Finding]:
        """Judges all exchanges about the versions that the case used; writes the judgements, returns the findings."""
        with self._lock:
            case = self._cases.pop(case_id, _CaseSoFar())
            judgements = case.judgements + self.judge.conclude(case.refs)
            judgements = [j for j in judgements if j.claim in self.selected]
            self._clear |= {j.claim for j in judgements if j.outcome != "indeterminate"}
            self._broken |= {j.claim for j in judgements if j.outcome == "broken"}
            self.log.write(*tallies(case_id, judgements))
            self.suspects |= self.judge.accused(judgements)
            findings = [self.judge.finding(j) for j in judgements if j.outcome == "broken"]
            self.log.write(*(Occurrence(finding, case_id) for finding in findings))
            if self.settings.fail_fast and (first := next(filter(self._fails, findings), None)):
                self.exam.stop(f"the run ended at the first broken must-level claim: {first.claim}")
            known = case.findings + findings
            if not final:
                self._cases[case_id].findings = known
            return known

    def _fails(self, finding: Finding) -> bool:
        ref = self.judge.by_seq[finding.evidence[-1]].ref or ""
        is_new = self.ledger[finding.claim].since > (self.settings.contract_version or self.ledger.version)
        return finding.level == "must" and not is_new and not is_listed(self._header, finding.claim, finding, ref)

    def has_trouble(self, case_id: str) -> bool:
        """Whether a case has findings so far; later findings may be consequences of these."""
        with self._lock:
            case = self._cases[case_id]
            case.judgements += self.judge.conclude(case.news)
            case.news = {}
            return bool(self.judge.accused(case.judgements))

    def can_do_without(self, case: Sequence[str]) -> bool:
        """Whether the run is a proof that does not need a case for the claims *case*; see check/cases.py."""
        quarry = self.handover.quarry
        return quarry is not None and (
            quarry.may_stop(self._broken, self._clear, self.selected)
            or quarry.may_skip(case, self._broken, self._clear)
        )

    def not_applicable(self, claims: Sequence[str], reason: str) -> None:
        """Records that those *claims* that have no judgement yet do not apply to the target."""
        for claim in claims:
            if claim in self.selected and claim not in self._clear:
                self.log.write(Notice(claim, "not-applicable", reason))
                self._clear.add(claim)

    def tried(self, claims: Sequence[str]) -> None:
        """Records that the first attempt of a case for *claims* is over."""
        with self._lock:
            self.pending.subtract(claims)

    def unclear(self, claims: Sequence[str]) -> list[str]:
        """Returns those *claims* that apply to the target, have no judgement yet, and are claims of no other case."""
        with self._lock:
            lacking = self.lacking()
            left = (self.selected[claim] for claim in claims if claim in self.selected and self.pending[claim] < 1)
            return [c.id for c in left if c.id not in self._clear and not any(lacking[need] for need in c.needs)]

    def now_alone(self) -> None:
        """Rests before the first case that runs alone, and lets it wait after a 429 again: the limits start afresh."""
        if not self._is_alone:
            self._is_alone = True
            # Twice the requested wait, because a server may extend it at each start that it refuses.
            self.exam.rest(min(2 * self.exam.flow.wait_s, self.exam.target.patience_s))
            self.exam.waits.lift(("startBuild", "429"), 0)

    def lacking(self) -> dict[str, str]:
        """Returns, for each need of a claim, such as a second key, what to set; empty if the target meets the need."""
        target = self.settings.target
        return {
            "publish": PUBLISH_ADVICE if target.publish == "never" else "",
            "second": "" if target.second_api_key else key_advice(target, "second"),
            "restricted": "" if target.restricted_api_key else key_advice(target, "restricted"),
        }

    def finish(self) -> None:
        """Ends all cases, cleans up the target, judges the clean-up, and closes the run log."""
        self.exam.stop(self.exam.stopping.why)  # after Ctrl-C, cases may still run
        self.scheduler.stop()
        try:
            self.exam.clean_up(keep=self.suspects if self.handover.errand.keep else ())
            if not self.plan.is_barred:
                self.conclude("clean-up")
            self.journal.close()
        finally:
            self.transport.close()
            if self.transport.remark:
                self.log.write(Remark(self.transport.remark))
            if self.handover.errand.mode == "run":
                lacking = self.lacking()
                needed = [(claim.id, lacking[need]) for claim in self.selected.values() for need in sorted(claim.needs)]
                notices = [(claim, reason) for claim, reason in needed if reason]
            else:  # scenarios are not meant to judge every claim
                notices = [(claim, UNSHOWN) for claim in self.selected.keys() - self._clear - self.declared]
            self.log.write(*(Notice(claim, "not-applicable", reason) for claim, reason in notices))
            # A rule that crashed counts as a case with an error, so that the run cannot pass.
            for rule_id, error in self.judge.failed.items():
                text = self.transport.secrets.text(f"the rule {rule_id} failed: {error}")
                self.log.write(Case(f"rule.{rule_id}", "", "error", 0.0, (), text))
            self.log.close()


def done(log: RunLog) -> tuple[str, ...]:
    """Returns the cases that have a verdict: they ended, and nothing kept them from judging their claims."""
    open_cases = {notice.case for notice in log.notices if notice.verdict != "not-applicable"}
    return tuple(case.id for case in log.cases if case.outcome != "error" and case.id not in open_cases)


def given_contents(templates: Templates) -> dict[str, Content]:
    """Returns, by ref, what the rules may assume about the configured templates."""
    always = float("-inf")
    given: list[tuple[str, Credential, Outcome]] = [
        *((ref, "primary", "ready") for ref in templates.buildable),
        *((ref, "primary", "failed") for ref in templates.failing),
        *((ref, "restricted", "unknown") for ref in templates.restricted),
    ]
    return {
        ref: Content(ref, owner, f"given:{ref}", outcome, 0.0, "", 0, always, always) for ref, owner, outcome in given
    }
