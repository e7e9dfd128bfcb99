"""The command `drift`: plays recorded scenarios against a live target and compares the shape of old and new responses.

The shape of a response: status, media type, header names, field names, types of values, and texts of a single word.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from touchstone.facts.wording import plural, some
from touchstone.recordings import reader
from touchstone.recordings.recorder import scenario_of, shows_nothing, taken
from touchstone.recordings.recording import Recording, Terms, step
from touchstone.twin import TwinSettings
from touchstone.types import Conclude, Progress

# The observed values of each part of a response, such as ``status``, ``header retry-after`` or ``field errors[].code``.
# A value is a status, a media type, a word or the name of a type. A header has no values.
Shape = dict[str, set[str]]

_WORD = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)*")
_LONGEST_WORD = 24
# Headers that are not compared, because proxies add or remove them.
_UNSTEADY_HEADERS = frozenset({"date", "age"})
_TYPES = {bool: "true or false", int: "an integer", float: "a number", str: "a string", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Drift:
    """Differences between a target and its recordings."""

    outcome: Outcome
    changes: tuple[str, ...]  # differences, one sentence each
    uncompared: dict[str, str]  # scenarios that could not be compared, with the reason
    exit_code: int  # 1: a claim is broken; 3: a scenario could not be compared; 2, 130: as in a check; else 0
    reason: str  # reason of the exit code, one sentence


def chosen(paths: Sequence[Path]) -> dict[str, Recording]:
    """Reads recordings by scenario; raises a UsageError if a file records no scenario, or two record the same one."""
    found: dict[str, Recording] = {}
    for recording in map(reader.read, reader.found(paths)):
        if scenario_of(recording.case) != recording.name:
            problem = "records no scenario; leave it out; `touchstone record --list` prints the scenarios"
            raise UsageError(f"{recording.path}: {problem}")
        if recording.name in found:
            earlier = found[recording.name].path
            raise UsageError(f"{recording.path}: records the same scenario as {earlier}; leave one of them out")
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
    """Plays the scenarios of *before* on a target and compares the responses. *twin*: settings of an embedded twin."""
    outcome = runner.check(settings, argv, progress, conclude, twin, Errand("drift", "record", tuple(before)))
    log = read(outcome.run_log)
    # A failed case is compared as well: it has findings, but it was played to the end. Terms are not compared.
    played = taken(log, before, Terms(), good=("passed", "failed"))
    now = {name: recording for name, recording in played.items() if isinstance(recording, Recording)}
    missing = {name: why for name, why in played.items() if isinstance(why, str)}
    absent = {name: why for name, why in missing.items() if shows_nothing(log, name)}
    changes = (*drift(before, now), *(f"{name}: {why}" for name, why in absent.items()))
    uncompared = {name: why for name, why in missing.items() if name not in absent}
    summary = {"schema_version": 1, "changes": list(changes), "not_compared": uncompared}
    write_whole(outcome.folder / "drift.json", json.dumps(summary, indent=2) + "\n")
    code = outcome.exit_code if outcome.exit_code in (1, 2, 130) else 3 if uncompared else 0
    why = log.footer.reason if log.footer else ""
    reason = ending(code, log.header.target.name, len(changes), len(uncompared), len(before) - len(uncompared), why)
    return Drift(outcome, changes, uncompared, code, reason)


def ending(code: int, target: str, changed: int, uncompared: int, compared: int, why: str) -> str:
    """Describes the result in one sentence; *why* says why the run was incomplete, or is empty."""
    changes = f"{target}: {plural(changed, 'change')}"
    if code == 130:
        return "interrupted"
    if code == 3:
        start = f"{changes};" if compared else f"{target}:"
        return f"{start} {plural(uncompared, 'scenario')} could not be compared" + (f": {why}" if why else "")
    if code == 1:
        return f"{changes}, and a claim is broken"
    return f"{changes}, none breaks a claim" if changed else f"{target}: no drift"


def drift(before: Mapping[str, Recording], now: Mapping[str, Recording]) -> tuple[str, ...]:
    """Differences between old and new recordings of the same scenarios, each listed once with all its places."""
    same = sorted(before.keys() & now.keys())
    changes: dict[str, list[str]] = defaultdict(list)
    for name in same:
        for change in _steps(before[name], now[name]):
            changes[change].append(name)
    old, new = (_shapes(exchange for name in same for exchange in side[name].exchanges) for side in (before, now))
    for occasion in (occasion for occasion in old if occasion in new):
        for change in _differences(old[occasion], new[occasion]):
            changes[change].append(occasion)
    return tuple(f"{some(places)}: {change}" for change, places in changes.items())


def _steps(before: Recording, now: Recording) -> Iterator[str]:
    old, new = before.steps, now.steps
    for kind, i, till, k, until in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            after = f"after {old[i - 1]!r}" if i else "at the beginning"
            was, is_now = (" → ".join(steps) or "nothing" for steps in (old[i:till], new[k:until]))
            yield f"steps {after}: {was} in the recording, {is_now} now"


def _shapes(exchanges: Iterable[Exchange]) -> dict[str, Shape]:
    """The combined shape of all responses by occasion (operation and step), such as ``getBuild (ready)``."""
    shapes: dict[str, Shape] = defaultdict(lambda: defaultdict(set))
    for exchange in exchanges:
        if exchange.response is not None:
            shape = shapes[f"{exchange.operation or exchange.request.method} ({step(exchange)})"]
            for part, value in _parts(exchange.response):
                shape[part] |= {value} if value else set()
    return shapes


def _parts(response: Response) -> Iterator[tuple[str, str]]:
    media_type = (response.header("content-type") or "").partition(";")[0].strip().lower()
    yield "status", str(response.status)
    yield "media type", media_type or "none"
    for name in sorted({name.lower() for name, _ in response.headers} - _UNSTEADY_HEADERS):
        yield f"header {name}", ""
    texts = [response.body] if response.body else []
    if media_type == EVENT_STREAM:
        texts = [data.encode() for data in parse(response.body).events]
    for text in texts:
        try:
            yield from _fields("", read_json(text))
        except ValueError:
            yield "field the body", "no JSON"


def _fields(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _fields(f"{place}.{name}" if place else str(name), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(f"{place}[]", inner)
    else:
        is_word = isinstance(value, str) and len(value) <= _LONGEST_WORD and _WORD.fullmatch(value)
        yield f"field {place or 'the body'}", value if is_word else _TYPES[type(value)]


def _differences(old: Shape, new: Shape) -> Iterator[str]:
    for part in dict.fromkeys((*old, *new)):
        was, is_now = old.get(part), new.get(part)
        if was is None:
            yield f"{part} is new" + (f": {_joined(is_now)}" if is_now else "")
        elif is_now is None:
            yield f"{part} is gone" + (f"; it was {_joined(was)}" if was else "")
        elif _TYPES[str] in was | is_now and part.startswith("field "):
            # If a field has free text, single words in the field count as free text too.
            was, is_now = (
                {value if value in _TYPES.values() else _TYPES[str] for value in one} for one in (was, is_now)
            )
        if was and is_now and was != is_now:
            yield f"{part}: {_joined(was)} in the recording, {_joined(is_now)} now"


def _joined(values: set[str] | None) -> str:
    return " or ".join(sorted(values or ()))
