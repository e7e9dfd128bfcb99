"""Baselines: known broken claims do not fail a run, claims that hold again do; and checks of what failed last."""

import dataclasses
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import Command, Shell
from tests.report.checklogs import BASE, header, ledger, log, write_failing, write_passing
from tests.report.examples import BROKEN, MINOR, ODD, knowing
from touchstone.check.baseline import MAX_BYTES, lines_to_keep, narrowed, read_baseline, write_baseline
from touchstone.config import Settings, TargetSettings
from touchstone.contract import claims as ledger_of_claims
from touchstone.errors import UsageError
from touchstone.facts.events import Footer, LedgerClaim, Notice, Occurrence, RunLog, Tally, Target
from touchstone.facts.finding import Finding
from touchstone.facts.runlog import RunLogWriter
from touchstone.proof.faults.keys import SchemeIsCaseSensitive
from touchstone.report.view import View, view
from touchstone.rules.verdict import judge
from touchstone.twin import Twin, TwinSettings

HELD, STUCK, IDLE = "start.answers-202", "cancel.settles", "access.below-scale-is-403"
SCHEME, OTHER = "auth.scheme-ignores-case", "cancel.idle-is-404"
LEDGER = ledger_of_claims.load()


def complete() -> RunLog:
    """A run that found BROKEN, ODD and MINOR broken, and judged all other claims."""
    failing = log(write_failing)
    claims = tuple(claim for claim in ledger() if claim.id != STUCK)
    cases = tuple(case for case in failing.cases if case.outcome != "error")
    return replace(failing, header=replace(failing.header, claims=claims), cases=cases)


def without(claim: str) -> RunLog:
    """The same run without one claim."""
    header = complete().header
    return replace(complete(), header=replace(header, claims=tuple(c for c in header.claims if c.id != claim)))


@pytest.mark.parametrize(
    ("run", "known", "strict", "code", "reason"),
    [
        *((complete(), (), False, 1, ""), (complete(), (BROKEN, ODD), False, 0, "")),
        *((complete(), (BROKEN,), False, 1, ""), (complete(), (BROKEN, ODD), True, 1, "")),
        *((complete(), (BROKEN, ODD, MINOR), True, 0, ""), (complete(), (BROKEN, ODD, HELD), False, 1, HELD)),
        *((complete(), (BROKEN, HELD), False, 1, HELD), (complete(), (BROKEN, ODD, IDLE), False, 0, "")),
        (log(write_failing), (BROKEN, ODD, STUCK), False, 3, STUCK),
        (without(HELD), (BROKEN, ODD, HELD), False, 0, ""),
        (replace(complete(), torn_lines=1), (BROKEN, ODD, HELD), False, 3, ""),
    ],
    ids=[
        *("unknown", "all known", "one unknown", "should, strict", "all known, strict", "holds again"),
        *("holds again and unknown", "did not apply", "not judged", "not selected", "log lost lines"),
    ],
)
def test_baseline_decides_how_a_run_ends(
    run: RunLog, known: tuple[str, ...], strict: bool, code: int, reason: str
) -> None:
    verdict = judge(knowing(run, *known, strict=strict))
    assert (verdict.exit_code, reason in verdict.reason) == (code, True)


def test_file_is_read_without_comments_blanks_and_repeated_lines(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    lines = b"\xef\xbb\xbf# ours\n\n  start.answers-202  # ticket 7\r\ncancel.in-flight-is-202\nstart.answers-202\n"
    path.write_bytes(lines)
    assert read_baseline(path, LEDGER) == (HELD, BROKEN)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"\nstart.answer-202\n", ("line 2", "'start.answer-202'", "start.answers-202")),
        (b"cancel.*\n", ("line 1", "'cancel.*'")),
        (b'{"schema_version": 1}\n', ("line 1",)),
        (b"\xff\xfe", ("byte 0",)),
        (b"#" * (MAX_BYTES + 1), ("1,000,000",)),
        (LEDGER.excluded()[0].id.encode(), ("line 1", LEDGER.excluded()[0].id)),
        (LEDGER.judged("load")[0].id.encode(), ("line 1", "touchstone load")),
        (b"ORGO_API_KEY=sk_live_test_0123456789\n", ("line 1", "36")),
    ],
    ids=["misspelt", "glob", "report", "not UTF-8", "long", "excluded", "of a load", "a key"],
)
def test_file_that_is_no_baseline_is_refused_by_its_place(tmp_path: Path, data: bytes, place: tuple[str, ...]) -> None:
    path = tmp_path / "known.txt"
    path.write_bytes(data)
    with pytest.raises(UsageError) as error:
        read_baseline(path, LEDGER)
    assert [text for text in (str(path), *place) if text not in str(error.value)] == []
    assert "sk_live" not in str(error.value)


def written(path: Path, run: View) -> list[str]:
    """Lines of the baseline that a run writes."""
    write_baseline(path, run.verdicts, run.remarks)
    return path.read_text("utf-8").splitlines()


def test_written_baseline_has_a_line_a_claim(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    lines = written(path, view(log(write_failing)))
    assert [line.partition("  # ")[0] for line in lines[2:]] == [BROKEN, ODD, MINOR]
    assert ["200" in lines[2], "4.2" in lines[3], "[1, 2]" in lines[4]] == [True] * 3
    written(tmp_path / "none.txt", view(log(write_passing)))
    assert read_baseline(tmp_path / "none.txt", LEDGER) == ()


def test_baseline_is_written_again_in_place(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    path.write_text(f"# ours\n{BROKEN}  # ticket 7\n{HELD}\n{STUCK}\n")
    lines = written(path, view(log(write_failing)))
    assert lines[:3] == ["# ours", f"{BROKEN}  # ticket 7", STUCK]
    assert [line.partition(" ")[0] for line in lines[3:]] == [ODD, MINOR]


def test_other_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text('{\n  "claims": []\n}\n')
    with pytest.raises(UsageError, match="line 1"):
        lines_to_keep(path)


@pytest.mark.parametrize(
    "arguments",
    [("--baseline", "nowhere.txt"), ("--baseline", "wrong.txt", "--plan"), ("--write-baseline", "text.txt")],
)
def test_command_refuses_what_is_no_baseline_before_anything_runs(
    tmp_path: Path, call: Command, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "wrong.txt").write_text("start.answer-202\n")
    (tmp_path / "text.txt").write_text("some text\n")
    ended = call(Shell(tmp_path), "check", *arguments)
    assert (ended.code, arguments[1] in ended.err, (tmp_path / "reports").exists()) == (2, True, False)


@pytest.mark.whole
def test_baseline_of_one_run_serves_the_next_and_its_report(tmp_path: Path, call: Command) -> None:
    known = str(tmp_path / "known.txt")
    flags = ("--profile", "quick", "--strict", "--claims", f"{SCHEME},{OTHER}")
    with Twin(TwinSettings(build_s=0.02), engine=SchemeIsCaseSensitive) as twin:
        first = call(
            Shell(tmp_path), "check", "--url", twin.url, *flags, "--write-baseline", known, "--report-dir", "a"
        )
        second = call(Shell(tmp_path), "check", "--url", twin.url, *flags, "--baseline", known, "--report-dir", "b")
    assert (first.code, second.code) == (1, 0)
    assert read_baseline(Path(known), LEDGER) == (SCHEME,)
    Path(known).unlink()
    again = call(Shell(tmp_path, keys={}), "report", "b", "--write-baseline", known)
    assert (again.code, read_baseline(Path(known), LEDGER)) == (0, (SCHEME,))


STAGING = Settings(TargetSettings("staging", BASE, "key"))
FAILED, UNJUDGED = SCHEME, "cancel.in-flight-is-202"
Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Writes the run log of a check: OTHER upheld, FAILED broken, UNJUDGED not judged."""

    def write(
        folder: str, day: int, broken: tuple[str, ...] = (FAILED,), stuck: bool = True, **changes: object
    ) -> Path:
        path, at = tmp_path / folder / "runlog.jsonl", f"2026-01-0{day}T00:00:00Z"
        path.parent.mkdir(parents=True, exist_ok=True)
        names = (OTHER, FAILED, *([UNJUDGED] if stuck else []))
        claims = tuple(LedgerClaim(name, "must", "It holds.", "build", name.partition(".")[0]) for name in names)
        with RunLogWriter(path) as writer:
            writer.write(header(**{"run_id": f"run-{day}", "started_at": at, "claims": claims, **changes}))
            writer.write(Tally("c", "r", OTHER, held=1), Tally("c", "r", FAILED, held=1))
            for name in broken:
                writer.write(Occurrence(Finding(name, name, "must", "getBuild", "r", "404", "200", "GET", "curl", ())))
            if stuck:
                writer.write(Notice(UNJUDGED, "could-not-run", "nothing answered"))
            writer.write(Footer(at, 1.0, 0, ""))
        return path

    return write


def narrowed_in(folder: Path, settings: Settings = STAGING) -> tuple[str, str]:
    """The selected claims, and the note about them."""
    after, note = narrowed(settings, LEDGER, folder / "reports")
    assert dataclasses.replace(after, claims_glob=settings.claims_glob) == settings
    return after.claims_glob, note


def test_what_failed_in_the_newest_run_is_judged_again(tmp_path: Path, run: Run) -> None:
    assert narrowed_in(tmp_path)[0] == "*"
    path = run("reports/a", 2)
    run("reports/b", 1, stuck=False)
    glob, note = narrowed_in(tmp_path)
    assert glob == f"{FAILED},{UNJUDGED}"
    assert [text for text in (str(path), "run-2", FAILED, UNJUDGED) if text not in note] == []
    for selected, expected in (("cancel.*", UNJUDGED), ("events.*", "events.*")):
        assert narrowed_in(tmp_path, dataclasses.replace(STAGING, claims_glob=selected))[0] == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"broken": ()}, "*"),
        ({"broken": (FAILED, "cancel.was-renamed")}, FAILED),
        ({"known": (FAILED, OTHER)}, OTHER),
        ({"target": Target("staging", "http://127.0.0.1:1/api", "url")}, "*"),
        ({"target": Target("twin", BASE, "embedded")}, "*"),
        ({"command": "replay"}, "*"),
        ({"command": "load"}, "*"),
    ],
    ids=["nothing failed", "renamed", "known", "another address", "embedded twin", "replay", "load"],
)
def test_only_failures_of_the_same_target_count(
    tmp_path: Path, run: Run, changes: dict[str, object], expected: str
) -> None:
    run("reports/a", 1, stuck=False, **changes)
    (tmp_path / "reports/other").mkdir()
    (tmp_path / "reports/other/runlog.jsonl").write_text("{}\n")
    assert narrowed_in(tmp_path)[0] == expected
    # An embedded twin is the same at every address.
    embedded = isinstance(target := changes.get("target"), Target) and target.kind == "embedded"
    assert narrowed_in(tmp_path, Settings())[0] == (FAILED if embedded else "*")


def test_long_line_is_not_read_whole(tmp_path: Path, run: Run) -> None:
    with run("reports/a", 1).open("wb") as file:
        file.truncate(1 << 30)  # takes no space on the disk
    tracemalloc.start()
    try:
        assert narrowed_in(tmp_path)[0] == "*"
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_report_folder_holds_runs_as_well(tmp_path: Path, run: Run) -> None:
    settings = dataclasses.replace(STAGING, report_dir=tmp_path / "out")
    run("reports/a", 1)
    kept = run("out/earlier/2", 2, stuck=False)
    glob, note = narrowed_in(tmp_path, settings)
    assert (glob, str(kept) in note) == (FAILED, True)
    run("out", 3)
    assert narrowed_in(tmp_path, settings)[0] == f"{FAILED},{UNJUDGED}"
