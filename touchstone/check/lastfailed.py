"""What failed in the newest check of a target, so that the next one asks for that alone."""

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from touchstone.check.opening import EARLIER
from touchstone.config import Settings
from touchstone.contract.claims import Ledger
from touchstone.contract.files import open_regular
from touchstone.facts.events import Header
from touchstone.facts.runlog import read
from touchstone.facts.wording import one_line, plural
from touchstone.rules.verdict import judge

_MAX_NAMED = 5
_HEADER: TypeAdapter[Header] = TypeAdapter(Header)


@dataclass(frozen=True, slots=True)
class Newest:
    """The run log of the newest check of a target."""

    path: Path
    header: Header


def narrowed(settings: Settings, ledger: Ledger, reports: Path) -> tuple[Settings, str]:
    """The settings of a check of what failed last time, and a sentence that says which run that was.

    Everything is judged where nothing failed, or where there is no earlier check of the target. What is known to be
    broken has not failed; what is known to be, and holds again, has.

    Args:
        reports: Where earlier runs left their results; the report folder of the settings is looked at, too.
    """
    found = newest(settings, reports)
    if found is None:
        where = " or ".join(str(folder) for folder in _folders(settings, reports))
        return settings, f"--last-failed: no earlier check of {_target(settings)} in {where}: everything is judged"
    chosen = {claim.id for claim in ledger.select(settings.claims_glob)}
    failed = [name for name in failed_in(found.path) if name in chosen]
    run = f"run {one_line(found.header.run_id)} ({one_line(str(found.path))})"
    if not failed:
        return settings, f"--last-failed: nothing that is asked for failed in {run}: everything is judged"
    named = ", ".join(failed[:_MAX_NAMED])
    rest = f" and {len(failed) - _MAX_NAMED} more" if len(failed) > _MAX_NAMED else ""
    glob = settings.claims_glob if len(failed) == len(chosen) else ",".join(failed)
    told = f"--last-failed: {plural(len(failed), 'claim')} of {run}: {named}{rest}"
    return dataclasses.replace(settings, claims_glob=glob), told


def newest(settings: Settings, reports: Path) -> Newest | None:
    """The check of the target of *settings* that began last; a file that is no run log is passed over."""
    found: list[tuple[str, float, Newest]] = []
    for path in _logs(settings, reports):
        try:
            header, written_at = _header(path), path.stat().st_mtime
        except (ValueError, RecursionError, OSError):  # what pydantic says of another file is a ValueError
            continue
        if header.command == "check" and _is_same(header, settings):
            found.append((header.started_at, written_at, Newest(path, header)))
    return max(found, key=lambda one: one[:2])[2] if found else None


def failed_in(run_log: Path) -> tuple[str, ...]:
    """The claims that the run broke or could not judge, in the order of its ledger.

    Raises:
        RunLogError: the run log is damaged.
    """
    return tuple(
        item.claim.id
        for item in judge(read(run_log)).claims
        if (item.verdict == "broken" and not item.known) or item.verdict == "could-not-run" or item.holds_again
    )


def _header(path: Path) -> Header:
    """The first line of a run log; the rest, which may be long, is read of the newest one alone."""
    with os.fdopen(open_regular(path), "rb") as file:
        return _HEADER.validate_python(json.loads(file.readline()))


def _is_same(header: Header, settings: Settings) -> bool:
    # An embedded twin listens elsewhere each time.
    if settings.target.embedded or header.target.kind == "embedded":
        return settings.target.embedded and header.target.kind == "embedded"
    return header.target.url == settings.target.url


def _target(settings: Settings) -> str:
    target = settings.target
    return target.url or "" if target.name == "url" else target.name


def _folders(settings: Settings, reports: Path) -> tuple[Path, ...]:
    return tuple(dict.fromkeys((reports, settings.report_dir or reports)))


def _logs(settings: Settings, reports: Path) -> Iterator[Path]:
    for folder in _folders(settings, reports):
        for place in ("", "*/", f"{EARLIER}/*/", f"*/{EARLIER}/*/"):
            yield from folder.glob(f"{place}runlog.jsonl")
