"""The claims that somebody knows to be broken: a text file with one id a line; what follows a # is for its readers."""

import re
from collections.abc import Mapping
from pathlib import Path

from touchstone.contract.claims import Ledger
from touchstone.contract.files import UnfitFileError, read_regular
from touchstone.contract.quoting import quoted
from touchstone.errors import UsageError, nearest
from touchstone.facts.output import write_whole
from touchstone.facts.visible import clipped, one_line
from touchstone.rules.verdict import plural

# More is no list of claims: it keeps a wrong path, such as that of a recording, from being read whole.
MAX_BYTES = 1_000_000
_MAX_WORDS_CHARS = 90
_ID = re.compile(r"([a-z0-9-]+(\.[a-z0-9-]+)+)?")
_ABOUT = (
    "# Claims that are known to be broken, one a line, for `touchstone check --baseline`.",
    "# A run may find them broken. One that holds again fails the run: take its line out.",
)


def read_baseline(path: Path, ledger: Ledger) -> tuple[str, ...]:
    """The claims that the file at *path* lists, each once, in its order.

    Raises:
        UsageError: the file cannot be read, or names something else than a claim that is judged.
    """
    known: dict[str, None] = {}
    for number, line in enumerate(_lines(path), start=1):
        name = _named(line)
        if not name:
            continue
        why = _objection(name, ledger)
        if why:
            raise UsageError(f"--baseline {path}: line {number}: {quoted(name)}: {why}")
        known[name] = None
    return tuple(known)


def _objection(name: str, ledger: Ledger) -> str:
    """Why *name* has no place in a baseline, and what to do; empty where it has."""
    row = ledger.get(name)
    if any(char in name for char in "*?["):
        return "a glob, which would let in what nobody knows; list the claims one by one"
    if row is None:
        near = nearest(name, (claim.id for claim in ledger.judged()))
        return f"no such claim; {near if near.startswith('did') else '`touchstone claims` lists them'}"
    if row.excluded:
        return "a claim that nobody judges; take the line out"
    return f"`touchstone {row.by}` judges it, and no check; take the line out" if row.by != "check" else ""


def write_baseline(path: Path, verdicts: Mapping[str, str], remarks: Mapping[str, str]) -> str:
    """Writes the claims that a run found broken into the file at *path*; says in a sentence what became of it.

    Of a file that is there already, only the lines of claims that the run upheld are taken out, and what is missing
    is added: what its readers wrote stays, and so does what the run could not judge.

    Args:
        verdicts: The verdict on each claim, by its id.
        remarks: What was found first, by the id of each broken claim.

    Raises:
        UsageError: the file cannot be read or written, or is no baseline.
    """
    before = lines_to_keep(path)
    kept = [line for line in before if verdicts.get(_named(line)) != "upheld"]
    listed = {_named(line) for line in kept}
    new = sorted(name for name, verdict in verdicts.items() if verdict == "broken" and name not in listed)
    write_whole(
        path,
        "\n".join([*kept, *(f"{name}  # {clipped(one_line(remarks[name]), _MAX_WORDS_CHARS)}" for name in new)]) + "\n",
    )
    total = sum(bool(_named(line)) for line in kept) + len(new)
    return f"baseline: {path}: {plural(total, 'claim')}, {len(new)} new, {len(before) - len(kept)} taken out"


def lines_to_keep(path: Path) -> list[str]:
    """The lines of a baseline that is to be written again; where there is no file, those that one begins with.

    Raises:
        UsageError: the file is something else, which must not be written over.
    """
    if not path.exists():
        return list(_ABOUT)
    lines = _lines(path)
    for number, line in enumerate(lines, start=1):
        if not _ID.fullmatch(_named(line)):
            raise UsageError(
                f"--write-baseline {path}: line {number}: {quoted(line)}: not the id of a claim; the "
                "file is no baseline and stays as it is: name another one"
            )
    return lines


def _named(line: str) -> str:
    return line.partition("#")[0].strip()


def _lines(path: Path) -> list[str]:
    try:
        data = read_regular(path, MAX_BYTES)
    except UnfitFileError as error:
        raise UsageError(f"--baseline {path}: {error.strerror}; expected one id of a claim a line") from None
    except OSError as error:
        raise UsageError(
            f"--baseline {path}: cannot be read: {error.strerror}; "
            f"`touchstone check --write-baseline {path}` writes one"
        ) from None
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--baseline {path}: byte {error.start}: not UTF-8; expected one id of a claim a line"
        ) from None
