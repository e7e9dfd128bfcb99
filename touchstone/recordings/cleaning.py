"""What of an exchange goes into a recording: headers that mean something, no credentials, names that do not change.

Secrets that a run knows are marked before an exchange exists (redact.py). Here goes what it does not know: headers that
nobody has asked for, and values that are credentials by their name.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.target.redact import REDACTED

Headers = tuple[tuple[str, str], ...]

# What a request or an answer means depends on these; whatever else is sent belongs to the client or to its network.
# Lengths are left out, since names that are called otherwise have others.
REQUEST_HEADERS = frozenset({"accept", "authorization", "content-type", "idempotency-key", "last-event-id"})
# fmt: off
RESPONSE_HEADERS = frozenset({
    "age", "allow", "cache-control", "content-type", "date", "location", "ratelimit", "ratelimit-limit",
    "ratelimit-policy", "ratelimit-remaining", "ratelimit-reset", "retry-after", "www-authenticate",
    "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset",
})
# fmt: on

_NAMES = r"(?:[\w-]*(?:api[_-]?key|access[_-]?token|auth[_-]?token|password|passwd|secret)|token|authorization|cookie)"
# A value is let alone where it is a marker: that one shows whose key it was.
_BY_NAME = (
    re.compile(rf'(?i)("{_NAMES}"\s*:\s*")(?!<)((?:[^"\\]|\\.)+)(")'),
    re.compile(rf"""(?i)([?&]{_NAMES}=)(?!<|%3C)([^&\s"'<>]+)()"""),
    re.compile(r"""(?i)(\b(?:bearer|basic)\s+)(?!<)([A-Za-z0-9+/_.~=-]{8,})()"""),
)
_END_OF_FRAME = re.compile(rb"(?:\r\n|\r|\n){2}")


Clean = Callable[[str], str]


def cleaned(exchange: Exchange, change: Clean, change_body: Clean | None = None) -> Exchange:
    """The exchange as it is recorded: without credentials and with no other headers than those that mean something.

    Args:
        change: What is done to each text before.
        change_body: What is done to bodies instead.
    """

    def clean(text: str) -> str:
        return without_credentials(change(text))

    def data(body: bytes) -> bytes:
        # Latin-1 gives each byte a letter, so that bytes of any encoding come back as they were.
        return without_credentials((change_body or change)(body.decode("latin-1"))).encode("latin-1")

    def kept(headers: Headers, names: frozenset[str]) -> Headers:
        return tuple((name, clean(value)) for name, value in headers if name.lower() in names)

    request, response = exchange.request, exchange.response
    if response:
        body = data(response.body)
        chunks, headers = _cut(body, response), kept(response.headers, RESPONSE_HEADERS)
        response = replace(response, headers=headers, body=body, chunks=chunks)
    return replace(
        exchange,
        ref=exchange.ref and clean(exchange.ref),
        request=Request(request.method, clean(request.url), kept(request.headers, REQUEST_HEADERS), data(request.body)),
        response=response,
        error=clean(exchange.error),
        note=_note(exchange.note, clean),
    )


def without_credentials(text: str) -> str:
    """The text without the values of members, parameters and schemes that are known for carrying credentials."""
    for pattern in _BY_NAME:
        text = pattern.sub(rf"\1{REDACTED}\3", text)
    return text


def framed(body: bytes, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
    """The pieces of a stream cut anew after each frame, so that they do not depend on how the network cut them.

    A frame comes when its last byte comes.
    """
    ends: list[tuple[int, float]] = []
    for chunk in chunks:
        ends.append(((ends[-1][0] if ends else 0) + len(chunk.data), chunk.at_s))
    if not ends or ends[-1][0] != len(body):
        return chunks
    return tuple(Chunk(next(at for end, at in ends if end >= stop), body[start:stop]) for start, stop in _frames(body))


def _frames(body: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    for end in _END_OF_FRAME.finditer(body):
        yield start, end.end()
        start = end.end()
    if start < len(body):
        yield start, len(body)


def _cut(body: bytes, response: Response) -> tuple[Chunk, ...]:
    """The pieces of a stream whose body is *body* once it is cleaned."""
    chunks, stops = framed(response.body, response.chunks), list(_frames(body))
    if len(stops) == len(chunks):
        return tuple(Chunk(chunk.at_s, body[slice(*stop)]) for chunk, stop in zip(chunks, stops, strict=True))
    return (Chunk(chunks[-1].at_s, body),) if chunks else ()


def _note(value: Any, clean: Clean) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _note(item, clean) for key, item in value.items()}
    return [_note(item, clean) for item in value] if isinstance(value, list | tuple) else value
