"""
A child that does the work of a run: it is followed, told to stop, ended where it does not, and what it says is kept.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.command import gone
from touchstone.check import child
from touchstone.check.child import Interrupted, signals, watched

HEAD = """
import os, signal, sys, threading
log = open(os.environ["RUN_LOG"], "a", buffering=1)
def tell(text): log.write('{"type":"warning","text":"%s"}\\n' % text)
"""


class Nursery:
    """Runs children and remembers what they told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.interrupted = Interrupted()
        self.at: dict[str, Callable[[], None]] = {}

    def run(self, script: str, max_seconds: float | None = None, **variables: str) -> int:
        """The exit code of a Python program."""
        environment = {"RUN_LOG": str(self.folder / "runlog.jsonl")} | variables
        command = [sys.executable, "-c", HEAD + script]
        output, run_log = self.folder / "child.log", self.folder / "runlog.jsonl"
        return watched(command, environment, output, run_log, self._take, self.interrupted, max_seconds)

    def interrupt(self) -> None:
        """Marks the run as interrupted, as a signal does."""
        self.interrupted(signal.SIGTERM, None)

    @property
    def output(self) -> str:
        """What the last child printed."""
        return (self.folder / "child.log").read_text(encoding="utf-8")

    def _take(self, event: dict[str, Any]) -> None:
        self.told.append(event["text"])
        self.at.get(event["text"].partition(" ")[0], lambda: None)()


@pytest.fixture
def nursery(tmp_path: Path) -> Nursery:
    """A nursery in a folder of its own."""
    return Nursery(tmp_path)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent that waits no more than a moment for a child that was told to stop."""
    monkeypatch.setattr(child, "CHILD_GRACE_S", 0.1)


def test_end_of_a_child_is_told_with_all_that_it_wrote(nursery: Nursery) -> None:
    """The exit code comes back, each event is told once and in order, the last one too, and both outputs are kept."""
    code = nursery.run("""
for n in range(50): tell(n)
print("to stdout"); print("to stderr", file=sys.stderr)
tell("last"); sys.exit(7)
""")

    assert code == 7
    assert nursery.told == [*map(str, range(50)), "last"]
    assert set(nursery.output.splitlines()) == {"to stdout", "to stderr"}


def test_child_that_dies_of_a_signal_has_its_number(nursery: Nursery) -> None:
    """A killed child is told from one that ended by itself."""
    assert nursery.run("os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL


def test_child_runs_elsewhere_and_with_its_own_variables(nursery: Nursery) -> None:
    """
    It sees the variables that it is given and no others, reads nothing, and its folder is empty and gone afterwards.
    """
    code = nursery.run(
        """
print(os.environ.get("GIVEN"), os.environ.get("HOME"), sys.stdin.read() == "", os.listdir("."))
print(os.getcwd())
""",
        GIVEN="yes",
    )
    found, cwd = nursery.output.splitlines()

    assert (code, found) == (0, "yes None True []")
    assert not Path(cwd).exists()
    assert Path(cwd) != Path.cwd()


def test_interrupt_is_passed_on(nursery: Nursery) -> None:
    """A child that was told to stop ends in its own way, and what it writes meanwhile is still told."""
    nursery.at["up"] = nursery.interrupt
    code = nursery.run("""
stopped = threading.Event()
signal.signal(signal.SIGINT, lambda *_: stopped.set())
tell("up"); stopped.wait(); tell("tidied"); sys.exit(5)
""")

    assert (code, nursery.told) == (5, ["up", "tidied"])


@pytest.mark.usefixtures("impatient")
def test_child_that_does_not_stop_is_killed(nursery: Nursery) -> None:
    """One that ignores the interrupt is killed some time later; what it printed until then is kept."""
    nursery.at["up"] = nursery.interrupt
    code = nursery.run("""
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("stubborn", flush=True); tell("up"); threading.Event().wait()
""")

    assert (code, nursery.output) == (-signal.SIGKILL, "stubborn\n")


def test_child_that_takes_too_long_is_told_to_stop(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an interrupt the same happens once the time is over that the child should have kept by itself."""
    passed_s = [0.0]
    monkeypatch.setattr(child, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed_s[0]))
    nursery.at["up"] = lambda: passed_s.append(passed_s.pop() + 100.0)
    code = nursery.run(
        """
signal.signal(signal.SIGINT, lambda *_: (tell("told"), os._exit(4)))
tell("up"); tell("up"); threading.Event().wait()
""",
        max_seconds=199.0 - child.CHILD_GRACE_S,
    )

    assert (code, nursery.told, nursery.interrupted.by) == (4, ["up", "up", "told"], 0)


def test_trouble_of_the_parent_ends_the_child(nursery: Nursery) -> None:
    """Where following the child fails, no child is left behind."""

    def fail() -> None:
        raise RuntimeError("no more room on the terminal")

    nursery.at["up"] = fail
    with pytest.raises(RuntimeError, match="no more room"):
        nursery.run('tell(f"up {os.getpid()}"); threading.Event().wait()')
    (told,) = nursery.told
    assert gone(int(told.split()[1]))


def test_child_notices_that_its_parent_is_gone(nursery: Nursery) -> None:
    """A pipe that only the parent holds open is at its end for the child as soon as nobody watches it."""
    ends = threading.Event()
    nursery.at["open"] = ends.set
    code = nursery.run("""
lifeline = int(os.environ["TOUCHSTONE_LIFELINE_FD"])
os.set_blocking(lifeline, False)
try: os.read(lifeline, 1)
except BlockingIOError: tell("open")
""")

    assert (code, ends.is_set()) == (0, True)


def test_signals_are_marked_and_given_back() -> None:
    """While a run lasts SIGINT and SIGTERM only leave a mark; afterwards they do what they did before."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals() as interrupted:
        assert interrupted.by == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupted.by == signal.SIGTERM
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize(("before", "enough"), [(0, 2), (1, 1), (2, 1)])
def test_insisting_is_to_ask_again(before: int, enough: int) -> None:
    """Who asked before insists by asking once more; who asks for the first time meanwhile insists by asking twice."""
    interrupted = Interrupted()
    for _ in range(before):
        interrupted(signal.SIGINT, None)
    insisted = interrupted.insisted()
    told = []
    for _ in range(enough):
        told.append(insisted())
        interrupted(signal.SIGINT, None)

    assert (told, insisted(), interrupted.times) == ([False] * enough, True, before + enough)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_that_asks_to_stop_is_a_mark(number: signal.Signals) -> None:
    """So it is while a run is under way, and afterwards as it was before."""
    handled = signal.SIG_DFL if number == signal.SIGHUP else signal.default_int_handler
    started_with = signal.signal(number, handled)  # what `nohup` started ignores one of them
    try:
        with child.signals() as interrupted:
            os.kill(os.getpid(), number)
            assert (interrupted.by, interrupted.times) == (number, 1)
        assert signal.getsignal(number) == handled
    finally:
        signal.signal(number, started_with)


def test_closed_terminal_ends_no_run_that_was_told_not_to_care() -> None:
    """What `nohup` started goes on."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with child.signals() as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupted.by == 0
    finally:
        signal.signal(signal.SIGHUP, before)
