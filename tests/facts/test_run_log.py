"""The run log: events are read as they were written, and damaged files are rejected."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from touchstone.errors import RunLogError, UsageError
from touchstone.facts import events
from touchstone.facts.events import Footer, Occurrence, Remark, Tally
from touchstone.facts.exchange import MAX_BODY_BYTES, Chunk, Exchange, Request, Response
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.runlog import Event, RunLogWriter, follow, read

CLAIM = events.LedgerClaim("start.answers-202", "must", "A start is answered with 202.", "build#intro", "start")
TARGET = events.Target("twin", "http://127.0.0.1:1/api", "embedded")
RUN = ("r1", "0.1.0", "check", ("check",), "2026-01-02T03:04:05Z")
HEADER = events.Header(*RUN, TARGET, "quick", 20, False, "*", "ab" * 32, (CLAIM,), {"max_builds": 40})
FOOTER = Footer("2026-01-02T03:05:05Z", 60.0, 0, "")
FINDING = Finding("0" * 12, CLAIM.id, "must", "startBuild", "rules.start", "202", "200", "POST /", "curl", (1,))


def exchange(seq: int = 1, **changes: Any) -> Exchange:
    request = Request("GET", "http://127.0.0.1:1/api/x", (("a", "b"), ("a", "c")), b'{"x": 1}')
    response = Response(200, (("content-type", "application/json"),), b'{"status": "ready"}')
    plain = Exchange(seq, "getBuild", "default/demo@1.0.0", "primary", "c", 0.1, 0.2, 0.3, request, response)
    return replace(plain, note={"why": "because"}, **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runlog.jsonl"


def written(path: Path, *events: Event, raw: bytes = b"") -> Path:
    """Writes a run log with a header, these events and these bytes."""
    with RunLogWriter(path) as writer:
        writer.write(HEADER, *events)
    with path.open("ab") as file:
        file.write(raw)
    return path


def test_every_kind_of_fact_is_read_as_written(path: Path) -> None:
    case = events.Case("c", "title", "failed", 1.5, (CLAIM.id,), "message")
    notice = events.Notice(CLAIM.id, "could-not-run", "reason", "c")
    template = events.TemplateAction("default/demo@1.0.0", "purpose", "ab" * 32, "published", 0.5)
    tally = Tally("c", "rules.start", CLAIM.id, 3, 1, "why")
    first, second = Occurrence(FINDING, "a"), Occurrence(replace(FINDING, actual="201"), "b")
    written(path, exchange(), first, second, tally, case, notice, template, Remark("careful"), FOOTER)
    log = read(path)
    assert log == events.RunLog(
        header=HEADER,
        exchanges=(exchange(),),
        occurrences=(first, second),
        tallies=(tally,),
        cases=(case,),
        notices=(notice,),
        templates=(template,),
        warnings=("careful",),
        footer=FOOTER,
    )
    assert log.findings == (FINDING,)


@pytest.mark.parametrize(
    "changes",
    [
        {"response": None, "error": "ReadTimeout: none"},
        {"response": Response(200, (), b"\xff\x00\xfe")},
        {"request": Request("GET", "http://127.0.0.1:1/\udcff\x1b")},
        {"response": Response(200, (), b"abcd", (Chunk(0.1, b"ab"), Chunk(0.2, b"cd"))), "closed": "server"},
        {"operation": "", "ref": None},
    ],
    ids=["no-response", "binary", "odd-url", "stream", "outside-the-contract"],
)
def test_odd_exchange_is_read_as_written(path: Path, changes: dict[str, Any]) -> None:
    odd = exchange(**changes)
    assert read(written(path, odd)).exchanges == (odd,)


def test_long_body_is_cut_and_keeps_its_length(path: Path) -> None:
    short, long = (Response(200, (), b"x" * (MAX_BODY_BYTES + more)) for more in (0, 5))
    log = read(written(path, exchange(1, response=short), exchange(2, response=long)))
    assert [each.response for each in log.exchanges] == [short, short]
    assert log.cut_bytes == {(2, "response"): MAX_BODY_BYTES + 5}


def test_judgements_are_added_up_by_check_and_claim() -> None:
    judgements = [
        Judgement("a.b", "held", "r1", "getBuild", (1,)),
        Judgement("a.b", "held", "r1", "getBuild", (2,)),
        Judgement("a.b", "indeterminate", "r1", "getBuild", (3,), actual="429 response"),
        Judgement("a.b", "indeterminate", "r1", "getBuild", (4,), actual="another"),
        Judgement("a.b", "held", "r2", "getBuild", (5,)),
        Judgement("a.c", "broken", "r1", "getBuild", (6,), "202", "200"),
    ]
    assert events.tallies("case", judgements) == (
        Tally("case", "r1", "a.b", 2, 2, "429 response"),
        Tally("case", "r2", "a.b", 1, 0, ""),
    )


def test_writers_one_after_the_other_share_the_file(path: Path) -> None:
    with RunLogWriter(path) as parent:
        parent.write(HEADER)
        with RunLogWriter(path) as child:
            child.write(Remark("from the child"))
            assert read(path).warnings == ("from the child",)  # on disk at once
        parent.write(FOOTER)
    log = read(path)
    assert (log.warnings, log.footer, log.torn_lines) == (("from the child",), FOOTER, 0)


def test_unfinished_line_of_another_writer_is_counted(path: Path) -> None:
    with RunLogWriter(path) as parent:
        parent.write(HEADER)
        with path.open("ab") as child:
            child.write(b'{"type":"finding","cla')
        parent.write(FOOTER)
    log = read(path)
    assert (log.footer, log.torn_lines, len(log.warnings)) == (FOOTER, 1, 1)


def test_writer_rejects_unknown_events_and_a_closed_log(path: Path) -> None:
    with RunLogWriter(path) as writer, pytest.raises(RunLogError, match="'findings'"):
        writer.write({"type": "findings"})
    writer.close()
    with pytest.raises(RunLogError):
        writer.write(Remark("late"))


@pytest.mark.parametrize("drops", [False, True])
def test_removed_log_raises_or_drops_further_events(path: Path, drops: bool) -> None:
    with RunLogWriter(path, drops=drops) as writer:
        writer.write(HEADER)
        path.unlink()
        if drops:
            writer.write(FOOTER)
            assert isinstance(writer.lost, RunLogError)
        else:
            with pytest.raises(RunLogError, match="runlog"):
                writer.write(FOOTER)
    with pytest.raises(RunLogError, match="none"):
        RunLogWriter(path.parent / "none" / "runlog.jsonl")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (None, "runlog.jsonl: "),
        (b'{"type":"header","sch', "runlog.jsonl: "),
        (b'{"type":"header","sch\n{"type":"warning","text":"a line was cut","torn":true}\n', "line 1: "),
        (b"hello\n", "line 1: "),
        (b'{"type":"tally"}\n', "line 1: "),
        (b'{"type":"header","schema_version":2}\n', "line 1: schema_version is 2"),
        (b'{"type":"header","schema_version":0}\n', "line 1: schema_version is 0"),
    ],
)
def test_file_that_is_no_run_log_is_refused(path: Path, content: bytes | None, place: str) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunLogError) as raised:
        read(path)
    assert place in str(raised.value)


def test_message_about_a_foreign_file_contains_no_key(path: Path) -> None:
    path.write_text("ORGO_API_KEY=sk_live_test_0123456789\n")
    with pytest.raises(RunLogError) as raised:
        read(path)
    assert "sk_live" not in str(raised.value)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(UsageError):
        read(path)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (b"garbage", "line 2: "),
        (b'{"type":"header","schema_version":1}', "line 2: "),
        (b'{"type":"tally","case":"","check":"","claim":"","held":"many"}', "line 2: tally.held"),
        (b'{"type":"notice","claim":"a","verdict":"fine","reason":""}', "line 2: notice.verdict"),
        (b'{"type":"exchange","seq":1,"request":{"body":{"text":"","cut":"1"}}}', "line 2: exchange.request.body"),
        (b'{"type":"exchange","seq":1,"response":{"chunks":7}}', "line 2: exchange.response.chunks"),
        (b'{"type":"exchange","seq":1,"request":{"body":{"base64":"*"}}}', "line 2: exchange.request.body"),
    ],
)
def test_damaged_line_is_refused_with_its_place(path: Path, line: bytes, place: str) -> None:
    written(path, raw=line + b'\n{"type":"warning","text":"after"}\n')
    with pytest.raises(RunLogError) as raised:
        read(path)
    assert place in str(raised.value)


@pytest.mark.parametrize("last", [b'{"type":"foot', b'{"type":"warning","text":"whole"}'])
def test_only_an_unfinished_last_line_is_ignored(path: Path, last: bytes) -> None:
    log = read(written(path, Remark("kept"), raw=last))
    assert (log.warnings, log.footer) == (("kept",) if b"foot" in last else ("kept", "whole"), None)


def test_follower_yields_each_whole_event_once(path: Path) -> None:
    steps = follow(path)
    assert next(steps) == ()  # there is no file yet
    with path.open("ab", buffering=0) as file:
        file.write(b'{"type":"warning","text":"a"}\n{"type":"warn')
        assert next(steps) == ({"type": "warning", "text": "a"},)
        assert next(steps) == ()
        file.write(b'ing","text":"b"}\nnonsense\n')
    assert next(steps) == ({"type": "warning", "text": "b"},)
    assert next(steps) == ()
