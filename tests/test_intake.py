"""A body is unpacked as far as its bounds let it, and what is wrong with it is told."""

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from touchstone.target.body import BEYOND_BYTES, Intake, Refused
from touchstone.target.bounds import KEPT_BYTES, Bounds

TEXT = b'{"status": "ready"}' * 50
SMALL = Bounds(max_body_bytes=1000, max_stream_bytes=1000, max_line_bytes=100)


def bare(data: bytes) -> bytes:
    """What is often called deflate: without the frame around it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def bomb() -> Iterator[bytes]:
    """A gigabyte, packed, of which each piece unpacks to a thousand times its length."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    yield b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    # As the network brings it: much at a time.
    for _ in range(16):
        yield block * 64


def taken(coding: str, body: bytes, piece_bytes: int, bounds: Bounds = SMALL) -> tuple[bytes, str]:
    """What is taken of a body that comes in pieces, and what is wrong with it."""
    intake = Intake([("Content-Encoding", coding)] if coding else [], bounds)
    found = b""
    try:
        for at in range(0, len(body), piece_bytes):
            found += intake.take(body[at : at + piece_bytes])
        intake.end()
    except Refused as refused:
        return found, str(refused)
    return found, intake.problem


@pytest.mark.parametrize("piece_bytes", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare(TEXT)),
        ("deflate, gzip", gzip.compress(zlib.compress(TEXT))),
        ("gzip", gzip.compress(TEXT) + b"what follows is passed over"),
        ("gzip", b""),
    ],
    ids=["plain", "identity", "gzip", "x-gzip", "deflate", "bare", "both", "followed", "empty"],
)
def test_body_is_what_was_packed(coding: str, body: bytes, piece_bytes: int) -> None:
    """However a body was packed and cut, its content comes out."""
    assert taken(coding, body, piece_bytes) == (TEXT if body else b"", "")


@pytest.mark.parametrize(
    ("coding", "body", "problem"),
    [
        ("gzip", b"nope", "DecodingError: the body is no gzip"),
        ("deflate", b"\xff\xff\xff", "DecodingError: the body is no deflate"),
        ("gzip", gzip.compress(TEXT)[:-3], "DecodingError: the gzip of the body ends too early"),
        ("br", TEXT, "DecodingError: the body has the content coding 'br', expected one of gzip, deflate"),
        ("gzip, gzip, gzip, gzip", TEXT, "DecodingError: the body is packed 4 times"),
        ("", b"x" * 1001, "the body is longer than max_body_bytes = 1000"),
        ("gzip", gzip.compress(b"x" * 1001), "the body is longer than max_body_bytes = 1000 once it is unpacked"),
    ],
    ids=["no-gzip", "no-deflate", "torn", "unasked", "often", "long", "long-unpacked"],
)
def test_what_is_wrong_with_a_body_is_told(coding: str, body: bytes, problem: str) -> None:
    """A body that cannot be unpacked, or is too long, is refused with the reason, in one piece or in many."""
    for piece_bytes in (1, 10_000):
        _, found = taken(coding, body, piece_bytes)
        assert found.startswith(problem)


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
def test_bomb_is_not_unpacked(coding: str) -> None:
    """A megabyte that is a gigabyte once it is unpacked takes no more memory than its bound."""
    pieces = list(bomb())
    if coding != "gzip":
        pieces = [gzip.compress(b"".join(pieces))]
    bounds = Bounds(max_body_bytes=1 << 20)
    intake = Intake([("content-encoding", coding)], bounds)
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="max_body_bytes = 1048576 once it is unpacked"):
            for piece in pieces:
                intake.take(piece)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece_bytes", [1, 30, 1000])
def test_lines_of_a_stream_are_bounded(piece_bytes: int) -> None:
    """A stream is read up to a line that is too long, however it is cut; lines up to the bound are fine."""
    good = (b"x" * 100 + b"\n") * 3 + b"y" * 100 + b"\r\n" + b"z" * 99
    for stream, problem in ((good, ""), (good + b"zz", "a line of the stream is longer than max_line_bytes = 100")):
        intake = Intake([], SMALL, streamed=True)
        found = ""
        try:
            for at in range(0, len(stream), piece_bytes):
                intake.take(stream[at : at + piece_bytes])
        except Refused as refused:
            found = str(refused)
        assert found == intake.problem == problem


def test_stream_is_bounded_by_its_own_setting() -> None:
    """A stream that is too long names the bound of streams."""
    intake = Intake([], SMALL, streamed=True)
    with pytest.raises(Refused, match="the stream is longer than max_stream_bytes = 1000"):
        for _ in range(30):
            intake.take(b"data: short line, often\n\n" * 2)


def test_little_is_kept_of_a_body_beyond_its_bounds() -> None:
    """What nobody reads to its end is not held either; any other body is kept whole."""
    long = b"x" * (KEPT_BYTES + 10)
    assert Intake([], Bounds()).kept(long) == long
    refused = Intake([], SMALL)
    with pytest.raises(Refused):
        refused.take(long)
    assert len(refused.kept(long * 2)) == KEPT_BYTES + BEYOND_BYTES


def test_body_that_is_nested_too_deep_is_cut_where_it_is() -> None:
    """What is left of deep JSON is no JSON, so that nothing that reads it can go as deep."""
    intake = Intake([], Bounds(max_json_depth=3))
    assert intake.kept(b"[[[[1]]]]") == b"[[["
    assert intake.problem == "JSON is nested deeper than max_json_depth = 3"


def test_body_with_too_many_values_is_cut_where_they_are() -> None:
    """What is left is no JSON, so that nothing that reads it can take more memory than the bound lets it."""
    intake = Intake([], Bounds(max_json_values=3))
    assert intake.kept(b"[1,2,3,4]") == b"[1,2,3"
    assert intake.problem == "JSON has more values than max_json_values = 3"


@pytest.mark.parametrize("piece_bytes", [1, 7, 10_000])
def test_gzip_of_several_members_is_one_body(piece_bytes: int) -> None:
    """RFC 1952 2.2: members follow each other, and what they hold does."""
    packed = b"".join(gzip.compress(part) for part in (b"a", b"", b"bc"))
    assert taken("gzip", packed, piece_bytes) == (b"abc", "")
    assert taken("gzip", packed[:-1], piece_bytes)[1] == "DecodingError: the gzip of the body ends too early"


def test_members_of_gzip_are_bounded() -> None:
    """Empty members unpack to nothing, and each takes time."""
    assert taken("gzip", gzip.compress(b"") * 100, 10_000, Bounds()) == (b"", "")
    assert (
        taken("gzip", gzip.compress(b"") * 101, 10_000, Bounds())[1]
        == "DecodingError: the gzip has more than 100 members"
    )


def test_what_follows_the_end_of_gzip_is_bounded() -> None:
    """It unpacks to nothing and is held by the unpacker."""
    assert taken("gzip", gzip.compress(b"a") + b"x" * 1000, 100)[1] == "the body is longer than max_body_bytes = 1000"


def test_long_name_of_a_coding_is_not_repeated_in_part() -> None:
    """Part of a key is not recognised as one, nor is one in other letters."""
    assert "'AbC'" in taken("AbC", TEXT, 100)[1]
    assert taken("GZip", gzip.compress(b"abc"), 100) == (b"abc", "")
    assert taken("x" * 40, TEXT, 100)[1].startswith(f"DecodingError: the body has the content coding '{'x' * 40}'")
    assert taken("x" * 41, TEXT, 100)[1].startswith("DecodingError: the body has the content coding a name of 41")
