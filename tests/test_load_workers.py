"""
A load run on several workers: each arrival is sent by one of them, and one that fails is told of and never passed over.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import LIMIT_S, Ended, Shell, gone
from tests.loads import THRESHOLDS
from tests.stages import Stages, descendants, free_port
from tests.watched import Watched
from touchstone.facts.runlog import read

ARRIVALS = 90
MIXED = (
    *("--rate", "15", "--duration", "6", "--mix", "read=14,start=1", "--max-builds", "40"),
    *("--thresholds", "thresholds.toml"),
)

pytestmark = pytest.mark.whole

Place = Callable[[str], Shell]


@dataclass(frozen=True, slots=True)
class Made:
    """What a run with several processes left.

    Attributes:
        others: The commands of workers that were started beside it, in order.
        left: Versions and running builds on its target.
        processes: Those that were still to end when one was killed.
    """

    ended: Ended
    left: tuple[list[str], int]
    others: tuple[Ended, ...] = ()
    processes: tuple[int, ...] = ()


def killed(victim: Callable[[list[int]], int], *flags: str) -> Callable[[Place], Made]:
    """A run one of whose processes is killed in the middle."""

    def made(place: Place) -> Made:
        stages, shell = Stages(), place("parent")
        with Watched(wrap=stages.wrap) as twin:
            command = shell.start("load", "steady", "--url", twin.url, *MIXED, *flags)
            assert stages.reached["loading"].wait(LIMIT_S)
            processes = descendants(command.pid)
            os.kill(victim(processes), signal.SIGKILL)
            ended = shell.ended(command)
            return Made(ended, (twin.refs(), twin.running()), (), tuple(processes))

    return made


def shared(place: Place) -> Made:
    """
    A master whose workers are commands of their own; a third one comes when two have begun, and before they have ended.
    """
    over = threading.Event()
    stages, port = Stages(over=over), str(free_port())
    with Watched(wrap=stages.wrap) as twin:
        bound = ("--master", "--expect-workers", "2", "--bind", "127.0.0.1", "--port", port)
        shells = [place(name) for name in ("master", "one", "two", "late")]
        worker = ("load", "steady", "--url", twin.url, "--worker", "127.0.0.1", "--port", port)
        commands = [shells[0].start("load", "steady", "--url", twin.url, *MIXED, *bound)]
        commands += [shell.start(*worker) for shell in shells[1:3]]
        assert stages.reached["loading"].wait(LIMIT_S)
        late = shells[3].run(*worker)
        over.set()
        ended = [shell.ended(command) for shell, command in zip(shells[:3], commands, strict=True)] + [late]
        return Made(ended[0], (twin.refs(), twin.running()), tuple(ended[1:]))


def alone(place: Place) -> Made:
    """A master that is interrupted while it waits for workers that never come."""
    port = free_port()
    with Watched() as twin:
        shell = place("master")
        bound = ("--master", "--expect-workers", "1", "--bind", "127.0.0.1", "--port", str(port))
        command = shell.start("load", "steady", "--url", twin.url, *MIXED, *bound)
        await_listener(port, command)
        command.send_signal(signal.SIGINT)
        ended = shell.ended(command)
        return Made(ended, (twin.refs(), twin.running()))


def await_listener(port: int, command: "subprocess.Popen[str]") -> None:
    """Waits until somebody takes connections on a port, as *command* is to."""
    while command.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), LIMIT_S).close()
        except ConnectionRefusedError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(0.05)
        else:
            return


RUNS: Mapping[str, Callable[[Place], Made]] = {
    "worker": killed(lambda processes: processes[-1], "--processes", "2"),
    "master": killed(lambda processes: processes[0], "--processes", "2"),
    "shared": shared,
    "alone": alone,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Made]:
    """All runs, beside each other: they wait most of the time."""
    folder = tmp_path_factory.mktemp("load")

    def place(name: str) -> Shell:
        shell = Shell(Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder)))
        (shell.folder / "thresholds.toml").write_text(THRESHOLDS, encoding="utf-8")
        return shell

    with ThreadPoolExecutor(len(RUNS)) as pool:
        running = {name: pool.submit(make, place) for name, make in RUNS.items()}
        return {name: run.result() for name, run in running.items()}


# --- what is killed --------------------------------------------------------------------------------------------------


def reason(made: Made) -> str:
    """Why a run ended as it did, in its own words."""
    return str(made.ended.report()["run"]["reason"])


def test_run_that_loses_a_worker_is_no_pass(runs: Mapping[str, Made]) -> None:
    """The run ends by itself, and says which worker was lost, and how much of its share it did not send."""
    made = runs["worker"]
    assert made.ended.code == 3, made.ended.out
    told, _, rest = reason(made).partition(": ")
    assert told in ("worker 0 was lost", "worker 1 was lost")
    assert rest.startswith("nothing was heard from it any more; of its 45 arrivals it had reported ")
    generator = made.ended.report()["load"]["generator"]
    assert 0 < generator["unknown"] == ARRIVALS - generator["sent"] <= ARRIVALS / 2
    states = [worker.state for worker in read(made.ended.results / "runlog.jsonl").workers]
    assert (states.count("lost"), states.count("done")) == (1, 1)


def test_run_that_loses_its_master_is_no_pass(runs: Mapping[str, Made]) -> None:
    """Workers end with their master, before the run is cleared up, and the report says what became of it."""
    made = runs["master"]
    assert made.ended.code == 3, made.ended.out
    assert reason(made).startswith("Locust ended with -9; see ")
    assert all(gone(process) for process in made.processes)


@pytest.mark.parametrize("name", ["worker", "master"])
def test_nobody_is_blamed_for_what_was_killed(runs: Mapping[str, Made], name: str) -> None:
    """No claim is broken by what was not seen, and nothing is left."""
    made = runs[name]
    assert "broken" not in made.ended.verdicts().values()
    assert made.left == ([], 0)


# --- more than one machine -------------------------------------------------------------------------------------------


def test_workers_of_a_master_share_its_schedule(runs: Mapping[str, Made]) -> None:
    """Both workers send their half, into one run log, and each command ends with 0."""
    master, (one, two, _) = runs["shared"].ended, runs["shared"].others
    assert (master.code, one.code, two.code) == (0, 0, 0), master.out
    log = read(master.results / "runlog.jsonl")
    done = {worker.number: worker.sent for worker in log.workers if worker.state == "done"}
    assert done == {0: ARRIVALS // 2, 1: ARRIVALS // 2}
    assert master.report()["load"]["generator"]["sent"] == ARRIVALS
    assert not [path for other in (one, two) for path in other.folder.rglob("runlog.jsonl")]


def test_worker_says_whom_it_waits_for(runs: Mapping[str, Made]) -> None:
    """Each worker says where its master is to be and where its log is."""
    for other in runs["shared"].others[:2]:
        (log,) = other.folder.rglob("locust.log")
        assert other.err.startswith("waiting for the master at 127.0.0.1:")
        assert other.err.endswith(f"; log: {log.relative_to(other.folder)}\n")


def test_worker_that_comes_too_late_is_told(runs: Mapping[str, Made]) -> None:
    """A worker that the run has no share for ends at once, and says why."""
    late = runs["shared"].others[2]
    assert (late.code, late.last_line) == (3, "exit 3: it came too late: the run has its 2 workers")


def test_master_that_waits_can_be_interrupted(runs: Mapping[str, Made]) -> None:
    """A master whose workers never come ends when it is told to, with its report and nothing left."""
    made = runs["alone"]
    assert (made.ended.code, made.ended.last_line) == (130, "exit 130: interrupted by SIGINT")
    assert reason(made) == "interrupted by SIGINT"
    assert made.left == ([], 0)
