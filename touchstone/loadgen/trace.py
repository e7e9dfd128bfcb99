"""Arrival times out of a file: what was seen somewhere else, to be sent again.

One time in seconds a line, or a table with commas whose first line names its columns: ``at_s``, and ``operation``
where each arrival says what it is: an action of the scenario, such as ``read``, and not the id of an operation. Other
columns, blank lines and what follows a ``#`` are passed over.
"""

import csv
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from touchstone.contract.files import read_regular
from touchstone.errors import UsageError
from touchstone.loadgen.curves import Times

_FORM = "one time in seconds a line, or a table with a column at_s and, if you like, one called operation with actions"


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals at given times.

    Attributes:
        path: The file that they come from.
        at_s: Seconds since the run began, in order.
        operations: The action that each of them is; empty where the file does not say.
        lines: The line of the file that each of them stands in.
    """

    path: str
    at_s: tuple[float, ...]
    operations: tuple[str, ...] = ()
    lines: tuple[int, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"trace:{self.path}"

    def rate(self, at_s: float) -> float:
        """How many arrivals the whole second around *at_s* holds."""
        second = math.floor(at_s)
        return self.count(second + 1) - self.count(second)

    def count(self, until_s: float) -> float:
        """How many arrivals come before *until_s*."""
        return float(bisect_left(self.at_s, until_s))

    def due(self, duration_s: float, _seed: int) -> Times:
        """The arrivals before *duration_s*."""
        return np.array(self.at_s[: int(self.count(duration_s))], dtype=np.float64)


def read(path: Path, place: str) -> Trace:
    """The trace in a file.

    Args:
        place: What named the file, for the message of an error.

    Raises:
        UsageError: there is no such file, it has another form, or its times are not in order.
    """
    try:
        text = read_regular(path).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{place}: {path} cannot be read: {error.strerror}; expected a file with {_FORM}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{place}: {path} is no text; expected {_FORM}") from None
    lines = list(_lines(text))
    if not lines:
        raise UsageError(f"{place}: {path} holds no arrival; expected {_FORM}")
    columns = _columns(lines[0][1], f"{path}:{lines[0][0]}")
    rows = lines[1:] if columns else lines
    at_s = tuple(_times(rows, columns.index("at_s") if columns else 0, path))
    operations = _named(rows, columns.index("operation"), path) if "operation" in columns else ()
    return Trace(str(path), at_s, operations, tuple(number for number, _ in rows))


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that has any, with its number."""
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.partition("#")[0].strip()
        if said:
            yield number, [cell.strip() for cell in next(csv.reader([said]))]


def _columns(cells: Sequence[str], place: str) -> list[str]:
    """The names of the columns; empty where the first line is a time."""
    if len(cells) == 1 and cells[0] != "at_s":
        return []
    if "at_s" not in cells:
        raise UsageError(f"{place}: found the columns {', '.join(cells)}; expected one of them to be at_s")
    return list(cells)


def _times(rows: Sequence[tuple[int, list[str]]], column: int, path: Path) -> Iterator[float]:
    last = 0.0
    for number, cells in rows:
        at_s = _time(cells[column] if column < len(cells) else "", f"{path}:{number}")
        if at_s < last:
            raise UsageError(f"{path}:{number}: found {at_s:g} after {last:g}; expected times in order; sort the file")
        yield at_s
        last = at_s


def _time(text: str, place: str) -> float:
    try:
        at_s = float(text)
    except ValueError:
        at_s = math.nan
    if math.isfinite(at_s) and at_s >= 0:
        return at_s
    raise UsageError(f"{place}: found {text!r}; expected seconds since the run began, such as 12.5")


def _named(rows: Sequence[tuple[int, list[str]]], column: int, path: Path) -> tuple[str, ...]:
    named = tuple(cells[column] if column < len(cells) else "" for _, cells in rows)
    for (number, _), name in zip(rows, named, strict=True):
        if not name:
            raise UsageError(
                f"{path}:{number}: the column operation is empty; expected an action of the scenario, such as read"
            )
    return named
