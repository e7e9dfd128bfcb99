"""Reads the body of an answer piece by piece, whoever brings the bytes."""

import re
from collections.abc import Callable
from typing import Protocol

from touchstone.contract.quoting import quoted_line
from touchstone.target.answer import Head

# A trailer that is longer never ends.
MAX_TRAILER_BYTES = 64 * 1024
# The line before a chunk: at most 16 digits, and extensions that nobody has been seen to send.
MAX_CHUNK_LINE_BYTES = 4096

_TEXT = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
# RFC 9112 7.1; blanks behind the size are no part of it, but servers pad theirs and httpx lets them.
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;" + _TEXT + rb")?")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:" + _TEXT)


class MalformedBody(ValueError):
    """The body does not keep to its framing."""


class Body(Protocol):
    """A body that is read piece by piece.

    Attributes:
        done: Whether it is complete.
        rest: What came behind its end, once it is done.
    """

    done: bool
    rest: bytes

    def feed(self, data: bytes) -> bytes:
        """Takes what arrived and gives what of it is content.

        Raises:
            MalformedBody: the framing is broken.
        """

    def end(self) -> None:
        """Takes note that the server closed.

        Raises:
            MalformedBody: it was too early.
        """


class CountedBody:
    """A body of so many bytes; see `Body`."""

    def __init__(self, length: int) -> None:
        self.done = length == 0
        self.rest = b""
        self._length = length
        self._left = length

    def feed(self, data: bytes) -> bytes:
        """Takes what arrived and gives what of it is content."""
        content = data[: self._left]
        self._left -= len(content)
        self.done = not self._left
        self.rest = data[len(content) :]
        return content

    def end(self) -> None:
        """Takes note that the server closed.

        Raises:
            MalformedBody: bytes are missing.
        """
        if self._left:
            came = self._length - self._left
            raise MalformedBody(f"the server closed after {came} of {self._length} bytes of the body")


class EndlessBody:
    """A body that lasts until the server closes; see `Body`."""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Takes what arrived, all of which is content."""
        return data

    def end(self) -> None:
        """Takes note that the server closed: the body is complete."""
        self.done = True


class ChunkedBody:
    """A body in chunked coding; see `Body`. Extensions and trailers are read over.

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
        """Takes what arrived and gives what of it is content.

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
        """Takes note that the server closed.

        Raises:
            MalformedBody: the last chunk had not come.
        """
        if not self.done:
            raise MalformedBody("the server closed before the last chunk of the body")

    def _size(self, line: bytes) -> None:
        match = _CHUNK.fullmatch(line)
        if match is None or len(line) > MAX_CHUNK_LINE_BYTES:
            raise MalformedBody(f"the size of a chunk is {quoted_line(line)}, expected hexadecimal digits")
        self._left = int(match[1], 16)
        self._take = self._data_end if self._left else self._trailer

    def _data_end(self, line: bytes) -> None:
        if line:
            raise MalformedBody(f"a chunk goes on with {quoted_line(line)} where its size says that it ends")
        self._take = self._size

    def _trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise MalformedBody(f"the trailer is longer than {MAX_TRAILER_BYTES} bytes")
        if line and not _FIELD.fullmatch(line):
            raise MalformedBody(f"the trailer has the line {quoted_line(line)}, expected a header field")
        self.done = not line

    def _foresee(self, begun: bytes) -> None:
        """Refuses a line that has only begun where nothing can make it a good one, so that nobody waits for its end."""
        if begun and self._take == self._size:
            self._size(begun)
            self._left, self._take = 0, self._size
        elif begun and self._take == self._data_end and not self._left:
            self._data_end(begun)
        elif len(begun) > MAX_TRAILER_BYTES:
            raise MalformedBody(f"the trailer is longer than {MAX_TRAILER_BYTES} bytes")


def body_of(head: Head) -> Body:
    """The reader for the body that follows *head*."""
    match head.framing:
        case "chunked":
            return ChunkedBody()
        case "close":
            return EndlessBody()
    return CountedBody(head.length)
