"""A recording is the same after it was written as HAR and read again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.recorded import document, every, recorded
from touchstone.errors import RecordingError
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.recordings import har, reader
from touchstone.recordings.recording import BASE_URL, Given, Recording, Terms

ODD = Exchange(
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
    response=Response(200, (("content-type", "a/b"), ("x-a", "1"), ("x-a", "2")), b"\xfe{}", (Chunk(0.5, b"\xfe{}"),)),
    closed="client",
    note={"content": "k", "lines": ["ü"]},
)
SILENT = replace(ODD, seq=2, sent_at=3.0, head_at=3.5, done_at=3.5, response=None, error="ConnectError: refused")
BROKEN_OFF = replace(ODD, seq=3, sent_at=4.0, head_at=4.1, done_at=4.2, error="RemoteProtocolError: closed", closed="")
MADE = Recording(
    name="odd",
    exchanges=(ODD, SILENT, BROKEN_OFF),
    recorded_at="2026-01-02T03:04:05.678901Z",
    tool_version="1.2.3",
    contract_sha256="ab" * 32,
    target="staging",
    case="scenarios.plays[odd]",
    claims=("start.answers-202",),
    terms=Terms(0.04, 9.0, 8.0, 7.0, "wrapped", ("primary", "second"), (Given("a/b@1", "restricted", "failed"),)),
    evidence={1: ("http.answers",), 2: (), 3: ()},
)


def test_recording_comes_back_as_it_was() -> None:
    """Bytes that are no text, headers that come twice, a stream's pieces, errors, times and terms survive."""
    text = har.render(MADE)
    assert har.decode(json.loads(text)) == MADE


@pytest.mark.parametrize("name", every())
def test_file_is_what_its_recording_is_written_as(name: str) -> None:
    """Each file in tests/recordings is HAR 1.2, and written anew it is the same to the byte."""
    found = document(name)
    recording = recorded(name)
    assert har.problems(found) == ()
    assert json.loads(har.render(recording)) == found


def test_changed_entry_is_told() -> None:
    """A file says of itself whether an entry was changed since it was written; names around them may be."""
    found = document("reuse")
    found["log"]["pages"][0]["title"] = "mine"
    assert not har.decode(found).is_changed
    found["log"]["entries"][0]["time"] += 1
    assert har.decode(found).is_changed


def test_nothing_is_written_twice() -> None:
    """A body stands once in a file: the pieces of a stream are lengths of it."""
    text = har.render(recorded("events-ready"))
    # In what was published and the note of it, and in each of three logs.
    assert text.count("mark-recorded-events-ready-1-line-5") == 5


@pytest.mark.parametrize(
    ("pointer", "value", "told"),
    [
        (("log", "_touchstone", "format"), 99, "/log/_touchstone/format: is 99, expected 1: use a newer touchstone"),
        (
            ("log", "_touchstone", "terms", "build_timeout_s"),
            "long",
            "/log/_touchstone/terms/build_timeout_s: Input should be a valid number",
        ),
        (
            ("log", "entries", 3, "_exchange", "seq"),
            2,
            "/log/entries/3/_exchange/seq: is 2, which",
        ),
        (("log", "pages"), [], "/log/pages: is a list, expected"),
        (("log", "entries", 0, "_exchange"), {}, "/log/entries/0/_exchange/seq: Field required"),
        (("log", "entries", 1, "startedDateTime"), "yesterday", "/log/entries/1/startedDateTime: is"),
        (("log", "entries", 0, "timings", "wait"), "long", "/log/entries/0/timings/wait: is 'long', expected"),
    ],
)
def test_field_that_cannot_be_read_is_named(
    pointer: tuple[str | int, ...], value: object, told: str, tmp_path: Path
) -> None:
    """What is missing or of another kind is named by its place."""
    found = document("fresh-build")
    place: object = found
    for step in pointer[:-1]:
        place = place[step]  # type: ignore[index]  # a pointer leads through what JSON allows
    place[pointer[-1]] = value  # type: ignore[index]  # as above
    path = tmp_path / "mine.har"
    path.write_text(json.dumps(found), "utf-8")
    with pytest.raises(RecordingError) as error:
        reader.read(path)
    assert str(error.value).startswith(f"{path}: {told}")


def test_text_that_is_longer_than_its_pieces_is_kept() -> None:
    """Whoever lengthens a log by hand finds what was added in the last piece."""
    found = document("events-failed")
    log = next(e for e in found["log"]["entries"] if e["_step"].startswith("log"))
    log["response"]["content"]["text"] += "data: more\n\n"
    read = har.decode(found)
    (stream,) = [e for e in read.exchanges if e.seq == log["_exchange"]["seq"]]
    assert stream.response is not None
    assert b"".join(chunk.data for chunk in stream.response.chunks) == stream.response.body
    assert stream.response.chunks[-1].data == b"data: more\n\n"


@pytest.mark.parametrize(("status", "phrase"), [(413, "Content Too Large"), (422, "Unprocessable Content"), (599, "")])
def test_words_of_a_status_are_those_of_the_standard(status: int, phrase: str) -> None:
    """Whatever this version of Python calls it, so that a recording is the same with any."""
    assert har._PHRASES.get(status, "") == phrase
