"""What never reaches disk or a report: finds the secrets of a run in whatever crossed the wire and marks them.

A secret is recognised by its value, also where a server repeats it in an error, a log line or a redirect, and in each
encoding in which such a repetition comes: see spellings.py. Headers that carry credentials are recognised by name as
well.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping

from touchstone.contract.quoting import MIN_SECRET_LENGTH
from touchstone.facts.key_sources import UNKNOWN_KEY
from touchstone.target.spellings import Finder, Span

REDACTED = "<redacted>"

_KEY_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "x-auth-token"})
_COOKIE_HEADERS = frozenset({"cookie", "set-cookie"})
_SCHEMES = frozenset({"", "bearer", "basic", "digest", "token", "apikey"})
_MARKER = re.compile(r"<key:[^<>]*>")


class Secrets:
    """The secrets of a run by name, and the ways in which they are made unreadable.

    Marking what is marked already changes nothing.

    Args:
        values: Value by name. A value that is None, or shorter than MIN_SECRET_LENGTH, is left out. Where two names
            have one value, the first name counts. A value without its last character is registered, too, as
            ``NAME-shorter``: a server may repeat a key cut short.
        parts: Whether long parts of a value are marked as well.
    """

    __slots__ = ("_finder", "_markers", "_marks", "_names", "_value")

    def __init__(self, values: Mapping[str, str | None], *, parts: bool = True) -> None:
        kept = {name: value for name, value in values.items() if value and len(value) >= MIN_SECRET_LENGTH}
        shorter = {f"{name}-shorter": value[:-1] for name, value in kept.items() if len(value) > MIN_SECRET_LENGTH}
        markers: dict[bytes, bytes] = {}
        for name, value in (kept | {name: value for name, value in shorter.items() if name not in kept}).items():
            markers.setdefault(value.encode("utf-8", "surrogatepass"), marker(name).encode())
        self._names = tuple(kept)
        self._markers = markers
        self._marks = frozenset(markers.values())
        self._finder = Finder(markers, whole=(UNKNOWN_KEY.encode(), *(() if parts else markers)))
        # The same few headers come with each answer.
        self._value = functools.lru_cache(maxsize=1024)(self.text)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._names)})"

    def text(self, text: str) -> str:
        """The text with a marker in the place of each secret."""
        # surrogatepass: a lone surrogate is legal in JSON and must survive.
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def data(self, data: bytes, *, is_cut: bool = False) -> bytes:
        """
        The bytes with a marker in the place of each secret; all other bytes stay as they are, whatever their encoding.

        Args:
            is_cut: Whether more followed; what a secret may begin with at the end is marked then, too.
        """
        edge = self._finder.edge(data) if is_cut else None
        if edge is not None:
            return self.data(data[: edge.start]) + self._markers[edge.value]
        if not self._finder.find(data):
            return data
        return b"".join(part if part in self._marks else self._marked(part) for part in _split(data, self._marks))

    def headers(self, pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """The headers in their order, without secrets.

        Credentials in headers known for carrying them are ``<redacted>`` where they are none of the run's own. A server
        may repeat a key in the name of a header as well.
        """
        return tuple((self._value(name), self._header(name.lower(), value)) for name, value in pairs)

    def _marked(self, data: bytes) -> bytes:
        pieces, at = [], 0
        for span in _apart(self._finder.find(data)):
            pieces += [data[at : span.start], self._markers[span.value]]
            at = span.end
        return b"".join((*pieces, data[at:]))

    def _header(self, name: str, value: str) -> str:
        marked = self._value(value)
        if name in _COOKIE_HEADERS:
            return REDACTED if marked else marked
        if name in _KEY_HEADERS and not _is_marked_only(marked):
            return REDACTED
        return marked


def marker(name: str) -> str:
    """What stands in the place of the secret *name*."""
    return f"<key:{name}>"


def _split(data: bytes, marks: frozenset[bytes]) -> list[bytes]:
    """The bytes in pieces, of which some are markers and therefore done."""
    return re.split(b"(" + b"|".join(re.escape(mark) for mark in sorted(marks)) + b")", data)


def _apart(spans: Iterable[Span]) -> Iterator[Span]:
    """The places to mark, in order: several that overlap are one, with the longest value that is there."""
    group: list[Span] = []
    end = 0
    for span in sorted(spans, key=lambda span: span.start):
        if group and span.start >= end:
            yield _joined(group, end)
            group = []
        group.append(span)
        end = max(end, span.end)
    if group:
        yield _joined(group, end)


def _joined(group: list[Span], end: int) -> Span:
    longest = max(group, key=lambda span: span.end - span.start)
    return Span(group[0].start, end, longest.value)


def _is_marked_only(value: str) -> bool:
    # A few characters beside a marker are a key altered on purpose; anything longer may be another secret.
    rest = _MARKER.sub("", value).strip().lower()
    if rest in _SCHEMES:
        return True
    altered = rest.removeprefix("bearer").strip()
    return _MARKER.search(value) is not None and len(altered) < MIN_SECRET_LENGTH
