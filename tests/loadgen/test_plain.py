"""The scenarios under plain Locust: its options and outputs work, and nothing is left on the target."""

import csv
import json
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.command import LIMIT_S, Shell
from tests.stages import free_port
from tests.watched import Watched
from touchstone.contract.files import load_dir
from touchstone.twin import RateLimit

STEADY = ("--users", "8", "--spawn-rate", "8", "--run-time", "60s", "--headless", "--scenario-build-s", "0.2")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Locust as a command, without any key: that of a twin on this machine is known."""
    return Shell(tmp_path, {}, (sys.executable, "-m", "locust", "--loglevel", "INFO"))


def locustfile(name: str) -> tuple[str, str]:
    return "-f", str(load_dir() / f"{name}.py")


def shared_by(processes: int) -> tuple[str, ...]:
    port = str(free_port())
    bound = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port)
    return ("--processes", str(processes), *bound) if processes > 1 else ()


def counts(path: Path) -> Counter[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return Counter({row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)})


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.whole)])
def test_mix_runs_with_all_outputs_of_locust(shell: Shell, processes: int) -> None:
    outputs = ("--csv", "out/a", "--html", "out/a.html", "--json-file", "out/a")
    with Watched() as twin:
        command = shell.start(*locustfile("steady"), "--host", twin.url, *STEADY, *outputs, *shared_by(processes))
        while len(twin.received) < 200 and command.poll() is None:
            time.sleep(0.05)
        command.send_signal(signal.SIGINT)
        ended = shell.ended(command)
        left = (twin.refs(), twin.running())
        received = sum(path.endswith("/build") and method == "GET" for method, path in twin.received)
    assert (ended.code, left, shell.journals()) == (0, ([], 0), []), ended.err
    found = counts(shell.folder / "out" / "a_stats.csv")
    total = {row["name"]: row["num_requests"] for row in json.loads((shell.folder / "out" / "a.json").read_text())}
    assert found.keys() - {"Aggregated"} <= total.keys()
    assert max(found["getBuild 200"], 1) <= total["getBuild 200"] <= received
    assert (shell.folder / "out" / "a.html").stat().st_size > 0
    assert "sk_live" not in "".join(path.read_text("utf-8", "replace") for path in shell.files())


@pytest.mark.parametrize(
    ("number", "processes"),
    [
        *((signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGKILL, 1)),
        *(pytest.param(number, 2, marks=pytest.mark.whole) for number in (signal.SIGINT, signal.SIGTERM)),
    ],
)
def test_storm_that_is_ended_leaves_nothing_or_can_be_swept(
    shell: Shell, number: signal.Signals, processes: int
) -> None:
    with Watched(builds=2, capacity=2) as twin:
        storm = (*locustfile("storm"), "--host", twin.url, "--scenario-builds", "5", "--scenario-build-s", "60")
        command = shell.start(*storm, "--headless", "--only-summary", *shared_by(processes))
        assert twin.reached.wait(LIMIT_S)
        command.send_signal(number)
        ended = shell.ended(command)
        if number == signal.SIGKILL:
            assert twin.refs()
            swept = Shell(shell.folder).run("sweep", "--url", twin.url)
            assert swept.code == 0, swept.err
        assert (twin.refs(), twin.running(), shell.journals()) == ([], 0, []), ended.err
    assert "Traceback" not in ended.err


@pytest.mark.whole
@pytest.mark.parametrize("processes", [1, 2])
def test_storm_that_is_ended_during_its_set_up_leaves_nothing(shell: Shell, processes: int) -> None:
    with Watched(builds=processes, build_s=60.0) as twin:
        command = shell.start(*locustfile("storm"), "--host", twin.url, "--headless", *shared_by(processes))
        assert twin.reached.wait(LIMIT_S)
        command.terminate()
        ended = shell.ended(command)
        assert (twin.refs(), twin.running(), shell.journals()) == ([], 0, []), ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        ((), 2, "--host"),
        (("--host", "127.0.0.1:8123"), 2, "found '127.0.0.1:8123'"),
        (("--host", "https://builds.test/api"), 2, "--allow-load builds.test"),
        (("--host", "https://builds.test/api", "--allow-load", "builds.test"), 2, "ORGO_API_KEY"),
        (("--host", "http://127.0.0.1:9", "--scenario-builds", "0"), 2, "--scenario-builds"),
        (("--host", "http://127.0.0.1:9", "--scenario-templates", "x"), 2, "--scenario-templates"),
        (("--host", "http://127.0.0.1:9"), 3, "check the URL"),
        pytest.param(("--host", "http://127.0.0.1:9", *shared_by(2)), 3, "check the URL", marks=pytest.mark.whole),
    ],
)
def test_load_that_cannot_be_is_refused_with_its_reason(
    shell: Shell, flags: tuple[str, ...], code: int, text: str
) -> None:
    ended = shell.run(*locustfile("storm"), "--headless", *flags)
    assert (ended.code, text in ended.err, "Traceback" in ended.err) == (code, True, False), ended.err


class Page:
    """Locust's page, as a browser uses it."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def text(self) -> str:
        while True:
            try:
                return self._http.get("/").text
            except httpx.TransportError:
                time.sleep(0.1)

    def wait_for(self, workers: int) -> None:
        while len(self._http.get("/stats/requests").json().get("workers", ())) < workers:
            time.sleep(0.1)

    def post(self, path: str, **form: str) -> None:
        assert self._http.post(path, data=form).json()["success"]

    def until_stopped(self, with_row: str = "") -> dict[str, int]:
        """Waits until no run goes on, and the statistics have a row; the run may be over before the page is read."""
        while True:
            found = self._http.get("/stats/requests").json()
            rows = {row["name"]: row["num_requests"] for row in found["stats"]}
            if found["state"] == "stopped" and with_row in {*rows, ""}:
                return rows
            time.sleep(0.1)


@pytest.mark.whole
@pytest.mark.parametrize("processes", [1, 2])
def test_storm_is_run_stopped_and_run_again_from_the_page(shell: Shell, processes: int) -> None:
    port = free_port()
    with (
        Watched(builds=2, capacity=2, rate=RateLimit.parse("12/1")) as twin,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S) as http,
        ExitStack() as stack,
    ):
        web = ("--web-host", "127.0.0.1", "--web-port", str(port), *shared_by(processes))
        command, page = shell.start(*locustfile("storm"), *web), Page(http)
        stack.callback(command.terminate)  # after a failure; else it has ended by then
        shown = page.text()
        assert ("scenario_builds" in shown, "allow_load" in shown, "sk_live" in shown) == (True, False, False)
        page.wait_for(processes if processes > 1 else 0)
        form = {"host": twin.url, "scenario_build_s": "0.2"}
        page.post("/swarm", **form, scenario_builds="40")
        assert twin.reached.wait(LIMIT_S)
        page.post("/stop")
        assert "startBuild aftermath 202" not in page.until_stopped()
        assert twin.refs() == []
        page.post("/swarm", **form, scenario_builds="6")
        rows = page.until_stopped("startBuild aftermath 202")
        command.send_signal(signal.SIGINT)
        ended = shell.ended(command)
        assert (twin.refs(), twin.running()) == ([], 0), ended.err
    assert (rows["startBuild 202"], "startBuild 429" in rows) == (6, True)
    assert rows["startBuild aftermath 202"] > 0 < rows["startBuild aftermath 429"]


@pytest.mark.whole
def test_csv_of_a_storm_has_rows_for_its_aftermath(tmp_path: Path) -> None:
    flags = ("--builds", "5", "--build-s", "0.2", "--max-builds", "200", "--csv", "out")
    with Watched(rate=RateLimit.parse("12/1"), capacity=4) as twin:
        ended = Shell(tmp_path).run("load", "storm", "--url", twin.url, *flags)
    rows, load = counts(tmp_path / "out" / "storm_stats.csv"), ended.report()["load"]
    by_operation = Counter[str]()
    for name, number in rows.items():
        by_operation[name.split()[0]] += number
    assert rows["startBuild 202"] == 5
    assert rows["startBuild aftermath 202"] > 0
    for operation in ("startBuild", "getBuild", "cancelBuild"):
        assert by_operation[operation] == load["operations"][operation]["count"]
