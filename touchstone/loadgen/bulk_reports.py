"""What a side-car hands back, as the load worker sees it: samples folded into windows, and how the sending goes."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.sample import UNSENT, Histogram, Window
from touchstone.loadgen import bulk_wire
from touchstone.loadgen.bulk_wire import BrokenFrame, BulkShot, Frames, Look

_SAMPLE = np.dtype([("due", "f8"), ("sent", "f8"), ("done", "f8"), ("outcome", "u4"), ("body_bytes", "u4")])

# A float has 52 bits behind its first one; a cell of a histogram is what the upper 10 of them tell apart.
_CELL = np.int64(-1 << 42)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Report:
    """What happened since the report before, and where the sending has come to.

    Attributes:
        at_s: When it was made, in seconds since the run started, as all points in time here.
        windows: Samples that were done since then. Windows of several reports add up.
        looks: Answers that look like none before, or no answers.
        seen: How many samples of this report looked like what, by number of the look.
        unseen: How many samples had looks beyond the limits, by shot and outcome.
        errors: Why there was no answer, and how often since the report before.
        scheduled: Arrivals of the whole schedule.
        sent: Arrivals whose first byte was written so far.
        done: Those of them that were answered, given up, or cut off by a stop.
        unsent: Arrivals that came due and will not be sent any more; they are in windows as well.
        undue: Arrivals that will never come due, since the run was stopped; 0 before.
        in_flight: Requests under way.
        waiting: Arrivals that are due and wait for a connection.
        waited_s: How long the first of them has waited.
        late_p50_s: Lateness of all samples so far.
        late_p99_s: The same.
        cpu_s: CPU time of the side-car so far.
        notes: What a reader should know about all times here; each is told once.
        final: Whether it is the last one.
    """

    at_s: float
    windows: tuple[Window, ...]
    looks: tuple[Look, ...]
    seen: dict[int, int]
    unseen: dict[tuple[int, str], int]
    errors: dict[str, int]
    scheduled: int
    sent: int
    done: int
    unsent: int
    undue: int
    in_flight: int
    waiting: int
    waited_s: float
    connections: int
    late_p50_s: float
    late_p99_s: float
    cpu_s: float
    rss_bytes: int
    notes: tuple[str, ...]
    final: bool


_AS_SENT = (
    *("at_s", "errors", "scheduled", "sent", "done", "unsent", "undue", "in_flight", "waiting", "waited_s"),
    *("connections", "cpu_s", "rss_bytes", "final"),
)


class ReportReader:
    """Makes reports of the bytes that a side-car writes.

    Args:
        shots: The shots that it was given.
        worker: Number of the worker, for its windows.

    Attributes:
        ready: Whether the side-car said that it is.
    """

    def __init__(self, shots: Sequence[BulkShot], worker: int) -> None:
        self.ready = False
        self._operations = [shot.operation for shot in shots]
        self._worker = worker
        self._frames = Frames()
        self._late = Histogram()
        self._outcomes: dict[int, tuple[str, str]] = {}
        self._samples: list[bytes] = []
        self._looks: list[Look] = []

    def feed(self, data: bytes) -> Iterator[Report]:
        """Adds *data*, and yields the reports that are complete by now.

        Raises:
            BrokenFrame: the bytes are no message of a side-car.
        """
        for kind, content in self._frames.feed(data):
            match kind:
                case bulk_wire.SAMPLES:
                    self._samples.append(content)
                case bulk_wire.OUTCOMES:
                    for number, shot, outcome in json.loads(content):
                        self._outcomes[number] = (self._operations[shot], outcome)
                case bulk_wire.LOOK:
                    self._looks.append(bulk_wire.decode_look(content))
                case bulk_wire.REPORT:
                    yield self._report(content)
                case bulk_wire.READY:
                    self.ready = True
                case _:
                    raise BrokenFrame(f"a message of kind {kind!r} and {len(content)} bytes")

    def _report(self, content: bytes) -> Report:
        values = json.loads(content)
        windows = folded(b"".join(self._samples), self._outcomes, self._worker)
        for window in windows:
            self._late.merge(window.late)
        looks, self._looks, self._samples = tuple(self._looks), [], []
        return Report(
            windows=(*windows, *self._unsent(values["unsent_in"])),
            looks=looks,
            seen=dict(values["seen"]),
            unseen={(shot, outcome): count for shot, outcome, count in values["unseen"]},
            late_p50_s=self._late.quantile_s(0.5),
            late_p99_s=self._late.quantile_s(0.99),
            notes=tuple(values["notes"]),
            **{name: values[name] for name in _AS_SENT},
        )

    def _unsent(self, counts: list[tuple[int, int, int]]) -> Iterator[Window]:
        by_operation: dict[tuple[int, str], int] = {}
        for shot, at_s, count in counts:
            key = (at_s, self._operations[shot])
            by_operation[key] = by_operation.get(key, 0) + count
        for (at_s, operation), count in by_operation.items():
            yield Window(self._worker, at_s, operation, UNSENT, count)


def folded(samples: bytes, outcomes: dict[int, tuple[str, str]], worker: int) -> list[Window]:
    """Windows of samples, as `Window.add` would have filled them one sample after the other.

    Args:
        samples: As `bulk_wire.SAMPLE` packs them.
        outcomes: By number: operation and outcome.
    """
    rows = np.frombuffer(samples, _SAMPLE)
    if not len(rows):
        return []
    names = sorted(set(outcomes.values()))
    place = np.zeros(max(outcomes) + 1, np.int64)
    place[list(outcomes)] = [names.index(name) for name in outcomes.values()]
    seconds = np.floor(rows["due"]).astype(np.int64)
    groups = seconds * len(names) + place[rows["outcome"]]
    order = np.argsort(groups, kind="stable")
    rows, groups = rows[order], groups[order]
    ends = np.append(np.flatnonzero(np.diff(groups)) + 1, len(groups))
    found, at = [], 0
    for end in map(int, ends):
        second, name = divmod(int(groups[at]), len(names))
        found.append(_window(rows[at:end], Window(worker, second, *names[name])))
        at = end
    return found


def _window(rows: NDArray[np.void], window: Window) -> Window:
    due, sent, done = rows["due"], rows["sent"], rows["done"]
    window.count = len(rows)
    window.response = _histogram(done - due)
    window.service = _histogram(done - sent)
    window.late = _histogram(sent - due)
    window.body_bytes = int(rows["body_bytes"].sum(dtype=np.int64))
    window.done_at = float(done.max())
    return window


def _histogram(values_s: Floats) -> Histogram:
    """The histogram of many durations at once; see `touchstone.histogram.cell`."""
    values_s = np.maximum(values_s, 0.0)
    whole_ns = (values_s * 1e9).astype(np.int64).astype(np.float64)
    edges, counts = np.unique((whole_ns.view(np.int64) & _CELL).view(np.float64).astype(np.int64), return_counts=True)
    cells = dict(zip(edges.tolist(), counts.tolist(), strict=True))
    return Histogram(cells, float(values_s.sum()), float(values_s.min()), float(values_s.max()))
