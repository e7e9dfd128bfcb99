"""Redaction guard: removes and reports known keys that are left in a text before a run writes or prints it.

The guard decodes the text, whereas target/redact.py encodes the keys. Each finds encodings that the other misses.
"""

import binascii
import functools
import html
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from touchstone.facts.key_sources import UNKNOWN_KEY

PART_CHARS, KEY_CHARS = 18, 6  # the shortest part of a key that counts, and the shortest key
_ROUNDS = 2  # rounds of decoding: base64 may contain escapes

_BACKSLASH = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_LAYOUT = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_ONE_ALPHABET = str.maketrans("-_", "+/")
# Patterns for the characters of a word that may contain a key. The guard tries one after the other: without words of
# the first kind, JSON and HTML stay valid; of the second kind, only JSON. The third also finds keys with quotes.
_CHARS = (r'(?<!\\)(?:[^\s"\\<>]|\\++[^\s"\\<>])', r'(?:[^\s"\\]|\\\S)', r"\S")

_names: dict[str, str] = {}
_parts: dict[str, str] = {}


def register(keys: Mapping[str, str]) -> None:
    """Registers keys by name; from now on they are removed from everything that this process writes."""
    fresh = {value: name for name, value in keys.items()}
    if not fresh.keys() <= _names.keys():
        _names.update(fresh)
        _parts.clear()
        _parts.update(parts_of(_names))


def parts_of(names: Mapping[str, str]) -> dict[str, str]:
    """Maps each part of a key, in lower case, to the name of the key; *names* has the name of each key, by key.

    A shorter key is one part. Parts that keys share with each other or with the example key are left out.
    """
    holders: dict[str, list[str]] = {}
    for value, name in names.items():
        # A long key within another key is found as a part of the other key.
        is_within = len(value) > PART_CHARS and any(value in other != value for other in names)
        if len(value) >= KEY_CHARS and value != UNKNOWN_KEY and not is_within:
            starts = range(max(1, len(value) - PART_CHARS + 1))
            for part in {value[start : start + PART_CHARS].lower() for start in starts}:
                holders.setdefault(part, []).append(name)
    return {part: of[0] for part, of in holders.items() if len(of) == 1 and part not in UNKNOWN_KEY}


def cut(text: str) -> tuple[str, tuple[str, ...]]:
    """Removes registered keys from a text; returns the text and the names of the keys."""
    found = names = _names_in(text)

    def without(word: re.Match[str]) -> str:
        if not _names_in(word[0]):
            return word[0]
        name = next((name for part, name in _parts.items() if part in word[0].lower()), "")
        # Base64 stays base64, so that the text can still be decoded.
        return f"[cut out: {name} key]" if name else re.sub("[^=]", "A", word[0])

    for char in _CHARS:
        if found:
            # A shorter word contains no part of a key.
            text = re.sub(f"(?:{char}){{{min(map(len, _parts))},}}", without, text)
            found = _names_in(text)
    return text, names


def redact(text: str, place: object) -> str:
    """Removes registered keys from a text. For each key, prints a warning that names *place* to standard error."""
    text, names = cut(text)
    for name in names:
        sys.stderr.write(f"warning: {place}: {warning(name)}\n")
    return text


def warning(name: str) -> str:
    """Returns a warning that the key called *name* was found in a text."""
    return f"contained the {name} key or a part of it, which was removed; report this as a bug of touchstone"


def decodings(text: str, least_chars: int = 12) -> Iterator[str]:
    """Yields the text, the text without escapes, and decoded base64 and hexadecimal of *least_chars* or more."""
    runs = functools.partial(_out_of_runs, least_chars=least_chars)
    newest = [text]
    yield text
    for _ in range(_ROUNDS):
        pairs = [(layer, _each_line(layer, decode)) for layer in newest for decode in (_unescaped, runs)]
        newest = [decoded for layer, decoded in pairs if decoded != layer and not decoded.isspace()]
        yield from newest


def _names_in(text: str) -> tuple[str, ...]:
    if not _parts:
        return ()
    folded = "\0".join(decodings(text, min(map(len, _parts)))).lower()
    return tuple(dict.fromkeys(name for part, name in _parts.items() if part in folded))


def _each_line(text: str, decode: Callable[[str], str]) -> str:
    return "\n".join(decode(line).replace("\n", "\r") if line else line for line in text.split("\n"))


def _unescaped(line: str) -> str:
    if "%" in line:
        line = unquote(line, "latin-1")
    if "&" in line:
        line = html.unescape(line)
    return _BACKSLASH.sub(_meaning, line) if "\\" in line else line


def _meaning(escape: re.Match[str]) -> str:
    number = escape[1] or escape[2]
    return chr(int(number, 16)) if number else _LAYOUT.get(escape[3], escape[3])


def _out_of_runs(line: str, least_chars: int) -> str:
    decoded: list[bytes] = []
    for run in re.findall(f"[A-Za-z0-9+/_-]{{{least_chars * 4 // 3},}}", line):
        # Text directly before base64, such as a path, shifts its groups of four, so every shift is tried.
        for shift in range(4):
            shifted = run[shift : len(run) - ((len(run) - shift) % 4 == 1)]
            decoded.append(binascii.a2b_base64(shifted.translate(_ONE_ALPHABET) + "=="))
    for run in re.findall(f"[0-9A-Fa-f]{{{least_chars * 2},}}", line):
        decoded += (binascii.unhexlify(run[shift : len(run) - (len(run) - shift) % 2]) for shift in range(2))
    readable = f"[\t\r\n -~]{{{least_chars},}}"
    return "\0".join(text for data in decoded for text in re.findall(readable, data.decode("latin-1")))
