"""
Reads answers from bytes, whoever brings the bytes: a head once for all times that it comes, a body piece by piece.
"""

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Protocol

import httptools

from touchstone.answer import Framing, Head
from touchstone.bounds import DEFAULT_BOUNDS, Bounds
from touchstone.patience import http_date

# What ends a head.
BLANK_LINE = b"\r\n\r\n"

# RFC 9112 2.2: a line feed alone may be taken for the end of a line.
_BARE_BLANK_LINE = re.compile(rb"\n\r?\n")

# A trailer that is longer never ends.
MAX_TRAILER_BYTES = 64 * 1024
# The line before a chunk: at most 16 digits, and extensions that nobody has been seen to send.
MAX_CHUNK_LINE_BYTES = 4096

# A server under load sends the same few heads again and again, and other ones as soon as Date moves on.
_MAX_KNOWN = 4096
_NO_BODY = frozenset({204, 304})

_TEXT = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
# RFC 9112 7.1; blanks behind the size are no part of it, but servers pad theirs and httpx lets them.
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;" + _TEXT + rb")?")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:" + _TEXT)


class MalformedHead(ValueError):
    """
    The bytes are no head of an answer, or one that nobody can read on after.
    """


class MalformedBody(ValueError):
    """
    The body does not keep to its framing.
    """


class HeadReader:
    """
    Reads heads. One that came before is looked up, which takes a fraction of a microsecond.

    Args:
        bounds: How long a head may be, with all interim ones before it, and how many lines it may have.
    """

    # Two readers of a process number their kinds together, so that a number means one thing.
    _numbers = itertools.count()

    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self._bounds = bounds
        self._known: dict[bytes, Head] = {}
        self._known_bodiless: dict[bytes, Head] = {}
        self._kinds: dict[object, int] = {}

    def read(self, data: bytes, method: str) -> Head:
        """
        The head that *data* is, up to and with its blank line.

        A status from 100 to 199 announces another head; whoever reads skips it.

        Args:
            method: What was asked with: the answer to HEAD has no body.

        Raises:
            MalformedHead: it is none; the message has the parser's reason.
        """
        known = self._known_bodiless if method == "HEAD" else self._known
        head = known.get(data)
        if head is None:
            head = self._parsed(data, bodiless=method == "HEAD")
            _make_room(known)
            known[data] = head
        return head

    def begin(self, data: bytes, before_bytes: int = 0) -> None:
        """
        Refuses bytes that no head begins with, so that nobody waits for the end of one.

        Args:
            before_bytes: Length of the interim heads that came before.

        Raises:
            MalformedHead: they are too many, or wrong already.
        """
        self.measure(before_bytes + len(data))
        _parse(data)

    def measure(self, size: int) -> None:
        """
        Refuses a head of so many bytes, interim ones included.

        Raises:
            MalformedHead: they are too many.
        """
        if size > self._bounds.max_head_bytes:
            raise MalformedHead(f"the head is longer than {self._bounds.told('max_head_bytes')}")

    def _parsed(self, data: bytes, *, bodiless: bool) -> Head:
        self.measure(len(data))
        seen = _parse(data)
        if not seen.complete:
            raise MalformedHead(f"the head ends within its fields: {_first_line(data)}")
        if seen.status < 100:
            raise MalformedHead(f"the status is {seen.status}, expected one from 100: {_first_line(data)}")
        if seen.status == 101:
            raise MalformedHead("the server switched to another protocol, and nobody had asked it to")
        headers = tuple(seen.headers)
        if len(headers) > self._bounds.max_headers:
            raise MalformedHead(f"the head has {len(headers)} lines, and {self._bounds.told('max_headers')}")
        framing, length = _framing(seen, bodiless=bodiless)
        keep_alive = _keeps_alive(seen, framing)
        kind = self._kind((seen.status, _undated(headers), framing, keep_alive))
        return Head(seen.status, headers, kind, framing, length, keep_alive, bool(seen.items("content-encoding")))

    def _kind(self, looks: object) -> int:
        number = self._kinds.get(looks)
        if number is None:
            _make_room(self._kinds)
            number = self._kinds[looks] = next(self._numbers)
        return number


def head_bytes(data: bytes) -> int:
    """
    The length of the head that *data* begins with, blank line included; 0 where that has not come.
    """
    end = data.find(BLANK_LINE)
    if end >= 0:
        return end + len(BLANK_LINE)
    bare = _BARE_BLANK_LINE.search(data)
    return bare.end() if bare else 0


class _Seen:
    """
    What the parser saw in a head; it calls the methods that begin with ``on_``.
    """

    def __init__(self) -> None:
        self.status = 0
        self.version = ""
        self.headers: list[tuple[str, str]] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("ascii"), _decoded(value.strip(b" \t"))))

    def on_headers_complete(self) -> None:
        self.complete = True

    def items(self, name: str) -> list[str]:
        """
        The members of a header that holds a list, in small letters, over all lines that it was sent in.
        """
        lines = [value for key, value in self.headers if key.lower() == name]
        return [item.strip(" \t").lower() for item in ",".join(lines).split(",")] if lines else []


def _parse(data: bytes) -> _Seen:
    seen = _Seen()
    parser = httptools.HttpResponseParser(seen)
    # RFC 9112 6.3: chunked overrides a Content-Length beside it. The parser would refuse the pair.
    parser.set_dangerous_leniencies(lenient_chunked_length=True, lenient_optional_cr_before_lf=True)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        # It stops with one of the two after a head with status 101, which is complete and judged by whoever reads it.
        if not seen.complete:
            raise MalformedHead(f"{error}: {_first_line(data)}") from None
    seen.status, seen.version = parser.get_status_code(), parser.get_http_version()
    return seen


def _first_line(data: bytes) -> str:
    return repr(data.partition(b"\r\n")[0][:60])


def _decoded(value: bytes) -> str:
    """
    The text of a header's value, read as httpx reads it.
    """
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _framing(seen: _Seen, *, bodiless: bool) -> tuple[Framing, int]:
    """
    How the end of the body is told, and its length where that is how.

    Source: RFC 9112 6.3; the parser has refused a Content-Length that is no number or comes twice, as 9110 8.6 lets it.
    """
    if bodiless or seen.status < 200 or seen.status in _NO_BODY:
        return "none", 0
    codings = seen.items("transfer-encoding")
    if codings:
        return ("chunked" if codings[-1] == "chunked" else "close"), 0
    lengths = seen.items("content-length")
    return ("length", int(lengths[0])) if lengths else ("close", 0)


def _keeps_alive(seen: _Seen, framing: Framing) -> bool:
    """
    Whether another request may follow.

    Source: RFC 9112 9.3, and 6.1 for heads with both framings or with one that their version does not know.
    """
    options = seen.items("connection")
    doubtful = seen.items("transfer-encoding") and (seen.version != "1.1" or seen.items("content-length"))
    if framing == "close" or "close" in options or doubtful:
        return False
    return seen.version == "1.1" or (seen.version == "1.0" and "keep-alive" in options)


def _undated(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    # Anything else than a date in the place of one may be worth looking at each time.
    return tuple((name, value) for name, value in headers if name.lower() != "date" or http_date(value) is None)


def _make_room(known: dict[bytes, Head] | dict[object, int]) -> None:
    if len(known) >= _MAX_KNOWN:
        known.clear()


class Body(Protocol):
    """
    A body that is read piece by piece.

    Attributes:
        done: Whether it is complete.
        rest: What came behind its end, once it is done.
    """

    done: bool
    rest: bytes

    def feed(self, data: bytes) -> bytes:
        """
        Takes what arrived and gives what of it is content.

        Raises:
            MalformedBody: the framing is broken.
        """

    def end(self) -> None:
        """
        Takes note that the server closed.

        Raises:
            MalformedBody: it was too early.
        """


class CountedBody:
    """
    A body of so many bytes; see `Body`.
    """

    def __init__(self, length: int) -> None:
        self.done = length == 0
        self.rest = b""
        self._length = length
        self._left = length

    def feed(self, data: bytes) -> bytes:
        """
        Takes what arrived and gives what of it is content.
        """
        content = data[: self._left]
        self._left -= len(content)
        self.done = not self._left
        self.rest = data[len(content) :]
        return content

    def end(self) -> None:
        """
        Takes note that the server closed.

        Raises:
            MalformedBody: bytes are missing.
        """
        if self._left:
            came = self._length - self._left
            raise MalformedBody(f"the server closed after {came} of {self._length} bytes of the body")


class EndlessBody:
    """
    A body that lasts until the server closes; see `Body`.
    """

    def __init__(self) -> None:
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """
        Takes what arrived, all of which is content.
        """
        return data

    def end(self) -> None:
        """
        Takes note that the server closed: the body is complete.
        """
        self.done = True


class ChunkedBody:
    """
    A body in chunked coding; see `Body`. Extensions and trailers are read over.

    Source: RFC 9112 7.1.
    """

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self._held = b""
        self._left = 0
        self._trailer_bytes = 0
        self._take: Callable[[bytes], None] = self._size

    def feed(self, data: bytes) -> bytes:
        """
        Takes what arrived and gives what of it is content.

        Raises:
            MalformedBody: a size, the end of a chunk or a trailer is wrong, or too long.
        """
        data, at, pieces = self._held + data, 0, []
        while not self.done:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
            end = data.find(b"\r\n", at)
            if self._left or end < 0:
                break
            self._take(data[at:end])
            at = end + 2
        if self.done:
            self._held, self.rest = b"", data[at:]
        else:
            self._held = data[at:]
            self._foresee(self._held.removesuffix(b"\r"))
        return b"".join(pieces)

    def end(self) -> None:
        """
        Takes note that the server closed.

        Raises:
            MalformedBody: the last chunk had not come.
        """
        if not self.done:
            raise MalformedBody("the server closed before the last chunk of the body")

    def _size(self, line: bytes) -> None:
        match = _CHUNK.fullmatch(line)
        if match is None or len(line) > MAX_CHUNK_LINE_BYTES:
            raise MalformedBody(f"the size of a chunk is {line[:40]!r}, expected hexadecimal digits")
        self._left = int(match[1], 16)
        self._take = self._data_end if self._left else self._trailer

    def _data_end(self, line: bytes) -> None:
        if line:
            raise MalformedBody(f"a chunk goes on with {line[:40]!r} where its size says that it ends")
        self._take = self._size

    def _trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise MalformedBody(f"the trailer is longer than {MAX_TRAILER_BYTES} bytes")
        if line and not _FIELD.fullmatch(line):
            raise MalformedBody(f"the trailer has the line {line[:40]!r}, expected a header field")
        self.done = not line

    def _foresee(self, begun: bytes) -> None:
        """
        Refuses a line that has only begun where nothing can make it a good one, so that nobody waits for its end.
        """
        if begun and self._take == self._size:
            self._size(begun)
            self._left, self._take = 0, self._size
        elif begun and self._take == self._data_end and not self._left:
            self._data_end(begun)
        elif len(begun) > MAX_TRAILER_BYTES:
            raise MalformedBody(f"the trailer is longer than {MAX_TRAILER_BYTES} bytes")


def body_of(head: Head) -> Body:
    """
    The reader for the body that follows *head*.
    """
    match head.framing:
        case "chunked":
            return ChunkedBody()
        case "close":
            return EndlessBody()
    return CountedBody(head.length)
