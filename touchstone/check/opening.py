"""How a run begins and ends: what it is for, its id, its folder, and the first and the last line of its run log."""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from touchstone import __version__
from touchstone.check.handover import CHECK, Errand
from touchstone.check.journal import is_run_id
from touchstone.config import Settings
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.contract.files import open_regular
from touchstone.contract.quoting import quoted
from touchstone.errors import HarnessError, UsageError, unwritten
from touchstone.facts.events import Footer, Header, LedgerClaim, Target, TargetKind
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.rules import verdict

# Where a folder that is used again keeps the run logs that were there before, each by the id of its run.
EARLIER = "earlier"
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def new_run_id() -> str:
    """A run id: when it began, in UTC, and six random hexadecimal digits, so that runs that begin together differ."""
    return f"{datetime.now(UTC):%y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def new_log(folder: Path) -> Path:
    """The path of a run log that does not exist yet, in a folder that does.

    The log of an earlier run in that folder is kept: its reports can be made again from it.

    Raises:
        UsageError: the folder is none.
        OutputError: the folder cannot be written.
    """
    run_log = folder / "runlog.jsonl"
    make_folder(folder)
    try:
        if run_log.is_symlink():
            run_log.unlink()
        elif run_log.exists():
            kept = folder / EARLIER / _id_of(run_log)
            kept.mkdir(parents=True, exist_ok=True)
            run_log.replace(kept / run_log.name)
    except OSError as error:
        raise _refused(folder, error) from error
    return run_log


def make_folder(folder: Path) -> None:
    """Makes a report folder, where there is none.

    Raises:
        UsageError: there is something else.
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(folder, error) from error


def folder_name(text: str, place: str, option: str) -> str:
    """A text of a file, fit to name a folder: it leads nowhere else.

    Args:
        place: Where it stands, for the message.
        option: What names a folder in its place.

    Raises:
        UsageError: it is not.
    """
    if not _FOLDER.fullmatch(text):
        raise UsageError(
            f"{place}: {quoted(text)} would name a folder; expected letters, digits, ., - and _; give {option}"
        )
    return text


def _refused(folder: Path, error: OSError) -> HarnessError:
    problem = f"{folder}: the report folder cannot be written: {error.strerror}"
    return unwritten(f"{problem}; name another one with --report-dir", error)


def _id_of(run_log: Path) -> str:
    """The id of the run that a log is of; of one that does not tell it, when it was written last."""
    with os.fdopen(open_regular(run_log), "rb") as file, contextlib.suppress(ValueError, RecursionError):
        header = json.loads(file.readline())
        run_id = str(header.get("run_id")) if isinstance(header, dict) else ""
        if is_run_id(run_id):
            return run_id
    return str(run_log.stat().st_mtime_ns)


def write_header(
    run_log: Path,
    run_id: str,
    settings: Settings,
    argv: Sequence[str],
    ledger: Ledger,
    contract: Contract,
    errand: Errand = CHECK,
    also: Iterable[str] = (),
    known: tuple[str, ...] = (),
) -> None:
    """Begins a run log with what was asked for.

    Args:
        also: Claims that the run judges besides those of a check.
        known: Claims that the caller knows to be broken.
    """
    target = settings.target
    kind: TargetKind = "embedded" if target.embedded else "recording" if errand.mode == "replay" else "url"
    header = Header(
        run_id=run_id,
        tool_version=__version__,
        command=errand.command,
        argv=tuple(argv),
        started_at=utc(),
        target=Target(target.name, target.url or "", kind),
        profile=settings.profile,
        seed=settings.seed,
        strict=settings.strict,
        claims_glob=settings.claims_glob,
        contract_sha256=contract.sha256,
        claims=tuple(
            LedgerClaim(c.id, c.level, c.says, c.source, c.subject)
            for c in (*ledger.select(settings.claims_glob), *(ledger[claim] for claim in also))
        ),
        settings=settings.public(),
        known=known,
    )
    with RunLogWriter(run_log) as log:
        log.write(header)


def finish(runlog_path: Path, footer: Footer) -> Footer:
    """Judges the run and ends its run log.

    Args:
        runlog_path: A run log without a footer.
        footer: What the runner knows; exit code and reason are replaced by those of the verdict.

    Returns:
        The footer that was written.
    """
    outcome = verdict.judge(read(runlog_path), footer)
    judged = Footer(footer.ended_at, footer.duration_s, outcome.exit_code, outcome.reason, footer.interrupted)
    with RunLogWriter(runlog_path) as writer:
        writer.write(judged)
    return judged


def utc() -> str:
    """Now, as reports write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
