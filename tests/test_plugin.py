"""
The contract tests run under pytest and report through the run log: what ran, what could not, and what was tried twice.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import KEYS, Ended, Shell, called
from tests.watched import Watched
from touchstone.check import runner
from touchstone.contract.files import contract_tests_dir

Events = list[dict[str, Any]]

CASES = '''
"""
Cases of a test of the plugin.
"""

import pytest

from touchstone.check.examination import Examination
from touchstone.check.examination import Unsuited

TRIES = []


@pytest.mark.claims("status.answers-200", "start.answers-202")
def test_plain(exam: Examination) -> None:
    """
    Builds, and reads on the way.
    """
    exam.read(exam.ready().ref)


@pytest.mark.claims("cancel.settles")
def test_broken_inside(exam: Examination) -> None:
    """
    Has a fault of its own.
    """
    raise ValueError("a fault of the case with sk_live_test_primary in it")


@pytest.mark.claims("cancel.in-flight-is-202")
def test_unsuited(exam: Examination) -> None:
    """
    Cannot go on.
    """
    raise Unsuited("indeterminate", "the moment had passed")


@pytest.mark.claims("cancel.idle-is-404")
def test_second_try(exam: Examination) -> None:
    """
    Shows its claim only when builds are stretched.
    """
    TRIES.append(exam.stretch)
    if exam.stretch > 1:
        exam.cancel(exam.published("idle").ref)


@pytest.mark.once
@pytest.mark.claims("reuse.is-flagged")
def test_once(exam: Examination) -> None:
    """
    Is not tried again, though it shows nothing.
    """
    TRIES.append("once")


@pytest.mark.claims("auth.missing-key-text")
def test_tries_are_told(exam: Examination) -> None:
    """
    Tells the tries of the cases before.
    """
    raise Unsuited("indeterminate", f"tries: {TRIES}")


@pytest.mark.profile("thorough")
@pytest.mark.claims("events.framing")
def test_thorough(exam: Examination) -> None:
    """
    Is left out of a quick run.
    """
    raise AssertionError("ran")


@pytest.mark.claims("publish.answers-201")
def test_not_asked_for(exam: Examination) -> None:
    """
    Concerns no selected claim.
    """
    raise AssertionError("ran")


@pytest.mark.claims("cancel.keeps-neighbours")
def test_leaves_a_build(exam: Examination) -> None:
    """
    Leaves a build running, which the next case must not meet.
    """
    exam.start(exam.long("left-running").ref)


@pytest.mark.claims("cancel.keeps-neighbours")
def test_finds_it_quiet(exam: Examination) -> None:
    """
    Comes after a build that was left running.
    """
    raise Unsuited("could-not-run", "came after")
'''
SET_UP = '''
import pytest


@pytest.fixture
def nothing() -> None:
    raise ValueError("no place for sk_live_test_primary")


@pytest.mark.claims("cancel.settles")
def test_never_runs(nothing: None) -> None:
    """
    Has nothing to run with.
    """
'''
ONE = """
import pytest

from touchstone.check.examination import Examination


@pytest.mark.claims("status.answers-200", "start.answers-202")
def test_plain(exam: Examination) -> None:
    exam.read(exam.ready().ref)
"""
FINDS = """
import pytest


@pytest.mark.claims("status.answers-200")
def test_finds_it() -> None:
    raise ValueError("a fault")
"""
GENERATED = """
import pytest

from touchstone.check.schemathesis_hooks import load_schema

schema = load_schema(1, "quick")

def no_data(_schema: object) -> None:
    raise OSError("data were made")

type(schema).get_all_operations = no_data

@pytest.mark.claims("CLAIM")
@schema.parametrize()
def test_generated(case: object) -> None: ...
"""
FOREIGN = "def pytest_collection_modifyitems(items: list[object]) -> None:\n    items.clear()\n"
CLAIMS = "status.answers-200,start.answers-202,cancel.*,reuse.is-flagged,auth.missing-key-text,events.framing"


@pytest.fixture
def run_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], tuple[Ended, Events]]]:
    """Checks a twin with other cases than the usual ones; returns how it ended and the events of its run log."""
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "pytest.ini").write_text((contract_tests_dir() / "pytest.ini").read_text("utf-8"), "utf-8")
    monkeypatch.setattr(runner, "contract_tests_dir", lambda: folder)

    def run(source: str, **variables: str) -> tuple[Ended, Events]:
        (folder / "test_cases.py").write_text(source, "utf-8")
        arguments = ("check", "--url", watched.url, "--profile", "quick", "--claims", CLAIMS)
        ended = called(Shell(tmp_path, KEYS | variables), monkeypatch, capsys, *arguments)
        log = (ended.results / "runlog.jsonl").read_text("utf-8")
        return ended, [json.loads(line) for line in log.splitlines()]

    with Watched() as watched:
        yield run
        assert (watched.refs(), watched.running()) == ([], 0)


def test_each_case_ends_in_the_run_log(run_cases: Callable[[str], tuple[Ended, Events]]) -> None:
    """Cases pass, fail inside, give up, are tried twice or left out; the run log and the verdicts say which and why."""
    ended, events = run_cases(CASES)
    outcomes = {event["id"]: event["outcome"] for event in events if event["type"] == "case"}
    assert outcomes == {
        "cases.plain": "passed",
        "cases.broken_inside": "error",
        "cases.unsuited": "skipped",
        "cases.second_try": "passed",
        "cases.once": "passed",
        "cases.tries_are_told": "skipped",
        "cases.leaves_a_build": "passed",
        "cases.finds_it_quiet": "skipped",
    }
    reasons = {event["claim"]: (event["verdict"], event["reason"]) for event in events if event["type"] == "notice"}
    assert reasons["cancel.in-flight-is-202"] == ("indeterminate", "the moment had passed")
    assert reasons["auth.missing-key-text"] == ("indeterminate", "tries: [1.0, 4.0, 'once']")
    assert reasons["events.framing"][0] == "not-applicable"
    assert "--profile standard or thorough" in reasons["events.framing"][1]
    assert reasons["cancel.settles"] == (
        "could-not-run",
        "the case cases.broken_inside failed inside: ValueError: a fault of the case with <key:primary> in it",
    )
    verdicts = ended.verdicts()
    assert verdicts["status.answers-200"] == verdicts["start.answers-202"] == "upheld"
    assert verdicts["cancel.idle-is-404"] == "upheld"
    assert verdicts["reuse.is-flagged"] == "could-not-run"
    assert ended.code == 3
    left = [e for e in events if e["type"] == "exchange" and "left-running" in e["request"]["url"]]
    last = max(i for i, e in enumerate(left) if e["case"] == "cases.leaves_a_build")
    assert left[last]["operation"] == "cancelBuild"


def test_case_that_cannot_be_set_up_judges_nothing(run_cases: Callable[[str], tuple[Ended, Events]]) -> None:
    """A case whose fixture fails never ran: the run log says so, and its claim is not judged."""
    ended, events = run_cases(SET_UP)
    (case,) = [event for event in events if event["type"] == "case"]
    assert (case["id"], case["outcome"]) == ("cases.never_runs", "error")
    assert case["message"] == "failed at its setup: ValueError: no place for <key:primary>"
    assert ended.verdicts()["cancel.settles"] == "could-not-run"
    assert ended.code == 3


def test_unknown_mark_stops_the_run(run_cases: Callable[[str], tuple[Ended, Events]]) -> None:
    """A misspelt mark would leave a case out in silence, so it ends the run with 3."""
    ended, events = run_cases(CASES.replace("pytest.mark.once", "pytest.mark.onec"))
    assert ended.code == 3
    assert "the contract tests ended with" in ended.last_line
    assert [event for event in events if event["type"] == "case"] == []


def test_case_that_cannot_be_imported_stops_the_run(run_cases: Callable[[str], tuple[Ended, Events]]) -> None:
    """Cases that do not load are no pass."""
    ended, _ = run_cases("import nowhere_to_be_found\n")
    assert ended.code == 3
    assert "nowhere_to_be_found" in (ended.results / "pytest.log").read_text("utf-8")


@pytest.mark.parametrize(("claim", "made"), [("publish.answers-201", False), ("reuse.is-flagged", True)])
def test_data_are_made_for_selected_claims_only(
    run_cases: Callable[[str], tuple[Ended, Events]], claim: str, *, made: bool
) -> None:
    """A case whose data come from the contract is not even made where no selected claim is concerned."""
    ended, _ = run_cases(ONE + GENERATED.replace("CLAIM", claim))
    assert ("data were made" in (ended.results / "pytest.log").read_text("utf-8")) == made
    assert (ended.verdicts()["status.answers-200"] == "upheld") != made


def test_foreign_plugin_changes_nothing(
    run_cases: Callable[[str], tuple[Ended, Events]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pytest plugin that is installed beside ours and would leave cases out is not loaded."""
    told = tmp_path / "site" / "foreign-1.0.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n", "utf-8")
    (told / "entry_points.txt").write_text("[pytest11]\nforeign = foreign\n", "utf-8")
    (told.parent / "foreign.py").write_text(FOREIGN, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(told.parent), prepend=os.pathsep)
    _, events = run_cases(ONE)
    assert [(e["id"], e["outcome"]) for e in events if e["type"] == "case"] == [("cases.plain", "passed")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTEST_ADDOPTS", "-k plain"),
        ("PYTEST_ADDOPTS", "--deselect test_cases.py::test_finds_it"),
        ("PYTEST_ADDOPTS", "--collect-only"),
        ("PYTEST_PLUGINS", "foreign"),
    ],
)
def test_variable_of_pytest_changes_nothing(
    run_cases: Callable[..., tuple[Ended, Events]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    """What somebody left over in the environment leaves no case out that would find something."""
    (tmp_path / "foreign.py").write_text(FOREIGN, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    _, events = run_cases(ONE + FINDS, **{name: value})
    assert [event["id"] for event in events if event["type"] == "case"] == ["cases.plain", "cases.finds_it"]


@pytest.mark.parametrize("option", ["-k plain", "--collect-only", "--setup-only", "--maxfail 1"])
def test_run_without_a_case_of_its_profile_is_no_pass(
    run_cases: Callable[[str], tuple[Ended, Events]], monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """
    Whatever keeps a case from being carried out, the verdict names it, though each claim was judged by another one.
    """
    asked = runner.pytest_arguments
    monkeypatch.setattr(runner, "pytest_arguments", lambda errand: [*asked(errand), *option.split()])
    ended, events = run_cases(FINDS + ONE)
    (selected,) = (event["cases"] for event in events if event["type"] == "selected")
    assert selected == ["cases.finds_it", "cases.plain"]
    missing = set(selected) - {event["id"] for event in events if event["type"] == "case"}
    assert missing
    assert ended.code == 3
    assert [name for name in missing if name not in ended.last_line] == []


def test_cases_are_not_run_by_hand(tmp_path: Path) -> None:
    """Pytest on the contract tests alone says which command to use, and sends nothing."""
    folder = contract_tests_dir()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "touchstone.check.pytest_plugin",
        "-c",
        str(folder / "pytest.ini"),
    ]
    environment = {name: value for name, value in os.environ.items() if name not in KEYS}
    done = subprocess.run(
        [*command, str(folder)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "run `touchstone check`" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
