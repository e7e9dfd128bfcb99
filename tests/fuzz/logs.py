"""What runs write and later ones read: run logs and journals."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from tests import loadlogs
from tests.fuzz.steps import JSON_LINES, cuts
from tests.fuzz.target import Target, check_message, file, folder
from tests.loadgen.rulings import FINDING
from touchstone.check.journal import SUFFIX, JournalState, is_run_id, leftovers, whole_lines
from touchstone.errors import RunLogError
from touchstone.facts.events import Case, Footer, Notice, Occurrence, Remark, RunLog, Tally, TemplateAction
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.facts.runlog import RunLogWriter, follow, read


def check_run_log(data: bytes) -> None:
    """A log that is read is the same when written again, and readable up to any cut."""
    path = file("runlog.jsonl", data)
    followed(path, data)
    try:
        log = read(path)
    except RunLogError as error:
        check_message(error, f"{path}: ")
        return
    assert again(log) == replace(log, torn_lines=0, cut_bytes={}, workload=log.workload, probe=None)
    for end in {sum(map(len, islice(cuts(data), number))) for number in range(3)}:
        # Cut after a torn line, but before the line that says it is one, a log looks damaged.
        if end > data.find(b"\n") > 0 and not log.torn_lines:
            read(file("runlog.jsonl", data[:end]))


def again(log: RunLog) -> RunLog:
    """What is read of a log after it was written once more, without its probe."""
    path = folder() / "again.jsonl"
    path.unlink(missing_ok=True)
    with RunLogWriter(path) as writer:
        writer.write(log.header)
        writer.write(*log.exchanges, *log.occurrences, *log.tallies, *log.cases, *log.notices, *log.templates)
        writer.write(*map(Remark, log.warnings), *((log.workload,) if log.workload else ()), *log.windows)
        writer.write(*log.attempts, *log.builds, *log.workers, *((log.footer,) if log.footer else ()))
    return read(path)


def followed(path: Path, data: bytes) -> None:
    """Whoever follows a log sees the same events however it grows."""
    path.write_bytes(data)
    whole = list(next(follow(path)))
    path.write_bytes(b"")
    steps = follow(path)
    seen: list[dict[str, Any]] = []
    for so_far in accumulate(cuts(data)):
        path.write_bytes(so_far)
        seen += next(steps)
    assert repr(seen) == repr(whole)
    path.write_bytes(data)


def run_logs() -> Sequence[bytes]:
    return (_check_log(), _load_log(), _check_log()[:-40] + b"\n" + json.dumps(_TORN).encode() + b"\n")


_TORN = {"type": "warning", "text": "a line of the run log was cut short: its writer was killed", "torn": True}


def _check_log() -> bytes:
    path = folder() / "seed.jsonl"
    path.unlink(missing_ok=True)
    sent = Request("POST", "http://127.0.0.1:1/api/x", (("authorization", "Bearer <key:primary>"),), b'{"x": 1}')
    frame = b"data: \xff\n\n"
    response = Response(200, (("content-type", "text/event-stream"),), frame, (Chunk(0.1, frame),))
    exchange = Exchange(1, "getBuild", "default/a@1.0.0", "primary", "c", 0.1, 0.2, 0.3, sent, response, "", "server")
    with RunLogWriter(path) as writer:
        writer.write(
            loadlogs.header(),
            *(exchange, replace(exchange, seq=2, response=None, error="ReadTimeout: no byte")),
            *(Occurrence(FINDING, "c"), Tally("c", "rules.a", "a.b", 3, 1, "why"), Remark("careful")),
            *(Case("c", "title", "failed", 1.5, ("a.b",), "message"), Notice("a.b", "could-not-run", "reason", "c")),
            TemplateAction("default/a@1.0.0", "purpose", "ab" * 32, "published", 0.5),
            Footer("2026-01-02T03:05:05Z", 60.0, 0, ""),
        )
    return path.read_bytes()


def _load_log() -> bytes:
    path = folder() / "load.jsonl"
    path.unlink(missing_ok=True)
    kept: dict[bytes, list[bytes]] = {}
    for line in loadlogs.write(loadlogs.behind(duration_s=4.0, from_s=2.0, per_s=10.0), path).read_bytes().splitlines():
        kept.setdefault(json.loads(line)["type"], []).append(line)
    return b"".join(line + b"\n" for lines in kept.values() for line in lines[:2])


def check_journal(data: bytes) -> None:
    """A journal is never refused, and a damaged line in it hides no other one."""
    whole = whole_lines(data)
    state = JournalState.after(whole)
    assert all(isinstance(text, str) for text in (*state.refs, *state.builds, state.run_id, state.target_url))
    first, _, rest = whole.partition(b"\n")
    if state.run_id and b"\r" not in whole:
        damaged = JournalState.after(first + b"\n" + b'{"step": "int\n' + b"[" * 9000 + b"\n" + rest)
        assert (damaged.refs, damaged.builds, damaged.run_id) == (state.refs, state.builds, state.run_id)
    path = file(f"run{SUFFIX}", data)
    found = leftovers(folder())
    expected = [(state.run_id, state.refs, tuple(state.builds))] if is_run_id(state.run_id) else []
    assert [(each.run_id, each.refs, tuple(each.builds)) for each in found] == expected, path


def journals() -> Sequence[bytes]:
    steps = ("intend a", "created a", "started a", "intend b", "created b", "started b", "settled a", "removed b")
    lines = [{"step": step[:-2], "ref": f"default/{step[-1]}@1.0.0"} for step in steps]
    begun = {"journal": 1, "run_id": "260314-092653-a1b2c3", "target_url": "http://h/api"}
    whole = (begun, *lines)
    return (b"".join(json.dumps(line).encode() + b"\n" for line in whole),)


TARGETS = (
    Target("runlog", check_run_log, run_logs, JSON_LINES),
    Target("journal", check_journal, journals, JSON_LINES, most_bytes=2048),
)
