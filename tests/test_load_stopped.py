"""
A load run that is interrupted in any of its stages stops at once, clears up and reports; after a kill it can be swept.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import LIMIT_S, Ended, Shell, gone
from tests.stages import Asgi, Stage, Stages, descendants, forgetting
from tests.watched import Watched
from touchstone.facts.runlog import read
from touchstone.twin import RateLimit

PER_S = 20
STORM = ("storm", "--builds", "5", "--build-s", "0.2")
LONG = ("steady", "--rate", f"{PER_S}", "--duration", "60", "--mix", "read=9,start=1", "--processes", "2")
VERSIONS = 60 * PER_S // 10 + 4
SHORT = ("steady", "--rate", "4", "--duration", "1", "--mix", "start=1")

pytestmark = pytest.mark.whole


@dataclass(frozen=True, slots=True)
class Stop:
    """A load run, and when it is sent which signal."""

    stage: Stage
    signal: signal.Signals
    flags: tuple[str, ...]


STOPS = {
    "set-up": Stop("set-up", signal.SIGTERM, STORM),
    "loading": Stop("loading", signal.SIGINT, LONG),
    "aftermath": Stop("aftermath", signal.SIGINT, STORM),
    "clean-up": Stop("clean-up", signal.SIGTERM, SHORT),
    "killed": Stop("loading", signal.SIGKILL, LONG),
    "insisting": Stop("loading", signal.SIGINT, LONG),
}
INTERRUPTED = tuple(name for name in STOPS if name not in ("killed", "insisting"))
# Meanwhile the first request of the clean-up waits for its answer, so that there is time to interrupt it.
HOLD_S = 2.0


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a run that was sent a signal left.

    Attributes:
        left: Versions and running builds on its target.
        processes: Those that it had started.
        asked_after: Requests of the load that came after the signal; after the first request of the clean-up.
        before: Versions and journals that were left before a sweep.
    """

    ended: Ended
    left: tuple[list[str], int]
    processes: list[int]
    asked_after: tuple[int, int]
    journals: int
    before: tuple[int, int]
    report: Ended | None = None
    sweep: Ended | None = None


def stopped(stop: Stop, folder: Path) -> Stopped:
    """Makes a run, and stops it."""
    stages, shell = Stages(), Shell(folder)
    insists = stop is STOPS["insisting"]
    wrap = (lambda app: stages.wrap(holding(app))) if insists else stages.wrap
    with Watched(wrap=wrap, rate=RateLimit.parse("12/1"), capacity=4) as twin:
        flags = ("--url", twin.url, "--max-builds", "200", "--report-dir", "reports/run", *stop.flags[1:])
        command = shell.start("load", stop.flags[0], *flags)
        assert stages.reached[stop.stage].wait(LIMIT_S)
        processes, stopped_at = descendants(command.pid), time.monotonic()
        command.send_signal(stop.signal)
        if insists:
            assert stages.reached["clean-up"].wait(LIMIT_S)
            command.send_signal(stop.signal)
        ended = shell.ended(command)
        clearing_at = next((asked.at for asked in stages.asked if asked.method == "DELETE"), float("inf"))
        asked_after = (len(stages.after(stopped_at)), len(stages.after(clearing_at)))
        report = sweep = None
        before = (len(twin.refs()), len(shell.journals()))
        if stop.signal == signal.SIGKILL:
            assert all(gone(process) for process in processes)
            report = shell.run("report", "reports/run/runlog.jsonl")
        if stop.signal == signal.SIGKILL or insists:
            sweep = shell.run("sweep", "--url", twin.url)
        left = (twin.refs(), twin.running())
    return Stopped(ended, left, processes, asked_after, len(shell.journals()), before, report, sweep)


def holding(app: Asgi) -> Asgi:
    """The same application, slow to answer what first removes something."""
    seen: list[str] = []

    async def held(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "DELETE":
            seen.append(scope["path"])
            # The server is slow, and is to be: the test waits for what comes of it.
            await asyncio.sleep(HOLD_S if len(seen) == 1 else 0.0)
        await app(scope, receive, send)

    return held


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Stopped]:
    """All runs, beside each other: they wait most of the time."""
    with ThreadPoolExecutor(len(STOPS)) as pool:
        running = {name: pool.submit(stopped, stop, tmp_path_factory.mktemp(name)) for name, stop in STOPS.items()}
        return {name: run.result() for name, run in running.items()}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_interrupted_run_ends_with_130_and_its_report(runs: Mapping[str, Stopped], name: str) -> None:
    """Whichever stage a signal meets, the last line and the report say which one it was, and that the run is none."""
    ended = runs[name].ended
    reason = f"interrupted by {STOPS[name].signal.name}"
    assert (ended.code, ended.last_line) == (130, f"exit 130: {reason}"), ended.err
    run = ended.report()["run"]
    assert (run["exit_code"], run["interrupted"], run["reason"]) == (130, True, reason)


@pytest.mark.parametrize("name", INTERRUPTED)
def test_interrupted_run_leaves_nothing(runs: Mapping[str, Stopped], name: str) -> None:
    """No version, no build, no journal and no process is left."""
    run = runs[name]
    assert run.left == ([], 0)
    assert run.journals == 0
    assert all(gone(process) for process in run.processes)


def test_interrupt_ends_the_sending(runs: Mapping[str, Stopped]) -> None:
    """After the signal no more is sent than some seconds of the schedule, and nothing at all once it is cleared up."""
    sent, while_clearing = runs["loading"].asked_after
    assert sent < 5 * PER_S
    assert while_clearing == 0


def test_long_set_up_and_clean_up_are_told(runs: Mapping[str, Stopped]) -> None:
    """
    Where much is to be done, it is said as it begins, and once somebody has interrupted the run, what else he can do.
    """
    told = runs["loading"].ended.err.splitlines()
    assert f"publishing: 0 of {VERSIONS}" in told
    assert f"deleting templates: 0 of {VERSIONS} (once more, and the rest is left to `touchstone sweep`)" in told


def test_interrupt_keeps_what_was_seen(runs: Mapping[str, Stopped]) -> None:
    """All workers tell their last before they go: nobody is lost, and no claim is broken."""
    ended = runs["loading"].ended
    workers = read(ended.results / "runlog.jsonl").workers
    assert {worker.number for worker in workers if worker.state == "done"} == {0, 1}
    assert "broken" not in ended.verdicts().values()


def test_processes_end_with_the_one_that_started_them(runs: Mapping[str, Stopped]) -> None:
    """Locust's master, and its workers are gone when the command is killed."""
    assert len(runs["killed"].processes) == 1 + 2


def test_report_of_a_killed_run_says_that_it_was_cut_short(runs: Mapping[str, Stopped]) -> None:
    """The run log can be read as far as it was written, and is no pass."""
    report = runs["killed"].report
    assert report is not None
    assert (report.code, report.last_line) == (3, "exit 3: the run log has no footer: the run was cut short")


@pytest.mark.parametrize(("name", "is_open"), [("aftermath", True), ("clean-up", False)])
def test_thresholds_stay_open_only_where_a_client_was_not_done(
    runs: Mapping[str, Stopped], name: str, is_open: bool
) -> None:
    """
    A storm whose last client is stopped does not say that its thresholds are kept; when all is over, they are judged.
    """
    told = " ".join(runs[name].ended.out.split())
    assert ("kept so far, but the run was interrupted by" in told) == is_open
    assert (" kept share of requests that failed" in told) != is_open


def test_clean_up_that_is_interrupted_again_ends(runs: Mapping[str, Stopped]) -> None:
    """The report is written all the same, and says what was left, which the journal names."""
    run = runs["insisting"]
    versions, journals = run.before
    told = " ".join(run.ended.out.split())
    assert (run.ended.code, run.ended.last_line) == (130, "exit 130: interrupted by SIGINT"), run.ended.err
    assert (versions > 1, journals) == (True, 1)
    assert f"the clean-up was stopped: {versions} versions may be left, and builds of them; `touchstone sweep`" in told
    assert len(run.ended.report()["left_behind"]) == versions


@pytest.mark.parametrize("name", ["killed", "insisting"])
def test_run_that_left_something_can_be_swept(runs: Mapping[str, Stopped], name: str) -> None:
    """A sweep removes what a run left, and then there is nothing left to sweep."""
    run = runs[name]
    assert run.sweep is not None
    assert run.sweep.code == 0, run.sweep.err
    assert (run.left, run.journals) == (([], 0), 0)


def test_target_that_dies_is_not_waited_for(tmp_path: Path) -> None:
    """Whoever polls a build gives up; the run ends with 1, says since when nobody was answered, and what it left.

    Starts for which no connection came about are known to have begun nothing.
    """
    stages, shell = Stages(), Shell(tmp_path)
    flags = ("--build-s", "4", "--duration", "3", "--rate", "8", "--mix", "start=1", "--report-dir", "reports/run")
    with Watched(wrap=stages.wrap, build_s=4.0) as twin:
        command = shell.start("load", "steady", "--url", twin.url, "--max-builds", "100", *flags)
        assert stages.reached["loading"].wait(LIMIT_S)
    ended = shell.ended(command)

    assert (ended.code, ended.last_line.startswith("exit 1:")) == (1, True), ended.err
    assert "on the target answered nobody in full any more" in " ".join(ended.out.split())
    log = read(ended.results / "runlog.jsonl")
    assert {build.end for build in log.builds} == {"silent"}
    assert any(attempt.unsent for attempt in log.attempts)
    assert "could not be deleted" not in ended.out
    (journal,) = shell.journals()
    assert journal


class Freezing:
    """Lets a target answer nobody any more from some moment on.

    Attributes:
        hung: The methods of all requests that were not answered.
        hangs: Set when there are many of them.
        clears: Set when the clean-up has sent one.
    """

    def __init__(self) -> None:
        self.hung: list[str] = []
        self.frozen, self.hangs, self.clears = threading.Event(), threading.Event(), threading.Event()

    def wrap(self, app: Asgi) -> Asgi:
        """The same application, that can be frozen."""

        async def held(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or not self.frozen.is_set():
                await app(scope, receive, send)
                return
            self.hung.append(scope["method"])
            if scope["method"] == "DELETE":
                self.clears.set()
            elif len(self.hung) > PER_S:
                self.hangs.set()
            while (await receive())["type"] != "http.disconnect":
                pass

        return held


def test_requests_that_hang_when_the_run_is_stopped_are_told(tmp_path: Path) -> None:
    """They are no errors and are counted all the same; whoever asks again waits for no request of the clean-up."""
    stages, freezing, shell = Stages(), Freezing(), Shell(tmp_path)
    flags = ("--rate", f"{PER_S}", "--duration", "60", "--mix", "read=19,start=1", "--report-dir", "reports/run")
    with Watched(wrap=lambda app: stages.wrap(freezing.wrap(app))) as twin:
        command = shell.start("load", "steady", "--url", twin.url, "--max-builds", "100", *flags)
        assert stages.reached["loading"].wait(LIMIT_S)
        freezing.frozen.set()
        for moment in (freezing.hangs, freezing.clears):
            assert moment.wait(LIMIT_S)
            command.send_signal(signal.SIGINT)
        ended = shell.ended(command)
    total, hung, told = ended.report()["load"]["total"], freezing.hung, " ".join(ended.out.split())

    assert (ended.code, hung.count("DELETE"), "broken" in ended.verdicts().values()) == (130, 1, False), ended.err
    assert (total["error_share"], total["kinds"]["cut"]) == (0, hung.count("GET") + hung.count("POST"))
    assert f"{total['kinds']['cut']} requests had no complete answer yet when the run was stopped" in told
    assert "too many" not in told


def test_version_that_is_gone_is_not_polled_for_as_long_as_a_build_may_take(tmp_path: Path) -> None:
    """
    A target that was begun anew knows the versions of the run no more: their builds have vanished, and that is the end.
    """
    shell = Shell(tmp_path)
    with Watched(wrap=forgetting("start")) as twin:
        ended = shell.run("load", *SHORT, "--url", twin.url, "--report-dir", "run")
    builds = read(tmp_path / "run" / "runlog.jsonl").builds

    assert ended.code == 1, ended.err
    assert {build.end for build in builds} == {"vanished"}
    assert len(builds) == 4
