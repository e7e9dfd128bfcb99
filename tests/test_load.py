"""Load runs from end to end: Locust's page, models and budgets, several processes, and errors of our own."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command import KEYS, LIMIT_S, Ended, Shell
from tests.loads import THRESHOLDS, broken
from tests.stages import Asgi, descendants, free_port, words
from tests.watched import Watched
from touchstone.facts.runlog import read
from touchstone.loadgen.metrics import TARGET

# Of a scenario whose reads alone are of interest.
READS = ("--mix", "read=1", "--max-builds", "8")
ODD = json.dumps({"status": "sleeping"}).encode()
SLOW_S = 1.5

SLOW = '[steady."*"]\np90_s = 1.0\n'
MISTAKEN = """
from touchstone.loadgen.arrival_user import ArrivalUser

class Steady(ArrivalUser):
    scenario = "steady"

    def do_read(self, arrival):
        raise ValueError("a mistake of ours")
"""
# The command with scenarios of a folder of our own.
ELSEWHERE = """
from pathlib import Path
from touchstone.cli import app
from touchstone.loadgen import runner
runner.load_dir = lambda: Path("scenarios").absolute()
app.main()
"""

pytestmark = pytest.mark.whole


@dataclass(frozen=True, slots=True)
class Made:
    """What a run left, and what was seen meanwhile.

    Attributes:
        rows: Names in Locust's statistics, while the run went on.
        page: Locust's page.
        commands: The command lines of all its processes, while it went on.
        starts: What its target was asked for besides reads.
    """

    ended: Ended
    rows: tuple[str, ...] = ()
    page: str = ""
    commands: tuple[str, ...] = ()

    @property
    def generator(self) -> dict[str, Any]:
        """What the report says of the sending."""
        return dict(self.ended.report()["load"]["generator"])


class Reads:
    """Reads of a target that turn out otherwise once there were some.

    Attributes:
        begun: Set by then.
        count: How many there were.
    """

    def __init__(self, otherwise: Callable[[Any], Any] | None = None, after: int = 60) -> None:
        self.begun = threading.Event()
        self.count = 0
        self._otherwise = otherwise
        self._after = after

    def wrap(self, app: Asgi) -> Asgi:
        """The same application, with such reads."""

        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or (scope["method"], scope["path"][-6:]) != ("GET", "/build"):
                await app(scope, receive, send)
                return
            self.count += 1
            if self.count > self._after:
                self.begun.set()
                if self._otherwise is not None and await self._otherwise(send):
                    return
            await app(scope, receive, send)

        return wrapped


async def oddly(send: Any) -> bool:
    """Answers with a status that there is not."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ODD)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ODD})
    return True


async def slowly(_send: Any) -> bool:
    """Has the answer wait."""
    # The slow answer is what is tested: nothing else is waited for.
    await asyncio.sleep(SLOW_S)
    return False


# --- the runs --------------------------------------------------------------------------------------------------------


def soak(shell: Shell) -> Made:
    """A short soak of the embedded twin with Locust's page beside it."""
    port = free_port()
    flags = ("--duration", "4", "--rate", "60", "--mix", "read=59,start=1", "--max-builds", "10")
    command = shell.start("load", "soak", *flags, "--thresholds", "thresholds.toml", "--web-ui", str(port))
    rows: list[str] = []
    page = ""
    while command.poll() is None and not rows:
        with contextlib.suppress(httpx.TransportError):
            stats = httpx.get(f"http://127.0.0.1:{port}/stats/requests", timeout=LIMIT_S).json()["stats"]
            rows = [row["name"] for row in stats if row["num_requests"] and row["name"] != "Aggregated"]
            page = httpx.get(f"http://127.0.0.1:{port}/", timeout=LIMIT_S).text
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(0.1)
    return Made(shell.ended(command), tuple(rows), page)


def steady(
    *flags: str, otherwise: Callable[[Any], Any] | None = None, build_s: float = 0.05
) -> Callable[[Shell], Made]:
    """The everyday mix against a twin of our own."""

    def made(shell: Shell) -> Made:
        reads = Reads(otherwise)
        with Watched(wrap=reads.wrap, build_s=build_s) as twin:
            command = shell.start("load", "steady", "--url", twin.url, "--thresholds", "thresholds.toml", *flags)
            while command.poll() is None and not reads.begun.wait(0.1):
                pass
            commands = tuple(words(process) for process in (command.pid, *descendants(command.pid)))
            return Made(shell.ended(command), commands=commands)

    return made


def aborted(shell: Shell) -> Made:
    """A run that is to last long, whose threshold is soon broken."""
    (shell.folder / "thresholds.toml").write_text(SLOW, encoding="utf-8")
    flags = ("--abort-on-fail", "--rate", "25", "--duration", "60", *READS)
    return steady(*flags, otherwise=slowly)(shell)


def mistaken(shell: Shell) -> Made:
    """A run whose scenario has an error in it."""
    folder = shell.folder / "scenarios"
    folder.mkdir()
    (folder / "steady.py").write_text(MISTAKEN, encoding="utf-8")
    flags = ("--rate", "20", "--duration", "1", "--mix", "read=1", "--thresholds", "thresholds.toml")
    command = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, "load", "steady", *flags],
        cwd=shell.folder,
        env=shell.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Made(shell.ended(command))


RUNS: Mapping[str, Callable[[Shell], Made]] = {
    "soak": soak,
    "closed": steady(
        "--model", "closed", "--users", "4", "--duration", "30", "--max-requests", "600", *READS, otherwise=oddly
    ),
    "used-up": steady(
        *("--model", "closed", "--duration", "4", "--build-s", "0", "--mix", "read=3,start=1", "--max-builds", "40")
    ),
    # What is planned is allowed, but builds take longer than planned and are asked about more often.
    "budget": steady(
        *("--rate", "20", "--duration", "5", "--max-requests", "300", "--mix", "read=1,start=1", "--max-builds", "60"),
        build_s=5.0,
    ),
    "shared": steady("--rate", "300", "--duration", "2", *READS, "--processes", "2", otherwise=oddly),
    "aborted": aborted,
    "mistaken": mistaken,
}
AT_A_TIME = 4


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Made]:
    """All runs, some of them beside each other: they wait most of the time."""
    folder = tmp_path_factory.mktemp("load")

    def run(name: str) -> Made:
        shell = Shell(folder / name)
        shell.folder.mkdir()
        (shell.folder / "thresholds.toml").write_text(THRESHOLDS, encoding="utf-8")
        return RUNS[name](shell)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return dict(zip(RUNS, pool.map(run, RUNS), strict=True))


# --- Locust's page ---------------------------------------------------------------------------------------------------


def test_page_of_locust_shows_a_run_that_ends_by_itself(runs: Mapping[str, Made]) -> None:
    """While the run lasts its page has a row for each operation and outcome; then both are over."""
    soaked = runs["soak"]
    assert soaked.ended.code == 0, soaked.ended.out
    assert "getBuild 200" in soaked.rows
    assert all(len(row.split()) == 2 for row in soaked.rows)
    assert "<html" in soaked.page


def test_memory_of_the_embedded_twin_is_written_down(runs: Mapping[str, Made]) -> None:
    """A soak can tell whether its target grows, where it is the twin."""
    workers = read(runs["soak"].ended.results / "runlog.jsonl").workers
    assert [worker for worker in workers if worker.number == TARGET and worker.rss_bytes]


# --- models and budgets ----------------------------------------------------------------------------------------------


def test_closed_model_says_which_times_it_cannot_give(runs: Mapping[str, Made]) -> None:
    """Where nothing is due there are service times alone, nothing is late, and nothing can be missing."""
    closed = runs["closed"].ended.report()["load"]
    assert closed["workload"]["model"] == "closed"
    reads = closed["operations"]["getBuild"]
    assert (reads["response"], reads["late"]) == (None, None)
    assert reads["service"]["count"] > 0
    assert closed["generator"]["unknown"] == 0
    assert "closed model: service times only" in runs["closed"].ended.out


def test_closed_model_tells_when_its_builds_are_used_up(runs: Mapping[str, Made]) -> None:
    """Each arrival that builds is sent once, as was planned; that clients only read from then on is told."""
    ended = runs["used-up"].ended
    load = ended.report()["load"]
    assert load["operations"]["startBuild"]["outcomes"]["202"]["count"] == 20
    assert load["workload"]["arrivals"] == "as answered, by 8 clients"
    why = re.compile(
        r"closed model: all 20 arrivals of worker 0 that begin a build were taken up by second \d+\.\d; .*"
    )
    told = [text for text in ended.report()["warnings"] if why.fullmatch(text)]
    assert len(told) == 1
    page = (ended.results / "report.html").read_text(encoding="utf-8")
    assert told[0] in page
    assert '<dt>Arrivals</dt><dd class="mono">as answered, by 8 clients</dd>' in page
    assert "Scheduled" not in page
    others = [text for text in runs["closed"].ended.report()["warnings"] if text.startswith("closed model: ")]
    assert others == []


def test_budget_bounds_every_client_of_a_closed_model(runs: Mapping[str, Made]) -> None:
    """Clients that send as fast as they can send no more than all of them together may."""
    log = read(runs["closed"].ended.results / "runlog.jsonl")
    assert sum(window.count for window in log.windows) == 600


def test_budget_of_requests_is_kept(runs: Mapping[str, Made]) -> None:
    """No request beyond the budget is sent; arrivals without one are counted, none is lost, and the reader is told."""
    spent = runs["budget"]
    log = read(spent.ended.results / "runlog.jsonl")
    assert sum(window.count for window in log.windows if window.outcome != "unsent") == 300
    generator = spent.generator
    assert (generator["sent"] + generator["unsent"], generator["unknown"]) == (100, 0)
    assert generator["unsent"] == generator["over_budget"] > 0
    assert "--max-requests ended it" in generator["says"]
    told = [text for text in log.warnings if text.startswith("--max-requests 300: worker 0 had sent its 300 requests")]
    assert len(told) == 1
    assert [case for case in log.cases if case.outcome == "error"] == []


def test_clients_that_a_run_leaves_undone_are_counted(runs: Mapping[str, Made]) -> None:
    """
    Who was left no request counts, in either model; where the time of a closed model is over, or all was sent, nobody.
    """
    undone = {
        name: sum(worker.undone for worker in read(runs[name].ended.results / "runlog.jsonl").workers)
        for name in ("closed", "budget", "used-up", "shared")
    }
    assert (undone["closed"], undone["used-up"], undone["shared"]) == (4, 0, 0)
    assert undone["budget"] > 0


def test_broken_threshold_ends_the_run(runs: Mapping[str, Made]) -> None:
    """With --abort-on-fail the rest of the schedule is not sent, and the threshold is a finding."""
    ended = runs["aborted"].ended
    assert (ended.code, broken(ended)) == (1, {"load.p90"}), ended.out
    assert 0 < runs["aborted"].generator["sent"] < 25 * 60
    assert "stopped by --abort-on-fail: * p90_s is beyond 1" in ended.report()["warnings"]


# --- several processes -----------------------------------------------------------------------------------------------


def test_every_arrival_is_counted_once(runs: Mapping[str, Made]) -> None:
    """Two workers send all arrivals of the schedule, and nothing besides."""
    log = read(runs["shared"].ended.results / "runlog.jsonl")
    assert {(window.operation, window.outcome) for window in log.windows} == {("getBuild", "200")}
    assert sum(window.count for window in log.windows) == runs["shared"].generator["sent"] == 600


@pytest.mark.parametrize("name", ["shared", "closed", "budget"])
def test_last_answer_of_each_second_is_written_down(runs: Mapping[str, Made], name: str) -> None:
    """
    Whoever sends tells when the last request of a second was done, by the clock of the run: rates are means over that.
    """
    log = read(runs[name].ended.results / "runlog.jsonl")
    assert log.footer is not None
    sent = [window for window in log.windows if window.outcome != "unsent"]
    assert [w for w in sent if not w.at_s + w.response.min_s <= w.done_at < w.at_s + 1 + w.response.max_s] == []
    assert max(window.done_at for window in sent) < log.footer.duration_s


@pytest.mark.parametrize("name", ["shared", "closed"])
def test_every_answer_is_judged(runs: Mapping[str, Made], name: str) -> None:
    """What is wrong with answers to reads is found in either model, and blamed on the same claims."""
    ended = runs[name].ended
    assert (ended.code, broken(ended)) == (1, {"status.is-one-of-four", "status.body-is-documented"}), ended.out


def test_mix_is_sent_as_planned(runs: Mapping[str, Made]) -> None:
    """Reads and builds of one run are all sent, and each build is followed to its end."""
    log = read(runs["soak"].ended.results / "runlog.jsonl")
    assert runs["soak"].generator["sent"] == 240
    assert [build.end for build in log.builds if build.end not in ("ready", "failed")] == []
    assert len(log.builds) == 4


# --- ours ------------------------------------------------------------------------------------------------------------


def test_error_in_a_flow_is_no_pass(runs: Mapping[str, Made]) -> None:
    """An error of ours ends the client that meets it and no other, is met once by each, and is told."""
    ended = runs["mistaken"].ended
    why = "a flow failed: ValueError: a mistake of ours"
    assert (ended.code, ended.last_line) == (3, f"exit 3: {why}"), ended.out
    assert f"20 times: {why}" in ended.report()["warnings"]


def test_no_process_is_started_with_a_key(runs: Mapping[str, Made]) -> None:
    """
    Command lines, which all users of a machine can read, hold no key: neither that of the command nor those of others.
    """
    commands = runs["shared"].commands
    assert sum("locust" in words for words in commands) == 1 + 2
    assert not [words for words in commands for key in KEYS.values() if key in words]


@pytest.mark.parametrize("name", RUNS)
def test_no_file_holds_a_key(runs: Mapping[str, Made], name: str) -> None:
    """Neither the run log nor a report nor what Locust printed holds a key."""
    files = [path for path in runs[name].ended.results.rglob("*") if path.is_file()]
    assert {"runlog.jsonl", "locust.log", "report.html"} <= {path.name for path in files}
    assert not [path for path in files if holds_a_key(path)]


def holds_a_key(path: Path) -> bool:
    """Whether one of the keys stands in a file."""
    data = path.read_bytes()
    return any(key.encode() in data for key in KEYS.values())
