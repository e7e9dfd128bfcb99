"""The second look at what a run writes and prints: a key that redaction missed is cut out and reported."""

import base64
import html
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest

from tests.encodings import left
from touchstone.__main__ import Stream
from touchstone.check.child import Interrupted, watched
from touchstone.facts import redaction_guard
from touchstone.facts.exchange import Exchange, Request, Response
from touchstone.facts.key_sources import UNKNOWN_KEY
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import RunLogWriter
from touchstone.report.github import publish

KEY, OTHER = "sk_live_q7Rw2Tz9Xb4Nc6Vd8Kf1Hg", "sk_live_Mm3Pp5Ss7Uu9Ww1Yy2Aa4C"


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    redaction_guard.forget()
    redaction_guard.know({"primary": KEY, "second": OTHER})
    yield
    redaction_guard.forget()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "part": lambda key: key[9:27],
    "percent": lambda key: "".join(f"%{ord(char):02X}" for char in key),
    "url": lambda key: quote(f"/x/{key}?a=b c", safe=""),
    "unicode": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "entities": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "hex": lambda key: key.encode().hex(),
    **{f"base64 {n}": lambda key, n=n: base64.b64encode(b"x" * n + key.encode()).decode() for n in range(3)},  # type: ignore[misc]
}


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_known_key_is_cut_out_of_a_text(encoding: str) -> None:
    """Whatever a key is written in, it goes, its name is told, and JSON and base64 stay what they are."""
    written = ENCODINGS[encoding](KEY)
    text = f'{{"body": {{"base64": "{written}"}}, "said": "a \\"{written}\\" b"}}'
    clean, names = redaction_guard.cut(text)
    assert names == ("primary",)
    assert left(clean, [KEY]) == set()
    assert json.loads(clean)["said"].startswith('a "')
    if encoding.startswith("base64"):
        base64.b64decode(json.loads(clean)["body"]["base64"], validate=True)


@pytest.mark.parametrize(
    "text",
    [
        "keys begin with sk_live_",
        UNKNOWN_KEY,
        "<key:primary>",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b",
        KEY[9:26],
    ],
)
def test_text_without_a_known_key_stays(text: str) -> None:
    """Markers, digests, examples and what keys have in common are no keys."""
    assert redaction_guard.cut(text) == (text, ())


def test_run_log_holds_no_key(tmp_path: Path) -> None:
    """A key that gets as far as the run log is not written there; a warning in it says which key it was."""
    path = tmp_path / "runlog.jsonl"
    request = Request("GET", f"http://h/{KEY}", (("x", KEY.lower()),), b"")
    response = Response(200, (("x", "y"),), b"\xff\x00" + KEY.encode())
    with RunLogWriter(path) as log:
        log.write(
            Exchange(
                seq=1,
                operation="",
                ref=None,
                credential="primary",
                case="",
                sent_at=0.0,
                head_at=0.0,
                done_at=0.0,
                request=request,
                response=response,
            )
        )
        log.write({"type": "warning", "text": OTHER})
    text = path.read_text()
    assert left(text, [KEY, OTHER]) == set()
    events = [json.loads(line) for line in text.splitlines()]
    warnings = [event["text"] for event in events if event["type"] == "warning"]
    assert [name for name in ("primary", "second") if not any(f"the {name} key" in text for text in warnings)] == []


def test_report_and_summary_hold_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does any report, and standard error names the file and the key."""
    report, summary = tmp_path / "report.html", tmp_path / "summary.md"
    write_whole(report, f"<p>{html.escape(KEY)}</p>")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setattr("touchstone.report.github.annotations", lambda *_: ())
    monkeypatch.setattr("touchstone.report.github.summary", lambda *_: f"| {KEY} |")
    publish(cast("Any", None), tmp_path)
    told = capsys.readouterr().err
    for path in (report, summary):
        assert left(path.read_text(), [KEY]) == set()
        assert f"{path}: held the primary key" in told
    assert KEY not in told


def test_terminal_shows_no_key() -> None:
    """What is printed is looked over as well."""
    reader, writer = os.pipe()
    with Stream(os.fdopen(writer, "wb"), "utf-8") as stream:
        assert stream.write(f"error: {KEY} ✓\n")
    with os.fdopen(reader, "rb") as file:
        shown = file.read().decode()
    assert (shown.startswith("error: "), shown.endswith(" ✓\n"), KEY in shown) == (True, True, False)


def test_output_of_a_child_holds_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback of a child may hold what no redaction has seen."""
    output = tmp_path / "pytest.log"
    command = [sys.executable, "-c", f"print('before'); raise ValueError('{KEY}')"]
    ended = watched(command, os.environ, output, tmp_path / "none.jsonl", lambda _: None, Interrupted(), None)
    assert ended == 1
    assert output.read_text().startswith("before\n")
    assert left(output.read_text(), [KEY]) == set()
    assert "primary" in capsys.readouterr().err
