"""`touchstone recordings lint` finds problems in recordings, offline."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.recorded import document, entry, recorded
from tests.recordings.conftest import Run
from touchstone.contract.files import recordings_dir
from touchstone.recordings import har
from touchstone.recordings.linting import OLD_DAYS, Remark, lint
from touchstone.recordings.recording import moved
from touchstone.recordings.replay import alone

NAME = "cancel-when-idle"
KEY = "sk_live_test_of_somebody_else"
RECORDED_AT = har.moment(recorded(NAME).recorded_at)


def remarks(found: dict[str, Any], folder: Path, name: str = NAME) -> tuple[Remark, ...]:
    """The remarks about a document, written as `touchstone record` does."""
    path = folder / f"{name}.har"
    path.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    return lint([path], {"primary": KEY}, RECORDED_AT)


def about(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda found: change(found["log"]["_touchstone"])


# Change of a recording, and text of its remark.
SPOILT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no HAR": (lambda d: d["log"].pop("creator"), "/log/creator"),
    "an entry that cannot be read": (lambda d: entry(d, "not built").pop("_exchange"), "/log/entries/1/_exchange"),
    "another contract": (about(lambda a: a.update(contract_sha256="0" * 64)), "000000000000"),
    "an unknown claim": (about(lambda a: a["claims"].append("start.is-quick")), "start.is-quick"),
    "a broken claim": (
        lambda d: entry(d, "nothing to cancel")["response"].update(status=405),
        "entry 2: cancelBuild MUST cancel.idle-is-404",
    ),
    "a known key": (
        lambda d: entry(d, "not built")["request"]["headers"].append({"name": "X-Trace", "value": f"for {KEY}"}),
        "the primary key",
    ),
    "a token": (
        lambda d: entry(d, "not built")["response"]["content"].update(comment="Authorization: Bearer abcDEF1234567890"),
        "line ",
    ),
    "an edit by hand": (lambda d: entry(d, "not built")["response"].update(statusText="Fine"), '"statusText": "Fine"'),
}


def test_clean_recording_has_no_remarks(tmp_path: Path) -> None:
    # `make lint` runs the command on all published recordings.
    assert lint([recordings_dir() / f"{NAME}.har"], {}, RECORDED_AT) == ()
    assert remarks(document(NAME), tmp_path) == ()


@pytest.mark.parametrize("kind", SPOILT)
def test_fault_is_found_at_its_place(kind: str, tmp_path: Path) -> None:
    spoil, part = SPOILT[kind]
    found = document(NAME)
    spoil(found)
    result = remarks(found, tmp_path)
    assert all(remark.is_fault and KEY not in remark.text for remark in result)
    assert any(part in remark.text for remark in result)


def test_recording_in_a_file_of_another_name_is_a_fault(tmp_path: Path) -> None:
    (remark,) = remarks(document(NAME), tmp_path, "another")
    assert repr(NAME) in remark.text


@pytest.mark.parametrize(
    ("days", "limit", "are_faults"),
    [(OLD_DAYS - 1, None, []), (OLD_DAYS + 1, None, [False]), (8, 7, [True]), (6, 7, [])],
)
def test_age_is_a_warning_and_beyond_a_limit_a_fault(days: int, limit: float | None, are_faults: list[bool]) -> None:
    found = lint([recordings_dir() / f"{NAME}.har"], {}, RECORDED_AT + timedelta(days=days), limit)
    assert [remark.is_fault for remark in found] == are_faults


def test_command_ends_with_1_for_faults_and_shows_no_key(tmp_path: Path, run: Run) -> None:
    path = recordings_dir() / f"{NAME}.har"
    assert run("recordings", "lint", str(path), keys={}).code == 0

    found = document(NAME)
    entry(found, "not built")["response"]["content"]["comment"] = "zZ9-odd-secret-value"
    (tmp_path / f"{NAME}.har").write_text(json.dumps(found), "utf-8")
    ended = run("recordings", "lint", f"{NAME}.har", keys={"ORGO_SECOND_API_KEY": "zZ9-odd-secret-value"})
    assert ended.code == 1
    assert all(line.startswith((f"{NAME}.har: ", "exit 1: ")) for line in ended.out.splitlines())
    assert "second key" in ended.out
    assert "zZ9" not in ended.out


def calls_to_judge(repeats: int) -> int:
    """The number of function calls for judging a recording that repeats the exchanges of one version."""
    once, calls = recorded("fresh-build"), 0
    size = len(once.exchanges)
    exchanges = tuple(moved(each, each.seq + n * size, 10.0 * n) for n in range(repeats) for each in once.exchanges)

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        alone(replace(once, exchanges=exchanges))[1]
    finally:
        sys.setprofile(None)
    return calls


def test_work_grows_linearly_with_the_recording() -> None:
    assert calls_to_judge(32) < 8 * calls_to_judge(8)  # quadratic work would be sixteen times as much
