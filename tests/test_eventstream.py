"""Event streams are read as the WHATWG HTML standard, section 9.2, says, and what is odd about them is told."""

from collections.abc import Iterable
from itertools import pairwise

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.contract.event_stream import MAX_PROBLEMS, Event, EventStreamParser, FramingProblem, parse

many_cases = settings(max_examples=300)


def message(data: str, **fields: object) -> Event:
    values: dict[str, object] = {"event": "message", "data": data} | fields
    return Event(**values)  # type: ignore[arg-type]  # a table of keywords


def kinds(body: bytes) -> list[str]:
    return [problem.kind for problem in parse(body).problems]


def in_pieces(pieces: Iterable[bytes], max_line_bytes: int = 1 << 20) -> tuple[list[Event], tuple[FramingProblem, ...]]:
    parser = EventStreamParser(max_line_bytes)
    events = [event for piece in pieces for event in parser.feed(piece)]
    parser.close()
    return events, parser.problems


CASES = {
    "nothing": (b"", []),
    "one event": (b"data: a\n\n", [message("a")]),
    "no space after the colon": (b"data:a\n\n", [message("a")]),
    "only one space is dropped": (b"data:  a\n\n", [message(" a")]),
    "a tab is data": (b"data:\ta\n\n", [message("\ta")]),
    "trailing space is data": (b"data: a \n\n", [message("a ")]),
    "colons in the value": (b"data: a:b: c\n\n", [message("a:b: c")]),
    "data lines are joined": (b"data: a\ndata: b\n\n", [message("a\nb")]),
    "empty data is dispatched": (b"data:\n\n", [message("")]),
    "data without colon is empty": (b"data\n\ndata\ndata\n\ndata:", [message(""), message("\n")]),
    "CR ends lines": (b"data: a\r\rdata: b\r\r", [message("a"), message("b")]),
    "CRLF ends lines": (b"data: a\r\n\r\n", [message("a")]),
    "ends of line are mixed": (b"data: a\rdata: b\r\ndata: c\n\r", [message("a\nb\nc")]),
    "LF CR is two ends": (b"data: a\n\rdata: b\n\r", [message("a"), message("b")]),
    "other separators are data": ("data: a\x0b\x0c\x85\u2028b\n\n".encode(), [message("a\x0b\x0c\x85\u2028b")]),
    "one BOM is dropped": (b"\xef\xbb\xbfdata: a\n\n", [message("a")]),
    "a second BOM is not": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "a later BOM is not": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [message("a")]),
    "a BOM before a blank line": (b"\xef\xbb\xbf\ndata: a\n\n", [message("a")]),
    "comments": (b": hello\n:\ndata: a\n: there\n\n", [message("a")]),
    "comments alone": (b":\n\n:\n\n", []),
    "type": (b"event: add\ndata: a\n\ndata: b\n\n", [message("a", event="add"), message("b")]),
    "empty type is message": (b"event: x\nevent:\ndata: a\n\n", [message("a")]),
    "type without data": (b"event: add\n\ndata: a\n\n", [message("a")]),
    "id stays": (b"id: 1\ndata: a\n\ndata: b\n\n", [message("a", id="1"), message("b", id="1")]),
    "id without data stays": (b"id: 1\n\ndata: b\n\n", [message("b", id="1")]),
    "empty id resets": (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [message("a", id="1"), message("b")]),
    "id with NUL": (b"id: 1\nid: 2\0\ndata: a\n\n", [message("a", id="1")]),
    "retry": (b"retry: 1500\ndata: a\n\ndata: b\n\n", [message("a", retry=1500), message("b")]),
    "retry with a sign": (b"retry: +1\ndata: a\n\n", [message("a")]),
    "retry in other digits": ("retry: ١\ndata: a\n\n".encode(), [message("a")]),
    "retry of nothing": (b"retry\ndata: a\n\n", [message("a")]),
    "endless retry": (b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [message("a")]),
    "names have a case": (b"Data: a\nDATA: b\n\n", []),
    "a space before the name": (b" data: a\n\n", []),
    "unknown fields": (b"foo: bar\ndata: a\nbaz\n\n", [message("a")]),
    "bad UTF-8": (b"data: a\xff\xe2\x82b\n\n", [message("a\ufffd\ufffdb")]),
    "UTF-8 cut by the end of line": (b"data: \xe2\x82\ndata: b\n\n", [message("\ufffd\nb")]),
    "NUL is data": (b"data: a\0b\n\n", [message("a\0b")]),
    "no blank line at the end": (b"data: a\n\ndata: b\n", [message("a")]),
    "no end of line at the end": (b"data: a\n\ndata: b", [message("a")]),
}


@pytest.mark.parametrize(("body", "expected"), CASES.values(), ids=CASES)
def test_stream_yields_the_events_of_the_standard(body: bytes, expected: list[Event]) -> None:
    """Each case yields the events that the standard's algorithm dispatches, and no others."""
    assert list(parse(body).events) == expected


@pytest.mark.parametrize("body", [body for body, _ in CASES.values()], ids=CASES)
def test_bytes_one_by_one_are_the_same_stream(body: bytes) -> None:
    """A stream that arrives byte by byte yields what it yields in one piece."""
    whole = parse(body)
    assert in_pieces(bytes([byte]) for byte in body) == (list(whole.events), whole.problems)


PIECES = st.sampled_from(
    [b"data", b"event", b"id", b"retry", b":", b" ", b"\r", b"\n", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\xe2\x82\xac",
     b"\xff", b"\0", b"12", b'{"a":1}', b"xyz"]
)  # fmt: skip
BODIES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=40).map(b"".join))


@many_cases
@given(body=BODIES, cuts=st.lists(st.integers(0, 80), max_size=8), limit=st.sampled_from([4, 12, 1 << 20]))
def test_cuts_never_change_the_stream(body: bytes, cuts: list[int], limit: int) -> None:
    """However the bytes are cut, events and problems are the same, at any limit."""
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(edges)]
    assert in_pieces(pieces, limit) == in_pieces([body], limit)


LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0\ufeff"), max_size=12)


@many_cases
@given(
    events=st.lists(st.tuples(st.lists(LINES, min_size=1, max_size=3), LINES, LINES), max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_written_events_are_read_back(events: list[tuple[list[str], str, str]], end: str) -> None:
    """Events that are written as the standard says come back whole, and nothing is odd about them."""
    text = ""
    expected = []
    last_id = ""
    for data, event_type, event_id in events:
        text += "".join(f"data: {line}{end}" for line in data) + f"event: {event_type}{end}id: {event_id}{end}{end}"
        last_id = event_id
        expected.append(message("\n".join(data), event=event_type or "message", id=last_id))
    actual = parse(text.encode())
    assert (list(actual.events), actual.problems) == (expected, ())


@many_cases
@given(st.lists(st.sampled_from(["data: a", "data: b", "event: x", "id: 7", "retry: 5", ": c", "", ""]), max_size=20))
def test_ordinary_streams_read_like_with_another_client(lines: list[str]) -> None:
    """httpx-sse reads the same types, data and ids from events that carry data."""
    # Without data it dispatches an event where the standard does not, so the streams compared begin each with data.
    body = "".join(f"{line}\n" if line else "data: end\n\n" for line in lines).encode()
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body)
    theirs = [(event.event, event.data, event.id, event.retry) for event in EventSource(response).iter_sse()]
    assert [(event.event, event.data, event.id, event.retry) for event in parse(body).events] == theirs


ODDITIES = {
    "none": (b": hi\nevent: a\nid: 1\nretry: 2\ndata: x\n\n", []),
    "unknown field": (b"foo: bar\ndata: x\n\n", ["unknown-field"]),
    "wrong case": (b"Data: x\n\n", ["unknown-field"]),
    "JSON without data": (b'{"ts":"now"}\n\n', ["stray-line"]),
    "text": (b"hello\n\n", ["stray-line"]),
    "indented": (b" data: x\n\n", ["stray-line"]),
    "bad UTF-8": (b"data: \xff\n\n", ["invalid-utf8"]),
    "bad UTF-8 in a comment": (b":\xff\n", ["invalid-utf8"]),
    "retry": (b"retry: soon\n\n", ["invalid-retry"]),
    "id": (b"id: \0\n\n", ["invalid-id"]),
    "cut after a line": (b"data: x\n", ["unterminated-event"]),
    "cut in a line": (b"data: x", ["unterminated-event"]),
    "cut in the blank line": (b"data: x\r\n\r", []),
    "cut in a comment": (b"data: x\n\n: ping", []),
    "cut after a comment": (b": ping\n", []),
    "only a BOM": (b"\xef\xbb\xbf", []),
}


@pytest.mark.parametrize(("body", "expected"), ODDITIES.values(), ids=ODDITIES)
def test_oddity_is_reported_once(body: bytes, expected: list[str]) -> None:
    """What receivers pass over in silence is reported by its kind; a well-formed stream has no problem."""
    assert kinds(body) == expected


def test_problem_tells_line_and_beginning() -> None:
    """A problem names its line, counted from 1 over any end of line, and shows how the line begins."""
    problems = parse(b"data: a\r\n\r\nfoo: " + b"x" * 500 + b"\n").problems
    assert problems[0] == FramingProblem("unknown-field", 3, repr(b"foo: " + b"x" * 55))
    assert str(problems[0]).startswith("line 3: unknown-field: b'foo: xx")


def test_event_is_dispatched_as_soon_as_its_blank_line_begins() -> None:
    """A CR ends a line at once; the LF that may follow is not waited for and opens no other line."""
    parser = EventStreamParser()
    assert parser.feed(b"data: a\r\n\r") == [message("a")]
    assert parser.feed(b"\ndata: b\n\n") == [message("b")]
    assert parser.problems == ()


def test_line_at_the_limit_is_kept_and_one_above_drops_its_event() -> None:
    """A line of exactly the limit is read; a longer one drops its whole event, and the next event is whole again."""
    body = b"data: 1234\n\ndata: x\ndata: 12345\ndata: y\n\ndata: z\n\n"
    events, problems = in_pieces([body], max_line_bytes=10)
    assert events == [message("1234"), message("z")]
    assert problems == (FramingProblem("line-too-long", 4, "b'data: 1234'"),)


def test_many_lines_of_one_event_are_bounded_as_well() -> None:
    """Data that adds up to more than the limit drops the event, however short its lines are."""
    events, problems = in_pieces([b"data\n" * 50 + b"\ndata: z\n\n"], max_line_bytes=10)
    assert events == [message("z")]
    assert [problem.kind for problem in problems] == ["event-too-long"]


def test_endless_line_takes_no_memory() -> None:
    """Bytes without an end of line are not kept beyond the limit."""
    parser = EventStreamParser(max_line_bytes=1000)
    for _ in range(1000):
        parser.feed(b"x" * 999)
    assert len(parser._line) <= 1000
    assert [problem.kind for problem in parser.problems] == ["line-too-long"]


def test_problems_are_bounded_and_say_so() -> None:
    """After a hundred problems one more says that there were others; none is added after it."""
    found = kinds(b"foo: bar\n" * (MAX_PROBLEMS + 50))
    assert found == ["unknown-field"] * MAX_PROBLEMS + ["more-problems"]
