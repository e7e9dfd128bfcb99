"""Files that a user names: only regular ones are opened, and no more is read of one than it may hold.

A pipe that nobody writes to would be waited for without end, and a device has no end.
"""

import errno
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from touchstone.errors import UsageError

_MIB = 1024 * 1024
# Of settings, thresholds and other files that people write; of what a run or a browser has recorded.
WRITTEN_BYTES, RECORDED_BYTES = 16 * _MIB, 512 * _MIB


class UnfitFileError(OSError):
    """A file that is not read, whatever it holds."""


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file, which is made where *flags* say so.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a device"
    raise UnfitFileError(errno.EINVAL, f"{kind}, expected a regular file", str(path))


def read_regular(path: Path, most_bytes: int = WRITTEN_BYTES) -> bytes:
    """What a regular file holds.

    Raises:
        OSError: it cannot be read, is no regular file, or holds more than *most_bytes*.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        is_long = os.fstat(file.fileno()).st_size > most_bytes
        data = b"" if is_long else file.read(most_bytes + 1)
    if is_long or len(data) > most_bytes:
        raise UnfitFileError(errno.EFBIG, f"longer than {most_bytes:,} bytes", str(path))
    return data


def read_toml(path: Path, name: str) -> dict[str, Any]:
    """The document that a TOML file holds; *name* is what messages call the file.

    Raises:
        OSError: it cannot be read, is no regular file, or is too long.
        UsageError: it is no TOML.
    """
    data = read_regular(path)
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # other errors than its own for long numbers, dates and deep tables
        raise UsageError(f"{name}: not TOML: {error}; correct it") from None
