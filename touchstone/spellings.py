"""
Where a value stands in what crossed the wire, however it is spelled: with escapes, in base64, in hexadecimal.

A text is read the way a receiver reads it. Each kind of escape is undone in the whole of it, and each run of base64 or
hexadecimal is decoded; what comes out is read again, since a JSON text may hold a URL that holds base64. Each reading
knows where its bytes come from, so that a value found deep inside is traced back to the bytes that spell it.

Nearly all bodies hold neither a value nor an escape nor a long word. They are let go after a few substring searches.
"""

import binascii
import functools
import html
import json
import re
import string
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

# Readings of readings: base64 in a JSON text in a form is three, and each of those may add an escape of its own.
MAX_READINGS = 6


def _table(members: bytes) -> bytes:
    """
    A translation that writes A for each member and a space for each other byte, so that a run of members is a word.
    """
    return bytes(b"A"[0] if byte in members else b" "[0] for byte in range(256))


def _cleared(bit: int) -> bytes:
    """
    The class of the characters of base64 that stand for a number without this bit.
    """
    return b"[%b]" % bytes(char for number, char in enumerate(_ALPHABET) if not number & bit)


_ALPHABET = (string.ascii_uppercase + string.ascii_lowercase + string.digits).encode()
_STANDARD = bytes.maketrans(b"-_", b"+/")
_IN_BASE64 = _table(_ALPHABET + b"+/-_")
_IN_HEX = _table(string.hexdigits.encode())
_IN_PLAIN_TEXT = _table(bytes(range(0x20, 0x7F)))
# Three characters below 0x80 in base64: the bits that would be their eighth are clear.
_PLAIN_IN_BASE64 = _cleared(32) + _cleared(8) + _cleared(2) + rb"[A-Za-z0-9+/_-]"

_PLAIN = re.compile(rb"[ !#-\[\]-~]+")  # printable, and as it is in JSON
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_PERCENT_OR_PLUS = re.compile(rb"%([0-9A-Fa-f]{2})|\+")
_MARKUP = re.compile(rb"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Browsers read a number without its semicolon as well.
_ANY_MARKUP = re.compile(rb"&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_OPEN_MARKUP = re.compile(rb"&#(?:[0-9]{1,7}(?![0-9;])|[xX][0-9A-Fa-f]{1,6}(?![0-9A-Fa-f;]))")
_BACKSLASH = re.compile(
    rb"\\(?:u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}"
    rb"|x[0-9A-Fa-f]{2}|[bfnrt]|[ -/:-@\[-`{-~])"
)
# A line break, a tab or a quote in JSON: all that most bodies escape.
_MORE_THAN_LAYOUT = re.compile(rb"\\[^bfnrt\"]")
_ESCAPE_BEFORE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[bfnrt])|%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Span:
    """
    Where a value stands.

    Attributes:
        is_run: Whether the span is a run of base64 that holds the value, and with it whatever else is in the run.
    """

    start: int
    end: int
    value: bytes
    is_run: bool = False


@dataclass(frozen=True, slots=True)
class _Reading:
    """
    What a text says once it is decoded, and where the bytes between two places of that come from.
    """

    text: bytes
    origin: Callable[[int, int], tuple[int, int]]
    is_run: bool = False


@dataclass(frozen=True, slots=True)
class _Escapes:
    """
    One kind of escape.

    Attributes:
        sign: The byte that none goes without.
        form: What one looks like.
        meaning: The bytes that one stands for.
        telling: Where a text has no match for this, undoing its escapes brings nothing to light.
    """

    sign: bytes
    form: re.Pattern[bytes]
    meaning: Callable[[re.Match[bytes]], bytes]
    telling: re.Pattern[bytes]


class Finder:
    """
    Finds values in bytes, in any spelling.
    """

    __slots__ = ("_base64", "_escapes", "_first_signs", "_hex", "_is_plain", "_needles", "_run", "_shown", "_values")

    def __init__(self, values: Iterable[bytes]) -> None:
        self._values = sorted(set(values), key=lambda value: (-len(value), value))
        # Where one value is part of another, a text without the part is a text without the whole.
        self._needles = tuple(
            value for value in self._values if not any(part in value for part in self._values if part != value)
        )
        self._is_plain = all(_PLAIN.fullmatch(value) for value in self._values)
        self._escapes = tuple(_escapes(has_space=any(b" " in value for value in self._values), is_plain=self._is_plain))
        self._first_signs = (*self._needles, *dict.fromkeys(escapes.sign for escapes in self._escapes))
        least = min(map(len, self._values), default=1)
        self._run = b"A" * -(-least * 8 // 6)
        self._shown = b"A" * least
        # A spelling of plain values is plain text as well, and so base64 or hexadecimal of it has a pattern.
        groups, pairs = (max(1, (least - 2) // 3), least) if self._is_plain else (0, 0)
        self._base64 = re.compile(b"(?:%b){%d}" % (_PLAIN_IN_BASE64, groups))
        self._hex = re.compile(b"(?:[2-7][0-9A-Fa-f]){%d}" % pairs)

    def find(self, data: bytes) -> list[Span]:
        """
        All places of all values; they may overlap.
        """
        # Written out, since it runs on every body of a load test.
        for sign in self._first_signs:
            if sign in data:
                break
        else:
            if self._run not in data.translate(_IN_BASE64) or not self._runs(data):
                return []
        return list(self._found(data, MAX_READINGS, set())) if self._values else []

    def _found(self, data: bytes, readings: int, seen: set[bytes]) -> Iterator[Span]:
        yield from self._as_it_stands(data)
        if not readings:
            return
        # Two kinds of escapes, undone in either order, mostly leave the same text.
        seen.add(data)
        for reading in self._unescaped(data):
            if reading.text not in seen:
                yield from _traced(reading, self._found(reading.text, readings - 1, seen))
        for start, end in self._runs(data):
            for reading in (*self._out_of_base64(data, start, end), *self._out_of_hex(data, start, end)):
                # Another run may say the same elsewhere, so what was seen counts within one run only.
                yield from _traced(reading, self._found(reading.text, readings - 1, set()))

    def _as_it_stands(self, data: bytes) -> Iterator[Span]:
        if not any(needle in data for needle in self._needles):
            return
        for value in self._values:
            start = data.find(value)
            while start >= 0:
                yield Span(start, start + len(value), value)
                start = data.find(value, start + len(value))

    def _unescaped(self, data: bytes) -> Iterator[_Reading]:
        for escapes in self._escapes:
            if escapes.sign in data and escapes.telling.search(data):
                yield _undone(escapes, data)

    def _runs(self, data: bytes) -> list[tuple[int, int]]:
        """
        The runs of letters and digits that are long enough for a value, and may be text in base64 or hexadecimal.
        """
        return [
            (start, end)
            for start, end in _words(data, _IN_BASE64, self._run)
            if self._base64.search(data, start, end) or self._hex.search(data, start, end)
        ]

    def _out_of_base64(self, data: bytes, start: int, end: int) -> Iterator[_Reading]:
        run = data[start:end].translate(_STANDARD)
        padding = data[end : end + 2]
        padded = end + len(padding) - len(padding.lstrip(b"="))
        # The letters of an escape before the run look like base64.
        escape = _ESCAPE_BEFORE.match(data, start - 1) if start else None
        for offset in range(4):  # and so does a word before it
            text = _from_base64(run[offset:])
            if self._may_hold(text):
                origin = functools.partial(_whole, start, padded, escape.end() if escape else start, offset)
                yield _Reading(text, origin, is_run=True)

    def _out_of_hex(self, data: bytes, first: int, last: int) -> Iterator[_Reading]:
        for start, end in _words(data[first:last], _IN_HEX, 2 * self._shown):
            for begin in (first + start, first + start + 1):
                digits = data[begin : first + end]
                text = binascii.unhexlify(digits[: len(digits) // 2 * 2])
                if self._may_hold(text):
                    yield _Reading(text, functools.partial(_digits, begin))

    def _may_hold(self, text: bytes) -> bool:
        """
        Whether there is text enough for a value in any spelling; decoding what is no base64 makes noise.
        """
        return not self._is_plain or self._shown in text.translate(_IN_PLAIN_TEXT)


def _traced(reading: _Reading, spans: Iterable[Span]) -> Iterator[Span]:
    for span in spans:
        start, end = reading.origin(span.start, span.end)
        yield Span(start, end, span.value, span.is_run or reading.is_run)


def _words(data: bytes, table: bytes, least: bytes) -> Iterator[tuple[int, int]]:
    """
    The first and the last place of each run of the table's members that is no shorter than *least*.
    """
    words = data.translate(table)
    start = words.find(least)
    while start >= 0:
        end = words.find(b" ", start)
        end = len(words) if end < 0 else end
        yield start, end
        start = words.find(least, end)


def _from_base64(run: bytes) -> bytes:
    whole = run[: len(run) - (len(run) % 4 == 1)]  # one character left over is less than a byte
    return binascii.a2b_base64(whole + b"==")


def _whole(first: int, last: int, after_escape: int, offset: int, start: int, _end: int) -> tuple[int, int]:
    # Three bytes are four characters.
    is_escape_apart = first + offset + start * 4 // 3 >= after_escape
    return (after_escape if is_escape_apart else first), last


def _digits(first: int, start: int, end: int) -> tuple[int, int]:
    return first + 2 * start, first + 2 * end


def _undone(escapes: _Escapes, data: bytes) -> _Reading:
    """
    The text with its escapes undone.

    It consists of pieces, of which each second one was an escape.
    """
    pieces: list[bytes] = []
    starts: list[int] = []
    origins: list[int] = []
    at = size = 0
    for match in escapes.form.finditer(data):
        for piece, origin in ((data[at : match.start()], at), (escapes.meaning(match), match.start())):
            pieces.append(piece)
            starts.append(size)
            origins.append(origin)
            size += len(piece)
        at = match.end()
    pieces.append(data[at:])
    starts.append(size)
    origins.append(at)
    return _Reading(b"".join(pieces), functools.partial(_before_undoing, starts, origins))


def _before_undoing(starts: list[int], origins: list[int], start: int, end: int) -> tuple[int, int]:
    first = bisect_right(starts, start) - 1
    last = bisect_right(starts, end - 1) - 1
    # Of an escape all belongs to the value, even where it stands for several bytes.
    begin = origins[first] + (0 if first % 2 else start - starts[first])
    return begin, origins[last + 1] if last % 2 else origins[last] + end - starts[last]


def _escapes(*, has_space: bool, is_plain: bool) -> Iterator[_Escapes]:
    yield _Escapes(b"%", _PERCENT, _from_percent, _PERCENT)
    yield _Escapes(b"&", _MARKUP, _from_markup, _MARKUP)
    yield _Escapes(b"&", _ANY_MARKUP, _from_markup, _OPEN_MARKUP)
    yield _Escapes(b"\\", _BACKSLASH, _from_backslash, _MORE_THAN_LAYOUT if is_plain else _BACKSLASH)
    if has_space:
        yield _Escapes(b"+", _PERCENT_OR_PLUS, _from_percent, _PERCENT_OR_PLUS)
    if not is_plain:
        # Whether \xfc is a byte or a character differs between languages; below 0x80 it is the same.
        yield _Escapes(b"\\", _BACKSLASH, functools.partial(_from_backslash, is_byte=False), _BACKSLASH)


def _from_percent(match: re.Match[bytes]) -> bytes:
    return binascii.unhexlify(match[1]) if match[1] else b" "


def _from_markup(match: re.Match[bytes]) -> bytes:
    return _encoded(html.unescape(match[0].decode("ascii")))


def _from_backslash(match: re.Match[bytes], *, is_byte: bool = True) -> bytes:
    written = match[0].decode("utf-8")
    kind, digits = written[1], written[2:].strip("{}")
    if kind == "x" and is_byte:
        return binascii.unhexlify(digits)
    if kind == "x" or (kind == "u" and "{" in written):
        return _encoded(chr(min(int(digits, 16), 0x10FFFF)))
    if kind in "ubfnrt":
        return _encoded(str(json.loads(f'"{written}"')))
    return match[0][1:]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
