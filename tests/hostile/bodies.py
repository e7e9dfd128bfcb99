"""Flaws of bodies: their length, what they are packed in, and what they say."""

import gzip
import time
import zlib
from collections.abc import Iterator

from tests.hostile.choices import GARBAGE, JSON, every, gigabyte, head, later, reads, spelled, whole
from tests.hostile.server import Flaw, Serve
from tests.hostile.serving import flooding, raw, spoilt
from tests.hostile.upstream import Reply

_TYPE = ": ".join(JSON)


def _shorter(reply: Reply) -> bytes:
    return reply.head(f"Content-Length: {len(reply.body) + 20}") + reply.body


def _longer(reply: Reply) -> bytes:
    return reply.head(f"Content-Length: {len(reply.body)}") + reply.body + b" and some more"


def _bomb(begin: bytes) -> Iterator[bytes]:
    """A gigabyte of blanks, packed: a block that unpacks by itself is sent again and again."""
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


def _zipped(reply: Reply) -> bytes:
    return reply.but(("Content-Encoding", "gzip"), body=gzip.compress(reply.body)).wire()


def _zipped_twice(reply: Reply) -> bytes:
    packed = gzip.compress(gzip.compress(reply.body))
    return reply.but(("Content-Encoding", "gzip, gzip"), body=packed).wire()


def _in_members(reply: Reply) -> bytes:
    half = len(reply.body) // 2
    packed = gzip.compress(reply.body[:half]) + gzip.compress(reply.body[half:])
    return reply.but(("Content-Encoding", "gzip"), body=packed).wire()


def _torn(reply: Reply) -> bytes:
    return reply.but(("Content-Encoding", "gzip"), body=gzip.compress(reply.body)[:-9] + b"\0" * 9).wire()


def _called(coding: str) -> Serve:
    return spoilt(lambda reply: reply.but(("Content-Encoding", coding)).wire())


def _text(text: bytes, kind: str = "application/json") -> Serve:
    return spoilt(lambda reply: reply.but(("Content-Type", kind), body=text).wire())


def _with_bom(reply: Reply) -> bytes:
    return reply.but(body=b"\xef\xbb\xbf" + reply.body).wire()


def _padded(reply: Reply) -> bytes:
    return reply.but(body=reply.body + b" " * 1_000_000).wire()


def _utf16(reply: Reply) -> bytes:
    text = reply.body.decode().encode("utf-16")
    return reply.but(("Content-Type", "application/json; charset=utf-8"), body=text).wire()


def _fat(reply: Reply) -> bytes:
    """A body with thousands of values, like no other body."""
    if not reply.body.startswith(b"{"):
        return reply.wire()
    more = b'"more": [%s], "at": %d, ' % (b",".join([b"{}"] * 9_000), time.monotonic_ns())
    return reply.but(body=b"{" + more + reply.body[1:]).wire()


def _long(reply: Reply) -> bytes:
    if not reply.body.startswith(b"{"):
        return reply.wire()
    return reply.but(body=b'{"more": "' + b"w" * 100_000 + b'", ' + reply.body[1:]).wire()


_MANY_VALUES = b'{"ref": "a/b@1.0.0", "status": "ready", "more": [' + b"{}," * 1_300_000 + b"{}]}"
_EVIL = spelled({"error": GARBAGE, "status": GARBAGE, "ref": GARBAGE, "digest": GARBAGE})
_TWICE = b'{"status": "ready", "status": "failed", "ref": "a/b@1.0.0"}'
_SURROGATES = b'{"status": "\\ud800", "error": "\\udfff"}'
_NUMBER = b'{"ref": "a/b@1.0.0", "status": "ready", "build_time_ms": %s}'

ALL = (
    Flaw("body-shorter", "closes before the length that it announced", spoilt(_shorter, closes=True), reads),
    Flaw("body-longer", "sends more than it announced", spoilt(_longer), reads),
    Flaw("body-of-1gb", "answers status reads with 1 GB", _filled(f"Content-Length: {1 << 30}"), reads),
    Flaw("body-of-1gb-first", "answers everything with 1 GB", _filled("Connection: close"), every),
    Flaw("gzip-bomb", "sends 1 MB that is 1 GB once unpacked from gzip", _bombs("gzip", _GZIP_BEGIN), reads),
    Flaw("gzip-bomb-first", "the same to everything", _bombs("gzip", _GZIP_BEGIN), every),
    Flaw("deflate-bomb", "the same in deflate", _bombs("deflate", _ZLIB_BEGIN), reads),
    Flaw("gzip-unasked", "packs answers with gzip, which nobody asked for", spoilt(_zipped), later),
    Flaw("gzip-twice", "packs answers with gzip twice", spoilt(_zipped_twice), reads),
    Flaw("gzip-in-members", "packs answers in two members of gzip", spoilt(_in_members), reads),
    Flaw("gzip-and-more", "sends more behind the end of gzip, for ever", _more_behind, reads),
    Flaw("gzip-torn", "sends gzip that is torn", spoilt(_torn), reads),
    Flaw("unknown-encoding", "packs bodies in a way that does not exist", _called("snappiest"), reads),
    Flaw("brotli-unasked", "says that a body is packed with br", _called("br"), reads),
    Flaw("zstd-unasked", "says that a body is packed with zstd", _called("zstd"), reads),
    Flaw("invalid-utf8", "sends JSON with bytes that are no UTF-8", _text(b'{"status": "re\xff\xfeady"}'), reads),
    Flaw("bom", "begins bodies with a byte order mark", spoilt(_with_bom), reads),
    Flaw("nan", "sends NaN in JSON", _text(_NUMBER % b"NaN"), reads),
    Flaw("number-10-to-400", "sends 1e400 in JSON", _text(_NUMBER % b"1e400"), reads),
    Flaw("number-of-100000-digits", "sends a number of 100,000 digits", _text(_NUMBER % (b"9" * 100_000)), reads),
    Flaw("nested-100000", "nests JSON 100,000 deep", _text(b"[" * 100_000 + b"]" * 100_000), reads),
    Flaw("nested-100000-objects", "nests objects as deep", _text(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), reads),
    Flaw("nested-100000-first", "the same to everything", raw(whole(b"[" * 100_000 + b"]" * 100_000, _TYPE)), every),
    Flaw("many-values", "sends more than a million objects in a body", raw(whole(_MANY_VALUES, _TYPE)), reads),
    Flaw("many-values-first", "the same to everything", raw(whole(_MANY_VALUES, _TYPE)), every),
    Flaw("long-bodies", "adds a text of 100,000 letters to each body", spoilt(_long), later),
    Flaw("fat-bodies", "adds 9,000 objects to each body", spoilt(_fat), later),
    Flaw("duplicate-keys", "sends an object that has a name twice", _text(_TWICE), reads),
    Flaw("wrong-charset", "says UTF-8 and sends UTF-16", spoilt(_utf16), reads),
    Flaw("html-as-json", "sends a page of HTML as JSON", _text(b"<!DOCTYPE html><title>502</title>"), reads),
    Flaw("garbage-in-bodies", "sends markup, terminal escapes and controls in values", _evil("404 Not Found"), reads),
    Flaw("garbage-in-errors", "the same to everything", _evil("403 Forbidden", "X-Request-Id: <b>\x1b[31m"), every),
    Flaw("bodies-of-1mb", "pads each body with 1 MB of blanks", spoilt(_padded), reads),
    Flaw("lone-surrogates", "sends half of a surrogate pair in JSON", _text(_SURROGATES), reads),
)
