"""Exceptions of the package. A target that breaks its contract is a finding, not an exception."""

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

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
