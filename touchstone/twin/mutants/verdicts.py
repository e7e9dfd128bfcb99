"""
A row of the tables that say whom a derived fault is blamed on.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """
    Faults by a glob over their names; globs of claims one of which must be broken, and of those that may be as well.
    """

    glob: str
    breaks: tuple[str, ...]
    also: tuple[str, ...] = ()


def row(glob: str, breaks: str, also: str = "") -> Row:
    """
    A row; claims are separated by spaces.
    """
    return Row(glob, tuple(breaks.split()), tuple(also.split()))
