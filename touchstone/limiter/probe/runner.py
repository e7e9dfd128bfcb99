"""Probe command: this process sets up, judges and cleans up; a child process sends the stimuli."""

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.check.handover import Errand
from touchstone.check.job import REACHED_ITS_END, Outcome
from touchstone.check.preflight import REF
from touchstone.check.run import given_contents
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.errors import UsageError, unsent
from touchstone.facts.events import Case, CaseOutcome, Footer, Notice, Remark, RunLog
from touchstone.facts.identity import Identity
from touchstone.facts.probe import KneeTerms, ProbeStory, Probing, Terms
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.wording import describe_chance, plural
from touchstone.limiter.probe.loop import CASE, ProbeHandover
from touchstone.loadgen.judge import INLINE_RULES, write_judgements
from touchstone.loadgen.knee import describe_reason
from touchstone.loadgen.not_judged import judged_claims
from touchstone.loadgen.plan import Need
from touchstone.loadgen.runner import SLACK_S, SettingUp, StagedJob, check_allowed
from touchstone.rules.history import Bounds, History
from touchstone.rules.judge import Judge
from touchstone.types import Conclude, Progress

# Extra versions beside those whose builds stay in flight: cancelled builds occupy their versions for a while.
SPARE = 32
# Duration of the builds of a probe in seconds, unless they are cancelled.
BUILD_S = 300.0


@dataclass(frozen=True, slots=True)
class Launch:
    """Settings of one probe; *past* is the run log of an interrupted probe to continue."""

    operation: str
    terms: Terms
    allowed_host: str = ""
    past: RunLog | None = None
    knee: KneeTerms | None = None


def needs(settings: Settings, terms: Terms) -> tuple[Need, ...]:
    """Versions that a probe needs: new ones with long builds, or those in the settings if publishing is forbidden."""
    target = settings.target
    has = len(set(target.templates.buildable)) if target.publish == "never" else None
    if not terms.starts:
        return () if has == 0 else (Need("own", "read"),)
    if has is not None:
        return (Need("own", "pool"),) * has
    return (Need("own", "pool", sleep_s=builds_s(settings)),) * min(terms.most_builds, terms.most_held + SPARE)


def builds_s(settings: Settings) -> float:
    """Duration of the builds of published versions, in seconds; 0 if the probe publishes none."""
    target = settings.target
    if target.publish == "never":
        return 0.0
    return BUILD_S if target.embedded else min(BUILD_S, round(0.9 * target.build_timeout_s, 1))


def check_terms(settings: Settings, launch: Launch) -> None:
    """Raises `UsageError` if the target may not be probed, or if there is no version to start."""
    target = settings.target
    if target.url:
        check_allowed(target.url, launch.allowed_host)
    if launch.terms.starts and target.publish == "never" and not target.templates.buildable:
        problem = 'publish is "never", and templates.buildable is empty'
        advice = "add versions to it, or probe with --operation getBuild"
        raise UsageError(f"probe: no version to start: {problem}; {advice}")


def probe(settings: Settings, launch: Launch, argv: Sequence[str], progress: Progress, conclude: Conclude) -> Outcome:
    """Identifies the rate limiter of the target; raises `UsageError` for the reasons of `check_terms`."""
    with unsent():
        check_terms(settings, launch)
    return _Probe(settings, progress, launch).run(argv, conclude)


class _Probe(StagedJob):
    """One probe, or the rest of an interrupted one."""

    errand = Errand(command="probe")
    child = ("the probe's process", "probe.log")

    def __init__(self, settings: Settings, progress: Progress, launch: Launch) -> None:
        super().__init__(settings, progress)
        self._launch = launch
        past = launch.past.probe if launch.past else None
        # Number of events of the earlier session by type: they are written again, but not reported again.
        self._recalled = Counter({"stimulus": len(past.sent), "tried": len(past.tried)} if past else {})
        self._report, self.progress = self.progress, self._progress

    def _progress(self, event: dict[str, Any]) -> None:
        kind = event.get("type", "")
        if self._recalled[kind] > 0:
            self._recalled[kind] -= 1
        else:
            self._report(event)

    def send(self, stage: SettingUp) -> Footer:
        until_at = self._begin(stage)
        stage.smoke(self.is_stopped)
        built = stage.stage(needs(self.settings, self._launch.terms), self.is_stopped)
        if self.is_stopped():
            return REACHED_ITS_END
        most = self.settings.target.max_builds
        handover = ProbeHandover(
            settings=self.settings,
            run_log=str(self.run_log.absolute()),
            # A read of a missing version works too: the response is a 404, unless a limiter refuses the read.
            refs=tuple(dict.fromkeys(built.refs("own"))) or (REF,),
            origin=stage.clock.origin,
            until_at=until_at,
            first_seq=stage.last_seq + 1,
            spent_builds=most - stage.builds_left(most) if self._launch.terms.starts else 0,
        )
        return self.child_ended(self.run_child(probe_command(), handover, until_at - stage.clock.now() + SLACK_S))

    def judge(self, footer: Footer) -> Footer:
        log = read(self.run_log)
        with RunLogWriter(self.run_log) as writer:
            _judge_exchanges(log, self.settings, writer)
            log = read(self.run_log)
            _note_unjudged(log, writer)
            if odd := _odd(log.probe):
                writer.write(Remark(odd))
            if not footer.exit_code and (reason := unsure(log.probe) or no_knee(log.probe)):
                footer = dataclasses.replace(footer, exit_code=3, reason=reason)
            if footer.exit_code and log.findings:  # findings become the reason; the other one stays as a remark
                writer.write(Remark(footer.reason))
        return footer

    def _begin(self, stage: SettingUp) -> float:
        """Writes the task and the events of an earlier session; returns the run second at which the time is up."""
        terms, past, origin_utc = self._launch.terms, self._launch.past, round(time.time() - stage.clock.now(), 6)
        plain = dataclasses.asdict(terms)
        probing = Probing(self._launch.operation, terms.seed, plain, origin_utc, knee=self._launch.knee)
        with RunLogWriter(self.run_log) as writer:
            if past is None or past.probe is None:
                writer.write(probing)
            else:
                story = past.probe
                probing = story.probing
                stage.clock.origin = time.monotonic() - (time.time() - probing.origin_utc)
                spent_s = round(probing.spent_s + max(0.0, story.last_at - probing.began_at), 6)
                began_at = round(stage.clock.now(), 6)
                probing = dataclasses.replace(probing, terms=plain, spent_s=spent_s, began_at=began_at)
                exchanges = [exchange for exchange in past.exchanges if exchange.case == CASE]
                numbers = [*(a.seq for a in story.answers), *(e.seq for e in exchanges)]
                stage.transport.number_from(1 + max(numbers, default=0))
                writer.write(probing, *story.sent, *story.answers, *story.ended, *story.tried, *exchanges)
        return probing.began_at + max(0.0, terms.most_s - probing.spent_s)


def probe_command() -> list[str]:
    """Command line of the child process."""
    return [sys.executable, "-m", "touchstone.limiter.probe"]


def unsure(story: ProbeStory | None) -> str:
    """Why the limiter is uncertain, and what to do; empty if the limiter is certain."""
    if story is None or story.identified is None:
        return "the probe ended without a result"
    identity = story.identified.identity
    if identity.sure:
        return ""
    known = "the limiter is not certain"
    if identity.families:
        first = identity.families[0]
        known += f" ({first.family.replace('-', ' ')} with a probability of {describe_chance(first.probability)})"
    elif identity.unlimited_to:
        known = f"no limit within {plural(identity.unlimited_to, 'request')}"
    doubt = "; ".join(identity.notes) or "no further request gives more information"
    whys = {"budget": _spent(story, identity), "nothing left to learn": doubt}
    return f"{known}: {whys.get(identity.why, 'the probe ended early')}"


def no_knee(story: ProbeStory | None) -> str:
    """Why the requested knee is unknown, and what to do; empty if the knee is known or not requested."""
    if story is None or story.probing.knee is None:
        return ""
    if story.knee is None:
        return "the probe ended without a result for the knee"
    return "" if story.knee.is_known else f"the knee is unknown: {describe_reason(story.knee)}"


def _spent(story: ProbeStory, identity: Identity) -> str:
    """Says which budget is spent, and which option raises it."""
    most = story.probing.terms
    builds = max([sum(each.may_have_begun for each in story.answers), *(end.builds for end in story.ended)])
    if identity.cost.requests >= most["most_requests"]:
        budget, flag = plural(most["most_requests"], "request"), "--max-requests"
    elif most["starts"] and builds >= most["most_builds"]:
        budget, flag = plural(most["most_builds"], "build"), "--max-builds"
    else:
        budget, flag = f"{most['most_s']:g} s", "--max-seconds"
    return f"the budget of {budget} is spent; raise {flag}"


def _odd(story: ProbeStory | None) -> str:
    """Sentence about responses that are no evidence about a limiter; empty without such responses."""
    answers = [answered for answered in story.answers if not answered.is_evidence] if story else []
    if story is None or not answers:
        return ""
    counts = Counter(f"status {answered.status}" if answered.status else "no response" for answered in answers)
    others = ", ".join(f"{count:,} times {what}" for what, count in sorted(counts.items()))
    return f"{plural(len(story.answers), 'limited request')}, some without information about a limiter: {others}"


def _judge_exchanges(log: RunLog, settings: Settings, writer: RunLogWriter) -> None:
    """Judges all exchanges; of the probed operation, only those with a response that tells something of the limiter."""
    bounds = Bounds(settings.target.build_timeout_s, settings.target.cancel_timeout_s)
    history = History(Contract.load(), bounds, given=given_contents(settings.target.templates))
    judge = Judge(history, ledger_of_claims.load(), INLINE_RULES, (), settings.target.key_sources)
    others = {answered.seq for answered in log.probe.answers if not answered.is_evidence} if log.probe else set()
    received = [each for each in log.exchanges if each.response and not (each.case == CASE and each.seq in others)]
    judgements = [j for each in sorted(received, key=lambda each: each.done_at) for j in judge.add(each)]
    write_judgements(writer, judge, judgements, CASE)


def _note_unjudged(log: RunLog, writer: RunLogWriter) -> None:
    """Records the claims that no exchange judged, and the outcome of the probe itself."""
    judged = judged_claims(log) | {notice.claim for notice in log.notices}
    reason = "a probe does not test it; `touchstone check` does"
    writer.write(*(Notice(c.id, "not-applicable", reason) for c in log.header.claims if c.id not in judged))
    outcome: CaseOutcome = "failed" if any(occurrence.case == CASE for occurrence in log.occurrences) else "passed"
    lasted_s = log.probe.last_at - log.probe.probing.began_at if log.probe else 0.0
    if not any(case.id == CASE for case in log.cases):
        writer.write(Case(CASE, "Identifies the rate limiter of an operation.", outcome, round(lasted_s, 3)))
