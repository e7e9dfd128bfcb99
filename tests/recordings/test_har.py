"""Recordings as HAR 1.2: a round trip loses nothing, and every violation of the format has its place."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.recorded import document, every, recorded
from touchstone.errors import RecordingError
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.recordings import har, reader
from touchstone.recordings.recording import BASE_URL, Given, Recording, Terms

STREAM = Exchange(
    seq=1,
    operation="getBuild",
    ref="default/a@1.0.0",
    credential="query",
    case="scenarios.plays[odd]",
    sent_at=0.0,
    head_at=0.001234,
    done_at=2.5,
    request=Request(
        "GET", f"{BASE_URL}/x?a=1&a=&api_key=<key:primary>", (("Accept", "*/*"), ("X-A", "1")), b"\xff\x00"
    ),
    response=Response(413, (("content-type", "a/b"), ("x-a", "1"), ("x-a", "2")), b"\xfe{}", (Chunk(0.5, b"\xfe{}"),)),
    closed="client",
    note={"content": "k", "lines": ["ü"]},
)
REFUSED = replace(STREAM, seq=2, sent_at=3.0, head_at=3.5, done_at=3.5, response=None, error="ConnectError: refused")
BROKEN = replace(STREAM, seq=3, sent_at=4.0, head_at=4.1, done_at=4.2, error="RemoteProtocolError: closed", closed="")
ODD = Recording(
    name="odd",
    exchanges=(STREAM, REFUSED, BROKEN),
    recorded_at="2026-01-02T03:04:05.678901Z",
    tool_version="1.2.3",
    contract_sha256="ab" * 32,
    target="staging",
    case="scenarios.plays[odd]",
    claims=("start.answers-202",),
    terms=Terms(9.0, 8.0, (Given("a/b@1", "restricted", "failed"),)),
    evidence={1: ("http.answers",), 2: (), 3: ()},
)


def test_recording_survives_writing_and_reading() -> None:
    assert har.decode(json.loads(har.render(ODD))) == ODD


def test_growing_recording_is_whole_after_each_exchange(tmp_path: Path) -> None:
    source, path = recorded("reuse"), tmp_path / "traffic.har"
    writer = har.HarWriter(path, replace(source, exchanges=()))
    for count, exchange in enumerate(source.exchanges, 1):
        writer.add(exchange)
        assert len(reader.read(path).exchanges) == count
    writer.close()


def test_entry_has_what_har_readers_expect() -> None:
    entry = json.loads(har.render(ODD))["log"]["entries"][0]
    assert (entry["startedDateTime"], entry["time"]) == ("2026-01-02T03:04:05.678901Z", 2500.0)
    assert entry["timings"] == {"send": 0, "wait": 1.234, "receive": 2498.766}
    assert entry["request"]["queryString"] == [
        {"name": "a", "value": "1"},
        {"name": "a", "value": ""},
        {"name": "api_key", "value": "<key:primary>"},
    ]
    assert entry["request"]["url"].endswith("api_key=%3Ckey:primary%3E")
    assert (entry["request"]["bodySize"], entry["response"]["content"]["size"]) == (2, 3)
    assert (entry["response"]["content"]["mimeType"], entry["response"]["statusText"]) == ("a/b", "Content Too Large")


@pytest.mark.parametrize("name", every())
def test_published_recording_is_har_as_it_is_rendered(name: str) -> None:
    found = document(name)
    assert har.problems(found) == ()
    assert json.loads(har.render(recorded(name))) == found


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/log/_touchstone/format", 99),
        ("/log/entries/3/_exchange/seq", 2),
        ("/log/entries/0/_exchange", {}),
        ("/log/entries/1/startedDateTime", "yesterday"),
        ("/log/entries/0/timings/wait", "long"),
    ],
)
def test_invalid_field_is_an_error_at_its_place(pointer: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "mine.har"
    path.write_text(json.dumps(changed(document("fresh-build"), pointer, value)), "utf-8")
    with pytest.raises(RecordingError) as error:
        reader.read(path)
    assert str(error.value).startswith(f"{path}: {pointer}")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{}", b"[]", b"\xff\xfe\x00", b"9" * 5000, b'{"a":' * 100_000],
    ids=["empty", "cut", "no log", "no object", "no text", "long number", "deep"],
)
def test_file_that_is_no_recording_is_an_error_with_its_path(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "wrong.har"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as error:
        reader.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert error.value.exit_code == 2


def test_byte_order_mark_is_no_part_of_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "reuse.har"
    path.write_text(har.render(recorded("reuse")), "utf-8-sig")
    assert reader.read(path).exchanges == recorded("reuse").exchanges


def test_folders_are_searched_and_each_file_is_found_once(tmp_path: Path) -> None:
    one, two = tmp_path / "a.har", tmp_path / "below" / "B.HAR"
    two.parent.mkdir()
    for path in (one, two, tmp_path / "c.json"):
        path.touch()
    assert reader.found([tmp_path, one]) == [one, two]
    assert [path.stem for path in reader.found([])] == every()
    for nothing in (tmp_path / "absent.har", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(RecordingError, match=nothing.name):
            reader.found([nothing])


REQUEST, RESPONSE, TIMINGS = (f"/log/entries/0/{part}" for part in ("request", "response", "timings"))
GONE = object()


def sample(name: str) -> Any:
    """A document of one HAR writer; `full` has every field of the specification."""
    return json.loads((Path(__file__).parents[1] / "data" / "har" / f"{name}.json").read_text("utf-8"))


def changed(found: dict[str, Any], pointer: str, value: object = GONE) -> dict[str, Any]:
    """A copy with another value at a pointer, or without the field."""
    result = copy.deepcopy(found)
    *steps, last = pointer.removeprefix("/").split("/")
    node: Any = result
    for step in steps:
        node = node[int(step) if isinstance(node, list) else step]
    if value is GONE:
        del node[last]
    else:
        node[int(last) if isinstance(node, list) else last] = value
    return result


def problems(found: object) -> list[tuple[str, str]]:
    """The violations in a document: pointer and keyword of the schema."""
    return [(problem.pointer, problem.keyword) for problem in har.problems(found)]


@pytest.mark.parametrize("name", ["minimal", "full", "chrome", "firefox", "mitmproxy"])
def test_documents_of_known_writers_pass(name: str) -> None:
    assert problems(sample(name)) == []


@pytest.mark.parametrize(
    ("pointer", "value", "keyword"),
    [
        ("/log/version", "2.0", "pattern"),
        ("/log/entries/0/time", -1, "minimum"),
        ("/log/entries/0/startedDateTime", "yesterday", "format"),
        (f"{REQUEST}/url", "/builds", "pattern"),
        (f"{RESPONSE}/status", "200", "type"),
        (f"{RESPONSE}/content/size", True, "type"),
        (f"{TIMINGS}/dns", -2, "minimum"),
    ],
)
def test_wrong_value_is_one_problem(pointer: str, value: object, keyword: str) -> None:
    assert problems(changed(sample("full"), pointer, value)) == [(pointer, keyword)]
