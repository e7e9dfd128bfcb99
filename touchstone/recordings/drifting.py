"""The command `drift`: plays the recorded scenarios with a live target and says what its answers look like now.

What is compared is their shape: status, media type, header names, fields and words. Values that differ from run to run
have no shape: only their types count, and of texts that are single words, as states and phases are, which they were.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from touchstone.check import runner
from touchstone.check.handover import Errand
from touchstone.check.job import RECORDED_TWIN, Outcome
from touchstone.config import Settings
from touchstone.contract.document import EVENT_STREAM
from touchstone.contract.event_stream import parse
from touchstone.contract.parsing import read_json
from touchstone.errors import UsageError
from touchstone.facts.exchange import Exchange, Response
from touchstone.facts.output import write_whole
from touchstone.facts.runlog import read
from touchstone.facts.wording import plural
from touchstone.recordings import reader
from touchstone.recordings.recorder import scenario_of, shows_nothing, taken
from touchstone.recordings.recording import Recording, Terms, step
from touchstone.twin import TwinSettings
from touchstone.types import Conclude, Progress

JSON_NAME = "drift.json"

# What an answer is about: its operation, and the step in the life of a version that it shows.
Occasion = tuple[str, str]

_WORD = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)*")
_LONGEST_WORD = 24
# An answer carries it or not as the network likes.
_HEADERS_OF_CHANCE = frozenset({"date", "age"})
_TYPES = {bool: "true or false", int: "an integer", float: "a number", str: "a text", type(None): "null"}


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

    outcome: Outcome
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
                start = f"{changes};" if self.compared else f"{self.target}:"
                why = f": {self.why}" if self.why else ""
                return f"{start} {plural(len(self.uncompared), 'scenario')} could not be compared{why}"
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
            problem = "no recording of a scenario; see `touchstone record --list`, or leave it out"
            raise UsageError(f"{recording.path}: {problem}")
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
    played = taken(log, before, Terms(), good=("passed", "failed"))
    now = {name: recording for name, recording in played.items() if isinstance(recording, Recording)}
    missing = {name: why for name, why in played.items() if isinstance(why, str)}
    absent = {name: why for name, why in missing.items() if shows_nothing(log, name)}
    changes = (*drift(before, now), *(f"{name}: {why}" for name, why in absent.items()))
    uncompared = {name: why for name, why in missing.items() if name not in absent}
    summary = {"schema_version": 1, "changes": list(changes), "not_compared": uncompared}
    write_whole(outcome.folder / JSON_NAME, json.dumps(summary, indent=2) + "\n")
    why = log.footer.reason if log.footer else ""
    return Drift(outcome, log.header.target.name, changes, uncompared, len(before) - len(uncompared), why)


# --- shapes ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Shape:
    """What all answers on one occasion looked like.

    Attributes:
        forms: By part, such as ``status``, ``header retry-after`` or ``field errors[].code``, the statuses, media types
            or types of values; none for a header.
        words: By field, the words that stood there; one where anything else stood has none.
    """

    forms: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    words: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def shapes(exchanges: Iterable[Exchange]) -> dict[Occasion, Shape]:
    """The shape of the answers on each occasion."""
    found: dict[Occasion, Shape] = defaultdict(Shape)
    for exchange in exchanges:
        if exchange.response is not None:
            _add(found[exchange.operation or exchange.request.method, step(exchange)], exchange.response)
    return dict(found)


def drift(before: Mapping[str, Recording], now: Mapping[str, Recording]) -> tuple[str, ...]:
    """What has changed from some recordings to others of the same scenarios, in words.

    A change that is the same on several occasions stands once, with the occasions.
    """
    same = sorted(before.keys() & now.keys())
    changes: dict[str, list[str]] = defaultdict(list)
    for name in same:
        for change in _steps(before[name], now[name]):
            changes[change].append(name)
    old = shapes(exchange for name in same for exchange in before[name].exchanges)
    new = shapes(exchange for name in same for exchange in now[name].exchanges)
    for operation, name in (occasion for occasion in old if occasion in new):
        for change in _differences(old[operation, name], new[operation, name]):
            changes[change].append(f"{operation} ({name})")
    return tuple(f"{_some(places)}: {change}" for change, places in changes.items())


def _some(places: list[str], most: int = 3) -> str:
    places = list(dict.fromkeys(places))
    more = f" and {len(places) - most} more" if len(places) > most else ""
    return ", ".join(places[:most]) + more


def _steps(before: Recording, now: Recording) -> Iterator[str]:
    """Where the steps of a life were others, each with the step before it."""
    old, new = before.steps, now.steps
    for kind, i, till, k, until in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            after = f"after {old[i - 1]!r}" if i else "at the beginning"
            was, is_now = (" → ".join(steps) or "nothing" for steps in (old[i:till], new[k:until]))
            yield f"steps {after}: {was} in the recording, {is_now} now"


def _differences(old: Shape, new: Shape) -> Iterator[str]:
    for part in dict.fromkeys((*old.forms, *new.forms)):
        was, is_now = old.forms.get(part), new.forms.get(part)
        if was is None:
            yield f"{part} is new" + (f": {_joined(is_now)}" if is_now else "")
        elif is_now is None:
            yield f"{part} is gone" + (f"; it was {_joined(was)}" if was else "")
        elif was != is_now:
            yield f"{part}: {_joined(was)} in the recording, {_joined(is_now)} now"
        words, are_now = old.words.get(part), new.words.get(part)
        if words and are_now and words != are_now:
            yield f"{part}: {_joined(words)} in the recording, {_joined(are_now)} now"


def _joined(values: set[str]) -> str:
    return " or ".join(sorted(values))


def _add(shape: Shape, response: Response) -> None:
    media_type = (response.header("content-type") or "").partition(";")[0].strip().lower()
    shape.forms["status"].add(str(response.status))
    shape.forms["media type"].add(media_type or "none")
    for name in sorted({name.lower() for name, _ in response.headers} - _HEADERS_OF_CHANCE):
        shape.forms[f"header {name}"] |= set()
    texts = [response.body] if response.body else []
    if media_type == EVENT_STREAM:
        texts = [event.data.encode() for event in parse(response.body).events]
    for text in texts:
        try:
            value = read_json(text)
        except ValueError:
            value = ...
        _add_value(shape, "", value)


def _add_value(shape: Shape, place: str, value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _add_value(shape, f"{place}.{name}" if place else str(name), inner)
    elif isinstance(value, list):
        for inner in value:
            _add_value(shape, f"{place}[]", inner)
    else:
        part = f"field {place or 'the body'}"
        first = part not in shape.forms
        shape.forms[part].add(_TYPES.get(type(value), "no JSON"))
        is_word = isinstance(value, str) and len(value) <= _LONGEST_WORD and _WORD.fullmatch(value)
        if not is_word:
            shape.words[part].clear()
        elif first or shape.words[part]:
            shape.words[part].add(value)
