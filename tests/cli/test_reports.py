"""Commands that read run logs: report and compare."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import Command, Shell
from tests.loadlogs import steady
from tests.loadlogs import write as write_load
from tests.report.checklogs import ledger, write_failing, write_passing
from touchstone.facts.runlog import RunLogWriter, read

MUST, SHOULD = "cancel.in-flight-is-202", "status.golden-dir-is-text"


def write(path: Path, broken: tuple[str, ...] = (), left_out: str = "", **changes: Any) -> None:
    """Writes the run log of a check with these broken claims."""
    failing = read(write_failing(path.with_suffix(".failing")))
    claims = tuple(claim for claim in ledger() if claim.id != left_out)
    with RunLogWriter(path) as writer:
        writer.write(replace(failing.header, claims=claims, **changes))
        writer.write(*(one for one in failing.occurrences if one.finding.claim in broken))
        writer.write(*(one for one in failing.tallies if one.claim not in (*broken, left_out)))
        assert failing.footer
        writer.write(failing.footer)


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ({}, {"broken": (MUST,)}, 1),
        ({"broken": (MUST,)}, {"broken": (MUST,)}, 0),
        ({"broken": (MUST,)}, {}, 0),
        ({"left_out": MUST}, {"broken": (MUST,)}, 1),
        ({}, {"broken": (SHOULD,)}, 0),
        ({}, {"broken": (SHOULD,), "strict": True}, 1),
    ],
    ids=["newly broken", "broken before", "fixed", "broken and new", "should", "should, strict"],
)
def test_fail_on_new_fails_for_newly_broken_claims(
    tmp_path: Path, call: Command, before: dict[str, Any], after: dict[str, Any], code: int
) -> None:
    write(tmp_path / "a.jsonl", **before)
    write(tmp_path / "b.jsonl", **after)
    for flags, expected in (((), 0), (("--fail-on-new",), code)):
        ended = call(Shell(tmp_path), "compare", "a.jsonl", "b.jsonl", "--report-dir", "out", *flags)
        assert (ended.code, ended.last_line.startswith(f"exit {expected}: ")) == (expected, True)
        assert json.loads((tmp_path / "out" / "compare.json").read_text())["exit_code"] == expected


@pytest.fixture
def week(tmp_path: Path, call: Command) -> Shell:
    """Folders of three runs, of which the second broke a claim; only their report.json."""
    for name in ("mon", "tue", "wed"):
        write(tmp_path / f"{name}.jsonl", (MUST,) if name == "tue" else (), run_id=f"run-{name}")
        call(Shell(tmp_path), "report", f"{name}.jsonl", "--report-dir", name)
    return Shell(tmp_path)


@pytest.mark.parametrize(
    ("runs", "code", "text"),
    [("mon tue wed", 0, "broken from B"), ("wed mon tue", 1, "broken since C"), ("mon tue/report.json", 1, "since B")],
)
def test_reports_alone_show_when_a_claim_changed(week: Shell, call: Command, runs: str, code: int, text: str) -> None:
    ended = call(week, "compare", *runs.split(), "--report-dir", "out", "--fail-on-new")
    (line,) = [line for line in ended.out.splitlines() if line.startswith(MUST)]
    assert (ended.code, text in line, ended.last_line.startswith(f"exit {code}: ")) == (code, True, True)
    assert text in (week.folder / "out" / "compare.html").read_text("utf-8")
    ended = call(week, "compare", *runs.split(), "--fail-on-new", "--only-new")
    assert (ended.code, "A cancel of a running build gets 202" in ended.out) == (code, bool(code))
    assert (ended.out == "exit 0: nothing new\n") is not bool(code)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        *(("x", "not the report"), ("{}", "'schema_version' is missing"), ('{"schema_version": 2}', "_version is 2")),
        *(({"seed": "x"}, "header.seed"), ({"id": "run-mon"}, "the same run as mon")),
        *(({"command": "touchstone probe"}, "of one kind"), ({"contract_sha256": "00"}, "different contracts")),
    ],
)
def test_unfit_report_is_refused(week: Shell, call: Command, content: str | dict[str, str], text: str) -> None:
    path = week.folder / "tue" / "report.json"
    if isinstance(content, dict):
        report = json.loads(path.read_text("utf-8"))
        content = json.dumps(report | {"run": report["run"] | content})
    path.write_text(content, "utf-8")
    ended = call(week, "compare", "mon", "tue", "wed")
    assert (ended.code, text in ended.err, "tue" in ended.err) == (2, True, True)


def test_folder_of_a_comparison_has_both_run_ids(tmp_path: Path, call: Command) -> None:
    (tmp_path / "b").mkdir()
    write_passing(tmp_path / "a.jsonl")
    write_failing(tmp_path / "b" / "runlog.jsonl")
    ended = call(Shell(tmp_path), "compare", "a.jsonl", "b")
    assert (ended.code, ended.results.name) == (0, "compare-20260102-030405-ab12-20260102-030405-ab12")
    assert sorted(path.name for path in ended.results.iterdir()) == ["compare.html", "compare.json"]


@pytest.mark.parametrize("run_id", ["/../../up", "..", "", "x" * 300, "a\0b", "-x"])
def test_run_id_is_no_path(tmp_path: Path, call: Command, run_id: str) -> None:
    log = steady(duration_s=2)
    write_load(log, tmp_path / "a.jsonl")
    write_load(replace(log, header=replace(log.header, run_id=run_id)), tmp_path / "b.jsonl")
    for arguments, code in (
        (("a.jsonl", "b.jsonl"), 2),
        (("b.jsonl", "a.jsonl"), 2),
        (("a.jsonl", "b.jsonl", "--report-dir", "out"), 0),
    ):
        ended = call(Shell(tmp_path), "compare", *arguments)
        assert (ended.code, "b.jsonl: run_id" in ended.err, (tmp_path / "reports").exists()) == (code, code == 2, False)


def test_report_can_be_written_to_another_folder(tmp_path: Path, call: Command) -> None:
    write_failing(tmp_path / "runlog.jsonl")
    ended = call(Shell(tmp_path), "report", ".", "--report-dir", "out")
    assert (ended.code, ended.last_line.startswith("exit 1: ")) == (1, True)
    assert {"junit.xml", "report.html", "report.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert call(Shell(tmp_path), "report", "runlog.jsonl").code == 1
    assert (tmp_path / "report.json").read_bytes() == (tmp_path / "out" / "report.json").read_bytes()
