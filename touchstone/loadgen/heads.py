"""Reads the heads of answers from bytes, whoever brings the bytes: each once for all times that it comes."""

import itertools
import re
from collections.abc import Iterable

import httptools

from touchstone.contract.quoting import quoted_line
from touchstone.facts.patience import http_date
from touchstone.target.answer import Framing, Head
from touchstone.target.bounds import (
    DEFAULT_BOUNDS,
    LEAST_KEPT_BYTES,
    MAX_STATUS_LINE_BYTES,
    STATUS_LINE_TOO_LONG,
    Bounds,
)

# A server under load sends the same few heads again and again, and other ones as soon as Date moves on.
_MAX_KNOWN = 4096
_NO_BODY = frozenset({204, 304})

_FOLD = re.compile(rb"\r?\n[ \t]+")
# The beginning of a line that folds nothing: what stands before it stays as it is, whatever comes.
_SETTLED = re.compile(rb"\n(?=[^ \t])")
_LENGTH = re.compile(rb"(?<=\n)content-length:[ \t]*([0-9]+)[ \t]*\r?\n", re.IGNORECASE)
_LENGTH_LIST = re.compile(
    rb"(\ncontent-length:[ \t]*([0-9]+))(?:[ \t]*,[ \t]*\2(?![0-9]))+(?=[ \t]*\r?\n)", re.IGNORECASE
)


class MalformedHead(ValueError):
    """The bytes are no head of an answer, or one that nobody can read on after."""


class HeadReader:
    """Reads heads. One that came before is looked up, which takes a fraction of a microsecond.

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
        """The head that *data* is, up to and with its blank line.

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
            # One that is long would not come twice, or would be held 4,096 times over.
            if len(data) <= LEAST_KEPT_BYTES:
                _make_room(known)
                known[data] = head
        return head

    def begin(self, data: bytes, before_bytes: int = 0) -> None:
        """Refuses bytes that no head begins with, so that nobody waits for the end of one.

        Args:
            before_bytes: Length of the interim heads that came before.

        Raises:
            MalformedHead: they are too many, or wrong already.
        """
        self.measure(before_bytes + len(data))
        _measure_line(data)
        _parse(_settled(data))

    def measure(self, size: int) -> None:
        """Refuses a head of so many bytes, interim ones included.

        Raises:
            MalformedHead: they are too many.
        """
        if size > self._bounds.max_head_bytes:
            raise MalformedHead(f"the head is longer than {self._bounds.told('max_head_bytes')}")

    def _parsed(self, data: bytes, *, bodiless: bool) -> Head:
        self.measure(len(data))
        _measure_line(data)
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
        looks = (seen.status, _undated(headers), framing, keep_alive)
        kind = self._kind(looks if len(data) <= LEAST_KEPT_BYTES else hash(looks))
        return Head(seen.status, headers, kind, framing, length, keep_alive, bool(seen.items("content-encoding")))

    def _kind(self, looks: object) -> int:
        number = self._kinds.get(looks)
        if number is None:
            _make_room(self._kinds)
            number = self._kinds[looks] = next(self._numbers)
        return number


def _measure_line(data: bytes) -> None:
    if len(data.partition(b"\n")[0]) > MAX_STATUS_LINE_BYTES:
        raise MalformedHead(STATUS_LINE_TOO_LONG)


def _settled(data: bytes) -> bytes:
    """What of the beginning of a head is the same in the whole of it: its last line may go on, or be folded."""
    ends = [found.end() for found in _SETTLED.finditer(data)]
    return data[: ends[-1]] if ends else data.partition(b"\n")[0].rstrip(b"\r")


def _counted_once(data: bytes) -> bytes:
    """A head without the lines that say its Content-Length again."""
    said: set[bytes] = set()

    def once(found: re.Match[bytes]) -> bytes:
        if found[1] in said:
            return b""
        said.add(found[1])
        return found[0]

    return _LENGTH.sub(once, data)


def head_bytes(data: bytes) -> int:
    """The length of the head that *data* begins with, its blank line included; 0 where it is not complete."""
    # Whatever comes first: a blank line may end in a line feed alone, and so may the line before it.
    end = data.find(b"\n\r\n")
    bare = data.find(b"\n\n", 0, None if end < 0 else end + 1)
    return bare + 2 if bare >= 0 else end + 3 if end >= 0 else 0


class _Seen:
    """What the parser saw in a head; it calls the methods that begin with ``on_``."""

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
        """The members of a header that holds a list, in small letters, over all lines that it was sent in."""
        lines = [value for key, value in self.headers if key.lower() == name]
        return [item.strip(" \t").lower() for item in ",".join(lines).split(",")] if lines else []


def _parse(data: bytes) -> _Seen:
    """What the parser sees in a head.

    It is told what check's client lets pass: RFC 9112 5.2 asks for a blank in the place of a folded line, RFC 9110 8.6
    lets one Content-Length count that was sent several times, and 5.5 lets control characters stay in a value.
    """
    if b"\0" in data:
        raise MalformedHead(f"the head holds NUL: {_first_line(data)}")
    data = _counted_once(_LENGTH_LIST.sub(rb"\1", _FOLD.sub(b" ", data)))
    seen = _Seen()
    parser = httptools.HttpResponseParser(seen)
    # RFC 9112 6.3: chunked overrides a Content-Length beside it. The parser would refuse the pair.
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_chunked_length=True, lenient_optional_cr_before_lf=True
    )
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        # It stops with one of the two after a head with status 101, which is complete and judged by whoever reads it.
        if not seen.complete:
            raise MalformedHead(f"{error}: {_first_line(data)}") from None
    seen.status, seen.version = parser.get_status_code(), parser.get_http_version()
    return seen


def _first_line(data: bytes) -> str:
    return quoted_line(data.partition(b"\r\n")[0])


def _decoded(value: bytes) -> str:
    """The text of a header's value, read as httpx reads it."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _framing(seen: _Seen, *, bodiless: bool) -> tuple[Framing, int]:
    """How the end of the body is told, and its length where that is how.

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
    """Whether another request may follow.

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
