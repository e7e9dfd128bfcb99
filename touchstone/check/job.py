"""The steps that all runs have in common: target, header, child process, clean-up, judgement, footer, reports."""

import dataclasses
import json
import os
import re
import secrets
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import BinaryIO, ClassVar

from touchstone import __version__
from touchstone.check.handover import CHECK, LIFELINE_VARIABLE, UNWRITTEN, Errand, Handover
from touchstone.check.journal import is_run_id
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.contract.files import open_regular
from touchstone.errors import OutputError, RunLogError, TargetError, UsageError, quoted, unwritten
from touchstone.facts.events import Footer, Header, Known, LedgerClaim, Target, TargetKind
from touchstone.facts.redaction_guard import redact
from touchstone.facts.runlog import RunLogWriter, follow, read
from touchstone.rules import verdict
from touchstone.twin import DEFAULT_ACCOUNTS, RateLimit, Twin, TwinSettings
from touchstone.types import Conclude, Progress

# --- the embedded twin -----------------------------------------------------------------------------------------------

# For checks: limits that do not slow down a check, and that even a slow machine can reach.
CAPACITY = 6
EMBEDDED_TWIN = TwinSettings(
    build_s=0.05, settle_s=0.1, rate=RateLimit.parse("30/1"), capacity=CAPACITY, digest_scope="content"
)
# For recordings: tight limits, reproducible responses, and a latency that makes simultaneous requests overlap.
RECORDED_TWIN = dataclasses.replace(
    EMBEDDED_TWIN, settle_s=0.2, rate=RateLimit.parse("10/1"), capacity=2, latency_s=0.005, seed=1
)
# For load runs: the rate limit refuses bursts, and a key that sends too much; it accepts a second, moderate key.
LOAD_TWIN = dataclasses.replace(EMBEDDED_TWIN, rate=RateLimit.parse("12/1"))
BUILD_TIMEOUT_S = 10.0
CANCEL_TIMEOUT_S = 3.0
RESTRICTED_REF = "default/legacy-demo@1.0.0"


def at_twin(settings: Settings, url: str) -> Settings:
    """Returns settings for a twin at *url*: with the twin's keys and restricted template, and with shorter timeouts."""
    keys = {account.name: account.key for account in DEFAULT_ACCOUNTS}
    target = dataclasses.replace(
        settings.target,
        url=url,
        api_key=keys["primary"],
        second_api_key=keys["second"],
        restricted_api_key=keys["restricted"],
        build_timeout_s=min(settings.target.build_timeout_s, BUILD_TIMEOUT_S),
        cancel_timeout_s=min(settings.target.cancel_timeout_s, CANCEL_TIMEOUT_S),
        max_in_flight=min(settings.target.max_in_flight, CAPACITY),
        templates=dataclasses.replace(settings.target.templates, restricted=(RESTRICTED_REF,)),
    )
    return dataclasses.replace(settings, target=target)


@contextmanager
def at_target(settings: Settings, twin: TwinSettings) -> Iterator[Settings]:
    """Starts the embedded twin if it is the target; yields the settings with the URL of the target."""
    if not settings.target.embedded:
        yield settings
        return
    with Twin(twin) as running:
        yield at_twin(settings, running.url)


# --- how a run log begins and ends ------------------------------------------------------------------------------------

# If a report folder is used again, the earlier run log moves into this subfolder, into a folder named by its run id.
EARLIER = "earlier"
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def new_run_id() -> str:
    """Returns a run id: start time in UTC and six random hexadecimal digits."""
    return f"{datetime.now(UTC):%y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def new_log(folder: Path) -> Path:
    """Returns the path for a run log in *folder*; moves an earlier one into EARLIER. Raises as `make_folder` does."""
    run_log = folder / "runlog.jsonl"
    make_folder(folder)
    with _written_in(folder):
        if run_log.is_symlink():
            run_log.unlink()
        elif run_log.exists():
            kept = folder / EARLIER / _id_of(run_log)
            kept.mkdir(parents=True, exist_ok=True)
            run_log.replace(kept / run_log.name)
    return run_log


def make_folder(folder: Path) -> None:
    """Creates a report folder; raises UsageError if *folder* is a file, OutputError if it cannot be created."""
    with _written_in(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _written_in(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"{folder}: the report folder cannot be written: {error.strerror}"
        raise unwritten(f"{problem}; choose another one with --report-dir", error) from error


def folder_name(text: str, place: str, option: str) -> str:
    """Returns *text* if it is a valid folder name, else raises UsageError, with its *place* and the *option* to use."""
    if not _FOLDER.fullmatch(text):
        found = f"{place}: {quoted(text)} is not a valid folder name"
        raise UsageError(f"{found}; expected letters, digits, ., - and _; give {option}")
    return text


def _id_of(run_log: Path) -> str:
    """Returns the run id in a run log, or the modification time of the file if the id is missing or invalid."""
    with os.fdopen(open_regular(run_log), "rb") as file, suppress(ValueError, RecursionError):
        header = json.loads(file.readline())
        run_id = str(header.get("run_id")) if isinstance(header, dict) else ""
        if is_run_id(run_id):
            return run_id
    return str(run_log.stat().st_mtime_ns)


def write_header(
    run_log: Path,
    run_id: str,
    settings: Settings,
    argv: Sequence[str],
    ledger: Ledger,
    contract: Contract,
    errand: Errand = CHECK,
    also: Iterable[str] = (),
    known: tuple[Known, ...] = (),
) -> None:
    """Writes the header of a run log. *also*: claims besides the selected ones; *known*: entries of the baseline."""
    target = settings.target
    kind: TargetKind = "embedded" if target.embedded else "recording" if errand.mode == "replay" else "url"
    header = Header(
        run_id=run_id,
        tool_version=__version__,
        command=errand.command,
        argv=tuple(argv),
        started_at=utc(),
        target=Target(target.name, target.url or "", kind),
        profile=settings.profile,
        seed=settings.seed,
        strict=settings.strict,
        claims_glob=settings.claims_glob,
        contract_sha256=contract.sha256,
        claims=tuple(
            LedgerClaim(c.id, c.level, c.says, c.source, c.subject, c.since)
            for c in (*ledger.select(settings.claims_glob), *(ledger[claim] for claim in also))
        ),
        settings=settings.public(),
        known=tuple(dict.fromkeys(entry.claim for entry in known)),
        baseline=known,
        contract_version=settings.contract_version,
    )
    with RunLogWriter(run_log) as log:
        log.write(header)


def finish(runlog_path: Path, footer: Footer) -> Footer:
    """Judges the run; writes and returns its footer, with the exit code and the reason of the verdict."""
    outcome = verdict.judge(read(runlog_path), footer)
    judged = Footer(footer.ended_at, footer.duration_s, outcome.exit_code, outcome.reason, footer.interrupted)
    with RunLogWriter(runlog_path) as writer:
        writer.write(judged)
    return judged


def utc() -> str:
    """Returns the current time in UTC, in the format ``2026-01-31T23:59:59Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the child process ----------------------------------------------------------------------------------------------

# A child inherits only these variables. Others, such as PYTEST_ADDOPTS, could change which cases run, and how.
PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE"),
        *("PYTHONDONTWRITEBYTECODE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "HYPOTHESIS_STORAGE_DIRECTORY"),
    }
)
# Signals that stop a run. SIGHUP arrives when the terminal closes; `nohup` makes the process ignore SIGHUP.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

POLL_S = 0.05
CHILD_GRACE_S = 20.0


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of *environ* that a child process inherits."""
    return {name: value for name, value in environ.items() if name in PASSED_ON or name.startswith("LC_")}


def child_environment(handover: Handover, environ: Mapping[str, str]) -> dict[str, str]:
    """Returns all environment variables of a child process: the inherited ones, and the data in *handover*."""
    return passed_on(environ) | handover.environment() | {"PYTHONUNBUFFERED": "1"}


class Interrupted:
    """Received stop signals: *by* is the number of the last one (0 for none), *times* is how many came."""

    by = times = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Records a stop signal; the loop that waits for the child then interrupts the child."""
        self.by = number
        self.times += 1

    def insisted(self) -> Callable[[], bool]:
        """Returns a function that tells if a signal came after this call. The first signal of a run does not count."""
        enough = max(self.times, 1) + 1
        return lambda: self.times >= enough


def watched(
    command: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    run_log: Path,
    progress: Progress,
    interrupted: Interrupted,
    max_seconds: float | None,
    on_poll: Callable[[], None] = lambda: None,
) -> int:
    """Runs *command* until it ends; returns its exit code, or the negative number of the signal that ended it.

    Args:
        environment: Variables of the child. One more is added, for the pipe that `hold_lifeline` reads.
        output: File for stdout and stderr of the child.
        run_log: Run log to which the child appends; *progress* is called with each new event.
        interrupted: After a stop signal, the child receives SIGINT, and CHILD_GRACE_S seconds later SIGKILL.
        max_seconds: Time limit or None. CHILD_GRACE_S seconds after the limit, the child receives the same signals.
        on_poll: Called every POLL_S seconds while the child runs, and once after its end.

    Raises:
        OutputError: the working folder or the output file cannot be created.
    """
    events = follow(run_log)

    def take() -> None:
        for event in next(events, ()):
            progress(event)
        on_poll()

    with ExitStack() as stack:
        try:
            cwd, file = stack.enter_context(elsewhere()), stack.enter_context(anew(output))
        except OSError as error:
            raise OutputError(f"{error.filename}: cannot be written: {error.strerror}") from error
        stack.callback(_redact_file, file, output)
        lifeline, held = os.pipe()
        stack.callback(os.close, held)
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environment) | {"PYTHONIOENCODING": "utf-8:backslashreplace", LIFELINE_VARIABLE: str(lifeline)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=(lifeline,),
            start_new_session=True,
        )
        os.close(lifeline)
        stack.callback(child.wait)
        stack.callback(child.kill)
        interrupted_at: float | None = None
        deadline = time.monotonic() + max_seconds + CHILD_GRACE_S if max_seconds else float("inf")
        while child.poll() is None:
            take()
            now = time.monotonic()
            if interrupted_at is None and (interrupted.by or now > deadline):
                child.send_signal(signal.SIGINT)
                interrupted_at = now
            if interrupted_at is not None and now - interrupted_at > CHILD_GRACE_S:
                child.kill()
            with suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)
        take()
    return child.returncode


def _redact_file(file: BinaryIO, output: Path) -> None:
    file.seek(0)
    text = file.read().decode("latin-1")
    clean = redact(text, output)
    if clean != text:
        file.seek(0)
        file.write(clean.encode("latin-1"))
        file.truncate()


def anew(path: Path) -> BinaryIO:
    """Removes the file or link at *path*, then creates and opens a new file there."""
    path.unlink(missing_ok=True)
    return path.open("x+b")


def elsewhere() -> "tempfile.TemporaryDirectory[str]":
    """Returns a temporary working folder: Hypothesis writes files, and modules in the user's could shadow others."""
    return tempfile.TemporaryDirectory(prefix="touchstone-", ignore_cleanup_errors=True)


@contextmanager
def signals() -> Iterator[Interrupted]:
    """Catches SIGINT, SIGTERM and SIGHUP; yields a record of those received. A SIGHUP that is ignored stays ignored."""
    interrupted = Interrupted()
    heeded = [n for n in STOPS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupted) for number in heeded}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- the steps of a run -----------------------------------------------------------------------------------------------

REACHED_ITS_END = Footer("", 0.0, 0, "")


def failed(reason: str, exit_code: int = 3) -> Footer:
    """Returns the footer of a run that did not finish."""
    return Footer("", 0.0, exit_code, reason)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a run: exit code, report folder and run log."""

    exit_code: int
    folder: Path
    run_log: Path


class Job(ABC):
    """One run, as the parent process sees it. During the run, *settings* contain the URL of the target."""

    errand: Errand = CHECK
    twin: TwinSettings = EMBEDDED_TWIN
    # Name of the child process, and the file for its output.
    child: ClassVar[tuple[str, str]] = ("the contract tests", "pytest.log")

    # Claims to judge besides the selected ones, and entries of the baseline.
    also: Sequence[str] = ()
    known: tuple[Known, ...] = ()

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings = settings
        self.progress = progress
        self.ledger = ledger_of_claims.load()
        self.contract = Contract.load()
        self.run_id = new_run_id()
        self.folder = settings.report_dir or Path("reports") / self.run_id
        self.run_log = self.folder / "runlog.jsonl"
        self.interrupted = Interrupted()
        self.is_unwritten = False

    @abstractmethod
    def work(self) -> Footer:
        """Does the work between header and footer. If the run does not finish, the returned footer gives the reason."""

    def clear(self) -> bool:
        """Removes leftovers of the run from the target; returns whether nothing is left."""
        return True

    def judge(self, footer: Footer) -> Footer:
        """Adds judgements that need all exchanges of the run; returns *footer*, or a footer to write instead."""
        return footer

    def run(self, argv: Sequence[str], conclude: Conclude) -> Outcome:
        """Runs the job; raises UsageError for an invalid report folder, OutputError if results cannot be written."""
        new_log(self.folder)
        began = time.monotonic()
        with signals() as self.interrupted:  # to the end, since an interrupted run is reported too
            with at_target(self.settings, self.twin) as self.settings:
                known = self.ledger, self.contract, self.errand, self.also, self.known
                write_header(self.run_log, self.run_id, self.settings, argv, *known)
                footer = self._work()
            with suppress(RunLogError):  # `conclude` reports the error
                footer = self.judge(footer)
            if self.interrupted.by:
                reason = f"interrupted by {signal.Signals(self.interrupted.by).name}"
                footer = Footer("", 0.0, 130, reason, interrupted=True)
            footer = dataclasses.replace(footer, ended_at=utc(), duration_s=round(time.monotonic() - began, 3))
            return Outcome(conclude(self.run_log, footer, self.folder), self.folder, self.run_log)

    def _work(self) -> Footer:
        try:
            footer = self.work()
        except (TargetError, OutputError, RunLogError) as error:
            footer = failed(str(error), error.exit_code)
        finally:
            clean = self.clear()
        left = "nothing is left on the target" if clean else "`touchstone sweep` removes what is left on the target"
        unfinished = "the run log could not be written any more, and the run was stopped"
        return failed(f"{unfinished}; {left}") if self.is_unwritten else footer

    def run_child(
        self,
        command: Sequence[str],
        handover: Handover,
        max_seconds: float | None,
        on_poll: Callable[[], None] = lambda: None,
    ) -> int:
        """Runs *command* as the child process until it ends; returns what `watched` returns."""
        state = self.settings.state_dir
        tables = {"HYPOTHESIS_STORAGE_DIRECTORY": str((state.parent if state else self.folder) / "hypothesis")}
        environment = tables | child_environment(handover, os.environ)
        output = self.folder / self.child[1]
        followed = (self.run_log, self.progress, self.interrupted, max_seconds, on_poll)
        code = watched(command, environment, output, *followed)
        self.is_unwritten |= code == UNWRITTEN
        return code

    def ended_with(self, code: int) -> Footer:
        """Returns the footer of a run whose child failed with the exit code *code*."""
        name, output = self.child
        return failed(f"{name} ended with {code}; see {self.folder / output}")
