"""A child process that does the work of a run while its parent follows the run log and passes interrupts on."""

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

# Any other variable, such as PYTEST_ADDOPTS or one of Locust's own, may change which cases run, or how.
PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE"),
        *("PYTHONDONTWRITEBYTECODE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "HYPOTHESIS_STORAGE_DIRECTORY"),
    }
)
# What asks a run to stop. The last one comes when its terminal is closed, unless `nohup` keeps it away.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

POLL_S = 0.05
CHILD_GRACE_S = 20.0


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a child is given of those of its parent."""
    return {name: value for name, value in environ.items() if name in PASSED_ON or name.startswith("LC_")}


def child_environment(handover: Handover, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a child that is handed something over."""
    return passed_on(environ) | handover.environment() | {"PYTHONUNBUFFERED": "1"}


class Interrupted:
    """Whether somebody asked the run to stop: by which signal (0 for none), and how often."""

    def __init__(self) -> None:
        self.by = 0
        self.times = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Remembers the signal; the waiting loop passes it on."""
        self.by = number
        self.times += 1

    def insisted(self) -> Callable[[], bool]:
        """A function that says whether somebody has asked again from now on, though the run was on its way to stop."""
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
    look: Callable[[], None] = lambda: None,
) -> int:
    """Runs *command* until it ends; returns its exit code, negative for a signal.

    Args:
        environment: All variables of the child; one more is added, by which it notices that its parent is gone.
        output: File for what it prints.
        run_log: The run log that it appends to; *progress* is called with each of its events.
        interrupted: Once it is set, the child is sent SIGINT, and is killed if it is still there CHILD_GRACE_S later.
        max_seconds: The same happens CHILD_GRACE_S after so many seconds; None for never.
        look: Called again and again while the child lives, and once when it has ended.

    Raises:
        OutputError: it has nowhere to run or to print.
    """
    events = follow(run_log)

    def take() -> None:
        for event in next(events, ()):
            progress(event)
        look()

    with ExitStack() as stack:
        try:
            cwd, file = stack.enter_context(elsewhere()), stack.enter_context(anew(output))
        except OSError as error:
            raise OutputError(f"{error.filename}: cannot be written: {error.strerror}") from error
        stack.callback(_look_over, file, output)
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


def _look_over(file: BinaryIO, output: Path) -> None:
    file.seek(0)
    text = file.read().decode("latin-1")
    clean = redact(text, output)
    if clean != text:
        file.seek(0)
        file.write(clean.encode("latin-1"))
        file.truncate()


def anew(path: Path) -> BinaryIO:
    """A new file in the place of whatever is there: nothing is written through a link."""
    path.unlink(missing_ok=True)
    return path.open("x+b")


def elsewhere() -> "tempfile.TemporaryDirectory[str]":
    """A folder for the child to run in: in the user's own modules could shadow ours and Hypothesis leave files."""
    return tempfile.TemporaryDirectory(prefix="touchstone-", ignore_cleanup_errors=True)


@contextmanager
def signals() -> Iterator[Interrupted]:
    """Turns SIGINT, SIGTERM and SIGHUP into a mark that the waiting loop looks at."""
    interrupted = Interrupted()
    heeded = [n for n in STOPS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupted) for number in heeded}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
