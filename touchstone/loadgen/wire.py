"""Requests of a load as bytes, ready to be sent again and again, and the exchanges that come of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from touchstone.contract.document import Contract
from touchstone.errors import UsageError
from touchstone.facts.exchange import Chunk, Credential, Exchange, Request, Response
from touchstone.target.answer import Answer
from touchstone.target.body import BEYOND_BYTES
from touchstone.target.bounds import KEPT_BYTES
from touchstone.target.call import Asked, Call, Keys, Wording

# About a kilobyte each; when there are so many, all are prepared anew.
MAX_PREPARED = 50_000
# Of a longer body a load keeps the beginning: to mark the secrets of each in full would take longer than to get it.
LONG_BODY_BYTES = 256 * 1024

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# RFC 9110 8.6: a request whose method is meant to have content says so also where it has none.
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
# RFC 9112 3 and 5: what would end a word of the request line, or a header field.
_ENDS_A_WORD = re.compile(r"[\x00-\x20\x7f]")
_ENDS_A_FIELD = re.compile(r"[\x00\r\n]")


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRequest:
    """A request that is ready to be sent any number of times. What holds a key is not in its repr.

    Attributes:
        wire: The whole request in HTTP/1.1; the connection stays open after it.
        request: What was asked, without secrets.
        note: See `touchstone.facts.exchange.Exchange`.
    """

    operation: str
    ref: str | None
    credential: Credential
    method: str
    wire: bytes = field(repr=False)
    request: Request
    note: Mapping[str, Any]


class Requests:
    """Prepares the requests to one target; equal calls get one of them.

    Args:
        url: Base URL of the target without a trailing slash.

    Attributes:
        secrets: Every value that must not reach an exchange.
    """

    def __init__(self, url: str, keys: Keys, contract: Contract) -> None:
        base = urlsplit(url)
        self._wording = Wording(url, keys, contract)
        self.secrets = self._wording.secrets
        self._base_path = base.path
        self._host = _host(base.netloc, base.scheme)
        self._prepared: dict[object, PreparedRequest] = {}

    def prepared(self, call: Call) -> PreparedRequest:
        """The request that *call* asks for.

        Raises:
            LookupError: the run has no such key.
            UsageError: a word of the request line or a header holds what would end it.
        """
        key = (
            *(call.operation, call.ref, call.credential, call.method, call.path, call.body),
            *(tuple(call.query.items()), tuple(call.headers.items()), repr(call.note) if call.note else ""),
        )
        found = self._prepared.get(key)
        if found is None:
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            found = self._prepared[key] = self._prepare(call)
        return found

    def exchange(self, request: PreparedRequest, answer: Answer, seq: int, case: str) -> Exchange:
        """What crossed the wire, without secrets."""
        return Exchange(
            seq=seq,
            operation=request.operation,
            ref=request.ref,
            credential=request.credential,
            case=case,
            sent_at=answer.sent_at,
            head_at=answer.head_at if answer.head else answer.done_at,
            done_at=answer.done_at,
            request=request.request,
            response=self._response(answer),
            error=self.secrets.text(answer.error),
            closed=answer.closed,
            note=dict(request.note),
        )

    def _prepare(self, call: Call) -> PreparedRequest:
        asked = self._wording.asked(call)
        return PreparedRequest(
            operation=asked.operation,
            ref=asked.ref,
            credential=call.credential,
            method=asked.method,
            wire=_wire(asked, self._base_path + asked.target, self._host),
            request=self._wording.request(asked),
            note=dict(call.note),
        )

    def _response(self, answer: Answer) -> Response | None:
        if answer.head is None:
            return None
        is_long = len(answer.body) > LONG_BODY_BYTES and not answer.chunks
        return self._wording.response(
            answer.head.status,
            answer.head.headers,
            answer.body[: KEPT_BYTES + BEYOND_BYTES] if is_long else answer.body,
            (Chunk(at_s, data) for at_s, data in answer.chunks),
            is_cut=bool(answer.error) or is_long or answer.closed == "client",
            most_bytes=KEPT_BYTES if answer.error or is_long else None,
        )


def _host(netloc: str, scheme: str) -> str:
    """What Host says: no sign-in, and no port that goes without saying."""
    host = netloc.rpartition("@")[2].removesuffix(_DEFAULT_PORTS.get(scheme, ""))
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _wire(asked: Asked, target: str, host: str) -> bytes:
    for what, word in (("method", asked.method), ("target", target)):
        if _ENDS_A_WORD.search(word):
            raise UsageError(f"{asked.operation or 'request'}: {what}: holds a blank or a control character; encode it")
    lines = [f"{asked.method} {target} HTTP/1.1", *_header_lines(asked, host)]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("utf-8") + asked.body


def _header_lines(asked: Asked, host: str) -> Iterator[str]:
    # RFC 9110 12.5.3: whoever says nothing about encodings may be sent any, and a load wants none.
    ours = {"Host": host, "User-Agent": "touchstone", "Accept-Encoding": "identity"}
    given = {name.lower() for name in asked.headers}
    if (asked.body or asked.method in _WITH_LENGTH) and "transfer-encoding" not in given:
        ours["Content-Length"] = str(len(asked.body))
    headers = {name: value for name, value in ours.items() if name.lower() not in given} | dict(asked.headers)
    for name, value in headers.items():
        if _ENDS_A_FIELD.search(name + value):
            raise UsageError(f"{asked.operation or 'request'}: header {name!r}: holds a line break; take it out")
        yield f"{name}: {value}"
