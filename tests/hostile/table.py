"""
What each command says to each hostile server: exit code, and the claims that it finds broken or what it tells.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# What a check looks at: enough to meet the misbehaviour, and little enough to be over soon.
ANSWERS = (
    "http.answers,http.body-is-json,http.no-server-error,http.status-is-documented,http.json-media-type,"
    "status.is-one-of-four,status.body-is-documented"
)
LOGS = "http.answers,events.framing,events.answers-200"


@dataclass(frozen=True, slots=True)
class Expected:
    """
    How a command ends.

    Attributes:
        code: Its exit code.
        says: With 1, claims that are found broken, each of them; otherwise what its last line tells.
    """

    code: int
    says: tuple[str, ...] = ()

    def differs(self, code: int, last_line: str, broken: tuple[str, ...]) -> str:
        """
        How something else is; empty where it is as expected.
        """
        if code != self.code:
            return f"exit {code}, expected {self.code}"
        missing = [word for word in self.says if word not in (broken if code == 1 else last_line)]
        found = ", ".join(broken) if code == 1 else last_line
        return f"expected {', '.join(missing)}; found {found or 'nothing'}" if missing else ""

    def __str__(self) -> str:
        told = ", ".join(self.says)
        return f"exit {self.code}" + (f": {told}" if told else "")


FINE = Expected(0)


@dataclass(frozen=True, slots=True)
class Row:
    """
    One misbehaviour, and what is expected of the commands that are run against it.

    Attributes:
        claims: Globs of what a check looks at.
    """

    name: str
    cells: Mapping[str, Expected]
    claims: str = ANSWERS


def unjudged(name: str, says: str) -> Row:
    """
    A server that cannot be judged, because nobody can tell that it is the API.
    """
    return Row(name, dict.fromkeys(("check", "record", "load"), Expected(3, (says,))))


def row(name: str, all_of_them: Expected, claims: str = ANSWERS, **others: Expected) -> Row:
    """
    A server that is judged; commands that end otherwise are named.
    """
    return Row(name, dict.fromkeys(("check", "record", "load"), all_of_them) | others, claims)


def broken(*claims: str) -> Expected:
    """
    Claims are found broken.
    """
    return Expected(1, claims)


_CUT = broken("http.answers")
_JSON = broken("http.body-is-json")

ROWS: tuple[Row, ...] = ()


def cells() -> Iterator[tuple[Row, str]]:
    """
    All cells of the table.
    """
    return ((row, command) for row in ROWS for command in row.cells)
