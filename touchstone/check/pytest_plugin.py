"""Runs the contract tests under pytest: gives them an examination, judges what they did, writes the run log.

A case asserts nothing. When it is over, the rules have spoken about each of its exchanges; a broken claim fails it.
"""

import contextlib
import inspect
import os
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from touchstone.check.cases import Cost, cost_of, culprits_first, general_first, may_be_left_out, write_plan
from touchstone.check.examination import PUBLISH_ADVICE, Examination, Unsuited
from touchstone.check.handover import BARRED, UNWRITTEN, CheckHandover, hold_lifeline
from touchstone.check.preflight import barred
from touchstone.check.run import Run
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.errors import HarnessError, RecordingError
from touchstone.facts.events import Case, CaseOutcome, Notice, NoticeVerdict, Selected
from touchstone.facts.finding import Finding

PROFILES = ("quick", "standard", "thorough")

# A case whose occasion did not arise, because a build was over too soon or a request came too late, is tried again
# with builds that take this much longer.
STRETCH = 4.0


RUN = pytest.StashKey[Run]()
HANDOVER = pytest.StashKey[CheckHandover]()
_REORDERED = pytest.StashKey[bool]()


# --- hooks -----------------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Takes the hand-over and opens everything that a run needs."""
    config.addinivalue_line("markers", "claims(*ids): the claims that the case sets out to show")
    config.addinivalue_line("markers", "cost(builds, requests): at most how much the case spends")
    config.addinivalue_line("markers", "given: the case shows something where nothing may be published, too")
    config.addinivalue_line("markers", "once: the case is not tried again where a claim met no occasion")
    config.addinivalue_line("markers", "profile(name): the smallest profile that runs the case")
    try:
        handover = config.stash[HANDOVER] = CheckHandover.received()
        hold_lifeline(os.environ)
        if handover.mode != "plan" and RUN not in config.stash:
            config.stash[RUN] = Run(handover)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> Generator[None, object, object]:
    """Spares the generator of cases that concern no selected claim: it takes longer to make them than to run others."""
    collected = yield
    declared = {claim for mark in getattr(obj, "pytestmark", ()) if mark.name == "claims" for claim in mark.args}
    selected = _selected(collector.config.stash[HANDOVER].settings.claims_glob)
    return [] if isinstance(collected, pytest.Collector) and declared and not declared & selected else collected


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """Keeps the cases of the profile that concern a selected claim, and writes down which ones these are.

    They are chosen before anybody else may leave some out.
    """
    _choose(config, items)
    handover, chosen = config.stash[HANDOVER], [case_id(item) for item in items]
    # A proof leaves cases out once it has found what it is after.
    if handover.mode != "plan" and not handover.quarry:
        config.stash[RUN].log.write(Selected(tuple(chosen)))
    return (yield)


def _choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the cases of the profile that concern a selected claim."""
    handover = config.stash[HANDOVER]
    if handover.mode in ("record", "replay"):
        config.stash[RUN].declared = {claim for item in items for claim in declared_claims(item)}
        return
    settings = handover.settings
    selected = _selected(settings.claims_glob)
    kept: list[pytest.Item] = []
    left_out: set[str] = set()
    for item in items:
        declared = declared_claims(item)
        if PROFILES.index(_profile(item)) > PROFILES.index(settings.profile):
            left_out |= set(declared)
        elif selected & set(declared):
            kept.append(item)
    if handover.mode == "plan":
        kept = [item for item in kept if not _lacks_publishing(item, settings)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    quarry = handover.quarry
    items[:] = (
        culprits_first(kept, quarry, declared_claims, lambda item: _cost(item, settings))
        if quarry
        else general_first(kept)
    )
    if handover.mode == "plan":
        write_plan([(case_id(i), declared_claims(i), _cost(i, settings)) for i in kept], Path(handover.run_log))
        items[:] = []
        return
    kept_claims = {claim for item in kept for claim in declared_claims(item)}
    for claim in sorted((left_out - kept_claims) & selected):
        reason = f"the profile {settings.profile} leaves it out; use --profile standard or thorough"
        config.stash[RUN].log.write(Notice(claim, "not-applicable", reason))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leaves out what a proof can do without."""
    if may_be_left_out(item) and item.config.stash[RUN].can_do_without(declared_claims(item)):
        pytest.skip("the proof needs no more of this")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Once a proof has found what it is after, what it may still accuse is looked for in the cheapest order.

    Where nothing can be written down any more, the rest is left out.
    """
    result = yield
    if item.config.stash[RUN].is_lost:
        item.session.shouldstop = str(item.config.stash[RUN].log.lost)
    if item.config.stash[RUN].plan.is_barred:
        item.session.shouldstop = barred(item.config.stash[RUN].settings.target)
    run, items = item.config.stash[RUN], item.session.items
    if nextitem and run.has_found() and not item.session.stash.get(_REORDERED, False):
        item.session.stash[_REORDERED] = True
        left = items.index(nextitem) + 1
        items[left:] = culprits_first(items[left:], None, declared_claims, lambda i: _cost(i, run.settings))
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says that nothing was judged by a case that could not be set up or taken down."""
    report = yield
    if report.failed and call.when != "call" and call.excinfo:
        run = item.config.stash[RUN]
        message = run.transport.secrets.text(f"failed at its {call.when}: {call.excinfo.exconly(tryshort=True)}")
        run.log.write(
            Case(case_id(item), _title(item), "error", round(call.duration, 6), declared_claims(item), message)
        )
    return report


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> Run:
    """The run that the case belongs to."""
    return pytestconfig.stash[RUN]


@pytest.fixture(scope="session")
def exam(run: Run) -> Examination:
    """What a case drives the target with."""
    return run.exam


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Runs a case; afterwards leaves the target quiet, lets the rules speak, and fails the case for each finding."""
    run = item.config.stash[RUN]
    run.exam.case = case_id(item)
    began, began_at, outcome, message = time.monotonic(), datetime.now(UTC), "passed", ""
    try:
        _need_publishing(run, item)
        yield
    except Unsuited as unsuited:
        # A recording holds what its scenario expects: where it does not, it is no longer what was recorded.
        outcome, message = "error" if run.is_replay else "skipped", unsuited.reason
        _notice(run, item, unsuited.verdict, unsuited.reason)
        pytest.skip(unsuited.reason)
    except KeyboardInterrupt:
        outcome, message = "error", "interrupted"
        raise
    except BaseException as error:
        outcome, (message, reason) = "error", _failure(error, item)
        _notice(run, item, "could-not-run", reason)
        raise
    finally:
        findings = _concluded(run, item, interrupted=message == "interrupted")
        message = message or "; ".join(str(value) for _, value in item.user_properties)
        if findings:
            outcome, message = "failed", "; ".join(dict.fromkeys(f.sentence() for f in findings))
        run.log.write(
            Case(
                id=case_id(item),
                title=_title(item),
                outcome=_outcome(outcome),
                duration_s=round(time.monotonic() - began, 6),
                claims=declared_claims(item),
                message=run.transport.secrets.text(message),
                began_at=began_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            )
        )
    if findings:
        pytest.fail("\n".join(f.sentence() for f in findings), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Runs the body of a case, once more with longer builds where a claim that it declares met no occasion."""
    run = pyfuncitem.config.stash[RUN]
    try:
        result = yield
    finally:
        is_barred = run.plan.settle(run.exam)
    if is_barred or not _repeatable(pyfuncitem):
        return result
    run.conclude(case_id(pyfuncitem), final=False)
    unclear = run.unclear(declared_claims(pyfuncitem))
    if unclear:
        pyfuncitem.user_properties.append(("again", f"tried again, no occasion for {', '.join(unclear)}"))
        run.exam.stretch = STRETCH
        try:
            run.exam.quieten()
            pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in _arguments(pyfuncitem)})
        finally:
            run.exam.stretch = 1.0
    return result


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Cleans up, also after Ctrl-C."""
    run = session.config.stash.get(RUN, None)
    if run:
        run.finish()
        if run.plan.is_barred:
            session.exitstatus = BARRED
        if run.is_lost:
            session.exitstatus = UNWRITTEN


# --- what a case is --------------------------------------------------------------------------------------------------


def case_id(item: pytest.Item) -> str:
    """Subject and name of a case: ``test_cancel.py::test_in_flight[x]`` is ``cancel.in_flight[x]``."""
    return f"{item.path.stem.removeprefix('test_')}.{item.name.removeprefix('test_')}"


@cache
def _selected(glob: str) -> frozenset[str]:
    return frozenset(claim.id for claim in ledger_of_claims.load().select(glob))


def declared_claims(item: pytest.Item) -> tuple[str, ...]:
    """The claims that a case sets out to show, in the order of its marks."""
    return tuple(claim for mark in item.iter_markers("claims") for claim in mark.args)


def _repeatable(item: pytest.Function) -> bool:
    """Whether the body can be called again: a generated case has arguments that only its generator knows."""
    return item.get_closest_marker("once") is None


def _arguments(item: pytest.Function) -> tuple[str, ...]:
    """The names of the fixtures that the body of a case takes."""
    return tuple(inspect.signature(item.obj).parameters)


def _profile(item: pytest.Item) -> str:
    mark = item.get_closest_marker("profile")
    return str(mark.args[0]) if mark else "quick"


def _lacks_publishing(item: pytest.Item, settings: Settings) -> bool:
    """Whether the case can show nothing, as it publishes what it needs and the target is not to be published to."""
    return settings.target.publish == "never" and item.get_closest_marker("given") is None


def _need_publishing(run: Run, item: pytest.Item) -> None:
    if not run.is_replay and _lacks_publishing(item, run.settings):
        raise Unsuited("not-applicable", PUBLISH_ADVICE)


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
    if not interrupted and run.handover.mode != "replay":
        if run.handover.mode == "record":
            run.exam.case = "clean-up"  # what is recorded is what the scenario sent
        with contextlib.suppress(Unsuited):
            run.exam.quieten()
    # What a key is refused for its plan breaks no claim.
    return [] if run.plan.is_barred else run.conclude(case_id(item))


def _failure(error: BaseException, item: pytest.Item) -> tuple[str, str]:
    """What is said of a case that could not go on, and of its claims."""
    if isinstance(error, RecordingError):
        return str(error), str(error)
    message = f"{type(error).__name__}: {error}"
    return message, f"the case {case_id(item)} failed inside: {message}"


def _notice(run: Run, item: pytest.Item, verdict: NoticeVerdict, reason: str) -> None:
    for claim in declared_claims(item):
        if claim in run.selected:
            run.log.write(Notice(claim, verdict, run.transport.secrets.text(reason), case_id(item)))
