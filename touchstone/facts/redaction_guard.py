"""The second look at what a run writes and prints: a known key that is still there is cut out and reported.

It decodes the text where redact.py encodes the keys: an encoding that one misreads is not missed by both.
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
_ROUNDS = 2  # How often a text is decoded: what base64 says may have escapes.

_BACKSLASH = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_LAYOUT = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_ONE_ALPHABET = str.maketrans("-_", "+/")
# A word in any encoding; a quote, and a backslash before one, end a string of JSON.
_WORD = r'(?:[^\s"\\<>]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\/){%d,}'

_names: dict[str, str] = {}
_parts: dict[str, str] = {}


def know(keys: Mapping[str, str]) -> None:
    """Has these keys, by their names in reports, looked for in all that this process writes from now on."""
    fresh = {value: name for name, value in keys.items()}
    if not fresh.keys() <= _names.keys():
        _names.update(fresh)
        _parts.clear()
        _parts.update(parts_of(_names))


def forget() -> None:
    """Looks for no key any more."""
    _names.clear()
    _parts.clear()


def parts_of(names: Mapping[str, str]) -> dict[str, str]:
    """By lower-case part that gives a key away, its name; parts that keys or the documented example share do not count.

    Args:
        names: The name of each key, by its value.
    """
    holders: dict[str, list[str]] = {}
    for value, name in names.items():
        # A long key within another one is found as a part of that.
        is_within = len(value) > PART_CHARS and any(value in other != value for other in names)
        if len(value) >= KEY_CHARS and value != UNKNOWN_KEY and not is_within:
            starts = range(max(1, len(value) - PART_CHARS + 1))
            for part in {value[start : start + PART_CHARS].lower() for start in starts}:
                holders.setdefault(part, []).append(name)
    return {part: of[0] for part, of in holders.items() if len(of) == 1 and part not in UNKNOWN_KEY}


def cut(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without known keys, and the names of those that were in it."""
    found = _held_in(text)
    if not found:
        return text, ()

    def without(word: re.Match[str]) -> str:
        if not _held_in(word[0]):
            return word[0]
        name = next((name for part, name in _parts.items() if part in word[0].lower()), "")
        # Base64 stays base64, or what reads the text later would stumble.
        return f"[cut out: {name} key]" if name else re.sub("[^=]", "A", word[0])

    # No shorter word holds a part.
    return re.sub(_WORD % min(map(len, _parts)), without, text), found


def looked_over(text: str, place: object) -> str:
    """The text without known keys; standard error says which were in it."""
    text, names = cut(text)
    for name in names:
        sys.stderr.write(f"warning: {place}: {held(name)}\n")
    return text


def held(name: str) -> str:
    """The warning about a key that was found."""
    return f"held the {name} key, or a part of it, which was cut out; tell the authors of touchstone what repeated it"


def readings(text: str, least_chars: int = 12) -> Iterator[str]:
    """The text, and what it says without escapes, base64 and hexadecimal (*least_chars* at least), line by line."""
    runs = functools.partial(_out_of_runs, least_chars=least_chars)
    newest = [text]
    yield text
    for _ in range(_ROUNDS):
        pairs = [(layer, _each_line(layer, decode)) for layer in newest for decode in (_unescaped, runs)]
        newest = [decoded for layer, decoded in pairs if decoded != layer and not decoded.isspace()]
        yield from newest


def _held_in(text: str) -> tuple[str, ...]:
    if not _parts:
        return ()
    folded = "\0".join(readings(text, min(map(len, _parts)))).lower()
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
        # What precedes base64 without a gap, such as a path, shifts it.
        for shift in range(4):
            shifted = run[shift : len(run) - ((len(run) - shift) % 4 == 1)]
            decoded.append(binascii.a2b_base64(shifted.translate(_ONE_ALPHABET) + "=="))
    for run in re.findall(f"[0-9A-Fa-f]{{{least_chars * 2},}}", line):
        decoded += (binascii.unhexlify(run[shift : len(run) - (len(run) - shift) % 2]) for shift in range(2))
    readable = f"[\t\r\n -~]{{{least_chars},}}"
    return "\0".join(text for data in decoded for text in re.findall(readable, data.decode("latin-1")))
