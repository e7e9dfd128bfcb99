"""The command `record`: plays scenarios against a target and writes a recording of each scenario that passed.

Recordings are made from the run log. If a scenario gets an unexpected response or a finding, or its recording would
contain a secret, an earlier file stays unchanged.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchstone.check import runner
from touchstone.check.handover import Errand
from touchstone.check.job import RECORDED_TWIN, Outcome, folder_name
from touchstone.config import Settings, TargetSettings
from touchstone.contract.files import contract_tests_dir
from touchstone.errors import OutputError, RunLogError, UsageError, nearest
from touchstone.facts.events import Case, CaseOutcome, RunLog
from touchstone.facts.exchange import EXPIRED
from touchstone.facts.leaks import leaks
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.recordings import har
from touchstone.recordings.recording import BASE_URL, RUN_ID, Given, Recording, Terms, cleaned, moved
from touchstone.recordings.replay import evidence_of
from touchstone.twin import DEFAULT_ACCOUNTS
from touchstone.types import Conclude, Progress

_CASE = "scenarios.plays"
_SCENARIO = re.compile(r'^@scenario\(\s*"([^"]+)".*?^def .*?"""(.*?)"""', re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Written:
    """Result of one scenario: *path* of the recording, or *why* the recording is missing."""

    name: str
    path: Path | None
    why: str = ""
    exchanges: int = 0
    is_absent: bool = False  # whether the scenario cannot happen on the target, for example because of no limit

    def __str__(self) -> str:
        return f"{self.path}: {self.exchanges} exchanges" if self.path else f"{self.name}: not recorded: {self.why}"


def scenarios() -> dict[str, str]:
    """Descriptions of the scenarios by name, in the order in which they run; read from the source of the tests."""
    found: dict[str, str] = {}
    for path in sorted(contract_tests_dir().glob("scenarios_*.py")):
        stories = _SCENARIO.findall(path.read_text("utf-8"))
        found |= {name: " ".join(story.partition("\n\n")[0].split()) for name, story in stories}
    return found


def planned(settings: Settings, names: Sequence[str]) -> str:
    """Returns the plan and the costs of playing scenarios; see `runner.plan`."""
    errand = Errand("record", "record", tuple(names))
    with tempfile.TemporaryDirectory() as folder:
        return runner.plan(replace(settings, profile="thorough"), Path(folder), errand)


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The scenarios with these names, or all scenarios if *names* is empty; raises a UsageError for an unknown name."""
    known = scenarios()
    for name in names:
        if name not in known:
            raise UsageError(f"{name!r}: unknown scenario; {nearest(name, known)}; see `touchstone record --list`")
    return tuple(name for name in known if not names or name in names)


def folder_of(target: TargetSettings) -> Path:
    """The default folder for a target's recordings; raises a UsageError if the target's name cannot name a folder."""
    if target.embedded:
        return Path("tests/recordings")
    return Path("recordings", folder_name(target.name, "the name of the target", "--out"))


def check_folder(folder: Path) -> None:
    """Raises a UsageError if recordings cannot be written into *folder*; call it before any request."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        reason = "no folder" if not existing.is_dir() else "not writable"
        raise UsageError(f"--out {folder}: {existing} is {reason}; expected a writable folder")


class Recorder:
    """Writes each recording as soon as its scenario is over, so that a killed run keeps the finished recordings."""

    def __init__(self, settings: Settings, names: Sequence[str], folder: Path, progress: Progress) -> None:
        self._names, self._folder, self._progress = names, folder, progress
        self._run_log = Path()
        embedded = settings.target.embedded
        self._keys = {a.name: a.key for a in DEFAULT_ACCOUNTS} if embedded else settings.target.credentials().hidden()
        self.written: dict[str, Written] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        """Handles one event of the run: the end of a scenario writes its recording."""
        self._progress(event)
        if event["type"] == runner.BEGUN:
            self._run_log = Path(event["run_log"])
        elif event["type"] == "case" and (name := scenario_of(str(event["id"]))) in self._names:
            # If the run log is not readable yet, `record` writes the recording at the end.
            with contextlib.suppress(RunLogError):
                self.write(read(self._run_log), [name])

    def write(self, log: RunLog, names: Iterable[str]) -> None:
        """Writes the recordings of some scenarios from a run log."""
        terms = terms_of(log.header.settings["target"])
        for name, result in taken(log, names, terms).items():
            one = written(name, result, self._folder, self._keys)
            self.written[name] = replace(one, is_absent=shows_nothing(log, name))


def record(
    settings: Settings, errand: Errand, folder: Path, argv: Sequence[str], progress: Progress, conclude: Conclude
) -> tuple[Outcome, tuple[Written, ...]]:
    """Plays the scenarios of *errand* and writes their recordings into *folder*."""
    names = errand.plays
    recorder = Recorder(settings, names, folder, progress)
    outcome = runner.check(settings, argv, recorder, conclude, RECORDED_TWIN, errand)
    recorder.write(read(outcome.run_log), [name for name in names if name not in recorder.written])
    return outcome, tuple(recorder.written[name] for name in names)


def taken(
    log: RunLog, names: Iterable[str], terms: Terms, good: Sequence[CaseOutcome] = ("passed",)
) -> dict[str, Recording | str]:
    """Returns a recording of each scenario whose outcome is in *good*; for other scenarios, why there is none."""
    cases = {scenario_of(case.id): case for case in log.cases if case.id.startswith(_CASE)}
    return {name: _taken(log, name, cases.get(name), terms, good) for name in names}


def _taken(log: RunLog, name: str, case: Case | None, terms: Terms, good: Sequence[CaseOutcome]) -> Recording | str:
    if case is None:
        return "it was not played"
    if case.outcome not in good:
        return case.message or case.outcome
    # A 429 that the scenario does not test is left out, as is a 401 to an expired key: the request is repeated.
    own = [exchange for exchange in log.exchanges if exchange.case == case.id and EXPIRED not in exchange.note]
    exchanges = [e for e in own if e.status != 429 or e.note.keys() & {"limit", "expects"}]
    if any((exchange.seq, side) in log.cut_bytes for exchange in exchanges for side in ("request", "response")):
        return "a body exceeds the size that a run log stores"

    def rename(text: str) -> str:
        return text.replace(log.header.target.url, BASE_URL).replace(log.header.run_id, RUN_ID)

    recording = Recording(
        name=name,
        exchanges=tuple(
            moved(cleaned(exchange, rename), number, -exchanges[0].sent_at)
            for number, exchange in enumerate(exchanges, 1)
        ),
        recorded_at=har.utc(har.moment(case.began_at)),
        tool_version=log.header.tool_version,
        contract_sha256=log.header.contract_sha256,
        target=log.header.target.name,
        case=case.id,
        claims=case.claims,
        terms=terms,
    )
    return replace(recording, evidence=evidence_of(recording))


def shows_nothing(log: RunLog, name: str) -> bool:
    """Whether a scenario cannot happen on the target, for example because the target has no limit."""
    return any(notice.verdict == "not-applicable" and scenario_of(notice.case) == name for notice in log.notices)


def ending(code: int, reason: str, written: Sequence[Written], requested: Sequence[str]) -> tuple[int, str]:
    """The exit code of `record` and its reason. Scenarios that the user named (*requested*) must have a recording."""
    missing = [one.name for one in written if one.path is None and (not one.is_absent or one.name in requested)]
    done = f"{sum(one.path is not None for one in written)} of {len(written)} scenarios recorded"
    if code in (1, 2, 130):
        return code, f"{done}; {'interrupted' if code == 130 else 'a claim is broken'}"
    if code == 3 and not any(one.path for one in written):
        return code, f"{done}; {reason}"
    return (3, f"{done}; missing: {', '.join(missing)}") if missing else (0, done)


def terms_of(target: Mapping[str, Any]) -> Terms:
    """The terms of a recording, from the target's settings in the run log."""
    templates = target["templates"]
    given = (
        *(Given(ref, "primary", "ready") for ref in templates["buildable"]),
        *(Given(ref, "primary", "failed") for ref in templates["failing"]),
        *(Given(ref, "restricted") for ref in templates["restricted"]),
    )
    return Terms(target["build_timeout_s"], target["cancel_timeout_s"], given)


def written(name: str, result: Recording | str, folder: Path, keys: Mapping[str, str]) -> Written:
    """Writes a recording, unless it contains a key or *result* is an error; returns its path or the reason."""
    if isinstance(result, str):
        return Written(name, None, result)
    text = har.render(result)
    if found := leaks(text, keys):
        return Written(name, None, f"line {found[0].line} would hold {found[0].what}")
    path = folder / f"{name}.har"
    try:
        write_whole(path, text)
    except (UsageError, OutputError) as error:
        return Written(name, None, str(error))
    return Written(name, path, exchanges=len(result.exchanges))


def scenario_of(case: str) -> str:
    """The scenario in a case id such as ``scenarios.plays[rate-limit]``."""
    return case.removeprefix(f"{_CASE}[").removesuffix("]")
