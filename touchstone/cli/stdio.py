"""
Where the process prints to: whatever became of it, no run ends otherwise for it, and no character is too much for it.

A pipeline closes standard streams, its reader leaves early, a disk fills up, a terminal hangs up, a locale knows
letters only. A run that is under way has a target to clean up and a verdict to tell by its exit code all the same.
"""

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from typing import Any, TextIO

from touchstone.facts import second_look

# What we print that plain encodings lack. Braille is the spinner's.
_PLAIN = {
    **dict(zip("→←–—…×±µ≤≥", ("->", "<-", "-", "-", "...", "x", "+/-", "u", "<=", ">="), strict=True)),
    **dict(zip("✓✕·•█└├│─", "vx.*#`||-", strict=True)),
    **{chr(code): "#" for code in range(0x2581, 0x2588)},
    **{chr(code): "*" for code in range(0x2800, 0x2900)},
}
_HANDLER = "touchstone.legible"

# The reader has left, as `head` does when it has seen enough; or the terminal was closed.
_NOBODY_READS = frozenset({errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ENXIO})


class Outlet(io.RawIOBase):
    """A file descriptor that takes whatever is written; once it refuses something, the rest is thrown away.

    Attributes:
        error: Why it refused; None as long as it has not.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Writes what the descriptor takes, without known keys; the number of bytes that are done with."""
        text, _ = second_look.cut(bytes(data).decode("latin-1"))
        rest = memoryview(text.encode("latin-1"))
        while self.error is None and rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever shares the pipe has set it so
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return len(data)

    @property
    def is_short(self) -> bool:
        """Whether somebody who still reads did not get everything."""
        return self.error is not None and self.error.errno not in _NOBODY_READS


def opened() -> Outlet:
    """Makes standard output and standard error such outlets, also where they were closed; that of standard output."""
    _fill_the_closed()
    codecs.register_error(_HANDLER, _legible)
    out, err = Outlet(1), Outlet(2)
    sys.stdout = _text(out, sys.stdout, line_buffering=out.isatty())
    sys.stderr = _text(err, sys.stderr, line_buffering=True)
    return out


def ended(out: Outlet, code: object) -> object:
    """What the process ends with: *code*, unless that would call a success what was not told."""
    with contextlib.suppress(ValueError):  # closed by somebody
        sys.stdout.flush()
    if not out.is_short:
        return code
    assert out.error is not None
    code = code or 3
    sys.stderr.write(f"exit {code}: standard output cannot be written: {out.error.strerror}; make room where it goes\n")
    return code


def _fill_the_closed() -> None:
    """Points closed standard streams nowhere: the next file that is opened would take the place of one otherwise."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest one that is free
            os.set_inheritable(descriptor, True)


def _text(raw: Outlet, before: TextIO | None, *, line_buffering: bool) -> TextIO:
    encoding = before.encoding if before is not None else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, _HANDLER, line_buffering=line_buffering)


def _legible(error: UnicodeError) -> tuple[str | bytes, int]:
    """Characters that the encoding lacks, in others; of file names that are no text, the bytes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode(), error.start + 1
