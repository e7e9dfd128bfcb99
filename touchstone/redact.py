"""
What never reaches disk or a report: finds the secrets of a run in whatever crossed the wire and marks them.

A secret is recognised by its value, also where a server repeats it in an error, a log line or a redirect, and in
the spellings in which such a repetition may come. Headers that carry credentials are recognised by name as well.
"""

import base64
import functools
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

# A shorter value is likely to be part of ordinary words, and marking those would spoil the evidence.
MIN_SECRET_LENGTH = 6
REDACTED = "<redacted>"

_KEY_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "x-auth-token"})
_COOKIE_HEADERS = frozenset({"cookie", "set-cookie"})
_SCHEMES = frozenset({"", "bearer", "basic", "digest", "token", "apikey"})
_MARKER = re.compile(r"<key:[^<>]*>")


class Secrets:
    """
    The secrets of a run by name, and the ways in which they are made unreadable.

    Marking what is marked already changes nothing.

    Args:
        values: Value by name. A value that is None, or shorter than MIN_SECRET_LENGTH, is left out. Where two names
            have one value, the first name counts. A value without its last character is registered, too, as
            ``NAME-shorter``: a server may repeat a key cut short.
    """

    __slots__ = ("_known", "_names", "_spellings", "_value")

    def __init__(self, values: Mapping[str, str | None]) -> None:
        kept = {name: value for name, value in values.items() if value and len(value) >= MIN_SECRET_LENGTH}
        shorter = {f"{name}-shorter": value[:-1] for name, value in kept.items() if len(value) > MIN_SECRET_LENGTH}
        markers: dict[bytes, bytes] = {}
        for name, value in (kept | {name: value for name, value in shorter.items() if name not in kept}).items():
            for spelling in _spellings(value):
                markers.setdefault(spelling, marker(name).encode())
        self._names = tuple(kept)
        # Longest first, so that a secret that begins with another one is not left with its tail in the open.
        self._spellings = sorted(markers.items(), key=lambda pair: (-len(pair[0]), pair[0]))
        self._known = frozenset(markers.values())
        # The same few headers come with each answer.
        self._value = functools.lru_cache(maxsize=1024)(self.text)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._names)})"

    def text(self, text: str) -> str:
        """
        The text with a marker in the place of each secret.
        """
        # surrogatepass: a lone surrogate is legal in JSON and must survive.
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def data(self, data: bytes) -> bytes:
        """
        The bytes with a marker in the place of each secret; all other bytes stay as they are, whatever their encoding.
        """
        found = [(spelling, mark) for spelling, mark in self._spellings if spelling in data]
        if not found:
            return data
        pieces = list(_split(data, self._known))
        for spelling, mark in found:
            pieces = [part for piece in pieces for part in _marked(piece, spelling, mark)]
        return b"".join(piece for piece, _ in pieces)

    def headers(self, pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """
        The headers in their order, without secrets.

        Credentials in headers known for carrying them are ``<redacted>`` where they are none of the run's own.
        """
        return tuple((name, self._header(name.lower(), value)) for name, value in pairs)

    def _header(self, name: str, value: str) -> str:
        marked = self._value(value)
        if name in _COOKIE_HEADERS:
            return REDACTED if marked else marked
        if name in _KEY_HEADERS and not _is_marked_only(marked):
            return REDACTED
        return marked


def marker(name: str) -> str:
    """
    What stands in the place of the secret *name*.
    """
    return f"<key:{name}>"


def _spellings(value: str) -> Iterator[bytes]:
    as_json = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    plain = {
        value,
        *as_json,
        *(text.replace("/", r"\/") for text in as_json),
        html.escape(value),
        html.escape(value).replace("&#x27;", "&#39;"),
    }
    encoded = {quote(value), quote(value, safe=""), quote_plus(value)}
    lower = {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), text) for text in encoded}
    raw = value.encode("utf-8", "surrogatepass")
    coded = {base64.b64encode(raw), base64.urlsafe_b64encode(raw)}
    yield from (text.encode("utf-8", "surrogatepass") for text in sorted(plain | encoded | lower))
    yield from sorted(coded | {text.rstrip(b"=") for text in coded})


Piece = tuple[bytes, bool]  # bytes, and whether they are a marker and therefore done


def _split(data: bytes, known: frozenset[bytes]) -> Iterator[Piece]:
    pattern = re.compile(b"(" + b"|".join(re.escape(mark) for mark in sorted(known)) + b")")
    for part in pattern.split(data):
        yield part, part in known


def _marked(piece: Piece, spelling: bytes, mark: bytes) -> Iterator[Piece]:
    text, done = piece
    if done:
        yield piece
        return
    for number, rest in enumerate(text.split(spelling)):
        if number:
            yield mark, True
        yield rest, False


def _is_marked_only(value: str) -> bool:
    # A few characters beside a marker are a key altered on purpose; anything longer may be another secret.
    rest = _MARKER.sub("", value).strip().lower()
    if rest in _SCHEMES:
        return True
    altered = rest.removeprefix("bearer").strip()
    return _MARKER.search(value) is not None and len(altered) < MIN_SECRET_LENGTH
