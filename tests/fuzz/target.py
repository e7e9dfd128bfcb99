"""
What a fuzzer and the property tests need to know of a reader: documents to begin with, and what must hold of any bytes.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fuzz.steps import Form

LONGEST_MESSAGE = 4000


@dataclass(frozen=True, slots=True)
class Target:
    """One reader.

    Attributes:
        check: Reads the bytes and raises where something that must hold does not.
        seeds: Documents that the reader takes, small ones.
        form: How they spell a tree; None where they spell none.
        most_bytes: Of an input; what is longer is slower to read and finds no more.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    form: Form | None = None
    most_bytes: int = 1 << 14


@cache
def folder() -> Path:
    """A folder of this process; what the readers read are files in it."""
    return Path(tempfile.mkdtemp(prefix="touchstone-fuzz-"))


def file(name: str, data: bytes) -> Path:
    """A file with these bytes."""
    path = folder() / name
    path.write_bytes(data)
    return path


def well_said(error: Exception, place: str = "", secrets: Iterable[str] = ()) -> None:
    """A message names the place, fits on a terminal whatever was read, and tells no secret."""
    message = str(error)
    assert message.startswith(place), f"the message does not begin with {place!r}: {message[:200]!r}"
    odd = {char for char in message if not char.isprintable()}
    assert not odd, f"{sorted(odd)} in a message: {message[:200]!r}"
    assert len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters: {message[:200]!r}"
    for secret in secrets:
        assert secret not in message, f"a secret is in the message: {message[:200]!r}"
