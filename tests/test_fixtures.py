"""The pytest plugin that lends recordings and twins to the tests of a client, and the guide to it."""

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from touchstone.contract.files import contract_tests_dir, recordings_dir
from touchstone.recordings import fixtures
from touchstone.recordings.servers import OPTIONS, ServedTwin

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "clients.md").read_text("utf-8")
Results = dict[str, tuple[str, str]]
HEAVY = ("anyio", "httpx", "hypothesis", "respx", "schemathesis", "starlette", "uvicorn", "yaml")


# --- the plugin ------------------------------------------------------------------------------------------------------


def pytest_in(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A pytest run of a project, with no plugin but those that the arguments name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COLUMNS", "CI"))}
    command = [sys.executable, "-m", "pytest", "--disable-plugin-autoload", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=kept | {"COLUMNS": "120"}, capture_output=True, text=True, check=False, timeout=100
    )


PLUGIN = ("-p", "touchstone.recordings.fixtures", "--strict-markers", "--strict-config")

PROJECT = """
import httpx
import pytest

SEEN = []


def build_of(lent):
    return f"{lent.url}/templates/{lent.namespace}/{lent.name}/{lent.version}/build"


def swallow(method, url):
    try:
        httpx.request(method, url)
    except Exception:
        pass


def test_answered(build_recordings):
    lent = build_recordings("reuse")
    assert httpx.post(build_of(lent)).json()["status"] == "building"


def test_answered_from_the_beginning(build_recordings):
    lent = build_recordings("reuse", speed=2)
    assert httpx.post(build_of(lent)).json()["status"] == "building"


@pytest.mark.build_twin(capacity=1)
def test_network_is_back(build_twin):
    assert httpx.get(f"{build_twin.url}/templates").status_code == 401
    SEEN.extend([build_twin.publish("echo hello", name="mine"), build_twin.url])


def test_twin_is_another_one(build_twin):
    headers = {"Authorization": f"Bearer {build_twin.key}"}
    assert SEEN[0] == "default/mine@1.0.0"
    pytest.raises(httpx.ConnectError, httpx.get, SEEN[1])
    assert httpx.get(f"{build_twin.url}/templates/default/mine/1.0.0", headers=headers).status_code == 404


def test_swallowed(build_recordings):
    lent = build_recordings("reuse")
    swallow("PUT", build_of(lent))
    swallow("PUT", build_of(lent))


def test_swallowed_by_a_test_that_fails(build_recordings):
    swallow("PUT", build_of(build_recordings("reuse")))
    assert SEEN == "its own failure"


def test_swallowed_before_the_second_call(build_recordings):
    first = build_recordings("reuse")
    swallow("PUT", build_of(first))
    second = build_recordings("rate-limit")
    assert httpx.post(build_of(second)).status_code == 429
    swallow("POST", build_of(first))


def test_expected(build_recordings):
    lent = build_recordings("reuse")
    swallow("PUT", build_of(lent))
    lent.errors.clear()


@pytest.fixture
def late(build_recordings):
    lent = build_recordings("reuse")
    yield
    swallow("PUT", build_of(lent))


def test_late(late):
    pass


def test_unknown_scenario(build_recordings):
    build_recordings("resuse")


@pytest.mark.build_twin(fault="log-time-out")
def test_unknown_fault(build_twin):
    raise AssertionError("ran")


@pytest.mark.build_twin("log-times-out")
def test_without_names(build_twin):
    raise AssertionError("ran")


@pytest.mark.build_twin(plan="hacker", capacity=1)
class TestNearest:
    @pytest.mark.build_twin(plan="scale")
    def test_counts(self, build_twin):
        assert build_twin.key == build_twin.keys["primary"]
        headers = {"Authorization": f"Bearer {build_twin.key}"}
        refs = [build_twin.publish("sleep 60") for _ in range(2)]
        urls = [f"{build_twin.url}/templates/{ref.replace('@', '/')}/build" for ref in refs]
        assert [httpx.post(url, headers=headers).status_code for url in urls] == [202, 429]


async def ask(url):
    async with httpx.AsyncClient() as client:
        return (await client.post(url)).json()["status"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asynchronous(build_recordings):
    assert await ask(build_of(build_recordings("reuse"))) == "building"
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """How each test of PROJECT ended, and what is said about it; as "printed", what the terminal shows."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "test_project.py").write_text(PROJECT, "utf-8")
    ended = pytest_in(folder, *PLUGIN, "-p", "anyio", "--junit-xml=results.xml")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    found = {"printed": ("", ended.stdout)}
    for case in ET.parse(folder / "results.xml").iter("testcase"):
        problems = [part for part in case if part.tag in ("failure", "error", "skipped")]
        told = "".join(part.text or "" for part in case)
        found[case.attrib["name"]] = ("+".join(part.tag for part in problems) or "passed", told)
    return found


@pytest.mark.parametrize(
    "name",
    [
        "test_answered",
        "test_answered_from_the_beginning",
        "test_network_is_back",
        "test_twin_is_another_one",
        "test_expected",
        "test_counts",
        "test_asynchronous[asyncio]",
    ],
)
def test_fixtures_serve_one_test_each(name: str, results: Results) -> None:
    """A test gets a recording from its beginning, or a twin with nothing on it, and leaves nothing to the next one."""
    assert results[name] == ("passed", "")


MISSING = "not in this recording; the nearest is entry 1"


def test_swallowed_error_fails_the_test(results: Results) -> None:
    """A test whose client swallowed the error fails, and its report is the message alone, each one once."""
    outcome, told = results["test_swallowed"]
    assert (outcome, told.count(MISSING)) == ("failure", 1)
    assert "fixtures.py" not in told


def test_swallowed_error_is_told_beside_another_failure(results: Results) -> None:
    """A test that fails by itself keeps its own failure, and what was swallowed stands in the report."""
    outcome, told = results["test_swallowed_by_a_test_that_fails"]
    assert outcome == "failure"
    assert "its own failure" in told
    printed = results["printed"][1].partition("_ test_swallowed_by_a_test_that_fails _")[2].partition("\n___")[0]
    assert "build_recordings call" in printed
    assert MISSING in printed


def test_second_recording_takes_the_first_one_off(results: Results) -> None:
    """After a second call the first recording answers nothing any more, and what it was asked in vain still counts."""
    outcome, told = results["test_swallowed_before_the_second_call"]
    assert outcome == "failure"
    assert f"reuse.har: PUT /templates/default/touchstone-recorded-reuse/1.0.0/build: {MISSING}" in told
    assert "rate-limit.har: POST /templates/default/touchstone-recorded-reuse/1.0.0/build: not in this" in told


def test_error_that_is_swallowed_while_a_test_is_taken_down_is_told(results: Results) -> None:
    """A request that another fixture makes when the test is over fails it, too."""
    outcome, told = results["test_late"]
    assert outcome == "error"
    assert MISSING in told


@pytest.mark.parametrize(
    ("name", "outcome", "message"),
    [
        (
            "test_unknown_scenario",
            "failure",
            "build_recordings: scenario 'resuse': no recording of it; did you mean reuse?",
        ),
        (
            "test_unknown_fault",
            "error",
            "@pytest.mark.build_twin: fault 'log-time-out': there is none; did you mean log-times-out?",
        ),
        (
            "test_without_names",
            "error",
            "@pytest.mark.build_twin: found 'log-times-out'; expected names, e.g. capacity=1",
        ),
    ],
)
def test_mistake_is_told_without_our_traceback(name: str, outcome: str, message: str, results: Results) -> None:
    """A wrong name ends the test that has it, says what is right, and shows no line of ours."""
    ended, told = results[name]
    assert (ended, message in told) == (outcome, True)
    assert "fixtures.py" not in told
    assert "lent.py" not in told


UNRELATED = """
import warnings

import pytest


@pytest.fixture
def lent():
    return 3


def test_passes(lent):
    assert lent == 3


def test_fails(lent):
    print("printed")
    assert lent == 4


def test_warns():
    warnings.warn("careful", stacklevel=1)


@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    raise ValueError("as expected")


@pytest.mark.skip(reason="not today")
def test_skipped():
    pass
"""


def test_project_without_clients_runs_as_before(tmp_path: Path) -> None:
    """With the plugin loaded, a project that does not use it prints what it prints without, down to each line."""
    (tmp_path / "test_unrelated.py").write_text(UNRELATED, "utf-8")
    printed = []
    for loaded in (PLUGIN, PLUGIN[2:]):
        ended = pytest_in(tmp_path, *loaded, "-rA")
        printed.append((ended.returncode, re.sub(r"\d+\.\d+s", "T", ended.stdout), ended.stderr))
    assert printed[0] == printed[1]
    assert "2 passed, 1 skipped, 1 xfailed" in printed[0][1]


@pytest.mark.parametrize(
    ("source", "heavy"),
    [(UNRELATED, set()), ("def test(build_twin):\n    pass\n", {"starlette", "uvicorn"})],
    ids=["unused", "used"],
)
def test_plugin_imports_nothing_until_it_is_asked(tmp_path: Path, source: str, heavy: set[str]) -> None:
    """A run that uses no fixture of ours does not pay for what they need; one that does imports it then."""
    (tmp_path / "test_project.py").write_text(source, "utf-8")
    told = f"print('imported', *sorted(set({HEAVY}) & sys.modules.keys()))"
    (tmp_path / "conftest.py").write_text(f"import sys\n\n\ndef pytest_unconfigure():\n    {told}\n", "utf-8")
    (line,) = [line for line in pytest_in(tmp_path, *PLUGIN).stdout.splitlines() if line.startswith("imported")]
    imported = set(line.split()[1:])
    assert imported >= heavy
    assert bool(imported) == bool(heavy)


def test_plugin_is_found_by_its_entry_point() -> None:
    """What is installed loads the plugin into pytest by the name touchstone, as pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"touchstone": "touchstone.recordings.fixtures"}
    (point,) = importlib.metadata.entry_points(group="pytest11", name="touchstone")
    assert point.load() is fixtures


# --- docs/clients.md -------------------------------------------------------------------------------------------------


def table(first: str) -> dict[str, tuple[str, ...]]:
    """The rows of the table of the guide whose first heading is *first*, by what stands first in them."""
    lines = [*GUIDE.partition(f"\n| {first} |")[2].splitlines()[2:], ""]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[: lines.index("")]]
    return {row[0].strip("`"): tuple(row[1:]) for row in rows}


def test_guide_shows_tests_that_pass(tmp_path: Path) -> None:
    """The tests in docs/clients.md run and pass beside the client of the example."""
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "test_guide.py").write_text(source, "utf-8")
    (tmp_path / "builds.py").write_text((ROOT / "docs" / "example" / "builds.py").read_text("utf-8"), "utf-8")
    ended = pytest_in(tmp_path, *PLUGIN, "-q")
    assert "3 passed" in ended.stdout, ended.stdout


def test_guide_lists_every_scenario() -> None:
    """The scenarios in docs/clients.md are those that are recorded, with the sentences that stand in their code."""
    said = {}
    for path in contract_tests_dir().glob("scenarios_*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            for called in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                assert isinstance(node, ast.FunctionDef)
                assert isinstance(called, ast.Call)
                said[ast.literal_eval(called.args[0])] = (" ".join(str(ast.get_docstring(node)).split()),)
    assert table("name") == said
    assert sorted(said) == sorted(path.stem for path in recordings_dir().glob("*.har"))


def test_guide_lists_every_argument_of_the_marker() -> None:
    """The arguments in docs/clients.md are those that the marker takes, with the values that they have otherwise."""
    rows = table("argument")
    assert set(rows) == {*OPTIONS, "plan", "fault", "variant"}
    usual = {name: getattr(ServedTwin().settings, name) for name in OPTIONS}
    shown = {name: rows[name][0].strip("`") for name in OPTIONS}
    for name, value in usual.items():
        expected = {None: ("none", "no limit"), 0.0: ("0",)}.get(value, (json.dumps(value),))
        assert shown[name] in expected, name
