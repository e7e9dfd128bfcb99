"""
Whom a derived fault must be blamed on: claims by what its name says it does.
"""

from fnmatch import fnmatchcase

from touchstone.twin.mutants import blame_builds, blame_doors, blame_templates
from touchstone.twin.mutants.verdicts import Row

_TABLES: tuple[tuple[Row, ...], ...] = (blame_builds.ROWS, blame_templates.ROWS, blame_doors.ROWS)


def claims_of(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    The claims of which one must be found broken, and those that may be as well; the first row that fits says it.

    Raises:
        LookupError: no row fits.
    """
    for row in (row for table in _TABLES for row in table):
        if fnmatchcase(name, row.glob):
            return row.breaks, row.also
    raise LookupError(f"{name}: no row says whom it is to be blamed on")
