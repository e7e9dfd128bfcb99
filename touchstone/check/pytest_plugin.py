"""Pytest plugin for the contract tests: provides their fixtures, judges exchanges, writes the run log."""

import contextlib
import gc
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from touchstone.check.cases import ALONE, ALWAYS, Declared, Job, declared_by
from touchstone.check.examination import CLEAN_UP, PUBLISH_ADVICE, Examination, Unsuited, transport_to
from touchstone.check.expectation import Steps, Unpromised
from touchstone.check.handover import BARRED, UNWRITTEN, CheckHandover, hold_lifeline
from touchstone.check.handover import HANDOVER as HANDOVER_VARIABLE
from touchstone.check.preflight import barred, check_given, smoke
from touchstone.check.run import Run
from touchstone.check.sweep import sweep_run
from touchstone.config import Flags, load
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.contract.files import contract_tests_dir
from touchstone.errors import HarnessError, RecordingError, UsageError
from touchstone.facts.events import Case, CaseOutcome, Notice, Selected
from touchstone.facts.finding import Finding

PROFILES = ("quick", "standard", "thorough")

STRETCH = 4.0  # Factor for the build times in the second attempt of a case
COLLECTED_AFTER = 10_000  # new objects until a garbage collection

RUN = pytest.StashKey[Run]()
HANDOVER = pytest.StashKey[CheckHandover]()
CASE = pytest.StashKey[Declared]()
JOBS = pytest.StashKey[dict[pytest.Item, Job]]()
TOOK_S = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    """Reads the data from the parent process and creates the run."""
    gc.freeze()  # nothing of the modules is garbage
    gc.set_threshold(COLLECTED_AFTER)
    try:
        handover = CheckHandover.received() if HANDOVER_VARIABLE in os.environ else _plain(config)
        config.stash[HANDOVER] = handover
        hold_lifeline(os.environ)
        if handover.errand.mode != "plan" and RUN not in config.stash:
            config.stash[RUN] = Run(handover)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of plain ``pytest contract_tests``."""
    group = parser.getgroup("touchstone")
    group.addoption("--target", help="judge this target of touchstone.toml; default: the embedded twin")
    group.addoption("--url", help="judge the API at this URL; its key is read from ORGO_API_KEY")
    group.addoption("--profile", choices=PROFILES, help="effort of the check; default: standard")
    group.addoption("--seed", type=int, help="seed of the generated requests")


def pytest_report_header(config: pytest.Config) -> str:
    """Says what is judged."""
    target = config.stash[HANDOVER].settings.target
    return f"touchstone: {target.name} at {target.url}, seed {config.stash[HANDOVER].settings.seed}"


def _plain(config: pytest.Config) -> CheckHandover:
    """Prepares a run that pytest itself was asked for: starts the embedded twin if it is the target, checks the target.

    The data of the run stay in the environment until pytest ends.
    """
    from touchstone.check import job  # noqa: PLC0415 - slow, and a check does not need it

    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        raise UsageError("-n: the contract tests run side by side by themselves; leave -n out")
    flags = Flags(**{name: config.getoption(name) for name in ("target", "url", "profile", "seed")})
    run_id, contract, argv = job.new_run_id(), Contract.load(), ("pytest", "contract_tests")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="touchstone-")))
        chosen = load(flags, os.environ, config.invocation_params.dir)
        settings = stack.enter_context(job.at_target(chosen, job.EMBEDDED_TWIN))
        job.write_header(folder / "runlog.jsonl", run_id, settings, argv, ledger_of_claims.load(), contract)
        with contextlib.closing(transport_to(settings.target, contract)) as transport:
            latency_s = smoke(transport, settings.target.key_sources.primary)
            check_given(transport, settings.target)
        handover = CheckHandover(settings, str(folder / "runlog.jsonl"), run_id, latency_s)

        def sweep() -> None:
            del os.environ[HANDOVER_VARIABLE]
            for ref in sweep_run(settings, (settings.state_dir, folder), run_id):
                sys.stderr.write(f"left on the target: {ref}; `touchstone sweep` tries again\n")

        os.environ.update(handover.environment())
        stack.callback(sweep)
        config.add_cleanup(stack.pop_all().close)
    return handover


# --- which cases run -------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """Selects the cases, before other plugins can remove any, and writes the selection into the run log."""
    handover = config.stash[HANDOVER]
    for item in items:
        item.stash[CASE] = declared_by(item, handover.settings.profile)
    if handover.errand.mode == "record":
        config.stash[RUN].declared = {claim for item in items for claim in item.stash[CASE].claims}
    else:
        _choose(config, handover, items)
    if handover.errand.mode != "plan" and not handover.quarry:
        run = config.stash[RUN]
        items[:] = [item for item in items if item.stash[CASE].id not in run.done]
        run.log.write(Selected((*run.done, *(item.stash[CASE].id for item in items))))
    return (yield)


def _choose(config: pytest.Config, handover: CheckHandover, items: list[pytest.Item]) -> None:
    """Keeps the profile's cases that judge selected claims, and sorts them. A plan only writes them to a file."""
    for item in items:
        try:
            claims = [ledger_of_claims.load().explain(claim) for claim in item.stash[CASE].claims]
        except HarnessError as error:
            raise pytest.UsageError(f"{item.nodeid}: {error}") from None
        if not claims:
            raise pytest.UsageError(f"{item.nodeid}: no claims; mark it with @claims(…), since they select the tests")
    settings, quarry = handover.settings, handover.quarry
    selected = frozenset(claim.id for claim in ledger_of_claims.load().select(settings.claims_glob))
    everything = list(items)
    items[:] = [i for i in items if settings.target.publish == "never" or not i.get_closest_marker("only_given")]
    items[:] = [i for i in items if not handover.errand.only or i.stash[CASE].id in handover.errand.only]
    small = [i for i in items if PROFILES.index(i.stash[CASE].profile) <= PROFILES.index(settings.profile)]
    left_out = {claim for item in items if item not in small for claim in item.stash[CASE].claims}
    items[:] = [item for item in small if not selected.isdisjoint(item.stash[CASE].claims)]
    config.hook.pytest_deselected(items=[item for item in everything if item not in items])
    items.sort(key=lambda item: item.stash[CASE].place(quarry) if quarry else item.stash[CASE].order)
    if handover.errand.mode == "plan":
        cases = [item.stash[CASE] for item in items if settings.target.publish != "never" or item.stash[CASE].is_given]
        Path(handover.run_log).write_text(json.dumps(list(map(asdict, cases))), encoding="utf-8")
        items.clear()
        return
    kept_claims = {claim for item in items for claim in item.stash[CASE].claims}
    reason = f"not part of the profile {settings.profile}; use --profile standard or thorough"
    unjudged = sorted((left_out - kept_claims) & selected)
    config.stash[RUN].log.write(*(Notice(claim, "not-applicable", reason) for claim in unjudged))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Stops a run that cannot go on."""
    result = yield
    run, session = item.config.stash[RUN], item.session
    if run.is_lost:
        session.shouldstop = str(run.log.lost)
    if run.plan.is_barred:
        session.shouldstop = barred(run.settings.target)
    return result


# --- one case --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> Run:
    """The run that the case belongs to."""
    return pytestconfig.stash[RUN]


@pytest.fixture(scope="session")
def exam(run: Run) -> Examination:
    """The examination that sends the case's requests; `_body` passes the view of the case."""
    return run.exam


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Waits for the case if it runs beside others, else runs it; fails or skips it with the same outcome."""
    run = pyfuncitem.config.stash[RUN]
    if JOBS not in pyfuncitem.session.stash:
        pyfuncitem.session.stash[JOBS] = _started(run, pyfuncitem.session)
    if job := pyfuncitem.session.stash[JOBS].get(pyfuncitem):
        job.result.result()
    else:
        _conduct(run, pyfuncitem)
    return True


def _started(run: Run, session: pytest.Session) -> dict[pytest.Item, Job]:
    """Starts the cases that may run side by side, ahead of their turn; returns the job of each."""
    run.pending.update(claim for item in session.items for claim in item.stash[CASE].claims)
    if run.handover.errand.mode != "run":
        return {}  # scenarios run one after the other
    beside = [item for item in session.items if isinstance(item, pytest.Function) and item.stash[CASE].stage < ALONE]
    # A case with another fixture has to wait until pytest has set it up.
    ahead = [item for item in beside if _known(run, item).keys() >= inspect.signature(item.obj).parameters.keys()]
    jobs: dict[pytest.Item, Job] = {item: Job(item.stash[CASE], partial(_conduct, run, item)) for item in ahead}
    run.scheduler.add(jobs.values())
    return jobs


def _conduct(run: Run, item: pytest.Function) -> None:
    """Runs a case, cancels its builds, applies the rules, and fails the case if there are findings."""
    case = item.stash[CASE]
    if case.file not in ALWAYS and run.can_do_without(case.claims):
        pytest.skip("the proof does not need this case")
    exam, began, began_at = run.exam_for(case.id), time.monotonic(), datetime.now(UTC)
    if case.is_alone:
        run.now_alone()
    findings: dict[str, Finding] = {}
    outcome: CaseOutcome = "passed"
    message = ""
    try:
        message = _attempted(run, case, exam, partial(_body, run, item, exam))
    except BaseException as error:
        outcome, message = _explained(run, case, error)
        if not isinstance(error, Unsuited):
            raise
    finally:
        findings = _concluded(run, case, exam, interrupted=message == "interrupted")
        if findings and (outcome != "error" or message == "interrupted"):
            outcome, message = "failed", "; ".join(finding.sentence() for finding in findings.values())
        took_s = item.stash[TOOK_S] = time.monotonic() - began
        at = began_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        message = run.transport.secrets.text(message)
        run.log.write(Case(case.id, case.title, outcome, round(took_s, 6), case.claims, message, at))
    if findings:
        shown = (*exam.steps.unmet[:3], *map(_described, findings.values()))  # later ones may be consequences
        pytest.fail("\n\n".join(shown), pytrace=False)
    if outcome != "passed":
        pytest.skip(message)


def _described(finding: Finding) -> str:
    lines = (f"{finding.claim} ({finding.level}): {finding.where}", f"expected {finding.expected}")
    return "\n  ".join((*lines, f"actual   {finding.actual}", finding.curl))


def _explained(run: Run, case: Declared, error: BaseException) -> tuple[CaseOutcome, str]:
    """Returns outcome and message of a case that ended with *error*, and records why it did not judge its claims."""
    if isinstance(error, KeyboardInterrupt):
        return "error", "interrupted"
    if isinstance(error, Unsuited):
        run.notice(case, error.verdict, error.reason)
        return "skipped", error.reason
    is_ours = isinstance(error, RecordingError)
    message = str(error) if is_ours else f"{type(error).__name__}: {error}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not is_ours and contract_tests_dir() in Path(frame.filename).parents:
            message += f"; in {Path(frame.filename).name}, line {frame.lineno}, {frame.name}: {frame.line}"
    run.notice(case, "could-not-run", message if is_ours else f"the case {case.id} itself failed: {message}")
    return "error", message


def _known(run: Run, item: pytest.Function) -> dict[str, object]:
    """Returns the arguments of a test function: the examination, the run, its parameters and fixtures set up so far."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return item.funcargs | parameters | {"exam": run.exam, "run": run}


def _body(run: Run, item: pytest.Function, exam: Examination) -> None:
    known = _known(run, item) | {"exam": exam}
    try:
        item.obj(**{name: known[name] for name in inspect.signature(item.obj).parameters})
    except Unpromised:  # its steps followed responses that broke a claim, or the case expects too much
        if not run.conclude(item.stash[CASE].id, final=False):
            raise
    exam.join()


def _attempted(run: Run, case: Declared, exam: Examination, body: Callable[[], None]) -> str:
    """Runs *body*, and again with longer builds if a claim of the case was not judged; returns a note on that."""
    try:
        if run.settings.target.publish == "never" and not case.is_given:
            raise Unsuited("not-applicable", PUBLISH_ADVICE)
        body()
    finally:
        run.tried(case.claims)
        is_barred = run.plan.settle(exam)
    if is_barred or case.is_once:
        return ""
    trouble = run.conclude(case.id, final=False)
    unclear = run.unclear(case.claims) or ([] if trouble else list(exam.steps.unmet))
    if unclear:
        exam.stretch, exam.steps = STRETCH, Steps()
        exam.quieten()
        body()
    if exam.steps.unmet and not run.has_trouble(case.id):
        raise Unsuited("indeterminate", exam.steps.unmet[0])
    return f"second attempt, not judged in the first: {', '.join(unclear)}" if unclear else ""


def _concluded(run: Run, case: Declared, exam: Examination, *, interrupted: bool) -> dict[str, Finding]:
    if not interrupted:
        if run.handover.errand.mode == "record":
            exam.case = CLEAN_UP  # a recording omits the requests of the clean-up
        with contextlib.suppress(Unsuited):
            exam.quieten()
    return {} if run.plan.is_barred else {finding.id: finding for finding in run.conclude(case.id)}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Records an error for a case whose setup or teardown failed."""
    report = yield
    if call.when == "call":
        report.duration = item.stash.get(TOOK_S, report.duration)
    if report.failed and call.when != "call" and call.excinfo:
        run, case = item.config.stash[RUN], item.stash[CASE]
        message = run.transport.secrets.text(f"failed at its {call.when}: {call.excinfo.exconly(tryshort=True)}")
        run.log.write(Case(case.id, case.title, "error", round(call.duration, 6), case.claims, message))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Cleans up the target, also after Ctrl-C, and sets the exit status."""
    if run := session.config.stash.get(RUN, None):
        run.finish()
        if run.plan.is_barred:
            session.exitstatus = BARRED
        if run.is_lost:
            session.exitstatus = UNWRITTEN
