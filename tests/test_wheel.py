"""The wheel: built, installed outside of the checkout, and each command run from an empty folder.

``make thorough ARGS=wheel`` runs this.
Dependencies come from the environment of the tests, without a network.
Each interpreter of the new environment records the files of the checkout that it opens; there must be none.
"""

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

# A busy machine takes a minute for ten seconds of work.
pytestmark = [pytest.mark.wheel, pytest.mark.timeout(3 * LIMIT_S)]
ROOT = Path(__file__).resolve().parent.parent
OURS = Path(sysconfig.get_paths()["purelib"])
# sitecustomize of the new environment: records opened files of the checkout.
WATCH = f"""
import os, sys
_root, _ours, _log = {str(ROOT) + os.sep!r}, {str(OURS.parent.parent.parent) + os.sep!r}, {{log!r}}
def _record(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.abspath(arguments[0])
        if path.startswith(_root) and not path.startswith(_ours) and not path.startswith(_root + "dist"):
            with open(_log, "a") as file:
                file.write(path + "\\n")
sys.addaudithook(_record)
"""
BUNDLED = {"contract_tests": "contract_tests", "load": "load", "openapi": "openapi", "tests/recordings": "recordings"}


@dataclass
class Installed(Shell):
    """A shell that runs the installed command."""

    def environment(self) -> dict[str, str]:
        # These variables may contain paths in the checkout.
        ours = ("HYPOTHESIS_", "PYTHON")
        return {name: value for name, value in super().environment().items() if not name.startswith(ours)}

    def expect(self, code: int, *arguments: str) -> Ended:
        """Runs a command; asserts the exit code and no traceback."""
        ended = self.run(*arguments)
        assert (ended.code, "Traceback" in ended.out + ended.err) == (code, False), ended.out + ended.err
        return ended


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The wheel, in dist/."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(ROOT / "dist")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert built.returncode == 0, built.stdout + built.stderr
    return ROOT / "dist" / f"touchstone_build_api-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in a new environment with our dependencies and without our checkout."""
    place = tmp_path_factory.mktemp("environment")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin" / "python"), "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", str(wheel)],
    ):
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=kept)
        assert ended.returncode == 0, ended.stderr
    (site,) = place.glob("lib/python*/site-packages")
    # Python does not process .pth files in this folder, so the checkout stays out of the path.
    (site / "ours.pth").write_text(f"{OURS}\n")
    (site / "sitecustomize.py").write_text(WATCH.format(log=str(place / "opened.txt")))
    return place / "bin" / "touchstone"


@pytest.fixture
def shell(program: Path, tmp_path: Path) -> Iterator[Installed]:
    """A shell in an empty folder; asserts at the end that no file of the checkout was opened."""
    yield Installed(tmp_path, {}, program=(str(program),))
    opened = program.parent.parent / "opened.txt"
    assert not opened.exists() or sorted(set(opened.read_text().splitlines())) == []


def test_wheel_has_what_commands_read_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        for folder, name in BUNDLED.items():
            pattern = "*.har" if folder.startswith("tests/") else "*"
            for path in (ROOT / folder).rglob(pattern):
                if path.is_file() and "__pycache__" not in path.parts:
                    inner = f"touchstone/_bundle/{name}/{path.relative_to(ROOT / folder)}"
                    assert file.read(inner) == path.read_bytes(), inner
    tracked = subprocess.run(["git", "ls-files", "touchstone"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert set(tracked.stdout.splitlines()) - names == set()
    assert [name for name in names if name.startswith("tests/") or "/test_cli" in name] == []


def test_opened_file_of_the_checkout_is_noticed(program: Path, tmp_path: Path) -> None:
    log = program.parent.parent / "opened.txt"
    script = f"open({str(ROOT / 'README.md')!r}).close()"
    try:
        subprocess.run([str(program.with_name("python")), "-c", script], check=True, cwd=tmp_path, timeout=LIMIT_S)
        assert log.read_text() == f"{ROOT / 'README.md'}\n"
    finally:
        log.unlink(missing_ok=True)


@pytest.mark.parametrize("command", MODULES)
def test_each_command_has_its_help(shell: Installed, command: str) -> None:
    shell.expect(0, command, "--help")


def test_check_is_judged_reported_and_compared(shell: Installed) -> None:
    claims = "auth.scheme-ignores-case,cancel.idle-is-404"
    judged = shell.expect(0, "check", "--profile", "quick", "--claims", claims)
    page = (judged.results / "report.html").read_bytes()
    run_log = str(judged.results / "runlog.jsonl")
    shell.expect(0, "report", run_log, "--report-dir", "again")
    assert (shell.folder / "again/report.html").read_bytes() == page
    shell.expect(0, "compare", run_log, run_log)


def test_settings_of_init_can_be_planned(shell: Installed) -> None:
    shell.expect(0, "init", "--url", "http://127.0.0.1:9/api")
    Installed(shell.folder, KEYS, program=shell.program).expect(0, "check", "--target", "staging", "--plan")


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (0, "load steady --rate 10 --duration 2"),
        (0, "probe --plan"),
        (3, "probe --max-requests 20"),  # too few to identify a limiter
        (0, "record missing-key --out mine"),
        (0, "replay"),
        (0, "recordings lint"),
        (0, "prove --fault scheme-is-case-sensitive"),
        (0, "claims cancel.*"),
        (0, "explain cancel.in-flight-is-202"),
        (0, "sweep --target twin"),
    ],
)
def test_command_runs_without_the_checkout(shell: Installed, code: int, arguments: str) -> None:
    shell.expect(code, *arguments.split())


def test_twin_is_served_until_it_is_stopped(shell: Installed) -> None:
    assert shell.expect(0, "--version").out.strip() == f"touchstone {__version__}"
    serving = shell.start("serve", "--port", "0")
    assert serving.stdout
    try:
        url = re.search(r"http\S+", serving.stdout.readline())
        assert url
        headers = {"Authorization": f"Bearer {PRIMARY}"}
        answer = httpx.get(f"{url[0]}/templates/default/x/1.0.0/build", headers=headers, timeout=20)
        assert (answer.status_code, "error" in answer.json()) == (404, True)
        serving.terminate()
        assert serving.wait(LIMIT_S) == 0
    finally:
        if serving.poll() is None:
            serving.kill()
        serving.communicate()
