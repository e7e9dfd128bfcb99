"""
The command `record`: plays scenarios with a target and writes a file of each that went as it should.

What is written comes from the run log, so that a file holds what the rules have seen. A file is written whole or not at
all: a scenario that was answered otherwise than it expects, that met a finding, or in which a secret was found, leaves
the file of an earlier time as it was.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchstone import har, lifesteps, runner
from touchstone.cleaning import cleaned
from touchstone.embedded import RECORDED_TWIN
from touchstone.errors import UsageError
from touchstone.exchange import Exchange
from touchstone.leaks import leaks
from touchstone.opening import Errand
from touchstone.recording import BASE_URL, RUN_ID, Given, Owner, Recording, Terms
from touchstone.replaying import alone, shown
from touchstone.report.write import write_whole
from touchstone.runfacts import Case, CaseOutcome, RunLog
from touchstone.runlog import read
from touchstone.settings import Settings
from touchstone.settings_kinds import nearest
from touchstone.twin import DEFAULT_ACCOUNTS

FOLDER = Path("tests/recordings")
_CASE = "scenarios.plays"
PASSED: tuple[CaseOutcome, ...] = ("passed",)


@dataclass(frozen=True, slots=True)
class Written:
    """
    What became of one scenario.

    Attributes:
        path: Where its recording is; None where none was written.
        why: Why none was written.
        exchanges: How many it holds.
    """

    name: str
    path: Path | None
    why: str = ""
    exchanges: int = 0


def scenarios() -> tuple[str, ...]:
    """
    The names of all scenarios, in the order in which they are played.
    """
    with tempfile.TemporaryDirectory() as folder:
        cases = json.loads(runner.plan(Settings(profile="thorough"), Path(folder), Errand(mode="record")))
    return tuple(scenario_of(case["case"]) for case in cases)


def planned(settings: Settings, names: Sequence[str]) -> str:
    """
    What playing scenarios would cost, as `runner.plan` tells it.
    """
    with tempfile.TemporaryDirectory() as folder:
        return runner.plan(
            replace(settings, profile="thorough"), Path(folder), Errand("record", "record", tuple(names))
        )


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """
    The scenarios that *names* choose, all where there are none.

    Raises:
        UsageError: one does not exist.
    """
    known = scenarios()
    for name in names:
        if name not in known:
            raise UsageError(f"{name!r}: no such scenario; {nearest(name, known)}; see `touchstone record --list`")
    return tuple(name for name in known if name in names) if names else known


def check_folder(folder: Path) -> None:
    """
    Makes sure that recordings can be written into *folder* before anything is sent for them.

    Raises:
        UsageError: they cannot.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "no folder" if not there.is_dir() else "not writable"
        raise UsageError(f"--out {folder}: {there} is {reason}; expected a folder that recordings can be written into")


def record(
    settings: Settings, names: Sequence[str], folder: Path, argv: Sequence[str], progress: runner.Progress
) -> tuple[runner.Outcome, tuple[Written, ...]]:
    """
    Plays scenarios and writes their recordings into *folder*.

    Raises:
        UsageError: the folder cannot be written.
    """
    errand = Errand("record", "record", tuple(names))
    outcome = runner.check(settings, argv, progress, RECORDED_TWIN, errand)
    log = read(outcome.run_log)
    keys = {a.name: a.key for a in DEFAULT_ACCOUNTS} if settings.target.embedded else settings.target.keys()
    made = taken(log, names, terms_of(log.header.settings["target"], outcome.latency_s))
    return outcome, tuple(written(name, made[name], folder, keys) for name in names)


def taken(
    log: RunLog, names: Iterable[str], terms: Terms, good: Sequence[CaseOutcome] = PASSED
) -> dict[str, Recording | str]:
    """
    The recording of each scenario of a run, or why there is none.

    Args:
        good: How a case has to have ended.
    """
    cases = {scenario_of(case.id): case for case in log.cases if case.id.startswith(_CASE)}
    return {name: _taken(log, name, cases.get(name), terms, good) for name in names}


def _taken(log: RunLog, name: str, case: Case | None, terms: Terms, good: Sequence[CaseOutcome]) -> Recording | str:
    if case is None:
        return "it was not played"
    if case.outcome not in good:
        return case.message or case.outcome
    exchanges = [e for e in log.exchanges if e.case == case.id and not _by_chance(e)]
    if any((exchange.seq, side) in log.cut_bytes for exchange in exchanges for side in ("request", "response")):
        return "a body is longer than a run log holds"
    names = {log.header.run_id: RUN_ID, log.header.target.url: BASE_URL}
    recording = Recording(
        name=name,
        exchanges=tuple(_numbered(cleaned(exchange, names) for exchange in exchanges)),
        recorded_at=har.utc(har.moment(case.began_at)),
        tool_version=log.header.tool_version,
        contract_sha256=log.header.contract_sha256,
        target=log.header.target.name,
        case=case.id,
        claims=case.claims,
        terms=terms,
    )
    return replace(recording, shown=shown(alone(recording), recording))


def _by_chance(exchange: Exchange) -> bool:
    """
    Whether a request was refused for a limit that is not what the scenario is about; it was sent again.
    """
    return exchange.status == 429 and not exchange.note.keys() & {"limit", "expects"}


def _numbered(exchanges: Iterable[Exchange]) -> Iterable[Exchange]:
    """
    The exchanges with numbers from 1 and times from the first one's.
    """
    began_at: float | None = None
    for number, each in enumerate(exchanges, start=1):
        began_at = each.sent_at if began_at is None else began_at
        yield replace(
            each,
            seq=number,
            sent_at=round(each.sent_at - began_at, 6),
            head_at=round(each.head_at - began_at, 6),
            done_at=round(each.done_at - began_at, 6),
        )


def terms_of(target: Mapping[str, Any], latency_s: float) -> Terms:
    """
    The terms of a run.

    Args:
        target: The settings of its target as the run log has them.
    """
    owners: tuple[Owner, ...] = ("primary", "second", "restricted")
    fields: dict[Owner, str] = {role: "api_key" if role == "primary" else f"{role}_api_key" for role in owners}
    templates = target["templates"]
    given = (
        *(Given(ref, "primary", "ready") for ref in templates["buildable"]),
        *(Given(ref, "primary", "failed") for ref in templates["failing"]),
        *(Given(ref, "restricted") for ref in templates["restricted"]),
    )
    return Terms(
        latency_s=round(latency_s, 6),
        build_timeout_s=target["build_timeout_s"],
        cancel_timeout_s=target["cancel_timeout_s"],
        patience_s=target["patience_s"],
        publish=target["publish"],
        keys=tuple(role for role in owners if target[fields[role]]),
        given=given,
    )


def written(name: str, made: Recording | str, folder: Path, keys: Mapping[str, str]) -> Written:
    """
    What became of a scenario, whose recording is written if it holds none of *keys* and nothing that looks like one.
    """
    if isinstance(made, str):
        return Written(name, None, made)
    text = har.render(made, lifesteps.steps(made.exchanges))
    found = leaks(text, keys)
    if found:
        return Written(name, None, f"line {found[0].line} of it would hold {found[0].what}")
    path = folder / f"{name}.har"
    write_whole(path, text)
    return Written(name, path, exchanges=len(made.exchanges))


def scenario_of(case: str) -> str:
    """
    The scenario that a case plays.
    """
    return case.removeprefix(f"{_CASE}[").removesuffix("]")
