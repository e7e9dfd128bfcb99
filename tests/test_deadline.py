"""Waits of a run that may be stopped end soon after it is, and are as long as ever where it is not."""

import threading
from collections.abc import Callable

import httpcore
import pytest

from touchstone.target.bounds import LONGEST_HEAD_BYTES
from touchstone.target.connections import Deadline


class Line(httpcore.NetworkStream):
    """A connection that only has to be one."""


class Told(httpcore.NetworkStream):
    """A connection on which a head comes in two pieces, no more of them at a time than is asked for."""

    def __init__(self, deadline: Deadline, *pieces: bytes) -> None:
        self.deadline = deadline
        self.pieces = [piece for piece in pieces if piece]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Nobody reads it."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """A piece, or its beginning."""
        return self.deadline.read(self._piece, max_bytes, timeout)

    def close(self) -> None:
        """Leaves nothing behind."""

    def _piece(self, max_bytes: int, _: float | None) -> bytes:
        piece = self.pieces.pop(0)
        if piece[max_bytes:]:
            self.pieces.insert(0, piece[max_bytes:])
        return piece[:max_bytes]


def parsed(bound: int, head: bytes, cut: int) -> int:
    """The status that httpcore reads from a head, which comes in two pieces."""
    deadline = Deadline()
    deadline.set(60.0, bound)
    connection = httpcore.HTTP11Connection(
        httpcore.Origin(b"http", b"127.0.0.1", 80), Told(deadline, head[:cut], head[cut:])
    )
    with connection.stream("GET", "http://127.0.0.1/") as response:
        return response.status


def unending() -> httpcore.NetworkStream:
    """A connection that is not made before the test is over."""
    threading.Event().wait()
    return Line()


def late(waits: int, read_s: list[float | None]) -> Callable[[int, float | None], bytes]:
    """A read that runs out of time so often before something comes, and writes down how long it was to take."""

    def read(_: int, timeout_s: float | None) -> bytes:
        read_s.append(timeout_s)
        if len(read_s) <= waits:
            raise httpcore.ReadTimeout
        return b"data"

    return read


def test_connection_is_not_waited_for_once_the_run_is_stopped() -> None:
    """However long it would take; it blames nobody."""
    with pytest.raises(httpcore.PoolTimeout, match="the run was stopped"):
        Deadline(lambda: True).connected(unending)


def test_connection_is_made_or_fails_as_ever() -> None:
    """Whether a run may be stopped changes nothing about it."""

    def refused() -> httpcore.NetworkStream:
        raise httpcore.ConnectError("nobody is there")

    line = Line()
    for deadline in (Deadline(), Deadline(lambda: False)):
        assert deadline.connected(lambda: line) is line
        with pytest.raises(httpcore.ConnectError, match="nobody is there"):
            deadline.connected(refused)


def test_read_goes_on_until_something_comes() -> None:
    """A run that may be stopped is looked after in between; one that may not waits in one go."""
    in_slices: list[float | None] = []
    assert Deadline(lambda: False).read(late(3, in_slices), 100, 60.0) == b"data"
    assert len(in_slices) == 4
    assert max(each for each in in_slices if each is not None) < 1
    at_once: list[float | None] = []
    assert Deadline().read(late(0, at_once), 100, 60.0) == b"data"
    assert at_once == [60.0]


def test_read_ends_with_its_time_or_with_the_run() -> None:
    """What comes first is told."""
    with pytest.raises(httpcore.ReadTimeout):
        Deadline(lambda: False).read(late(1, []), 100, 0.05)
    with pytest.raises(httpcore.PoolTimeout, match="the run was stopped"):
        Deadline(lambda: True).read(late(10**9, []), 100, 60.0)


def read_all(deadline: Deadline, *pieces: bytes) -> None:
    """Reads pieces as they come."""
    for piece in pieces:
        assert deadline.read(lambda *_, piece=piece: piece, 65_536, None) == piece  # type: ignore[misc]


def test_status_line_is_bounded_wherever_it_is_cut() -> None:
    """The parser never sees a long one; lines that follow it, and bodies, may be long."""
    deadline = Deadline()
    line, long = b"HTTP/1.1 200 ".ljust(8_000, b"y"), b"x" * 9_000
    for pieces in ((line + b"yy\r\n",), (line, b"y"), (line[:5], line[5:], b"yy\r\n")):
        deadline.set(60.0, 65_536)
        with pytest.raises(httpcore.RemoteProtocolError, match="the status line is longer than 8000 bytes"):
            read_all(deadline, *pieces)
    deadline.set(60.0, 65_536)
    read_all(deadline, line[:-2] + b"\r\n" + long, long)
    deadline.set(60.0, 65_536)
    read_all(deadline, b"HTTP/1.1 200 OK")
    deadline.headed()
    read_all(deadline, long)


def headed(size: int) -> bytes:
    """A head of so many bytes."""
    return b"HTTP/1.1 204 No\r\nx: ".ljust(size - 4, b"z") + b"\r\n\r\n"


@pytest.mark.parametrize("cut", [1, 40_000, 65_535, 65_536, 102_399])
@pytest.mark.parametrize("bound", [100, 65_536, LONGEST_HEAD_BYTES])
def test_head_is_bounded_wherever_it_is_cut(bound: int, cut: int) -> None:
    """One of just the bound is read, and what a longer one meets is the bound, never one of the parser beneath."""
    assert parsed(bound, headed(bound), cut) == 204
    for size in (bound + 1, 300_000):
        with pytest.raises(httpcore.RemoteProtocolError, match=f"the head is longer than max_head_bytes = {bound}$"):
            parsed(bound, headed(size), cut)
