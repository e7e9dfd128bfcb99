"""
One run of the contract tests in this process: what they drive, who judges it, and where it is written down.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from touchstone import claims as ledger_of_claims
from touchstone import rules
from touchstone.contract import Contract
from touchstone.examination import Examination
from touchstone.exchange import Exchange
from touchstone.finding import Finding, Judgement
from touchstone.handover import Handover
from touchstone.journal import Journal
from touchstone.judge import Judge
from touchstone.provision import Template
from touchstone.rules.history import Bounds, Content, History
from touchstone.runfacts import Case, Notice, TemplateAction, TemplateDeed
from touchstone.runlog import RunLogWriter
from touchstone.settings import Settings
from touchstone.sweep import EMBEDDED_URL
from touchstone.terms import PUBLISH_ADVICE, RESTRICTED_KEY_ADVICE, SECOND_KEY_ADVICE, Budget
from touchstone.transport import Keys, Transport


class Journalled:
    """
    Writes what happens to templates into the journal and the run log.
    """

    def __init__(self, run_id: str, journal: Journal, log: RunLogWriter, transport: Transport) -> None:
        self._run_id = run_id
        self._journal = journal
        self._log = log
        self._transport = transport
        self._left: Counter[str] = Counter()

    def intend(self, template: Template) -> None:
        """
        *template* is about to be published.
        """
        self._left[template.ref] += 1
        self._journal.intend(template.ref)

    def published(self, template: Template, digest: str) -> None:
        """
        *template* was published.
        """
        self._journal.created(template.ref)
        self._log.template(TemplateAction(template.ref, self._purpose(template), digest, "published", self._now()))

    def removed(self, template: Template, *, gone: bool) -> None:
        """
        *template* was deleted, or could not be. The journal keeps a ref until nobody has a version of that name.
        """
        if gone:
            self._left[template.ref] -= 1
            if self._left[template.ref] <= 0:
                self._journal.removed(template.ref)
        else:
            self._log.warning(f"{template.ref} could not be deleted; `touchstone sweep` tries again")
        action: TemplateDeed = "deleted" if gone else "left"
        self._log.template(TemplateAction(template.ref, self._purpose(template), "", action, self._now()))

    def _purpose(self, template: Template) -> str:
        return template.name.removeprefix(f"touchstone-{self._run_id}-")

    def _now(self) -> float:
        return round(self._transport.now(), 6)


class Run:
    """
    One run of the contract tests in this process.

    Attributes:
        suspects: The versions that findings are about.
    """

    def __init__(self, handover: Handover, settings: Settings) -> None:
        self.settings = settings
        self.handover = handover
        self.ledger = ledger_of_claims.load()
        self.selected = {claim.id: claim for claim in self.ledger.select(settings.claims_glob)}
        self.contract = Contract.load()
        target = settings.target
        self.log = RunLogWriter(Path(handover.run_log))
        history = History(
            self.contract, Bounds(target.build_timeout_s, target.cancel_timeout_s), given=_given(settings)
        )
        self.judge = Judge(history, self.ledger, rules.EXCHANGE_RULES, rules.STORY_RULES)
        keys = Keys(target.api_key or "", target.second_api_key, target.restricted_api_key)
        self.transport = Transport(handover.url, keys, self.contract, self._record, target.request_timeout_s)
        journal_url = EMBEDDED_URL if target.embedded else handover.url
        self.journal = Journal.open(handover.run_id, journal_url, settings.state_dir, Path(handover.run_log).parent)
        until_at = settings.max_seconds or float("inf")
        self.exam = Examination(
            self.transport,
            target,
            handover.run_id,
            Journalled(handover.run_id, self.journal, self.log, self.transport),
            Budget(target.max_builds, until_at),
            handover.latency_s,
        )
        self._lock = threading.Lock()
        self._judgements: list[Judgement] = []
        self._clear: set[str] = set()
        self._broken: set[str] = set()
        self._findings: list[Finding] = []
        self.suspects: set[str] = set()
        self._refs: dict[str, None] = {}
        self._news: dict[str, None] = {}

    def _record(self, exchange: Exchange) -> None:
        with self._lock:
            self.log.exchange(exchange)
            self._judgements += self.judge.see(exchange)
            if exchange.ref:
                self._refs[exchange.ref] = None
                self._news[exchange.ref] = None

    def say(self, judgements: list[Judgement]) -> None:
        """
        Takes what another judge than the rules says about exchanges of the running case.

        Where a rule has found fault with an exchange already, the other judge finds the same one under another name.
        """
        with self._lock:
            told = {judgement.evidence[-1] for judgement in self._judgements if judgement.outcome == "broken"}
            self._judgements += [j for j in judgements if j.outcome != "broken" or j.evidence[-1] not in told]

    def conclude(self, case_id: str, *, final: bool = True) -> list[Finding]:
        """
        Judges the stories that the case added to; writes tallies and findings; returns the findings of the whole case.
        """
        with self._lock:
            judgements = self._judgements + self.judge.tell(self._refs)
            self._judgements, self._refs, self._news = [], {}, {}
        judgements = [j for j in judgements if j.claim in self.selected]
        self._clear |= {j.claim for j in judgements if j.outcome != "indeterminate"}
        self._broken |= {j.claim for j in judgements if j.outcome == "broken"}
        self.log.judgements(case_id, judgements)
        self.suspects |= self.judge.accused(judgements)
        findings = [self.judge.finding(j) for j in judgements if j.outcome == "broken"]
        for finding in findings:
            self.log.finding(finding, case_id)
        self._findings += findings
        told = list(self._findings)
        if final:
            self._findings = []
        return told

    def met_trouble(self) -> bool:
        """
        Whether anything has been found in the running case: what follows may then be a consequence of it.

        Only stories that went on since the last time are told again; all of them are when the case ends.
        """
        with self._lock:
            self._judgements += self.judge.tell(self._news)
            self._news = {}
            return bool(self.judge.accused(self._judgements))

    def has_found(self) -> bool:
        """
        Whether the run was after something and has found it.
        """
        quarry = self.handover.quarry
        return quarry is not None and quarry.is_found(self._broken)

    def can_do_without(self, case: Sequence[str]) -> bool:
        """
        Whether the run is after something, and a proof of it needs no case on these claims; see `touchstone.earlystop`.
        """
        quarry = self.handover.quarry
        return quarry is not None and (
            quarry.may_stop(self._broken, self._clear, self.selected)
            or quarry.may_skip(case, self._broken, self._clear)
        )

    def not_applicable(self, claims: Sequence[str], reason: str) -> None:
        """
        Says that the target shows nothing that *claims* could be judged by, as far as nothing has judged them.
        """
        for claim in claims:
            if claim in self.selected and claim not in self._clear:
                self.log.notice(Notice(claim, "not-applicable", reason))
                self._clear.add(claim)

    def unclear(self, claims: Sequence[str]) -> list[str]:
        """
        Those of *claims* that this target can show and that nothing has shown yet.
        """
        lacking = self.lacking()
        wanted = (self.selected[claim] for claim in claims if claim in self.selected)
        return [c.id for c in wanted if c.id not in self._clear and not any(lacking[need] for need in c.needs)]

    def lacking(self) -> dict[str, str]:
        """
        What the target does not offer, by need: what would have to be set, or empty where it is offered.
        """
        target = self.settings.target
        return {
            "publish": PUBLISH_ADVICE if target.publish == "never" else "",
            "second": "" if target.second_api_key else SECOND_KEY_ADVICE,
            "restricted": "" if target.restricted_api_key else RESTRICTED_KEY_ADVICE,
        }

    def finish(self) -> None:
        """
        Removes what the run made and judges that too.
        """
        try:
            clean = self.exam.clean_up()
            self.conclude("clean-up")
            self.journal.close(all_clean=clean)
        finally:
            self.transport.close()
            self._tell_needs()
            self._tell_failed()
            self.log.close()

    def _tell_failed(self) -> None:
        """
        A rule of ours that failed is a case that ended in an error, so that the run cannot pass.
        """
        for rule_id, error in self.judge.failed.items():
            text = self.transport.secrets.text(f"the rule {rule_id} failed: {error}")
            self.log.case(Case(f"rule.{rule_id}", "", "error", 0.0, (), text))

    def _tell_needs(self) -> None:
        lacking = self.lacking()
        for claim in self.selected.values():
            for need in sorted(claim.needs):
                if lacking[need]:
                    self.log.notice(Notice(claim.id, "not-applicable", lacking[need]))


def _given(settings: Settings) -> dict[str, Content]:
    """
    The templates that the user named, as the rules know them.
    """
    templates = settings.target.templates
    named = [
        *((ref, "primary", "ready") for ref in templates.buildable),
        *((ref, "primary", "failed") for ref in templates.failing),
        *((ref, "restricted", "unknown") for ref in templates.restricted),
    ]
    return {
        ref: Content(ref, owner, f"given:{ref}", outcome, 0.0, "", 0, float("-inf"), float("-inf"))  # type: ignore[arg-type]  # the literals above are of the two types
        for ref, owner, outcome in named
    }
