"""Child processes of runs: events and output are kept, interrupts forwarded, hanging children killed."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.command import gone
from tests.facts.test_redaction_guard import forget_keys
from touchstone.check import job
from touchstone.check.job import Interrupted, signals, watched
from touchstone.facts.redaction_guard import register

HEAD = """
import os, signal, sys, threading
log = open(os.environ["RUN_LOG"], "a", buffering=1)
def write(text): log.write('{"type":"warning","text":"%s"}\\n' % text)
"""


class Parent:
    """Runs children, records their events, and calls the function in *at* for an event."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[str] = []
        self.interrupted = Interrupted()
        self.at: dict[str, Callable[[], object]] = {}

    def run(self, script: str, max_seconds: float | None = None, **variables: str) -> int:
        run_log = self.folder / "runlog.jsonl"
        command = [sys.executable, "-c", HEAD + script]
        followed = (run_log, self._take, self.interrupted, max_seconds)
        return watched(command, {"RUN_LOG": str(run_log)} | variables, self.folder / "child.log", *followed)

    @property
    def output(self) -> str:
        return (self.folder / "child.log").read_text(encoding="utf-8")

    def _take(self, event: dict[str, Any]) -> None:
        self.events.append(event["text"])
        self.at.get(event["text"].partition(" ")[0], lambda: None)()


@pytest.fixture
def parent(tmp_path: Path) -> Parent:
    return Parent(tmp_path)


def test_code_events_and_output_of_a_child_are_kept(parent: Parent) -> None:
    code = parent.run("""
for n in range(50): write(n)
print("to stdout"); print("to stderr", file=sys.stderr)
write("last"); sys.exit(7)
""")
    assert (code, parent.events) == (7, [*map(str, range(50)), "last"])
    assert set(parent.output.splitlines()) == {"to stdout", "to stderr"}
    assert parent.run("os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL


def test_child_has_its_own_variables_folder_session_and_lifeline(parent: Parent) -> None:
    script = """
print(os.environ.get("GIVEN"), os.environ.get("HOME"), sys.stdin.read() == "", os.listdir("."))
lifeline = int(os.environ["TOUCHSTONE_LIFELINE_FD"])
os.set_blocking(lifeline, False)
try: os.read(lifeline, 1)
except BlockingIOError: print("open", os.getsid(0) == os.getpid())
print(os.getcwd())
"""
    assert parent.run(script, GIVEN="yes") == 0
    *found, cwd = parent.output.splitlines()
    assert found == ["yes None True []", "open True"]
    assert not Path(cwd).exists()
    assert Path(cwd) != Path.cwd()


def test_known_key_that_a_child_prints_is_not_kept(parent: Parent) -> None:
    key = "sk_live_a_key_that_is_long_enough"
    register({"primary": key})
    try:
        parent.run(f"print('before'); print('Authorization: Bearer {key}'); print('after')")
    finally:
        forget_keys()
    assert "sk_live_a_key" not in parent.output
    assert {"before", "after"} <= set(parent.output.splitlines())


@pytest.mark.parametrize(
    ("handler", "code", "events"),
    [("lambda *_: (write('tidied'), os._exit(5))", 5, ["up", "tidied"]), ("signal.SIG_IGN", -signal.SIGKILL, ["up"])],
    ids=["stops", "ignores-it"],
)
def test_interrupt_is_passed_on_and_insisted_on(
    parent: Parent, monkeypatch: pytest.MonkeyPatch, handler: str, code: int, events: list[str]
) -> None:
    monkeypatch.setattr(job, "CHILD_GRACE_S", 0.1 if code < 0 else 20.0)
    parent.at["up"] = lambda: parent.interrupted(signal.SIGTERM, None)
    script = (
        f"signal.signal(signal.SIGINT, {handler}); print('kept', flush=True); write('up'); threading.Event().wait()"
    )
    assert (parent.run(script), parent.events, parent.output) == (code, events, "kept\n")


def test_child_that_takes_too_long_is_interrupted(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    passed_s = [0.0]
    monkeypatch.setattr(job, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed_s[0]))
    parent.at["up"] = lambda: passed_s.append(passed_s.pop() + 100.0)
    script = """
signal.signal(signal.SIGINT, lambda *_: (write("stopped"), os._exit(4)))
write("up"); write("up"); threading.Event().wait()
"""
    assert parent.run(script, max_seconds=199.0 - job.CHILD_GRACE_S) == 4
    assert (parent.events, parent.interrupted.by) == (["up", "up", "stopped"], 0)


def test_trouble_of_the_parent_ends_the_child(parent: Parent) -> None:
    parent.at["up"] = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        parent.run('write(f"up {os.getpid()}"); threading.Event().wait()')
    (event,) = parent.events
    assert gone(int(event.split()[1]))


@pytest.mark.parametrize(("before", "enough"), [(0, 2), (1, 1), (2, 1)])
def test_insisting_is_to_ask_again(before: int, enough: int) -> None:
    interrupted = Interrupted()
    for _ in range(before):
        interrupted(signal.SIGINT, None)
    insisted = interrupted.insisted()
    for _ in range(enough):
        assert not insisted()
        interrupted(signal.SIGINT, None)
    assert (insisted(), interrupted.times) == (True, before + enough)


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """Default signal handlers, even if the tests run under `nohup`."""
    before = {number: signal.getsignal(number) for number in job.STOPS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("usual_signals")
def test_signal_that_asks_to_stop_is_only_marked() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before = signal.getsignal(number)
        with signals() as interrupted:
            assert interrupted.by == 0
            os.kill(os.getpid(), number)
            assert (interrupted.by, interrupted.times) == (number, 1)
        assert signal.getsignal(number) == before
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    with signals() as interrupted:
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupted.by == 0
