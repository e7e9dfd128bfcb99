"""The report for programs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from touchstone.facts.runlog import read
from touchstone.report import json_report
from touchstone.report.view import view


@pytest.mark.parametrize("name", ["passing", "failing"])
def test_report_is_as_agreed(name: str, golden: Callable[[str, str], None], request: pytest.FixtureRequest) -> None:
    """Keys, their order and their values stay as programs know them."""
    golden(f"{name}.report.json", json_report.render(view(read(request.getfixturevalue(f"{name}_run")))))


def test_documented_keys_are_there(any_run: Path) -> None:
    """The shape is the documented one; further keys may follow."""
    report = json.loads(json_report.render(view(read(any_run))))

    assert report["schema_version"] == 1
    assert {"id", "target", "started_at", "duration_s", "exit_code", "reason"} <= set(report["run"])
    for claim in report["claims"]:
        assert {"id", "level", "verdict", "checks", "findings"} <= set(claim)
    for finding in report["findings"]:
        assert {"claim", "level", "operation", "expected", "actual", "curl"} <= set(finding)
    assert set(report["counts"]) == {
        "claims", "upheld", "broken", "not_applicable", "could_not_run", "indeterminate", "exchanges",
    }  # fmt: skip


def test_findings_of_claims_are_those_of_the_list(any_run: Path) -> None:
    """A claim refers to its findings by ids that the list has, and every finding belongs to a claim."""
    report = json.loads(json_report.render(view(read(any_run))))
    referred = [(claim["id"], finding) for claim in report["claims"] for finding in claim["findings"]]

    assert sorted(referred) == sorted((finding["claim"], finding["id"]) for finding in report["findings"])


def test_nothing_of_the_target_is_changed(hostile_run: Path, hostile_text: str) -> None:
    """Values are exact, and the file is plain ASCII all the same."""
    text = json_report.render(view(read(hostile_run)))

    assert text.isascii()
    assert json.loads(text)["findings"][0]["expected"] == hostile_text
