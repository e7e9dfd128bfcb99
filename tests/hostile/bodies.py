"""Flaws of bodies: length, content coding and content."""

import gzip
import time
import zlib
from collections.abc import Callable, Iterator

from tests.hostile.choices import GARBAGE, JSON, every, gigabyte, head, later, reads, spelled, whole
from tests.hostile.server import Flaw, Serve
from tests.hostile.serving import flooding, framed, raw, spoilt
from tests.hostile.upstream import Reply

_TYPE = ": ".join(JSON)


def _bomb(begin: bytes) -> Iterator[bytes]:
    """A compressed gigabyte of blanks: one independent block, repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    yield begin
    for _ in range(1024):
        yield block


_GZIP_BEGIN = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_ZLIB_BEGIN = b"\x78\x9c"


def _bombs(coding: str, begin: bytes) -> Serve:
    announced = head("200 OK", _TYPE, f"Content-Encoding: {coding}", "Connection: close")
    return flooding(announced, lambda: _bomb(begin))


def _filled(framing: str) -> Serve:
    return flooding(head("200 OK", _TYPE, framing), gigabyte)


def _evil(status: str, *lines: str) -> Serve:
    return raw(whole(_EVIL, _TYPE, *lines, status=status), closes=False)


_more_behind = flooding(
    head("200 OK", _TYPE, "Content-Encoding: gzip", "Connection: close") + gzip.compress(b"{}"), gigabyte
)


def _encoded(coding: str, encode: Callable[[bytes], bytes] = lambda body: body) -> Serve:
    return spoilt(lambda reply: reply.but(("Content-Encoding", coding), body=encode(reply.body)).wire())


def _members(body: bytes) -> bytes:
    half = len(body) // 2
    return gzip.compress(body[:half]) + gzip.compress(body[half:])


def _text(text: bytes, kind: str = "application/json") -> Serve:
    return spoilt(lambda reply: reply.but(("Content-Type", kind), body=text).wire())


def _wrapped(before: bytes, after: bytes) -> Serve:
    return spoilt(lambda reply: reply.but(body=before + reply.body + after).wire())


def _utf16(reply: Reply) -> bytes:
    text = reply.body.decode().encode("utf-16")
    return reply.but(("Content-Type", "application/json; charset=utf-8"), body=text).wire()


def _longer_objects(more: Callable[[], bytes]) -> Serve:
    def change(reply: Reply) -> bytes:
        is_object = reply.body.startswith(b"{")
        return reply.but(body=b'{"more": %s, ' % more() + reply.body[1:]).wire() if is_object else reply.wire()

    return spoilt(change)


def _unique_values() -> bytes:
    return b'[%s], "at": %d' % (b",".join([b"{}"] * 9_000), time.monotonic_ns())


_SHORT = "Content-Length: {wrong}"
_LONG_TEXT = b'"%s"' % (b"w" * 100_000)
_MANY_VALUES = b'{"ref": "a/b@1.0.0", "status": "ready", "more": [' + b"{}," * 1_300_000 + b"{}]}"
_EVIL = spelled({"error": GARBAGE, "status": GARBAGE, "ref": GARBAGE, "digest": GARBAGE})
_TWICE = b'{"status": "ready", "status": "failed", "ref": "a/b@1.0.0"}'
_SURROGATES = b'{"status": "\\ud800", "error": "\\udfff"}'
_NUMBER = b'{"ref": "a/b@1.0.0", "status": "ready", "build_time_ms": %s}'

ALL = (
    Flaw("body-shorter", "closes before the end of Content-Length", framed(_SHORT, closes=True), reads),
    Flaw("body-longer", "sends more than Content-Length", spoilt(lambda r: r.wire() + b" and some more"), reads),
    Flaw("body-of-1gb", "answers status reads with 1 GB", _filled(f"Content-Length: {1 << 30}"), reads),
    Flaw("body-of-1gb-first", "answers everything with 1 GB", _filled("Connection: close"), every),
    Flaw("gzip-bomb", "sends 1 MB that is 1 GB once unpacked from gzip", _bombs("gzip", _GZIP_BEGIN), reads),
    Flaw("gzip-bomb-first", "the same to everything", _bombs("gzip", _GZIP_BEGIN), every),
    Flaw("deflate-bomb", "the same in deflate", _bombs("deflate", _ZLIB_BEGIN), reads),
    Flaw("gzip-unasked", "compresses without Accept-Encoding", _encoded("gzip", gzip.compress), later),
    Flaw("gzip-twice", "compresses twice", _encoded("gzip, gzip", lambda b: gzip.compress(gzip.compress(b))), reads),
    Flaw("gzip-in-members", "sends two members of gzip", _encoded("gzip", _members), reads),
    Flaw("gzip-and-more", "sends data after the end of gzip, for ever", _more_behind, reads),
    Flaw("gzip-torn", "sends damaged gzip", _encoded("gzip", lambda b: gzip.compress(b)[:-9] + b"\0" * 9), reads),
    Flaw("unknown-encoding", "sends an unknown content coding", _encoded("snappiest"), reads),
    Flaw("brotli-unasked", "sends the content coding br", _encoded("br"), reads),
    Flaw("zstd-unasked", "sends the content coding zstd", _encoded("zstd"), reads),
    Flaw("invalid-utf8", "sends invalid UTF-8", _text(b'{"status": "re\xff\xfeady"}'), reads),
    Flaw("bom", "begins bodies with a byte order mark", _wrapped(b"\xef\xbb\xbf", b""), reads),
    Flaw("nan", "sends NaN in JSON", _text(_NUMBER % b"NaN"), reads),
    Flaw("number-10-to-400", "sends 1e400 in JSON", _text(_NUMBER % b"1e400"), reads),
    Flaw("number-of-100000-digits", "sends a number of 100,000 digits", _text(_NUMBER % (b"9" * 100_000)), reads),
    Flaw("nested-100000", "nests JSON 100,000 deep", _text(b"[" * 100_000 + b"]" * 100_000), reads),
    Flaw("nested-100000-objects", "nests objects as deep", _text(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), reads),
    Flaw("nested-100000-first", "the same to everything", raw(whole(b"[" * 100_000 + b"]" * 100_000, _TYPE)), every),
    Flaw("many-values", "sends more than a million objects in a body", raw(whole(_MANY_VALUES, _TYPE)), reads),
    Flaw("many-values-first", "the same to everything", raw(whole(_MANY_VALUES, _TYPE)), every),
    Flaw("long-bodies", "adds 100,000 letters to each body", _longer_objects(lambda: _LONG_TEXT), later),
    Flaw("fat-bodies", "adds 9,000 objects to each body", _longer_objects(_unique_values), later),
    Flaw("duplicate-keys", "sends an object with a duplicate name", _text(_TWICE), reads),
    Flaw("wrong-charset", "declares UTF-8 and sends UTF-16", spoilt(_utf16), reads),
    Flaw("html-as-json", "sends a page of HTML as JSON", _text(b"<!DOCTYPE html><title>502</title>"), reads),
    Flaw("garbage-in-bodies", "sends markup, terminal escapes and controls in values", _evil("404 Not Found"), reads),
    Flaw("garbage-in-errors", "the same to everything", _evil("403 Forbidden", "X-Request-Id: <b>\x1b[31m"), every),
    Flaw("bodies-of-1mb", "pads each body with 1 MB of blanks", _wrapped(b"", b" " * 1_000_000), reads),
    Flaw("lone-surrogates", "sends half of a surrogate pair in JSON", _text(_SURROGATES), reads),
)
