"""The places of a value in what crossed the wire, in each encoding in which a server repeats one.

The encodings of a value are made beforehand, and the bytes are searched for them; nothing is decoded. The search takes
time in proportion to the bytes. It finds the value in upper and lower case, as percent, JSON and HTML escapes, in
hexadecimal, in base64 at each of its three offsets and with line breaks in it, and parts of PART_LENGTH characters.
"""

import base64
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html.entities import html5

# The shortest part of a value that counts, and the length of which each such part holds an aligned block.
PART_LENGTH = 18
_BLOCK_LENGTH = PART_LENGTH // 2
# The shortest beginning of a value that counts at the end of bytes that were cut there.
EDGE_LENGTH = 8

# A line of base64 has 64 characters in PEM, and 76 in MIME.
_LINE_LENGTH = 64
_STANDARD = bytes.maketrans(b"-_", b"+/")
_IN_BASE64 = {ord("+"): rb"[+-]", ord("/"): rb"[/_]"}
_LINE_BREAK = rb"(?:(?:[\r\n]|\\{1,3}[rn]|%0[aAdD]|&#1[03];){1,4}[ \t]{0,8})?"
_BEHIND_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{0,3}(?:=|%3[dD]){0,2}")

# What a text has to hold before one of its characters is an escape of more than layout.
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}|&[#A-Za-z]|\\[^bfnrt]|\+")
_ESCAPE_BUT_OF_QUOTES = re.compile(rb"%[0-9A-Fa-f]{2}|&[#A-Za-z]|\\[^bfnrt\"]")


@dataclass(frozen=True, slots=True)
class Span:
    """The place of a value, or of a part of it."""

    start: int
    end: int
    value: bytes


class Finder:
    """A search for values in bytes, whatever their encoding.

    Args:
        values: In the order in which they lend their name to a part that several have.
        whole: Those of them of which a part counts for nothing.
    """

    def __init__(self, values: Iterable[bytes], whole: Iterable[bytes] = ()) -> None:
        self._values = tuple(dict.fromkeys(values))
        self._exact = frozenset(self._values)
        self._whole = frozenset(value.lower() for value in whole)
        self._folded: dict[bytes, bytes] = {}
        self._parts: dict[bytes, bytes | None] = {}
        self._forms: tuple[tuple[bytes, bytes], ...] | None = None
        self._heads: frozenset[bytes] = frozenset()
        for value in self._values:
            self._folded.setdefault(value.lower(), value)
        # A value within another one is found as a part of that.
        self._longest = tuple(value for value in self._folded if not _is_within(value, self._folded))
        self._blocks = tuple(self._cut_in_blocks())
        shortest = [value for value in self._values if not any(_is_within(other, (value,)) for other in self._values)]
        self._beginnings = tuple(dict.fromkeys(block for block, _, _ in self._blocks))
        self._digits = tuple(value.hex().encode() for value in shortest)
        self._shortest = tuple(shortest)
        self._base64 = tuple(piece for value in shortest for coded in _in_base64(value) for piece in _pieces(coded))
        is_plain = all(re.fullmatch(rb"[!#-~]*", value) for value in self._values)
        self._escape = _ESCAPE_BUT_OF_QUOTES if is_plain else _ESCAPE
        self._with_endings = _with_endings(self._folded)
        self._least = min((PART_LENGTH, *map(len, self._values)))
        self._least_coded = min((len(coded) for value in shortest for coded in _in_base64(value)), default=0)

    def find(self, data: bytes) -> list[Span]:
        """All places of all values and of their parts; they may overlap."""
        spans: list[Span] = []
        if len(data) < self._least or not self._values:
            return spans
        folded = data.lower()
        if _holds_any(folded, self._beginnings):
            spans += self._plain(data, folded)
        if len(data) >= self._least_coded:
            if _holds_any(folded, self._digits):
                spans += self._hexadecimal(folded)
            if _holds_any(data.translate(_STANDARD), self._base64):
                spans += self._coded(data)
        if self._escape.search(data):
            spans += self._escaped(data)
        return spans

    def edge(self, data: bytes) -> Span | None:
        """The beginning of a value at the end of *data*, which goes on elsewhere."""
        if self._forms is None:
            self._forms = tuple((form, value) for value in self._values for form in _forms(value))
            self._heads = frozenset(form[:EDGE_LENGTH] for form, _ in self._forms)
        longest = max((len(form) for form, _ in self._forms), default=0)
        for start in range(max(0, len(data) - longest), len(data) - EDGE_LENGTH + 1):
            tails = (data[start:], data[start:].lower())
            if self._heads.isdisjoint(tail[:EDGE_LENGTH] for tail in tails):
                continue
            begun = [value for form, value in self._forms if form.startswith(tails)]
            # What several values begin with gives none of them away.
            if len({whole for value in begun for whole in self._longest if value.lower() in whole}) == 1:
                return Span(start, len(data), begun[0])
        return None

    def _cut_in_blocks(self) -> Iterator[tuple[bytes, bytes, int]]:
        """What is looked for, the value that it is from, and its place there."""
        for value in self._longest:
            if len(value) >= PART_LENGTH:
                for at in range(0, len(value) - _BLOCK_LENGTH + 1, _BLOCK_LENGTH):
                    yield value[at : at + _BLOCK_LENGTH], value, at
        yield from ((value, value, 0) for value in self._folded if len(value) < PART_LENGTH)

    def _plain(self, data: bytes, folded: bytes) -> Iterator[Span]:
        for block, value, at in self._blocks:
            found = folded.find(block)
            while found >= 0:
                start, end = _grown(folded, found, value, at, len(block))
                known = self._named(data[start:end], folded[start:end])
                if known is not None:
                    yield Span(start, end, known)
                found = folded.find(block, end if end - start >= PART_LENGTH else found + 1)

    def _named(self, data: bytes, folded: bytes) -> bytes | None:
        """The value that bytes are, or are a part of; None where that gives none away."""
        if data in self._exact:
            return data
        known = self._folded.get(folded)
        if known is not None or len(data) < PART_LENGTH:
            return known
        if folded not in self._parts:
            self._parts[folded] = self._owner(folded)
        return self._parts[folded]

    def _owner(self, part: bytes) -> bytes | None:
        """The value that a part gives away: none where several have it."""
        if sum(part in value for value in self._longest) != 1 or any(part in value for value in self._whole):
            return None
        return next(value for value in self._values if part in value.lower())

    def _hexadecimal(self, folded: bytes) -> Iterator[Span]:
        for value in self._values:
            yield from (Span(*place, value) for place in _places(folded, value.hex().encode()))

    def _coded(self, data: bytes) -> Iterator[Span]:
        pattern = _base64_pattern(self._shortest)
        for found in pattern.finditer(data):
            core = self._shortest[(found.lastindex or 1) - 1]
            behind = _BEHIND_BASE64.match(data, found.end())
            end = behind.end() if behind else found.end()
            yield Span(found.start(), end, next(value for value in self._values if core in value))

    def _escaped(self, data: bytes) -> Iterator[Span]:
        for value in self._with_endings:
            for found in _escape_pattern(value).finditer(data):
                missing = found.group(1, 2).count(None)
                known = self._folded.get(value[: len(value) - missing])
                if known is not None:
                    yield Span(*found.span(), known)


def _holds_any(data: bytes, words: Iterable[bytes]) -> bool:
    # Written out, since it runs on every body of a load test.
    for word in words:  # noqa: SIM110 - see above
        if word in data:
            return True
    return False


def _forms(value: bytes) -> tuple[bytes, ...]:
    return (value.lower(), value.hex().encode(), *_in_base64(value))


def _is_within(value: bytes, others: Iterable[bytes]) -> bool:
    return any(value in other and value != other for other in others)


def _grown(folded: bytes, found: int, value: bytes, at: int, length: int) -> tuple[int, int]:
    """How far the text around a block is the text around it in the value."""
    start, end = found, found + length
    first, last = at, at + length
    while first and start and folded[start - 1] == value[first - 1]:
        start, first = start - 1, first - 1
    while last < len(value) and end < len(folded) and folded[end] == value[last]:
        end, last = end + 1, last + 1
    return start, end


def _places(data: bytes, word: bytes) -> Iterator[tuple[int, int]]:
    start = data.find(word)
    while start >= 0:
        yield start, start + len(word)
        start = data.find(word, start + len(word))


# --- base64 ----------------------------------------------------------------------------------------------------------


def _in_base64(value: bytes) -> tuple[bytes, ...]:
    """The characters that only *value* decides, with no byte, one and two before it."""
    coded = []
    for before in range(3):
        bits = 8 * (before + len(value))
        coded.append(base64.b64encode(b"\0" * before + value)[-(-8 * before // 6) : bits // 6])
    return tuple(coded)


def _pieces(coded: bytes) -> Iterator[bytes]:
    """Pieces, of which one is whole however the lines are broken."""
    length = len(coded) // (len(coded) // _LINE_LENGTH + 2)
    yield from (coded[at : at + length] for at in range(0, len(coded) - length + 1, length))


@functools.lru_cache(maxsize=64)
def _base64_pattern(values: Sequence[bytes]) -> re.Pattern[bytes]:
    def broken(coded: bytes) -> bytes:
        return _LINE_BREAK.join(_IN_BASE64.get(char, bytes([char])) for char in coded)

    return re.compile(b"|".join(b"(%b)" % b"|".join(map(broken, _in_base64(value))) for value in values))


# --- escapes ---------------------------------------------------------------------------------------------------------


def _with_endings(folded: Iterable[bytes]) -> tuple[bytes, ...]:
    """The values, the longest first, without those that are another one but for its last character or its last two."""
    kept: list[bytes] = []
    for value in sorted(folded, key=lambda value: (-len(value), value)):
        if not any(value in (other[:-1], other[:-2]) for other in kept):
            kept.append(value)
    return tuple(kept)


@functools.lru_cache(maxsize=256)
def _escape_pattern(value: bytes) -> re.Pattern[bytes]:
    """A pattern for a value whose last two characters, each a group, may be missing."""
    *letters, last_but_one, last = map(_letter, value.decode("utf-8", "surrogatepass"))
    return re.compile(b"%b(?:(%b)(%b)?)?" % (b"".join(letters), last_but_one, last))


@functools.lru_cache(maxsize=1024)
def _letter(char: str) -> bytes:
    """A pattern for one character, in either case: as it is, as each escape of it, and as the escape of an escape."""
    cases = list(dict.fromkeys((char, char.lower(), char.upper()))) if char.isascii() else [char]
    numbers = [ord(each) for each in cases]
    raw = [each.encode("utf-8", "surrogatepass") for each in cases]
    pairs = [each.encode("utf-16-be", "surrogatepass") for each in cases]
    one_byte = [bytes([number]) for number in numbers if 0x7F < number < 0x100]
    backslash = [
        *(_each(rb"u", [pair[at : at + 2] for at in range(0, len(pair), 2)]) for pair in pairs),
        *(_each(rb"x", [data[at : at + 1] for at in range(len(data))]) for data in (*raw, *one_byte)),
        *(rb"u\{0{0,5}%b\}" % _digits(b"%x" % number) for number in numbers),
        *(re.escape(data) for data in raw if not data.isalnum() and char.isascii()),
    ]
    reference = [
        *(b"#0{0,5}%d;?" % number for number in numbers),
        *(b"#[xX]0{0,5}%b;?" % _digits(b"%x" % number) for number in numbers),
        *(re.escape(name.encode()) for name, text in html5.items() if text in cases and name.endswith(";")),
    ]
    percent = [b"%(?:25){0,3}".join([b"", *(_digits(b"%02x" % byte) for byte in data)]) for data in raw]
    # Each begins with a character that is certain, so that the search passes over what begins with none of them. Raw
    # comes last, or a percent sign would be taken for itself where it begins an escape.
    ways = [
        *percent,
        rb"\\{0,3}(?:%b)" % b"|".join(backslash),
        rb"&(?:amp;){0,3}(?:%b)" % b"|".join(reference),
        *map(re.escape, [b"+"] * (char == " ") + raw),
    ]
    return b"(?:%b)" % b"|".join(ways)


def _each(kind: bytes, parts: Iterable[bytes]) -> bytes:
    return rb"\\{1,4}".join(kind + _digits(part.hex().encode()) for part in parts)


def _digits(number: bytes) -> bytes:
    """A pattern for hexadecimal digits in either case."""
    return b"".join(b"[%c%c]" % (d, d - 32) if d >= ord("a") else b"%c" % d for d in number)
