"""A second look at a finished text: which credentials are still in it, the run's own and others.

redact.py marks secrets as they cross the wire. This module asks afterwards whether one is left. It shares no search
with redact.py, so that a spelling which one of them misreads is not missed by both, and it also knows what credentials
look like that nobody told it about. It says where one stands and of what kind it is, and does not repeat it.
"""

import binascii
import html
import itertools
import re
import string
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from touchstone.contract.quoting import MIN_SECRET_LENGTH
from touchstone.facts.key_sources import UNKNOWN_KEY

MAX_DEPTH = 3
# A part of a key this long is no coincidence, and leaves less of it to guess.
PART_LENGTH = 12
SHOWN_LENGTH = 10

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_HEX = re.compile(rb"[0-9A-Fa-f]{16,}")
_FROM_URLSAFE = bytes.maketrans(b"-_", b"+/")
_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")
_PLUS = re.compile(rb"\+")
_BACKSLASH = re.compile(rb"(?:\\u[0-9A-Fa-f]{4})+|\\x[0-9A-Fa-f]{2}|\\[^ux]", re.DOTALL)
_LAYOUT = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_ENTITY = re.compile(rb"&(?:#\d+|#[xX][0-9A-Fa-f]+|[A-Za-z]\w*);?")

# What it is, texts of which one must be there (a quick look), and its form.
_SHAPES = (
    ("something like an API key", (b"sk_live_", b"sk_test_"), re.compile(rb"sk_(?:live|test)_\w{16,}")),
    ("something like a JSON web token", (b"eyJ",), re.compile(rb"(?<![\w-])eyJ[\w-]{6,}(?:\.[\w-]{6,}){2}")),
    ("a private key", (b"PRIVATE KEY",), re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    (
        "something like an AWS access key id",
        (b"AKIA", b"ASIA"),
        re.compile(rb"(?<![A-Za-z0-9])A[KS]IA[0-9A-Z]{16}(?![A-Za-z0-9])"),
    ),
)

_SCHEMES = (b"bearer", b"basic")
_AFTER_SCHEME = re.compile(rb"[ \t]+([\w.~+/-]{6,}+=*+)(?![<%&])")
# What may follow the name of a scheme in prose: words, a parameter of a challenge, a place to fill in.
_PROSE = re.compile(rb"[A-Za-z]?[a-z]{0,18}(?:[./-]+[a-z]{0,19})*|[a-z_-]+=|[A-Z_.-]+")

# Each name of a credential has one of these in it; what is said of it is on the right.
_WORDS = {
    b"api_key": "api_key",
    b"apikey": "apikey",
    b"api-key": "api-key",
    b"private_key": "private_key",
    b"token": "token",
    b"secret": "secret",
    b"passw": "password",
    b"passphrase": "passphrase",
    b"authorization": "authorization",
    b"cookie": "cookie",
}
_NAME_CHARACTERS = (string.ascii_lowercase + string.digits + "_-").encode()
_NAME_LENGTH = 60
_HEADER_NAME = re.compile(rb"(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?(?:api[_-]?key|(?:auth|access|api)-token)")
_NAME = re.compile(
    rb"[\w-]*(?:api[_-]?key|secret(?:[_-]?(?:access[_-]?)?key)?|passw(?:or)?d|passphrase|private_key)"
    rb"|(?:[\w-]*[_-])?(?:access|auth|refresh|id|session|bearer|api)[_-]?token|token|" + _HEADER_NAME.pattern
)
_QUOTED = rb"(?:\"((?:[^\"\\]|\\.)*)|'((?:[^'\\]|\\.)*))"
# A value comes as a member, as a parameter, and, next to its name, as the other member of an object.
_VALUES = (
    re.compile(rb"[\"']\s*:\s*" + _QUOTED),
    re.compile(rb"=(?!=)(?:([^\s&\"'#\\;]+)|[\"']([\w.~+/=@$!%-]+)[\"'])"),
    re.compile(rb"[\"']\s*,\s*[\"']value[\"']\s*:\s*" + _QUOTED),
)
# Of a header, also as a line or an item below its name, in a list, and as one of a pair.
_HEADER_VALUES = (
    re.compile(rb"[ \t]*:(?:\s*-(?=\s))?[ \t]*[\"']?([^\s\"'\\\[{][^\r\n\"'\\]*)"),
    re.compile(rb"[\"']\s*:\s*\[\s*" + _QUOTED),
    re.compile(rb"[\"']\s*,\s*" + _QUOTED + rb"[\"']\s*[\])]"),
)

_MARKER = re.compile(rb"(?i)(?:<|&lt;|%3c|\\u003c|\\x3c)[^<>]*?(?:>|&gt;|%3e|\\u003e|\\x3e)")
# No value, that there is one, asterisks, nobody's key, or a variable of a shell that holds it elsewhere.
_NOTHING = re.compile(
    rb"(?:(?i:bearer|basic|digest|token|apikey)\b\s*)?"
    rb"(?:(?i:null|none|true|false|undefined|set)|\**|%b|\$[A-Z_][A-Z0-9_]*|\$[{(].*)" % UNKNOWN_KEY.encode(),
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Leak:
    """A credential in a text: the number of its line, from 1, and what it is."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class _Key:
    """A known key, and the parts of it that give it away."""

    name: str
    value: bytes
    parts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Search:
    """The known keys, what decoded bytes look like that are worth a look, and how each kind of escape is undone."""

    keys: tuple[_Key, ...]
    readable: re.Pattern[bytes]
    escapes: tuple[tuple[re.Pattern[bytes], Callable[[bytes], bytes]], ...]


@dataclass(frozen=True, slots=True)
class _Layer:
    """
    What a text says at one depth of decoding; *lines* is, for each line of it, the number of that line in the text.
    """

    data: bytes
    lines: range | tuple[int, ...]

    def number(self, places: Iterable[int]) -> Iterator[int]:
        """The line of each place; places ascend."""
        index = at = 0
        for place in places:
            index, at = index + self.data.count(b"\n", at, place), place
            yield self.lines[index]


def leaks(text: str, known: Mapping[str, str]) -> tuple[Leak, ...]:
    """The credentials left in *text*, in the order of its lines.

    Looks into escapes, base64 and hexadecimal, and into what comes out of those, MAX_DEPTH deep.

    Args:
        known: Key by name. A key shorter than redact.MIN_SECRET_LENGTH is not looked for.
    """
    search = _search(known)
    layers = _layers(_encoded(text), search)
    found = {*_known(layers, search.keys)}
    said: dict[tuple[str, bytes], str] = {}  # much is repeated in a recording
    for layer in layers:
        seen = _unknown(layer.data)
        for line, (start, end, what) in zip(layer.number(start for start, _, _ in seen), seen, strict=True):
            one = (what, layer.data[start:end])
            if one not in said:
                said[one] = _said(*one, search)
            found.add(Leak(line, said[one]))
    return tuple(sorted((leak for leak in found if leak.what), key=lambda leak: (leak.line, leak.what)))


def decoded(word: bytes) -> Iterator[bytes]:
    """What one word may say: without its escapes, and out of base64 and hexadecimal."""
    plain = word
    for escape, undone in _ESCAPES:
        plain = undone(plain) if escape.search(plain) else plain
    yield plain
    for form, out_of in ((_BASE64, _from_base64), (_HEX, _from_hex)):
        for run in form.findall(plain):
            yield from out_of(run)


def _search(known: Mapping[str, str]) -> _Search:
    values = {name: value for name, value in known.items() if len(value) >= MIN_SECRET_LENGTH and value != UNKNOWN_KEY}
    shared = _shared_prefix(set(values.values()))
    keys = tuple(_Key(name, _encoded(value), tuple(_parts(value, shared))) for name, value in values.items())
    readable = rb"[\t\r\n -~]" if all(map(str.isascii, values.values())) else rb"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
    least = min((PART_LENGTH, *(len(key.value) for key in keys)))
    has_space = any(" " in value for value in values.values())
    escapes = (*_ESCAPES, (_PLUS, _without_plus)) if has_space else _ESCAPES
    return _Search(keys, re.compile(readable + b"{%d,}" % least), escapes)


def _shared_prefix(values: set[str]) -> str:
    """What all keys begin with, such as ``sk_live_``: it gives none of them away."""
    if len(values) < 2:
        return ""
    # No further than a separator: of a key and the same key cut short, nearly everything is shared.
    alike = itertools.takewhile(lambda chars: len(set(chars)) == 1, zip(*values, strict=False))
    match = re.match(r".*[^A-Za-z0-9]", "".join(first for first, *_ in alike), re.DOTALL)
    return match[0] if match else ""


def _parts(value: str, shared: str) -> Iterator[bytes]:
    for start in range(len(value) - PART_LENGTH + 1):
        part = value[start : start + PART_LENGTH]
        if part not in shared and part not in UNKNOWN_KEY:
            yield _encoded(part)


def _known(layers: Iterable[_Layer], keys: Iterable[_Key]) -> Iterator[Leak]:
    for key in keys:
        whole, parts = set(), set()
        for layer in layers:
            whole |= {*layer.number(_places(layer.data, key.value))}
            rest = layer.data.replace(key.value, b"\0")
            parts |= {line for part in key.parts for line in layer.number(_places(rest, part))}
        yield from (Leak(line, f"the {key.name} key") for line in whole)
        yield from (Leak(line, f"a part of the {key.name} key") for line in parts - whole)


def _said(what: str, value: bytes, search: _Search) -> str:
    """
    What to say of something that looks like a credential: nothing of a known key, which is reported by its name alone.
    """
    return "" if any(_known(_layers(value, search), search.keys)) else what + _start(value, search.keys)


def _start(value: bytes, keys: tuple[_Key, ...]) -> str:
    """How a value begins, if that gives too little away to be a leak itself."""
    start = value[: min(SHOWN_LENGTH, len(value) // 2)]
    secret = re.sub(rb"^sk_(?:live|test)_", b"", start)
    pieces = (secret[at : at + 4] for at in range(len(secret) - 3))
    if any(start in key.value for key in keys) or any(piece in key.value for piece in pieces for key in keys):
        return ""
    shown = "".join(char if char.isprintable() else " " for char in start.decode("utf-8", "replace"))
    return f": {shown}…"


def _layers(data: bytes, search: _Search) -> list[_Layer]:
    """The text, what it decodes to, what that decodes to, and so on; line by line, so that each line can be told."""
    newest = [_Layer(data, range(1, data.count(b"\n") + 2))]
    seen = dict.fromkeys(newest)
    for _ in range(MAX_DEPTH):
        decoded = [child for layer in newest for child in _decoded(layer, search)]
        newest = [layer for layer in dict.fromkeys(decoded) if layer not in seen]
        seen |= dict.fromkeys(newest)
    return list(seen)


def _decoded(layer: _Layer, search: _Search) -> Iterator[_Layer]:
    for escape, undone in search.escapes:
        # Most lines have no escape, and need no second look.
        pairs = zip(layer.data.split(b"\n"), layer.lines, strict=True)
        chosen = [(line, number) for line, number in pairs if escape.search(line)]
        if chosen:
            data = b"\n".join(undone(line).replace(b"\n", b"\r") for line, _ in chosen)
            yield _Layer(data, tuple(number for _, number in chosen))
    runs = _out_of_runs(layer, search.readable)
    if runs.lines:
        yield runs


def _out_of_runs(layer: _Layer, readable: re.Pattern[bytes]) -> _Layer:
    """What the base64 and the hexadecimal of a text say: each a line of its own."""
    texts: list[bytes] = []
    lines: list[int] = []
    for form, decoded in ((_BASE64, _from_base64), (_HEX, _from_hex)):
        runs = list(form.finditer(layer.data))
        for line, run in zip(layer.number(run.start() for run in runs), runs, strict=True):
            found = [text.replace(b"\n", b"\r") for data in decoded(run[0]) for text in readable.findall(data)]
            texts += found
            lines += [line] * len(found)
    # Nothing that spans lines in a text is to be seen in what stood apart.
    return _Layer(b"\0\n".join(texts), tuple(lines))


def _from_base64(run: bytes) -> Iterator[bytes]:
    # What precedes base64 without a gap, such as a path, shifts it.
    for shift in range(4):
        shifted = run[shift : len(run) - ((len(run) - shift) % 4 == 1)]
        yield binascii.a2b_base64(shifted.translate(_FROM_URLSAFE) + b"==")


def _from_hex(run: bytes) -> Iterator[bytes]:
    for shift in range(2):
        yield binascii.unhexlify(run[shift : len(run) - (len(run) - shift) % 2])


def _without_percent(data: bytes) -> bytes:
    return unquote_to_bytes(data)


def _without_plus(data: bytes) -> bytes:
    return unquote_to_bytes(data.replace(b"+", b" "))


def _without_backslash(data: bytes) -> bytes:
    return _BACKSLASH.sub(_meaning, data)


def _without_entity(data: bytes) -> bytes:
    return _ENTITY.sub(lambda match: _encoded(html.unescape(match[0].decode())), data)


def _meaning(match: re.Match[bytes]) -> bytes:
    written = match[0]
    if written[1:2] == b"x":
        return bytes.fromhex(written[2:].decode())
    if written[1:2] == b"u":
        units = b"".join(bytes.fromhex(unit.decode()) for unit in written.split(b"\\u"))
        return units.decode("utf-16-be", "replace").encode()
    return _LAYOUT.get(written[1:], written[1:])


_ESCAPES = (
    (_PERCENT, _without_percent),
    (_BACKSLASH, _without_backslash),
    (_ENTITY, _without_entity),
)


def _unknown(text: bytes) -> list[tuple[int, int, str]]:
    """Where something looks like a credential, and what it is: of several things that may be said of one, the first."""
    lower = text.lower()
    ways = (_by_shape(text), _by_scheme(text, lower), _by_name(text, lower))
    told: list[tuple[int, int, str]] = []
    for what, start, end in itertools.chain(*ways):
        place = bisect(told, (start,))
        is_free = (not place or told[place - 1][1] <= start) and (place == len(told) or end <= told[place][0])
        if is_free:
            told.insert(place, (start, end, what))
    return told


def _by_shape(text: bytes) -> Iterator[tuple[str, int, int]]:
    for what, needed, form in _SHAPES:
        if any(word in text for word in needed):
            for match in form.finditer(text):
                if match[0] != UNKNOWN_KEY.encode():
                    yield what, *match.span()


def _by_scheme(text: bytes, lower: bytes) -> Iterator[tuple[str, int, int]]:
    for scheme in _SCHEMES:
        for start in _places(lower, scheme):
            match = _AFTER_SCHEME.match(text, start + len(scheme))
            if match and not _is_prose(scheme, match[1]) and not _NOTHING.fullmatch(match[1]):
                yield f"what follows {scheme.decode().title()}", *match.span(1)


def _is_prose(scheme: bytes, word: bytes) -> bool:
    # A name and a password, joined by a colon, stand behind Basic.
    is_short = scheme == b"basic" and len(word) < 16 and b":" not in next(_from_base64(word.translate(None, b".~=")))
    return is_short or _PROSE.fullmatch(word) is not None


def _by_name(text: bytes, lower: bytes) -> Iterator[tuple[str, int, int]]:
    for word, said in _WORDS.items():
        for place in _places(lower, word):
            start, end = _name_around(lower, place)
            name = lower[start:end]
            if not _NAME.fullmatch(name):
                continue
            for form in _VALUES + (_HEADER_VALUES if _HEADER_NAME.fullmatch(name) else ()):
                match = form.match(text, end)
                if match and match.lastindex and not _is_harmless(match[match.lastindex]):
                    yield f"a value called {said}", *match.span(match.lastindex)


def _name_around(text: bytes, place: int) -> tuple[int, int]:
    before, after = text[max(0, place - _NAME_LENGTH) : place], text[place : place + _NAME_LENGTH]
    start = place - len(before) + len(before.rstrip(_NAME_CHARACTERS))
    return start, place + len(after) - len(after.lstrip(_NAME_CHARACTERS))


def _places(text: bytes, word: bytes) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + len(word))


def _is_harmless(value: bytes) -> bool:
    return _MARKER.search(value) is not None or _NOTHING.fullmatch(value.strip()) is not None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
