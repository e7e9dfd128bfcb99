"""
Sends requests to a target and turns each into an exchange. The only module that imports httpx.

Secrets are replaced before an exchange is made, so nothing downstream ever holds one.
"""

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from touchstone.clock import Clock, WallClock
from touchstone.contract import Contract
from touchstone.deadline import BoundedBackend, Deadline
from touchstone.exchange import Chunk, Closed, Credential, Exchange, Request, Response
from touchstone.redact import Secrets
from touchstone.wire import Wire, keep_no_cookies

# A key of the documented form that no account can have: it is not random, so two runs send the same bytes.
UNKNOWN_KEY = "sk_live_" + "0" * 24

# Where a wire says which recorded exchange it served: a list that each request carries.
SERVED = "touchstone.served"

# Bodies are read up to here; what a build API answers fits a thousand times over.
MAX_BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Keys:
    """
    The keys of the accounts that a run may use; None where there is none.
    """

    primary: str = field(repr=False)
    second: str | None = field(default=None, repr=False)
    restricted: str | None = field(default=None, repr=False)

    def headers(self, credential: Credential) -> dict[str, str]:
        """
        The Authorization header for *credential*; empty where none is sent.

        Raises:
            LookupError: the run has no such key.
        """
        match credential:
            case "none" | "query":
                return {}
            case "malformed":
                return {"Authorization": f"Basic {self.primary}"}
            case "lowercase-scheme":
                return {"Authorization": f"bearer {self.primary}"}
        return {"Authorization": f"Bearer {self.value(credential)}"}

    def value(self, credential: Credential) -> str:
        """
        The key behind *credential*.
        """
        known: dict[str, str | None] = {
            "primary": self.primary,
            "second": self.second,
            "restricted": self.restricted,
            "unknown": UNKNOWN_KEY,
            "longer": self.primary + "x",
            "shorter": self.primary[:-1],
            "recased": self.primary.swapcase(),
        }
        key = known.get(credential)
        if not key:
            raise LookupError(f"no key for {credential!r}")
        return key

    def secrets(self) -> Secrets:
        """
        Every value that must not reach an exchange.
        """
        named = {
            "longer": self.primary + "x",
            "primary": self.primary,
            "shorter": self.primary[:-1],
            "headless": self.primary[1:],
            "recased": self.primary.swapcase(),
            "second": self.second,
            "restricted": self.restricted,
            "unknown": UNKNOWN_KEY,
        }
        return Secrets({name: value for name, value in named.items() if value})


@dataclass(frozen=True, slots=True)
class Call:
    """
    A request to be sent.

    Attributes:
        operation: operationId, or empty for a request outside the contract (then *method* and *path* say all).
        ref: ``namespace/name@version``; its parts fill the path, percent-encoded.
        path: Path and query below the target's base, exactly as to be sent; wins over *ref*.
        stream_s: For a stream: seconds after which it is left alone if the server did not end it.
        until: For a stream: leave it as soon as this event is set.
        opened: Set when the head of the answer has arrived, or will not arrive.
    """

    operation: str = ""
    ref: str | None = None
    credential: Credential = "primary"
    method: str = ""
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    note: Mapping[str, Any] = field(default_factory=dict)
    stream_s: float = 0.0
    until: threading.Event | None = None
    opened: threading.Event | None = None


class Transport:
    """
    One connection pool to one target; usable from several threads.

    Args:
        url: Base URL of the target without a trailing slash.
        record: Called with each finished exchange, in the thread that sent it.
        request_timeout_s: Longest wait for a connection, for a byte, or for the whole of a body that is no stream.
        wire: What carries requests in the place of the network. Where it says in `SERVED` which recorded exchange it
            answered with, what is known of that one besides its bytes is taken over.
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
    ) -> None:
        self.url = url
        self.keys = keys
        self.secrets = keys.secrets()
        self.clock = clock or WallClock()
        self._contract = contract
        self._record = record
        self._timeout_s = request_timeout_s
        self._seq = itertools.count(1)
        self._deadline = Deadline()
        self._client = httpx.Client(
            transport=wire or Wire(BoundedBackend(self._deadline)),
            timeout=request_timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "touchstone"},
        )
        keep_no_cookies(self._client)

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
        method, target = self._target(call)
        headers = {"Accept": "*/*"} | self.keys.headers(call.credential) | dict(call.headers)
        if call.credential == "query":
            target += ("&" if "?" in target else "?") + f"api_key={quote(self.keys.primary)}"
        seq, sent_at = next(self._seq), self.now()
        outcome = self._exchange(method, target, headers, call)
        done_at = self.now()
        exchange = Exchange(
            seq=seq,
            operation=call.operation or self._operation(method, target),
            ref=call.ref or self._ref(method, target),
            credential=call.credential,
            case=case,
            sent_at=sent_at,
            head_at=outcome.head_at or done_at,
            done_at=done_at,
            request=self._request(method, target, headers, call.body),
            response=outcome.response,
            error=outcome.error,
            closed=outcome.closed,
            note=dict(call.note),
        )
        if outcome.served:
            exchange = _as_recorded(exchange, outcome.served[0])
        self._record(exchange)
        return exchange

    def _target(self, call: Call) -> tuple[str, str]:
        operation = self._contract.operations.get(call.operation)
        method = call.method or (operation.method if operation else "GET")
        path = call.path or (fill(operation.path, call.ref) if operation else "")
        if call.query:
            path += "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in call.query.items())
        return method, path

    def _operation(self, method: str, target: str) -> str:
        found = self._contract.match(method, target.partition("?")[0])
        return found[0].id if found else ""

    def _ref(self, method: str, target: str) -> str | None:
        path = target.partition("?")[0]
        found = self._contract.match(method, path) or self._contract.match("GET", path)
        values = found[1] if found else {}
        if not {"namespace", "name", "version"} <= values.keys():
            return None
        return f"{values['namespace']}/{values['name']}@{values['version']}"

    def _request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        return Request(
            method=method,
            url=self.secrets.text(self.url + target),
            headers=self.secrets.headers(tuple(headers.items())),
            body=self.secrets.data(body),
        )

    def _exchange(self, method: str, target: str, headers: Mapping[str, str], call: Call) -> "_Outcome":
        outcome = _Outcome()
        base = urlsplit(self.url)
        raw_target = (base.path + target).encode("utf-8")
        origin = f"{base.scheme}://{base.netloc}"
        # The target goes out byte for byte: a client that tidies paths hides what a server makes of untidy ones.
        request = self._client.build_request(
            method,
            origin,
            headers=dict(headers),
            content=call.body or None,
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
        body = self.secrets.data(b"".join(chunk.data for chunk in chunks))
        headers = self.secrets.headers(tuple(response.headers.multi_items()))
        kept = tuple(Chunk(c.at_s, self.secrets.data(c.data)) for c in chunks) if streamed else ()
        if kept and b"".join(chunk.data for chunk in kept) != body:
            # The network cut a secret in two, and no piece of it may be kept.
            kept = (Chunk(kept[-1].at_s, body),)
        return Response(response.status_code, headers, body, kept)


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


def fill(template: str, ref: str | None) -> str:
    """
    A path template with the parts of *ref* percent-encoded in it.
    """
    if ref is None:
        return template
    namespace, _, rest = ref.partition("/")
    name, _, version = rest.rpartition("@")
    parts = {"{namespace}": namespace, "{name}": name, "{version}": version}
    for placeholder, value in parts.items():
        template = template.replace(placeholder, quote(value, safe=""))
    return template
