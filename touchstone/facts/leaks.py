"""Finds known keys, and anything that looks like a credential, in finished texts. Results do not quote them."""

import binascii
import re
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from touchstone.facts.key_sources import UNKNOWN_KEY
from touchstone.facts.redaction_guard import decodings, parts_of

_SHAPES = (
    ("something like an API key", re.compile(r"sk_(?:live|test)_\w{16,}")),
    ("something like a JSON web token", re.compile(r"(?<![\w-])eyJ[\w-]{6,}(?:\.[\w-]{6,}){2}")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    ("something like an AWS access key id", re.compile(r"(?<![A-Za-z0-9])A[KS]IA[0-9A-Z]{16}(?![A-Za-z0-9])")),
)

_AFTER_SCHEME = re.compile(r"(?i:(bearer|basic))[ \t]+([\w.~+/-]{6,}+=*+)(?![<%&])")
# Harmless text after Bearer or Basic: ordinary words, a parameter of a challenge, a placeholder.
_PROSE = re.compile(r"[A-Za-z]?[a-z]{0,18}(?:[./-]+[a-z]{0,19})*|[a-z_-]+=|[A-Z_.-]+")

# A field with a credential has one of these in its name.
_NAME_PARTS = (
    *("api_key", "apikey", "api-key", "private_key", "token", "secret"),
    *("password", "passwd", "passphrase", "authorization", "cookie"),
)
_FIELD = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{5,60}(?=[\"']?\s*[:=,])")
_HEADER_NAME = re.compile(r"(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?(?:api[_-]?key|(?:auth|access|api)-token)")
_NAME = re.compile(
    r"[\w-]*(?:api[_-]?key|secret(?:[_-]?(?:access[_-]?)?key)?|passw(?:or)?d|passphrase|private_key)"
    r"|(?:[\w-]*[_-])?(?:access|auth|refresh|id|session|bearer|api)[_-]?token|token|" + _HEADER_NAME.pattern
)
_QUOTED = r"(?:\"((?:[^\"\\]|\\.)*)|'((?:[^'\\]|\\.)*))"
# How a value follows its name: as a JSON member, after =, or as a member "value" after a member "name".
_VALUES = (
    re.compile(r"[\"']\s*:\s*" + _QUOTED),
    re.compile(r"=(?!=)(?:([^\s&\"'#\\;]{1,400})|[\"']([\w.~+/=@$!%-]{1,400})[\"'])"),
    re.compile(r"[\"']\s*,\s*[\"']value[\"']\s*:\s*" + _QUOTED),
)
# For headers also: as the rest of the line, a YAML item below the name, a JSON list, or the second of a pair.
_HEADER_VALUES = (
    re.compile(r"[ \t]*:(?:\s*-(?=\s))?[ \t]*[\"']?([^\s\"'\\\[{][^\r\n\"'\\]{0,400})"),
    re.compile(r"[\"']\s*:\s*\[\s*" + _QUOTED),
    re.compile(r"[\"']\s*,\s*" + _QUOTED + r"[\"']\s*[\])]"),
)

_MARKER = re.compile(r"(?i)(?:<|&lt;|%3c|\\u003c|\\x3c)[^<>]*?(?:>|&gt;|%3e|\\u003e|\\x3e)")
# Harmless values: empty, null, a boolean, asterisks, the example key of the documentation, a shell variable.
_NOTHING = re.compile(
    r"(?:(?i:bearer|basic|digest|token|apikey)\b\s*)?"
    rf"(?:(?i:null|none|true|false|undefined|set)|\**|{UNKNOWN_KEY}|\$[A-Z_][A-Z0-9_]*|\$[{{(].*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Leak:
    """A credential in a text: its line, from 1, and its description."""

    line: int
    what: str


def leaks(text: str, known: Mapping[str, str]) -> tuple[Leak, ...]:
    """Returns the credentials in *text*, plain or encoded, in the order of lines. *known*: keys by name."""
    parts = parts_of({value: name for name, value in known.items()})
    whole, in_part, alike = (set[tuple[int, str]]() for _ in range(3))
    for layer in decodings(text):
        folded = layer.lower()
        lines = folded.split("\n")
        for part, name in parts.items():
            if part in folded:
                in_part |= {(number, name) for number, line in enumerate(lines, 1) if part in line}
        alike |= {*_unknown(layer)}
        whole |= {(n, name) for n, name in in_part if known[name].lower() in lines[n - 1]}
    known_lines = {number for number, _ in in_part}
    found = {(number, f"the {name} key") for number, name in whole}
    found |= {(number, f"a part of the {name} key") for number, name in in_part - whole}
    found |= {(number, what) for number, what in alike if number not in known_lines}
    return tuple(Leak(*pair) for pair in sorted(found))


def _unknown(text: str) -> Iterator[tuple[int, str]]:
    """Yields line and description of each likely credential. If two overlap, yields only the first."""
    breaks = [at for at, char in enumerate(text) if char == "\n"]
    found: list[tuple[int, int]] = []
    shaped = [(what, match) for what, form in _SHAPES for match in form.finditer(text) if match[0] != UNKNOWN_KEY]
    by_shape = ((what, *match.span()) for what, match in shaped)
    for what, start, end in (*by_shape, *_by_scheme(text), *_by_name(text)):
        place = bisect(found, (start,))
        if (not place or found[place - 1][1] <= start) and (place == len(found) or end <= found[place][0]):
            found.insert(place, (start, end))
            yield bisect(breaks, start) + 1, what


def _by_scheme(text: str) -> Iterator[tuple[str, int, int]]:
    for match in _AFTER_SCHEME.finditer(text):
        scheme, word = match[1].title(), match[2]
        if not (_is_prose(scheme, word) or _NOTHING.fullmatch(word)):
            yield f"a value after {scheme}", *match.span(2)


def _is_prose(scheme: str, word: str) -> bool:
    if scheme == "Basic" and len(word) < 16:
        # Basic is followed by base64 of a name and a password, joined by a colon.
        coded = re.sub("[^A-Za-z0-9+/]", "", word)
        if b":" not in binascii.a2b_base64(coded[: len(coded) - (len(coded) % 4 == 1)] + "=="):
            return True
    return _PROSE.fullmatch(word) is not None


def _by_name(text: str) -> Iterator[tuple[str, int, int]]:
    for found in _FIELD.finditer(text):
        name = found[0].lower()
        word = next((part for part in _NAME_PARTS if part in name), "")
        if not word or not _NAME.fullmatch(name):
            continue
        for form in _VALUES + (_HEADER_VALUES if _HEADER_NAME.fullmatch(name) else ()):
            match = form.match(text, found.end())
            value = match[match.lastindex] if match and match.lastindex else ""
            if match and match.lastindex and not (_MARKER.search(value[:400]) or _NOTHING.fullmatch(value.strip())):
                yield f"a value called {word}", *match.span(match.lastindex)
