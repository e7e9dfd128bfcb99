"""Runs an examination from beginning to end: twin, smoke test, child process, run log, reports.

The parent writes header and footer and never sends a case itself; the child writes what happened in between. Whatever
ends the child, the parent judges what the log holds and writes the reports.
"""

import contextlib
import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from touchstone.check.baseline import read_baseline
from touchstone.check.child import Interrupted, elsewhere, passed_on, signals, watched
from touchstone.check.embedded import EMBEDDED_TWIN, at_twin
from touchstone.check.examination import transport_to
from touchstone.check.handover import BARRED, UNFINISHED, UNWRITTEN, Handover, Mode
from touchstone.check.opening import CHECK, Errand, new_log, new_run_id, utc, write_header
from touchstone.check.preflight import barred, check_given, smoke
from touchstone.check.sweep import sweep_run
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.contract.files import contract_tests_dir
from touchstone.errors import HarnessError, OutputError, RunLogError, TargetError, UsageError
from touchstone.facts.events import Footer, Remark
from touchstone.facts.runlog import RunLogWriter
from touchstone.twin import Twin, TwinSettings
from touchstone.types import Conclude, Progress

COARSE_S = 0.02
# What pytest ends with where it does not even begin, and how it says why.
_REFUSED, _ERROR = 4, "ERROR: "
# An event that is told and in no run log: what a status read of the target takes, and where the run log is.
MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left: its exit code, its folder and its log."""

    exit_code: int
    folder: Path
    run_log: Path


def check(
    settings: Settings,
    argv: Sequence[str],
    progress: Progress,
    conclude: Conclude,
    twin: TwinSettings | None = None,
    errand: Errand = CHECK,
) -> Outcome:
    """Runs the contract tests against the target of *settings*, or on recordings, and judges every claim.

    Args:
        argv: The command line, for the run log.
        progress: Called with each event of the run log as it appears.
        conclude: Ends the run log and writes the reports.
        twin: How the embedded twin behaves, where the target is embedded.

    Raises:
        UsageError: the report folder is none, no claim matches, or the baseline cannot be read as one.
        OutputError: what the run came to could not be written down.
    """
    ledger, contract = ledger_of_claims.load(), Contract.load()
    ledger.select(settings.claims_glob)
    known = _known(settings, errand, ledger)
    run_id = new_run_id()
    folder = settings.report_dir or Path("reports") / run_id
    run_log = new_log(folder)
    began = time.monotonic()
    with signals() as interrupted:  # to the end: what was seen is told, whenever somebody stops the run
        with at_target(settings, twin) as there:
            write_header(run_log, run_id, there, argv, ledger, contract, errand, known=known)
            footer = _run(there, run_id, run_log, contract, progress, interrupted, errand)
        footer = dataclasses.replace(footer, ended_at=utc(), duration_s=round(time.monotonic() - began, 3))
        return Outcome(conclude(run_log, footer, folder), folder, run_log)


def plan(settings: Settings, folder: Path, errand: Errand = CHECK) -> str:
    """What a run would do, as the JSON text that the child writes; nothing is sent.

    Raises:
        UsageError: the cases could not be listed, or the baseline cannot be read as one.
    """
    _known(settings, errand, ledger_of_claims.load())
    path = folder / "plan.json"
    handover = Handover(settings.to_json(), "plan", "", str(path.absolute()), 0.0, "plan", plays=errand.plays)
    environment = passed_on(os.environ) | handover.environment()
    with elsewhere() as cwd:
        child = subprocess.run(
            _command(errand.mode), cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
    if not path.exists():
        raise UsageError(f"the contract tests could not be listed:\n{child.stdout}{child.stderr}")
    return path.read_text(encoding="utf-8")


def _known(settings: Settings, errand: Errand, ledger: Ledger) -> tuple[str, ...]:
    """The claims that a check may find broken."""
    return read_baseline(settings.baseline, ledger) if settings.baseline and errand.mode == "run" else ()


def _run(
    settings: Settings,
    run_id: str,
    run_log: Path,
    contract: Contract,
    progress: Progress,
    interrupted: Interrupted,
    errand: Errand,
) -> Footer:
    """The run between header and footer; the footer says what kept it from its end, if anything did."""
    url = settings.target.url or ""
    try:
        latency_s = 0.0 if errand.mode == "replay" else _latency_s(settings, contract)
    except TargetError as error:
        return Footer("", 0.0, error.exit_code, str(error))
    if errand.mode == "record":
        # Templates are written by it: nearly the same the next time has to be the same, or a recording is no other's.
        latency_s = round(math.ceil(latency_s / COARSE_S) * COARSE_S, 6)
        progress({"type": MEASURED, "latency_s": latency_s, "run_log": str(run_log)})
    handover = _handover(settings, run_id, run_log, url, latency_s, errand)
    return _footer(handover, run_log, progress, interrupted, errand.plugin)


def _handover(settings: Settings, run_id: str, run_log: Path, url: str, latency_s: float, errand: Errand) -> Handover:
    log, latency_s = str(run_log.absolute()), round(latency_s, 6)
    known = (settings.to_json(), run_id, url, log, latency_s, errand.mode)
    return Handover(*known, plays=errand.plays, speed=errand.speed, accounts=errand.accounts)


def _footer(handover: Handover, run_log: Path, progress: Progress, interrupted: Interrupted, plugin: str) -> Footer:
    settings = handover.parsed_settings()
    try:
        ended = _child(handover, run_log, progress, interrupted, settings.max_seconds, plugin)
    except OutputError as error:
        return Footer("", 0.0, error.exit_code, str(error))
    left: tuple[str, ...] = ()
    if (ended != 0 or interrupted.by) and handover.mode != "replay":
        left = _clean_up_after(settings, handover.run_id, run_log)
    if interrupted.by:
        return Footer("", 0.0, 130, f"interrupted by {signal.Signals(interrupted.by).name}", interrupted=True)
    if ended == UNWRITTEN:
        return Footer("", 0.0, 3, f"{UNFINISHED}; {describe_left(left)}")
    if ended == BARRED:
        return Footer("", 0.0, 3, barred(settings.target))
    if ended not in (0, 1, 5):
        return Footer("", 0.0, 3, _why(ended, run_log.parent / "pytest.log"))
    return Footer("", 0.0, 0, "")


def describe_left(left: Sequence[str]) -> str:
    """What an unfinished run left on its target."""
    if not left:
        return "nothing is left on the target"
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return f"left on the target: {left[0]}{more}; `touchstone sweep` tries again"


def _why(ended: int, output: Path) -> str:
    """Why the cases did not come to their end: what pytest says last of an error, where it says so."""
    try:
        error_lines = [line for line in output.read_text("utf-8", "replace").splitlines() if line.startswith(_ERROR)]
    except OSError:
        error_lines = []
    reason = (
        error_lines[-1].removeprefix(_ERROR)
        if error_lines and ended == _REFUSED
        else f"the contract tests ended with {ended}"
    )
    return f"{reason}; see {output}"


def _latency_s(settings: Settings, contract: Contract) -> float:
    """What a status read of the target takes, once it is sure that it can be judged.

    Raises:
        TargetError: it cannot.
    """
    target = settings.target
    transport = transport_to(target, target.url or "", contract)
    try:
        latency_s = smoke(transport, target.key_sources.primary)
        check_given(transport, target)
        return latency_s
    finally:
        transport.close()


def _child(
    handover: Handover,
    run_log: Path,
    progress: Progress,
    interrupted: Interrupted,
    max_seconds: float | None,
    plugin: str = "",
) -> int:
    """Runs the cases in a child process; returns its exit code, negative for a signal."""
    cache = {"HYPOTHESIS_STORAGE_DIRECTORY": str(_cache_folder(handover.parsed_settings(), run_log))}
    environment = cache | passed_on(os.environ) | handover.environment()
    output = run_log.parent / "pytest.log"
    return watched(_command(handover.mode, plugin), environment, output, run_log, progress, interrupted, max_seconds)


def _cache_folder(settings: Settings, run_log: Path) -> Path:
    """Where Hypothesis keeps its tables from run to run unless told where: not in the folder of whoever runs this."""
    return (settings.state_dir.parent if settings.state_dir else run_log.parent) / "hypothesis"


def _command(mode: Mode = "run", plugin: str = "") -> list[str]:
    return [sys.executable, "-m", "pytest", *pytest_arguments(mode, plugin)]


# Those that the contract tests need. Others that are installed would disturb the order of the cases or only cost time,
# as the search for leaked resources does, which is no concern of an examination.
_PLUGINS = (
    "_hypothesis_pytestplugin",
    "schemathesis.pytest.plugin",
    "touchstone.check.pytest_plugin",
    "no:unraisableexception",
    "no:threadexception",
)


# What plays scenarios generates nothing and does without the plugins that do.
_SCENARIOS = "test_scenarios.py"
_GENERATORS = frozenset({"_hypothesis_pytestplugin", "schemathesis.pytest.plugin"})


def pytest_arguments(mode: Mode = "run", plugin: str = "") -> list[str]:
    """Arguments for pytest to run the contract tests, whatever the folder, the settings there and other plugins."""
    tests = contract_tests_dir()
    plays = mode in ("record", "replay")
    plugins = [plugin for plugin in _PLUGINS if not (plays and plugin in _GENERATORS)]
    return [
        "--disable-plugin-autoload",
        *(argument for name in (*plugins, *filter(None, [plugin])) for argument in ("-p", name)),
        *("-c", str(tests / "pytest.ini")),
        *("--rootdir", str(tests)),
        "--quiet",
        "--tb=short",
        "--assert=plain",
        str(tests / _SCENARIOS if plays else tests),
    ]


def _clean_up_after(settings: Settings, run_id: str, run_log: Path) -> tuple[str, ...]:
    """Removes what a child that did not come to its end left; what cannot be removed stays in the journal.

    Returns:
        What that is.
    """
    try:
        left = sweep_run(settings, (settings.state_dir, run_log.parent), run_id)
    except HarnessError as error:
        left = (str(error),)
    if left and run_log.exists():
        with contextlib.suppress(RunLogError), RunLogWriter(run_log, drops=True) as writer:
            for ref in left:
                writer.write(Remark(f"left on the target: {ref}; `touchstone sweep` tries again"))
    return left


@contextmanager
def at_target(settings: Settings, twin: TwinSettings | None) -> Iterator[Settings]:
    """The settings of a target that listens: the embedded twin is started, any other is taken as it is."""
    if not settings.target.embedded:
        yield settings
        return
    with Twin(twin or EMBEDDED_TWIN) as running:
        yield at_twin(settings, running.url)
