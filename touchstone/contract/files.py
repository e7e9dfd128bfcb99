"""Files that travel with the package, and files that a user names.

A wheel has them below `touchstone/_bundle/`, a checkout beside the package. Of a user's files only regular ones are
opened, up to a bound: a pipe that nobody writes to would be waited for without end.
"""

import errno
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from touchstone.errors import ContractError, UsageError

_PACKAGE = Path(__file__).resolve().parent.parent


def openapi_dir() -> Path:
    """Holds builds.yaml and claims.yaml."""
    return _find("openapi", "builds.yaml")


def contract_tests_dir() -> Path:
    """The directory that holds the contract tests."""
    return _find("contract_tests", "")


def load_dir() -> Path:
    """The directory that holds the load scenarios and thresholds.toml."""
    return _find("load", "thresholds.toml")


def recordings_dir() -> Path:
    """The directory that holds the recordings of the embedded twin."""
    return _find("recordings", "fresh-build.har", beside="tests/recordings")


def _find(name: str, witness: str, beside: str = "") -> Path:
    # The witness keeps a foreign directory of the same name beside an installed package from being taken for ours.
    places = (_PACKAGE / "_bundle" / name, _PACKAGE.parent / (beside or name))
    for place in places:
        if place.is_dir() and (place / witness).exists():
            return place
    looked = " nor ".join(str(place) for place in places)
    raise ContractError(f"{name}/: found neither {looked}; install the wheel again or run from a complete checkout")


_MIB = 1024 * 1024
# Of settings, thresholds and other files that people write; of what a run or a browser has recorded.
WRITTEN_BYTES, RECORDED_BYTES = 16 * _MIB, 512 * _MIB


class UnfitFileError(OSError):
    """A file that is not read, whatever it holds."""


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file, made where *flags* say so; an OSError where it is none or cannot be opened."""
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
    """What a regular file holds; an OSError where it cannot be read, is none, or holds more than *most_bytes*."""
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
