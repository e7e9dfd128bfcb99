"""The run log on disk: JSON lines that a run appends to and that every report is made from.

The parent process writes the header and the footer, the child that sends the requests appends what lies between. Each
line is one write to a file opened for appending, so a killed writer can spoil no more than the line it was writing:

- an unfinished last line means that the run was cut short; the lines before it count;
- the next writer that comes upon one ends it and says so in a warning, so that a reader does not take it for damage;
- any other line that is not an event makes the file foreign.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from touchstone.contract.files import RECORDED_BYTES, UnfitFileError, read_regular
from touchstone.contract.parsing import json_line
from touchstone.contract.quoting import quoted_line
from touchstone.errors import RunLogError, UsageError
from touchstone.facts import probe_events, probe_json, sample_json, second_look
from touchstone.facts.events import (
    Case,
    Footer,
    Header,
    Notice,
    Occurrence,
    RunLog,
    Selected,
    Tally,
    TemplateAction,
    tallies,
)
from touchstone.facts.exchange import Exchange
from touchstone.facts.exchange_json import Decoded, decode, encode
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.load_events import Attempt, Build, Worker, Workload
from touchstone.facts.sample import Window

SCHEMA_VERSION = 1
EVENT_TYPES = frozenset(
    {
        *("header", "selected", "exchange", "tally", "finding", "case", "notice", "template", "warning", "footer"),
        *("workload", "window", "attempt", "build", "worker"),  # of a load run only
        *probe_json.READERS,  # of a probe only
    }
)

_ADVICE = "make room there, or write elsewhere with --report-dir"
_TORN = {"type": "warning", "text": "a line of the run log was cut short: its writer was killed", "torn": True}


class RunLogWriter:
    """Appends events to a run log; any number of threads, and of processes one after the other, may write.

    Args:
        drops: Whether a disk that refuses one event has all others dropped: there may be a target to clean up.

    Attributes:
        lost: Why events were dropped; None where none were.
    """

    def __init__(self, path: Path, *, drops: bool = False) -> None:
        self._path = path
        self._drops = drops
        self.lost: RunLogError | None = None
        self._lock = threading.Lock()
        self._end_bytes = 0
        try:
            self._fd: int | None = os.open(
                path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
            )
        except OSError as error:
            raise RunLogError(f"{path}: the run log cannot be written: {error.strerror}; {_ADVICE}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; closing twice does nothing."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def write(self, event: dict[str, Any]) -> None:
        """Appends one event.

        Raises:
            RunLogError: the writer is closed, the type of the event is unknown, or the disk refuses it.
        """
        if event.get("type") not in EVENT_TYPES:
            raise RunLogError(f"{self._path}: event type {event.get('type')!r}; expected one of {sorted(EVENT_TYPES)}")
        line, found = second_look.cut(json_line(event).decode("ascii"))
        told = (
            json_line({"type": "warning", "text": f"{self._path.name}: {second_look.held(name)}"}) for name in found
        )
        with self._lock:
            try:
                if not self.lost:
                    self._mend()
                    self._append(b"".join((line.encode("ascii"), *told)))
            except RunLogError as error:
                if not self._drops or self._fd is None:
                    raise
                self.lost = error

    def header(self, header: Header) -> None:
        """Writes what the run was asked for; the first line of the file."""
        self.write({"type": "header", "schema_version": SCHEMA_VERSION, **asdict(header)})

    def selected(self, selected: Selected) -> None:
        """Writes which cases are to be carried out."""
        self.write({"type": "selected", **asdict(selected)})

    def exchange(self, exchange: Exchange) -> None:
        """Writes one exchange."""
        self.write({"type": "exchange", **encode(exchange)})

    def finding(self, finding: Finding, case: str = "") -> None:
        """Writes one finding as *case* met it."""
        self.write({"type": "finding", **asdict(finding), "case": case})

    def judgements(self, case: str, judgements: Iterable[Judgement]) -> None:
        """Writes the held and the indeterminate judgements of one case, added up by check and claim.

        Broken ones are left out: each becomes a finding, written by `finding`.
        """
        for tally in tallies(case, judgements):
            self.tally(tally)

    def tally(self, tally: Tally) -> None:
        """Writes one tally."""
        self.write({"type": "tally", **asdict(tally)})

    def case(self, case: Case) -> None:
        """Writes how one case ended."""
        self.write({"type": "case", **asdict(case)})

    def notice(self, notice: Notice) -> None:
        """Writes why a claim got no judgement."""
        self.write({"type": "notice", **asdict(notice)})

    def template(self, action: TemplateAction) -> None:
        """Writes what became of a template."""
        self.write({"type": "template", **asdict(action)})

    def workload(self, workload: Workload) -> None:
        """Writes what a load run is to do."""
        self.write({"type": "workload", **asdict(workload)})

    def window(self, window: Window) -> None:
        """Writes samples of one second that turned out alike."""
        self.write({"type": "window", **sample_json.encode(window)})

    def attempt(self, attempt: Attempt) -> None:
        """Writes one try to start a build."""
        self.write({"type": "attempt", **asdict(attempt)})

    def build(self, build: Build) -> None:
        """Writes what became of one build."""
        self.write({"type": "build", **asdict(build)})

    def worker(self, worker: Worker) -> None:
        """Writes how one worker fares."""
        self.write({"type": "worker", **asdict(worker)})

    def warning(self, text: str) -> None:
        """Writes a sentence that the reader of the reports should know."""
        self.write({"type": "warning", "text": text})

    def footer(self, footer: Footer) -> None:
        """Writes how the run ended; the last line of the file."""
        self.write({"type": "footer", **asdict(footer)})

    def _mend(self) -> None:
        """Ends an unfinished line that another writer left since our last write."""
        if self._fd is None:
            raise RunLogError(f"{self._path}: the run log is closed")
        found = os.fstat(self._fd)
        if not found.st_nlink:
            raise RunLogError(f"{self._path}: the run log cannot be written: somebody removed it; {_ADVICE}")
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


def read(path: Path) -> RunLog:
    """The facts of the run that wrote *path*, also of one that was cut short.

    Raises:
        RunLogError: the file cannot be read, is empty or foreign, comes from a newer version, or is damaged; the
            message names the line.
    """
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
    facts: dict[str, list[Any]] = {kind: [] for kind in EVENT_TYPES}
    torn_lines = 0
    # What ends a torn line may have been cut short itself.
    following = [*lines, json_line(_TORN)] if last and json_line(_TORN).startswith(last) else lines
    for number, line in enumerate(lines, start=1):
        if number > 1 and _is_torn(line, following[number : number + 1]):
            torn_lines += 1
            continue
        kind, fact = _fact(line, number, path)
        facts[kind].append(fact)
    return _run_log(facts, torn_lines)


def _run_log(facts: dict[str, list[Any]], torn_lines: int) -> RunLog:
    decoded: list[Decoded] = facts["exchange"]
    return RunLog(
        header=facts["header"][0],
        selected=tuple(case for selected in facts["selected"] for case in selected.cases),
        exchanges=tuple(item.exchange for item in decoded),
        occurrences=tuple(facts["finding"]),
        tallies=tuple(facts["tally"]),
        cases=tuple(facts["case"]),
        notices=tuple(facts["notice"]),
        templates=tuple(facts["template"]),
        warnings=tuple(facts["warning"]),
        workload=facts["workload"][-1] if facts["workload"] else None,
        windows=tuple(facts["window"]),
        attempts=tuple(facts["attempt"]),
        builds=tuple(facts["build"]),
        workers=tuple(facts["worker"]),
        probe=probe_events.story(facts),
        footer=facts["footer"][-1] if facts["footer"] else None,
        cut_bytes={(i.exchange.seq, side): full for i in decoded for side, full in i.cut_bytes.items()},
        torn_lines=torn_lines,
    )


def _is_torn(line: bytes, following: list[bytes]) -> bool:
    mark = _event_or_none(following[0]) if following and _event_or_none(line) is None else None
    return mark is not None and mark.get("torn") is True


def _fact(line: bytes, number: int, path: Path) -> tuple[str, Any]:
    """The type and the value of one line; the first must be the header, and no other may be."""
    place = f"{path}: line {number}"
    event = _event_or_none(line)
    if event is None or (event["type"] == "header") != (number == 1):
        expected = "the header of a run log" if number == 1 else "an event of a run log"
        raise RunLogError(f"{place}: expected {expected}, got {quoted_line(line)}; give a runlog.jsonl of touchstone")
    if number == 1:
        _check_version(event.get("schema_version"), place)
    try:
        return event["type"], _READERS[event["type"]](event)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RunLogError(f"{place}: {event['type']}.{field}: {first['msg']}, got {first['input']!r:.80}") from error
    except ValueError as error:
        raise RunLogError(f"{place}: {event['type']}.{error}") from error


def _check_version(version: object, place: str) -> None:
    if not isinstance(version, int) or version < 1:
        raise RunLogError(f"{place}: schema_version is {version!r}; expected {SCHEMA_VERSION}")
    if version > SCHEMA_VERSION:
        raise RunLogError(
            f"{place}: schema_version is {version}; this version reads up to {SCHEMA_VERSION}: use a newer touchstone"
        )


def _occurrence(event: dict[str, Any]) -> Occurrence:
    finding, case, times = _FINDING.validate_python(event), str(event.get("case", "")), event.get("times", 1)
    if not isinstance(times, int) or isinstance(times, bool) or times < 1:
        raise ValueError(f"times: expected a whole number of 1 or more, got {times!r:.80}")
    return Occurrence(finding, case, times)


def _reader(kind: type) -> Callable[[dict[str, Any]], Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    return adapter.validate_python


_FINDING: TypeAdapter[Finding] = TypeAdapter(Finding)
_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "header": _reader(Header),
    "selected": _reader(Selected),
    "exchange": decode,
    "tally": _reader(Tally),
    "finding": _occurrence,
    "case": _reader(Case),
    "notice": _reader(Notice),
    "template": _reader(TemplateAction),
    "warning": lambda event: str(event.get("text", "")),
    "workload": _reader(Workload),
    "window": sample_json.decode,
    "attempt": _reader(Attempt),
    "build": _reader(Build),
    "worker": _reader(Worker),
    **probe_json.READERS,
    "footer": _reader(Footer),
}


def follow(path: Path) -> Iterator[tuple[dict[str, Any], ...]]:
    """Yields without end, at each step, the events that were completed since the step before, possibly none.

    Never waits: the caller decides how often to look. A file that is not there yet has no events, and a line that
    is not an event is passed over, since this serves progress and not judgement.
    """
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
    return event if isinstance(kind, str) and kind in EVENT_TYPES else None
