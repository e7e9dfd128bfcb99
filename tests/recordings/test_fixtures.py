"""The pytest plugin with recordings and twins for tests of a client, in a project of its own."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from touchstone.recordings import fixtures
from touchstone.recordings.servers import OPTIONS

DOCS, DATA = Path(__file__).parents[2] / "docs", Path(__file__).parents[1] / "data" / "client"
GUIDE = (DOCS / "clients.md").read_text("utf-8")
PLUGIN = ("-p", "touchstone.recordings.fixtures", "--strict-markers", "--strict-config")
HEAVY = ("anyio", "httpx", "hypothesis", "respx", "schemathesis", "starlette", "uvicorn", "yaml")
# Stores which heavy packages a run imported.
CONFTEST = f"""
import pathlib
import sys


def pytest_unconfigure():
    pathlib.Path("imported").write_text(" ".join(sorted(set({HEAVY}) & sys.modules.keys())))
"""


def pytest_in(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs pytest in a project; only the plugins of the arguments are loaded."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COLUMNS", "CI"))}
    (folder / "conftest.py").write_text(CONFTEST, "utf-8")
    command = [sys.executable, "-m", "pytest", "--disable-plugin-autoload", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=kept | {"COLUMNS": "120"}, capture_output=True, text=True, check=False, timeout=100
    )


class Results:
    """Outcome and messages of each test of a project, its terminal output, and its imported heavy packages."""

    def __init__(self, folder: Path) -> None:
        (folder / "test_project.py").write_text((DATA / "project.py.txt").read_text("utf-8"), "utf-8")
        source = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[:3])
        (folder / "test_guide.py").write_text(source, "utf-8")
        (folder / "builds.py").write_text((DOCS / "example" / "builds.py").read_text("utf-8"), "utf-8")
        ended = pytest_in(folder, *PLUGIN, "-p", "anyio", "--junit-xml=results.xml")
        assert ended.returncode == 1, ended.stdout + ended.stderr
        self.output = ended.stdout
        self.imported = set((folder / "imported").read_text().split())
        self.outcomes: dict[str, str] = {}
        self.messages: dict[str, str] = {}
        self.guide: list[str] = []
        for case in ET.parse(folder / "results.xml").iter("testcase"):
            problems = [part.tag for part in case if part.tag in ("failure", "error", "skipped")]
            outcome = "+".join(problems) or "passed"
            if case.attrib["classname"] == "test_guide":
                self.guide.append(outcome)
            self.outcomes[case.attrib["name"]] = outcome
            self.messages[case.attrib["name"]] = "".join(part.text or "" for part in case)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(tmp_path_factory.mktemp("project"))


def test_fixtures_serve_one_test_each(results: Results) -> None:
    passed = {name for name, outcome in results.outcomes.items() if outcome == "passed"}
    assert passed >= {
        *("test_answered", "test_answered_from_the_beginning", "test_network_is_back", "test_twin_is_another_one"),
        *("test_expected", "test_counts", "test_asynchronous[asyncio]"),
    }
    assert results.guide == ["passed"] * 5


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_example_in_javascript_passes(tmp_path: Path) -> None:
    command = tmp_path / "touchstone"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m touchstone "$@"\n', "utf-8")
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    example = ["node", "--test", str(DOCS / "example" / "builds.test.mjs")]
    ended = subprocess.run(example, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout


MISSING = "the nearest is entry 1"


@pytest.mark.parametrize(
    ("name", "outcome", "parts"),
    [
        ("test_swallowed", "failure", [MISSING]),
        ("test_swallowed_by_a_test_that_fails", "failure", ["its own failure"]),
        ("test_swallowed_before_the_second_call", "failure", ["reuse.har: PUT ", "rate-limit.har: POST "]),
        ("test_late", "error", [MISSING]),
        ("test_unknown_scenario", "failure", ["'resuse'", "reuse?"]),
        ("test_unknown_fault", "error", ["'log-time-out'", "log-times-out?"]),
        ("test_without_names", "error", ["'log-times-out'", "capacity=1"]),
    ],
)
def test_mistake_fails_its_test_without_a_traceback_of_ours(
    name: str, outcome: str, parts: list[str], results: Results
) -> None:
    assert results.outcomes[name] == outcome
    assert [part for part in parts if part not in results.messages[name]] == []
    assert "fixtures.py" not in results.messages[name]
    assert "servers.py" not in results.messages[name]


def test_swallowed_error_is_reported_once_and_beside_another_failure(results: Results) -> None:
    assert results.messages["test_swallowed"].count(MISSING) == 1
    section = results.output.partition("_ test_swallowed_by_a_test_that_fails _")[2].partition("\n___")[0]
    assert "build_recordings call" in section
    assert MISSING in section


def test_failed_test_without_a_request_has_advice(results: Results) -> None:
    section = results.output.partition("_ test_of_a_client_that_never_sends _")[2].partition("\n___")[0]
    assert "serve=True" in section


def test_plugin_is_silent_and_light_in_unrelated_projects(tmp_path: Path, results: Results) -> None:
    (tmp_path / "test_unrelated.py").write_text((DATA / "unrelated.py.txt").read_text("utf-8"), "utf-8")
    outputs, imported = [], []
    for arguments in (PLUGIN, PLUGIN[2:]):
        ended = pytest_in(tmp_path, *arguments, "-rA")
        outputs.append((ended.returncode, re.sub(r"\d+\.\d+s", "T", ended.stdout), ended.stderr))
        imported.append((tmp_path / "imported").read_text())
    assert outputs[0] == outputs[1]
    assert "2 passed, 1 skipped, 1 xfailed" in outputs[0][1]
    assert imported == ["", ""]
    assert results.imported >= {"starlette", "uvicorn", "httpx"}


def test_router_of_the_manual_works_without_the_plugin(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", (DOCS / "recordings.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "test_router.py").write_text(source, "utf-8")
    ended = pytest_in(tmp_path)
    assert (ended.returncode, "1 passed" in ended.stdout) == (0, True), ended.stdout


def test_plugin_is_registered_as_an_entry_point() -> None:
    (point,) = importlib.metadata.entry_points(group="pytest11", name="touchstone")
    assert point.load() is fixtures


def test_guide_lists_every_option_of_the_marker() -> None:
    rows = GUIDE.partition("\n| argument |")[2].partition("\n\n")[0].splitlines()[2:]
    assert {row.split("|")[1].strip(" `") for row in rows} == {*OPTIONS, "plan", "fault", "variant"}
