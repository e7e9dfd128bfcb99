"""One kept-up connection of a side-car: a request out, its answer in, and so on, never two at a time."""

import asyncio
import os
from time import monotonic
from typing import Protocol, cast

from touchstone.loadgen.bulk_answer import Incoming
from touchstone.loadgen.bulk_ledger import Known, Ledger
from touchstone.loadgen.bulk_wire import BulkShot
from touchstone.loadgen.heads import HeadReader
from touchstone.target.answer import Answer
from touchstone.target.bounds import DEFAULT_BOUNDS, Bounds

# RFC 9110 9.2.1: these may be asked again without harm.
_SAFE = frozenset({"GET", "HEAD"})


class Loaded:
    """A shot with what came back the last time: mostly the next answer has the very same bytes.

    Attributes:
        number: Place in `bulk_wire.Setup.shots`.
        last: All bytes of an answer that came in one piece.
        known: What that looked like.
        body_bytes: Length of its body.
    """

    __slots__ = ("body_bytes", "known", "last", "method", "number", "wire")

    def __init__(self, number: int, shot: BulkShot) -> None:
        self.number = number
        self.method = shot.method
        self.wire = shot.wire
        self.last = b""
        self.known: Known | None = None
        self.body_bytes = 0


class Owner(Protocol):
    """Who has the connections and gives them something to send."""

    def join(self, connection: "Connection") -> None:
        """Takes a new connection."""

    def release(self, connection: "Connection") -> None:
        """Takes a connection back that is free again."""

    def leave(self, connection: "Connection") -> None:
        """Forgets a connection that is closed or will be; to forget it twice does nothing."""

    def again(self, due: float, shot: Loaded) -> None:
        """Takes an arrival back that was sent and has certainly not been answered."""


class Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        shot: What is under way; None where nothing is.
        since_at: When that was sent, or when the last answer had arrived.
    """

    __slots__ = (
        "_bounds",
        "_due",
        "_fd",
        "_heads",
        "_incoming",
        "_ledger",
        "_owner",
        "_transport",
        "_used",
        "shot",
        "since_at",
    )

    def __init__(self, owner: Owner, ledger: Ledger, heads: HeadReader, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self._owner = owner
        self._bounds = bounds
        self._ledger = ledger
        self._heads = heads
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        self._incoming: Incoming | None = None
        self._due = 0.0
        self._used = False
        self.shot: Loaded | None = None
        self.since_at = monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Joins the others."""
        # The one of uvloop is no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        if transport.get_extra_info("ssl_object") is None:
            self._fd = transport.get_extra_info("socket").fileno()
        self._owner.join(self)

    def send(self, due: float, shot: Loaded) -> None:
        """Sends the request of an arrival that was due at *due*."""
        assert self._transport is not None
        self.shot = shot
        self._due = due
        self.since_at = monotonic()
        if self._fd < 0:
            self._transport.write(shot.wire)
            return
        # A transport may write later, which would count as time of the target; nothing is ever left in its buffer here.
        try:
            written = os.write(self._fd, shot.wire)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._lost(f"WriteError: {error.strerror}")
            self.close()
            return
        if written < len(shot.wire):
            self._transport.write(shot.wire[written:])
            # An answer that comes before all of this is written must not be taken for the end of it.
            self._incoming = self._expecting(shot)

    def data_received(self, data: bytes) -> None:
        """Reads the answer, or a part of it."""
        at = monotonic()
        shot = self.shot
        if shot is None:
            self._ledger.note("the target sent bytes that nobody had asked for; their connections were closed")
            self.close()
        elif self._incoming is None and data == shot.last and shot.known is not None:
            self._ledger.count(shot.known, self._due, self.since_at, at, shot.body_bytes)
            self.shot, self._used, self.since_at = None, True, at
            self._owner.release(self)
        else:
            self._read(shot, data, at)

    def eof_received(self) -> None:
        """Takes note that the server closes; the transport does the same then."""
        self._ended("the server closed without an answer")

    def connection_lost(self, error: Exception | None) -> None:
        """Takes note that the connection is gone."""
        self._ended(os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error))
        self._owner.leave(self)

    def give_up(self, error: str) -> None:
        """Waits no longer."""
        self._fail(error)
        if self._transport is not None:
            self._transport.abort()
        self._owner.leave(self)

    def abandon(self) -> None:
        """Waits no longer, and counts what is under way as cut off."""
        if self.shot is not None:
            self._ledger.cut_off(self.shot.number, self._due, self.since_at, monotonic())
        self.shot = self._incoming = None
        self.give_up("")

    def close(self) -> None:
        """Closes the connection, whatever is under way."""
        if self._transport is not None:
            if self._is_written():
                self._transport.close()
            else:
                self._transport.abort()
        self._owner.leave(self)

    # --- an answer that is not the same as the last one --------------------------------------------------------------

    def _read(self, shot: Loaded, data: bytes, at: float) -> None:
        first = self._incoming is None
        incoming = self._incoming = self._incoming or self._expecting(shot)
        try:
            complete = incoming.feed(data, at)
        except ValueError as error:
            self._fail(f"RemoteProtocolError: {error}", at)
            self.close()
            return
        if not complete:
            return
        reusable = incoming.head is not None and incoming.head.keep_alive and not incoming.rest and self._is_written()
        known = self._count(incoming, at)
        if first and reusable and known.is_shown:
            shot.last, shot.known, shot.body_bytes = data, known, incoming.body_bytes
        if reusable:
            self._owner.release(self)
        else:
            self.close()

    def _expecting(self, shot: Loaded) -> Incoming:
        return Incoming(self._heads, shot.method, self._bounds)

    def _is_written(self) -> bool:
        return self._transport is None or not self._transport.get_write_buffer_size()

    def _ended(self, how: str) -> None:
        if self.shot is None:
            self._owner.leave(self)
            return
        at = monotonic()
        wrong = self._incoming.end() if self._incoming else how
        if self._incoming and not wrong:
            self._count(self._incoming, at)
            self._owner.leave(self)
        else:
            self._lost(f"RemoteProtocolError: {wrong}")

    def _lost(self, error: str) -> None:
        """Counts what is under way as unanswered, unless it can be sent again.

        Source: RFC 9112 9.3.1: a server may close a connection that it has kept up just when a request comes.
        """
        shot, heard = self.shot, self._incoming is not None and self._incoming.begun
        if shot is not None and self._used and not heard and shot.method in _SAFE:
            self.shot, self._incoming = None, None
            self._owner.leave(self)
            self._owner.again(self._due, shot)
        else:
            self._fail(error)
            self._owner.leave(self)

    def _fail(self, error: str, at: float | None = None) -> None:
        if self.shot is not None:
            self._count(self._incoming or self._expecting(self.shot), at or monotonic(), error)

    def _count(self, incoming: Incoming, at: float, error: str = "") -> Known:
        shot = self.shot
        assert shot is not None
        sent_at, self.since_at = self.since_at, at
        self.shot, self._incoming, self._used = None, None, True
        head_at = incoming.head_at if incoming.head else at
        answer = Answer(incoming.head, incoming.body, sent_at=sent_at, head_at=head_at, done_at=at, error=error)
        return self._ledger.answered(shot.number, self._due, answer, incoming.body_bytes)
