"""Bodies are decompressed within their limits, and JSON is cut at the place at which it exceeds one."""

import gzip
import tracemalloc
import zlib
from dataclasses import replace

import pytest

from touchstone.target.bounds import BEYOND_BYTES, KEPT_BYTES, LEAST_KEPT_BYTES, Bounds, Intake, Refused, Room, cut_head

TEXT = b'{"status": "ready"}' * 50
SMALL = Bounds(max_body_bytes=1000, max_stream_bytes=1000, max_line_bytes=100, max_json_values=100)


def bare(data: bytes) -> bytes:
    """Raw deflate, without the zlib header."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def taken(
    coding: str, body: bytes, piece_bytes: int = 10_000, bounds: Bounds = SMALL, *, streamed: bool = False
) -> tuple[bytes, str]:
    """Feeds a body in pieces; returns the decompressed body and the problem."""
    intake = Intake([("Content-Encoding", coding)] if coding else [], bounds, streamed=streamed)
    found = b""
    try:
        for at in range(0, len(body), piece_bytes):
            found += intake.take(body[at : at + piece_bytes])
        intake.end()
    except Refused:
        pass
    return found, intake.problem


GZIP, MEMBERS = gzip.compress(TEXT), b"".join(map(gzip.compress, (TEXT[:9], b"", TEXT[9:])))
# fmt: off
WHOLE: dict[str, tuple[str, bytes]] = {
    "plain": ("", TEXT), "identity": ("identity", TEXT), "gzip": ("gzip", GZIP), "x-gzip": ("X-GZIP", GZIP),
    "deflate": ("deflate", zlib.compress(TEXT)), "bare deflate": ("deflate", bare(TEXT)),
    "both": ("deflate, gzip", gzip.compress(zlib.compress(TEXT))), "followed": ("gzip", GZIP + b"is passed over"),
    "members": ("gzip", MEMBERS),
}
BROKEN: dict[str, tuple[str, bytes, str]] = {
    "no gzip": ("gzip", b"nope", "DecodingError: "),
    "no deflate": ("deflate", b"\xff\xff\xff", "DecodingError: "),
    "torn": ("gzip", GZIP[:-3], "DecodingError: "),
    "torn member": ("gzip", MEMBERS[:-1], "DecodingError: "),
    "torn deflate": ("deflate", b"\x78", "DecodingError: "),
    "unsupported": ("br", TEXT, "DecodingError: the body has the content coding 'br'"),
    "a name in its letters": ("AbC", TEXT, "DecodingError: the body has the content coding 'AbC'"),
    "many codings": ("gzip, gzip, gzip, gzip", TEXT, "DecodingError: "),
    "long": ("", b"x" * 1001, "the body is longer than max_body_bytes = 1000"),
    "long decompressed": ("gzip", gzip.compress(b"x" * 1001), "the body is longer than max_body_bytes = 1000 "),
    "long behind its end": ("gzip", gzip.compress(b"a") + b"x" * 1000, "the body is longer than max_body_bytes = 1000"),
}
# fmt: on


@pytest.mark.parametrize("piece_bytes", [1, 7, 10_000])
@pytest.mark.parametrize(("coding", "body"), WHOLE.values(), ids=WHOLE)
def test_body_is_decompressed(coding: str, body: bytes, piece_bytes: int) -> None:
    assert taken(coding, body, piece_bytes) == (TEXT, "")


@pytest.mark.parametrize("piece_bytes", [1, 10_000])
@pytest.mark.parametrize(("coding", "body", "problem"), BROKEN.values(), ids=BROKEN)
def test_invalid_or_long_body_is_rejected(coding: str, body: bytes, problem: str, piece_bytes: int) -> None:
    assert taken(coding, body, piece_bytes)[1].startswith(problem)


def test_empty_body_and_many_members_are_accepted() -> None:
    assert taken("gzip", b"") == (b"", "")
    assert taken("gzip", gzip.compress(b"") * 100, bounds=Bounds()) == (b"", "")
    assert taken("gzip", gzip.compress(b"") * 101, bounds=Bounds())[1].startswith("DecodingError: ")
    assert taken("gzip, gzip, gzip", gzip.compress(gzip.compress(GZIP))) == (TEXT, "")


def test_message_contains_no_part_of_a_long_coding_name() -> None:
    assert "x" * 40 in taken("x" * 40, TEXT)[1]
    assert "xxx" not in taken("x" * 41, TEXT)[1]


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
def test_bomb_is_not_decompressed(coding: str) -> None:
    packed = gzip.compress(bytes(64 << 20), 1)
    body = packed if coding == "gzip" else gzip.compress(packed)
    intake = Intake([("content-encoding", coding)], Bounds(max_body_bytes=1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="max_body_bytes = 1048576"):
            intake.take(body)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece_bytes", [1, 30, 1000])
def test_lines_of_a_stream_are_bounded(piece_bytes: int) -> None:
    good = (b"x" * 100 + b"\n") * 3 + b"y" * 100 + b"\r\n" + b"z" * 99
    assert taken("", good, piece_bytes, streamed=True) == (good, "")
    assert taken("", good + b"zz", piece_bytes, streamed=True)[1].endswith("max_line_bytes = 100")
    assert taken("", b":\n" * 101, piece_bytes, streamed=True)[1].endswith("max_json_values = 100")
    assert taken("", b"data: short line\n" * 60, piece_bytes, streamed=True)[1].endswith("max_stream_bytes = 1000")


def test_body_beyond_a_limit_is_truncated() -> None:
    long = b"x" * (KEPT_BYTES + 10)
    assert Intake([], Bounds()).kept(long) == long
    refused = Intake([], SMALL)
    with pytest.raises(Refused):
        refused.take(long)
    assert len(refused.kept(long * 2)) == KEPT_BYTES + BEYOND_BYTES
    for body, bounds in ((b"[[[[1]]]]", Bounds(max_json_depth=3)), (b"[1,2,3,4]", Bounds(max_json_values=3))):
        intake = Intake([], bounds)
        assert intake.kept(body) == body[: 6 if b"," in body else 3]
        assert intake.problem.endswith(" = 3")


# JSON with its nesting depth, and its number of commas and opening brackets outside of strings.
JSON = {
    b"1": (0, 0),
    b'"[[["': (0, 0),
    b"[]": (1, 1),
    b"[1,2]": (1, 2),
    b"[[],[],[]]": (2, 6),
    b' {"a": [1, {"b": 2}]}': (3, 4),
    b'["[{,", "\\"[", {"\\\\": "]"}]': (2, 4),
}


@pytest.mark.parametrize(("body", "measured"), JSON.items())
@pytest.mark.parametrize(("place", "bound", "cut_at"), [(0, "max_json_depth", b"[{"), (1, "max_json_values", b"[{,")])
def test_json_is_cut_at_the_limit(
    body: bytes, measured: tuple[int, int], place: int, bound: str, cut_at: bytes
) -> None:
    for most in range(8):
        bounds = replace(Bounds(), **{bound: most})
        cut = bounds.cut(body)
        assert (cut is not None) == (measured[place] > most)
        if cut is not None:
            assert cut.problem.endswith(f"{bound} = {most}")
            assert bounds.cut(body[: cut.at]) is None
            assert body[cut.at] in cut_at


@pytest.mark.parametrize("body", [b"<" + b"[" * 500, b"", b"\xff" + b"{" * 500, b'"' + b"[" * 500])
def test_other_text_has_no_depth(body: bytes) -> None:
    assert Bounds().cut(body) is None


@pytest.mark.timeout("30")
def test_string_without_an_end_is_read_once() -> None:
    # A search from each quote again would take hours.
    assert Bounds(max_json_depth=101).cut(b"[" * 101 + b'"' + b'\\"' * 100_000) is None


def test_limits_of_json_in_a_stream_apply_to_each_data_line() -> None:
    deep = b"[" * 5 + b"]" * 5
    five, four, values = Bounds(max_json_depth=5), Bounds(max_json_depth=4), Bounds(max_json_values=3)
    assert five.cut_stream(b"data: " + deep + b"\n\ndata: " + deep + b"\n") is None
    assert four.cut_stream(b": " + deep + b"\n" + deep + b"\n") is None
    assert values.cut_stream(b"data: [1,2,3]\n\n" * 100) is None
    cut, wide = four.cut_stream(b"data: 1\n\ndata:" + deep + b"\n"), values.cut_stream(b"\ndata: [1,2,3,4]\n\n")
    assert cut
    assert cut.at == len(b"data: 1\n\ndata:") + 4
    assert wide
    assert wide.problem.endswith("max_json_values = 3")


def test_room_of_a_run_does_not_count_the_first_bytes() -> None:
    room = Room(100)
    assert [room.take(LEAST_KEPT_BYTES + more) for more in (60, 41, 40, 1)] == [True, False, True, False]
    assert room.take(LEAST_KEPT_BYTES)


def test_truncated_head_keeps_the_fields_that_rules_need() -> None:
    fields = [
        ("x-long", "y" * 300),
        *((f"x-{n}", "z" * 150) for n in range(100)),
        ("Retry-After", "3"),
        ("n" * 201, ""),
    ]
    kept = cut_head(fields)
    assert ("Retry-After", "3") in kept
    assert kept[0][1].startswith("y" * 200)
    assert len(kept[0][1]) < 210
    assert sum(len(name) + len(value) for name, value in kept) < LEAST_KEPT_BYTES + 200
    assert len({name for name, _ in fields} - {name for name, _ in kept}) > 50
