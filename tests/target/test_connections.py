"""Waits end soon after a run is stopped, and the size of heads is limited before a parser gets them."""

import threading
from collections.abc import Callable
from functools import partial

import httpcore
import pytest

from touchstone.target.bounds import LONGEST_HEAD_BYTES
from touchstone.target.connections import Deadline


class Line(httpcore.NetworkStream):
    """A connection that delivers bytes in pieces, at most as many as requested."""

    def __init__(self, deadline: Deadline, *pieces: bytes) -> None:
        self.deadline = deadline
        self.pieces = [piece for piece in pieces if piece]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Discards the data."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.deadline.read(self._piece, max_bytes, timeout)

    def close(self) -> None:
        """Does nothing."""

    def _piece(self, max_bytes: int, _: float | None) -> bytes:
        piece = self.pieces.pop(0)
        if piece[max_bytes:]:
            self.pieces.insert(0, piece[max_bytes:])
        return piece[:max_bytes]


def parsed(bound: int, head: bytes, cut: int) -> int:
    """Status that httpcore parses from a head in two pieces."""
    deadline = Deadline()
    deadline.set(60.0, bound)
    origin = httpcore.Origin(b"http", b"h", 80)
    with httpcore.HTTP11Connection(origin, Line(deadline, head[:cut], head[cut:])).stream(
        "GET", "http://h/"
    ) as response:
        return response.status


def late(waits: float, timeouts_s: list[float | None]) -> Callable[[int, float | None], bytes]:
    """A read that times out *waits* times before it returns data; it records its time-outs."""

    def read(_: int, timeout_s: float | None) -> bytes:
        timeouts_s.append(timeout_s)
        if len(timeouts_s) <= waits:
            raise httpcore.ReadTimeout
        return b"data"

    return read


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("touchstone.target.connections._GRACE_S", 0.05)


def test_wait_for_a_connection_ends_with_the_run() -> None:
    never = threading.Event()

    def unending() -> httpcore.NetworkStream:
        never.wait(60)
        return Line(Deadline())

    with pytest.raises(httpcore.PoolTimeout):
        Deadline(lambda: True).connected(unending)
    never.set()


def test_read_ends_at_its_time_out_with_the_run_or_on_an_event() -> None:
    with pytest.raises(httpcore.ReadTimeout):
        Deadline(lambda: False).read(late(1, []), 100, 0.05)
    with pytest.raises(httpcore.PoolTimeout):
        Deadline(lambda: True).read(late(float("inf"), []), 100, 60.0)
    deadline, unwanted = Deadline(), threading.Event()
    deadline.set(60.0)
    deadline.leave_after(60.0, unwanted)
    assert deadline.read(late(1, []), 100, None) == b"data"
    unwanted.set()
    with pytest.raises(httpcore.ReadTimeout):
        deadline.read(late(float("inf"), []), 100, None)
    deadline.set(-1.0)
    with pytest.raises(httpcore.ReadTimeout):
        deadline.read(late(0, []), 100, 60.0)


def read_all(deadline: Deadline, *pieces: bytes) -> None:
    for piece in pieces:
        assert deadline.read(partial(lambda piece, *_: piece, piece), 65_536, None) == piece


LINE, LONG = b"HTTP/1.1 200 ".ljust(8_000, b"y"), b"x" * 9_000


@pytest.mark.parametrize("pieces", [(LINE + b"yy\r\n",), (LINE, b"y"), (LINE[:5], LINE[5:], b"yy\r\n")])
def test_long_status_line_is_rejected_in_any_pieces(pieces: tuple[bytes, ...]) -> None:
    deadline = Deadline()
    deadline.set(60.0, 65_536)
    with pytest.raises(httpcore.RemoteProtocolError, match="8000"):
        read_all(deadline, *pieces)


def test_header_lines_and_bodies_may_be_long() -> None:
    deadline = Deadline()
    deadline.set(60.0, 65_536)
    read_all(deadline, LINE[:-2] + b"\r\n" + LONG, LONG)
    deadline.set(60.0, 65_536)
    read_all(deadline, b"HTTP/1.1 200 OK")
    deadline.end_head()
    read_all(deadline, LONG)


def head_of(size: int) -> bytes:
    """A head of *size* bytes."""
    return b"HTTP/1.1 204 No\r\nx: ".ljust(size - 4, b"z") + b"\r\n\r\n"


@pytest.mark.parametrize("cut", [1, 40_000, 65_535, 65_536, 102_399])
@pytest.mark.parametrize("bound", [100, 65_536, LONGEST_HEAD_BYTES])
def test_head_is_limited_in_any_pieces(bound: int, cut: int) -> None:
    assert parsed(bound, head_of(bound), cut) == 204
    for size in (bound + 1, 300_000):
        with pytest.raises(httpcore.RemoteProtocolError, match=f"max_head_bytes = {bound}$"):
            parsed(bound, head_of(size), cut)
