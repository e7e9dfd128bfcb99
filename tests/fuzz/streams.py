"""The event-stream parser: against the standard read literally and against httpx-sse."""

import re
from collections.abc import Sequence

import httpx
from httpx_sse import EventSource

from tests.fuzz import whatwg
from tests.fuzz.target import Target
from touchstone.contract.event_stream import MAX_PROBLEMS, parse

BOM = b"\xef\xbb\xbf"


def by_httpx_sse(stream: bytes) -> list[str]:
    """What httpx-sse reads, as far as it follows the standard: no byte order mark, no event without data."""
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, content=stream)
    return [event.data for event in EventSource(response).iter_sse() if event.data]


def check(stream: bytes) -> None:
    """Reads a stream with this and with other readers."""
    read = parse(stream)
    assert list(read.events) == [data for _, data, _, _ in whatwg.read(stream)]
    if not stream.startswith(BOM):
        assert list(filter(None, read.events)) == by_httpx_sse(stream)
    assert len(read.problems) <= MAX_PROBLEMS + 1
    lines = len(re.split(rb"\r\n?|\n", stream))
    for problem in read.problems:
        assert str(problem).isprintable(), problem
        assert 1 <= problem.line <= lines


def seeds() -> Sequence[bytes]:
    return (
        b"data: a\n\n",
        BOM + b": hi\r\nevent: add\rid: 1\nretry: 1500\ndata: a\r\ndata:b\r\r",
        b'data: {"ts":"2026-03-14T09:00:02Z","level":"info","phase":"boot","line":"x"}\n\n' * 3,
        "id: 7\0\nevent\ndata\n\nretry: ١\nfoo: bar\n{}\ndata: €\x85\u2028\n\ndata: \n".encode(),
        b"data: \xff\xe2\x82\n\n" + b"x" * 90 + b"\n:" + b"y" * 20 + b"\n\nid: 3\n\n",
    )


TARGETS = (Target("eventstream", check, seeds, most_bytes=1024),)
