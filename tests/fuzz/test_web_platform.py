"""The cases that browsers are tested with: web-platform-tests, folder eventsource, as data and in our words.

Left out is what is about connecting again, and about the object that a page holds; that is no matter of a parser.
"""

import pytest

from tests.fuzz import streams, whatwg
from touchstone.contract.event_stream import parse

LONG = b"x" * 2048
ELLIPSIS = "…".encode()


def message(data: str, last_id: str = "", retry: int | None = None) -> whatwg.Dispatched:
    return "message", data, last_id, retry


# By the name of the file: a stream, and of each event type, data, last event id and retry.
CASES: dict[str, tuple[bytes, list[whatwg.Dispatched]]] = {
    "format-bom": (streams.BOM + b"data:1\n\n" + streams.BOM + b"data:2\n\ndata:3\n\n", [message("1"), message("3")]),
    "format-comments": (
        b"data:1\r:\0\n:\r\ndata:2\n:" + LONG + b"\rdata:3\n:data:fail\r:" + LONG + b"\ndata:4\n\n",
        [message("1\n2\n3\n4")],
    ),
    "format-data-before-final-empty-line": (b"retry:9\ndata:a\n\nid:test\ndata:test2", [message("a", "", 9)]),
    "format-field-data": (b"data:\n\ndata\ndata\n\ndata:test\n\n", [message(""), message("\n"), message("test")]),
    "format-field-event": (b"event:test\ndata:x\n\ndata:x\n\n", [("test", "x", "", None), message("x")]),
    "format-field-id": (b"id:" + ELLIPSIS + b"\nretry:200\ndata:hello\n\n", [message("hello", "…", 200)]),
    "format-field-id-2": (
        b"id: 1\ndata: 1\n\ndata: 2\n\nid\ndata: 3\n\ndata: 4\n\n",
        [message("1", "1"), message("2", "1"), message("3"), message("4")],
    ),
    "format-field-id-null": (
        b"id:1\ndata:a\n\nid:2\0x\ndata:b\n\nid:\0\ndata:c\n\n",
        [message("a", "1"), message("b", "1"), message("c", "1")],
    ),
    "format-field-parsing": (
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdat_\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
        [message("\0\n 2\n1\n3\n\n4")],
    ),
    "format-field-retry": (b"retry:03000\ndata:x\n\n", [message("x", "", 3000)]),
    "format-field-retry-bogus": (b"retry:3000\nretry:1000x\ndata:x\n\n", [message("x", "", 3000)]),
    "format-leading-space": (b"data:\ttest\rdata: \ndata:test\n\n", [message("\ttest\n\ntest")]),
    "format-newlines": (b"data:test\r\ndata\ndata:test\r\n\r\n\n\r", [message("test\n\ntest")]),
    "format-null-character": (b"data:\0\n\n\n\n", [message("\0")]),
    "format-utf-8": (b"data:ok" + ELLIPSIS + b"\n\n", [message("ok…")]),
    "event-data": (
        b"data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n",
        [message("msg\nmsg"), message(""), message("end")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_stream_is_read_as_browsers_read_it(name: str) -> None:
    stream, expected = CASES[name]
    assert whatwg.read(stream) == expected
    assert list(parse(stream).events) == [data for _, data, _, _ in expected]
