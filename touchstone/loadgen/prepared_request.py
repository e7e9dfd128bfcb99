"""Requests as bytes, ready to be written to a socket again and again, and the exchanges that come of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from touchstone.contract.document import Contract
from touchstone.errors import UsageError
from touchstone.facts.exchange import Chunk, Credential, Exchange, Request, Response
from touchstone.loadgen.recent import Recent
from touchstone.target.answer import Answer
from touchstone.target.body import BEYOND_BYTES
from touchstone.target.bounds import KEPT_BYTES
from touchstone.target.call import Asked, Call, Keys, Wording

# About a kilobyte each.
MOST_SHOTS = 50_000
# Of a longer body a load keeps the beginning: to mark the secrets of each in full would take longer than to get it.
LONG_BODY_BYTES = 256 * 1024

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# RFC 9110 8.6: a request whose method is meant to have content says so also where it has none.
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
# RFC 9112 3 and 5: what would end a word of the request line, or a header field.
_ENDS_A_WORD = re.compile(r"[\x00-\x20\x7f]")
_ENDS_A_FIELD = re.compile(r"[\x00\r\n]")


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A request that is ready to be sent any number of times. What holds a key is not in its repr.

    Attributes:
        target: Path and query with the base path of the target, as in *wire*.
        wire: The whole request in HTTP/1.1; the connection stays open after it.
        request: What was asked, without secrets.
        note: See `touchstone.exchange.Exchange`.
    """

    operation: str
    ref: str | None
    credential: Credential
    method: str
    target: str = field(repr=False)
    wire: bytes = field(repr=False)
    request: Request
    note: Mapping[str, Any]


class Shots:
    """Makes shots at one target. Equal calls get one shot, for as long as they come now and then.

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
        self._shots: Recent[object, Shot] = Recent(MOST_SHOTS)

    def shot(self, call: Call) -> Shot:
        """The request that *call* asks for.

        Raises:
            LookupError: the run has no such key.
            UsageError: a word of the request line or a header holds what would end it.
        """
        key = (
            *(call.operation, call.ref, call.credential, call.method, call.path, call.body),
            *(tuple(call.query.items()), tuple(call.headers.items()), repr(call.note) if call.note else ""),
        )
        shot = self._shots.get(key)
        if shot is None:
            shot = self._made(call)
            self._shots.put(key, shot)
        return shot

    def exchange(self, shot: Shot, answer: Answer, seq: int, case: str, offset_s: float) -> Exchange:
        """What crossed the wire, without secrets.

        Args:
            offset_s: What the times of *answer* lack to be seconds since the run started.
        """
        if len(answer.body) > LONG_BODY_BYTES and not answer.chunks:
            answer = replace(answer, body=answer.body[: KEPT_BYTES + BEYOND_BYTES], is_partial=True)
        head_at = answer.head_at if answer.head else answer.done_at
        return Exchange(
            seq=seq,
            operation=shot.operation,
            ref=shot.ref,
            credential=shot.credential,
            case=case,
            sent_at=answer.sent_at + offset_s,
            head_at=head_at + offset_s,
            done_at=answer.done_at + offset_s,
            request=shot.request,
            response=self._response(answer),
            error=self.secrets.text(answer.error),
            closed=answer.closed,
            note=dict(shot.note),
        )

    def _made(self, call: Call) -> Shot:
        asked = self._wording.asked(call)
        target = self._base_path + asked.target
        return Shot(
            operation=asked.operation,
            ref=asked.ref,
            credential=call.credential,
            method=asked.method,
            target=target,
            wire=_wire(asked, target, self._host),
            request=self._wording.request(asked),
            note=dict(call.note),
        )

    def _response(self, answer: Answer) -> Response | None:
        if answer.head is None:
            return None
        # Field names have no case (RFC 9110 5.1); those of all other exchanges are in small letters.
        headers = ((name.lower(), value) for name, value in answer.head.headers)
        chunks = (Chunk(at_s, data) for at_s, data in answer.chunks)
        return self._wording.response(
            answer.head.status,
            headers,
            answer.body,
            chunks,
            is_cut=bool(answer.error) or answer.is_partial or answer.closed == "client",
            most_bytes=KEPT_BYTES if answer.error or answer.is_partial else None,
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
    # RFC 9110 12.5.3: whoever says nothing about encodings may be sent any, and nobody here decodes one.
    ours = {"Host": host, "User-Agent": "touchstone", "Accept-Encoding": "identity"}
    given = {name.lower() for name in asked.headers}
    if (asked.body or asked.method in _WITH_LENGTH) and "transfer-encoding" not in given:
        ours["Content-Length"] = str(len(asked.body))
    headers = {name: value for name, value in ours.items() if name.lower() not in given} | dict(asked.headers)
    for name, value in headers.items():
        if _ENDS_A_FIELD.search(name + value):
            raise UsageError(f"{asked.operation or 'request'}: header {name!r}: holds a line break; take it out")
        yield f"{name}: {value}"
