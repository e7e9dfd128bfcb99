"""The connections of a side-car: who sends the next arrival, and what waits while nobody can."""

import asyncio
import math
import os
import socket
import ssl
from collections import deque
from time import monotonic
from typing import Any

from touchstone.loadgen.bulk_connection import Connection, Loaded
from touchstone.loadgen.bulk_ledger import Ledger
from touchstone.loadgen.bulk_wire import Setup
from touchstone.loadgen.heads import HeadReader
from touchstone.target.answer import Answer
from touchstone.target.tls import trusting

# Connections that are being opened at once: each takes some of the time in which arrivals are to be sent.
_OPENING = 8

# Opened ahead: as many as are under way where each answer takes so long.
_AHEAD_S = 0.005

# Common servers close a connection after 5 s without a request; one that is closed by us costs no request. It costs
# time, though, so many are not closed at once.
_IDLE_S = 3.0
_CLOSED_A_SWEEP = 4

# While none can be opened, it is tried this often.
_RETRY_S = 0.1

_CUT_OFF = "ReadTimeout: no answer yet when the run ended"


class Pool:
    """Up to so many connections to one target; the last one that came free is the first to be used.

    Attributes:
        sent: Arrivals that were sent.
        connections: All that are open.
    """

    def __init__(self, setup: Setup, ledger: Ledger) -> None:
        self.sent = 0
        self.connections: set[Connection] = set()
        self._setup = setup
        self._ledger = ledger
        self._heads = HeadReader(setup.bounds)
        self._free: list[Connection] = []
        self._waiting: deque[tuple[float, Loaded]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._tls = trusting() if setup.tls else None
        self._addresses: list[Any] = []
        self._refused_at = -math.inf
        self._refused_since = math.inf

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self.connections) - len(self._free)

    @property
    def waiting(self) -> int:
        """Arrivals that wait for a connection."""
        return len(self._waiting)

    @property
    def waiting_since(self) -> float:
        """When the first of them was due; infinite where none waits."""
        return self._waiting[0][0] if self._waiting else math.inf

    def send(self, due: float, shot: Loaded) -> None:
        """Sends an arrival, or has it wait behind those that wait already."""
        if self._free:
            self.sent += 1
            self._free.pop().send(due, shot)
        else:
            self._waiting.append((due, shot))
            self._open_more(self.waiting)

    async def open_ahead(self, rate_per_s: float) -> None:
        """Opens as many connections as *rate_per_s* is likely to need, as far as the target lets it."""
        likely = max(self._setup.ahead, math.ceil(rate_per_s * _AHEAD_S))
        wanted = max(1, min(self._setup.max_connections, likely))
        # Each turn one is opened, refused, or open only to be closed by the target.
        for _ in range(2 * wanted):
            missing = wanted - len(self.connections)
            if missing > 0:
                self._open_more(missing)
            if missing <= 0 or not self._opening:
                return
            await asyncio.wait(self._opening, return_when=asyncio.FIRST_COMPLETED)

    def sweep(self, now: float) -> None:
        """Gives up what takes too long, and closes what is not used; called every now and then."""
        timeout_s = self._setup.timeout_s
        idle: list[Connection] = []
        for connection in list(self.connections):
            rests_s = now - connection.since_at
            if connection.shot is None:
                if rests_s > _IDLE_S:
                    idle.append(connection)
            elif rests_s > timeout_s:
                connection.give_up(f"ReadTimeout: no complete answer within {timeout_s:g} s")
        for connection in idle[:_CLOSED_A_SWEEP]:
            connection.close()
        if self._waiting:
            self._open_more(self.waiting)

    def drop_waiting(self) -> None:
        """Counts all that waits as not sent."""
        while self._waiting:
            due, shot = self._waiting.popleft()
            self._ledger.skip(shot.number, due)

    def cut_off(self, *, stopped: bool) -> None:
        """Gives up all that waits and all that is under way.

        Args:
            stopped: Whether somebody stopped the run: then what is under way had no chance, and is counted so.
        """
        self.drop_waiting()
        for connection in list(self.connections):
            if stopped:
                connection.abandon()
            else:
                connection.give_up(_CUT_OFF)

    # --- what connections tell ---------------------------------------------------------------------------------------

    def join(self, connection: Connection) -> None:
        """Takes a new connection."""
        self.connections.add(connection)
        self._refused_at, self._refused_since = -math.inf, math.inf
        self.release(connection)

    def release(self, connection: Connection) -> None:
        """Takes a connection back that is free again."""
        if self._waiting:
            due, shot = self._waiting.popleft()
            self.sent += 1
            connection.send(due, shot)
        else:
            self._free.append(connection)

    def leave(self, connection: Connection) -> None:
        """Forgets a connection that is closed or will be; to forget it twice does nothing."""
        if connection in self.connections:
            self.connections.remove(connection)
            if connection in self._free:
                self._free.remove(connection)
            self._open_more(self.waiting)

    def again(self, due: float, shot: Loaded) -> None:
        """Takes an arrival back that was sent and has certainly not been answered."""
        self.sent -= 1
        self._ledger.note("reads were sent again where the server had closed their connection just before")
        self._waiting.appendleft((due, shot))
        # Not now: as many connections may be found closed, one within the other.
        asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        while self._waiting and self._free:
            self.release(self._free.pop())
        self._open_more(self.waiting)

    # --- opening -----------------------------------------------------------------------------------------------------

    def _open_more(self, wanted: int) -> None:
        if monotonic() - self._refused_at < _RETRY_S:
            return
        room = self._setup.max_connections - len(self.connections)
        for _ in range(min(wanted, room, _OPENING) - len(self._opening)):
            task = asyncio.get_running_loop().create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        began_at = monotonic()
        try:
            async with asyncio.timeout(self._setup.timeout_s):
                await self._connect()
        except TimeoutError:
            self._refused(f"ConnectTimeout: no connection within {self._setup.timeout_s:g} s", began_at)
        except ssl.SSLError as error:
            self._refused(f"ConnectError: {getattr(error, 'verify_message', '') or error.reason or error}", began_at)
        except OSError as error:
            words = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            self._refused(f"ConnectError: {words}", began_at)
        else:
            self._open_more(self.waiting)

    async def _connect(self) -> None:
        """Tries one address after the other, from now on first the one that was reached last."""
        loop, setup = asyncio.get_running_loop(), self._setup
        if not self._addresses:
            self._addresses = await loop.getaddrinfo(setup.host, setup.port, type=socket.SOCK_STREAM)
        for number, (*_, address) in enumerate(self._addresses):
            try:
                await loop.create_connection(
                    lambda: Connection(self, self._ledger, self._heads, setup.bounds),
                    *address[:2],
                    ssl=self._tls,
                    server_hostname=setup.host if self._tls else None,
                )
            except OSError:
                if number == len(self._addresses) - 1:
                    self._addresses = []
                    raise
            else:
                self._addresses.insert(0, self._addresses.pop(number))
                return

    def _refused(self, error: str, began_at: float) -> None:
        """Counts all that waits as unanswered if there is no connection left that could send it.

        The target is late here, not the sender: what was due since it stopped to let anybody in would have been sent
        when it was due.
        """
        self._refused_at = monotonic()
        self._refused_since = min(self._refused_since, began_at)
        if self.connections:
            return
        origin, now = self._ledger.origin, self._refused_at
        while self._waiting:
            due, shot = self._waiting.popleft()
            self.sent += 1
            sent_at = min(max(origin + due, self._refused_since), now)
            answer = Answer(sent_at=sent_at, head_at=now, done_at=now, error=error)
            self._ledger.answered(shot.number, due, answer, 0)
