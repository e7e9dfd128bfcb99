"""Baselines: known broken claims do not fail a run, claims that hold again do; and checks of what failed last."""

import dataclasses
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import Command, Shell
from tests.report.checklogs import BASE, header, ledger, log, write_failing, write_passing
from tests.report.examples import BROKEN, ODD
from touchstone.check.baseline import narrowed, read_baseline, write_baseline
from touchstone.config import Settings, TargetSettings
from touchstone.contract import claims as ledger_of_claims
from touchstone.errors import UsageError
from touchstone.facts.events import Case, Footer, Known, LedgerClaim, Notice, Occurrence, RunLog, Tally, Target
from touchstone.facts.finding import Finding
from touchstone.facts.runlog import RunLogWriter
from touchstone.proof.faults.keys import SchemeIsCaseSensitive
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


def test_file_is_read_without_comments_blanks_and_repeated_lines(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    lines = b"\xef\xbb\xbf# ours\n\n  start.answers-202  # ticket 7\r\ncancel.in-flight-is-202\nstart.answers-202\n"
    path.write_bytes(lines)
    assert read_baseline(path, LEDGER) == (Known(HELD), Known(BROKEN))


TABLES = """# ours
[[known]]
claim = "cancel.in-flight-is-202"  # of the spring
reason = '''
# two lines'''

  # old
  [[known]]
  claim = "start.answers-202"
  ref = "default/legacy-*"

# soon
[[known]]
claim = "cancel.settles"
operation = "getBuild"
ticket = "API-9"
expires = 2026-01-31
# end
"""


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"\nstart.answer-202\n", ("line 2", "'start.answer-202'", "start.answers-202")),
        (b"cancel.*\n", ("line 1", "'cancel.*'")),
        (b'{"schema_version": 1}\n', ("line 1",)),
        (b"\xff\xfe", ("byte 0",)),
        (LEDGER.excluded()[0].id.encode(), ("line 1", LEDGER.excluded()[0].id)),
        (LEDGER.judged("load")[0].id.encode(), ("line 1", "touchstone load")),
        (b"ORGO_API_KEY=sk_live_test_0123456789\n", ("line 1", "36")),
        (b'[[known]]\nclaim = "cancel.*"', ("entry 1: claim", "glob")),
        (TABLES.encode() + b"[[known]]\nclaim = 3", ("entry 4: claim", "3", "a string")),
        (b'[[known]]\nticket = "API-9"', ("entry 1: claim",)),
        (TABLES.replace("getBuild", "getBild").encode(), ("entry 3: operation", "getBuild")),
        (TABLES.replace("expires", "expire").encode(), ("entry 3: expire", "expires")),
        (TABLES.replace("2026-01-31", '"2026-01-31"').encode(), ("entry 3: expires", "a date")),
        (TABLES.replace("2026-01-31", "2026-01-31T00:00:00Z").encode(), ("entry 3: expires", "a date")),
        (TABLES.encode() + b"[[knwon]]", ("knwon", "[[known]]")),
        (b'known = [{ claim = "cancel.settles" }]', ("known", "[[known]]")),
        (b"[[known]]\nclaim", ("not TOML",)),
    ],
)
def test_file_that_is_no_baseline_is_refused_by_its_place(tmp_path: Path, data: bytes, place: tuple[str, ...]) -> None:
    path = tmp_path / ("known.toml" if b"known" in data else "known.txt")
    path.write_bytes(data)
    with pytest.raises(UsageError) as error:
        read_baseline(path, LEDGER)
    assert [text for text in (str(path), *place) if text not in str(error.value)] == []
    assert "sk_live" not in str(error.value)


def written(path: Path, run: RunLog) -> list[str]:
    """Lines of the baseline that a run writes."""
    write_baseline(path, run)
    return path.read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", ["known.txt", "known.toml"])
def test_written_baseline_lists_each_broken_claim_of_the_ledger(tmp_path: Path, name: str) -> None:
    first, *others = complete().occurrences
    evil = replace(first.finding, actual='"\\ \x00\x7f\u2028\ud800\n[[known]]')
    text = "\n".join(written(tmp_path / name, replace(complete(), occurrences=(Occurrence(evil), *others))))
    assert [entry.claim for entry in read_baseline(tmp_path / name, LEDGER)] == [BROKEN, ODD]
    assert [part for part in ("202", "x00", "4.2") if part not in text] == []
    written(tmp_path / f"none-{name}", log(write_passing))
    assert read_baseline(tmp_path / f"none-{name}", LEDGER) == ()


def test_baseline_is_written_again_in_place(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    path.write_text(f"# ours\n{BROKEN}  # ticket 7\n{HELD}\n{STUCK}\n")
    lines = written(path, log(write_failing))
    assert lines[:3] == ["# ours", f"{BROKEN}  # ticket 7", STUCK]
    assert [line.partition(" ")[0] for line in lines[3:]] == [ODD]


@pytest.mark.parametrize("source", ["run", "run/runlog.jsonl", "run/report.json"])
def test_command_adds_and_prunes_and_keeps_all_other_lines(tmp_path: Path, call: Command, source: str) -> None:
    path, entries = tmp_path / "known.toml", (Known(BROKEN, reason="# two lines"), Known(HELD, ref="default/legacy-*"))
    (tmp_path / "run").mkdir()
    write_failing(tmp_path / "run/runlog.jsonl")
    call(Shell(tmp_path), "report", "run")
    path.write_text(TABLES)
    assert read_baseline(path, LEDGER) == (*entries, Known(STUCK, "getBuild", ticket="API-9", expires="2026-01-31"))
    assert call(Shell(tmp_path), "baseline", source).code == 0
    kept, more = path.read_text()[: len(TABLES)], path.read_text()[len(TABLES) :]
    assert (kept, [entry.claim for entry in read_baseline(path, LEDGER)[3:]]) == (TABLES, [ODD])
    assert call(Shell(tmp_path), "baseline", source, "--prune").code == 0
    assert path.read_text() == TABLES.partition("  [[known]]")[0] + "# soon\n# end\n" + more


@pytest.mark.parametrize(
    "line",
    [
        *("check --baseline nowhere.txt", "check --plan --baseline wrong.txt", "check --write-baseline text.txt"),
        *("baseline nowhere.json", "baseline list.json", "baseline run.jsonl --prune --output none.toml"),
    ],
)
def test_command_refuses_a_file_of_another_kind_before_anything_runs(tmp_path: Path, call: Command, line: str) -> None:
    write_failing(tmp_path / "run.jsonl")
    for name, text in (("wrong.txt", "start.answer-202\n"), ("text.txt", "some text\n"), ("list.json", "[1]\n")):
        (tmp_path / name).write_text(text)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    ended = call(Shell(tmp_path), *line.split())
    assert (ended.code, line.rsplit(maxsplit=1)[-1] in ended.err) == (2, True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.whole
def test_baseline_of_one_run_serves_the_next_and_its_report(tmp_path: Path, call: Command) -> None:
    known = str(tmp_path / "known.toml")
    flags = ("--profile", "quick", "--strict", "--claims", f"{SCHEME},{OTHER}")
    with Twin(TwinSettings(build_s=0.02), engine=SchemeIsCaseSensitive) as twin:
        written = ("--write-baseline", known, "--report-dir", "reports/a")
        first = call(Shell(tmp_path), "check", "--url", twin.url, *flags, *written)
        second = call(Shell(tmp_path), "check", "--url", twin.url, *flags, "--baseline", known, "--report-dir", "b")
        # One finding again: its versions stay until a sweep removes them.
        (script, *_) = sorted((tmp_path / "reports/a").glob("*.sh"))
        third = call(Shell(tmp_path), "check", "--url", twin.url, "--only", script.stem, "--keep")
        sweeps = [call(Shell(tmp_path), "sweep", "--url", twin.url) for _ in range(2)]
    assert (first.code, second.code, third.code) == (1, 0, 0)  # a should-level claim, without --strict
    assert "1 claim: 1 broken" in third.out
    assert ["exit 0: 0 templates" in sweep.last_line for sweep in sweeps] == [False, True]
    assert read_baseline(Path(known), LEDGER)[0].claim == SCHEME
    Path(known).unlink()
    again = call(Shell(tmp_path, keys={}), "report", "b", "--write-baseline", known)
    assert (again.code, read_baseline(Path(known), LEDGER)[0].claim) == (0, SCHEME)


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
                finding = Finding(name, name, "must", "getBuild", "r", "404", "200", "GET", "curl", ())
                writer.write(Occurrence(finding, "a.b"))
            for case, claim in (("a.b", FAILED), ("a.c", FAILED), ("d.e", UNJUDGED)):
                writer.write(Case(case, "", "passed", 1.0, (claim,), ""))
            if stuck:
                writer.write(Notice(UNJUDGED, "could-not-run", "nothing answered"))
            writer.write(Footer(at, 1.0, 0, ""))
        return path

    return write


def narrowed_in(folder: Path, settings: Settings = STAGING) -> tuple[str, str]:
    """The selected claims, and the note about them."""
    after, _, note = narrowed(settings, LEDGER, folder / "reports")
    kept = {"claims_glob": settings.claims_glob, "profile": settings.profile, "seed": settings.seed}
    assert dataclasses.replace(after, **kept) == settings
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


def test_cases_that_show_it_run_again_with_profile_and_seed(tmp_path: Path, run: Run) -> None:
    run("reports/a", 1, profile="thorough", seed=7)
    after, cases, _ = narrowed(STAGING, LEDGER, tmp_path / "reports")
    assert (after.profile, after.seed, cases) == ("thorough", 7, ("a.b", "d.e"))
    after, cases, _ = narrowed(STAGING, LEDGER, tmp_path / "reports", FAILED)  # which is the finding's id here
    assert (after.claims_glob, cases) == (FAILED, ("a.b",))
    for folder, text in (("reports", FAILED), ("none", "no earlier check")):
        with pytest.raises(UsageError, match=text):
            narrowed(STAGING, LEDGER, tmp_path / folder, "0000")


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
