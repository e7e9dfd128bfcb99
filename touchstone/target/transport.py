"""Sends requests to a target and converts each to an exchange, which never contains a secret."""

import contextlib
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx

from touchstone.contract.document import Contract
from touchstone.facts.exchange import EXPIRED, Chunk, Closed, Exchange, Response
from touchstone.facts.wording import was
from touchstone.target import bounds as limits
from touchstone.target.bounds import Bounds, Intake, Refused, Room, cut_head, head_bytes
from touchstone.target.call import Answer, Call, MessageBuilder, OutgoingRequest
from touchstone.target.connections import SURPLUS_BYTES, BoundedBackend, Deadline, Wire
from touchstone.target.keys import KeyCommand, Keys

# After this many pieces of a stream, pieces that arrive within this time (in seconds) are merged.
_MANY_PIECES, _SAME_TIME_S = 1_000, 0.001
# RFC 9110 9.2.1: requests without side effects may be sent again if a reused connection was already closed.
_SAFE = frozenset({"GET", "HEAD"})
_CLOSED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class _Left(Exception):
    """The client closed the connection, because the call says so."""


class WallClock:
    """Real time; *origin* is the monotonic clock at the start of the run."""

    def __init__(self) -> None:
        self.origin = time.monotonic()

    def now(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self.origin

    def pass_s(self, seconds: float) -> None:
        """Lets *seconds* pass at once: the run continues an earlier one, which took so long."""
        self.origin -= seconds

    def rest(self, seconds: float, until: threading.Event | None = None) -> None:
        """Waits for *seconds*, or less if *until* is set; returns at once for 0."""
        if seconds > 0:
            (until or threading.Event()).wait(seconds)


class Transport:
    """HTTP client for one target, with a pool of connections; usable from several threads.

    Args:
        url: Base URL of the target without a trailing slash.
        record: Called with each finished exchange, in the thread that sent it.
        request_timeout_s: Time limit of connecting, of a wait for a byte, and of a whole response that is no stream.
        stopped: Tells whether the run was stopped, after which all waits soon end; None if a run cannot be stopped.
        command: Prints a new primary key once the old one has expired.
    """

    def __init__(
        self,
        url: str,
        keys: Keys,
        contract: Contract,
        record: Callable[[Exchange], None],
        request_timeout_s: float = 30.0,
        stopped: Callable[[], bool] | None = None,
        bounds: Bounds = limits.DEFAULT_BOUNDS,
        command: KeyCommand | None = None,
    ) -> None:
        self.url = url
        self._build = functools.partial(MessageBuilder, url, contract=contract)
        self._builder, self._command = self._build(keys), command
        self.secrets = self._builder.secrets
        self.clock = WallClock()
        self._record = record
        self._timeout_s = request_timeout_s
        self._seq = itertools.count(1)
        self._deadline = Deadline(stopped)
        self._bounds = bounds
        # A server may close an idle connection at any time. Requests with side effects must not be sent twice, so they
        # do not reuse connections. Each of the other clients serves one thread at a time: a pool of httpcore that
        # several threads share may close a connection on which one of them has just sent a request.
        self._single = self._client(kept=0)
        self._resting: list[httpx.Client] = []
        self._reuses, self._is_closed = True, False
        self._room = Room(bounds.max_total_bytes)
        # Number of requests that were sent again, and of bodies and heads that max_total_bytes truncated.
        self.resent = self.repeated = self.cut = self.cut_heads = 0

    def _client(self, kept: int) -> httpx.Client:
        client = httpx.Client(
            transport=Wire(BoundedBackend(self._deadline), kept),
            timeout=self._timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "touchstone", "Accept-Encoding": limits.ACCEPTED},
        )
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))  # no response can set a cookie
        return client

    @property
    def remark(self) -> str:
        """Note for the reports: how many requests were sent again, and how many responses were cut. May be empty."""
        beyond = f"because all together exceed {self._bounds.describe('max_total_bytes')}"
        counts = (
            (self.resent, "read", "reads", "sent again, because the server had just closed the reused connection"),
            (self.repeated, "request", "requests", "repeated with a new key, because the old one had expired"),
            (self.cut, "long body", "long bodies", f"truncated and not judged, {beyond}"),
            (self.cut_heads, "long head", "long heads", f"truncated in the run log, {beyond}"),
        )
        found = [(number, one if number == 1 else many, what) for number, one, many, what in counts if number]
        return "; ".join(f"{number} {noun} {was(number)} {what}" for number, noun, what in found)

    def number_from(self, seq: int) -> None:
        """Gives the next exchange the number *seq*, and the following ones the numbers after it."""
        self._seq = itertools.count(seq)

    def take_number(self) -> int:
        """Returns the number of an exchange that another client sends."""
        return next(self._seq)

    def close(self) -> None:
        """Closes all connections."""
        self._is_closed = True
        for client in (*self._resting, self._single):
            client.close()

    def now(self) -> float:
        """Seconds since the start of the run, as in every exchange."""
        return self.clock.now()

    def send(self, call: Call, case: str = "") -> Exchange:
        """Sends *call*; waits for the whole response or the end of a stream. Does not raise if none arrives.

        If the primary key has expired, the request is repeated once with the new one.
        """
        keys, exchange = self._builder.keys, self._sent(call, case)
        is_own = call.credential == "primary" and "Authorization" not in call.headers
        if self._command and is_own and self._command.renews(keys.primary, exchange.status):
            self._record(replace(exchange, note=exchange.note | {EXPIRED: True}))
            self._builder = self._build(self._command.renewed(keys))
            self.secrets, self.repeated = self._builder.secrets, self.repeated + 1
            exchange = self._sent(call, case)
        self._record(exchange)
        return exchange

    def _sent(self, call: Call, case: str) -> Exchange:
        outgoing = self._builder.prepare(call)
        seq, sent_at = next(self._seq), self.now()
        with self._client_for(outgoing, call) as client:
            outcome = self._exchange(client, outgoing, call)
        done_at = self.now()
        answer = Answer(sent_at=sent_at, done_at=done_at, error=outcome.error, closed=outcome.closed)
        exchange = self._builder.exchange(outgoing, answer, seq, case)
        head_at, note = outcome.head_at or done_at, exchange.note | outcome.note
        return replace(exchange, head_at=head_at, response=outcome.response, note=note)

    @contextlib.contextmanager
    def _client_for(self, outgoing: OutgoingRequest, call: Call) -> Iterator[httpx.Client]:
        if not (call.reuses or outgoing.method in _SAFE) or not self._reuses:
            yield self._single
            return
        try:
            client = self._resting.pop()
        except IndexError:
            client = self._client(kept=1)
        try:
            yield client
        finally:
            self._resting.append(client)
            if self._is_closed:
                client.close()

    def _exchange(self, client: httpx.Client, outgoing: OutgoingRequest, call: Call) -> "_Outcome":
        outcome = _Outcome()
        began = self.now()
        try:
            response = self._receive_head(client, outgoing, call, outcome)
        except _Left:
            outcome.error, outcome.note["left"] = f"Left: the client left during the {call.leaves}", call.leaves
            return outcome
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            outcome.error = self._problem(error)
            is_ours = isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.PoolTimeout)
            if is_ours and not call.stream_s:
                outcome.error += self._limit(call)
            return outcome
        finally:
            if call.opened:
                call.opened.set()
        outcome.head_at = self.now()
        # A response with a Content-Length is no stream: it ends by itself or at the deadline.
        if call.stream_s and "content-length" not in response.headers:
            self._deadline.leave_after(call.stream_s, call.until)
        with contextlib.closing(response):
            self.clock.rest(call.delay_s, call.until)
            if len(response.headers.raw) > self._bounds.max_headers:
                many = f"{len(response.headers.raw)} lines, and {self._bounds.describe('max_headers')}"
                outcome.error = f"RemoteProtocolError: the head has {many}"
            else:
                self._read(response, outcome, began, call)
        if surplus_bytes := response.extensions.get(SURPLUS_BYTES):
            outcome.note["surplus_bytes"] = surplus_bytes
            # More bytes may arrive later and be mistaken for the next response, so connections are no longer reused.
            self._reuses = False
        return outcome

    def _receive_head(
        self, client: httpx.Client, outgoing: OutgoingRequest, call: Call, outcome: "_Outcome"
    ) -> httpx.Response:
        """Sends a request and receives the head; repeats an idempotent one if a reused connection was closed.

        Source: RFC 9110 9.2.2; RFC 9112 9.3.1.
        """
        connected: list[str] = []
        try:
            return self._send(client, outgoing, call, connected)
        except _CLOSED as error:
            # A protocol error without "disconnected" means that the server sent something before it closed.
            has_sent = isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error)
            is_safe = outgoing.method in _SAFE or (call.reuses and outgoing.method == "DELETE")
            if has_sent or self._deadline.received_bytes or connected or not is_safe:
                raise
            outcome.note["resent"] = self._problem(error)
            self.resent += 1
            return self._send(self._single, outgoing, call, connected)

    def _send(
        self, client: httpx.Client, outgoing: OutgoingRequest, call: Call, connected: list[str]
    ) -> httpx.Response:
        def trace(event: str, _info: object) -> None:
            if event.startswith("connection.connect_"):
                connected.append(event)
            if call.leaves == "answer" and event.endswith("receive_response_headers.started"):
                raise _Left

        base, timeout_s = urlsplit(self.url), call.timeout_s or self._timeout_s
        # The path is sent byte for byte: a client that normalises paths would hide how a server handles odd ones.
        request = client.build_request(
            outgoing.method,
            f"{base.scheme}://{base.netloc}",
            headers=dict(outgoing.headers) | ({"Content-Length": str(len(outgoing.body))} if outgoing.body else {}),
            content=_pieces(outgoing.body, call) if call.pause_s or call.leaves == "request" else outgoing.body or None,
            extensions={
                "target": (base.path + outgoing.target).encode("utf-8"),
                # A stream may be silent until its time limit.
                "timeout": httpx.Timeout(timeout_s, read=max(timeout_s, call.stream_s)).as_dict(),
                "trace": trace,
            },
        )
        self._deadline.set(max(call.stream_s, timeout_s), self._bounds.max_head_bytes)
        try:
            return client.send(request, stream=True)
        finally:
            self._deadline.end_head()

    def _problem(self, error: Exception) -> str:
        return self.secrets.text(f"{type(error).__name__}: {error}")

    def _limit(self, call: Call) -> str:
        why = f"{call.timeout_s:g} s, because an earlier {call.operation or call.method} exceeded "
        return f" ({why if call.timeout_s else ''}request_timeout_s = {self._timeout_s:g})"

    def _read(self, response: httpx.Response, outcome: "_Outcome", began: float, call: Call) -> None:
        streamed = call.stream_s > 0
        intake = Intake(response.headers.multi_items(), self._bounds, streamed=streamed)
        chunks: list[Chunk] = []
        problem = ""
        try:
            for data in response.iter_raw():
                content = intake.take(data)
                _add(chunks, Chunk(self.now() - began, content))
                if call.leaves == "response":
                    outcome.note["left"], problem = call.leaves, "Left: the client left during the response"
                    break
            else:
                intake.end()
        except Refused:
            pass
        except httpx.HTTPError as error:
            problem = self._problem(error)
        outcome.response = self._response(response, intake, chunks, streamed, is_cut=bool(problem))
        if problem.startswith("ReadTimeout"):
            outcome.closed = "client" if streamed else ""
            took = f"{self.now() - began:.1f} s and {intake.size} bytes{self._limit(call)}"
            problem = "" if streamed else f"body not complete after {took}"
        elif streamed:
            outcome.closed = "server"
        outcome.error = intake.problem or problem

    def _response(
        self, response: httpx.Response, intake: Intake, chunks: list[Chunk], streamed: bool, *, is_cut: bool
    ) -> Response:
        body = intake.kept(b"".join(chunk.data for chunk in chunks))
        most_bytes = limits.KEPT_BYTES if intake.problem else None
        if not self._room.take(len(body)):
            if not intake.problem:
                self.cut += 1
                intake.problem = f"OutOfRoom: all bodies together exceed {self._bounds.describe('max_total_bytes')}"
            most_bytes = limits.LEAST_KEPT_BYTES
        body = body if most_bytes is None else body[: most_bytes + limits.BEYOND_BYTES]
        pieces = _within(chunks, most_bytes or len(body)) if streamed else ()
        headers, is_cut = response.headers.multi_items(), is_cut or bool(intake.problem)
        cleaned = self._builder.response(
            response.status_code, headers, body, pieces, is_cut=is_cut, most_bytes=most_bytes
        )
        if not self._room.take(head_bytes(cleaned.headers)):
            self.cut_heads += 1
            cleaned = replace(cleaned, headers=cut_head(cleaned.headers))
        return cleaned


def _pieces(body: bytes, call: Call) -> Iterator[bytes]:
    """Yields a request body in two halves, with a pause; a client that leaves during the request sends only one."""
    half = len(body) // 2
    yield body[:half]
    if call.leaves:
        raise _Left
    time.sleep(call.pause_s)
    yield body[half:]


@dataclass
class _Outcome:
    head_at: float = 0.0
    response: Response | None = None
    error: str = ""
    closed: Closed = ""
    note: dict[str, Any] = field(default_factory=dict)


def _add(chunks: list[Chunk], chunk: Chunk) -> None:
    if len(chunks) < _MANY_PIECES or chunk.at_s - chunks[-1].at_s > _SAME_TIME_S:
        chunks.append(chunk)
    else:
        chunks[-1] = Chunk(chunks[-1].at_s, chunks[-1].data + chunk.data)


def _within(chunks: list[Chunk], size: int) -> Iterator[Chunk]:
    """Yields the first *size* bytes of a stream in their pieces."""
    for chunk in chunks:
        if size <= 0:
            return
        yield Chunk(chunk.at_s, chunk.data[:size])
        size -= len(chunk.data)
