"""
One run of the contract tests in this process: what they drive, who judges it, and where it is written down.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from touchstone import claims as ledger_of_claims
from touchstone.budget import Budget
from touchstone.contract import Contract
from touchstone.examination import Examination
from touchstone.exchange import Exchange
from touchstone.finding import Finding, Judgement
from touchstone.handover import Handover
from touchstone.journal import Journal
from touchstone.judge import by_all_rules
from touchstone.planwatch import PlanWatch
from touchstone.provision import Template
from touchstone.recording import RUN_ID
from touchstone.replaying import Replay, Unwritten, bounds_of, call_of, conclusion_of, given_of, target_of, unused_words
from touchstone.rules.history import Bounds, Content
from touchstone.runfacts import Case, Notice, TemplateAction, TemplateDeed
from touchstone.runlog import RunLogWriter
from touchstone.settings import UNBOUNDED_BUILDS, Settings, TargetSettings
from touchstone.sweep import EMBEDDED_URL
from touchstone.terms import PUBLISH_ADVICE, restricted_key_advice, second_key_advice
from touchstone.transport import Keys, Transport

UNSHOWN = (
    "not shown by these scenarios; others may, and generated requests and all contract tests do with a live target"
)


class Journalled:
    """
    Writes what happens to templates into the journal and the run log.
    """

    def __init__(self, run_id: str, journal: Journal, log: RunLogWriter, transport: Transport) -> None:
        self._run_id = run_id
        self._journal = journal
        self._log = log
        self._transport = transport

    def intend(self, template: Template) -> None:
        """
        *template* is about to be published.
        """
        self._journal.intend(template.ref, template.owner)

    def published(self, template: Template, digest: str) -> None:
        """
        *template* was published.
        """
        self._journal.created(template.ref, template.owner)
        self._log.template(TemplateAction(template.ref, self._purpose(template), digest, "published", self._now()))

    def removed(self, template: Template, *, gone: bool, sure: bool = True) -> None:
        """
        *template* was deleted, or could not be. The journal keeps a ref until nobody has a version of that name.
        """
        if gone:
            self._journal.removed(template.ref, template.owner)
        action: TemplateDeed = "deleted" if gone else "left" if sure else "may-be-left"
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
        declared: The claims that cases set out to show.
    """

    def __init__(self, handover: Handover, settings: Settings) -> None:
        self.settings = settings
        self.handover = handover
        self.ledger = ledger_of_claims.load()
        self.selected = {claim.id: claim for claim in self.ledger.select(settings.claims_glob)}
        self.contract = Contract.load()
        target = settings.target
        self.log = RunLogWriter(Path(handover.run_log), drops=True)
        self.replay = Replay(handover.plays, handover.speed) if handover.mode == "replay" else None
        bounds = Bounds(target.build_timeout_s, target.cancel_timeout_s)
        self.judge = by_all_rules(bounds, given_contents(settings), target.key_sources)
        self.transport = self._transport()
        self.journal = None if self.replay else self._open_journal()
        self.exam = self._examination(target, handover.latency_s)
        self.plan = PlanWatch()
        self._unjudged: list[Exchange] = []
        self._conclusion: Callable[[Judgement], Judgement] = lambda judgement: judgement
        self._lock = threading.Lock()
        self._judgements: list[Judgement] = []
        self._clear: set[str] = set()
        self._broken: set[str] = set()
        self._findings: list[Finding] = []
        self.suspects: set[str] = set()
        self.declared: set[str] = set()
        self._refs: dict[str, None] = {}
        self._news: dict[str, None] = {}

    def _transport(self) -> Transport:
        target = self.settings.target
        keys = Keys(target.api_key or "", target.second_api_key, target.restricted_api_key, target.unused_keys)
        wire, clock = (self.replay.wire, self.replay.clock) if self.replay else (None, None)
        asked = (self.handover.url, keys, self.contract, self._record, target.request_timeout_s)
        return Transport(*asked, wire=wire, clock=clock, bounds=target.bounds)

    def _examination(self, target: TargetSettings, latency_s: float) -> Examination:
        run_id = RUN_ID if self.replay else self.handover.run_id
        tells = Journalled(run_id, self.journal, self.log, self.transport) if self.journal else Unwritten()
        builds = UNBOUNDED_BUILDS if self.replay else target.max_builds
        budget = Budget(builds, self.settings.max_seconds or float("inf"))
        return Examination(self.transport, target, run_id, tells, budget, latency_s)

    def _open_journal(self) -> Journal:
        url = EMBEDDED_URL if self.settings.target.embedded else self.handover.url
        folder = Path(self.handover.run_log).parent
        return Journal.open(self.handover.run_id, url, self.settings.state_dir, folder)

    @contextmanager
    def playing(self, play_id: str, *, is_story: bool) -> Iterator[Examination]:
        """
        What a scenario is played with: in a replay its recording is on, and what nobody asks for is played afterwards.

        Args:
            is_story: Whether a scenario asks; otherwise nothing is wrong with what nobody asks for.
        """
        if self.replay is None:
            yield self.exam
            return
        playback = self.replay.put_on(play_id)
        recording = playback.recording
        if recording.is_changed:
            self._warn(f"{recording.place}: was changed since it was recorded")
        for reason, number in sorted(recording.left_out.items()):
            self._warn(f"{recording.place}: {number} left out: {reason}")
        playback.clean = self.transport.secrets.text
        self.judge = by_all_rules(bounds_of(recording), given_of(recording))
        self._conclusion = conclusion_of(recording)
        case = self.exam.case
        self.exam = self._examination(target_of(recording, self.settings.target), recording.terms.latency_s)
        self.exam.case = case
        try:
            yield self.exam
        finally:
            unused = playback.unused()
            for exchange in unused:
                self.transport.send(call_of(exchange), self.exam.case)
            if unused and is_story:
                self._warn(f"{recording.place}: {unused_words(unused)}")

    @property
    def is_lost(self) -> bool:
        """
        Whether the run log takes no more: there is no use in going on, and the target has to be cleaned up.
        """
        return self.log.lost is not None

    def _warn(self, text: str) -> None:
        self.log.warning(text)

    def _record(self, exchange: Exchange) -> None:
        with self._lock:
            if self.replay:
                self._unjudged.append(exchange)
            else:
                self.plan.hear(exchange)
                self._see(exchange)

    def _see(self, exchange: Exchange) -> None:
        was_lost = self.is_lost
        self.log.exchange(exchange)
        if self.is_lost and not was_lost:
            self.exam.budget.until_at = float("-inf")  # until the clean-up nothing more is sent
        self._judgements += self.judge.see(exchange)
        if exchange.ref:
            self._refs[exchange.ref] = None
            self._news[exchange.ref] = None

    def _see_recorded(self) -> None:
        """
        Sees what was replayed in the order in which it was over when it was recorded.
        """
        for exchange in sorted(self._unjudged, key=lambda each: each.done_at):
            self._see(exchange)
        self._unjudged.clear()

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
            self._see_recorded()
            judgements = list(map(self._conclusion, self._judgements + self.judge.tell(self._refs)))
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
            "second": "" if target.second_api_key else second_key_advice(target),
            "restricted": "" if target.restricted_api_key else restricted_key_advice(target),
        }

    def finish(self) -> None:
        """
        Removes what the run made and judges that too.
        """
        try:
            if self.journal:
                clean = self.exam.clean_up()
                if not self.plan.is_barred:
                    self.conclude("clean-up")
                self.journal.close(all_clean=clean)
        finally:
            self.transport.close()
            if self.transport.remark:
                self.log.warning(self.transport.remark)
            if self.handover.mode == "run":
                self._tell_needs()
            else:
                self._tell_unshown()
            self._tell_failed()
            self.log.close()

    def _tell_failed(self) -> None:
        """
        A rule of ours that failed is a case that ended in an error, so that the run cannot pass.
        """
        for rule_id, error in self.judge.failed.items():
            text = self.transport.secrets.text(f"the rule {rule_id} failed: {error}")
            self.log.case(Case(f"rule.{rule_id}", "", "error", 0.0, (), text))

    def _tell_unshown(self) -> None:
        """
        What nobody set out to show, and nothing showed, is not what scenarios are for.
        """
        for claim in self.selected.keys() - self._clear - self.declared:
            self.log.notice(Notice(claim, "not-applicable", UNSHOWN))

    def _tell_needs(self) -> None:
        lacking = self.lacking()
        for claim in self.selected.values():
            for need in sorted(claim.needs):
                if lacking[need]:
                    self.log.notice(Notice(claim.id, "not-applicable", lacking[need]))


def given_contents(settings: Settings) -> dict[str, Content]:
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
