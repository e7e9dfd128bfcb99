"""The wheel: built, installed where nothing of the checkout is, and every command run from an empty folder.

``make thorough ARGS=wheel`` runs this.
What has to be installed besides comes from the environment of the tests, without a network.
Each interpreter of that environment writes down the files of the checkout that it opens, and there are none.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.command import KEYS, LIMIT_S, PRIMARY, Ended, Shell
from touchstone import __version__
from touchstone.cli.app import MODULES
from touchstone.cli.init import WORKFLOWS

# A busy machine takes a minute for what it does in ten seconds else.
pytestmark = [pytest.mark.wheel, pytest.mark.timeout(3 * LIMIT_S)]
ROOT = Path(__file__).resolve().parent.parent
OURS = Path(sysconfig.get_paths()["purelib"])
# What the interpreters of the new environment do before anything else.
WATCH = f"""
import os, sys
_root, _ours, _told = {str(ROOT) + os.sep!r}, {str(OURS.parent.parent.parent) + os.sep!r}, {{told!r}}
def _see(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.abspath(arguments[0])
        if path.startswith(_root) and not path.startswith(_ours) and not path.startswith(_root + "dist"):
            with open(_told, "a") as file:
                file.write(path + "\\n")
sys.addaudithook(_see)
"""
CLAIMS = "auth.scheme-ignores-case,cancel.idle-is-404"


@dataclass
class Installed(Shell):
    """A folder in which the installed command is run."""

    program: Path = Path()

    def environment(self) -> dict[str, str]:
        # The tests keep the tables of Hypothesis in the checkout, and a search path may lead there.
        ours = ("HYPOTHESIS_", "PYTHON")
        return {name: value for name, value in super().environment().items() if not name.startswith(ours)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self.program), *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The wheel, in dist/."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(ROOT / "dist")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert built.returncode == 0, built.stdout + built.stderr
    return ROOT / "dist" / f"touchstone_build_api-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed into an environment of its own that has our dependencies and not our checkout."""
    place = tmp_path_factory.mktemp("environment")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    for words in (
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin" / "python"), "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", str(wheel)],
    ):
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=kept)
        assert ended.returncode == 0, ended.stderr
    (site,) = place.glob("lib/python*/site-packages")
    # The line of a .pth that leads to the checkout is not followed from here: only its folder is searched.
    (site / "ours.pth").write_text(f"{OURS}\n")
    (site / "sitecustomize.py").write_text(WATCH.format(told=str(place / "opened.txt")))
    return place / "bin" / "touchstone"


@pytest.fixture
def shell(program: Path, tmp_path: Path) -> Iterator[Installed]:
    """An empty folder; in the end nothing of the checkout has been opened."""
    yield Installed(tmp_path, {}, program=program)
    opened = program.parent.parent / "opened.txt"
    assert not opened.exists() or sorted(set(opened.read_text().splitlines())) == []


@pytest.fixture(scope="module")
def judged(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A check that has ended."""
    place = Installed(tmp_path_factory.mktemp("judged"), {}, program=program)
    return place.run("check", "--profile", "quick", "--claims", CLAIMS)


def ends(ended: Ended, *told: str) -> None:
    """It ended with 0, without a traceback, and said all this."""
    assert (ended.code, "Traceback" in ended.out + ended.err) == (0, False), ended.out + ended.err
    assert [words for words in told if words not in ended.out] == []


def test_wheel_carries_what_commands_read(wheel: Path) -> None:
    """
    Contract, claims, contract tests, load scenarios, recordings and starters are those of the checkout, and no test is.
    """
    carried = {
        "contract_tests": "contract_tests",
        "load": "load",
        "openapi": "openapi",
        "tests/recordings": "recordings",
    }
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        for folder, name in carried.items():
            for path in (
                path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts
            ):
                inner = f"touchstone/_bundle/{name}/{path.relative_to(ROOT / folder)}"
                assert file.read(inner) == path.read_bytes(), inner
    listed = subprocess.run(["git", "ls-files", "touchstone"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert set(listed.stdout.splitlines()) - names == set()
    assert [name for name in names if name.startswith("tests/") or "/test_cli" in name] == []


def test_watch_sees_what_is_opened(program: Path, tmp_path: Path) -> None:
    """A file of the checkout that is opened is written down: else the other tests would say nothing."""
    told = program.parent.parent / "opened.txt"
    script = f"open({str(ROOT / 'README.md')!r}).close()"
    try:
        subprocess.run([str(program.with_name("python")), "-c", script], check=True, cwd=tmp_path, timeout=LIMIT_S)
        assert told.read_text() == f"{ROOT / 'README.md'}\n"
    finally:
        told.unlink(missing_ok=True)


def test_package_is_that_of_the_environment(shell: Installed) -> None:
    """And the version that it tells is the one that was built."""
    script = "import touchstone; print(touchstone.__file__)"
    python = str(shell.program.with_name("python"))
    where = subprocess.run(
        [python, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=shell.folder,
        env=shell.environment(),
        timeout=LIMIT_S,
    )
    assert Path(where.stdout.strip()).is_relative_to(shell.program.parent.parent)
    ends(shell.run("--version"), f"touchstone {__version__}")


@pytest.mark.parametrize("command", MODULES)
def test_each_command_has_its_help(shell: Installed, command: str) -> None:
    """What a command imports is there."""
    ends(shell.run(command, "--help"), f"Usage: touchstone {command}")


def test_project_begins(shell: Installed) -> None:
    """`init` writes settings with which a check can be planned."""
    ends(shell.run("init", "--url", "http://127.0.0.1:9/api"), "wrote touchstone.toml", f"wrote {WORKFLOWS['github']}")
    shell = Installed(shell.folder, KEYS, program=shell.program)
    ends(shell.run("check", "--target", "staging", "--plan"), "nothing was sent to http://127.0.0.1:9/api")


def test_check_judges_the_twin(judged: Ended) -> None:
    """With the contract tests that travel with the package."""
    ends(judged, "exit 0: no must claim broken (2 upheld)")
    assert {path.name for path in judged.results.iterdir()} >= {
        "runlog.jsonl",
        "report.json",
        "report.html",
        "junit.xml",
    }


def test_reports_are_made_and_compared(shell: Installed, judged: Ended) -> None:
    """`report` and `compare` of a run log."""
    ends(shell.run("report", str(judged.results), "--report-dir", "again"), "exit 0: no must claim broken (2 upheld)")
    assert (shell.folder / "again/report.html").read_bytes() == (judged.results / "report.html").read_bytes()
    ends(shell.run("compare", str(judged.results), str(judged.results)), "exit 0: ")


def test_load_is_put_on_the_twin(shell: Installed) -> None:
    """With the scenarios and thresholds that travel with the package."""
    ends(shell.run("load", "steady", "--rate", "10", "--duration", "2"), "exit 0: no must claim broken")


def test_probe_is_planned_and_run(shell: Installed) -> None:
    """A short one is told to be no more than that: its limiter is not known after so few requests."""
    ends(shell.run("probe", "--plan"), "requests")
    ended = shell.run("probe", "--max-requests", "20")
    assert (ended.code, "Traceback" in ended.err) == (3, False), ended.out + ended.err
    assert "the budget of 20 requests is spent; raise --max-requests" in ended.last_line


def test_recordings_are_made_and_judged(shell: Installed) -> None:
    """In a folder of the caller's."""
    ends(shell.run("record", "missing-key", "--out", "mine"), "exit 0: 1 of 1 scenarios recorded")
    ends(shell.run("replay", "mine"), "exit 0: no claim broken")


def test_recordings_that_are_carried_are_judged(shell: Installed) -> None:
    """Those of the twin, where no file is named."""
    ends(shell.run("replay"), "exit 0: no claim broken")
    ends(shell.run("recordings", "lint"), "exit 0: 22 recordings, 0 faults, 0 warnings")


def test_fault_is_proven(shell: Installed) -> None:
    """`prove` starts twins and examinations of its own."""
    ends(shell.run("prove", "--fault", "scheme-is-case-sensitive"), "exit 0: ")


def test_claims_are_told(shell: Installed) -> None:
    """`claims` and `explain` read the ledger that travels with the package."""
    ends(shell.run("claims", "cancel.*"), "cancel.in-flight-is-202")
    ends(shell.run("explain", "cancel.in-flight-is-202"), "checks    ")
    ends(shell.run("sweep", "--target", "twin"), "exit 0: ")


def test_twin_is_served(shell: Installed) -> None:
    """Until it is told to end."""
    serving = shell.start("serve", "--port", "0")
    assert serving.stdout
    try:
        url = re.fullmatch(r"twin listening on (\S+)\n", serving.stdout.readline())
        assert url
        headers = {"Authorization": f"Bearer {PRIMARY}"}
        answer = httpx.get(f"{url[1]}/templates/default/x/1.0.0/build", headers=headers, timeout=20)
        assert (answer.status_code, "error" in json.loads(answer.text)) == (404, True)
        serving.terminate()
        assert serving.wait(LIMIT_S) == 0
    finally:
        if serving.poll() is None:
            serving.kill()
        serving.communicate()
