"""Exceptions of the package, and how their messages quote values.

A target that breaks its contract is a finding, not an exception. Values that may contain a key are described instead.
"""

import difflib
import errno
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from reprlib import Repr
from typing import Any, TypeVar

MAX_MESSAGE_CHARS = 4000


class HarnessError(Exception):
    """Base class of these exceptions. Long messages are shortened, and unprintable characters are escaped."""

    exit_code = 3

    def __str__(self) -> str:
        chars = super().__str__()
        text = "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in chars)
        if len(text) > MAX_MESSAGE_CHARS:
            text = f"{text[: MAX_MESSAGE_CHARS - 500]} … {text[-497:]}"
        return text


class UsageError(HarnessError):
    """Wrong usage or configuration."""

    exit_code = 2


class ContractError(HarnessError):
    """A file in openapi/ is malformed or inconsistent."""

    exit_code = 2


class TargetError(HarnessError):
    """The target could not be judged."""


class RecordingError(HarnessError):
    """A recording cannot be read, or has no response for a request."""

    exit_code = 2


class RunLogError(HarnessError):
    """A run log cannot be read."""


class OutputError(HarnessError):
    """A report or a run log could not be written."""


class Unfit(ValueError):
    """A value is invalid. *expected* describes a valid value; messages show *found* in place of a secret value."""

    def __init__(self, expected: str, found: str | None = None) -> None:
        super().__init__(expected)
        self.expected, self.found = expected, found


def unwritten(message: str, error: OSError) -> HarnessError:
    """Returns the exception for a failed write: UsageError if the path is not a folder, otherwise OutputError."""
    return UsageError(message) if is_misplaced(error) else OutputError(message)


def is_misplaced(error: OSError) -> bool:
    """Whether the error says that a path is not a folder."""
    return error.errno in (errno.ENOTDIR, errno.EEXIST)


def one_line(name: object) -> str:
    """Returns the text of *name*, with line breaks escaped."""
    return str(name).replace("\r", "\\r").replace("\n", "\\n")


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns the end of a message about an unknown word: the nearest known word, or all known words."""
    names = sorted(map(one_line, known))
    all_names = f"known: {', '.join(names)}" if names else "none is known"
    return similar(word, names).removeprefix("; ") or all_names


def similar(word: str, known: Iterable[str]) -> str:
    """Returns the end of a message that asks if the nearest known word is meant; empty if none is similar."""
    near = difflib.get_close_matches(word[:100], list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


@contextmanager
def unsent() -> Iterator[None]:
    """Adds the note "before anything was sent" to a KeyboardInterrupt."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(" before anything was sent")
        raise


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
