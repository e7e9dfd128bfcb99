"""Claims that earlier runs found broken: those in a baseline, one id a line, and those of the newest run log."""

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from touchstone.check.job import EARLIER
from touchstone.config import Settings
from touchstone.contract.claims import Ledger
from touchstone.contract.files import WRITTEN_BYTES, UnfitFileError, open_regular, read_regular
from touchstone.contract.quoting import quoted
from touchstone.errors import UsageError, nearest
from touchstone.facts.events import Header
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.facts.wording import clipped, one_line, plural
from touchstone.rules.verdict import judge

# More is no list of claims: it keeps a wrong path, such as that of a recording, from being read whole.
MAX_BYTES = 1_000_000
_MAX_REMARK_CHARS = 90
_ID = re.compile(r"([a-z0-9-]+(\.[a-z0-9-]+)+)?")
_ABOUT = (
    "# Claims that are known to be broken, one a line, for `touchstone check --baseline`.",
    "# A run may find them broken. One that holds again fails the run: take its line out.",
)


def read_baseline(path: Path, ledger: Ledger) -> tuple[str, ...]:
    """The claims that a file lists, in its order; UsageError where it cannot be read or names anything else."""
    known = {name: number for number, line in enumerate(_lines(path), start=1) if (name := _claim_in(line))}
    for name, number in known.items():
        if why := _objection(name, ledger):
            raise UsageError(f"--baseline {path}: line {number}: {quoted(name)}: {why}")
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

    Of a file that exists only the lines of upheld claims are taken out, and what is missing is added.

    Args:
        verdicts: The verdict on each claim, by its id.
        remarks: What was found first, by the id of each broken claim.

    Raises:
        UsageError: the file cannot be read or written, or is no baseline.
    """
    before = lines_to_keep(path)
    kept = [line for line in before if verdicts.get(_claim_in(line)) != "upheld"]
    listed = {_claim_in(line) for line in kept}
    new = sorted(name for name, verdict in verdicts.items() if verdict == "broken" and name not in listed)
    added = [f"{name}  # {clipped(one_line(remarks[name]), _MAX_REMARK_CHARS)}" for name in new]
    write_whole(path, "\n".join([*kept, *added]) + "\n")
    total = sum(bool(_claim_in(line)) for line in kept) + len(new)
    return f"baseline: {path}: {plural(total, 'claim')}, {len(new)} new, {len(before) - len(kept)} taken out"


def lines_to_keep(path: Path) -> list[str]:
    """The lines of a baseline that is written again, or the head of a new one; UsageError where it is another file."""
    if not path.exists():
        return list(_ABOUT)
    lines = _lines(path)
    for number, line in enumerate(lines, start=1):
        if not _ID.fullmatch(_claim_in(line)):
            why = "not the id of a claim; the file is no baseline and stays as it is: name another one"
            raise UsageError(f"--write-baseline {path}: line {number}: {quoted(line)}: {why}")
    return lines


def _claim_in(line: str) -> str:
    return line.partition("#")[0].strip()


def _lines(path: Path) -> list[str]:
    try:
        return read_regular(path, MAX_BYTES).decode("utf-8-sig").splitlines()
    except UnfitFileError as error:
        why = f"{error.strerror}; expected one id of a claim a line"
    except OSError as error:
        why = f"cannot be read: {error.strerror}; `touchstone check --write-baseline {path}` writes one"
    except UnicodeDecodeError as error:
        why = f"byte {error.start}: not UTF-8; expected one id of a claim a line"
    raise UsageError(f"--baseline {path}: {why}")


_MAX_NAMED = 5
_HEADER: TypeAdapter[Header] = TypeAdapter(Header)


def narrowed(settings: Settings, ledger: Ledger, reports: Path) -> tuple[Settings, str]:
    """The settings of a check of what failed last time, and a sentence that says which run that was.

    Everything is judged where nothing failed, or where neither *reports* nor the report folder has an earlier check.
    """
    folders = tuple(dict.fromkeys((reports, settings.report_dir or reports)))
    found = _newest(settings, folders)
    if found is None:
        target = settings.target
        name = target.url if target.name == "url" else target.name
        where = " or ".join(map(str, folders))
        return settings, f"--last-failed: no earlier check of {name} in {where}: everything is judged"
    run_log, run_id = found
    chosen = {claim.id for claim in ledger.select(settings.claims_glob)}
    failed = [
        item.claim.id
        for item in judge(read(run_log)).claims
        if item.claim.id in chosen
        and ((item.verdict == "broken" and not item.known) or item.verdict == "could-not-run" or item.holds_again)
    ]
    run = f"run {one_line(run_id)} ({one_line(str(run_log))})"
    if not failed:
        return settings, f"--last-failed: nothing that is asked for failed in {run}: everything is judged"
    first = ", ".join(failed[:_MAX_NAMED])
    rest = f" and {len(failed) - _MAX_NAMED} more" if len(failed) > _MAX_NAMED else ""
    glob = settings.claims_glob if len(failed) == len(chosen) else ",".join(failed)
    sentence = f"--last-failed: {plural(len(failed), 'claim')} of {run}: {first}{rest}"
    return dataclasses.replace(settings, claims_glob=glob), sentence


def _newest(settings: Settings, folders: Iterable[Path]) -> tuple[Path, str] | None:
    """Run log and run id of the check of the target that began last; a file that is no run log is passed over."""
    found: list[tuple[str, float, Path, str]] = []
    wanted = "" if settings.target.embedded else settings.target.url  # an embedded twin listens elsewhere each time
    places = ("", "*/", f"{EARLIER}/*/", f"*/{EARLIER}/*/")
    for path in (path for folder in folders for place in places for path in folder.glob(f"{place}runlog.jsonl")):
        try:
            # The rest, which may be long, is read of the newest one alone.
            with os.fdopen(open_regular(path), "rb") as file:
                header = _HEADER.validate_python(json.loads(file.readline(WRITTEN_BYTES)))
            written_at = path.stat().st_mtime
        except (ValueError, RecursionError, OSError):  # what pydantic says of another file is a ValueError
            continue
        if header.command == "check" and wanted == ("" if header.target.kind == "embedded" else header.target.url):
            found.append((header.started_at, written_at, path, header.run_id))
    return max(found)[2:] if found else None
