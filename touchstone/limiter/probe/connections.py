"""Connections that stand open before a request is due: timed, bounded, and without secrets in what is kept.

h11 speaks HTTP; the deadline and the bounds of an answer are those of `touchstone.target`.
"""

import contextlib
import functools
import json
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import h11
import httpcore

from touchstone.config import TargetSettings
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Exchange, Request, Response
from touchstone.facts.patience import retry_after_s
from touchstone.target.body import Intake, Refused
from touchstone.target.bounds import KEPT_BYTES
from touchstone.target.call import Call, Keys, Wording
from touchstone.target.connections import BoundedBackend, Deadline
from touchstone.target.tls import trusting

# A connection that was idle for longer is not relied on: servers close them, some after a few seconds.
FRESH_S = 1.5
# RFC 9110 9.2.1: what changes nothing may be sent again where a connection turns out to be closed.
_SAFE = frozenset({"GET", "HEAD"})
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
# A thread for each request under way at once.
MOST_THREADS = 1024
_PIECE_BYTES = 65_536
_FAILED = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, h11.ProtocolError)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to be sent.

    Attributes:
        wire: All its bytes.
        events: The same for a parser, which has to know what was sent.
        request: What it asks, without secrets.
    """

    operation: str
    ref: str | None
    method: str
    wire: bytes = field(repr=False)
    events: tuple[Any, ...] = field(repr=False)
    request: Request


@dataclass(slots=True)
class Reply:
    """One answer, or why there is none. Times are run seconds.

    Attributes:
        status: 0 where no head came.
        headers: Names in lower case.
        error: Why it is not complete; empty where it is.
    """

    sent_at: float = 0.0
    head_at: float = 0.0
    done_at: float = 0.0
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    error: str = ""

    @property
    def whole_status(self) -> int:
        """The status, or 0 where no complete answer came."""
        return 0 if self.error else self.status

    @property
    def build_status(self) -> object:
        """The status of the build in it; None where it holds none."""
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            return json.loads(self.body).get("status")
        return None

    @property
    def retry_after_s(self) -> float | None:
        """Seconds that Retry-After asks to wait, or None."""
        return retry_after_s(Response(self.status, self.headers)) if self.status else None


class Link:
    """Sends requests with the first key; usable from several threads.

    Args:
        now: The clock of the run.

    Attributes:
        secrets: Every value that must not be kept.
        lines: The connections that are open.
    """

    def __init__(self, url: str, target: TargetSettings, contract: Contract, now: Callable[[], float]) -> None:
        base = urlsplit(url)
        self._tls = trusting() if base.scheme == "https" else None
        self._host, self._port = base.hostname or "", base.port or (443 if self._tls else 80)
        self._netloc, self._base_path = base.netloc.rpartition("@")[2], base.path
        keys = Keys(target.api_key or "", target.second_api_key, target.restricted_api_key)
        self._wording = Wording(url, keys, contract)
        self.secrets = self._wording.secrets
        self.now, self.timeout_s, self.bounds = now, target.request_timeout_s, target.bounds
        self.deadline = Deadline()
        self._backend = BoundedBackend(self.deadline)
        self._threads = ThreadPoolExecutor(MOST_THREADS)
        self.lines: set[Line] = set()
        self._limited: list[Line] = []
        self._beside: list[Line] = []
        self._lock = threading.Lock()
        self.prepared = functools.lru_cache(4096)(self._prepared)

    def spawn(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Does something in a thread of its own."""
        return self._threads.submit(work, *arguments)

    def take(self, count: int) -> "list[Line]":
        """So many connections for limited requests, opened all at once; one that fails says so when it is used."""
        return self._opened(self._limited, count)

    def give_back(self, lines: "Iterable[Line]") -> None:
        """These are not used any more, or not yet."""
        self._limited += lines

    def open_beside(self, count: int) -> None:
        """Has so many connections open on which other requests may be sent at once."""
        self._beside += self._opened(self._beside, count)

    def _opened(self, free: "list[Line]", count: int) -> "list[Line]":
        with self._lock:
            lines = [free.pop() if free else Line(self) for _ in range(count)]
        for future in [self.spawn(line.open) for line in lines if not line.is_fresh()]:
            with contextlib.suppress(*_FAILED):
                future.result()
        return lines

    def beside(self, operation: str, ref: str) -> "Line":
        """Sends another one, in nobody's way; its connection, which `answer` takes back."""
        with self._lock:
            line = self._beside.pop() if self._beside else Line(self)
        line.send(self.prepared(operation, ref))
        return line

    def answer(self, line: "Line") -> Reply:
        """The answer to a request that `beside` sent."""
        reply = line.receive()
        self._beside.append(line)
        return reply

    def connected(self) -> httpcore.NetworkStream:
        """A new connection.

        Raises:
            httpcore.ConnectError: there is none; ConnectTimeout is one that took too long.
        """
        try:
            stream = self._backend.connect_tcp(self._host, self._port, self.timeout_s)
            return stream.start_tls(self._tls, self._host, self.timeout_s) if self._tls else stream
        except ValueError as error:  # the name is none that DNS or TLS can hold
            raise httpcore.ConnectError(str(error)) from None

    def exchange(self, prepared: Prepared, reply: Reply, seq: int, case: str) -> Exchange:
        """What crossed the wire, without secrets."""
        response = self._wording.response(
            reply.status,
            reply.headers,
            reply.body,
            is_cut=bool(reply.error),
            most_bytes=KEPT_BYTES if reply.error else None,
        )
        return Exchange(
            seq=seq,
            operation=prepared.operation,
            ref=prepared.ref,
            credential="primary",
            case=case,
            sent_at=reply.sent_at,
            head_at=reply.head_at or reply.done_at,
            done_at=reply.done_at,
            request=prepared.request,
            response=response if reply.status else None,
            error=self.secrets.text(reply.error),
            closed="",
            note={},
        )

    def _prepared(self, operation: str, ref: str) -> Prepared:
        asked = self._wording.asked(Call(operation, ref))
        headers = {"Host": self._netloc, "User-Agent": "touchstone", "Accept-Encoding": "identity"}
        if asked.method in _WITH_LENGTH:
            headers["Content-Length"] = str(len(asked.body))
        head = h11.Request(
            method=asked.method,
            target=(self._base_path + asked.target).encode(),
            headers=list((headers | dict(asked.headers)).items()),
        )
        events = (head, h11.Data(asked.body), h11.EndOfMessage())
        writer = h11.Connection(h11.CLIENT)
        wire = b"".join(writer.send(event) or b"" for event in events)
        return Prepared(asked.operation, asked.ref, asked.method, wire, events, self._wording.request(asked))

    def close(self) -> None:
        """Closes all connections; whoever waits for an answer gets an error."""
        for line in self.lines.copy():
            line.shut()
        self._threads.shutdown(wait=False)


class Line:
    """One connection, and the request that is under way on it; `send` and `receive` may be called by two threads."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._stream: httpcore.NetworkStream | None = None
        self._used_at = 0.0
        self._was_used = False
        self._reply = Reply()
        self._prepared: Prepared | None = None
        self._http = h11.Connection(h11.CLIENT)

    def is_fresh(self) -> bool:
        """Whether it is open, and the server has neither closed it nor said anything that nobody asked for."""
        if self._stream is None:
            return False
        is_idle = self._link.now() - self._used_at > FRESH_S
        return not is_idle and not self._stream.get_extra_info("is_readable")

    def open(self) -> None:
        """Connects, where it is not to be relied on any more.

        Raises:
            httpcore.ConnectError: it cannot.
        """
        if not self.is_fresh():
            self._close()
            self._stream = self._link.connected()
            self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=self._link.bounds.max_head_bytes)
            self._was_used = False
            self._used_at = self._link.now()
            self._link.lines.add(self)

    def exchange(self, prepared: Prepared) -> Reply:
        """Sends a request and waits for its answer."""
        self.send(prepared)
        return self.receive()

    def send(self, prepared: Prepared) -> None:
        """Sends a request; what goes wrong is said by `receive`."""
        self._prepared, self._reply = prepared, Reply(sent_at=self._link.now())
        try:
            self.open()
            assert self._stream is not None
            self._stream.write(prepared.wire, self._link.timeout_s)
        except _FAILED as error:
            self._reply.error = f"{type(error).__name__}: {error}"

    def receive(self, timeout_s: float = 0.0) -> Reply:
        """The answer to the request that was sent last.

        A read that meets a connection which was just closed is sent once more.

        Args:
            timeout_s: What it may take, in the place of what the target may take for any answer.
        """
        reply = self._received(timeout_s or self._link.timeout_s)
        assert self._prepared is not None
        is_unheard = not (reply.status or self._link.deadline.heard_bytes)
        if reply.error and self._was_used and is_unheard and self._prepared.method in _SAFE:
            self.send(self._prepared)
            reply = self._received(timeout_s or self._link.timeout_s)
        return reply

    def _received(self, timeout_s: float) -> Reply:
        reply = self._reply
        self._link.deadline.set(reply.sent_at + timeout_s - self._link.now(), self._link.bounds.max_head_bytes)
        if not reply.error:
            try:
                self._read(reply)
            except httpcore.TimeoutException:
                what = f"body not complete after {len(reply.body)} bytes and" if reply.status else "no answer within"
                reply.error = f"ReadTimeout: {what} {timeout_s:g} s"
            except _FAILED as error:
                reply.error = f"{type(error).__name__}: {error}"
        reply.done_at = self._used_at = self._link.now()
        if reply.error or self._http.trailing_data[0] or self._http.their_state is not h11.DONE:
            self._close()
        else:
            self._was_used = True
            self._http.start_next_cycle()
        return reply

    def _read(self, reply: Reply) -> None:
        """Reads the answer into *reply*, as far as it keeps to its bounds."""
        assert self._prepared is not None
        assert self._stream is not None
        for sent in self._prepared.events:
            self._http.send(sent)
        intake, pieces = Intake((), self._link.bounds), list[bytes]()
        try:
            while not isinstance(event := self._http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    data = self._stream.read(_PIECE_BYTES, None)
                    if not data and not reply.status:
                        raise httpcore.RemoteProtocolError("Server disconnected without sending a response.")
                    self._http.receive_data(data)
                elif isinstance(event, h11.Response):
                    self._headed(event, reply)
                    intake = Intake(reply.headers, self._link.bounds)
                elif isinstance(event, h11.Data):
                    pieces.append(intake.take(bytes(event.data)))
            intake.end()
        except Refused:
            pass
        finally:
            reply.body = intake.kept(b"".join(pieces))
            reply.error = intake.problem

    def _headed(self, event: h11.Response, reply: Reply) -> None:
        link = self._link
        link.deadline.headed()
        reply.status, reply.head_at = event.status_code, link.now()
        reply.headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
        if len(reply.headers) > link.bounds.max_headers:
            lines = len(reply.headers)
            raise httpcore.RemoteProtocolError(f"the head has {lines} lines, and {link.bounds.told('max_headers')}")

    def shut(self) -> None:
        """Closes it, and ends the waiting of whoever waits for an answer."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            self._stream.close()

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._link.lines.discard(self)
