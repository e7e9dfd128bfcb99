"""The claims can be read offline: with their latest verdicts, their checks, and a request that shows them."""

import json
import os
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from touchstone.cli.claims import OPERATIONS, checks_of, example_curl, explain_claim, latest, print_claims
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.proof import catalogue

LEDGER = ledger_of_claims.load()
BROKEN = LEDGER["cancel.in-flight-is-202"]


@pytest.fixture
def console() -> Console:
    """A console that keeps what it is told."""
    return Console(width=160, record=True, file=Path(os.devnull).open("w"), color_system=None)


@pytest.fixture
def reported(tmp_path: Path) -> Callable[..., Path]:
    """Writes a report of a run in which one claim was broken."""

    def write(name: str, at: int, actual: str = "200", took_s: float = 1.0, **changes: Any) -> Path:
        finding = {"claim": BROKEN.id, "expected": "202", "actual": actual, "curl": f"curl {name}"}
        started_at = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        report = {
            "run": {"started_at": started_at, "duration_s": took_s},
            "claims": [{"id": BROKEN.id, "verdict": "broken"}, {"id": "cancel.settles", "verdict": "upheld"}],
            "findings": [finding],
        } | changes
        path = tmp_path / name / "report.json"
        path.parent.mkdir()
        path.write_text(json.dumps(report), "utf-8")
        return path

    return write


def told(console: Console) -> str:
    """What the console was told, runs of blanks as one."""
    console.file.close()
    return "\n".join(" ".join(line.split()) for line in console.export_text().splitlines())


def test_report_of_the_latest_run_counts(tmp_path: Path, reported: Callable[..., Path]) -> None:
    """The report of the run that ended last is taken, and one that cannot be read as a report is passed over."""
    assert latest(tmp_path) is None
    newer = reported("newer", 200)
    reported("old", 100)
    reported("damaged", 300, claims="no list")
    reported("undated", 400, run={"started_at": "yesterday", "duration_s": 1.0})
    found = latest(tmp_path)
    assert found is not None
    assert found.path == newer
    assert found.verdict_of(BROKEN.id) == "broken"
    assert [finding.curl for finding in found.findings] == ["curl newer"]


@pytest.mark.parametrize("written_anew", ["old", "newer"])
def test_report_that_is_written_anew_is_no_later_run(
    tmp_path: Path, reported: Callable[..., Path], written_anew: str
) -> None:
    """When the files were written says nothing of when the runs were."""
    paths = {"old": reported("old", 100), "newer": reported("newer", 200)}
    os.utime(paths[written_anew], (2e9, 2e9))
    found = latest(tmp_path)
    assert found is not None
    assert found.path == paths["newer"]


def test_of_runs_beside_each_other_the_last_to_end_is_the_latest(tmp_path: Path, reported: Callable[..., Path]) -> None:
    """A verdict is as old as the end of its run."""
    long = reported("long", 100, took_s=3600.0)
    reported("short", 200)
    found = latest(tmp_path)
    assert found is not None
    assert found.path == long


def test_report_of_a_folder_of_its_own_is_found(tmp_path: Path, reported: Callable[..., Path]) -> None:
    """A folder that --report-dir named is a report itself, not a folder of reports."""
    path = reported("mine", 100)
    found = latest(tmp_path / "mine")
    assert found is not None
    assert found.path == path


def test_table_shows_verdicts_once_there_are_some(
    tmp_path: Path, reported: Callable[..., Path], console: Console
) -> None:
    """With a report each claim has its verdict, and one that the run did not judge says so."""
    path = reported("run", 100)
    print_claims(LEDGER, "cancel.*", reports=tmp_path, console=console)
    text = told(console)
    assert "cancel.in-flight-is-202 must broken" in text
    assert "cancel.settles must upheld" in text
    assert "cancel.idle-is-404 must not judged" in text
    assert f"verdicts of {path}" in text


def test_table_shows_sentences_before_the_first_run(tmp_path: Path, console: Console) -> None:
    """Without a report the table says what each claim promises, and how to get verdicts."""
    print_claims(LEDGER, BROKEN.id, reports=tmp_path, console=console)
    text = told(console)
    assert BROKEN.says in text
    assert "1 claims, 1 must and 0 should; no run yet" in text


def test_explanation_holds_all_that_is_known(tmp_path: Path, reported: Callable[..., Path], console: Console) -> None:
    """One claim is told with its sentence, source, checks, verdict, finding, and the finding's curl line."""
    path = reported("run", 100, actual="200\nand more")
    explain_claim(BROKEN, reports=tmp_path, console=console)
    lines = told(console).splitlines()
    assert lines[:3] == [f"{BROKEN.id} (must)", BROKEN.says, f"source {BROKEN.source}"]
    assert lines[3] == f"checks {', '.join(checks_of(BROKEN.id))}"
    assert lines[4].startswith("faults ")
    assert set(lines[4].removeprefix("faults ").split(", ")) == set(catalogue.proving(BROKEN.id))
    assert lines[5] == f"verdict broken ({path})"
    assert lines[6].startswith("finding expected 202; actual 200")
    assert lines[7:] == ["curl curl run"]


def test_excluded_claim_is_explained_by_its_reason(tmp_path: Path, console: Console) -> None:
    """A row that is deliberately not judged has a reason instead of checks."""
    claim = LEDGER["limit.numbers"]
    explain_claim(claim, reports=tmp_path, console=console)
    assert told(console).splitlines()[-1] == f"excluded {claim.excluded}"


def test_every_judged_claim_has_a_check() -> None:
    """No claim is in the ledger that no rule may judge, and none that only load can judge is left to the check."""
    assert [claim.id for claim in (*LEDGER.judged(), *LEDGER.judged("load")) if not checks_of(claim.id)] == []
    assert checks_of("load.p99") == ["thresholds"]
    assert checks_of("load.builds-admitted") == ["overall.admitted"]
    assert "overall.per-key" in checks_of("limit.is-per-key")


def test_claim_of_a_load_run_is_explained_by_the_run_that_shows_it(
    tmp_path: Path, reported: Callable[..., Path], console: Console
) -> None:
    """Who judges it, which faults break it, and the command instead of a request."""
    explain_claim(LEDGER["load.p99"], reports=tmp_path, console=console)
    explain_claim(LEDGER["load.drift-bytes"], reports=tmp_path, console=console)
    explain_claim(LEDGER["load.errors"], reports=tmp_path, console=console)
    lines = told(console).splitlines()
    assert "judged by `touchstone load`" in lines
    assert "faults crowded-answers-are-slow" in lines
    assert "faults none of its own" in lines
    assert [line for line in lines if line.startswith(("run", "curl"))] == [
        "run touchstone load steady",
        "run touchstone load soak",
        "run touchstone load steady",
    ]


def test_table_says_which_claims_load_alone_judges(tmp_path: Path, console: Console) -> None:
    """They are listed with the others, and counted apart."""
    print_claims(LEDGER, "load.m*,cancel.in-*", reports=tmp_path, console=console)
    text = told(console)
    assert LEDGER["load.mean"].says.split()[-1] in text
    chosen = LEDGER.select("load.m*,cancel.in-*", by=None)
    assert f"{len(chosen)} claims, " in text
    assert "; 2 judged by `touchstone load` alone; no run yet" in text


@pytest.mark.parametrize("subject", sorted({claim.subject for claim in LEDGER.judged()}))
def test_example_is_a_request_of_the_right_kind(subject: str) -> None:
    """The example of a claim is a curl line to its operation, with the key in a variable."""
    claim = next(c for c in LEDGER.judged() if c.subject == subject and "missing-key" not in c.id)
    words = shlex.split(example_curl(claim))
    operation = Contract.load().operations[OPERATIONS.get(subject, "getBuild")]
    method = words[words.index("--request") + 1] if "--request" in words else "GET"
    assert (words[0], method) == ("curl", operation.method)
    assert "Authorization: Bearer $ORGO_API_KEY" in words


def test_example_for_a_missing_key_has_none() -> None:
    """The claim about requests without a key is shown by one without a key."""
    assert "Authorization" not in example_curl(LEDGER["auth.missing-key-is-401"])
