"""Calls to a target and its raw responses; builds requests with keys, and redacted copies of both."""

import posixpath
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from touchstone.contract.document import Contract
from touchstone.facts.backoff import retry_after_s
from touchstone.facts.exchange import Chunk, Closed, Credential, Exchange, Request, Response
from touchstone.target.bounds import BEYOND_BYTES, KEPT_BYTES, head_bytes
from touchstone.target.keys import Keys

NOT_REACHED = ("ConnectError", "ConnectTimeout")  # how `Answer.error` begins if no connection was made


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header fields of a response, in order: names in lower case, values stripped."""

    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Answer:
    """One response, or the reason why it is missing. Times are in seconds, on the client's clock."""

    head: Head | None = None
    body: bytes = b""  # received part of the body, without transfer coding
    chunks: list[tuple[float, bytes]] = field(default_factory=list)  # of a stream; each with its seconds from *sent_at*
    sent_at: float = 0.0  # start of the request, before its connection was opened
    head_at: float = 0.0  # arrival of the complete head; equals *done_at* if no complete head arrived
    done_at: float = 0.0
    error: str = ""  # why the response is incomplete, such as ``ReadTimeout: no byte within 5.0 s``
    closed: Closed = ""  # which side closed a stream; ``client`` if the time limit ended it
    seq: int = 0  # number of the exchange; 0 if it has none yet
    cut_off: bool = False  # whether the run stopped before the response was complete

    @property
    def status(self) -> int:
        """Status code; 0 if no complete response came."""
        return self.head.status if self.head and (self.closed or not self.error) else 0

    @property
    def content(self) -> Mapping[str, Any]:
        """Response body as a JSON object; empty if it is anything else."""
        return Response(self.status, (), self.body).json_object() or {}

    @property
    def retry_after_s(self) -> float | None:
        """Delay in seconds from Retry-After; None without a valid header."""
        return retry_after_s(Response(self.head.status, self.head.headers)) if self.head else None


def kept_bytes(answer: Answer) -> int:
    """Approximate size of a stored response in bytes."""
    return len(answer.body) + (head_bytes(answer.head.headers) if answer.head else 0)


# Of a longer body, only the beginning is kept: removing keys from the whole would take longer than the request.
LONG_BODY_BYTES = 256 * 1024


# ``request``: after half of the request body; ``answer``: before the response; ``response``: after its head
Leaves = Literal["", "request", "answer", "response"]


@dataclass(frozen=True, slots=True)
class Call:
    """A request to send."""

    operation: str = ""  # operationId; empty for a request outside the contract, which *method* and *path* describe
    ref: str | None = None  # ``namespace/name@version``; its percent-encoded parts fill the path
    credential: Credential = "primary"
    method: str = ""
    path: str = ""  # path and query below the base URL, sent unchanged; overrides *ref*
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    note: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 0.0  # time limit of the response, if it differs from the one of the transport; else 0
    stream_s: float = 0.0  # for a stream: seconds until the client closes it
    until: threading.Event | None = None  # for a stream: the client closes it once this event is set
    opened: threading.Event | None = None  # set once the head of the response has arrived, or can no longer arrive
    leaves: Leaves = ""  # the part of the exchange during which the client closes the connection
    pause_s: float = 0.0  # pause between the two halves of the body
    delay_s: float = 0.0  # for a stream: seconds from its head until the client begins to read it
    reuses: bool = False  # whether a request with side effects may be sent on an open connection


@dataclass(frozen=True, slots=True, eq=False)
class OutgoingRequest:
    """A request before redaction. *target* is path and query below the base URL; keys may be in any part."""

    call: Call = field(repr=False)
    operation: str
    ref: str | None
    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class MessageBuilder:
    """Builds requests to one target, and redacted copies of requests and responses; *url* has no trailing slash."""

    def __init__(self, url: str, keys: Keys, contract: Contract) -> None:
        self.url, self._base = url, urlsplit(url)
        self.keys = keys
        self.secrets = keys.secrets()
        self._contract = contract
        host = self._base.netloc.rpartition("@")[2].removesuffix(":443" if self._base.scheme == "https" else ":80")
        self._host = host if host.isascii() else host.encode("idna").decode("ascii")

    def prepare(self, call: Call) -> OutgoingRequest:
        """Returns the request for *call*, with its key; raises LookupError if the key is missing."""
        known = self._contract.operations.get(call.operation)
        method = call.method or (known.method if known else "GET")
        path = call.path or (fill(known.path, call.ref) if known else "")
        if call.query:
            path += "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in call.query.items())
        target = path
        if call.credential == "query":
            target += ("&" if "?" in path else "?") + f"api_key={quote(self.keys.primary)}"
        headers = {"Accept": "*/*"} | self.keys.headers(call.credential) | dict(call.headers)
        path = path.partition("?")[0]
        found = self._contract.match(method, path)
        operation = call.operation or (found[0].id if found else "")
        values = (found or self._contract.match("GET", path) or (None, {}))[1]
        has_ref = {"namespace", "name", "version"} <= values.keys()
        ref = f"{values['namespace']}/{values['name']}@{values['version']}" if has_ref else None
        return OutgoingRequest(call, operation, call.ref or ref, method, target, headers, call.body)

    def head(self, outgoing: OutgoingRequest) -> tuple[str, dict[str, str]]:
        """Returns the target of the request line, and all header fields, for a client that writes them itself."""
        # RFC 9110 12.5.3: without Accept-Encoding, the server may compress; 8.6: an empty POST has Content-Length: 0.
        headers = {"Host": self._host, "User-Agent": "touchstone", "Accept-Encoding": "identity"}
        if outgoing.body or outgoing.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(outgoing.body))
        return self._base.path + outgoing.target, headers | dict(outgoing.headers)

    def request(self, outgoing: OutgoingRequest) -> Request:
        """Returns a redacted copy of a request."""
        return Request(
            method=outgoing.method,
            url=self.secrets.text(self.url + outgoing.target),
            headers=self.secrets.headers(tuple(outgoing.headers.items())),
            body=self.secrets.data(outgoing.body),
        )

    def response(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        chunks: Iterable[Chunk] = (),
        *,
        is_cut: bool = False,
        most_bytes: int | None = None,
    ) -> Response:
        """Returns a redacted response with *most_bytes* of *body*. *is_cut*: whether *body* may end within a secret."""
        body = self.secrets.data(body, is_cut=is_cut)[:most_bytes]
        kept = tuple(Chunk(c.at_s, self.secrets.data(c.data)) for c in chunks)
        if kept and b"".join(chunk.data for chunk in kept) != body:
            # A secret was split between chunks. Its parts must not be kept, so one chunk replaces them all.
            kept = (Chunk(kept[-1].at_s, body),)
        return Response(status, self.secrets.headers(headers), body, kept)

    def exchange(self, outgoing: OutgoingRequest, answer: Answer, seq: int, case: str) -> Exchange:
        """Returns the redacted exchange of a request and its response; of a long body, only the beginning is kept."""
        response, head = None, answer.head
        if head:
            is_long = len(answer.body) > LONG_BODY_BYTES and not answer.chunks
            body = answer.body[: KEPT_BYTES + BEYOND_BYTES] if is_long else answer.body
            chunks = (Chunk(at_s, data) for at_s, data in answer.chunks)
            is_cut = bool(answer.error) or is_long or answer.closed == "client"
            most_bytes = KEPT_BYTES if answer.error or is_long else None
            response = self.response(head.status, head.headers, body, chunks, is_cut=is_cut, most_bytes=most_bytes)
        return Exchange(
            seq=seq,
            operation=outgoing.operation,
            ref=outgoing.ref,
            credential=outgoing.call.credential,
            case=case,
            sent_at=answer.sent_at,
            head_at=answer.head_at if head else answer.done_at,
            done_at=answer.done_at,
            request=self.request(outgoing),
            response=response,
            error=self.secrets.text(answer.error),
            closed=answer.closed,
            note=dict(outgoing.call.note),
        )


def may_publish(call: Call) -> bool:
    """Whether *call* may publish a template. Also true if only servers that normalise paths would publish it."""
    return call.operation == "publishTemplate" or (_acts(call) and _path(call) == "/templates")


def asks_auto_build(call: Call) -> bool:
    """Whether a call that publishes a template may also start a build, because of ``auto_build`` in its query."""
    in_path = re.search(r"auto_build(?!=false(&|$))", unquote(call.path.partition("?")[2]))
    return call.query.get("auto_build", "false") != "false" or in_path is not None


def may_start(call: Call) -> bool:
    """Whether *call* may start a build. Also true if only servers that normalise paths would start one."""
    return call.operation == "startBuild" or (_acts(call) and _path(call).endswith("/build"))


def _acts(call: Call) -> bool:
    return call.method.upper() in {"POST", "PUT", "PATCH"}


def _path(call: Call) -> str:
    return posixpath.normpath("/" + unquote(call.path.partition("?")[0]).strip("/")).casefold()


def fill(template: str, ref: str | None) -> str:
    """Fills a path template with the percent-encoded parts of *ref*."""
    if ref is None:
        return template
    namespace, _, rest = ref.partition("/")
    name, _, version = rest.rpartition("@")
    parts = {"namespace": namespace, "name": name, "version": version}
    return template.format_map({part: quote(value, safe="") for part, value in parts.items()})
