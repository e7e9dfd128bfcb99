"""Starts and watches the child process of a run: follows the run log, reports progress, interrupts the child."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from touchstone.check.handover import LIFELINE_VARIABLE, Handover
from touchstone.errors import OutputError
from touchstone.facts.redaction_guard import redact
from touchstone.facts.runlog import follow
from touchstone.types import Progress

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

    def __init__(self) -> None:
        self.by = 0
        self.times = 0

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
        try:
            return _wait(child, interrupted, max_seconds, take)
        finally:
            child.kill()
            child.wait()


def _wait(
    child: "subprocess.Popen[bytes]", interrupted: Interrupted, max_seconds: float | None, take: Callable[[], None]
) -> int:
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
