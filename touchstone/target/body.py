"""Takes in the body of one answer, piece by piece: unpacks it, and stops where it is beyond its bounds."""

import zlib
from collections.abc import Iterable

from touchstone.target.bounds import KEPT_BYTES, Bounds

ACCEPTED = "gzip, deflate"  # What is asked for, and all that is unpacked
# So much beyond what is kept of a body goes along until its secrets are marked: one may begin before the cut.
BEYOND_BYTES = 4096
_MAX_CODINGS = 3
_MAX_MEMBERS = 100
_LONGEST_NAME = 40
_FRAME_BYTES = 2
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Refused(Exception):
    """No more of a body is taken; the text says why."""


class _Deflated:
    """One coding of a body, undone."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = b""
        self._members = 1
        self._unpacker = None if name == "deflate" else zlib.decompressobj(_GZIP_BITS)

    def unpack(self, data: bytes, most: int) -> bytes:
        """What *data* is unpacked, a little over *most* bytes at most; also members of gzip (RFC 1952 2.2)."""
        if self._unpacker is None or not self._begun:
            data = self._begun = self._begun + data
        if self._unpacker is None:
            if len(data) < _FRAME_BYTES:
                return b""
            self._unpacker = zlib.decompressobj(_ZLIB_BITS if _is_framed(data) else _RAW_BITS)
        try:
            unpacked = self._unpacker.decompress(data, max(most, 0) + 1)
            while self._name != "deflate" and self._unpacker.unused_data.startswith(_GZIP_MAGIC):
                self._members += 1
                if self._members > _MAX_MEMBERS:
                    raise Refused(f"DecodingError: the gzip has more than {_MAX_MEMBERS} members")
                rest, self._unpacker = self._unpacker.unused_data, zlib.decompressobj(_GZIP_BITS)
                unpacked += self._unpacker.decompress(rest, max(most - len(unpacked), 0) + 1)
        except zlib.error as error:
            raise Refused(f"DecodingError: the body is no {self._name}: {error}") from None
        return unpacked

    def end(self) -> None:
        """Takes note that no more comes; Refused where something is missing."""
        if self._begun and not (self._unpacker and self._unpacker.eof):
            raise Refused(f"DecodingError: the {self._name} of the body ends too early")


class Intake:
    """One body with its bounds: *problem* is empty where it is whole and within them, *size* is in bytes, unpacked."""

    def __init__(self, headers: Iterable[tuple[str, str]], bounds: Bounds, *, streamed: bool = False) -> None:
        self.problem = ""
        self.size = 0
        self._bounds = bounds
        self._streamed = streamed
        self._bound = "max_stream_bytes" if streamed else "max_body_bytes"
        self._most: int = getattr(bounds, self._bound)
        self._line_bytes = self._wire_bytes = 0
        values = [value for key, value in headers if key.lower() == "content-encoding"]
        self._codings = [name.strip() for name in ",".join(values).split(",")]
        self._packings: list[_Deflated] | None = None

    def take(self, data: bytes) -> bytes:
        """What of the body *data* is; Refused where it cannot be unpacked or is beyond a bound, as *problem* says."""
        try:
            return self._taken(data)
        except Refused as refused:
            self.problem = str(refused)
            raise

    def end(self) -> None:
        """Takes note that the body is over; *problem* says whether something is missing."""
        try:
            for packing in self._packings or ():
                packing.end()
        except Refused as refused:
            self.problem = str(refused)

    def kept(self, body: bytes) -> bytes:
        """What goes on of *body*, all that was taken: the beginning of one that is not taken in, all of any other."""
        cut = self._bounds.cut_stream(body) if self._streamed else self._bounds.cut(body)
        if cut is not None:
            self.problem = self.problem or cut.problem
            body = body[: cut.at]
        return body[: KEPT_BYTES + BEYOND_BYTES] if self.problem else body

    def _taken(self, data: bytes) -> bytes:
        if self._packings is None:
            self._packings = self._begun()
        self._wire_bytes += len(data)
        for packing in self._packings:
            data = packing.unpack(data, self._most - self.size)
        self.size += len(data)
        if max(self.size, self._wire_bytes) > self._most:
            packed = " once it is unpacked" if self._packings and self.size > self._most else ""
            what = "stream" if self._streamed else "body"
            raise Refused(f"the {what} is longer than {self._bounds.describe(self._bound)}{packed}")
        if self._streamed:
            self._measure_lines(data)
        return data

    def _begun(self) -> list[_Deflated]:
        codings = [name for name in self._codings if name.lower() not in ("", "identity")]
        if len(codings) > _MAX_CODINGS:
            raise Refused(f"DecodingError: the body is packed {len(codings)} times, expected {_MAX_CODINGS} at most")
        for name in reversed(codings):
            if name.lower() not in ("gzip", "x-gzip", "deflate"):
                # Never a part of it: part of a key is not recognised as one.
                found = repr(name) if len(name) <= _LONGEST_NAME else f"a name of {len(name)} characters"
                raise Refused(f"DecodingError: the body has the content coding {found}, expected one of {ACCEPTED}")
        return [_Deflated(name.lower()) for name in reversed(codings)]

    def _measure_lines(self, data: bytes) -> None:
        most = self._bounds.max_line_bytes
        lines = data.replace(b"\r", b"\n").split(b"\n")
        longest = max(self._line_bytes + len(lines[0]), *map(len, lines))
        if longest > most:
            raise Refused(f"a line of the stream is longer than {self._bounds.describe('max_line_bytes')}")
        self._line_bytes = len(lines[-1]) + (self._line_bytes if len(lines) == 1 else 0)


def _is_framed(data: bytes) -> bool:
    """Whether deflate has the frame of RFC 9110 8.4.1.2, which much of it lacks (RFC 1950, 2.2)."""
    return data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:_FRAME_BYTES], "big") % 31 == 0
