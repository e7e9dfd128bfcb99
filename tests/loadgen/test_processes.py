"""Loads as processes: interrupted they clear up and report; killed or shared they never pass by mistake."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from tests.command import LIMIT_S, Ended, Shell, gone
from tests.loads import THRESHOLDS
from tests.stages import Stage, Stages, descendants, free_port
from tests.watched import Watched
from touchstone.facts.runlog import read
from touchstone.twin import RateLimit

PER_S, ARRIVALS = 20, 90
STORM = ("storm", "--builds", "5", "--build-s", "0.2")
LONG = ("steady", "--rate", f"{PER_S}", "--duration", "60", "--mix", "read=9,start=1", "--processes", "2")
SHORT = ("steady", "--rate", "4", "--duration", "1", "--mix", "start=1")
MIXED = (
    *("steady", "--rate", "15", "--duration", "6", "--mix", "read=14,start=1", "--max-builds", "40"),
    *("--thresholds", "thresholds.toml"),
)

pytestmark = pytest.mark.whole

Place = Callable[[str], Shell]


@dataclass(frozen=True, slots=True)
class Result:
    ended: Ended
    left: tuple[list[str], int]  # versions and running builds on its target
    processes: tuple[int, ...] = ()
    others: tuple[Ended, ...] = ()  # commands that followed, or workers beside it
    late: tuple[int, int] = (0, 0)  # requests after the signal; after the first one of the clean-up
    journals: int = 0


def stopped(place: Place, stage: Stage, number: signal.Signals, flags: tuple[str, ...]) -> Result:
    """A load that gets a signal in a stage, and a sweep after it if it was killed."""
    stages, shell = Stages(), place("stopped")
    with Watched(wrap=stages.wrap, rate=RateLimit.parse("12/1"), capacity=4) as twin:
        more = ("--url", twin.url, "--max-builds", "200", "--report-dir", "reports/run")
        command = shell.start("load", *flags, *more)
        assert stages.reached[stage].wait(LIMIT_S)
        processes, stopped_at = descendants(command.pid), time.monotonic()
        command.send_signal(number)
        ended = shell.ended(command)
        clearing_at = next((request.at for request in stages.received if request.method == "DELETE"), float("inf"))
        late = (len(stages.after(stopped_at)), len(stages.after(clearing_at)))
        others: list[Ended] = []
        if number == signal.SIGKILL:
            assert all(gone(process) for process in processes)
            others = [shell.run("report", "reports/run/runlog.jsonl"), shell.run("sweep", "--url", twin.url)]
        left = (twin.refs(), twin.running())
    return Result(ended, left, tuple(processes), tuple(others), late, len(shell.journals()))


def killed(place: Place, victim: int) -> Result:
    stages, shell = Stages(), place("parent")
    with Watched(wrap=stages.wrap) as twin:
        command = shell.start("load", *MIXED, "--url", twin.url, "--processes", "2")
        assert stages.reached["loading"].wait(LIMIT_S)
        processes = descendants(command.pid)
        os.kill(processes[victim], signal.SIGKILL)
        return Result(shell.ended(command), (twin.refs(), twin.running()), tuple(processes))


def shared(place: Place) -> Result:
    """A master whose workers are commands of their own; a third one comes when two have begun."""
    over = threading.Event()
    stages, port = Stages(over=over), str(free_port())
    with Watched(wrap=stages.wrap) as twin:
        bound = ("--master", "--expect-workers", "2", "--bind", "127.0.0.1", "--port", port)
        shells = [place(name) for name in ("master", "one", "two", "late")]
        worker = ("load", "steady", "--url", twin.url, "--worker", "127.0.0.1", "--port", port)
        commands = [shells[0].start("load", *MIXED, "--url", twin.url, *bound)]
        commands += [shell.start(*worker) for shell in shells[1:3]]
        assert stages.reached["loading"].wait(LIMIT_S)
        late = shells[3].run(*worker)
        over.set()
        ended = [shell.ended(command) for shell, command in zip(shells[:3], commands, strict=True)]
        return Result(ended[0], (twin.refs(), twin.running()), (), (*ended[1:], late))


RUNS: Mapping[str, Callable[[Place], Result]] = {
    "set-up": partial(stopped, stage="set-up", number=signal.SIGTERM, flags=STORM),
    "loading": partial(stopped, stage="loading", number=signal.SIGINT, flags=LONG),
    "aftermath": partial(stopped, stage="aftermath", number=signal.SIGINT, flags=STORM),
    "clean-up": partial(stopped, stage="clean-up", number=signal.SIGTERM, flags=SHORT),
    "killed": partial(stopped, stage="loading", number=signal.SIGKILL, flags=LONG),
    "worker": partial(killed, victim=-1),
    "master": partial(killed, victim=0),
    "shared": shared,
}
AT_A_TIME = 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Result]:
    def place(name: str) -> Shell:
        shell = Shell(tmp_path_factory.mktemp(name))
        (shell.folder / "thresholds.toml").write_text(THRESHOLDS, encoding="utf-8")
        return shell

    tmp_path_factory.getbasetemp()  # which threads cannot make side by side
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running = {name: pool.submit(run, place) for name, run in RUNS.items()}
        return {name: run.result() for name, run in running.items()}


@pytest.mark.parametrize("name", ["set-up", "loading", "aftermath", "clean-up"])
def test_interrupted_load_reports_and_leaves_nothing(runs: Mapping[str, Result], name: str) -> None:
    run = runs[name]
    report = run.ended.report()["run"]
    assert (run.ended.code, report["exit_code"], report["interrupted"]) == (130, 130, True), run.ended.err
    assert ("SIGTERM" if name in ("set-up", "clean-up") else "SIGINT") in run.ended.last_line
    assert (run.left, run.journals) == (([], 0), 0)
    assert all(gone(process) for process in run.processes)


def test_interrupt_ends_the_sending_and_keeps_what_came(runs: Mapping[str, Result]) -> None:
    run = runs["loading"]
    sent, while_clearing = run.late
    assert (sent < 5 * PER_S, while_clearing) == (True, 0)
    workers = read(run.ended.results / "runlog.jsonl").workers
    assert {worker.number for worker in workers if worker.state == "done"} == {0, 1}
    assert "broken" not in run.ended.verdicts().values()


def test_load_that_was_killed_can_be_reported_and_swept(runs: Mapping[str, Result]) -> None:
    run = runs["killed"]
    report, sweep = run.others
    assert (report.code, sweep.code, run.left, run.journals) == (3, 0, ([], 0), 0), sweep.err
    assert len(run.processes) == 1 + 2


def test_load_that_loses_a_worker_is_no_pass(runs: Mapping[str, Result]) -> None:
    ended = runs["worker"].ended
    generator = ended.report()["load"]["generator"]
    states = [worker.state for worker in read(ended.results / "runlog.jsonl").workers]
    assert (ended.code, states.count("lost"), states.count("done")) == (3, 1, 1), ended.out
    assert 0 < generator["unknown"] == ARRIVALS - generator["sent"] <= ARRIVALS / 2
    assert ("broken" in ended.verdicts().values(), runs["worker"].left) == (False, ([], 0))


def test_load_that_loses_its_master_is_no_pass(runs: Mapping[str, Result]) -> None:
    run = runs["master"]
    assert (run.ended.code, "-9" in run.ended.last_line, run.left) == (3, True, ([], 0)), run.ended.out
    assert "broken" not in run.ended.verdicts().values()
    assert all(gone(process) for process in run.processes)


def test_workers_of_a_master_share_its_schedule(runs: Mapping[str, Result]) -> None:
    master, (one, two, late) = runs["shared"].ended, runs["shared"].others
    log = read(master.results / "runlog.jsonl")
    sent = {worker.number: worker.sent for worker in log.workers if worker.state == "done"}
    assert [each.code for each in (master, one, two, late)] == [0, 0, 0, 3], master.out
    assert sent == {0: ARRIVALS // 2, 1: ARRIVALS // 2}
    assert master.report()["load"]["generator"]["sent"] == ARRIVALS
    for worker in (one, two):
        names = {path.name for path in worker.folder.rglob("*") if path.is_file()}
        assert ("locust.log" in names, "runlog.jsonl" in names) == (True, False)
