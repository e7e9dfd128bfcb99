"""The script of a finding shows it on the server that has it, and not on a correct one."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.checklogs import header
from touchstone.check.examination import transport_to
from touchstone.check.job import EMBEDDED_TWIN, at_twin
from touchstone.check.templates import Template, publish_call
from touchstone.config import Settings
from touchstone.contract.document import Contract
from touchstone.facts.events import Footer, Occurrence, Target
from touchstone.facts.exchange import Exchange
from touchstone.facts.runlog import RunLogWriter
from touchstone.proof.catalogue import fault
from touchstone.report.write import write_reports
from touchstone.rules.history import Bounds
from touchstone.rules.judge import by_all_rules
from touchstone.target.call import Call
from touchstone.twin import Twin

RUN = "261201-101500-ab12cd"
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture
def correct() -> Iterator[Twin]:
    with Twin(EMBEDDED_TWIN) as twin:
        yield twin


LIFE = ("getBuild", "startBuild", "getBuild", "cancelBuild", "getTemplate", "deleteTemplate", "getBuild")


def played(url: str, names: tuple[str, ...], operations: tuple[str, ...]) -> Iterator[Exchange]:
    """Versions that are published one after the other, each followed by *operations*."""
    found: list[Exchange] = []
    target = at_twin(Settings(), url).target
    transport = transport_to(target, Contract.load(), found.append)
    for name in names:
        template = Template(f"touchstone-{RUN}-{name}", "1.0.0", 2.0, False, f"mark-{RUN}-{name}")
        transport.send(publish_call(template, wrapped=False), "case")
        for operation in operations:
            transport.send(Call(operation, template.ref), "case")
    transport.close()
    yield from found


def report(url: str, folder: Path, names: tuple[str, ...] = ("one",), operations: tuple[str, ...] = LIFE) -> list[Path]:
    """Judges what `played` sends, writes the reports, and returns the scripts."""
    judge = by_all_rules(Bounds(), {})
    path = folder / "runlog.jsonl"
    with RunLogWriter(path) as writer:
        writer.write(header(run_id=RUN, target=Target("url", url, "url")))
        exchanges = list(played(url, names, operations))
        judgements = [j for e in exchanges for j in judge.add(e)] + judge.conclude({e.ref or "" for e in exchanges})
        findings = [judge.finding(j) for j in judgements if j.outcome == "broken"]
        writer.write(*exchanges, *map(Occurrence, findings), Footer("2026-12-01T10:15:00Z", 1.0, 0, ""))
    write_reports(path, folder)
    return sorted(folder.glob("*.sh"))


def run(script: Path, *arguments: str) -> tuple[int, str]:
    keys = {"ORGO_API_KEY": "sk_live_test_primary", "ORGO_SECOND_API_KEY": "sk_live_test_second"}
    command = ["sh", str(script), *arguments]
    ended = subprocess.run(command, env=os.environ | keys, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "name", ["cancel-answers-200", "deleted-version-stays", "digest-in-capitals", "building-tells-its-time"]
)
def test_script_shows_its_finding(name: str, correct: Twin, tmp_path: Path) -> None:
    with fault(name).twin(EMBEDDED_TWIN) as faulty:
        scripts = report(faulty.url, tmp_path)
        assert scripts
        for script in scripts:
            code, output = run(script)
            assert code == 1, output
            assert "expected: " in output
    for script in scripts:
        code, output = run(script, correct.url)
        assert code == 0, output
        assert "the finding does not show" in output


def test_script_reaches_the_limit_that_refused_a_start(correct: Twin, tmp_path: Path) -> None:
    limited = fault("limit-is-409-of-builds")
    with limited.twin(EMBEDDED_TWIN) as faulty:
        scripts = report(faulty.url, tmp_path, tuple(f"number-{number}" for number in range(12)), ("startBuild",))
    for script in scripts:
        with limited.twin(EMBEDDED_TWIN) as rested:  # the other one still refuses
            assert run(script, rested.url)[0] == 1
    assert [run(script, correct.url)[0] for script in scripts] == [0] * len(scripts) != []


def test_script_without_a_server_or_a_key(tmp_path: Path) -> None:
    with fault("cancel-answers-200").twin(EMBEDDED_TWIN) as faulty:
        script = report(faulty.url, tmp_path)[0]
    assert run(script)[0] == 2
    environ = {"PATH": os.environ["PATH"]}
    ended = subprocess.run(["sh", str(script)], env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "ORGO_API_KEY" in ended.stderr


@pytest.mark.parametrize("keeps", [False, True])
def test_script_removes_its_versions_unless_it_keeps_them(correct: Twin, tmp_path: Path, *, keeps: bool) -> None:
    with fault("cancel-answers-200").twin(EMBEDDED_TWIN) as faulty:
        script = report(faulty.url, tmp_path)[0]
    _, output = run(script, *(["--keep"] if keeps else []), correct.url)
    found: list[Exchange] = []
    transport = transport_to(at_twin(Settings(), correct.url).target, Contract.load(), found.append)
    (name, *_) = re.findall("touchstone-[0-9a-z-]+-one", output)
    read = transport.send(Call("getTemplate", f"default/{name}@1.0.0"), "case")
    transport.close()
    assert read.status == (200 if keeps else 404)
