"""A worker on a machine of its own tells whoever started it how it comes along, and what it waits for."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from touchstone.errors import TargetError, UsageError
from touchstone.loadgen.handover import PROGRESS, REFUSAL
from touchstone.loadgen.remote_worker import REMIND_S, WorkerProgress, check_host


class Waiting:
    """A worker that waits for its master, with a clock that a test sets."""

    def __init__(self, folder: Path, master: str = "127.0.0.1") -> None:
        self.said: list[str] = []
        self.at_s = 100.0
        self.log = folder / "locust.log"
        self.progress = WorkerProgress(self.log, master, 5557, self.said.append, lambda: self.at_s)

    def prints(self, text: str) -> None:
        """Locust prints something, and it is looked whether that says anything."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(text)
        self.progress.follow()

    def passes(self, seconds: float) -> None:
        """Time passes, and it is looked."""
        self.at_s += seconds
        self.progress.follow()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Nobody knows any host, until the function is called that this gives."""
    known = [False]

    def find(*_: Any) -> list[Any]:
        if known[0]:
            return []
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", find)
    return lambda: known.__setitem__(0, True)


def test_worker_says_where_its_master_is_to_be_and_where_its_log_is(tmp_path: Path) -> None:
    """The first line comes before Locust has printed anything."""
    waiting = Waiting(tmp_path)
    waiting.progress.follow()

    assert waiting.said == [f"waiting for the master at 127.0.0.1:5557; log: {waiting.log}"]


def test_worker_without_a_master_says_so_again_and_again(tmp_path: Path) -> None:
    """Every half minute it is said that there is no master, until it has joined one."""
    waiting = Waiting(tmp_path)
    for _ in range(7):
        waiting.passes(REMIND_S / 3)
    waiting.prints(f"{PROGRESS}it has joined its master\n")
    waiting.passes(9 * REMIND_S)

    assert waiting.said[1:] == [
        "no master at 127.0.0.1:5557 after 30 s; still trying",
        "no master at 127.0.0.1:5557 after 60 s; still trying",
        "it has joined its master",
    ]
    assert waiting.progress.joined


def test_worker_repeats_what_is_said_and_nothing_else(tmp_path: Path) -> None:
    """
    Of what Locust prints, whole lines of the worker are repeated, each once; why it had no part is told elsewhere.
    """
    waiting = Waiting(tmp_path)
    waiting.prints("[2026-01-02 03:04:05] Starting Locust\n")
    assert not waiting.progress.joined
    waiting.prints(f"{PROGRESS}it has joined its master\n{REFUSAL}it came too late\n{PROGRESS}the run")
    waiting.prints(" begins\n")
    waiting.prints("Shutting down\n")

    assert waiting.said[1:] == ["it has joined its master", "the run begins"]


def test_unknown_host_is_told_and_waited_for(tmp_path: Path, unknown: Callable[[], None]) -> None:
    """A master may come up after its workers, and its name with it."""
    waiting = Waiting(tmp_path, "master")
    waiting.passes(REMIND_S)
    unknown()
    waiting.passes(REMIND_S)

    doubt = "(nobody knows this host: Name or service not known)"
    assert waiting.said == [
        f"waiting for the master at master:5557 {doubt}; log: {waiting.log}",
        f"no master at master:5557 after 30 s {doubt}; still trying",
        "no master at master:5557 after 60 s; still trying",
    ]


def test_host_that_stays_unknown_is_a_wrong_one(tmp_path: Path, unknown: Callable[[], None]) -> None:
    """
    When Locust has given up, a host that nobody knows is the caller's, and a master that is not there is nobody's.
    """
    waiting = Waiting(tmp_path, "mastre")
    with pytest.raises(
        UsageError, match=r"^--worker mastre: nobody knows this host: Name .*; give the name or the addr"
    ):
        waiting.progress.give_up()
    unknown()
    with pytest.raises(
        TargetError, match=r"^--worker mastre: no master at mastre:5557; start it with --master, and the"
    ):
        waiting.progress.give_up()


@pytest.mark.parametrize(
    "host", ["master", "master.example.test", "a_b-c.test", "10.1.2.3", "::1", "fe80::1", "localhost."]
)
def test_host_may_be_a_name_or_an_address(host: str) -> None:
    """Whatever may be a host is taken, known or not."""
    check_host(host)


@pytest.mark.parametrize(
    "host", ["a b", "master:5557", "http://master", "-m", "a..b", "mästér", "x" * 254, "1.2.3.4/8"]
)
def test_what_cannot_be_a_host_is_refused(host: str) -> None:
    """A port, a URL or a slip of the fingers is told at once."""
    with pytest.raises(UsageError, match=r"^--worker '.*': no host; expected the name or the address .* into --port$"):
        check_host(host)
