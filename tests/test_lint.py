"""`touchstone recordings lint` finds what is wrong with a recording without a network."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import Shell, called
from tests.recorded import document, entry, every, recorded
from touchstone.contract.files import recordings_dir
from touchstone.recordings import har
from touchstone.recordings.linting import OLD_DAYS, lint

ROOT = Path(__file__).parent.parent
NAME = "cancel-when-idle"
KEY = "sk_live_test_of_somebody_else"


def remarks(
    har_document: dict[str, Any], folder: Path, name: str = NAME, keys: dict[str, str] | None = None
) -> list[str]:
    """What is said of a document, in the form in which it is written."""
    path = folder / f"{name}.har"
    path.write_text(json.dumps(har_document, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    now = har.moment(recorded(NAME).recorded_at)
    return [str(remark).removeprefix(f"{path}: ") for remark in lint([path], keys or {}, now)]


def test_recordings_of_the_twin_are_clean() -> None:
    """Nothing is wrong with what is in the repository."""
    newest = max(har.moment(recorded(name).recorded_at) for name in every())
    assert lint([], {}, newest) == ()


def test_unchanged_copy_is_clean(tmp_path: Path) -> None:
    """A document that is written as `record` writes it has nothing to be said of."""
    assert remarks(document(NAME), tmp_path) == []


def about(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda found: change(found["log"]["_touchstone"])


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no HAR": (lambda d: d["log"].pop("creator"), "HAR: /log/creator: is missing"),
    "another contract": (
        about(lambda a: a.update(contract_sha256="0" * 64)),
        "recorded under the contract 000000000000…, which is",
    ),
    "a claim that is none": (
        about(lambda a: a["claims"].append("start.is-quick")),
        "names the claim 'start.is-quick', which does not exist; record it again",
    ),
    "a status that is not documented": (
        lambda d: entry(d, "nothing to cancel")["response"].update(status=418),
        "entry 2: cancelBuild MUST http.status-is-documented",
    ),
    "a body that is not documented": (
        lambda d: entry(d, "not built")["response"]["content"].update(text="{}"),
        "entry 1: getBuild MUST status.body-is-documented",
    ),
    "a claim that is broken": (
        lambda d: entry(d, "nothing to cancel")["response"].update(status=405),
        "entry 2: cancelBuild MUST cancel.idle-is-404: DELETE https://builds.test/api/templates/default/",
    ),
    "a key": (
        lambda d: entry(d, "not built")["request"]["headers"].append({"name": "X-Trace", "value": f"for {KEY}"}),
        "holds the primary key",
    ),
    "a token": (
        lambda d: entry(d, "not built")["response"]["content"].update(comment="Authorization: Bearer abcDEF1234567890"),
        "holds",
    ),
    "a hand that wrote": (
        lambda d: entry(d, "not built")["response"].update(statusText="Fine"),
        '\'"statusText": "Fine"\', `touchstone record` writes \'"statusText": "OK"\'; do not edit it',
    ),
    "an entry that cannot be read": (
        lambda d: entry(d, "not built").pop("_exchange"),
        "HAR: /log/entries/1/_exchange: is missing",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_fault_is_found(kind: str, tmp_path: Path) -> None:
    """Format, contract, rules, claims, secrets and hands: each is told with its place."""
    spoil, told = FAULTS[kind]
    har_document = document(NAME)
    spoil(har_document)
    assert any(told in remark for remark in remarks(har_document, tmp_path, keys={"primary": KEY}))


def test_scenario_is_in_the_file_of_its_name(tmp_path: Path) -> None:
    """A recording that was renamed is no recording of that scenario."""
    (told,) = remarks(document(NAME), tmp_path, "another")
    assert told == f"holds the scenario {NAME!r}; expected it in {NAME}.har"


@pytest.mark.parametrize(
    ("days", "limit", "expected"),
    [
        (OLD_DAYS - 1, None, []),
        (OLD_DAYS + 1, None, [(False, f"recorded {OLD_DAYS + 1} days ago, more than {OLD_DAYS}; record it again")]),
        (8, 7, [(True, "recorded 8 days ago, more than 7; record it again")]),
        (6, 7, []),
    ],
)
def test_age_is_a_warning_and_with_a_limit_a_fault(
    days: int, limit: float | None, expected: list[tuple[bool, str]]
) -> None:
    """An old recording is worth a look; it fails only where somebody says how old one may be."""
    now = har.moment(recorded(NAME).recorded_at) + timedelta(days=days)
    found = lint([recordings_dir() / f"{NAME}.har"], {}, now, limit)
    assert [(remark.is_fault, remark.text) for remark in found] == expected


def test_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """What is no recording at all fails, and the others are looked at all the same."""
    (tmp_path / "a.har").write_text("{", "utf-8")
    (tmp_path / f"{NAME}.har").write_text(har.render(recorded(NAME)).replace("not_built", "not_bailt"), "utf-8")
    found = lint([tmp_path], {}, datetime.now(UTC))
    assert {remark.path.name for remark in found if remark.is_fault} == {"a.har", f"{NAME}.har"}


def test_command_says_how_many_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 with a line a fault, 0 without."""
    shell = Shell(tmp_path)
    ended = called(shell, monkeypatch, capsys, "recordings", "lint")
    assert (ended.code, ended.last_line) == (0, f"exit 0: {len(every())} recordings, 0 faults, 0 warnings")
    found = document(NAME)
    entry(found, "nothing to cancel")["response"]["status"] = 405
    (tmp_path / f"{NAME}.har").write_text(json.dumps(found), "utf-8")
    ended = called(shell, monkeypatch, capsys, "recordings", "lint", f"{NAME}.har")
    assert ended.code == 1
    assert ended.out.startswith(f"{NAME}.har: ")
    assert ended.last_line.startswith("exit 1: 1 recording, ")


def test_command_knows_the_keys_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that is set is looked for by its value, and not shown."""
    found = document(NAME)
    entry(found, "not built")["response"]["content"]["comment"] = "zZ9-odd-secret-value"
    (tmp_path / f"{NAME}.har").write_text(json.dumps(found), "utf-8")
    shell = Shell(tmp_path, {"ORGO_SECOND_API_KEY": "zZ9-odd-secret-value"})
    ended = called(shell, monkeypatch, capsys, "recordings", "lint", f"{NAME}.har")
    assert ended.code == 1
    assert "holds the second key" in ended.out
    assert "zZ9" not in ended.out


@pytest.mark.parametrize(
    ("file", "path"), [(".pre-commit-hooks.yaml", ()), (".pre-commit-config.yaml", ("repos", 0, "hooks"))]
)
def test_hook_runs_the_command_on_har_files(file: str, path: tuple[str | int, ...]) -> None:
    """What pre-commit starts is the command, on the files that are recordings."""
    found: Any = yaml.safe_load((ROOT / file).read_text("utf-8"))
    for step in path:
        found = found[step]
    (hook,) = found
    assert hook["entry"].removeprefix(".venv/bin/") == "touchstone recordings lint"
    assert hook["files"] == r"\.har$"
