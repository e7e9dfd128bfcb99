"""Redaction: replaces the secrets of a run by placeholders in everything that crossed the wire.

The search finds a secret as plain text, in hexadecimal, and in base64 at each of its three offsets. It ignores case,
and finds long parts of a secret, too. A second search decodes percent, JSON and HTML escapes first. The time is linear
in the size of the text.
"""

import base64
import functools
import html
import re
import string
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence

from touchstone.errors import MIN_SECRET_LENGTH
from touchstone.facts.key_sources import UNKNOWN_KEY

REDACTED = "<redacted>"

# Minimum length of a part of a secret that is replaced: anywhere in a text, and at the end of a truncated body.
PART_CHARS, EDGE_CHARS = 18, 8
_BLOCK_CHARS = 9

_KEY_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "x-auth-token"})
_COOKIE_HEADERS = frozenset({"cookie", "set-cookie"})
_SCHEMES = frozenset({"", "bearer", "basic", "digest", "token", "apikey"})
_MARKER = re.compile(r"<(?:key|env):[^<>]*>")

# Maps upper case to lower case, and the URL-safe alphabet of base64 to the usual one.
_FOLD = bytes.maketrans(string.ascii_uppercase.encode() + b"-_", string.ascii_lowercase.encode() + b"+/")
# Matches an escape, which may be escaped itself, or a line break, since base64 may be wrapped.
_ESCAPE = re.compile(
    rb"%(?:25){0,3}[0-9A-Fa-f]{2}"
    rb"|\\{1,4}(?:u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|x[0-9A-Fa-f]{2}|[nr]|[^A-Za-z0-9\\])|\\\\"
    rb"|&(?:amp;){0,3}(?:#(?:\d{1,9}|[xX][0-9A-Fa-f]{1,8});?|[A-Za-z]\w{1,30};)"
    rb"|[\r\n]+[ \t]*"
)
# Matches the beginning of a JSON escape. A placeholder directly after it would make the JSON invalid.
_TORN_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*(\\(?:u[0-9A-Fa-f]{0,3}|x[0-9A-Fa-f]?)?)\Z")
_END_OF_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]?=*")

Span = tuple[int, int, bytes]  # start, end, secret


class Secrets:
    """Secrets of a run by name (or (name, value) pairs if names repeat), and their encodings.

    Values that are None or shorter than MIN_SECRET_LENGTH are left out. Each value without its last character is added
    as ``NAME-shorter``.
    """

    def __init__(self, values: Mapping[str, str | None] | Iterable[tuple[str, str | None]]) -> None:
        pairs = values.items() if isinstance(values, Mapping) else values
        kept = [(name, value) for name, value in pairs if value and len(value) >= MIN_SECRET_LENGTH]
        self._names = tuple(dict.fromkeys(name for name, _ in kept))
        shorter = [(f"{name}-shorter", value[:-1]) for name, value in kept if len(value) > MIN_SECRET_LENGTH]
        self._markers: dict[bytes, bytes] = {}
        for name, value in (*kept, *(pair for pair in shorter if pair[0] not in self._names)):
            self._markers.setdefault(value.encode("utf-8", "surrogatepass"), marker(name).encode())
        self._marks = re.compile(b"(%b)" % b"|".join(map(re.escape, sorted(set(self._markers.values())))))
        self._prepare()
        self._value = functools.lru_cache(maxsize=1024)(self.text)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._names)})"

    def text(self, text: str) -> str:
        """Replaces each secret in a text by its placeholder."""
        # surrogatepass: a lone surrogate is legal in JSON and must survive.
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def data(self, data: bytes, *, is_cut: bool = False) -> bytes:
        """Replaces each secret in bytes by its placeholder; with *is_cut*, also a secret that is cut off at the end."""
        if self._search is None:
            return data
        if is_cut and (edge := self._edge(data)):
            return self.data(data[: edge[0]]) + self._markers[edge[2]]
        if not (spans := self._spans(data)):
            return data
        if self._marks.search(data):
            parts = enumerate(self._marks.split(data))  # every other part is a placeholder
            return b"".join(part if n % 2 else self._marked(part, self._spans(part)) for n, part in parts)
        return self._marked(data, spans)

    def headers(self, pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Returns the header fields in order, without secrets; unknown credentials become ``<redacted>``."""
        return tuple((self._value(name), self._header(name.lower(), value)) for name, value in pairs)

    def _header(self, name: str, value: str) -> str:
        marked = self._value(value)
        is_cookie = name in _COOKIE_HEADERS and _MARKER.fullmatch(marked) is None
        # A few characters beside a placeholder belong to a deliberately altered key; more may be another secret.
        rest = _MARKER.sub("", marked).strip().lower()
        is_short = _MARKER.search(marked) and len(rest.removeprefix("bearer").strip()) < MIN_SECRET_LENGTH
        is_foreign = marked if is_cookie else name in _KEY_HEADERS and not (rest in _SCHEMES or is_short)
        return REDACTED if is_foreign else marked

    def _prepare(self) -> None:
        folded = {value: value.translate(_FOLD) for value in self._markers}
        # A part that two secrets share identifies neither of them, unless one secret contains the other.
        longest = [one for one in dict.fromkeys(folded.values()) if not any(one in o != one for o in folded.values())]
        roots = {value: next(root for root in longest if one in root) for value, one in folded.items()}
        self._forms = [(form, root, value) for value, root in roots.items() for form, _ in _forms(value)]
        self._common = [form for form, _ in _forms(UNKNOWN_KEY.encode())]
        self._whole: dict[bytes, bytes] = {}
        for form, _, value in self._forms:
            self._whole.setdefault(form, value)
        # A long secret that is part of another secret needs no search, because the search for the other finds parts.
        needles: dict[bytes, int] = {}
        for value in self._markers:
            if len(value) < PART_CHARS or not any(value in other != value for other in self._markers):
                needles.update(_forms(value))
        self._block_chars = size = min((_BLOCK_CHARS, *map(len, needles)))
        self._blocks: dict[bytes, list[tuple[bytes, int, int]]] = {}
        for form, part in needles.items():
            # Each part with the length *part* contains one of these blocks.
            for at in range(0, len(form) - size + 1, part - size + 1):
                self._blocks.setdefault(form[at : at + size], []).append((form, part, at))
        pattern = b"|".join(map(re.escape, self._blocks))
        self._search = re.compile(pattern).search if pattern else None
        self._heads = frozenset(form[:EDGE_CHARS] for form in self._whole)
        self._owners: dict[bytes, bytes | None] = {}

    def _spans(self, data: bytes) -> list[Span]:
        """Returns the places of all secrets and parts of secrets; places may overlap."""
        spans = [*self._places(data)]
        if _ESCAPE.search(data):
            plain, starts, ends = _unescaped(data)
            spans += [(starts[start], ends[end - 1], value) for start, end, value in self._places(plain)]
        return [(_untorn(data, start), end, value) for start, end, value in spans]

    def _places(self, data: bytes) -> Iterator[Span]:
        folded, size = data.translate(_FOLD), self._block_chars
        ends: dict[bytes, int] = {}
        assert self._search is not None
        block = self._search(folded)
        while block:
            for form, part, at in self._blocks[block[0]]:
                if block.start() < ends.get(form, 0):
                    continue
                start, end = _grown(folded, block.start(), form, at, size)
                text = folded[start:end]
                if end - start >= part or text in self._whole:
                    ends[form] = end
                    if owner := self._owner(data[start:end], text):
                        yield start, self._behind(data, end, text), owner
            block = self._search(folded, block.start() + 1)

    def _owner(self, data: bytes, text: bytes) -> bytes | None:
        """Returns the secret that equals or contains the found bytes; None if it could be one of several."""
        if data in self._markers:
            return data
        if text not in self._owners:
            owned = [(root, value) for form, root, value in self._forms if text in form]
            is_shared = len({root for root, _ in owned}) > 1 or any(text in form for form in self._common)
            self._owners[text] = self._whole.get(text, None if is_shared else owned[0][1])
        return self._owners[text]

    def _behind(self, data: bytes, end: int, text: bytes) -> int:
        """Returns the end of a found secret; in base64, the character with its last bits is included."""
        value = self._whole.get(text, b"")
        if text in (value.translate(_FOLD), value.hex().encode()):
            return end
        rest = _END_OF_BASE64.match(data, end)
        return rest.end() if value and rest else end

    def _edge(self, data: bytes) -> Span | None:
        """Returns the place of a secret that is cut off at the end of *data*, or None."""
        tail = data[-max(map(len, self._whole)) :].translate(_FOLD)
        for at in range(len(tail) - EDGE_CHARS + 1):
            if tail[at : at + EDGE_CHARS] in self._heads:
                begun = [(root, value) for form, root, value in self._forms if form.startswith(tail[at:])]
                if len({root for root, _ in begun}) == 1:
                    return len(data) - len(tail) + at, len(data), begun[0][1]
        return None

    def _marked(self, data: bytes, spans: Iterable[Span]) -> bytes:
        """Replaces each group of overlapping spans by the placeholder of the longest one."""
        pieces: list[bytes] = []
        done = longest = 0
        for start, end, value in sorted(spans, key=lambda span: span[0]):
            if not pieces or start >= done:
                pieces += [data[done:start], self._markers[value]]
                longest = end - start
            elif end - start > longest:
                pieces[-1], longest = self._markers[value], end - start
            done = max(done, end)
        return b"".join((*pieces, data[done:]))


def marker(name: str) -> str:
    """Placeholder that replaces the secret *name*: a key, or the value of an environment variable (``env:NAME``)."""
    return f"<{name}>" if name.startswith("env:") else f"<key:{name}>"


def _forms(value: bytes) -> Iterator[tuple[bytes, int]]:
    """Yields each encoding of a value in folded case, with the minimum length of a part that is replaced."""
    is_short = len(value) < PART_CHARS or value in UNKNOWN_KEY.encode()
    coded = [(value, PART_CHARS), (value.hex().encode(), 2 * PART_CHARS)]
    for before in range(3):
        # Keeps the characters that depend on the value alone. In base64, four characters encode three bytes.
        bits = 8 * (before + len(value))
        run = base64.b64encode(b"\0" * before + value)[-(-8 * before // 6) : bits // 6]
        coded.append((run, PART_CHARS * 4 // 3 - 2))
    for form, part in coded:
        yield form.translate(_FOLD), len(form) if is_short else part


def _grown(folded: bytes, found: int, form: bytes, at: int, size: int) -> tuple[int, int]:
    """Extends a block in both directions as far as the text matches the secret; returns start and end."""
    start, first = found, at
    while first and start and folded[start - 1] == form[first - 1]:
        start, first = start - 1, first - 1
    end, last = found + size, at + size
    for ours, theirs in zip(form[last:], folded[end : end + len(form) - last], strict=False):
        if ours != theirs:
            break
        end += 1
    return start, end


@functools.lru_cache(maxsize=4096)
def _meaning(escape: bytes) -> bytes:
    """Decodes an escape; returns nothing if the escape stands for a line break."""
    kind, rest = escape[:1], escape.lstrip(b"\\")
    if kind == b"%":
        plain = bytes.fromhex(escape[-2:].decode())
    elif kind == b"&":
        plain = html.unescape("&" + escape[1:].decode().replace("amp;", "")).encode("utf-8", "surrogatepass")
    elif kind != b"\\" or rest in (b"n", b"r"):
        plain = b""
    elif rest[:1] == b"x":
        plain = bytes.fromhex(rest[1:].decode())
    elif rest[:1] == b"u":
        number = int(rest[1:].strip(b"{}"), 16)
        plain = chr(number).encode("utf-8", "surrogatepass") if number < 0x110000 else b""
    else:
        plain = rest or b"\\"
    return plain.strip(b"\r\n")


def _unescaped(data: bytes) -> tuple[bytes, Sequence[int], Sequence[int]]:
    """Decodes all escapes; also returns the start and end in *data* of each decoded byte."""
    plain, starts, ends = bytearray(), array("L"), array("L")
    done = 0
    for escape in _ESCAPE.finditer(data):
        start, end = escape.span()
        meaning = _meaning(escape[0])
        plain += data[done:start] + meaning
        starts.extend((*range(done, start), *[start] * len(meaning)))
        ends.extend((*range(done + 1, start + 1), *[end] * len(meaning)))
        done = end
    plain += data[done:]
    starts.extend(range(done, len(data)))
    ends.extend(range(done + 1, len(data) + 1))
    return bytes(plain), starts, ends


def _untorn(data: bytes, start: int) -> int:
    torn = _TORN_ESCAPE.search(data, max(0, start - 64), start) if data[start - 6 : start].count(b"\\") else None
    return torn.start(1) if torn else start
