"""Whom a derived fault must be blamed on: claims by what its name says it does."""

from fnmatch import fnmatchcase

from touchstone.proof.mutants import blame_answers, blame_builds, blame_doors, blame_logs, blame_templates
from touchstone.proof.mutants.verdicts import Row

_TABLES: tuple[tuple[Row, ...], ...] = (
    blame_answers.ROWS,
    blame_builds.ROWS,
    blame_logs.ROWS,
    blame_templates.ROWS,
    blame_doors.ROWS,
)


def claims_of(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The claims of which one must be found broken, and those that may be as well.

    The first row that fits says the former, and each row about a thing that is got wrong adds to the latter.

    Raises:
        LookupError: no row fits.
    """
    found = next((row for table in _TABLES for row in table if fnmatchcase(name, row.glob)), None)
    if found is None:
        raise LookupError(f"{name}: no row says whom it is to be blamed on")
    seen = (claim for row in blame_answers.SEEN if fnmatchcase(name, row.glob) for claim in row.also)
    return found.breaks, tuple(dict.fromkeys((*found.also, *seen)))
