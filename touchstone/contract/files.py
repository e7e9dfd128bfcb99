"""Finds the files that come with Touchstone, and reads files that a user names, up to a maximum size.

The files of Touchstone are in `touchstone/_bundle/` in a wheel, and beside the package in a checkout. Files of a user
must be regular, because reading a pipe could block forever.
"""

import errno
import os
import stat
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

from touchstone.errors import ContractError, UsageError

_PACKAGE = Path(__file__).resolve().parent.parent


def _find(name: str, witness: str, beside: str = "") -> Path:
    """Returns a folder that comes with Touchstone; raises ContractError if it is missing."""
    # The witness file distinguishes our folder from a folder of the same name beside an installed package.
    places = (_PACKAGE / "_bundle" / name, _PACKAGE.parent / (beside or name))
    for place in places:
        if place.is_dir() and (place / witness).exists():
            return place
    searched = " nor ".join(str(place) for place in places)
    raise ContractError(f"{name}/: found neither {searched}; install the wheel again or run from a complete checkout")


openapi_dir = partial(_find, "openapi", "builds.yaml")  # the folder of builds.yaml, claims.yaml and answers.yaml
contract_tests_dir = partial(_find, "contract_tests", "")
load_dir = partial(_find, "load", "thresholds.toml")  # the folder of the load scenarios and thresholds.toml
recordings_dir = partial(_find, "recordings", "fresh-build.har", beside="tests/recordings")  # of the embedded twin


_MIB = 1024 * 1024
# Maximum size of files that people write, and maximum size of recordings and run logs.
WRITTEN_BYTES, RECORDED_BYTES = 16 * _MIB, 512 * _MIB


class UnfitFileError(OSError):
    """The file is not regular, or too large."""


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Opens a regular file and returns its descriptor; raises OSError if it is not regular or cannot be opened."""
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
    """Reads a regular file; raises OSError if it has more than *most_bytes* bytes, is not regular, or is unreadable."""
    with os.fdopen(open_regular(path), "rb") as file:
        is_long = os.fstat(file.fileno()).st_size > most_bytes
        data = b"" if is_long else file.read(most_bytes + 1)
    if is_long or len(data) > most_bytes:
        raise UnfitFileError(errno.EFBIG, f"longer than {most_bytes:,} bytes", str(path))
    return data


def read_toml(path: Path, name: str) -> dict[str, Any]:
    """Reads a TOML file; raises OSError if the file cannot be read, UsageError with *name* if it is not TOML."""
    data = read_regular(path)
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # tomllib raises other errors for long numbers, dates and deep tables
        raise UsageError(f"{name}: not TOML: {error}; correct it") from None
