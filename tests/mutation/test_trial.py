"""
Trials of mutants: what a test notices is killed, and what none reaches survives.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

JUDGE = """
LIMIT = 3

def tested(number):
    return number > LIMIT

def untested(number):
    return number + 1
"""
TESTS = """
import judge

def test_more_than_the_limit():
    assert judge.tested(4)
    assert not judge.tested(3)
"""
DRIVER = """
import sys
from pathlib import Path

import pytest

from tests.mutation.__main__ import QUIETLY
from tests.mutation.trial import Trial

root = Path(sys.argv[1])

def told(outcome):
    print(outcome.mutant.place, outcome.killed, outcome.killer, sep="|")

trial = Trial(root, [root / "judge.py"], [*QUIETLY.split(), "test_judge.py"], 1, told)
sys.exit(pytest.main(trial.arguments, plugins=[trial]))
"""


def test_only_what_a_test_notices_is_killed(tmp_path: Path) -> None:
    """
    Mutants of tested lines and data have a killer; those of a line that no test reaches survive, each of them.
    """
    for name, text in (("judge.py", JUDGE), ("test_judge.py", TESTS), ("driver.py", DRIVER), ("pytest.ini", "")):
        (tmp_path / name).write_text(text)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "driver.py", str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
    by_place = {
        place: [(killed, killer) for where, killed, killer in outcomes if where == place] for place, *_ in outcomes
    }

    assert done.returncode == 0, done.stderr
    killed = ("True", "test_judge.py::test_more_than_the_limit")
    assert set(by_place["tested"]) == set(by_place["module"]) == {killed}
    assert set(by_place["untested"]) == {("False", "")}
