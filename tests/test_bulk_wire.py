"""
What one end of a side-car's pipe writes is what the other end reads, and samples fold into the windows that they are.
"""

import random
from array import array

import numpy as np
import pytest

from touchstone.facts.sample import UNSENT, Sample, Window
from touchstone.loadgen import bulk_wire
from touchstone.loadgen.bulk_reports import ReportReader, folded
from touchstone.loadgen.bulk_wire import SAMPLE, BrokenFrame, BulkShot, Frames, Look, Setup
from touchstone.target.answer import Answer, Head

KEY = b"sk_live_0123456789abcdef"
SHOTS = (BulkShot("getBuild", "GET", b"GET / \xff"), BulkShot("startBuild", "POST", b""))


def messages(data: bytes) -> list[tuple[bytes, bytes]]:
    return list(Frames().feed(data))


def test_frames_are_found_in_pieces_of_any_size() -> None:
    """Messages come out whole and in order, whether their bytes arrive one by one or all at once."""
    data = bulk_wire.frame(b"a", b"xyz") + bulk_wire.frame(b"b") + bulk_wire.frame(b"c", bytes(300))
    wanted = [(b"a", b"xyz"), (b"b", b""), (b"c", bytes(300))]
    assert messages(data) == wanted
    frames = Frames()
    assert [found for byte in data for found in frames.feed(bytes([byte]))] == wanted


def test_setup_crosses_the_pipe() -> None:
    """A set-up is read as it was written, bytes that are no text included."""
    setup = Setup("host", 80, True, SHOTS, (KEY,), 1.5, 2.5, 7, 0.001, 3, 4)
    [(kind, content)] = messages(bulk_wire.encode_setup(setup))
    assert (kind, bulk_wire.decode_setup(content)) == (bulk_wire.SETUP, setup)


def test_setup_shows_no_key() -> None:
    """What a set-up looks like in a log or a traceback holds neither the keys nor the requests, which hold them."""
    setup = Setup("host", 80, True, (BulkShot("getBuild", "GET", b"Bearer " + KEY),), (KEY,))
    assert KEY.decode() not in repr(setup)


@pytest.mark.parametrize("kind", [list, np.array])
def test_schedule_crosses_the_pipe_in_parts(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule of any length comes to the last bit as it was, in frames of which none is large."""
    monkeypatch.setattr(bulk_wire, "_ARRIVALS_A_FRAME", 100)
    draw = random.Random(1)
    dues = [draw.random() + n for n in range(201)]
    shots = [n % 3 for n in range(201)]
    frames = list(bulk_wire.schedule_frames(kind(dues), kind(shots)))
    parts = [bulk_wire.decode_schedule(content) for frame in frames for _, content in messages(frame)]
    assert len(parts) == 3
    assert [due for times, _ in parts for due in times] == dues
    assert [shot for _, numbers in parts for shot in numbers] == shots


def test_schedule_that_contradicts_itself_is_refused() -> None:
    """There is a shot for each due time, and a message is as long as it says."""
    with pytest.raises(ValueError, match="2 due times and 1 shots"):
        list(bulk_wire.schedule_frames([0.0, 1.0], [0]))
    [frame] = bulk_wire.schedule_frames([0.0, 1.0], [0, 0])
    with pytest.raises(BrokenFrame, match="a schedule of 2 arrivals"):
        bulk_wire.decode_schedule(messages(frame)[0][1][:-1])


@pytest.mark.parametrize(
    "answer",
    [
        Answer(Head(200, (("a", "b"), ("c", "\udc80")), 3, "length", 2, True), b"\x00\xff", [], 1.0, 1.5, 2.0),
        Answer(sent_at=1.0, head_at=2.0, done_at=2.0, error="ReadTimeout: nothing"),
    ],
)
def test_look_crosses_the_pipe(answer: Answer) -> None:
    """Evidence is read as it was written, with and without an answer."""
    look = Look(7, 1, 0.5, answer, len(answer.body))
    [(_, content)] = messages(bulk_wire.encode_look(look))
    found = bulk_wire.decode_look(content)
    head, wanted = found.answer.head, answer.head
    assert (head is None) == (wanted is None)
    if head and wanted:
        assert [getattr(head, name) for name in Head.__slots__] == [getattr(wanted, name) for name in Head.__slots__]
    found.answer.head = answer.head
    assert found == look


def test_look_tells_whether_its_body_is_whole() -> None:
    """Of a long body only the beginning crosses the pipe, and nobody may take that for the body."""
    head = Head(200, (), 3, "length", 70_000, True)
    looks = [Look(7, 1, 0.5, Answer(head, b"{}"), body_bytes) for body_bytes in (2, 70_000)]
    frames = [messages(bulk_wire.encode_look(look))[0][1] for look in looks]
    assert [bulk_wire.decode_look(content).answer.is_partial for content in frames] == [False, True]


# --- samples ---------------------------------------------------------------------------------------------------------

OUTCOMES = {0: ("getBuild", "200"), 1: ("getBuild", "429"), 2: ("startBuild", "200"), 3: ("getBuild", "200")}


def some_samples(number: int) -> list[tuple[float, float, float, int, int]]:
    """Samples of a few seconds, of all magnitudes; some are early by a rounding error, as clocks have it."""
    draw = random.Random(2)
    found = []
    for _ in range(number):
        due = draw.uniform(0, 4)
        sent = due + draw.choice([-1e-9, 0.0, 10 ** draw.uniform(-9, 1)])
        found.append((due, sent, sent + 10 ** draw.uniform(-9, 3), draw.randrange(4), draw.randrange(1000)))
    return found


def one_by_one(samples: list[tuple[float, float, float, int, int]]) -> dict[tuple[int, str, str], Window]:
    windows: dict[tuple[int, str, str], Window] = {}
    for due, sent, done, outcome, size in samples:
        operation, name = OUTCOMES[outcome]
        window = windows.setdefault((int(due), operation, name), Window(5, int(due), operation, name))
        window.add(Sample(operation, name, due, sent, done, size))
    return windows


def test_samples_fold_into_the_windows_that_they_make_one_by_one() -> None:
    """
    Thousands of samples at once give the same windows as each by itself: cells, counts, extremes and, rounded, sums.
    """
    samples = some_samples(5_000)
    found = folded(b"".join(SAMPLE.pack(*sample) for sample in samples), OUTCOMES, worker=5)
    wanted = one_by_one(samples)
    assert {(w.at_s, w.operation, w.outcome) for w in found} == set(wanted)
    assert len(found) == len(wanted)
    for window in found:
        other = wanted[window.at_s, window.operation, window.outcome]
        assert (window.worker, window.count, window.body_bytes) == (5, other.count, other.body_bytes)
        for name in ("response", "service", "late"):
            mine, theirs = getattr(window, name), getattr(other, name)
            assert (mine.cells, mine.min_s, mine.max_s) == (theirs.cells, theirs.min_s, theirs.max_s)
            assert mine.sum_s == pytest.approx(theirs.sum_s)


def test_no_samples_make_no_window() -> None:
    """A report without samples has no windows."""
    assert folded(b"", {}, 0) == []


def report_frame(**values: object) -> bytes:
    empty = {"errors": {}, "seen": [], "unseen": [], "unsent_in": [], "notes": [], "final": False}
    zeros = dict.fromkeys(
        ["at_s", "scheduled", "sent", "done", "unsent", "undue", "in_flight", "waiting", "waited_s", "connections"], 0
    )
    return bulk_wire.json_frame(bulk_wire.REPORT, empty | zeros | {"cpu_s": 0.0, "rss_bytes": 0} | values)


def test_report_holds_what_came_since_the_one_before() -> None:
    """Samples, looks and counts belong to the report that follows them; lateness is that of all samples so far."""
    reader = ReportReader(SHOTS, worker=1)
    look = Look(0, 1, 0.5, Answer(error="x"), 0)
    first = bulk_wire.encode_outcomes([(0, 1, "429")]) + bulk_wire.frame(
        bulk_wire.SAMPLES, SAMPLE.pack(0.5, 0.6, 0.7, 0, 9)
    )
    second = bulk_wire.frame(bulk_wire.SAMPLES, SAMPLE.pack(1.5, 1.5, 1.7, 0, 9) * 3)
    data = first + bulk_wire.encode_look(look) + report_frame(seen=[[0, 1]], unseen=[[1, "429", 2]])
    one, two = reader.feed(data + second + report_frame(unsent_in=[[0, 2, 4], [0, 2, 1]], final=True))
    assert [(w.worker, w.at_s, w.operation, w.outcome, w.count) for w in one.windows] == [
        (1, 0, "startBuild", "429", 1)
    ]
    assert (one.looks, one.seen, one.unseen, one.final) == ((look,), {0: 1}, {(1, "429"): 2}, False)
    assert [(w.at_s, w.operation, w.outcome, w.count) for w in two.windows] == [
        (1, "startBuild", "429", 3),
        (2, "getBuild", UNSENT, 5),
    ]
    assert (two.looks, two.seen, two.final) == ((), {}, True)
    assert (two.late_p50_s, two.late_p99_s) == (0.0, pytest.approx(0.1, rel=0.001))


def test_reader_learns_that_the_side_car_is_ready() -> None:
    """Readiness is told before the first report."""
    reader = ReportReader(SHOTS, worker=0)
    assert not reader.ready
    assert list(reader.feed(bulk_wire.frame(bulk_wire.READY))) == []
    assert reader.ready


def test_strange_message_is_refused() -> None:
    """A message that no side-car writes is an error, and is not passed over."""
    with pytest.raises(BrokenFrame, match="kind b'\\?' and 3 bytes"):
        list(ReportReader(SHOTS, 0).feed(bulk_wire.frame(b"?", b"abc")))


def test_arrays_of_the_machine_are_what_samples_are_packed_as() -> None:
    """The sizes that the wire relies on are those of this machine."""
    assert (array("d").itemsize, array("I").itemsize, SAMPLE.size) == (8, 4, 32)
