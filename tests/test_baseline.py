"""Known broken claims: they do not fail a run, one that holds again does, and the run log says the same later."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from tests.command import Command, Ended, Shell
from tests.report.conftest import ledger as claims_of_story
from tests.report.conftest import write_failing, write_passing
from touchstone.check.baseline import lines_to_keep, read_baseline, write_baseline
from touchstone.contract import claims as ledger_of_claims
from touchstone.errors import UsageError
from touchstone.facts.events import RunLog
from touchstone.facts.runlog import read
from touchstone.proof.faults.keys import SchemeIsCaseSensitive
from touchstone.report import github, html, json_report, junit
from touchstone.report.text import write as write_text
from touchstone.report.view import View, view
from touchstone.rules.verdict import judge
from touchstone.twin import Engine, Twin, TwinSettings

BROKEN, ODD, MINOR = "cancel.in-flight-is-202", "status.build-time-is-ms", "status.golden-dir-is-text"
HELD, STUCK, IDLE = "start.answers-202", "cancel.settles", "access.below-scale-is-403"
SCHEME = "auth.scheme-ignores-case"


@pytest.fixture
def failing(tmp_path: Path) -> RunLog:
    """A run that broke BROKEN, ODD and MINOR, and could not judge STUCK."""
    return read(write_failing(tmp_path / "failing.jsonl"))


@pytest.fixture
def complete(failing: RunLog) -> RunLog:
    """The same where nothing kept it from judging what it broke."""
    claims = tuple(claim for claim in claims_of_story() if claim.id != STUCK)
    cases = tuple(case for case in failing.cases if case.outcome != "error")
    return replace(failing, header=replace(failing.header, claims=claims), cases=cases)


def knowing(log: RunLog, *known: str, strict: bool = False) -> RunLog:
    """The run of somebody who knew that these were broken."""
    return replace(log, header=replace(log.header, known=known, strict=strict))


def written(path: Path, run: View) -> str:
    """What is said of the baseline of a run."""
    return write_baseline(path, run.verdicts, run.remarks)


def ending(log: RunLog) -> tuple[int, str]:
    """The exit code of a run and its reason."""
    verdict = judge(log)
    return verdict.exit_code, verdict.reason


def told(run: View) -> str:
    """The run on a terminal, as one line."""
    stream = StringIO()
    write_text(run, Console(file=stream, width=100))
    return " ".join(stream.getvalue().split())


def test_known_claims_do_not_fail_a_run(complete: RunLog) -> None:
    """A run whose broken must claims are all known ends with 0, and its reason counts them."""
    assert ending(complete) == (1, "2 must claims broken")
    code, reason = ending(knowing(complete, BROKEN, ODD))
    assert (code, reason.partition(" (")[0]) == (0, "no must claim broken besides 2 in the baseline")


def test_claim_that_is_not_known_fails_a_run(complete: RunLog) -> None:
    """One must claim that is not listed is enough."""
    assert ending(knowing(complete, BROKEN)) == (1, "1 must claim broken besides 1 in the baseline")


def test_strict_counts_should_claims_that_are_not_known(complete: RunLog) -> None:
    """With --strict a should claim has to be listed as well."""
    assert ending(knowing(complete, BROKEN, ODD, strict=True)) == (1, "1 claim broken besides 2 in the baseline")
    code, reason = ending(knowing(complete, BROKEN, ODD, MINOR, strict=True))
    assert (code, reason.partition(" (")[0]) == (0, "no claim broken besides 3 in the baseline")


def test_claim_that_holds_again_fails_a_run_by_name(complete: RunLog) -> None:
    """A listed claim that is upheld ends the run with 1, and the reason says which and what to do."""
    expected = f"{HELD} holds again: take its line out of the baseline"
    assert ending(knowing(complete, BROKEN, ODD, HELD)) == (1, expected)
    assert ending(knowing(complete, BROKEN, HELD)) == (1, f"1 must claim broken besides 1 in the baseline; {expected}")


def test_claim_that_was_not_judged_proves_nothing(complete: RunLog, failing: RunLog) -> None:
    """
    A listed claim that did not apply does not hold again, and one that could not be judged leaves the run without one.
    """
    assert ending(knowing(complete, BROKEN, ODD, IDLE))[0] == 0
    assert ending(knowing(failing, BROKEN, ODD, STUCK)) == (3, f"1 must claim could not be judged: {STUCK}")


def test_claim_that_was_not_selected_does_not_hold_again(complete: RunLog) -> None:
    """What --claims leaves out is no proof of anything."""
    claims = tuple(claim for claim in complete.header.claims if claim.id != HELD)
    log = replace(complete, header=replace(complete.header, claims=claims))
    assert ending(knowing(log, BROKEN, ODD, HELD))[0] == 0


def test_nothing_holds_again_in_a_run_that_lost_lines(complete: RunLog) -> None:
    """What was lost may have been the finding."""
    log = replace(knowing(complete, BROKEN, ODD, HELD), torn_lines=1)
    assert ending(log) == (3, "the run log lost 1 line: a writer was killed")


def test_each_report_says_what_is_known(complete: RunLog) -> None:
    """JSON, JUnit, the page and the terminal tell a known finding from others, and name what holds again."""
    run = view(knowing(complete, BROKEN, ODD, HELD))
    document = json.loads(json_report.render(run))
    assert {row["id"] for row in document["claims"] if row["known"]} == {BROKEN, ODD, HELD}
    assert document["run"]["known"] == [BROKEN, ODD, HELD]
    cases = {case.get("name"): case for case in ET.fromstring(junit.render(run)).iter("testcase")}
    skipped, failure = cases[BROKEN].find("skipped"), cases[HELD].find("failure")
    assert skipped is not None
    assert failure is not None
    assert skipped.get("message") == "known to be broken: expected 202; actual 200"
    assert failure.get("message") == "holds again: take its line out of the baseline"
    page = html.render(run)
    assert "Holds again</h1>" in page
    assert page.count("known, in the baseline") == 4  # beside each finding, and in the list of all claims
    words = told(run)
    assert f"Hold again (take their lines out of the baseline) {HELD}" in words
    assert words.count("known, must") == 2
    assert words.endswith(f"exit 1: {HELD} holds again: take its line out of the baseline")


def test_known_findings_come_last(complete: RunLog) -> None:
    """What is new is told first, whatever its level."""
    assert [item.claim.id for item in view(knowing(complete, BROKEN)).findings] == [ODD, MINOR, BROKEN]


def test_file_is_read_without_its_comments(tmp_path: Path) -> None:
    """Comments, blank lines, blanks and a byte order mark do not count, and neither does a second line of a claim."""
    path = tmp_path / "known.txt"
    path.write_bytes(
        b"\xef\xbb\xbf# ours\n\n  start.answers-202  # ticket 7\r\ncancel.in-flight-is-202\nstart.answers-202\n"
    )
    assert read_baseline(path, ledger_of_claims.load()) == ("start.answers-202", "cancel.in-flight-is-202")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\nstart.answer-202\n", "line 2: 'start.answer-202': no such claim; did you mean start.answers-202?"),
        (b"cancel.*\n", "line 1: 'cancel.*': a glob, which would let in what nobody knows"),
        (
            b'{"schema_version": 1}\n',
            "line 1: '{\"schema_version\": 1}': no such claim; `touchstone claims` lists them",
        ),
        (b"\xff\xfe", "byte 0: not UTF-8; expected one id of a claim a line"),
        (b"#" * 1_000_001, "longer than 1,000,000 bytes"),
    ],
    ids=["misspelt", "glob", "report", "not UTF-8", "long"],
)
def test_file_that_is_no_baseline_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    """The message says where, what and what was expected."""
    path = tmp_path / "known.txt"
    path.write_bytes(data)
    with pytest.raises(UsageError) as error:
        read_baseline(path, ledger_of_claims.load())
    assert str(error.value).startswith(f"--baseline {path}: {message}")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (ledger_of_claims.load().excluded()[0].id, "a claim that nobody judges; take the line out"),
        (ledger_of_claims.load().judged("load")[0].id, "`touchstone load` judges it, and no check; take the line out"),
    ],
    ids=["excluded", "of a load"],
)
def test_claim_that_no_check_judges_is_refused(tmp_path: Path, name: str, why: str) -> None:
    """Its line would stay for ever."""
    path = tmp_path / "known.txt"
    path.write_text(name)
    with pytest.raises(UsageError) as error:
        read_baseline(path, ledger_of_claims.load())
    assert str(error.value) == f"--baseline {path}: line 1: {name!r}: {why}"


def test_written_baseline_has_a_line_a_claim(tmp_path: Path, failing: RunLog) -> None:
    """The broken claims are written in the order of their names, each with what was found."""
    path = tmp_path / "known.txt"
    assert written(path, view(failing)) == f"baseline: {path}: 3 claims, 3 new, 0 taken out"
    assert path.read_text().splitlines()[2:] == [
        f"{BROKEN}  # expected 202; actual 200",
        f"{ODD}  # expected an integer of at least 0; actual 4.2",
        f"{MINOR}  # expected a text, or no golden_dir; actual [1, 2]",
    ]


def test_baseline_is_written_again_in_place(tmp_path: Path, failing: RunLog) -> None:
    """Comments and what was not judged stay, what holds goes, and what is missing is added."""
    path = tmp_path / "known.txt"
    path.write_text(f"# ours\n{BROKEN}  # ticket 7\n{HELD}\n{STUCK}\n")
    assert written(path, view(failing)).endswith(": 4 claims, 2 new, 1 taken out")
    lines = path.read_text().splitlines()
    assert lines[:3] == ["# ours", f"{BROKEN}  # ticket 7", STUCK]
    assert [line.partition(" ")[0] for line in lines[3:]] == [ODD, MINOR]


def test_other_file_is_not_written_over(tmp_path: Path) -> None:
    """A report.json or a text of somebody's is no baseline and stays as it is."""
    path = tmp_path / "report.json"
    path.write_text('{\n  "claims": []\n}\n')
    with pytest.raises(UsageError, match=r"line 1: '\{': not the id of a claim; the file is no baseline"):
        lines_to_keep(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--baseline", "nowhere.txt"), "nowhere.txt: cannot be read: No such file or directory; `touchstone check"),
        (("--baseline", "wrong.txt"), "line 1: 'start.answer-202': no such claim; did you mean start.answers-202?"),
        (("--baseline", "wrong.txt", "--plan"), "did you mean start.answers-202?"),
        (("--write-baseline", "text.txt"), "text.txt: line 1: 'some text': not the id of a claim"),
        (("--write-baseline", "keys.env"), "keys.env: line 1: a text of 36 characters (not shown): not the id"),
        (("--baseline", "keys.env"), "keys.env: line 1: a text of 36 characters (not shown): no such claim"),
    ],
)
def test_command_refuses_what_is_no_baseline(
    tmp_path: Path, call: Command, arguments: tuple[str, ...], message: str
) -> None:
    """It ends with 2 before anything runs."""
    (tmp_path / "wrong.txt").write_text("start.answer-202\n")
    (tmp_path / "text.txt").write_text("some text\n")
    (tmp_path / "keys.env").write_text("ORGO_API_KEY=sk_live_test_0123456789\n")
    ended = call(Shell(tmp_path), "check", *arguments)
    assert (ended.code, (tmp_path / "reports").exists()) == (2, False)
    assert message in ended.err


@pytest.fixture
def judged(tmp_path: Path, call: Command) -> Callable[..., Ended]:
    """Checks two claims of a server, in a folder of its own."""

    def check(engine: type[Engine], name: str, *arguments: str) -> Ended:
        (tmp_path / name).mkdir()
        with Twin(TwinSettings(build_s=0.02), engine=engine) as twin:
            words = ("--url", twin.url, "--profile", "quick", "--strict", "--claims", f"{SCHEME},cancel.idle-is-404")
            return call(Shell(tmp_path / name), "check", *words, *arguments)

    return check


def test_baseline_of_a_run_serves_the_next(tmp_path: Path, call: Command, judged: Callable[..., Ended]) -> None:
    """A fault fails the first run, which writes the baseline; with it the second passes, and so does its run log later;
    mended, the server fails the third by the name of the claim.
    """
    known = str(tmp_path / "known.txt")
    first = judged(SchemeIsCaseSensitive, "first", "--write-baseline", known)
    assert (first.code, first.last_line) == (1, "exit 1: 1 claim broken")
    assert f"baseline: {known}: 1 claim, 1 new, 0 taken out" in first.out
    second = judged(SchemeIsCaseSensitive, "second", "--baseline", known)
    passed = "exit 0: no claim broken besides 1 in the baseline (1 upheld, 1 broken)"
    assert (second.code, second.last_line) == (0, passed)
    Path(known).unlink()
    again = call(Shell(second.folder, keys={}), "report", str(second.results), "--write-baseline", known)
    assert (again.code, again.last_line) == (0, passed)
    third = judged(Engine, "third", "--baseline", known)
    assert (third.code, third.last_line) == (1, f"exit 1: {SCHEME} holds again: take its line out of the baseline")


def test_passing_run_writes_a_baseline_without_claims(tmp_path: Path) -> None:
    """It has its comments and is read as an empty list."""
    path = tmp_path / "known.txt"
    written(path, view(read(write_passing(tmp_path / "passing.jsonl"))))
    assert read_baseline(path, ledger_of_claims.load()) == ()


def test_pipeline_is_told_what_fails_it(complete: RunLog) -> None:
    """On GitHub Actions a known claim is no annotation, one that holds again is, and the summary tells both."""
    run = view(knowing(complete, BROKEN, HELD))
    told = github.annotations(run)
    assert [line for line in told if HELD in line] == [
        f"::error title={HELD} holds again::Take its line out of the baseline."
    ]
    assert not [line for line in told if BROKEN in line]
    assert [line for line in told if ODD in line]
    page = github.summary(run, Path("reports"))
    assert ", known, in the baseline" in page
    assert f"<li><code>{HELD}</code></li>" in page.partition("Hold again")[2]
