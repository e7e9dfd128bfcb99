"""Connections that stand open before a request is due: timed, bounded, and without secrets in what is kept.

httpcore speaks HTTP; the deadline and the bounds of an answer are those of `touchstone.target`. A pool of httpcore
would open a connection when a request is due, and not before.
"""

import contextlib
import functools
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

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
_FRESH_S = 1.5
# RFC 9110 9.2.1: what changes nothing may be sent again where a connection turns out to be closed.
_SAFE = frozenset({"GET", "HEAD"})
# A thread for each request under way at once.
_MOST_THREADS = 1024
_SENT = "http11.send_request_body.complete"
_FAILED = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to be sent.

    Attributes:
        headers: With the key.
        request: What it says, without secrets.
    """

    operation: str
    ref: str | None
    url: httpcore.URL = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(repr=False)
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
        return retry_after_s(Response(self.status, self.headers))


class Link:
    """Sends requests with the first key, each in the thread that calls; usable from several threads.

    Args:
        now: The clock of the run.

    Attributes:
        secrets: Every value that must not be kept.
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
        self._closed = threading.Event()
        self._deadline = Deadline(self._closed.is_set)
        self._threads = ThreadPoolExecutor(_MOST_THREADS)
        # With when each was used last.
        self._free: list[tuple[float, httpcore.HTTP11Connection]] = []
        self.prepared = functools.lru_cache(4096)(self._prepared)

    def spawn(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Does something in a thread of its own."""
        return self._threads.submit(work, *arguments)

    def open(self, count: int) -> None:
        """Has so many connections stand open, all opened at once; one that fails says so when it is needed."""
        fresh = [each for each in (self._taken() for _ in range(count)) if each]
        opening = [self.spawn(self._connected) for _ in range(count - len(fresh))]
        wait(opening)
        fresh += [each.result() for each in opening if not each.exception()]
        self._free += [(self.now(), each) for each in fresh]

    def _taken(self) -> httpcore.HTTP11Connection | None:
        """A connection that stands open, and of which the server has neither closed it nor said anything unasked."""
        with contextlib.suppress(IndexError):
            while True:
                used_at, connection = self._free.pop()
                if self.now() - used_at <= _FRESH_S and not connection.has_expired():
                    return connection
                connection.close()
        return None

    def _connected(self) -> httpcore.HTTP11Connection:
        """A new connection.

        Raises:
            httpcore.ConnectError: there is none; ConnectTimeout is one that took too long.
        """
        origin = httpcore.Origin(b"https" if self._tls else b"http", self._host.encode(), self._port)
        try:
            stream = BoundedBackend(self._deadline).connect_tcp(self._host, self._port, self.timeout_s)
            stream = stream.start_tls(self._tls, self._host, self.timeout_s) if self._tls else stream
        except ValueError as error:  # the name is none that DNS or TLS can hold
            raise httpcore.ConnectError(str(error)) from None
        return httpcore.HTTP11Connection(origin, stream)

    def send(self, prepared: Prepared, timeout_s: float = 0.0, sent: threading.Event | None = None) -> Reply:
        """Sends a request and waits for the answer. A read that finds its connection just closed is sent once more.

        Args:
            timeout_s: What it may take, in the place of what the target may take for any answer.
            sent: Is set as soon as it is sent, or cannot be.
        """
        timeout_s, connection = timeout_s or self.timeout_s, self._taken()
        was_used = connection is not None and connection.is_idle()
        reply = self._exchange(prepared, timeout_s, connection, sent)
        is_unheard = not (reply.status or self._deadline.heard_bytes)
        if reply.error and was_used and is_unheard and prepared.request.method in _SAFE:
            return self._exchange(prepared, timeout_s, None, sent)
        return reply

    def _exchange(
        self,
        prepared: Prepared,
        timeout_s: float,
        connection: httpcore.HTTP11Connection | None,
        sent: threading.Event | None,
    ) -> Reply:
        reply = Reply(sent_at=self.now())
        self._deadline.set(timeout_s, self.bounds.max_head_bytes)
        try:
            connection = connection or self._connected()
            self._read(reply, connection, prepared, sent)
        except httpcore.ReadTimeout:
            what = f"body not complete after {len(reply.body)} bytes and" if reply.status else "no answer within"
            reply.error = f"ReadTimeout: {what} {timeout_s:g} s"
        except _FAILED as error:
            reply.error = f"{type(error).__name__}: {error}"
        finally:
            if sent:
                sent.set()
        reply.done_at = self.now()
        # What comes behind the end of an answer would be taken for the next one.
        if connection and (reply.error or connection._h11_state.trailing_data[0]):  # noqa: SLF001 - nothing public has it
            connection.close()
        elif connection and connection.is_idle():
            self._free.append((reply.done_at, connection))
        return reply

    def _read(
        self,
        reply: Reply,
        connection: httpcore.HTTP11Connection,
        prepared: Prepared,
        sent: threading.Event | None,
    ) -> None:
        """Sends a request and reads the answer into *reply*, as far as it keeps to its bounds."""
        method, headers = prepared.request.method, list(prepared.headers)
        extensions: dict[str, Any] = {"timeout": {"write": self.timeout_s}}
        if sent:
            extensions["trace"] = lambda event, _: sent.set() if event == _SENT else None
        request = httpcore.Request(method, prepared.url, headers=headers, content=prepared.body, extensions=extensions)
        response = connection.handle_request(request)
        self._deadline.headed()
        reply.status, reply.head_at = response.status, self.now()
        reply.headers = tuple((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in response.headers)
        if (count := len(reply.headers)) > self.bounds.max_headers:
            raise httpcore.RemoteProtocolError(f"the head has {count} lines, and {self.bounds.told('max_headers')}")
        intake, pieces = Intake(reply.headers, self.bounds), list[bytes]()
        try:
            for piece in response.iter_stream():
                pieces.append(intake.take(piece))
            intake.end()
        except Refused:
            pass
        finally:
            reply.body = intake.kept(b"".join(pieces))
            reply.error = intake.problem
            response.close()

    def exchange(self, prepared: Prepared, reply: Reply, seq: int, case: str) -> Exchange:
        """What crossed the wire, without secrets."""
        most_bytes = KEPT_BYTES if reply.error else None
        response = self._wording.response(
            reply.status, reply.headers, reply.body, is_cut=bool(reply.error), most_bytes=most_bytes
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
        headers |= {"Content-Length": str(len(asked.body))} if asked.method not in _SAFE else {}
        raw = tuple((name.encode(), value.encode()) for name, value in (headers | dict(asked.headers)).items())
        target, scheme = (self._base_path + asked.target).encode(), b"https" if self._tls else b"http"
        url = httpcore.URL(scheme=scheme, host=self._host.encode(), port=self._port, target=target)
        return Prepared(asked.operation, asked.ref, url, raw, asked.body, self._wording.request(asked))

    def close(self) -> None:
        """Closes all connections; whoever waits for an answer gets an error soon after."""
        self._closed.set()
        while self._free:
            self._free.pop()[1].close()
        self._threads.shutdown(wait=False)
