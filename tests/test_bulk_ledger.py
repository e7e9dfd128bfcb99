"""
Answers are read whole from any pieces, each look of them is shown once and counted always, and a leak is always shown.
"""

from typing import Any

import pytest

from touchstone.loadgen import bulk_wire
from touchstone.loadgen.bulk_answer import Incoming
from touchstone.loadgen.bulk_connection import Connection, Loaded
from touchstone.loadgen.bulk_ledger import Ledger
from touchstone.loadgen.bulk_wire import SAMPLE, BulkShot, Frames, Look, Setup
from touchstone.loadgen.heads import HeadReader
from touchstone.loadgen.masks import masked
from touchstone.target.answer import Answer

KEY = "sk_live_0123456789abcdef"
SHOTS = (BulkShot("getBuild", "GET", b""), BulkShot("startBuild", "POST", b""))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (OK, 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 200, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK, 200, b"hello"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_answer_is_read_from_any_pieces(data: bytes, status: int, body: bytes, step: int) -> None:
    """However its bytes arrive, an answer is complete with its last byte and not before."""
    incoming = Incoming(HeadReader(), "GET")
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    assert [incoming.feed(piece, float(at)) for at, piece in enumerate(pieces)] == [False] * (len(pieces) - 1) + [True]
    assert incoming.head is not None
    assert (incoming.head.status, incoming.body, incoming.body_bytes, incoming.rest) == (status, body, len(body), b"")


def test_head_is_there_before_the_body() -> None:
    """The moment of the head is that at which its last byte came."""
    incoming = Incoming(HeadReader(), "GET")
    for at, piece in enumerate((OK[:10], OK[10:40], OK[40:])):
        incoming.feed(piece, float(at))
    assert incoming.head_at == 1.0


def test_what_comes_behind_an_answer_is_no_part_of_it() -> None:
    """More bytes than an answer has are kept apart, and the answer to HEAD has no body at all."""
    incoming = Incoming(HeadReader(), "GET")
    assert incoming.feed(OK + b"xyz", 0.0)
    assert (incoming.body, incoming.rest) == (b"hello", b"xyz")
    incoming = Incoming(HeadReader(), "HEAD")
    assert incoming.feed(OK, 0.0)
    assert (incoming.body, incoming.rest) == (b"", b"hello")


def test_end_completes_a_body_without_length() -> None:
    """A body that lasts until the server closes is complete when it does."""
    incoming = Incoming(HeadReader(), "GET")
    assert not incoming.feed(b"HTTP/1.1 200 OK\r\n\r\nhel", 0.0)
    assert not incoming.feed(b"lo", 0.0)
    assert (incoming.end(), incoming.body) == ("", b"hello")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the server closed without an answer"),
        (OK[:10], "the server closed within the head of its answer"),
        (OK[:-2], "the server closed after 3 of 5 bytes of the body"),
    ],
)
def test_early_end_is_told(data: bytes, problem: str) -> None:
    """Where the server closes too early, it is told how far it had come."""
    incoming = Incoming(HeadReader(), "GET")
    if data:
        assert not incoming.feed(data, 0.0)
    assert incoming.end() == problem


def test_garbage_is_refused_before_its_end() -> None:
    """Nobody waits for the end of what can be no head."""
    with pytest.raises(ValueError, match="garbage"):
        Incoming(HeadReader(), "GET").feed(b"garbage", 0.0)


def test_long_body_is_counted_but_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a body beyond all measure the length is known, and the beginning."""
    monkeypatch.setattr("touchstone.loadgen.bulk_answer.MAX_BODY_BYTES", 4)
    incoming = Incoming(HeadReader(), "GET")
    for at in range(len(OK)):
        incoming.feed(OK[at : at + 1], 0.0)
    assert (incoming.body, incoming.body_bytes) == (b"hell", 5)


# --- looks -----------------------------------------------------------------------------------------------------------


class Book:
    """A ledger, and what it hands over."""

    def __init__(self, **limits: Any) -> None:
        self.ledger = Ledger(Setup("h", 1, False, SHOTS, (KEY.encode(),), **limits))
        self.ledger.origin = 100.0
        self.heads = HeadReader()

    def enter(self, body: bytes, status: int = 200, shot: int = 0, at: float = 1.0, head: str = "") -> int:
        """Counts an answer that came *at* run seconds; the number of its look."""
        data = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode()
        answer = Answer(self.heads.read(data, "GET"), body, [], 100 + at - 0.2, 100 + at - 0.1, 100 + at)
        return self.ledger.answered(shot, at - 0.5, answer, len(body)).number

    def fail(self, error: str, at: float = 1.0) -> int:
        answer = Answer(sent_at=100 + at, head_at=100 + at, done_at=100 + at, error=error)
        return self.ledger.answered(0, at, answer, 0).number

    def frames(self) -> dict[bytes, list[bytes]]:
        found: dict[bytes, list[bytes]] = {}
        for kind, content in Frames().feed(b"".join(self.ledger.take_frames())):
            found.setdefault(kind, []).append(content)
        return found

    def looks(self) -> list[Look]:
        return [bulk_wire.decode_look(content) for content in self.frames().get(bulk_wire.LOOK, [])]

    def seen(self) -> Any:
        return self.ledger.take_counts()["seen"]

    def unseen(self) -> Any:
        return self.ledger.take_counts()["unseen"]


def refusal(number: int, rest: str = "") -> bytes:
    return f'{{"error":"No.","request_id":"41e4d0ff-{number:04}"{rest}}}'.encode()


def test_look_is_shown_once_and_counted_always() -> None:
    """The first answer of a look is handed over whole, with its times; of all others there is a count."""
    book = Book()
    assert [book.enter(b"one"), book.enter(b"two"), book.enter(b"one", at=2.0)] == [0, 1, 0]
    first, second = book.looks()
    assert (first.number, first.shot, first.intended_at, first.body_bytes) == (0, 0, 0.5, 3)
    answer = first.answer
    assert (answer.status, answer.body, answer.error) == (200, b"one", "")
    assert (answer.sent_at, answer.head_at, answer.done_at) == pytest.approx((0.8, 0.9, 1.0))
    assert (second.number, second.answer.body) == (1, b"two")
    assert book.seen() == [(0, 2), (1, 1)]
    assert book.enter(b"two") == 1
    assert (book.looks(), book.seen()) == ([], [(1, 1)])


def test_look_is_of_one_shot_and_one_head() -> None:
    """The same body is another look for another shot, another status or another header; another Date is none."""
    book = Book()
    numbers = [book.enter(b"x"), book.enter(b"x", shot=1), book.enter(b"x", status=429)]
    dates = [f"Date: Thu, 26 Nov 2026 23:03:{second} GMT" for second in (46, 47)]
    numbers += [book.enter(b"x", head=f"{line}\r\n") for line in ("Retry-After: 1", *dates)]
    assert numbers == [0, 1, 2, 3, 0, 0]


def test_request_id_is_no_part_of_a_look() -> None:
    """Answers that differ in nothing but their request ids look alike, and the one that is shown has its own."""
    book = Book()
    assert [book.enter(refusal(n)) for n in range(3)] == [0, 0, 0]
    assert book.enter(refusal(3, ',"upstream_status":500')) == 1
    assert [look.answer.body for look in book.looks()] == [refusal(0), refusal(3, ',"upstream_status":500')]


def test_key_in_a_request_id_is_shown() -> None:
    """
    What a request id hides is no secret: with a key in it, in whatever spelling, the answer has a look of its own.
    """
    book = Book()
    book.enter(refusal(0))
    for value in (KEY, KEY.encode().hex()):
        body = b'{"error":"No.","request_id":"%s"}' % value.encode()
        book.enter(body)
        assert [look.answer.body for look in book.looks()][-1] == body


@pytest.mark.parametrize("limits", [{"looks_per_s": 0}, {"max_looks": 0}, {"looks_per_s": 2}, {"max_looks": 2}])
def test_looks_beyond_the_limits_are_counted_by_outcome(limits: dict[str, int]) -> None:
    """
    What is beyond a limit is counted by shot and status, the limit is told once, and what was shown goes on being seen.
    """
    book = Book(**limits)
    shown = 1 + next(iter(limits.values()))
    for number in range(5):
        book.enter(b"%d" % number)
    book.enter(b"0")
    assert [look.answer.body for look in book.looks()] == [b"%d" % number for number in range(shown)]
    counts = book.ledger.take_counts()
    assert counts["seen"] == [(0, 2), (1, 1), (2, 1)][:shown]
    assert counts["unseen"] == [(0, "200", 5 - shown)]
    assert [note.split(":")[0] for note in counts["notes"]] == ["more new kinds of answers than are looked at"]
    book.enter(b"9")
    assert book.ledger.take_counts()["notes"] == []


def test_first_answer_with_a_status_is_shown_beyond_all_limits() -> None:
    """However many looks there were, no status of a shot goes without evidence."""
    book = Book(max_looks=0)
    for status, shot in ((200, 0), (200, 1), (500, 0), (500, 0)):
        book.enter(b"%d" % len(book.ledger._names), status, shot)
    book.fail("ReadTimeout: x")
    assert [(look.shot, look.answer.status) for look in book.looks()] == [(0, 200), (1, 200), (0, 500), (0, 0)]
    assert book.unseen() == [(0, "500", 1)]


def test_limit_of_a_second_is_over_with_it() -> None:
    """A second later there is room for as many looks again, also for one that there was no room for before."""
    book = Book(looks_per_s=1)
    numbers = [
        book.enter(body, at=at) for body, at in ((b"0", 0.5), (b"a", 1.0), (b"b", 1.9), (b"b", 2.1), (b"c", 2.2))
    ]
    assert numbers == [0, 1, -1, 2, -1]
    assert book.seen() == [(0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("body", "head"),
    [
        (KEY.encode(), ""),
        (b'{"error": "No.", "key": "%s"}' % KEY.encode(), ""),
        (b"key=" + KEY.encode().hex().encode(), ""),
        (b"", f"X-Echo: {KEY}\r\n"),
        (bytes(100_000) + KEY.encode(), ""),
    ],
)
def test_answer_with_a_key_is_shown_beyond_all_limits(body: bytes, head: str) -> None:
    """Whatever holds a key, in its head or anywhere in its body, is handed over whole even where nothing else is."""
    book = Book(looks_per_s=0)
    book.enter(b"")
    book.enter(body, head=head)
    book.enter(body, head=head)
    _, look = book.looks()
    assert look.answer.body == body
    assert book.seen() == [(0, 1), (1, 2)]


def test_evidence_is_cut_where_it_is_long() -> None:
    """
    Of a long body the beginning is evidence, and its length; two long bodies that differ at their ends are two looks.
    """
    book = Book()
    assert [book.enter(bytes(100_000) + b"a"), book.enter(bytes(100_000) + b"b")] == [0, 1]
    assert [(len(look.answer.body), look.body_bytes) for look in book.looks()] == [(65_536, 100_001)] * 2


def test_no_answer_is_a_look_by_its_error() -> None:
    """A request without an answer is counted as such, and the reason is shown and counted."""
    book = Book()
    assert [book.fail("ReadTimeout: x"), book.fail("ReadTimeout: x"), book.fail("ConnectError: y")] == [0, 0, 1]
    frames = book.frames()
    assert b"".join(frames[bulk_wire.OUTCOMES]) == b'[[0,0,"no-answer"]]'
    assert [bulk_wire.decode_look(look).answer.error for look in frames[bulk_wire.LOOK]] == [
        "ReadTimeout: x",
        "ConnectError: y",
    ]
    assert book.ledger.take_counts()["errors"] == {"ReadTimeout: x": 2, "ConnectError: y": 1}
    assert book.ledger.take_counts()["errors"] == {}


def test_errors_are_told_without_keys_and_in_so_many_words_at_most() -> None:
    """The words of an error hold no key; where each error has new ones, the first hundred stand for all."""
    book = Book()
    for number in range(150):
        book.fail(f"{number} {KEY}")
    errors: Any = book.ledger.take_counts()["errors"]
    assert len(errors) == 101
    assert errors["other errors"] == 50
    assert KEY not in str(errors)


def test_samples_have_the_times_of_the_run() -> None:
    """
    Due times are run seconds and stay so; the others are counted from the start of the run; no sample is told twice.
    """
    book = Book()
    book.enter(b"abc", at=2.0)
    [data] = book.frames()[bulk_wire.SAMPLES]
    assert SAMPLE.unpack(data) == pytest.approx((1.5, 1.8, 2.0, 0, 3))
    assert book.frames() == {}
    assert book.ledger.done == 1


def test_arrivals_that_are_not_sent_are_counted_by_second() -> None:
    """What could not be sent is told by shot and by the second in which it was due."""
    book = Book()
    for shot, due in ((0, 1.0), (0, 1.9), (1, 1.0), (0, 2.0)):
        book.ledger.skip(shot, due)
    assert book.ledger.take_counts()["unsent_in"] == [(0, 1, 2), (1, 1, 1), (0, 2, 1)]
    assert book.ledger.take_counts()["unsent_in"] == []
    assert book.ledger.unsent == 4


class Owner:
    """Has one connection, and nothing else to send."""

    def __init__(self) -> None:
        self.released = 0

    def join(self, connection: Connection) -> None:
        pass

    def release(self, connection: Connection) -> None:
        self.released += 1

    def leave(self, connection: Connection) -> None:
        raise AssertionError("the connection was left")

    def again(self, due: float, shot: Loaded) -> None:
        raise AssertionError("a request was sent again")


def test_same_bytes_are_looked_for_until_they_are_shown() -> None:
    """An answer beyond the limit is looked at again when it comes the next time, and no more once it was shown."""
    book, owner = Book(looks_per_s=0), Owner()
    connection, loaded = Connection(owner, book.ledger, book.heads), Loaded(0, SHOTS[0])
    for data in (OK.replace(b"hello", b"world"), OK, OK, OK):
        if owner.released == 2:
            book.ledger._looks_per_s = 1
            book.ledger._second_ends_at = 0.0
        connection.shot = loaded
        connection.data_received(data)
    assert [look.answer.body for look in book.looks()] == [b"world", b"hello"]
    counts = book.ledger.take_counts()
    assert (counts["seen"], counts["unseen"], owner.released) == ([(0, 1), (1, 2)], [(0, "200", 1)], 4)


# --- masks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "hidden"),
    [
        (b'{"request_id":"abc-1"}', b"abc-1"),
        (b'{"request_id" : "abc"}', b"abc"),
        (b'{"request_id":"at f (x.js:1)"}', b""),  # a blank: it may be a stack trace
        (b'{"request_id":"a\\u0041"}', b""),
        (b'{"request_id":"abc",}', b""),  # no JSON, with it or without
        (b'{"request_id":7}', b""),
        (b'{"error":"request_id"}', b""),
        (b'{"request_id":"abc","pad":"' + bytes(5000).replace(b"\0", b"x") + b'"}', b""),
    ],
)
def test_only_a_request_id_is_masked(body: bytes, hidden: bytes) -> None:
    """A mask covers the plain text of a request id in JSON of a common size, and nothing that a rule could read."""
    rest, found = masked(body)
    assert found == hidden
    assert (rest == body) == (not hidden)
