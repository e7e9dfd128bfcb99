"""Claims that failed before: those in a baseline file (one claim id per line), and those in the newest run log."""

import dataclasses
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from touchstone.check.job import EARLIER
from touchstone.config import Profile, Settings
from touchstone.contract.claims import Ledger
from touchstone.contract.files import WRITTEN_BYTES, UnfitFileError, open_regular, read_regular
from touchstone.contract.quoting import quoted
from touchstone.errors import UsageError, nearest
from touchstone.facts.events import Header, RunLog
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


def narrowed(
    settings: Settings, ledger: Ledger, reports: Path, finding_id: str = ""
) -> tuple[Settings, tuple[str, ...], str]:
    """Returns settings limited to what failed in the last check, the cases to run, and a sentence about them.

    The profile and the seed are those of that check. With *finding_id*, or its first digits, only that finding counts.
    The settings stay unchanged if nothing failed, or if neither *reports* nor the report folder has an earlier check.

    Raises:
        UsageError: the last check has no finding with this id.
    """
    folders = tuple(dict.fromkeys((reports, settings.report_dir or reports)))
    found, flag = newest(settings, folders), f"--only {one_line(finding_id)}" if finding_id else "--last-failed"
    if found is None:
        target = settings.target
        name = target.url if target.name == "url" else target.name
        sentence = f"{flag}: no earlier check of {name} in {' or '.join(map(str, folders))}"
        if finding_id:
            raise UsageError(f"{sentence}; run `touchstone check` first")
        return settings, (), f"{sentence}: everything is judged"
    run_log, run_id = found
    log, run = read(run_log), f"run {one_line(run_id)} ({one_line(str(run_log))})"
    chosen = {claim.id for claim in ledger.select(settings.claims_glob)}
    failed = _findings_with(finding_id, log, f"{flag}: {run}") if finding_id else _failed(log, chosen)
    if not failed:
        return settings, (), f"{flag}: none of the selected claims failed in {run}: everything is judged"
    only = _cases_of(failed, finding_id, log)
    first = ", ".join(failed[:_MAX_LISTED])
    rest = f" and {len(failed) - _MAX_LISTED} more" if len(failed) > _MAX_LISTED else ""
    glob = settings.claims_glob if len(failed) == len(chosen) else ",".join(failed)
    sentence = f"{flag}: {plural(len(failed), 'claim')} of {run}, {plural(len(only), 'case')}: {first}{rest}"
    profile: Profile = TypeAdapter(Profile).validate_python(log.header.profile)
    return dataclasses.replace(settings, claims_glob=glob, profile=profile, seed=log.header.seed), only, sentence


def _failed(log: RunLog, chosen: Collection[str]) -> list[str]:
    return [
        item.claim.id
        for item in judge(log).claims
        if item.claim.id in chosen
        and ((item.verdict == "broken" and not item.known) or item.verdict == "could-not-run" or item.holds_again)
    ]


def _findings_with(finding_id: str, log: RunLog, place: str) -> list[str]:
    """Returns the claim of the finding; raises UsageError if the run has none with this id."""
    failed = list(dict.fromkeys(finding.claim for finding in log.findings if finding.id.startswith(finding_id)))
    if not failed:
        known = ", ".join(finding.id for finding in log.findings[:_MAX_LISTED]) or "none"
        raise UsageError(f"{place}: has no such finding; its findings: {known}")
    return failed


def _cases_of(failed: Collection[str], finding_id: str, log: RunLog) -> tuple[str, ...]:
    """Returns the cases that found what failed, or that sent its evidence; without findings, those for the claims."""
    found = [one for one in log.occurrences if one.finding.claim in failed and one.finding.id.startswith(finding_id)]
    seqs = {seq for one in found for seq in one.finding.evidence}
    cases = {one.case for one in found} | {exchange.case for exchange in log.exchanges if exchange.seq in seqs}
    bare = set(failed) - {one.finding.claim for one in found}
    return tuple(case.id for case in log.cases if case.id in cases or not bare.isdisjoint(case.claims))


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
