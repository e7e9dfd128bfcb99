"""What `touchstone serve` adds to a twin: access log, page, templates to start with, switches of faults and limits."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.browser import Browser, Tab
from tests.twin.virtual import SECOND, Answer, Api, Clock, path_of
from touchstone.proof import catalogue
from touchstone.proof.faults import FAULTS
from touchstone.twin import Engine, TwinSettings
from touchstone.twin.console import ConsoleTwin
from touchstone.twin.serve import Behaviour

FAITHFUL = Behaviour("", "")
NORMAL = {"base_path": "", "build_s": 0.6, "settle_s": 0.1}
Open = Callable[..., Api]


@pytest.fixture
def console(clock: Clock) -> Open:
    """A twin behind its console, in virtual time."""

    def opened(**options: Any) -> Api:
        twin = ConsoleTwin(TwinSettings(**NORMAL), FAITHFUL, catalogue.faulty, **{"control": True, **options})
        engine = Engine(twin.settings)
        return Api(clock, twin.application(engine), engine)

    return opened


def switch(api: Api, what: str, value: Any) -> Answer:
    return api.request("PUT", f"/__touchstone/{what}", json_body=value)


def test_faults_are_switched_while_versions_and_builds_stay(console: Open) -> None:
    api = console()
    api.built()
    api.publish("slow", "sleep 60")
    api.start("slow")
    assert switch(api, "faults", ["cancel-answers-200"]).status == 200
    assert (api.status().json()["status"], api.cancel("slow").status) == ("ready", 200)
    assert switch(api, "faults", []).json()["faults"] == []
    assert api.cancel("slow").status in (202, 404)


def test_several_faults_work_together(console: Open) -> None:
    api = console()
    switch(api, "faults", ["cancel-answers-200", "ready-has-no-build-time", "delete-does-nothing"])
    api.built()
    api.publish("slow", "sleep 60")
    api.start("slow")
    assert ("build_time_ms" in api.status().json(), api.cancel("slow").status) == (False, 200)
    api.delete()
    assert api.status().status == 200


def test_every_fault_can_be_switched_on_among_earlier_versions(console: Open) -> None:
    failed: dict[str, str] = {}
    for name in FAULTS.keys() - {"answers-come-twice"}:  # which needs the connection of a server
        api = console()
        api.built()
        for version, step in (("broken", "exit 1"), ("slow", "sleep 60")):
            api.publish(version, step)
            api.start(version)
        try:
            assert switch(api, "faults", [name]).status == 200
            for version in ("demo", "broken", "slow"):
                for use in (api.status, api.template, api.start, api.cancel, api.status, api.log, api.delete):
                    use(version)
                api.publish(version)
        except Exception as error:  # noqa: BLE001 - any error of a fault
            failed[name] = repr(error)
    assert failed == {}


def test_limits_are_switched(console: Open) -> None:
    api = console()
    assert switch(api, "limits", {"rate": "1/60", "capacity": None}).json()["limits"]["rate"] == "fixed-window:1/60"
    for name in ("one", "two"):
        api.publish(name)
    assert [api.start(name).status for name in ("one", "two")] == [202, 429]
    assert switch(api, "limits", {"rate": None}).status == 200
    assert api.start("two").status == 202


@pytest.mark.parametrize(
    ("what", "value", "words"),
    [
        ("faults", ["cancel-answers-20"], ["cancel-answers-20", "cancel-answers-200"]),
        ("faults", "cancel-answers-200", ["expected a list"]),
        ("limits", {"rates": "2/1"}, ["rates", "did you mean rate"]),
        ("limits", {"rate": "2"}, ["rate"]),
        ("limits", {"capacity": 0}, ["capacity", "expected 1 build or more"]),
        ("limits", {"build_s": "x"}, ["build_s"]),
        ("limits", {"retry_after": "never"}, ["retry_after", "seconds, date or none"]),
    ],
)
def test_invalid_switch_is_a_422_that_changes_nothing(what: str, value: Any, words: list[str], console: Open) -> None:
    api = console()
    before = api.request("GET", "/__touchstone/state").json()
    answer = switch(api, what, value)
    assert (answer.status, [word for word in words if word not in answer.text]) == (422, [])
    assert api.request("GET", "/__touchstone/state").json() == before


def test_switches_are_off_without_control_and_the_state_is_for_this_machine(console: Open) -> None:
    api = console(control=False)
    refused = switch(api, "faults", [])
    assert (refused.status, "--control" in refused.text) == (403, True)

    async def elsewhere(scope: Any, *channels: Any) -> None:
        await inner({**scope, "client": ("192.0.2.1", 1)}, *channels)

    inner, api.app = api.app, elsewhere
    assert [api.request("GET", path).status for path in ("/", "/__touchstone/state")] == [403, 403]
    assert api.publish().status == 201


def test_seeds_build_fail_and_take_long(console: Open, clock: Clock) -> None:
    api = console(seeds=True)
    for name in ("hello", "broken", "slow"):
        assert api.start(name).status == 202
    clock.wait(30)
    assert [api.state(name) for name in ("hello", "broken", "slow")] == ["ready", "failed", "building"]


def test_state_lists_all_versions_with_owner_and_status(console: Open) -> None:
    api = console()
    api.built()
    api.with_key(SECOND).publish("other")
    versions = {each["ref"]: each for each in api.request("GET", "/__touchstone/state").json()["versions"]}
    owners = [(versions[f"default/{name}@1.0.0"]["owner"]) for name in ("demo", "other")]
    assert (owners, versions["default/demo@1.0.0"]["status"]) == (["primary", "second"], "ready")


def test_log_has_a_line_for_each_request_but_those_of_the_page(console: Open) -> None:
    lines: list[str] = []
    api = console(log=lines.append)
    api.publish()
    api.status("missing")
    api.request("GET", "/__touchstone/state")
    assert [re.sub(r"^[\d:]+ | [\d.]+ ms$", "", line) for line in lines] == [
        "POST /templates 201",
        f"GET {path_of('missing')}/build 404",
    ]


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Any) -> Iterator[Callable[..., tuple[str, Callable[[], str]]]]:
    """Runs `touchstone serve`; returns its origin, and a function that ends it and returns its output."""
    running: list[subprocess.Popen[str]] = []

    def serve(*options: str) -> tuple[str, Callable[[], str]]:
        command = [sys.executable, "-m", "touchstone", "serve", "--port", "0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=dict(os.environ))
        running.append(process)
        assert process.stdout
        url = next(line.split()[-1] for line in process.stdout if line.startswith("twin listening"))

        def end() -> str:
            process.send_signal(signal.SIGINT)
            return process.communicate(timeout=60)[0]

        return url.removesuffix("/api"), end

    yield serve
    for process in running:
        process.kill()
        process.communicate()


def test_serve_logs_and_switches(served: Any) -> None:
    origin, end = served("--seed-templates", "--control", "--fault", "cancel-answers-200")
    state = httpx.put(f"{origin}/__touchstone/faults", json=["cancel-answers-200", "ready-has-no-build-time"]).json()
    assert "default/hello@1.0.0" in {version["ref"] for version in state["versions"]}
    assert "PUT /__touchstone/faults 200" in end()


def test_quiet_serve_logs_nothing(served: Any) -> None:
    origin, end = served("--quiet")
    assert httpx.get(f"{origin}/api/templates/default/x/1.0.0").status_code == 401
    assert "GET" not in end()


def wait_for(tab: Tab, code: str) -> str:
    """The value of an expression in a page, once it is true."""
    again = f"new Promise(done => setInterval(() => {{ const value = {code}; if (value) done(value); }}, 50))"
    return str(tab.value(again))


PAGE = "JSON.stringify([...document.querySelectorAll('#versions tr')].map(row => row.innerText.split('\\t')))"


def test_page_shows_versions_live_and_commands_that_work(chromium: Browser, served: Any) -> None:
    origin, end = served("--seed-templates", "--build-s", "0.01")
    with chromium.tab() as tab:
        tab.open(f"{origin}/")
        text = wait_for(tab, "document.querySelector('#curl').textContent")
        script = text.replace("sleep 20", "sleep 1").replace("-N", "-sN")
        ran = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=60, check=True)
        assert '"status":"ready"' in ran.stdout
        rows = wait_for(tab, f"{PAGE}.includes('default/mine@1.0.0') && {PAGE}")
        assert "default/hello@1.0.0" in rows
    end()
