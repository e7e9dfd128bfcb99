"""Encodings of a text, and an oracle that decodes them without code of the product."""

import base64
import binascii
import html
import json
import random
import re
import string
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

PART = 12
DEPTH = 6

Encoding = Callable[[str, random.Random], str]


def piecewise(special: str, *spellings: Callable[[str], str]) -> Encoding:
    """Encoding that spells each character plainly or in one of *spellings*; *special* ones never plainly."""

    def encoded(text: str, chance: random.Random) -> str:
        ways: list[Callable[[str], str]] = [*spellings, str]
        return "".join(chance.choice(ways[:-1] if char in special else ways)(char) for char in text)

    return encoded


def in_percent(form: str) -> Callable[[str], str]:
    return lambda char: "".join(form % byte for byte in char.encode())


def in_hex(text: str, chance: random.Random) -> str:
    """Hexadecimal of the text or a longer one, in upper or lower case."""
    digits = (word(chance) + text + word(chance)).encode().hex()
    return chance.choice([digits, digits.upper()])


def in_base64(text: str, chance: random.Random) -> str:
    """Base64 of a longer text: at any of the three offsets, in either alphabet, with or without padding."""
    data = (word(chance) + text + word(chance)).encode()
    coded = chance.choice([base64.b64encode, base64.urlsafe_b64encode])(data).decode()
    return chance.choice([coded, coded.rstrip("=")])


def in_json(text: str, chance: random.Random) -> str:
    return json.dumps({"text": word(chance) + " " + text}, ensure_ascii=chance.random() < 0.5)


def word(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_letters, k=chance.randrange(5)))


ENCODINGS: dict[str, Encoding] = {
    "plain": lambda text, _: text,
    "percent": piecewise("%", in_percent("%%%02X"), in_percent("%%%02x")),
    "percent twice": piecewise("%", in_percent("%%25%02X"), in_percent("%%25%02x")),
    "unicode escapes": piecewise('\\"', lambda char: f"\\u{ord(char):04x}", lambda char: f"\\u{ord(char):04X}"),
    "hex escapes": piecewise("\\", lambda char: f"\\x{ord(char):02x}", lambda char: f"\\x{ord(char):02X}"),
    "decimal references": piecewise("&", lambda char: f"&#{ord(char)};", lambda char: f"&#{ord(char):04d};"),
    "hex references": piecewise("&", lambda char: f"&#x{ord(char):x};", lambda char: f"&#X{ord(char):02X};"),
    "all at once": piecewise(
        '%\\"&', in_percent("%%%02X"), lambda char: f"\\u{ord(char):04x}", lambda char: f"&#{ord(char)};"
    ),
    "URL": lambda text, chance: quote(text, safe=chance.choice(["", "/"])),
    "form": lambda text, _: quote_plus(text),
    "JSON": in_json,
    "JSON with slashes": lambda text, chance: in_json(text, chance).replace("/", "\\/"),
    "HTML": lambda text, _: html.escape(text),
    "base64": in_base64,
    "hex": in_hex,
}


def decodings(text: str) -> Iterator[str]:
    """Decodings of a text; noise from base64 or hexadecimal is left out."""
    yield unquote(text, errors="replace")
    yield unquote_plus(text, errors="replace")
    yield html.unescape(text)
    yield re.sub(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\([^ux])", unescaped, text)
    for run in re.findall(r"[A-Za-z0-9+/_-]{16,}", text):
        yield from (data.decode("latin-1") for data in out_of_base64(run) if re.search(rb"[ -~]{12}", data))
    for run in re.findall(r"[0-9a-fA-F]{24,}", text):
        yield from (data.decode("latin-1") for data in out_of_hex(run) if re.search(rb"[ -~]{12}", data))


def out_of_base64(run: str) -> Iterator[bytes]:
    for start in range(4):
        rest = run[start:].replace("-", "+").replace("_", "/")
        rest = rest[: len(rest) - (len(rest) % 4 == 1)]
        yield base64.b64decode(rest + "=" * (-len(rest) % 4))


def out_of_hex(run: str) -> Iterator[bytes]:
    for start in range(2):
        yield binascii.unhexlify(run[start : len(run) - (len(run) - start) % 2])


def unescaped(match: re.Match[str]) -> str:
    number = match[1] or match[2]
    return chr(int(number, 16)) if number else match[3]


def layers(text: str) -> set[str]:
    """The text and all its decodings, up to DEPTH times decoded."""
    found, newest = {text}, {text}
    for _ in range(DEPTH):
        newest = {decoded for layer in newest for decoded in decodings(layer)} - found
        found |= newest
    return found


def parts(keys: list[str]) -> set[str]:
    """Every part of a key that is PART characters long."""
    return {key[start : start + PART] for key in keys for start in range(len(key) - PART + 1)}


def left(text: str, keys: list[str]) -> set[str]:
    """Parts of keys that a text still contains."""
    decoded = "\0".join(layers(text))
    return {part for part in parts(keys) if part in decoded}
