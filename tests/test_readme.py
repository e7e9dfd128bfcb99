"""
The quick start of the README says what really happens.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def consoles() -> list[tuple[str, str]]:
    """
    Each command of the README with the output shown below it.
    """
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.strip()))
    return found


def normal(text: str) -> str:
    """
    *text* without what differs from run to run: run ids, counts of exchanges, seconds.
    """
    text = re.sub(r"reports/[0-9a-f-]+/", "reports/RUN/", text)
    text = re.sub(r"[0-9,]+ exchanges with twin in [0-9.]+ s", "N exchanges with twin in S s", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def run(arguments: list[str], folder: Path) -> str:
    """
    What the command prints, run in an empty folder.
    """
    command = [sys.executable, "-m", "touchstone", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "400"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=180
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def test_quick_start_shows_the_real_output_of_a_check(tmp_path: Path) -> None:
    """
    `make check` prints what the README says, down to the numbers of claims.
    """
    shown = dict(consoles())["make check"]
    assert normal(run(["check", "--target", "twin"], tmp_path)) == normal(shown)


@pytest.mark.parametrize("command", [c for c, output in consoles() if " explain " in c])
def test_explain_prints_what_the_readme_shows(command: str, tmp_path: Path) -> None:
    """
    The explanation in the README is the one that the command prints.
    """
    arguments = shlex.split(command)[1:]
    assert normal(run(arguments, tmp_path)) == normal(dict(consoles())[command])


@pytest.mark.parametrize("command", [c for c, _ in consoles() if "--plan" in c])
def test_plan_of_the_readme_runs(command: str, tmp_path: Path) -> None:
    """
    The plan command of the README lists the case that it is about and sends nothing.
    """
    printed = run([*shlex.split(command)[1:], "--target", "twin"], tmp_path)
    assert "cancel.running_build_is_cancelled_and_the_next_completes" in printed
    assert not (tmp_path / "reports").exists()
