"""
Runs the contract tests under pytest: gives them an examination, judges what they did, writes the run log.

A case asserts nothing. When it is over, the rules have spoken about each of its exchanges; a broken claim fails it.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from touchstone import claims as ledger_of_claims
from touchstone import rules
from touchstone.adapters.child import Handover, hold_lifeline, received
from touchstone.adapters.plan import Cost, cost_of, write_plan
from touchstone.contract import Contract
from touchstone.errors import HarnessError
from touchstone.examination import Budget, Examination, Unsuited
from touchstone.exchange import Exchange
from touchstone.finding import Finding, Judgement
from touchstone.journal import Journal
from touchstone.judge import Judge
from touchstone.provision import Template
from touchstone.rules.history import Bounds, Content, History
from touchstone.runfacts import Case, CaseOutcome, Notice, NoticeVerdict, TemplateAction
from touchstone.runlog import RunLogWriter
from touchstone.settings import Settings
from touchstone.sweep import EMBEDDED_URL
from touchstone.transport import Keys, Transport

PROFILES = ("quick", "standard", "thorough")

# A case whose occasion did not arise, because a build was over too soon or a request came too late, is tried again
# with builds that take this much longer.
STRETCH = 4.0

SECOND_KEY_ADVICE = "set second_api_key_env, or ORGO_SECOND_API_KEY, to another account's key"
RESTRICTED_KEY_ADVICE = "set restricted_api_key_env, or ORGO_RESTRICTED_API_KEY, to a key below the Scale plan"

_RUN = pytest.StashKey["Run"]()


class Journalled:
    """
    Writes what happens to templates into the journal and the run log.
    """

    def __init__(self, journal: Journal, log: RunLogWriter, now: "Transport") -> None:
        self._journal = journal
        self._log = log
        self._transport = now

    def intend(self, template: Template) -> None:
        """
        *template* is about to be published.
        """
        self._journal.intend(template.ref)

    def published(self, template: Template, digest: str) -> None:
        """
        *template* was published.
        """
        self._journal.created(template.ref)
        self._log.template(
            TemplateAction(template.ref, template.marker, digest, "published", round(self._transport.now(), 6))
        )

    def removed(self, template: Template, *, gone: bool) -> None:
        """
        *template* was deleted, or could not be.
        """
        if gone:
            self._journal.removed(template.ref)
        else:
            self._log.warning(f"{template.ref} could not be deleted; `touchstone sweep` tries again")
        action = "deleted" if gone else "left"
        self._log.template(TemplateAction(template.ref, template.marker, "", action, round(self._transport.now(), 6)))


class Run:
    """
    One run of the contract tests in this process.
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
        until_at = settings.max_seconds if settings.max_seconds else float("inf")
        self.exam = Examination(
            self.transport,
            target,
            handover.run_id,
            Journalled(self.journal, self.log, self.transport),
            Budget(target.max_builds, until_at),
            handover.latency_s,
        )
        self._lock = threading.Lock()
        self._judgements: list[Judgement] = []
        self._clear: set[str] = set()
        self._findings: list[Finding] = []
        self._refs: dict[str, None] = {}

    def _record(self, exchange: Exchange) -> None:
        with self._lock:
            self.log.exchange(exchange)
            self._judgements += self.judge.see(exchange)
            if exchange.ref:
                self._refs[exchange.ref] = None

    def say(self, judgements: list[Judgement]) -> None:
        """
        Takes what another judge than the rules says about exchanges of the running case.
        """
        with self._lock:
            self._judgements += judgements

    def conclude(self, case_id: str, *, final: bool = True) -> list[Finding]:
        """
        Judges the stories that the case added to; writes tallies and findings; returns the findings of the whole case.
        """
        with self._lock:
            judgements = self._judgements + self.judge.tell(self._refs)
            self._judgements, self._refs = [], {}
        judgements = [j for j in judgements if j.claim in self.selected]
        self._clear |= {j.claim for j in judgements if j.outcome != "indeterminate"}
        self.log.judgements(case_id, judgements)
        findings = [self.judge.finding(j) for j in judgements if j.outcome == "broken"]
        for finding in findings:
            self.log.finding(finding, case_id)
        self._findings += findings
        told = list(self._findings)
        if final:
            self._findings = []
        return told

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
            "publish": f'set publish = "raw" in [targets.{target.name}]' if target.publish == "never" else "",
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
            self.log.close()

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


# --- hooks -----------------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """
    Takes the hand-over and opens everything that a run needs.
    """
    config.addinivalue_line("markers", "claims(*ids): the claims that the case sets out to show")
    config.addinivalue_line("markers", "cost(builds, requests): at most how much the case spends")
    config.addinivalue_line("markers", "once: the case is not tried again where a claim met no occasion")
    config.addinivalue_line("markers", "profile(name): the smallest profile that runs the case")
    try:
        handover = received(os.environ)
        hold_lifeline(os.environ)
        settings = handover.parsed_settings()
        if handover.mode == "run":
            config.stash[_RUN] = Run(handover, settings)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Keeps the cases of the profile that concern a selected claim.
    """
    handover = received(os.environ)
    settings = handover.parsed_settings()
    selected = {claim.id for claim in ledger_of_claims.load().select(settings.claims_glob)}
    kept: list[pytest.Item] = []
    left_out: set[str] = set()
    for item in items:
        declared = declared_claims(item)
        if PROFILES.index(_profile(item)) > PROFILES.index(settings.profile):
            left_out |= set(declared)
        elif selected & set(declared):
            kept.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    if handover.mode == "plan":
        write_plan([(case_id(i), declared_claims(i), _cost(i, settings)) for i in kept], Path(handover.run_log))
        items[:] = []
        return
    shown = {claim for item in kept for claim in declared_claims(item)}
    for claim in sorted((left_out - shown) & selected):
        reason = f"the profile {settings.profile} leaves it out; use --profile standard or thorough"
        config.stash[_RUN].log.notice(Notice(claim, "not-applicable", reason))


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> Run:
    """
    The run that the case belongs to.
    """
    return pytestconfig.stash[_RUN]


@pytest.fixture(scope="session")
def exam(run: Run) -> Examination:
    """
    What a case drives the target with.
    """
    return run.exam


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """
    Runs a case; afterwards leaves the target quiet, lets the rules speak, and fails the case for each finding.
    """
    run = item.config.stash[_RUN]
    run.exam.case = case_id(item)
    began, outcome, message = time.monotonic(), "passed", ""
    try:
        yield
    except Unsuited as unsuited:
        outcome, message = "skipped", unsuited.reason
        _notice(run, item, unsuited.verdict, unsuited.reason)
        pytest.skip(unsuited.reason)
    except KeyboardInterrupt:
        outcome, message = "error", "interrupted"
        raise
    except BaseException as error:
        outcome, message = "error", f"{type(error).__name__}: {error}"
        _notice(run, item, "could-not-run", f"the case {case_id(item)} failed inside: {message}")
        raise
    finally:
        findings = _concluded(run, item, interrupted=message == "interrupted")
        if findings:
            outcome, message = "failed", "; ".join(dict.fromkeys(f.sentence() for f in findings))
        run.log.case(
            Case(
                id=case_id(item),
                title=_title(item),
                outcome=_outcome(outcome),
                duration_s=round(time.monotonic() - began, 6),
                claims=declared_claims(item),
                message=run.transport.secrets.text(message),
            )
        )
    if findings:
        pytest.fail("\n".join(f.sentence() for f in findings), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """
    Runs the body of a case, once more with longer builds where a claim that it declares met no occasion.
    """
    run = pyfuncitem.config.stash[_RUN]
    result = yield
    run.conclude(case_id(pyfuncitem), final=False)
    if run.unclear(declared_claims(pyfuncitem)) and _repeatable(pyfuncitem):
        run.exam.stretch = STRETCH
        try:
            run.exam.quieten()
            pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})
        finally:
            run.exam.stretch = 1.0
    return result


def pytest_sessionfinish(session: pytest.Session) -> None:
    """
    Cleans up, also after Ctrl-C.
    """
    run = session.config.stash.get(_RUN, None)
    if run:
        run.finish()


# --- what a case is --------------------------------------------------------------------------------------------------


def case_id(item: pytest.Item) -> str:
    """
    Subject and name of a case: ``test_cancel.py::test_in_flight[x]`` is ``cancel.in_flight[x]``.
    """
    return f"{item.path.stem.removeprefix('test_')}.{item.name.removeprefix('test_')}"


def declared_claims(item: pytest.Item) -> tuple[str, ...]:
    """
    The claims that a case sets out to show, in the order of its marks.
    """
    return tuple(claim for mark in item.iter_markers("claims") for claim in mark.args)


def _repeatable(item: pytest.Function) -> bool:
    """
    Whether the body can be called again: a generated test has arguments that only its generator knows.
    """
    return item.get_closest_marker("once") is None and set(item._fixtureinfo.argnames) <= set(item.funcargs)


def _profile(item: pytest.Item) -> str:
    mark = item.get_closest_marker("profile")
    return str(mark.args[0]) if mark else "quick"


def _cost(item: pytest.Item, settings: Settings) -> Cost:
    mark = item.get_closest_marker("cost")
    return cost_of(dict(mark.kwargs) if mark else {}, settings)


def _title(item: pytest.Item) -> str:
    documented = getattr(getattr(item, "function", None), "__doc__", "") or ""
    return " ".join(documented.split())


def _outcome(text: str) -> CaseOutcome:
    outcomes: dict[str, CaseOutcome] = {"passed": "passed", "failed": "failed", "skipped": "skipped"}
    return outcomes.get(text, "error")


def _concluded(run: Run, item: pytest.Item, *, interrupted: bool) -> list[Finding]:
    if not interrupted:
        try:
            run.exam.quieten()
        except Unsuited:
            pass
    return run.conclude(case_id(item))


def _notice(run: Run, item: pytest.Item, verdict: NoticeVerdict, reason: str) -> None:
    for claim in declared_claims(item):
        if claim in run.selected:
            run.log.notice(Notice(claim, verdict, run.transport.secrets.text(reason), case_id(item)))
