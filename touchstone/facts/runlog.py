"""The run log on disk: a file of JSON lines. A run appends events to it, and all reports are made from it.

A process appends each event as one line in one write, so a process that is killed leaves at most one unfinished line.
If another process continues the file, it adds a warning after that line. Readers skip unfinished lines. Any other line
that is not an event makes the file invalid.
"""

import contextlib
import functools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from touchstone.contract.files import RECORDED_BYTES, UnfitFileError, read_regular
from touchstone.contract.parsing import json_line
from touchstone.errors import RunLogError, UsageError, quoted
from touchstone.facts import events, exchange, probe, redaction_guard, sample

SCHEMA_VERSION = 1

Event = (
    events.Header | events.Selected | exchange.Exchange | events.Tally | events.Occurrence | events.Case | events.Notice
    | events.TemplateAction | events.Remark
    | events.Workload | sample.Window | events.Attempt | events.Build | events.Worker
    | probe.Probing | probe.Sending | probe.Answered | probe.StimulusEnd
    | probe.Identified | probe.Trial | probe.Tried | probe.Knee | events.Footer
)  # fmt: skip

# Event types, in the order of `Event`. Lines: of any run; of a load run; of a probe, and the last event of any run.
_NAMES = (
    *("header", "selected", "exchange", "tally", "finding", "case", "notice", "template", "warning"),
    *("workload", "window", "attempt", "build", "worker"),
    *("probe", "stimulus", "answer", "heard", "identity", "trial", "tried", "knee", "footer"),
)
KINDS: dict[str, type[Event]] = dict(zip(_NAMES, get_args(Event), strict=True))
_TYPES = {kind: name for name, kind in KINDS.items()}
_FLAT = ("finding", "stimulus", "answer", "identity")  # the field with the type's name is merged into the JSON event

_ADVICE = "make room there, or write elsewhere with --report-dir"
_TORN = {"type": "warning", "text": "a line of the run log was cut short: its writer was killed", "torn": True}


class RunLogWriter(contextlib.AbstractContextManager["RunLogWriter"]):
    """Appends events to a run log. Threads may share a writer; processes may write one after the other.

    *drops*: whether to drop all further events after a failed write, instead of raising, so that a run can clean up.
    """

    def __init__(self, path: Path, *, drops: bool = False) -> None:
        self._path = path
        self._drops = drops
        self.lost: RunLogError | None = None  # why events were dropped
        self._lock = threading.Lock()
        self._end_bytes = 0
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._fd: int | None = os.open(path, flags, 0o644)
        except OSError as error:
            raise RunLogError(f"{path}: the run log cannot be written: {error.strerror}; {_ADVICE}") from error

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; closing twice does nothing."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def write(self, *items: Event | dict[str, Any]) -> None:
        """Appends events, encoded or not; raises RunLogError if the log is closed, a type unknown, or a write fails."""
        for event in items:
            values = event if isinstance(event, dict) else encode(event)
            if values.get("type") not in KINDS:
                raise RunLogError(f"{self._path}: event type {values.get('type')!r}; expected one of {sorted(KINDS)}")
            line, found = redaction_guard.cut(json_line(values).decode("ascii"))
            remarks = (events.Remark(f"{self._path.name}: {redaction_guard.warning(name)}") for name in found)
            lines = [line.encode("ascii"), *(json_line(encode(remark)) for remark in remarks)]
            with self._lock:
                try:
                    if not self.lost:
                        self._mend()
                        self._append(b"".join(lines))
                except RunLogError as error:
                    if not self._drops or self._fd is None:
                        raise
                    self.lost = error

    def _mend(self) -> None:
        if self._fd is None:
            raise RunLogError(f"{self._path}: the run log is closed")
        found = os.fstat(self._fd)
        if not found.st_nlink:
            raise RunLogError(f"{self._path}: the run log cannot be written: the file was removed; {_ADVICE}")
        if found.st_size not in (0, self._end_bytes) and os.pread(self._fd, 1, found.st_size - 1) != b"\n":
            self._append(b"\n" + json_line(_TORN))

    def _append(self, data: bytes) -> None:
        assert self._fd is not None
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise RunLogError(f"{self._path}: the run log cannot be written: {error.strerror}; {_ADVICE}") from error
        self._end_bytes = os.lseek(self._fd, 0, os.SEEK_CUR)


def read(path: Path) -> events.RunLog:
    """Reads a run log, even if it is unfinished; raises RunLogError if it is invalid or of a newer Touchstone."""
    try:
        data = read_regular(path, RECORDED_BYTES)
    except OSError as error:
        unfit = UsageError if isinstance(error, UnfitFileError) else RunLogError
        raise unfit(f"{path}: the run log cannot be read: {error.strerror}") from error
    *lines, last = data.split(b"\n")
    if last and _event_or_none(last) is not None:
        lines.append(last)
    if not lines:
        raise RunLogError(f"{path}: the run log is empty; its run ended before it wrote a header")
    found: dict[str, list[Any]] = {name: [] for name in KINDS}
    cut_bytes: dict[tuple[int, str], int] = {}
    torn_lines = 0
    # The warning after an unfinished line may be unfinished, too.
    following = [*lines, json_line(_TORN)] if last and json_line(_TORN).startswith(last) else lines
    for number, line in enumerate(lines, start=1):
        after = _event_or_none(b"".join(following[number : number + 1])) if _event_or_none(line) is None else None
        if number > 1 and after and after.get("torn") is True:
            torn_lines += 1
            continue
        values, event = _event(line, number, path)
        found[values["type"]].append(event)
        if values["type"] == "exchange":
            cut_bytes |= exchange.cut_bytes(values)
    latest: dict[str, Any] = {name: items[-1] if items else None for name, items in found.items()}
    story = latest["probe"] and probe.ProbeStory(
        probing=latest["probe"],
        sent=tuple(found["stimulus"]),
        answers=tuple(found["answer"]),
        ended=tuple(found["heard"]),
        identified=latest["identity"],
        tried=tuple(found["tried"]),
        knee=latest["knee"],
    )
    plain = ("exchange", "case", "notice", "template", "window", "attempt", "build", "worker")
    lists: dict[str, Any] = {f"{name}s": tuple(found[name]) for name in plain}
    return events.RunLog(
        header=found["header"][0],
        selected=tuple(case for selected in found["selected"] for case in selected.cases),
        occurrences=tuple(found["finding"]),
        tallies=tuple(found["tally"]),
        warnings=tuple(remark.text for remark in found["warning"]),
        workload=latest["workload"],
        **lists,
        probe=story,
        footer=latest["footer"],
        cut_bytes=cut_bytes,
        torn_lines=torn_lines,
    )


def encode(event: Event) -> dict[str, Any]:
    """Converts an event to values for JSON; NaN and infinity stay floats, although standard JSON has neither."""
    name = _TYPES[type(event)]
    if isinstance(event, exchange.Exchange):
        return {"type": name, **exchange.encode(event)}
    values = _adapter(name).dump_python(event, warnings=False)
    if name in _FLAT:
        values = {**values.pop(name), **values}
    version = {"schema_version": SCHEMA_VERSION} if name == "header" else {}
    return {"type": name, **version, **values}


def decode(values: dict[str, Any]) -> Event:
    """Converts the output of `encode` back to an event; raises ValueError if a field is missing or of another type."""
    name = values["type"]
    if name == "exchange":
        values = exchange.plain(values)
    elif name in _FLAT:
        values = {**values, name: values}
    event: Event = _adapter(name).validate_python(values)
    return event


@functools.cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(KINDS[name])


def _event(line: bytes, number: int, path: Path) -> tuple[dict[str, Any], Event]:
    place = f"{path}: line {number}"
    values = _event_or_none(line)
    if values is None or (values["type"] == "header") != (number == 1):
        expected = "the header of a run log" if number == 1 else "an event of a run log"
        shown = quoted(line) if len(line) <= 60 else f"a line of {len(line)} bytes"  # may contain part of a key
        raise RunLogError(f"{place}: expected {expected}, got {shown}; give a runlog.jsonl of touchstone")
    if number == 1:
        version = values.get("schema_version")
        if version not in range(1, SCHEMA_VERSION + 1):
            reads = f"this version reads up to {SCHEMA_VERSION}: use a newer touchstone"
            raise RunLogError(f"{place}: schema_version is {version!r}; {reads}")
    try:
        return values, decode(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part != values["type"])
        text = first["msg"].removeprefix("Value error, ")
        raise RunLogError(f"{place}: {values['type']}.{field}: {text}, got {first['input']!r:.80}") from error
    except ValueError as error:
        raise RunLogError(f"{place}: {values['type']}.{error}") from error


def follow(path: Path) -> Iterator[tuple[dict[str, Any], ...]]:
    """Yields the events that are new in the file since the last step. Never waits or ends; skips damaged lines."""
    start_bytes, rest = 0, b""
    while True:
        data = b""
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(start_bytes)
            data = file.read()
        start_bytes += len(data)
        *lines, rest = (rest + data).split(b"\n")
        yield tuple(event for event in map(_event_or_none, lines) if event is not None)


def _event_or_none(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kind = event.get("type") if isinstance(event, dict) else None
    return event if isinstance(kind, str) and kind in KINDS else None
