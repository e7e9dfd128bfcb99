"""Quotes values in messages. Values that may contain a key are described instead."""

import re
from collections.abc import Callable
from reprlib import Repr
from typing import Any, TypeVar

from touchstone.errors import Unfit, UsageError

T = TypeVar("T")
# A function that parses a value, or raises Unfit.
Kind = Callable[[Any], T]

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200
# A shorter value is likely to be part of ordinary words, so it is not treated as a secret.
MIN_SECRET_LENGTH = 6

# What may be a key: sk_ or sk-, 20 letters or digits in a row, 12 if both are mixed, or the beginning of a UUID.
_LIKE_KEY = re.compile(
    r"(?i)(?<![a-z0-9])sk[_-]"
    r"|[a-z0-9_+=]{20}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-"
    r"|(?=[a-z_+=]*[0-9])(?=[0-9_+=]*[a-z])[a-z0-9_+=]{12}"
)


def quoted(value: object) -> str:
    """Returns the shortened repr of a value. Only describes a dict, a list, or a string that may contain an API key."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    if isinstance(value, str | bytes) and may_be_key(value if isinstance(value, str) else value.decode("latin-1")):
        return f"a string of {len(value)} characters (not shown)"
    try:
        return _SHORT.repr(value)
    except ValueError:
        return "a number with thousands of digits"


def checked(place: str, value: object, read: Kind[T]) -> T:
    """Parses *value* with *read*; raises UsageError if it is invalid. *place*: the option or setting with the value."""
    try:
        return read(value)
    except Unfit as error:
        raise UsageError(f"{place}: found {error.found or quoted(value)}; expected {error.expected}") from None


def may_be_key(text: str) -> bool:
    """Whether *text* may contain a key."""
    return _LIKE_KEY.search(text) is not None


def described(value: object) -> str:
    """Returns the repr of a number or short text. Other values may contain a secret, so they are only described."""
    if isinstance(value, str) and len(value) >= MIN_SECRET_LENGTH:
        return f"a string of {len(value)} characters"
    if value is None or isinstance(value, str | bool | int | float):
        return repr(value)
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else type(value).__name__
