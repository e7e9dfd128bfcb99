"""Continues a check that was cut short: its run log tells which cases are done, and keeps what they showed."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from touchstone.config import Settings
from touchstone.contract.document import Contract
from touchstone.errors import UsageError
from touchstone.facts.events import Remark, RunLog
from touchstone.facts.runlog import Event, read
from touchstone.facts.wording import one_line


def cut_short(folder: Path, settings: Settings) -> RunLog:
    """Returns the run log in *folder*; raises UsageError if it is not of an unfinished check of the same target."""
    run_log, place = folder / "runlog.jsonl", f"--resume {folder}"
    if not run_log.is_file():
        raise UsageError(f"{place}: has no runlog.jsonl; expected the report folder of a check that was cut short")
    log = read(run_log)
    target, found = settings.target, log.header.target
    if log.header.command != "check" or log.header.contract_sha256 != Contract.load().sha256:
        raise UsageError(f"{place}: expected a check by this version of Touchstone; start a new one without --resume")
    if found.kind != "embedded" if target.embedded else found.url != target.url:
        asked = "the embedded twin" if target.embedded else target.url
        raise UsageError(f"{place}: is a check of {one_line(found.url)}, not of {asked}; give the target of that check")
    if log.footer and not log.footer.interrupted and set(log.selected) <= set(done(log)):
        raise UsageError(f"{place}: that check is complete; start a new one without --resume")
    return log


def continued(settings: Settings, log: RunLog, folder: Path) -> Settings:
    """Returns *settings* with what decides which cases run, as in *log*, and with its report folder."""
    header = log.header
    kept = {"profile": header.profile, "claims_glob": header.claims_glob, "seed": header.seed}
    strict = settings.strict or header.strict
    return dataclasses.replace(settings, report_dir=folder, strict=strict, **kept)  # type: ignore[arg-type]  # valid in that run


def done(log: RunLog) -> tuple[str, ...]:
    """Returns the cases that have a verdict: they ended, and nothing kept them from judging their claims."""
    open_cases = {notice.case for notice in log.notices if notice.verdict != "not-applicable"}
    return tuple(case.id for case in log.cases if case.outcome != "error" and case.id not in open_cases)


def facts(log: RunLog) -> Iterator[Event]:
    """Yields the events that the new run log takes over: all exchanges and findings, and the results of done cases."""
    ended = set(done(log))
    yield Remark(f"continues the check {log.header.run_id}, in which {len(ended)} cases were done")
    yield from log.exchanges
    yield from log.occurrences
    yield from (tally for tally in log.tallies if tally.case in ended)
    yield from (notice for notice in log.notices if notice.case in ended or not notice.case)
    yield from (case for case in log.cases if case.id in ended)
