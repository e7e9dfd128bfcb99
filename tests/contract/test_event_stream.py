"""Event streams are read as the WHATWG HTML standard, section 9.2, says; oddities are reported."""

import pytest

from touchstone.contract.event_stream import MAX_PROBLEMS, FramingProblem, parse

# Events that the standard's algorithm dispatches, and the kinds of oddities that receivers ignore.
STREAMS: dict[str, tuple[bytes, list[str], list[str]]] = {
    "nothing": (b"", [], []),
    "one event": (b"data: a\n\n", ["a"], []),
    "only one space is dropped": (b"data:  a\n\n", [" a"], []),
    "colons in the value": (b"data: a:b: c\n\n", ["a:b: c"], []),
    "data lines are joined": (b"data: a\ndata: b\n\n", ["a\nb"], []),
    "no colon": (b"data\n\ndata\ndata\n\ndata:", ["", "\n"], ["unterminated-event"]),
    "CR ends lines": (b"data: a\r\rdata: b\r\r", ["a", "b"], []),
    "ends of line are mixed": (b"data: a\rdata: b\r\ndata: c\n\r", ["a\nb\nc"], []),
    "other separators": ("data: a\x0b\x0c\x85\u2028b\n\n".encode(), ["a\x0b\x0c\x85\u2028b"], []),
    "one BOM is dropped": (b"\xef\xbb\xbfdata: a\n\n", ["a"], []),
    "a second BOM is not": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", [], ["stray-line"]),
    "a later BOM is not": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", ["a"], ["stray-line"]),
    "only a BOM": (b"\xef\xbb\xbf", [], []),
    "comments": (b": hello\n:\ndata: a\n: there\n\n", ["a"], []),
    "type": (b"event: add\ndata: a\n\ndata: b\n\n", ["a", "b"], []),
    "id": (b"id: 1\ndata: a\n\ndata: b\n\n", ["a", "b"], []),
    "id with NUL": (b"id: 1\nid: 2\0\ndata: a\n\n", ["a"], ["invalid-id"]),
    "retry": (b"retry: 1500\ndata: a\n\ndata: b\n\n", ["a", "b"], []),
    "retry with a sign": (b"retry: +1\ndata: a\n\n", ["a"], ["invalid-retry"]),
    "retry in other digits": ("retry: ١\ndata: a\n\n".encode(), ["a"], ["invalid-retry"]),
    "endless retry": (b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", ["a"], ["invalid-retry"]),
    "names have a case": (b"Data: a\nDATA: b\n\n", [], ["unknown-field", "unknown-field"]),
    "unknown fields": (b"foo: bar\ndata: a\nbaz\n\n", ["a"], ["unknown-field", "stray-line"]),
    "bad UTF-8": (b"data: a\xff\xe2\x82b\n\n", ["a\ufffd\ufffdb"], ["invalid-utf8"]),
    "UTF-8 cut by the end of line": (b"data: \xe2\x82\ndata: b\n\n", ["\ufffd\nb"], ["invalid-utf8"]),
    "a replacement character as such": ("data: \ufffd\n\n".encode(), ["\ufffd"], []),
    "no blank line at the end": (b"data: a\n\ndata: b\n", ["a"], ["unterminated-event"]),
    "cut in a comment": (b"data: x\n\n: ping", ["x"], []),
}


@pytest.mark.parametrize(("body", "events", "oddities"), STREAMS.values(), ids=STREAMS)
def test_stream_yields_the_events_of_the_standard(body: bytes, events: list[str], oddities: list[str]) -> None:
    whole = parse(body)
    assert list(whole.events) == events
    assert [problem.kind for problem in whole.problems] == oddities


def test_problem_has_its_line_and_the_beginning_of_it() -> None:
    problems = parse(b"data: a\r\n\r\nfoo: " + b"x" * 500 + b"\n").problems
    assert problems[0] == FramingProblem("unknown-field", 3, repr(b"foo: " + b"x" * 55))


def test_number_of_problems_is_bounded() -> None:
    found = [problem.kind for problem in parse(b"foo: bar\n" * (MAX_PROBLEMS + 50)).problems]
    assert found == ["unknown-field"] * MAX_PROBLEMS + ["more-problems"]
