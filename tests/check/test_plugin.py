"""Contract tests under pytest: the run log records each case, its outcome and its second attempt."""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.command import KEYS, PRIMARY, Command, Ended, Shell
from tests.inline import inline, run_pytest
from tests.watched import Watched
from touchstone.check import runner
from touchstone.contract.files import contract_tests_dir
from touchstone.proof import catalogue
from touchstone.twin import TwinSettings

Events = list[dict[str, Any]]
RunCases = Callable[..., tuple[Ended, Events]]

CLAIMS = "status.answers-200,start.answers-202,cancel.*,reuse.is-flagged,auth.missing-key-text,events.framing"
HEAD = """
import pytest
from touchstone.check.examination import Examination, Unsuited
"""
PLAIN = '''
@pytest.mark.claims("status.answers-200", "start.answers-202")
def test_plain(exam: Examination) -> None:
    """
    Builds, and reads on the way.
    """
    exam.read(exam.ready().ref)
'''
FINDS = """
@pytest.mark.claims("status.answers-200")
def test_finds_it() -> None:
    raise ValueError("a fault")
"""
CASES = """
TRIES = []

@pytest.mark.claims("cancel.settles")
def test_broken_inside(exam: Examination) -> None:
    raise ValueError("a fault of the case with sk_live_test_primary in it")

@pytest.mark.claims("cancel.in-flight-is-202")
def test_unsuited(exam: Examination) -> None:
    raise Unsuited("indeterminate", "the moment had passed")

@pytest.mark.claims("cancel.idle-is-404")
def test_second_try(exam: Examination) -> None:
    TRIES.append(exam.stretch)
    if exam.stretch > 1:
        exam.cancel(exam.published("idle").ref)

@pytest.mark.once
@pytest.mark.claims("reuse.is-flagged")
def test_once(exam: Examination) -> None:
    TRIES.append("once")

@pytest.mark.alone
@pytest.mark.claims("auth.missing-key-text")
def test_tries(exam: Examination) -> None:
    raise Unsuited("indeterminate", f"tries: {sorted(map(str, TRIES))}")

@pytest.mark.profile("thorough")
@pytest.mark.claims("events.framing")
def test_thorough(exam: Examination) -> None:
    raise AssertionError("ran")

@pytest.mark.claims("publish.answers-201")
def test_of_no_selected_claim(exam: Examination) -> None:
    raise AssertionError("ran")

@pytest.mark.claims("cancel.keeps-neighbours")
def test_leaves_a_build(exam: Examination) -> None:
    exam.start(exam.long("left-running").ref)

@pytest.mark.claims("cancel.keeps-neighbours")
def test_comes_after(exam: Examination) -> None:
    raise Unsuited("could-not-run", "came after")
"""
SET_UP = """
@pytest.fixture
def nothing() -> None:
    raise ValueError("no place for sk_live_test_primary")

@pytest.mark.claims("cancel.settles")
def test_never_runs(nothing: None) -> None: ...
"""
FOREIGN = "def pytest_collection_modifyitems(items: list[object]) -> None:\n    items.clear()\n"


@pytest.fixture
def run_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunCases]:
    """Checks a twin with the given cases; returns the result and the events of the run log."""
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "pytest.ini").write_text((contract_tests_dir() / "pytest.ini").read_text("utf-8"), "utf-8")
    monkeypatch.setattr(runner, "contract_tests_dir", lambda: folder)

    def run(*sources: str, run: Command = inline, **variables: str) -> tuple[Ended, Events]:
        (folder / "test_cases.py").write_text(HEAD + "".join(sources), "utf-8")
        arguments = ("check", "--url", watched.url, "--profile", "quick", "--claims", CLAIMS)
        ended = run(Shell(tmp_path, KEYS | variables), *arguments)
        log = (ended.results / "runlog.jsonl").read_text("utf-8")
        return ended, [json.loads(line) for line in log.splitlines()]

    with Watched() as watched:
        yield run
        assert (watched.refs(), watched.running()) == ([], 0)


def outcomes(events: Events) -> dict[str, str]:
    return {event["id"]: event["outcome"] for event in events if event["type"] == "case"}


def test_each_case_ends_in_the_run_log(run_cases: RunCases) -> None:
    ended, events = run_cases(PLAIN, CASES)
    assert outcomes(events) == {
        "cases.plain": "passed",
        "cases.broken_inside": "error",
        "cases.unsuited": "skipped",
        "cases.second_try": "passed",
        "cases.once": "passed",
        "cases.tries": "skipped",
        "cases.leaves_a_build": "passed",
        "cases.comes_after": "skipped",
    }
    ended_cases = {event["id"]: event for event in events if event["type"] == "case"}
    plain, again = ended_cases["cases.plain"], ended_cases["cases.second_try"]
    assert "cancel.idle-is-404" in again["message"]
    assert (plain["title"], plain["duration_s"] > 0) == ("Builds, and reads on the way.", True)
    notices = {event["claim"]: (event["verdict"], event["reason"]) for event in events if event["type"] == "notice"}
    assert notices["cancel.in-flight-is-202"] == ("indeterminate", "the moment had passed")
    assert notices["auth.missing-key-text"] == ("indeterminate", "tries: ['1.0', '4.0', 'once']")
    assert notices["events.framing"][0] == "not-applicable"
    verdict, reason = notices["cancel.settles"]
    assert (verdict, "cases.broken_inside" in reason) == ("could-not-run", True)
    assert reason.endswith("ValueError: a fault of the case with <key:primary> in it")
    verdicts = ended.verdicts()
    for claim in ("status.answers-200", "start.answers-202", "cancel.idle-is-404"):
        assert verdicts[claim] == "upheld"
    assert (ended.code, verdicts["reuse.is-flagged"]) == (3, "could-not-run")
    left = [e for e in events if e["type"] == "exchange" and "left-running" in e["request"]["url"]]
    assert [e["operation"] for e in left if e["case"] == "cases.leaves_a_build"][-1] == "cancelBuild"


def test_case_that_cannot_be_set_up_judges_nothing(run_cases: RunCases) -> None:
    ended, events = run_cases(SET_UP)
    (case,) = [event for event in events if event["type"] == "case"]
    assert (case["id"], case["outcome"]) == ("cases.never_runs", "error")
    assert case["message"].endswith("ValueError: no place for <key:primary>")
    assert (ended.code, ended.verdicts()["cancel.settles"]) == (3, "could-not-run")


@pytest.mark.parametrize(
    ("source", "found"),
    [(CASES.replace("mark.once", "mark.onec"), "onec"), ("import nowhere_to_be_found\n", "nowhere_to_be_found")],
    ids=["unknown-mark", "cannot-be-imported"],
)
def test_cases_that_do_not_load_stop_the_run(run_cases: RunCases, source: str, found: str) -> None:
    ended, events = run_cases(PLAIN, source)
    assert (ended.code, outcomes(events)) == (3, {})
    assert found in (ended.results / "pytest.log").read_text("utf-8")


@pytest.mark.parametrize(
    ("marks", "text"), [("", "no claims"), ('@pytest.mark.claims("cancel.setles")\n', "did you mean cancel.settles")]
)
def test_case_that_no_claim_selects_is_an_error(run_cases: RunCases, marks: str, text: str) -> None:
    ended, events = run_cases(PLAIN, f"\n{marks}def test_lost(exam: Examination) -> None:\n    pass\n")
    assert (ended.code, "test_lost" in ended.last_line, text in ended.last_line) == (3, True, True)
    assert outcomes(events) == {}


MISTAKEN = """
from touchstone.check.run import Run
from touchstone.facts.finding import Judgement

@pytest.mark.claims("status.answers-200")
def test_mistaken(exam: Examination, run: Run) -> None:
    read = exam.read(exam.ready())
    run.add(exam.case, [Judgement("status.answers-200", "broken", "made", "getBuild", (read.seq,), "201", "200")])
    raise NameError("no such name")
"""


def test_mistake_in_a_case_is_told_beside_what_the_case_found(run_cases: RunCases) -> None:
    ended, events = run_cases(MISTAKEN)
    assert (ended.code, outcomes(events), "no such name" in ended.out) == (1, {"cases.mistaken": "error"}, True)


@pytest.mark.parametrize("option", ["-k plain", "--collect-only", "--setup-only"])
def test_run_without_a_case_of_its_profile_is_no_pass(
    run_cases: RunCases, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    usual = runner.pytest_arguments
    monkeypatch.setattr(runner, "pytest_arguments", lambda errand: [*usual(errand), *option.split()])
    ended, events = run_cases(FINDS, PLAIN)
    (selected,) = (event["cases"] for event in events if event["type"] == "selected")
    assert selected == ["cases.finds_it", "cases.plain"]
    missing = set(selected) - outcomes(events).keys()
    assert missing
    assert (ended.code, [name for name in missing if name not in ended.last_line]) == (3, [])


def test_surroundings_leave_no_case_out(
    run_cases: RunCases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command
) -> None:
    """Neither an installed plugin nor a variable of pytest skips a case in a real process."""
    installed = tmp_path / "site" / "foreign-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n", "utf-8")
    (installed / "entry_points.txt").write_text("[pytest11]\nforeign = foreign\n", "utf-8")
    (installed.parent / "foreign.py").write_text(FOREIGN, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(installed.parent), prepend=os.pathsep)
    variables = {"PYTEST_ADDOPTS": "--collect-only -k plain", "PYTEST_PLUGINS": "foreign"}
    _, events = run_cases(PLAIN, FINDS, run=call, **variables)
    assert outcomes(events).keys() == {"cases.plain", "cases.finds_it"}


def plain(*arguments: str, keys: Mapping[str, str] = KEYS) -> tuple[int, str]:
    """Runs plain ``pytest contract_tests``; returns exit code and output."""
    folder, output = contract_tests_dir(), io.StringIO()
    environment = {name: value for name, value in os.environ.items() if name not in KEYS} | dict(keys)
    command = (sys.executable, "-m", "pytest", "-c", str(folder / "pytest.ini"), str(folder), "-p", "no:cacheprovider")
    return run_pytest([*command, *arguments], environment, output), output.getvalue()


def test_plain_pytest_judges_the_embedded_twin() -> None:
    code, output = plain("-k", "idle_version", keys={})
    assert (code, "1 passed" in output, "touchstone: twin at http://127.0.0.1:" in output) == (0, True, True), output


def test_plain_pytest_leaves_nothing_behind() -> None:
    with Watched() as twin:
        code, output = plain("--url", twin.url, "-k", "running_build_is_cancelled")
        assert (code, twin.refs(), twin.running()) == (0, [], 0), output


def test_plain_pytest_fails_on_a_broken_claim() -> None:
    with catalogue.fault("cancel-answers-200").twin(TwinSettings(build_s=0.05)) as twin:
        code, output = plain("--url", twin.url, "-x", "-k", "next_completes")
    unmet = r"test_cancel\.py:\d+: cancelBuild, building: expected 202 with status cancelling; actual 200"
    step = re.search(unmet, output)
    broken = r"cancel\.in-flight-is-202 .*\n +expected 202\n +actual +200 .*\n +curl .*--request DELETE"
    claim = re.search(broken, output)
    assert (code, bool(step), bool(claim), PRIMARY in output) == (1, True, True, False), output


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--target", "stagin"), "'stagin'"),
        (("--url", "http://127.0.0.1:9/api"), "no response"),
        (("-n", "2"), "leave -n out"),
    ],
)
def test_plain_pytest_says_what_is_wrong(arguments: tuple[str, ...], part: str) -> None:
    code, output = plain(*arguments)
    assert (code, part in output, "Traceback" in output) == (4, True, False), output
