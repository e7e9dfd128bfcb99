"""The cases that browsers are tested with: web-platform-tests, folder eventsource, as data and in our words.

Left out is what is about connecting again, and about the object that a page holds; that is no matter of a parser.
"""

import pytest

from tests.fuzz import streams, whatwg
from touchstone.contract.document import Contract
from touchstone.contract.event_stream import EventStreamParser, parse

LONG = b"x" * 2048
ELLIPSIS = "…".encode()

# By the name of the file: a stream, and of each event type, data, last event id and retry.
CASES: dict[str, tuple[bytes, list[whatwg.Told]]] = {
    "format-bom": (
        streams.BOM + b"data:1\n\n" + streams.BOM + b"data:2\n\ndata:3\n\n",
        [("message", "1", "", None), ("message", "3", "", None)],
    ),
    "format-bom-2": (
        streams.BOM * 2 + b"data:1\n\ndata:2\n\ndata:3\n\n",
        [("message", "2", "", None), ("message", "3", "", None)],
    ),
    "format-comments": (
        b"data:1\r:\0\n:\r\ndata:2\n:" + LONG + b"\rdata:3\n:data:fail\r:" + LONG + b"\ndata:4\n\n",
        [("message", "1\n2\n3\n4", "", None)],
    ),
    "format-data-before-final-empty-line": (
        b"retry:1000\ndata:test1\n\nid:test\ndata:test2",
        [("message", "test1", "", 1000)],
    ),
    "format-field-data": (
        b"data:\n\ndata\ndata\n\ndata:test\n\n",
        [("message", "", "", None), ("message", "\n", "", None), ("message", "test", "", None)],
    ),
    "format-field-event": (
        b"event:test\ndata:x\n\ndata:x\n\n",
        [("test", "x", "", None), ("message", "x", "", None)],
    ),
    "format-field-event-empty": (b"event: \ndata:data\n\n", [("message", "data", "", None)]),
    "format-field-id": (
        b"id:" + ELLIPSIS + b"\nretry:200\ndata:hello\n\n",
        [("message", "hello", "…", 200)],
    ),
    "format-field-id-2": (
        b"id: 1\ndata: 1\n\ndata: 2\n\nid\ndata: 3\n\ndata: 4\n\n",
        [
            ("message", "1", "1", None),
            ("message", "2", "1", None),
            ("message", "3", "", None),
            ("message", "4", "", None),
        ],
    ),
    "format-field-id-null": (
        b"id:1\ndata:a\n\nid:2\0x\ndata:b\n\nid:\0\ndata:c\n\n",
        [("message", "a", "1", None), ("message", "b", "1", None), ("message", "c", "1", None)],
    ),
    "format-field-parsing": (
        (
            b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\n"
            b"data:4\n\n"
        ),
        [("message", "\0\n 2\n1\n3\n\n4", "", None)],
    ),
    "format-field-retry": (b"retry:03000\ndata:x\n\n", [("message", "x", "", 3000)]),
    "format-field-retry-bogus": (b"retry:3000\nretry:1000x\ndata:x\n\n", [("message", "x", "", 3000)]),
    "format-field-retry-empty": (b"retry\ndata:test\n\n", [("message", "test", "", None)]),
    "format-field-unknown": (
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        [("message", "test\n\ntest", "", None)],
    ),
    "format-leading-space": (b"data:\ttest\rdata: \ndata:test\n\n", [("message", "\ttest\n\ntest", "", None)]),
    "format-newlines": (b"data:test\r\ndata\ndata:test\r\n\r\n\n\r", [("message", "test\n\ntest", "", None)]),
    "format-null-character": (b"data:\0\n\n\n\n", [("message", "\0", "", None)]),
    "format-utf-8": (b"data:ok" + ELLIPSIS + b"\n\n", [("message", "ok…", "", None)]),
    "event-data": (
        b"data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n",
        [("message", "msg\nmsg", "", None), ("message", "", "", None), ("message", "end", "", None)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_stream_is_read_as_browsers_are_asked_to(name: str) -> None:
    """Our parser, and the reference that it is compared with, pass what browsers are tested with, however it is cut."""
    stream, expected = CASES[name]
    assert whatwg.read(stream) == expected
    assert streams.told(parse(stream).events) == expected
    parser = EventStreamParser()
    assert streams.told(event for byte in stream for event in parser.feed(bytes([byte]))) == expected


@pytest.mark.parametrize(
    ("kind", "is_stream"),
    [
        ("text/event-stream", True),
        ("text/event-stream;", True),
        ("Text/Event-Stream; charset=UTF-8", True),
        ("text/event-stream;charset=windows-1252", True),
        ("text/event-stream ;x", True),
        ("text/event-streamx", False),
        ("x text/event-stream", False),
        ("text/html", False),
    ],
)
def test_media_type_decides_whether_it_is_a_stream(kind: str, is_stream: bool) -> None:
    """As in format-mime-*: parameters and case make no difference, and a stream is UTF-8 whatever its charset says."""
    wrong = b"data: no JSON\n\n"
    assert bool(Contract.load().problems("streamBuildEvents", 200, kind, wrong)) == is_stream
