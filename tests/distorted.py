"""Distorts responses at random: values, bodies, statuses, headers, streams."""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from touchstone.facts.exchange import Chunk, Exchange, Response

NAN = float("nan")
VALUES: tuple[object, ...] = (None, 1, -1, 1.5, [], {}, {"a": 1}, ["x"], "", "\ud800", True, 10**30, "ready", NAN)
BODIES = (b"", b"[]", b"null", b'"x"', b"\xff", b"[" * 5000, b'{"a":' * 3000)
STATUSES = (100, 200, 202, 204, 301, 400, 401, 404, 409, 429, 500, 599)
HEADERS = ("", "x", "application/json", "text/event-stream", "-5", "9" * 40)
PIECES = (b"\x00", b"\n\n", b"data: [1]\n\n", b'data: {"ts":1,"level":[],"phase":{}}\n\n', b"\xff", b"id: 3\n")


def distorted(exchanges: Iterable[Exchange], seed: int, share: float) -> Iterator[Exchange]:
    """Replaces a *share* of the responses, reproducibly by seed."""
    chance = random.Random(seed)
    for exchange in exchanges:
        if exchange.response is None or chance.random() >= share:
            yield exchange
        elif chance.random() < 0.1:
            yield replace(exchange, response=None, error="ReadTimeout: timed out", closed="")
        else:
            change = chance.choice(CHANGES)
            yield replace(exchange, response=change(exchange.response, chance))


def _value(response: Response, chance: random.Random) -> Response:
    body = dict(response.json_object() or {"status": "building"})
    body[chance.choice(list(body) or ["status"])] = chance.choice(VALUES)
    return replace(response, body=json.dumps(body).encode("utf-8"))


def _body(response: Response, chance: random.Random) -> Response:
    return replace(response, body=chance.choice(BODIES))


def _status(response: Response, chance: random.Random) -> Response:
    return replace(response, status=chance.choice(STATUSES))


def _headers(response: Response, chance: random.Random) -> Response:
    return replace(response, headers=tuple((name, chance.choice(HEADERS)) for name, _ in response.headers))


def _stream(response: Response, chance: random.Random) -> Response:
    cut = chance.randrange(len(response.body) + 1)
    body = response.body[:cut] + chance.choice(PIECES) + response.body[cut:]
    return replace(response, body=body, chunks=(Chunk(0.1, body),) if response.chunks else ())


CHANGES: tuple[Callable[[Response, random.Random], Response], ...] = (_value, _value, _body, _status, _headers, _stream)
