"""The quick start of the README says what really happens."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import Shell
from tests.readme import consoles, normal, run
from touchstone.check.job import LOAD_TWIN
from touchstone.twin import RateLimit, Twin


@pytest.mark.parametrize("command", [c for c, output in consoles() if " explain " in c])
def test_explain_prints_what_the_readme_shows(command: str, tmp_path: Path) -> None:
    """The explanation in the README is the one that the command prints."""
    arguments = shlex.split(command)[1:]
    assert normal(run(arguments, tmp_path)) == normal(dict(consoles())[command])


@pytest.mark.parametrize("command", [c for c, _ in consoles() if "check --plan" in c])
def test_plan_of_the_readme_runs(command: str, tmp_path: Path) -> None:
    """The plan command of the README lists the case that it is about and sends nothing."""
    printed = run([*shlex.split(command)[1:], "--target", "twin"], tmp_path)
    assert "cancel.running_build_is_cancelled_and_the_next_completes" in printed
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("command", [c for c, _ in consoles() if " load " in c and "--plan" in c])
def test_plan_of_a_load_in_the_readme_runs(command: str, tmp_path: Path) -> None:
    """The plan of a load prints its schedule and cost, is within what may be spent on a target, and sends nothing."""
    target = '[targets.staging]\nurl = "https://staging.example.test/api"\napi_key = "sk_live_test"\n'
    (tmp_path / "touchstone.toml").write_text(target, encoding="utf-8")
    printed = run(shlex.split(command)[1:], tmp_path)
    assert "builds    64 at most (80 are allowed)" in printed
    assert not (tmp_path / "reports").exists()


def probed(text: str) -> list[str]:
    """
    What a probe printed, without what differs from run to run: how sure it is, the family that comes next, its cost.
    """
    text = re.sub(r" {2}not (?:.*\n)+?(?= {2}touchstone serve)", "", normal(text))
    text = " ".join(text.split())  # where lines are broken goes by what stands in them
    text = re.sub(r"[0-9]+ requests, [0-9][0-9a-z. ]*s ", "N requests, S s ", text)
    text = re.sub(r"[0-9]+ requests and [0-9]+ exchanges kept whole with \S+ in [0-9.]+ s", "COST", text)
    text = re.sub(r"[0-9.]+ ms\b", "N ms", text)
    text = re.sub(r"(each N ms:) [0-9.]+ builds", r"\1 N builds", text)
    text = re.sub(r"(bucket:)([0-9.]+)/([0-9.]+)", lambda found: f"{found[1]}{float(found[2]) / float(found[3])}", text)
    return re.sub(r"\(±[0-9.]+ %\)", "(±N %)", text).split()


def numbers_and_words(text: list[str]) -> tuple[list[float], list[str]]:
    """The numbers of a text apart from what stands between them."""
    pieces = re.split(r"([0-9]+(?:\.[0-9]+)?)", " ".join(text))
    return [float(number) for number in pieces[1::2]], pieces[::2]


@pytest.mark.alone
def test_probe_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """A twin with the limit of the README is found out as the README says, and the same is advised.

    A rate is measured: it differs by less than 2 % from run to run, while a count is the same or is off by more.
    """
    (served,) = (command for command, _ in consoles() if "--rate token-bucket" in command)
    ((command, shown),) = ((command, output) for command, output in consoles() if " probe " in command)
    rate = shlex.split(served)[-1]
    shell = Shell(tmp_path, columns=100)
    with Twin(replace(LOAD_TWIN, capacity=64, rate=RateLimit.parse(rate))) as twin:
        words = [twin.url if word.startswith("http") else word for word in shlex.split(command)[1:]]
        ended = shell.run(*words)
    assert ended.code == 0
    (numbers, words), (numbers_shown, words_shown) = (numbers_and_words(probed(text)) for text in (ended.out, shown))
    assert words == words_shown
    assert numbers == pytest.approx(numbers_shown, rel=0.02)
