"""Every exception of the package, by who must act; that a target breaks its contract is a finding, no exception."""

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MAX_MESSAGE_CHARS = 4000


class HarnessError(Exception):
    """The root of the tree. Its text is bounded, and what is not printable in it is escaped."""

    exit_code = 3

    def __str__(self) -> str:
        chars = super().__str__()
        text = "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in chars)
        if len(text) > MAX_MESSAGE_CHARS:
            text = f"{text[: MAX_MESSAGE_CHARS - 500]} … {text[-497:]}"
        return text


class UsageError(HarnessError):
    """The caller asked for something that does not exist or does not fit."""

    exit_code = 2


class ContractError(HarnessError):
    """The contract or the ledger of claims contradicts itself: for whoever owns openapi/."""

    exit_code = 2


class TargetError(HarnessError):
    """The target could not be judged."""


class RecordingError(HarnessError):
    """A recording cannot be read as one, or does not hold what is asked of it."""

    exit_code = 2


class RunLogError(HarnessError):
    """A run log cannot be read as one."""


class OutputError(HarnessError):
    """A report or a run log could not be written."""


class Unfit(ValueError):
    """A value does not fit: *expected* says what would, *found* replaces the value where it must not be shown."""

    def __init__(self, expected: str, found: str | None = None) -> None:
        super().__init__(expected)
        self.expected, self.found = expected, found


def unwritten(message: str, error: OSError) -> HarnessError:
    """The exception for a refusal of the disk: the caller's mistake where the place is no folder."""
    return UsageError(message) if is_misplaced(error) else OutputError(message)


def is_misplaced(error: OSError) -> bool:
    """Whether a folder was named that is none."""
    return error.errno in (errno.ENOTDIR, errno.EEXIST)


def one_line(name: object) -> str:
    """A name from a file as a message shows it: as it is, unless it has line breaks."""
    return str(name).replace("\r", "\\r").replace("\n", "\\n")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them where none is near."""
    names = sorted(map(one_line, known))
    near = difflib.get_close_matches(word[:100], names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names)}" if names else "none is known"


@contextmanager
def unsent() -> Iterator[None]:
    """Notes of an interrupt that comes meanwhile that nothing was sent before it."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(" before anything was sent")
        raise
