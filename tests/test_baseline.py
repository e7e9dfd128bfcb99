"""
A baseline lets known claims be broken, and nothing else: no other claim, no run cut short, none that holds again.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from tests.command import Command, Shell
from touchstone import claims as ledger_of_claims
from touchstone.baseline import MAX_BYTES, baseline_of, read_baseline
from touchstone.errors import UsageError
from touchstone.finding import Finding
from touchstone.report import html, json_report, junit, text
from touchstone.report.view import view
from touchstone.runfacts import Footer, Header, LedgerClaim, Notice, Occurrence, RunLog, Tally, Target
from touchstone.verdict import judge

MUST, OTHER, SHOULD = "start.answers-202", "cancel.settles", "limit.retry-after-parses"
CLAIMS = (LedgerClaim(MUST, "must", "A", "", "start"), LedgerClaim(OTHER, "must", "B", "", "cancel"))
CLAIMS = (*CLAIMS, LedgerClaim(SHOULD, "should", "C", "", "limit"))
END = Footer("2026-01-02T03:05:05Z", 60.0, 0, "")


def found(*names: str) -> tuple[Occurrence, ...]:
    """
    A finding about each claim.
    """
    return tuple(
        Occurrence(
            Finding(f"id-{name}", name, "must", "startBuild", "r1", "202", "\x1b[31m200", "POST /", "curl", (1,))
        )
        for name in names
    )


def held(*names: str) -> tuple[Tally, ...]:
    """
    One good word for each claim.
    """
    return tuple(Tally("c", "r1", name, held=1) for name in names)


def log(*known: str, strict: bool = False, **facts: Any) -> RunLog:
    """
    A run that knew these claims to be broken.
    """
    target = Target("t", "http://127.0.0.1/api", "url")
    header = Header(
        "r", "0", "check", (), "2026-01-02T03:04:05Z", target, "quick", 1, strict, "*", "ab", CLAIMS, known=known
    )
    return RunLog(header, **({"footer": END} | facts))


def ended(run: RunLog) -> tuple[int, str]:
    """
    How a run ends.
    """
    verdict = judge(run)
    return verdict.exit_code, verdict.reason


def test_known_claim_may_be_broken() -> None:
    """
    It is still told as broken, and the run passes.
    """
    run = log(MUST, occurrences=found(MUST), tallies=held(OTHER, SHOULD))

    assert ended(run) == (0, "no must claim broken besides 1 in the baseline (2 upheld, 1 broken)")
    assert [(c.verdict, c.known) for c in judge(run).claims][0] == ("broken", True)


def test_other_claim_may_not_be_broken() -> None:
    """
    A claim that is not listed fails the run, and only those are counted.
    """
    run = log(MUST, occurrences=found(MUST, OTHER), tallies=held(SHOULD))
    assert ended(run) == (1, "1 must claim broken besides 1 in the baseline")


def test_strict_run_lets_known_should_claims_be_broken() -> None:
    """
    With --strict each should claim counts but those that are listed.
    """
    run = {"strict": True, "occurrences": found(SHOULD), "tallies": held(MUST, OTHER)}
    assert ended(log(**run)) == (1, "1 claim broken")
    assert ended(log(SHOULD, **run))[0] == 0


@pytest.mark.parametrize("name", [MUST, SHOULD])
def test_claim_that_holds_again_fails_the_run_by_name(name: str) -> None:
    """
    Whatever its level is: a list that only grows hides what breaks next.
    """
    run = log(name, tallies=held(MUST, OTHER, SHOULD))
    assert ended(run) == (1, f"{name} holds again: take it out of the baseline")


def test_claims_that_hold_again_are_all_named() -> None:
    """
    Up to ten of them stand in the last line.
    """
    run = log(MUST, OTHER, tallies=held(MUST, OTHER, SHOULD))
    assert ended(run) == (1, f"{MUST}, {OTHER} hold again: take them out of the baseline")


@pytest.mark.parametrize("verdict", ["could-not-run", "not-applicable", "indeterminate"])
def test_claim_without_a_clear_verdict_does_not_hold_again(verdict: Any) -> None:
    """
    What could not be seen proves neither that it is broken nor that it holds; a must claim is still missed.
    """
    run = log(MUST, tallies=held(OTHER, SHOULD), notices=(Notice(MUST, verdict, "no occasion"),))
    assert ended(run)[0] == (3 if verdict == "could-not-run" else 0)
    assert "again" not in ended(run)[1]


def test_claim_that_was_left_out_does_not_hold_again() -> None:
    """
    A run that judges a few claims says nothing of the others that the file lists.
    """
    run = log(MUST, tallies=held(OTHER))
    run = replace(run, header=replace(run.header, claims=CLAIMS[1:2], claims_glob="cancel.*"))
    assert ended(run)[0] == 0


def test_run_that_was_cut_short_proves_nothing() -> None:
    """
    A claim that held so far might have been broken later.
    """
    run = log(MUST, tallies=held(MUST, OTHER, SHOULD))
    assert ended(replace(run, footer=None))[0] == 3
    assert ended(replace(run, footer=replace(END, exit_code=3, reason="the child died"))) == (3, "the child died")
    assert ended(replace(run, footer=replace(END, interrupted=True)))[0] == 130


def test_reports_tell_known_claims_from_others() -> None:
    """
    JSON, JUnit, page and terminal say which broken claims were known and which hold again.
    """
    run = view(log(MUST, SHOULD, occurrences=found(OTHER, MUST), tallies=held(SHOULD)))

    assert [item.claim.id for item in run.findings] == [OTHER, MUST]
    assert '"known": true' in json_report.render(run)
    outcomes = {case.get("name"): case for case in ET.fromstring(junit.render(run)).iter("testcase")}
    assert outcomes[MUST].find("skipped").get("message").startswith("known to be broken")  # type: ignore[union-attr]  # it is there
    assert outcomes[OTHER].find("failure").get("type") == "broken-must"  # type: ignore[union-attr]  # it is there
    assert outcomes[SHOULD].find("failure").get("type") == "holds-again"  # type: ignore[union-attr]  # it is there
    assert ">in the baseline<" in html.render(run)
    console = Console(record=True, width=100)
    text.write(run, console)
    told = console.export_text()
    assert "known, must, startBuild" in told
    assert f"Hold again (take them out of the baseline)\n  {SHOULD}" in told


def test_page_says_first_that_a_claim_holds_again() -> None:
    """
    Where nothing else is wrong, the run is not called one that does not conform.
    """
    assert "<h1>✕ Holds again</h1>" in html.render(view(log(MUST, tallies=held(MUST, OTHER, SHOULD))))
    broken = html.render(view(log(MUST, occurrences=found(OTHER), tallies=held(MUST, SHOULD))))
    assert "<h1>✕ Does not conform</h1>" in broken


def test_written_baseline_lists_what_is_broken(tmp_path: Path) -> None:
    """
    Each broken claim once, in order, with what was found; read back it lists the same.
    """
    file = tmp_path / "known.txt"
    file.write_text(baseline_of(view(log(occurrences=found(MUST, OTHER), tallies=held(SHOULD)))), encoding="utf-8")

    assert file.read_text("utf-8").splitlines()[2:] == [
        f"{OTHER}  # expected 202; actual \\x1b[31m200",
        f"{MUST}  # expected 202; actual \\x1b[31m200",
    ]
    assert read_baseline(file, ledger_of_claims.load()) == (OTHER, MUST)


def test_comments_blank_lines_and_repetitions_do_not_count(tmp_path: Path) -> None:
    """
    A byte order mark and line ends of Windows are read as well.
    """
    file = tmp_path / "known.txt"
    file.write_bytes(f"\ufeff# known\r\n\r\n  {MUST}  # issue 12\r\n{MUST}\r\n{OTHER}".encode())
    assert read_baseline(file, ledger_of_claims.load()) == (MUST, OTHER)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"start.answers-202\nstart.answers-203\n",
            "line 2: 'start.answers-203': no such claim; did you mean start.an",
        ),
        (b"\x1b[2J\n", r"line 1: '\\x1b\[2J': no such claim; `touchstone claims` lists them"),
        (b"{" * 5000, r"line 1: '\{+…: no such claim"),
        (b"\xff\n", "byte 0: not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "longer than 1,000,000 bytes"),
        (None, "cannot be read: No such file or directory; `touchstone report LOG --write-baseline"),
    ],
)
def test_file_that_is_no_baseline_is_refused(content: bytes | None, told: str, tmp_path: Path) -> None:
    """
    The message says where and what to do, and repeats no terminal command of the file.
    """
    file = tmp_path / "known.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=told) as caught:
        read_baseline(file, ledger_of_claims.load())
    assert "\x1b" not in str(caught.value)


def test_excluded_row_is_no_claim_to_know(tmp_path: Path) -> None:
    """
    What nobody judges can neither be broken nor hold again.
    """
    ledger = ledger_of_claims.load()
    file = tmp_path / "known.txt"
    file.write_text(ledger.excluded()[0].id, encoding="utf-8")
    with pytest.raises(UsageError, match="line 1: .*: a claim that nobody judges"):
        read_baseline(file, ledger)


def test_check_takes_a_baseline_and_a_report_remembers_it(tmp_path: Path, call: Command) -> None:
    """
    A check of a correct twin fails by the name of the claim that is listed, and its log says so again.
    """
    (tmp_path / "known.txt").write_text("cancel.idle-is-404  # a proxy\n", encoding="utf-8")
    (tmp_path / "touchstone.toml").write_text('baseline = "known.txt"\n', encoding="utf-8")
    shell = Shell(tmp_path, {})
    first = call(shell, "check", "--profile", "quick", "--claims", "cancel.idle-is-404")
    assert (first.code, first.last_line) == (
        1,
        "exit 1: cancel.idle-is-404 holds again: take it out of the baseline",
    )
    (tmp_path / "known.txt").unlink()
    again = call(shell, "report", str(first.results))
    assert (again.code, again.last_line) == (1, first.last_line)


def test_missing_baseline_leaves_nothing_behind(tmp_path: Path, call: Command) -> None:
    """
    It is bad usage: no run begins.
    """
    ended = call(Shell(tmp_path, {}), "check", "--baseline", "none.txt")
    assert (ended.code, (tmp_path / "reports").exists()) == (2, False)
    assert "none.txt: cannot be read" in ended.last_line
