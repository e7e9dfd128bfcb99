"""
The quick start of the README says what really happens.
"""

import shlex
from pathlib import Path

import pytest

from tests.readme import consoles, normal, run


@pytest.mark.parametrize("command", [c for c, output in consoles() if " explain " in c])
def test_explain_prints_what_the_readme_shows(command: str, tmp_path: Path) -> None:
    """
    The explanation in the README is the one that the command prints.
    """
    arguments = shlex.split(command)[1:]
    assert normal(run(arguments, tmp_path)) == normal(dict(consoles())[command])


@pytest.mark.parametrize("command", [c for c, _ in consoles() if "check --plan" in c])
def test_plan_of_the_readme_runs(command: str, tmp_path: Path) -> None:
    """
    The plan command of the README lists the case that it is about and sends nothing.
    """
    printed = run([*shlex.split(command)[1:], "--target", "twin"], tmp_path)
    assert "cancel.running_build_is_cancelled_and_the_next_completes" in printed
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("command", [c for c, _ in consoles() if " load " in c and "--plan" in c])
def test_plan_of_a_load_in_the_readme_runs(command: str, tmp_path: Path) -> None:
    """
    The plan of a load prints its schedule and cost, is within what may be spent on a target, and sends nothing.
    """
    target = '[targets.staging]\nurl = "https://staging.example.test/api"\napi_key = "sk_live_test"\n'
    (tmp_path / "touchstone.toml").write_text(target, encoding="utf-8")
    printed = run(shlex.split(command)[1:], tmp_path)
    assert "builds    64 at most (80 are allowed)" in printed
    assert not (tmp_path / "reports").exists()
