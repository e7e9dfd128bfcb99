"""Claims that failed before: those in a baseline file, and those in the newest run log."""

import dataclasses
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from touchstone.check.job import EARLIER, utc
from touchstone.config import Profile, Settings, Text, fits, kind
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.contract.files import WRITTEN_BYTES, open_regular, read_regular, read_toml
from touchstone.errors import UsageError, checked, nearest, quoted, similar
from touchstone.facts.events import Header, Known, RunLog
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.facts.wording import clipped, one_line, plural, some
from touchstone.rules.verdict import judge

_MAX_REMARK_CHARS = 90
_ABOUT = """\
# Claims that are known to be broken, for `touchstone check --baseline`. A run may find them broken.
# A claim that holds again fails the run: remove it here.
"""
_TABLE = re.compile(r"^(?=[ \t]*\[\[[ \t]*known)", re.MULTILINE)
_COMMENTS = re.compile(r"^(?:[ \t]*(?:#.*)?\n)*\Z", re.MULTILINE)
_DATE = Annotated[date, Field(strict=True), fits("a date such as 2027-01-31, without quotes")]
_KEYS = dict.fromkeys(("claim", "operation", "ref", "reason", "ticket"), kind(Text)) | {"expires": kind(_DATE)}


def read_baseline(path: Path, ledger: Ledger) -> tuple[Known, ...]:
    """Returns the entries of a baseline in file order; raises UsageError if the file is unreadable or invalid.

    A file whose name ends in .toml has tables ``[[known]]``. Any other file has one claim id on each line.
    """
    return tuple(dict.fromkeys(entry for entry, _ in _parts(path, ledger) if entry))


def _parts(path: Path, ledger: Ledger) -> Iterator[tuple[Known | None, str]]:
    """Yields each entry of the file with its lines, and None with lines that belong to no entry."""
    try:
        text = read_regular(path).decode("utf-8-sig").rstrip("\n") + "\n"
    except OSError as error:
        why = f"cannot be read: {error.strerror}; `touchstone baseline REPORT --output {path}` writes one"
        raise UsageError(f"--baseline {path}: {why}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"--baseline {path}: byte {error.start}: not UTF-8; expected a baseline") from None
    if path.suffix != ".toml":
        for number, line in enumerate(text.splitlines(keepends=True), start=1):
            name = line.partition("#")[0].strip()
            yield _entry(f"{path}: line {number}", {"claim": name}, ledger) if name else None, line
        return
    document, (above, *tables) = read_toml(path, str(path)), _TABLE.split(text)
    rows = document.pop("known", [])
    if document or not isinstance(rows, list) or [type(row) for row in rows] != [dict] * len(tables):
        raise UsageError(f"{path}: {one_line(next(iter(document), 'known'))}: expected entries below lines [[known]]")
    yield None, above
    for number, (row, table) in enumerate(zip(rows, tables, strict=True), start=1):
        yield _entry(f"{path}: entry {number}", row, ledger), table


def _entry(place: str, row: Mapping[str, object], ledger: Ledger) -> Known:
    if unknown := next((key for key in row if key not in _KEYS), ""):
        raise UsageError(f"{place}: {one_line(unknown)}: unknown key; {nearest(unknown, _KEYS)}")
    if "claim" not in row:
        raise UsageError(f'{place}: claim is missing; add claim = "…" with the id of a claim')
    entry = Known(**{key: str(checked(f"{place}: {key}", value, _KEYS[key])) for key, value in row.items()})
    if why := _objection(entry.claim, ledger):
        raise UsageError(f"{place}: claim: {quoted(entry.claim)}: {why}")
    operations, name = Contract.load().operations, entry.operation
    if name and name not in operations:
        raise UsageError(f"{place}: operation: {quoted(name)}: no such operation; {nearest(name, operations)}")
    return entry


def _objection(name: str, ledger: Ledger) -> str:
    """Returns why a baseline may not contain *name*, and what to do; returns an empty string if it may."""
    row = ledger.get(name)
    if any(char in name for char in "*?["):
        return "a glob, expected the id of one claim; list the claims one by one"
    if row is None:
        near = similar(name, (claim.id for claim in ledger.judged()))
        return f"no such claim{near or '; `touchstone claims` lists them'}"
    if row.excluded:
        return "a claim that no command judges; remove it"
    return f"only `touchstone {row.by}` judges this claim; remove it" if row.by != "check" else ""


def write_baseline(path: Path, log: RunLog, only: str = "") -> str:
    """Updates the baseline at *path* after a run; returns a summary of the changes.

    It removes entries of upheld claims, adds broken claims that no entry names, and keeps all other lines.

    Args:
        only: ``broken`` only adds; ``upheld`` only removes, also entries that have expired today.

    Raises:
        UsageError: the file is unreadable, not writable, or not a baseline.
    """
    ledger, day = ledger_of_claims.load(), utc()[:10] if only == "upheld" else ""
    verdicts = {item.claim.id: item.verdict for item in judge(log).claims if only in ("", item.verdict)}
    remarks = {f.claim: f"expected {f.expected}; actual {f.actual}" for f in reversed(log.findings)}
    parts = list(_parts(path, ledger)) if path.exists() or day else [(None, _ABOUT)]
    entries = [entry for entry, _ in parts if entry]
    gone = [entry for entry in entries if verdicts.get(entry.claim) == "upheld" or entry.expires < day]
    texts = [text if entry not in gone else _COMMENTS.findall(text)[0].lstrip("\n") for entry, text in parts]
    broken = {name for name, verdict in verdicts.items() if verdict == "broken" and not _objection(name, ledger)}
    new = sorted(broken - {entry.claim for entry in entries})
    for name in new:
        remark = clipped(one_line(remarks[name]), _MAX_REMARK_CHARS)
        table = f'\n[[known]]\nclaim = "{name}"\nreason = {json.dumps(remark, ensure_ascii=False)}\n'
        texts.append(table if path.suffix == ".toml" else f"{name}  # {remark}\n")
    write_whole(path, "".join(texts))
    total = len(entries) - len(gone) + len(new)
    return f"baseline: {path}: {plural(total, 'claim')}, {len(new)} new, {len(gone)} removed"


_HEADER: TypeAdapter[Header] = TypeAdapter(Header)


def narrowed(
    settings: Settings, ledger: Ledger, reports: Path, finding_id: str = ""
) -> tuple[Settings, tuple[str, ...], str]:
    """Returns settings limited to what failed in the last check, the cases to run, and a sentence about them.

    The profile and the seed are those of that check. With *finding_id*, or its first digits, only that finding counts;
    raises UsageError if the check has no such finding. The settings stay unchanged if nothing failed, or if neither
    *reports* nor the report folder has an earlier check.
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
    failed = list(dict.fromkeys(one.claim for one in log.findings if one.id.startswith(finding_id)))
    if not finding_id:
        failed = [
            item.claim.id
            for item in judge(log).claims
            if item.claim.id in chosen
            and ((item.verdict == "broken" and not item.excuse) or item.verdict == "could-not-run" or item.holds_again)
        ]
    elif not failed:
        known = some(one.id for one in log.findings) or "none"
        raise UsageError(f"{flag}: {run}: has no such finding; its findings: {known}")
    if not failed:
        return settings, (), f"{flag}: none of the selected claims failed in {run}: everything is judged"
    only = _cases_of(failed, finding_id, log)
    glob = settings.claims_glob if len(failed) == len(chosen) else ",".join(failed)
    sentence = f"{flag}: {plural(len(failed), 'claim')} of {run}, {plural(len(only), 'case')}: {some(failed, 5)}"
    profile: Profile = TypeAdapter(Profile).validate_python(log.header.profile)
    return dataclasses.replace(settings, claims_glob=glob, profile=profile, seed=log.header.seed), only, sentence


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
