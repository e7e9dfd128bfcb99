"""The run log: what is written comes back, and what is damaged is not taken for a run."""

import json
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.errors import RunLogError
from touchstone.facts.events import (
    Case,
    Footer,
    Header,
    LedgerClaim,
    Notice,
    Occurrence,
    Remark,
    RunLog,
    Tally,
    Target,
    TemplateAction,
    tallies,
)
from touchstone.facts.exchange import MAX_BODY_BYTES, Chunk, Exchange, Request, Response
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.runlog import RunLogWriter, decode, encode, follow, read

HEADER = Header(
    run_id="r1",
    tool_version="0.1.0",
    command="check",
    argv=("check",),
    started_at="2026-01-02T03:04:05Z",
    target=Target("twin", "http://127.0.0.1:1/api", "embedded"),
    profile="quick",
    seed=20,
    strict=False,
    claims_glob="*",
    contract_sha256="ab" * 32,
    claims=(LedgerClaim("start.answers-202", "must", "A start is answered with 202.", "build#intro", "start"),),
    settings={"max_builds": 40},
)
FOOTER = Footer("2026-01-02T03:05:05Z", 60.0, 0, "")
FINDING = Finding(
    "0" * 12, "start.answers-202", "must", "startBuild", "rules.start", "202", "200", "POST /", "curl", (1,)
)


def exchange(seq: int = 1, **changes: Any) -> Exchange:
    """An exchange with a JSON answer."""
    plain = Exchange(
        seq=seq,
        operation="getBuild",
        ref="default/demo@1.0.0",
        credential="primary",
        case="c",
        sent_at=0.1,
        head_at=0.2,
        done_at=0.3,
        request=Request("GET", "http://127.0.0.1:1/api/x", (("a", "b"), ("a", "c")), b'{"x": 1}'),
        response=Response(200, (("content-type", "application/json"),), b'{"status": "ready"}'),
        note={"why": "because"},
    )
    return replace(plain, **changes)


def log_of(path: Path, *lines: bytes) -> Path:
    """A run log with a sound header and these raw lines behind it."""
    with RunLogWriter(path) as writer:
        writer.write(HEADER)
    with path.open("ab") as file:
        file.write(b"".join(lines))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runlog.jsonl"


class TestRoundTrip:
    def test_every_kind_of_fact_comes_back(self, path: Path) -> None:
        """What a writer was given, a reader gives back, each kind in its order."""
        case = Case("c", "title", "failed", 1.5, ("start.answers-202",), "message")
        notice = Notice("start.answers-202", "could-not-run", "reason", "c")
        template = TemplateAction("default/demo@1.0.0", "purpose", "ab" * 32, "published", 0.5)
        tally = Tally("c", "rules.start", "start.answers-202", 3, 1, "why")
        with RunLogWriter(path) as writer:
            writer.write(HEADER)
            writer.write(exchange())
            writer.write(Occurrence(FINDING, "c"))
            writer.write(tally)
            writer.write(case)
            writer.write(notice)
            writer.write(template)
            writer.write(Remark("careful"))
            writer.write(FOOTER)

        expected = RunLog(
            header=HEADER,
            exchanges=(exchange(),),
            occurrences=(Occurrence(FINDING, "c"),),
            tallies=(tally,),
            cases=(case,),
            notices=(notice,),
            templates=(template,),
            warnings=("careful",),
            footer=FOOTER,
        )
        assert read(path) == expected

    @pytest.mark.parametrize(
        "changes",
        [
            {"response": None, "error": "ReadTimeout: none"},
            {"response": Response(200, (), b"\xff\x00\xfe")},
            {"request": Request("GET", "http://127.0.0.1:1/\udcff\x1b")},
            {"response": Response(200, (), b"abcd", (Chunk(0.1, b"ab"), Chunk(0.2, b"cd"))), "closed": "server"},
            {"response": Response(200, (), b"abcd", (Chunk(0.1, b"zz\xff"),)), "closed": "client"},
            {"operation": "", "ref": None, "note": {}},
        ],
        ids=["no-response", "binary", "odd-url", "stream", "stream-that-differs", "outside-the-contract"],
    )
    def test_odd_exchange_comes_back_unchanged(self, path: Path, changes: dict[str, Any]) -> None:
        """Bodies that are no text, URLs that are no Unicode and pieces of streams survive the way to disk and back."""
        odd = exchange(**changes)
        with RunLogWriter(path) as writer:
            writer.write(HEADER)
            writer.write(odd)

        assert read(path).exchanges == (odd,)

    @given(body=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=4))
    def test_any_body_in_any_pieces_comes_back(self, body: bytes, cuts: list[int]) -> None:
        """Whatever the bytes and however they were split, decoding gives back what was encoded."""
        edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
        chunks = tuple(Chunk(0.25 * n, body[a:b]) for n, (a, b) in enumerate(pairwise(edges)))
        sent = exchange(response=Response(200, (), body, chunks), request=Request("POST", "u", (), body))

        assert decode(json.loads(json.dumps(encode(sent)))) == sent

    def test_long_body_is_cut_and_says_how_long_it_was(self, path: Path) -> None:
        """Of a body over 64 KiB the log holds the beginning and the full length."""
        long = exchange(response=Response(200, (), b"x" * (MAX_BODY_BYTES + 5)))
        with RunLogWriter(path) as writer:
            writer.write(HEADER)
            writer.write(long)

        log = read(path)
        assert log.exchanges[0].response == Response(200, (), b"x" * MAX_BODY_BYTES)
        assert log.cut_bytes == {(1, "response"): MAX_BODY_BYTES + 5}

    def test_number_that_json_lacks_is_written_as_text(self, path: Path) -> None:
        """NaN and infinity in a note do not make the line unreadable for other programs."""
        with RunLogWriter(path) as writer:
            writer.write(HEADER)
            writer.write(exchange(note={"n": float("nan"), "deep": [float("inf")]}))

        assert b"NaN" not in path.read_bytes()
        assert read(path).exchanges[0].note == {"n": "nan", "deep": ["inf"]}

    def test_finding_met_twice_is_one_finding(self, path: Path) -> None:
        """Occurrences are kept apart, findings are counted once by their id."""
        with RunLogWriter(path) as writer:
            writer.write(HEADER)
            writer.write(Occurrence(FINDING, "a"))
            writer.write(Occurrence(replace(FINDING, actual="201"), "b"))

        log = read(path)
        assert [occurrence.case for occurrence in log.occurrences] == ["a", "b"]
        assert log.findings == (FINDING,)


class TestWriting:
    def test_event_is_on_disk_at_once(self, path: Path) -> None:
        """A line can be read as soon as it was written, with the writer still open."""
        with RunLogWriter(path) as writer:
            writer.write(HEADER)
            writer.write(Remark("now"))

            assert read(path).warnings == ("now",)

    def test_writers_one_after_the_other_share_the_file(self, path: Path) -> None:
        """A second writer appends while the first stays open, and the first goes on after it."""
        with RunLogWriter(path) as parent:
            parent.write(HEADER)
            with RunLogWriter(path) as child:
                child.write(Remark("from the child"))
            parent.write(FOOTER)

        log = read(path)
        assert (log.warnings, log.footer, log.torn_lines) == (("from the child",), FOOTER, 0)

    def test_threads_do_not_mix_their_lines(self, path: Path) -> None:
        """Lines of many threads stay whole."""
        with RunLogWriter(path) as writer:
            writer.write(HEADER)
            texts = [f"{number}-" + "x" * 5_000 for number in range(40)]
            threads = [threading.Thread(target=writer.write, args=(Remark(text),)) for text in texts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert sorted(read(path).warnings) == sorted(texts)

    def test_unfinished_line_of_another_writer_is_ended_and_reported(self, path: Path) -> None:
        """A footer behind the half line of a killed child is still a line of its own, and the loss is not hidden."""
        with RunLogWriter(path) as parent:
            parent.write(HEADER)
            with path.open("ab") as child:
                child.write(b'{"type":"finding","cla')
            parent.write(FOOTER)

        log = read(path)
        assert (log.footer, log.torn_lines) == (FOOTER, 1)
        assert log.warnings == ("a line of the run log was cut short: its writer was killed",)

    def test_unknown_type_is_refused(self, path: Path) -> None:
        """A writer does not write what no reader knows."""
        with RunLogWriter(path) as writer, pytest.raises(RunLogError, match="event type 'findings'"):
            writer.write({"type": "findings"})

    def test_closed_writer_refuses(self, path: Path) -> None:
        """Writing after closing is an error, closing twice is not."""
        writer = RunLogWriter(path)
        writer.close()
        writer.close()

        with pytest.raises(RunLogError, match="closed"):
            writer.write(Remark("late"))

    def test_missing_folder_is_an_error(self, tmp_path: Path) -> None:
        """A run log that cannot be created says where and why."""
        with pytest.raises(RunLogError, match="cannot be written: No such file"):
            RunLogWriter(tmp_path / "none" / "runlog.jsonl")

    def test_judgements_are_added_up_by_check_and_claim(self) -> None:
        """Held and indeterminate ones are counted, broken ones are left to the findings, the first reason stands."""
        judgements = [
            Judgement("a.b", "held", "r1", "getBuild", (1,)),
            Judgement("a.b", "held", "r1", "getBuild", (2,)),
            Judgement("a.b", "indeterminate", "r1", "getBuild", (3,), actual="429 met"),
            Judgement("a.b", "indeterminate", "r1", "getBuild", (4,), actual="another"),
            Judgement("a.b", "held", "r2", "getBuild", (5,)),
            Judgement("a.c", "broken", "r1", "getBuild", (6,), "202", "200"),
        ]

        assert tallies("case", judgements) == (
            Tally("case", "r1", "a.b", 2, 2, "429 met"),
            Tally("case", "r2", "a.b", 1, 0, ""),
        )


class TestDamage:
    def test_missing_file_is_an_error(self, path: Path) -> None:
        """A run log that is not there is named."""
        with pytest.raises(RunLogError, match=r"runlog\.jsonl: the run log cannot be read: No such file"):
            read(path)

    def test_empty_file_is_an_error(self, path: Path) -> None:
        """A file without a line is no run."""
        path.touch()

        with pytest.raises(RunLogError, match="empty"):
            read(path)

    def test_unfinished_header_is_an_error(self, path: Path) -> None:
        """A run that died within its first line left nothing to report."""
        path.write_bytes(b'{"type":"header","sch')

        with pytest.raises(RunLogError, match="empty"):
            read(path)

    def test_unfinished_header_behind_which_others_wrote_is_an_error(self, path: Path) -> None:
        """A log without a header says nothing about its run, even where later lines are whole."""
        path.write_bytes(b'{"type":"header","sch')
        with RunLogWriter(path) as writer:
            writer.write(FOOTER)

        with pytest.raises(RunLogError, match="line 1: expected the header"):
            read(path)

    @pytest.mark.parametrize("content", [b"hello\n", b"[]\n", b'{"log": {}}\n', b'{"type":"tally"}\n', b"\xff\xfe\n"])
    def test_foreign_file_is_an_error_of_line_1(self, path: Path, content: bytes) -> None:
        """A file that does not begin with a header is not taken for a run log."""
        path.write_bytes(content)

        with pytest.raises(RunLogError, match="line 1: expected the header of a run log"):
            read(path)

    def test_foreign_file_is_not_repeated_where_it_may_hold_a_key(self, path: Path) -> None:
        """Somebody who gives the wrong file, such as one with variables, does not see a key in the message."""
        path.write_text("ORGO_API_KEY=sk_live_test_0123456789\n")

        with pytest.raises(RunLogError, match=r"got a text of 36 characters \(not shown\)"):
            read(path)

    def test_newer_schema_is_an_error(self, path: Path) -> None:
        """A log of a later version is refused, not half understood."""
        path.write_bytes(b'{"type":"header","schema_version":2}\n')

        with pytest.raises(RunLogError, match=r"line 1: schema_version is 2; .* use a newer touchstone"):
            read(path)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b"garbage\n", "line 2: expected an event"),
            (b'{"type":"unheard"}\n', "line 2: expected an event"),
            (b'{"type":"header","schema_version":1}\n', "line 2: expected an event"),
            (b'{"type":"tally","case":"","check":"","claim":"","held":"many"}\n', r"line 2: tally\.held"),
            (b'{"type":"case","id":"c"}\n', r"line 2: case\.title"),
            (b'{"type":"notice","claim":"a","verdict":"fine","reason":""}\n', r"line 2: notice\.verdict"),
            (b'{"type":"exchange","seq":1}\n', r"line 2: exchange\."),
            (b'{"type":"exchange","seq":1,"request":{"body":7}}\n', r"line 2: exchange\.request\.body"),
            (b'{"type":"exchange","seq":1,"response":{"chunks":7}}\n', r"line 2: exchange\.response\.chunks"),
            (b'{"type":"exchange","seq":1,"request":{"body":{"base64":"*"}}}\n', r"line 2: exchange\.request\.body"),
        ],
    )
    def test_damaged_line_is_an_error_with_its_number(self, path: Path, line: bytes, message: str) -> None:
        """A line in the middle that is no event of ours names its place and what is wrong with it."""
        log_of(path, line, b'{"type":"warning","text":"after"}\n')

        with pytest.raises(RunLogError, match=message):
            read(path)

    def test_unfinished_last_line_is_left_out(self, path: Path) -> None:
        """A run that was killed in the middle of a line keeps the lines before it, and has no footer."""
        log_of(path, b'{"type":"warning","text":"kept"}\n', b'{"type":"foot')

        log = read(path)
        assert (log.warnings, log.footer) == (("kept",), None)

    def test_last_line_that_only_lacks_its_end_counts(self, path: Path) -> None:
        """A whole event without its line feed is an event."""
        log_of(path, b'{"type":"warning","text":"whole"}')

        assert read(path).warnings == ("whole",)


class TestFollow:
    def test_nothing_there_yields_nothing(self, path: Path) -> None:
        """A log that does not exist yet has no events, and looking at it does not wait."""
        assert next(follow(path)) == ()

    def test_each_step_yields_what_is_new(self, path: Path) -> None:
        """Every event is yielded once, and only when its line is whole."""
        steps = follow(path)
        assert next(steps) == ()
        with path.open("ab", buffering=0) as file:
            file.write(b'{"type":"warning","text":"a"}\n{"type":"warn')
            assert next(steps) == ({"type": "warning", "text": "a"},)
            assert next(steps) == ()
            file.write(b'ing","text":"b"}\nnonsense\n')

        assert next(steps) == ({"type": "warning", "text": "b"},)
        assert next(steps) == ()
