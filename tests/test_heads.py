"""Heads mean what RFC 9112 says that they mean, equal ones are read once, and bodies end where their framing says."""

import httptools
import pytest

from touchstone.loadgen import framing, heads
from touchstone.loadgen.framing import Body, ChunkedBody, MalformedBody, body_of
from touchstone.loadgen.heads import HeadReader, MalformedHead, head_bytes
from touchstone.target.answer import Framing
from touchstone.target.bounds import DEFAULT_BOUNDS

OK = "HTTP/1.1 200 OK"


def lines(*fields: str) -> bytes:
    """A head of a status line and fields."""
    return "".join(f"{line}\r\n" for line in (*fields, "")).encode("latin-1")


@pytest.fixture
def reader() -> HeadReader:
    return HeadReader()


# --- heads -------------------------------------------------------------------------------------------------------


def test_head_keeps_names_and_trims_values(reader: HeadReader) -> None:
    """Names stay as they were sent, in order and as often as sent; blanks around a value go."""
    head = reader.read(lines(OK, "X-One:  a b \t", "x-one:", "Date: now", "Content-Length: 12"), "GET")
    assert head.status == 200
    assert head.headers == (("X-One", "a b"), ("x-one", ""), ("Date", "now"), ("Content-Length", "12"))


def test_values_are_read_as_utf8_or_else_as_latin1(reader: HeadReader) -> None:
    """A value is UTF-8 where it can be, and ISO 8859-1 otherwise."""
    data = b"HTTP/1.1 204 No\r\nA: \xc3\xa9\r\nB: \xe9\r\n\r\n"
    assert reader.read(data, "GET").headers == (("A", "é"), ("B", "é"))


@pytest.mark.parametrize(
    ("method", "head", "framing", "length"),
    [
        ("GET", (OK, "Content-Length: 12"), "length", 12),
        ("GET", (OK, "content-length:0"), "length", 0),
        ("GET", (OK, "Content-Length: 12, 12"), "length", 12),
        ("GET", (OK, "Content-Length: 12 ,12,\t12 ", "A: b"), "length", 12),
        ("GET", (OK,), "close", 0),
        ("GET", (OK, "Transfer-Encoding: chunked"), "chunked", 0),
        ("GET", (OK, "Transfer-Encoding: gzip, Chunked"), "chunked", 0),
        ("GET", (OK, "Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), "chunked", 0),
        ("GET", (OK, "Transfer-Encoding: chunked, gzip"), "close", 0),
        ("GET", (OK, "Transfer-Encoding: chunked", "Content-Length: 5"), "chunked", 0),
        ("GET", (OK, "Content-Length: 5", "Transfer-Encoding: chunked"), "chunked", 0),
        ("GET", (OK, "Content-Length: 5", "Transfer-Encoding: gzip"), "close", 0),
        ("HEAD", (OK, "Content-Length: 12"), "none", 0),
        ("HEAD", (OK, "Transfer-Encoding: chunked"), "none", 0),
        ("HEAD", (OK,), "none", 0),
        ("GET", ("HTTP/1.1 204 No Content", "Content-Length: 12"), "none", 0),
        ("GET", ("HTTP/1.1 304 Not Modified", "Content-Length: 12"), "none", 0),
        ("GET", ("HTTP/1.1 100 Continue",), "none", 0),
        ("GET", ("HTTP/1.1 103 Early Hints", "Content-Length: 3"), "none", 0),
    ],
)
def test_framing_follows_the_rules(
    reader: HeadReader, method: str, head: tuple[str, ...], framing: Framing, length: int
) -> None:
    """The end of the body is told as RFC 9112 6.3 says, in its order."""
    found = reader.read(lines(*head), method)
    assert (found.framing, found.length) == (framing, length)


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        ((OK, "Content-Length: 1"), True),
        ((OK, "Content-Length: 1", "Connection: keep-alive"), True),
        ((OK, "Content-Length: 1", "Connection: close"), False),
        ((OK, "Content-Length: 1", "Connection: Keep-Alive, Close"), False),
        ((OK, "Content-Length: 1", "Connection: x", "Connection: close"), False),
        ((OK, "Content-Length: 1", "Connection: closed"), True),
        ((OK, "Transfer-Encoding: chunked"), True),
        ((OK,), False),
        (("HTTP/1.1 204 No Content",), True),
        (("HTTP/1.0 200 OK", "Content-Length: 1"), False),
        (("HTTP/1.0 200 OK", "Content-Length: 1", "Connection: keep-alive"), True),
        (("HTTP/1.0 200 OK", "Connection: keep-alive"), False),
    ],
)
def test_connection_is_kept_as_the_parser_would(reader: HeadReader, head: tuple[str, ...], keep_alive: bool) -> None:
    """Version, Connection and framing decide whether a connection is kept, and the parser decides alike."""
    assert reader.read(lines(*head), "GET").keep_alive is keep_alive
    asked: list[bool] = []

    class Asks:
        def on_headers_complete(self) -> None:
            asked.append(parser.should_keep_alive())

    parser = httptools.HttpResponseParser(Asks())
    parser.feed_data(lines(*head))
    assert asked == [keep_alive]


@pytest.mark.parametrize(
    "head",
    [
        (OK, "Transfer-Encoding: chunked", "Content-Length: 5"),
        ("HTTP/1.0 200 OK", "Transfer-Encoding: chunked", "Connection: keep-alive"),
        ("HTTP/2.0 200 OK", "Content-Length: 5"),
        ("HTTP/0.9 200 OK", "Content-Length: 5", "Connection: keep-alive"),
    ],
)
def test_connection_after_a_doubtful_head_is_not_kept(reader: HeadReader, head: tuple[str, ...]) -> None:
    """After a head whose framing may be read in two ways no other request is sent on its connection."""
    assert reader.read(lines(*head), "GET").keep_alive is False


def test_answer_to_head_leaves_the_connection_open(reader: HeadReader) -> None:
    """An answer to HEAD has no body, so that its connection is kept though nothing tells a length."""
    assert reader.read(lines(OK), "HEAD").keep_alive is True
    assert reader.read(lines(OK), "GET").keep_alive is False


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "Expected HTTP/"),
        (b"\r\n\r\n", "ends within its fields"),
        (lines("HTTP/1.1 20 OK"), "Invalid status"),
        (lines("HTTP/1.1 2000 OK"), "Invalid response status"),
        (lines("HTTP/1.1 099 OK"), "the status is 99"),
        (lines("HTTP/3 200 OK"), "HTTP/3"),
        (lines(OK, "no colon"), "Invalid header token"),
        (lines(OK, "Name : value"), "Invalid header token"),
        (lines(OK, ": value"), "Invalid header token"),
        (lines(OK, "A: b\0"), "holds NUL"),
        (lines(OK, "Content-Length: 5", "Content-Length: 6"), "Duplicate Content-Length"),
        (lines(OK, "Content-Length: 5, 55"), "Invalid character in Content-Length"),
        (lines(OK, "Content-Length: 5, 5, 6"), "Invalid character in Content-Length"),
        (lines(OK, "Content-Length: 5, 6"), "Invalid character in Content-Length"),
        (lines(OK, "Content-Length: -5"), "Invalid character in Content-Length"),
        (lines(OK, "Content-Length:"), "Empty Content-Length"),
        (lines(OK, "Content-Length: 99999999999999999999"), "Content-Length overflow"),
        (lines("HTTP/1.1 101 Switching Protocols", "Upgrade: x", "Connection: upgrade"), "another protocol"),
        (lines("HTTP/1.1 101 Switching Protocols"), "another protocol"),
        (lines(OK, "A: " + "a" * DEFAULT_BOUNDS.max_head_bytes), "longer than max_head_bytes = 65536"),
    ],
)
def test_malformed_head_is_refused_with_a_reason(reader: HeadReader, data: bytes, reason: str) -> None:
    """What is no head, or one that nobody can read on after, is refused, and the reason is told."""
    with pytest.raises(MalformedHead, match=reason):
        reader.read(data, "GET")


def test_status_line_is_bounded(reader: HeadReader) -> None:
    """Where its end has not come as well; a check would take hundreds of bytes of memory for each of it."""
    longest = b"HTTP/1.1 200 ".ljust(7_999, b"y")
    assert reader.read(longest + b"\r\n\r\n", "GET").status == 200
    reader.begin(longest + b"y")
    with pytest.raises(MalformedHead, match="the status line is longer than 8000 bytes"):
        reader.read(longest + b"y\r\n\r\n", "GET")
    with pytest.raises(MalformedHead, match="the status line is longer than 8000 bytes"):
        reader.begin(longest + b"yy")


@pytest.mark.parametrize("data", [b"", b"H", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nA: b\r\n", lines("HTTP/1.1 100 C")])
def test_beginning_of_a_head_is_let_pass(reader: HeadReader, data: bytes) -> None:
    """What a head may begin with is not refused before its end has come."""
    reader.begin(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0", "Expected HTTP/"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * DEFAULT_BOUNDS.max_head_bytes, "longer than max_head_bytes = 65536"),
    ],
)
def test_beginning_of_no_head_is_refused(reader: HeadReader, data: bytes, reason: str) -> None:
    """Bytes that cannot become a head are refused before their end has come."""
    with pytest.raises(MalformedHead, match=reason):
        reader.begin(data)


def test_equal_bytes_are_one_head(reader: HeadReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that came before is not parsed again; the same bytes after HEAD are another one."""
    data = lines(OK, "Content-Length: 1")
    first, after_head = reader.read(data, "GET"), reader.read(data, "HEAD")
    monkeypatch.setattr(httptools, "HttpResponseParser", None)
    assert reader.read(bytes(bytearray(data)), "POST") is first
    assert reader.read(bytes(bytearray(data)), "HEAD") is after_head
    assert (first.framing, after_head.framing) == ("length", "none")


def test_heads_that_differ_in_date_only_are_of_one_kind(reader: HeadReader) -> None:
    """Kinds tell heads apart by status, fields and framing, never by their Date; two readers share no number."""
    dates = ("Thu, 26 Nov 2026 10:00:00 GMT", "Thu, 26 Nov 2026 10:00:01 GMT")
    alike = [lines(OK, f"dAte: {date}", "Content-Length: 1") for date in dates]
    others = [
        lines(OK, "Content-Length: 1", "Date-Of: Monday"),
        lines(OK, "Content-Length: 2"),
        lines("HTTP/1.1 202 OK", "Content-Length: 1"),
        lines("HTTP/1.0 200 OK", "Content-Length: 1"),
    ]
    assert len({reader.read(data, "GET").kind for data in alike}) == 1
    kinds = {reader.read(data, "GET").kind for data in (*alike, *others)} | {reader.read(alike[0], "HEAD").kind}
    assert len(kinds) == 6
    assert HeadReader().read(alike[0], "GET").kind not in kinds


def test_date_that_is_none_makes_another_kind(reader: HeadReader) -> None:
    """What stands in the place of a date and is none tells heads apart: it may be what nobody should send."""
    dates = ("Thu, 26 Nov 2026 10:00:00 GMT", "Thu, 26 Nov 2026 10:00:01 GMT", "sk_live_test_primary", "yesterday")
    kinds = [reader.read(lines(OK, "Content-Length: 2", f"Date: {date}"), "GET").kind for date in dates]
    assert (kinds[0] == kinds[1], len(set(kinds))) == (True, 3)


def test_memory_of_heads_is_bounded(reader: HeadReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is forgotten when it becomes too much, and numbers of kinds do not come twice."""
    monkeypatch.setattr(heads, "_MAX_KNOWN", 3)
    kinds = [reader.read(lines(OK, f"X-Request-ID: {number}"), "GET").kind for number in range(10)]
    assert len(set(kinds)) == 10
    assert max(len(reader._known), len(reader._kinds)) <= 3


# --- bodies ------------------------------------------------------------------------------------------------------


def fed(body: Body, *pieces: bytes) -> bytes:
    """What a body makes of pieces; what comes behind its end is added to its rest."""
    content = b""
    for at, piece in enumerate(pieces):
        content += body.feed(piece)
        if body.done:
            body.rest += b"".join(pieces[at + 1 :])
            break
    return content


CHUNKED = b"5;name=value\r\nhello\r\n00A \t\r\n, chunked\r\r\n1\r\n!\r\n0;last\r\nX-Sum: 1\r\nEmpty:\r\n\r\n"
CONTENT = b"hello, chunked\r!"


def test_example_of_chunks_is_well_made() -> None:
    """The parser that is kept up elsewhere reads the example of these tests in the same way."""
    read: list[bytes] = []

    class Reads:
        def on_body(self, data: bytes) -> None:
            read.append(data)

    parser = httptools.HttpResponseParser(Reads())
    parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
    parser.feed_data(lines(OK, "Transfer-Encoding: chunked") + CHUNKED.replace(b"\t", b" "))
    assert b"".join(read) == CONTENT


@pytest.mark.parametrize("rest", [b"", b"\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_chunks_are_joined_wherever_they_are_cut(rest: bytes) -> None:
    """The content is the same whatever pieces it comes in, and what comes behind its end is left over."""
    data = CHUNKED + rest
    for cut in range(len(data) + 1):
        body = ChunkedBody()
        assert fed(body, data[:cut], data[cut:]) == CONTENT
        assert (body.done, body.rest) == (True, rest)
    body = ChunkedBody()
    assert fed(body, *(data[at : at + 1] for at in range(len(data)))) == CONTENT
    assert (body.done, body.rest) == (True, rest)


def test_content_of_a_chunk_is_given_before_its_end() -> None:
    """What has come of a chunk is given at once; a stream is read while it goes on."""
    body = ChunkedBody()
    assert [body.feed(piece) for piece in (b"A\r\nab", b"cd", b"efghij", b"\r", b"\n2")] == [
        *(b"ab", b"cd", b"efghij"),
        *(b"", b""),
    ]
    assert not body.done


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x\r\n", "size of a chunk is b'x'"),
        (b"x", "size of a chunk is b'x'"),
        (b"\r\n", "size of a chunk is b''"),
        (b"-1\r\n", "size of a chunk is b'-1'"),
        (b"+1\r\n", "size of a chunk"),
        (b"0x1\r\n", "size of a chunk"),
        (b" 1\r\n", "size of a chunk"),
        (b"1_0\r\n", "size of a chunk"),
        (b"1\n", "size of a chunk"),
        (b"1 1\r\n", "size of a chunk"),
        (b"1;a\0b\r\n", "size of a chunk"),
        (b"1;a\nb\r\n", "size of a chunk"),
        (b"1" * 17, "size of a chunk"),
        (b"1;" + b"a" * framing.MAX_CHUNK_LINE_BYTES, "size of a chunk"),
        (b"1\r\nab", "goes on with b'b'"),
        (b"1\r\nab\r\n", "goes on with b'b'"),
        (b"1\r\na\n", "goes on with"),
        (b"0\r\nno field\r\n\r\n", "the trailer has the line b'no field'"),
        (b"0\r\nA b: c\r\n\r\n", "the trailer has the line"),
        (b"0\r\nA: b\0\r\n\r\n", "the trailer has the line"),
        (b"0\r\nA: " + b"a" * framing.MAX_TRAILER_BYTES, "the trailer is longer"),
        (b"0\r\n" + b"A: b\r\n" * framing.MAX_TRAILER_BYTES, "the trailer is longer"),
    ],
)
def test_broken_chunks_are_refused(data: bytes, reason: str) -> None:
    """A size that is none, a chunk that is longer than its size and a bad trailer are errors as soon as they show."""
    with pytest.raises(MalformedBody, match=reason):
        ChunkedBody().feed(data)


@pytest.mark.parametrize(
    "data", [b"sk_live_mine\r\n", b"1\r\nask_live_mine\r\n", b"0\r\nsk_live_mine \r\n\r\n", b"z" * 50 + b"\r\n"]
)
def test_what_may_hold_a_key_is_not_repeated(data: bytes) -> None:
    """A key that stands where a chunk should be is not shown, nor part of a longer line."""
    with pytest.raises(MalformedBody) as caught:
        ChunkedBody().feed(data)
    assert "sk_" not in str(caught.value)
    assert "zz" not in str(caught.value)


def test_broken_chunks_are_refused_in_single_bytes() -> None:
    """A byte that no chunk can have there is refused when it comes."""
    body = ChunkedBody()
    assert fed(body, b"1", b"\r", b"\n", b"a", b"\r") == b"a"
    with pytest.raises(MalformedBody, match="goes on with"):
        body.feed(b"b")


def test_body_with_a_length_ends_with_it() -> None:
    """A body with a length takes so many bytes and leaves the others."""
    body = body_of(HeadReader().read(lines(OK, "Content-Length: 5"), "GET"))
    assert [body.feed(b"abc"), body.done, body.rest] == [b"abc", False, b""]
    assert [body.feed(b"defg"), body.done, body.rest] == [b"de", True, b"fg"]
    body.end()


def test_answer_without_a_body_is_done_at_once() -> None:
    """Where no body follows, all that comes is left over."""
    body = body_of(HeadReader().read(lines("HTTP/1.1 204 No Content"), "GET"))
    assert [body.done, body.feed(b"x"), body.done, body.rest] == [True, b"", True, b"x"]


def test_endless_body_ends_with_its_connection() -> None:
    """Without any framing the body is what comes until the server closes."""
    body = body_of(HeadReader().read(lines(OK), "GET"))
    assert [body.feed(b"a"), body.feed(b"b"), body.done] == [b"a", b"b", False]
    body.end()
    assert body.done


@pytest.mark.parametrize(
    ("field", "came", "reason"),
    [
        ("Content-Length: 5", b"abc", "after 3 of 5 bytes"),
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\n", "before the last chunk"),
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n", "before the last chunk"),
    ],
)
def test_body_that_is_cut_short_is_no_body(field: str, came: bytes, reason: str) -> None:
    """A connection that ends before the body does is an error."""
    body = body_of(HeadReader().read(lines(OK, field), "GET"))
    body.feed(came)
    with pytest.raises(MalformedBody, match=reason):
        body.end()


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\n\r\n", b"\r\n\n"])
def test_head_ends_with_its_first_blank_line(end: bytes) -> None:
    """Whatever line ends it has, and whatever blank lines of the body follow it."""
    head = b"HTTP/1.1 200 OK\r\nA: b" + end
    assert head_bytes(head[:-1]) == 0
    for body in (b"", b"x\r\n\r\n", b"x\n\n", b"\r\n\r\n"):
        assert head_bytes(head + body) == len(head)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: gzip, chunked",
        b"Content-Length: 5\r\nA: b\r\ncontent-length: 5\r\nContent-Length:5 ",
        b"Content-Length: 5, 5\r\nContent-Length: 5",
        b"Content-Length:\r\n 5\r\nA: b\r\n  c",
        b"Content-Length: 5\nContent-Length: 5",
    ],
)
def test_head_is_begun_wherever_it_is_cut(fields: bytes) -> None:
    """What is fine as a whole is refused nowhere on the way to it."""
    head = b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n"
    reader = HeadReader()
    assert reader.read(head, "GET").status == 200
    for cut in range(1, len(head)):
        reader.begin(head[:cut])
