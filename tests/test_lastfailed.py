"""What a check asks for again: what failed in the newest run of the same target, and everything where nothing did."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Command, Shell
from tests.report.conftest import BASE, header
from touchstone.check.baseline import narrowed
from touchstone.config import Settings, TargetSettings
from touchstone.contract import claims as ledger_of_claims
from touchstone.facts.events import Footer, LedgerClaim, Notice, Occurrence, Tally, Target
from touchstone.facts.finding import Finding
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.report.view import view

HELD, BROKEN, STUCK = "cancel.idle-is-404", "auth.scheme-ignores-case", "cancel.in-flight-is-202"
STAGING = Settings(TargetSettings("staging", BASE, "key"))
Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Writes the run log of a check that upheld HELD, broke BROKEN and could not judge STUCK, unless told otherwise."""

    def write(folder: str, at: str, broken: tuple[str, ...] = (BROKEN,), stuck: bool = True, **changes: object) -> Path:
        path = tmp_path / folder / "runlog.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        names = (HELD, BROKEN, *([STUCK] if stuck else []))
        claims = tuple(LedgerClaim(name, "must", "It holds.", "build", name.partition(".")[0]) for name in names)
        with RunLogWriter(path) as log:
            log.write(header(**{"run_id": at, "started_at": at, "claims": claims, **changes}))
            log.write(Tally("c", "r", HELD, held=1))
            log.write(Tally("c", "r", BROKEN, held=1))
            for name in broken:
                log.write(Occurrence(Finding(name, name, "must", "getBuild", "r", "404", "200", "GET", "curl", ())))
            if stuck:
                log.write(Notice(STUCK, "could-not-run", "nothing answered"))
            log.write(Footer(at, 1.0, 0, ""))
        return path

    return write


def asked(folder: Path, settings: Settings = STAGING) -> tuple[str, str]:
    """What is asked for, and what is said about it."""
    after, told = narrowed(settings, ledger_of_claims.load(), folder / "reports")
    assert dataclasses.replace(after, claims_glob=settings.claims_glob) == settings
    return after.claims_glob, told


def test_what_failed_is_asked_for(tmp_path: Path, run: Run) -> None:
    """Broken claims and those that could not be judged, and the run that they are from is named."""
    path = run("reports/a", "2026-01-01T00:00:00Z")
    assert asked(tmp_path) == (
        f"{BROKEN},{STUCK}",
        f"--last-failed: 2 claims of run 2026-01-01T00:00:00Z ({path}): {BROKEN}, {STUCK}",
    )


def test_newest_run_counts(tmp_path: Path, run: Run) -> None:
    """What an older run found does not matter, whichever was written last."""
    newer = run("reports/b", "2026-01-02T00:00:00Z", stuck=False)
    run("reports/a", "2026-01-01T00:00:00Z")
    glob, told = asked(tmp_path)
    assert glob == BROKEN
    assert str(newer) in told


@pytest.mark.parametrize(
    "changes",
    [
        {"target": Target("staging", "http://127.0.0.1:1/api", "url")},
        {"target": Target("twin", BASE, "embedded")},
        {"command": "replay"},
        {"command": "load"},
    ],
    ids=["another address", "embedded twin", "replay", "load"],
)
def test_run_of_something_else_does_not_count(tmp_path: Path, run: Run, changes: dict[str, object]) -> None:
    """Only checks of the same target do."""
    run("reports/a", "2026-01-01T00:00:00Z", stuck=False)
    run("reports/b", "2026-01-02T00:00:00Z", **changes)
    assert asked(tmp_path)[0] == BROKEN


def test_embedded_twin_is_the_same_at_every_address(tmp_path: Path, run: Run) -> None:
    """It listens elsewhere each time."""
    run("reports/a", "2026-01-01T00:00:00Z", stuck=False, target=Target("twin", "http://127.0.0.1:1/api", "embedded"))
    assert asked(tmp_path, Settings())[0] == BROKEN


def test_nothing_failed_and_everything_is_judged(tmp_path: Path, run: Run) -> None:
    """As with pytest, and it is said."""
    run("reports/a", "2026-01-01T00:00:00Z", broken=(), stuck=False)
    glob, told = asked(tmp_path)
    assert glob == "*"
    assert told.startswith("--last-failed: nothing that is asked for failed in run 2026-01-01T00:00:00Z (")
    assert told.endswith("): everything is judged")


def test_no_earlier_run_and_everything_is_judged(tmp_path: Path) -> None:
    """Neither does a folder without runs stand in the way, nor a file that is no run log."""
    (tmp_path / "reports/other").mkdir(parents=True)
    (tmp_path / "reports/other/runlog.jsonl").write_text("{}\n")
    told = f"--last-failed: no earlier check of staging in {tmp_path / 'reports'}: everything is judged"
    assert asked(tmp_path) == ("*", told)


def test_only_what_is_selected_is_asked_for(tmp_path: Path, run: Run) -> None:
    """--claims narrows it further; where nothing of that failed, all of it is judged."""
    run("reports/a", "2026-01-01T00:00:00Z")
    assert asked(tmp_path, dataclasses.replace(STAGING, claims_glob="cancel.*"))[0] == STUCK
    assert asked(tmp_path, dataclasses.replace(STAGING, claims_glob="events.*"))[0] == "events.*"


def test_claim_that_is_gone_from_the_ledger_is_not_asked_for(tmp_path: Path, run: Run) -> None:
    """A finding about it is no reason to refuse the run."""
    run("reports/a", "2026-01-01T00:00:00Z", broken=(BROKEN, "cancel.was-renamed"), stuck=False)
    assert asked(tmp_path)[0] == BROKEN


def test_known_claims_have_not_failed(tmp_path: Path, run: Run) -> None:
    """What is in the baseline may be broken; what is in it and holds is what failed the run."""
    run("reports/a", "2026-01-01T00:00:00Z", stuck=False, known=(BROKEN, HELD))
    assert asked(tmp_path)[0] == HELD


def test_report_folder_is_looked_at(tmp_path: Path, run: Run) -> None:
    """A folder that is used again and again holds the runs that are asked for: the last one, and the earlier ones."""
    settings = dataclasses.replace(STAGING, report_dir=tmp_path / "out")
    run("reports/a", "2026-01-01T00:00:00Z")
    kept = run("out/earlier/2", "2026-01-02T00:00:00Z", stuck=False)
    assert (asked(tmp_path, settings)[0], str(kept) in asked(tmp_path, settings)[1]) == (BROKEN, True)
    last = run("out", "2026-01-03T00:00:00Z")
    assert (asked(tmp_path, settings)[0], str(last) in asked(tmp_path, settings)[1]) == (f"{BROKEN},{STUCK}", True)


def test_run_is_narrowed_and_says_so(tmp_path: Path, run: Run, call: Command) -> None:
    """The command names the run, and judges nothing but what failed in it."""
    run("reports/a", "2026-01-01T00:00:00Z", stuck=False, target=Target("twin", BASE, "embedded"))
    shell = Shell(tmp_path, keys={})
    ended = call(shell, "check", "--last-failed", "--profile", "quick", "--report-dir", "out")
    first = f"--last-failed: 1 claim of run 2026-01-01T00:00:00Z (reports/a/runlog.jsonl): {BROKEN}"
    assert (ended.code, ended.out.splitlines()[0]) == (0, first)
    log = read(tmp_path / "out" / "runlog.jsonl")
    assert [claim.id for claim in log.header.claims] == [BROKEN]
    assert re.findall(r"--\S+(?: [a-z]\S+)?", view(log).again) == ["--profile quick", "--seed", f"--claims {BROKEN}"]
