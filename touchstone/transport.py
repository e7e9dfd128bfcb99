"""
Sends requests to a target and turns each into an exchange. The only module that imports httpx.

Secrets are replaced before an exchange is made, so nothing downstream ever holds one.
"""

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import httpx

from touchstone.calls import UNKNOWN_KEY, Asked, Call, Keys, Wording, fill
from touchstone.clock import Clock, WallClock
from touchstone.contract import Contract
from touchstone.deadline import BoundedBackend, Deadline
from touchstone.exchange import Chunk, Closed, Exchange, Response
from touchstone.wire import Wire, keep_no_cookies

__all__ = ["MAX_BODY_BYTES", "SERVED", "UNKNOWN_KEY", "Call", "Keys", "Transport", "fill"]

# Where a wire says which recorded exchange it served: a list that each request carries.
SERVED = "touchstone.served"

# Bodies are read up to here; what a build API answers fits a thousand times over.
MAX_BODY_BYTES = 4 * 1024 * 1024


class Transport:
    """
    One connection pool to one target; usable from several threads.

    Args:
        url: Base URL of the target without a trailing slash.
        record: Called with each finished exchange, in the thread that sent it.
        request_timeout_s: Longest wait for a connection, for a byte, or for the whole of a body that is no stream.
        wire: What carries requests in the place of the network. Where it says in `SERVED` which recorded exchange it
            answered with, what is known of that one besides its bytes is taken over.
        stopped: Whether the run was stopped: soon after, nothing is waited for any more. None where nobody can stop it.
    """

    def __init__(
        self,
        url: str,
        keys: Keys,
        contract: Contract,
        record: Callable[[Exchange], None],
        request_timeout_s: float = 30.0,
        wire: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        self.url = url
        self.keys = keys
        self._wording = Wording(url, keys, contract)
        self.secrets = self._wording.secrets
        self.clock = clock or WallClock()
        self._record = record
        self._timeout_s = request_timeout_s
        self._seq = itertools.count(1)
        self._deadline = Deadline(stopped)
        self._client = httpx.Client(
            transport=wire or Wire(BoundedBackend(self._deadline)),
            timeout=request_timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "touchstone"},
        )
        keep_no_cookies(self._client)

    def number_from(self, seq: int) -> None:
        """
        Numbers the exchanges that follow from *seq* on.
        """
        self._seq = itertools.count(seq)

    def close(self) -> None:
        """
        Closes all connections.
        """
        self._client.close()

    def now(self) -> float:
        """
        Seconds since the run started, the clock of every exchange.
        """
        return self.clock.now()

    def send(self, call: Call, case: str = "") -> Exchange:
        """
        Sends *call* and waits for the whole answer, or for the end of its stream.

        An answer that does not come is part of the exchange, not an exception.
        """
        asked = self._wording.asked(call)
        seq, sent_at = next(self._seq), self.now()
        outcome = self._exchange(asked, call)
        done_at = self.now()
        exchange = Exchange(
            seq=seq,
            operation=asked.operation,
            ref=asked.ref,
            credential=call.credential,
            case=case,
            sent_at=sent_at,
            head_at=outcome.head_at or done_at,
            done_at=done_at,
            request=self._wording.request(asked),
            response=outcome.response,
            error=outcome.error,
            closed=outcome.closed,
            note=dict(call.note),
        )
        if outcome.served:
            exchange = _as_recorded(exchange, outcome.served[0])
        self._record(exchange)
        return exchange

    def _exchange(self, asked: Asked, call: Call) -> "_Outcome":
        outcome = _Outcome()
        base = urlsplit(self.url)
        raw_target = (base.path + asked.target).encode("utf-8")
        origin = f"{base.scheme}://{base.netloc}"
        # The target goes out byte for byte: a client that tidies paths hides what a server makes of untidy ones.
        request = self._client.build_request(
            asked.method,
            origin,
            headers=dict(asked.headers),
            content=asked.body or None,
            extensions={"target": raw_target, "timeout": self._timeouts(call), SERVED: outcome.served},
        )
        began = self.now()
        self._deadline.set(max(call.stream_s, self._timeout_s))
        try:
            response = self._client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            outcome.error = self.secrets.text(f"{type(error).__name__}: {error}")
            return outcome
        finally:
            if call.opened:
                call.opened.set()
        outcome.head_at = self.now()
        with _Watch(response, call.stream_s, call.until) as watch:
            self._read(response, outcome, watch, began, streamed=call.stream_s > 0)
        return outcome

    def _timeouts(self, call: Call) -> dict[str, float | None]:
        """
        How long each step of *call* may take. A stream may be silent for as long as it may last.
        """
        return httpx.Timeout(self._timeout_s, read=max(self._timeout_s, call.stream_s)).as_dict()

    def _read(
        self, response: httpx.Response, outcome: "_Outcome", watch: "_Watch", began: float, *, streamed: bool
    ) -> None:
        chunks: list[Chunk] = []
        size = 0
        problem = ""
        try:
            for data in response.iter_bytes():
                size += len(data)
                chunks.append(Chunk(self.now() - began, data))
                if size > MAX_BODY_BYTES:
                    problem = f"the body is longer than {MAX_BODY_BYTES} bytes"
                    break
        except httpx.HTTPError as error:
            problem = self.secrets.text(f"{type(error).__name__}: {error}")
        outcome.response = self._response(response, chunks, streamed)
        if watch.gave_up or problem.startswith("ReadTimeout"):
            outcome.closed = "client" if streamed else ""
            problem = "" if streamed else f"body not complete after {self.now() - began:.1f} s and {size} bytes"
        elif streamed:
            outcome.closed = "server"
        outcome.error = problem

    def _response(self, response: httpx.Response, chunks: list[Chunk], streamed: bool) -> Response:
        body = b"".join(chunk.data for chunk in chunks)
        pieces = chunks if streamed else ()
        return self._wording.response(response.status_code, response.headers.multi_items(), body, pieces)


class _Watch:
    """
    Ends a stream from outside when its time is up or nobody wants it any more.

    A blocked read cannot look at a clock, so another thread shuts the socket down under it.
    """

    def __init__(self, response: httpx.Response, limit_s: float, until: threading.Event | None) -> None:
        self.gave_up = False
        self._response = response
        self._limit_s = limit_s
        self._until = until or threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "_Watch":
        # An answer of another kind, and one whose length is announced, ends by itself or with the deadline.
        if self._limit_s and "content-length" not in self._response.headers:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._until.set()
        self._response.close()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        self._until.wait(self._limit_s)
        if self._ended:
            return
        self.gave_up = True
        stream = self._response.extensions.get("network_stream")
        raw = stream.get_extra_info("socket") if stream else None
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)


@dataclass
class _Outcome:
    head_at: float = 0.0
    response: Response | None = None
    error: str = ""
    closed: Closed = ""
    served: list[Exchange] = field(default_factory=list)


def _as_recorded(exchange: Exchange, served: Exchange) -> Exchange:
    """
    The recorded exchange that answered, with what was sent and read this time.
    """
    response = exchange.response
    if response and served.response and len(served.response.chunks) == len(response.chunks):
        pairs = zip(served.response.chunks, response.chunks, strict=True)
        response = replace(response, chunks=tuple(Chunk(old.at_s, new.data) for old, new in pairs))
    return replace(
        served,
        operation=exchange.operation,
        ref=exchange.ref,
        case=exchange.case,
        request=exchange.request,
        response=response,
    )
