"""Keys that redaction missed are removed from everything that a run writes or prints, and reported."""

import base64
import html
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.encodings import ENCODINGS, left
from touchstone.__main__ import Stream
from touchstone.check.job import Interrupted, watched
from touchstone.errors import HarnessError
from touchstone.facts import redaction_guard
from touchstone.facts.exchange import Exchange, Request, Response
from touchstone.facts.key_sources import UNKNOWN_KEY
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import RunLogWriter
from touchstone.report.github import publish

KEY, OTHER = "sk_live_q7Rw2Tz9Xb4Nc6Vd8Kf1Hg", "sk_live_Mm3Pp5Ss7Uu9Ww1Yy2Aa4C"


def forget_keys() -> None:
    redaction_guard._names.clear()
    redaction_guard._parts.clear()


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    forget_keys()
    redaction_guard.register({"primary": KEY, "second": OTHER})
    yield
    forget_keys()


NAMES = ("plain", "percent", "unicode escapes", "decimal references", "hex references", "base64", "hex", "part")


@pytest.mark.parametrize("encoding", NAMES)
def test_known_key_is_cut_out_and_json_stays_valid(encoding: str) -> None:
    encoded = KEY[9:27] if encoding == "part" else ENCODINGS[encoding](KEY, random.Random(1))
    body = f'{{"text": "a \\"{encoded}\\" b", "body": "{encoded}", "lines": "a\\n{encoded}\\nb"}}'
    for text in (body, json.dumps({"text": f'a "{body}', "body": f"\\{encoded}\\"})):  # also JSON in JSON
        clean, names = redaction_guard.cut(text)
        assert names == ("primary",)
        assert left(clean, [KEY]) == set()
        assert json.loads(clean)["text"].startswith('a "')


def test_key_with_a_quote_is_cut_out() -> None:
    key = 'abc"def\\ghi<jkl>mno'
    redaction_guard.register({"odd": key})
    for text in (key, json.dumps([key]), json.dumps(json.dumps([f"{key} b"]))):
        clean, names = redaction_guard.cut(text)
        assert names == ("odd",)
        assert left(clean, [key]) == set()
        assert text == key or json.loads(clean)


def test_base64_stays_base64_where_a_key_is_cut_out() -> None:
    clean, _ = redaction_guard.cut(json.dumps({"base64": base64.b64encode(b"x" + KEY.encode()).decode()}))
    base64.b64decode(json.loads(clean)["base64"], validate=True)


@pytest.mark.parametrize(
    "text", ["keys begin with sk_live_", UNKNOWN_KEY, "<key:primary>", "9f86d081884c7d659a2feaa0c55ad0", KEY[9:26]]
)
def test_text_without_a_known_key_stays(text: str) -> None:
    assert redaction_guard.cut(text) == (text, ())


def test_run_log_holds_no_key_and_a_warning_names_it(tmp_path: Path) -> None:
    path = tmp_path / "runlog.jsonl"
    request = Request("GET", f"http://h/{KEY}", (("x", KEY.lower()),), b"")
    response = Response(200, (("x", "y"),), b"\xff\x00" + KEY.encode())
    with RunLogWriter(path) as log:
        log.write(Exchange(1, "", None, "primary", "", 0.0, 0.0, 0.0, request, response))
        log.write({"type": "warning", "text": OTHER})
    text = path.read_text()
    assert left(text, [KEY, OTHER]) == set()
    warnings = [event["text"] for event in map(json.loads, text.splitlines()) if event["type"] == "warning"]
    assert [name for name in ("primary", "second") if not any(f"the {name} key" in text for text in warnings)] == []


def test_report_and_summary_hold_no_key_and_stderr_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report, summary = tmp_path / "report.html", tmp_path / "summary.md"
    write_whole(report, f"<p>{html.escape(KEY)}</p>")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setattr("touchstone.report.github.annotations", lambda *_: ())
    monkeypatch.setattr("touchstone.report.github.summary", lambda *_: f"| {KEY} |")
    publish(cast("Any", None), tmp_path)
    err = capsys.readouterr().err
    for path in (report, summary):
        assert left(path.read_text(), [KEY]) == set()
        assert f"{path}: contained the primary key" in err
    assert KEY not in err
    summary.unlink()
    os.mkfifo(summary)  # nobody reads it, and the run must not wait for a reader
    publish(cast("Any", None), tmp_path)
    assert str(summary) in capsys.readouterr().err


def test_report_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "report.html"
    write_whole(path, "first")

    def refuse(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("touchstone.facts.output.redact", refuse)
    with pytest.raises(HarnessError, match="No space left"):
        write_whole(path, "second")
    assert path.read_text() == "first"
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(HarnessError, match="report"):
        write_whole(path / "below", "third")


def test_terminal_shows_no_key() -> None:
    reader, writer = os.pipe()
    with Stream(os.fdopen(writer, "wb"), "utf-8") as stream:
        assert stream.write(f"error: {KEY} ✓\n")
    with os.fdopen(reader, "rb") as file:
        printed = file.read().decode()
    assert (printed.startswith("error: "), printed.endswith(" ✓\n"), KEY in printed) == (True, True, False)


def test_output_of_a_child_holds_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "pytest.log"
    command = ["sh", "-c", f"echo before; echo ValueError {KEY}; exit 1"]
    ended = watched(command, os.environ, output, tmp_path / "none.jsonl", lambda _: None, Interrupted(), None)
    assert ended == 1
    assert output.read_text().startswith("before\n")
    assert left(output.read_text(), [KEY]) == set()
    assert "primary" in capsys.readouterr().err
