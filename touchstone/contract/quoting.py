"""How a message repeats a value that a user wrote: one rule, by which no key in the wrong place is printed."""

import re
from collections.abc import Callable
from reprlib import Repr
from typing import Any, TypeVar

from touchstone.errors import Unfit, UsageError

T = TypeVar("T")
# What reads a value; it raises Unfit.
Kind = Callable[[Any], T]

# What a file holds may be a number that repr refuses to write, or a text of thousands of characters.
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_LINE_CHARS = 60
# A shorter value is likely to be part of ordinary words: it is taken for no secret.
MIN_SECRET_LENGTH = 6

# A key says so itself, or is a run of random characters: long, with digits among its letters, or a UUID.
_LIKE_KEY = re.compile(
    r"(?i)(?<![a-z0-9])sk[_-]"
    r"|[a-z0-9_+=]{20}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-"
    r"|(?=[a-z_+=]*[0-9])(?=[0-9_+=]*[a-z])[a-z0-9_+=]{12}"
)


def quoted(value: object) -> str:
    """The repr of a value, shortened where it is long; a table, a list and a text that may hold a key are not shown."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    if isinstance(value, str | bytes) and may_be_key(value if isinstance(value, str) else value.decode("latin-1")):
        return f"a text of {len(value)} characters (not shown)"
    try:
        return _SHORT.repr(value)
    except ValueError:
        return "a number with thousands of digits"


def checked(place: str, value: object, read: Kind[T]) -> T:
    """The value as *read* makes it of what stands at *place*; a UsageError where it does not fit."""
    try:
        return read(value)
    except Unfit as error:
        raise UsageError(f"{place}: found {error.found or quoted(value)}; expected {error.expected}") from None


def quoted_line(line: bytes) -> str:
    """The same of a line that somebody else wrote; of a long one only its length: part of a key is not seen as one."""
    return quoted(line) if len(line) <= _LINE_CHARS else f"a line of {len(line)} bytes"


def may_be_key(text: str) -> bool:
    """Whether a key may be in *text*."""
    return _LIKE_KEY.search(text) is not None


def described(value: object) -> str:
    """What a value is, without the value where that may hold a secret: a text that is not short, or a container."""
    if isinstance(value, str) and len(value) >= MIN_SECRET_LENGTH:
        return f"a text of {len(value)} characters"
    if value is None or isinstance(value, str | bool | int | float):
        return repr(value)
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else type(value).__name__
