"""Claims that failed before: those in a baseline file (one claim id per line), and those in the newest run log."""

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

# Maximum size of a baseline in bytes. A larger file, such as a recording given by mistake, is rejected.
MAX_BYTES = 1_000_000
_MAX_REMARK_CHARS = 90
_ID = re.compile(r"([a-z0-9-]+(\.[a-z0-9-]+)+)?")
_ABOUT = (
    "# Claims that are known to be broken, one a line, for `touchstone check --baseline`.",
    "# A run may find them broken. A claim that holds again fails the run: remove its line.",
)


def read_baseline(path: Path, ledger: Ledger) -> tuple[str, ...]:
    """Returns the claim ids of a baseline in file order; raises UsageError if the file is unreadable or invalid."""
    known = {name: number for number, line in enumerate(_lines(path), start=1) if (name := _claim_in(line))}
    for name, number in known.items():
        if why := _objection(name, ledger):
            raise UsageError(f"--baseline {path}: line {number}: {quoted(name)}: {why}")
    return tuple(known)


def _objection(name: str, ledger: Ledger) -> str:
    """Returns why a baseline may not contain *name*, and what to do; returns an empty string if it may."""
    row = ledger.get(name)
    if any(char in name for char in "*?["):
        return "a glob, expected the id of one claim; list the claims one by one"
    if row is None:
        near = nearest(name, (claim.id for claim in ledger.judged()))
        return f"no such claim; {near if near.startswith('did') else '`touchstone claims` lists them'}"
    if row.excluded:
        return "a claim that no command judges; remove the line"
    return f"only `touchstone {row.by}` judges this claim; remove the line" if row.by != "check" else ""


def write_baseline(path: Path, verdicts: Mapping[str, str], remarks: Mapping[str, str]) -> str:
    """Writes the broken claims of a run into the baseline at *path*; returns a summary of the changes.

    In an existing file, it removes the lines of upheld claims, adds missing broken claims, and keeps all other lines.

    Args:
        verdicts: The verdict on each claim, by claim id.
        remarks: The text of the first finding of each broken claim, by claim id.

    Raises:
        UsageError: the file is unreadable, not writable, or not a baseline.
    """
    before = lines_to_keep(path)
    kept = [line for line in before if verdicts.get(_claim_in(line)) != "upheld"]
    listed = {_claim_in(line) for line in kept}
    new = sorted(name for name, verdict in verdicts.items() if verdict == "broken" and name not in listed)
    added = [f"{name}  # {clipped(one_line(remarks[name]), _MAX_REMARK_CHARS)}" for name in new]
    write_whole(path, "\n".join([*kept, *added]) + "\n")
    total = sum(bool(_claim_in(line)) for line in kept) + len(new)
    return f"baseline: {path}: {plural(total, 'claim')}, {len(new)} new, {len(before) - len(kept)} removed"


def lines_to_keep(path: Path) -> list[str]:
    """Returns the lines of the baseline file. A new file gets a comment. Raises UsageError for any other file."""
    if not path.exists():
        return list(_ABOUT)
    lines = _lines(path)
    for number, line in enumerate(lines, start=1):
        if not _ID.fullmatch(_claim_in(line)):
            why = "expected the id of a claim; the file is not a baseline and is left unchanged: choose another path"
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


_MAX_LISTED = 5
_HEADER: TypeAdapter[Header] = TypeAdapter(Header)


def narrowed(settings: Settings, ledger: Ledger, reports: Path) -> tuple[Settings, str]:
    """Returns settings limited to the claims that failed in the last check, and a sentence about these claims.

    The settings stay unchanged if nothing failed, or if neither *reports* nor the report folder has an earlier check.
    """
    folders = tuple(dict.fromkeys((reports, settings.report_dir or reports)))
    found = newest(settings, folders)
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
        return settings, f"--last-failed: none of the selected claims failed in {run}: everything is judged"
    first = ", ".join(failed[:_MAX_LISTED])
    rest = f" and {len(failed) - _MAX_LISTED} more" if len(failed) > _MAX_LISTED else ""
    glob = settings.claims_glob if len(failed) == len(chosen) else ",".join(failed)
    sentence = f"--last-failed: {plural(len(failed), 'claim')} of {run}: {first}{rest}"
    return dataclasses.replace(settings, claims_glob=glob), sentence


def newest(settings: Settings, folders: Iterable[Path]) -> tuple[Path, str] | None:
    """Returns the run log and the run id of the target's newest check, or None without one; skips unreadable files."""
    found: list[tuple[str, float, Path, str]] = []
    wanted = "" if settings.target.embedded else settings.target.url  # an embedded twin has another URL in each run
    places = ("", "*/", f"{EARLIER}/*/", f"*/{EARLIER}/*/")
    for path in (path for folder in folders for place in places for path in folder.glob(f"{place}runlog.jsonl")):
        try:
            # Only the header is read here, because a run log may be long.
            with os.fdopen(open_regular(path), "rb") as file:
                header = _HEADER.validate_python(json.loads(file.readline(WRITTEN_BYTES)))
            written_at = path.stat().st_mtime
        except (ValueError, RecursionError, OSError):  # a ValidationError of pydantic is a ValueError
            continue
        if header.command == "check" and wanted == ("" if header.target.kind == "embedded" else header.target.url):
            found.append((header.started_at, written_at, path, header.run_id))
    return max(found)[2:] if found else None
