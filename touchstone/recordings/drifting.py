"""The command `drift`: plays the recorded scenarios with a live target and says what its answers look like now."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from touchstone.check import runner
from touchstone.check.child import Progress
from touchstone.check.embedded import RECORDED_TWIN
from touchstone.check.opening import Errand
from touchstone.config import Settings
from touchstone.errors import UsageError
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.facts.wording import plural
from touchstone.recordings import reader
from touchstone.recordings.recorder import scenario_of, shows_nothing, taken
from touchstone.recordings.recording import Recording, Terms
from touchstone.recordings.shapes import drift
from touchstone.twin import TwinSettings
from touchstone.types import Conclude

JSON_NAME = "drift.json"


@dataclass(frozen=True, slots=True)
class Drift:
    """What became of a target since it was recorded.

    Attributes:
        target: What was compared with its recordings.
        changes: What its answers look like now that they did not look like then, in words.
        uncompared: By scenario, why nothing can be said of it.
        compared: How many scenarios were compared.
        why: What kept the run from its end; empty where nothing did.
    """

    outcome: runner.Outcome
    target: str
    changes: tuple[str, ...]
    uncompared: dict[str, str]
    compared: int
    why: str = ""

    @property
    def exit_code(self) -> int:
        """1 where a claim is broken, 3 where something could not be compared, else 0, whatever has changed."""
        if self.outcome.exit_code in (1, 2, 130):
            return self.outcome.exit_code
        return 3 if self.uncompared else 0

    @property
    def reason(self) -> str:
        """One sentence for the exit code."""
        changes = f"{self.target}: {plural(len(self.changes), 'change')}"
        match self.exit_code:
            case 1:
                return f"{changes}, and a claim is broken"
            case 3:
                told = f"{changes};" if self.compared else f"{self.target}:"
                why = f": {self.why}" if self.why else ""
                return f"{told} {plural(len(self.uncompared), 'scenario')} could not be compared{why}"
            case 130:
                return "interrupted"
        return f"{changes}, none breaks a claim" if self.changes else f"{self.target}: no drift"


def chosen(paths: Sequence[Path]) -> dict[str, Recording]:
    """The recordings in files that can be compared with a live target, by the scenario that they are of.

    Raises:
        RecordingError: a file cannot be read.
        UsageError: one is of no scenario, or two are of one.
    """
    found: dict[str, Recording] = {}
    for recording in map(reader.read, reader.found(paths)):
        if scenario_of(recording.case) != recording.name:
            told = "no recording of a scenario; see `touchstone record --list`, or leave it out"
            raise UsageError(f"{recording.path}: {told}")
        if recording.name in found:
            earlier = found[recording.name].path
            raise UsageError(f"{recording.path}: of the same scenario as {earlier}; compare with one of them at a time")
        found[recording.name] = recording
    return found


def compare(
    settings: Settings,
    before: dict[str, Recording],
    argv: Sequence[str],
    progress: Progress,
    conclude: Conclude,
    twin: TwinSettings = RECORDED_TWIN,
) -> Drift:
    """Plays the scenarios of recordings with a target and compares.

    Args:
        twin: How the embedded twin behaves, where the target is embedded.
    """
    outcome = runner.check(settings, argv, progress, conclude, twin, Errand("drift", "record", tuple(before)))
    log = read(outcome.run_log)
    # A case that failed has findings, and was played to its end all the same. What it was played on is not compared.
    made = taken(log, before, Terms(), good=("passed", "failed"))
    now = {name: recording for name, recording in made.items() if isinstance(recording, Recording)}
    missing = {name: why for name, why in made.items() if isinstance(why, str)}
    absent = {name: why for name, why in missing.items() if shows_nothing(log, name)}
    changes = (*drift(before, now), *(f"{name}: {why}" for name, why in absent.items()))
    uncompared = {name: why for name, why in missing.items() if name not in absent}
    told = {"schema_version": 1, "changes": list(changes), "not_compared": uncompared}
    write_whole(outcome.folder / JSON_NAME, json.dumps(told, indent=2) + "\n")
    why = log.footer.reason if log.footer else ""
    return Drift(outcome, log.header.target.name, changes, uncompared, len(before) - len(uncompared), why)
