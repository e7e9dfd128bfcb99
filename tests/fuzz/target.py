"""What fuzzers and property tests need of a reader: documents to begin with, and what must hold of any bytes."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fuzz.steps import Form

LONGEST_MESSAGE = 4000


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    check: Callable[[bytes], None]  # reads the bytes and raises where something that must hold does not
    seeds: Callable[[], Sequence[bytes]]  # small documents that the reader takes
    form: Form | None = None  # how they spell a tree; None where they spell none
    most_bytes: int = 1 << 14  # of an input; what is longer is slower to read and finds no more


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="touchstone-fuzz-"))


def file(name: str, data: bytes) -> Path:
    path = folder() / name
    path.write_bytes(data)
    return path


def check_message(error: Exception, place: str = "", secrets: Iterable[str] = ()) -> None:
    """A message names the place, fits on a terminal whatever was read, and tells no secret."""
    message = str(error)
    assert message.startswith(place)
    assert message.isprintable()
    assert len(message) <= LONGEST_MESSAGE
    assert not [secret for secret in secrets if secret in message]
