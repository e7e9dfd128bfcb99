"""How much something has grown from the first fifth of a load run to its last fifth.

Each fifth is cut into five pieces, and the median of what the pieces show stands for it, so that one hiccup, of the
target or of the machine, is no growth. Operations, and the outcomes of one, are never mixed: another mix of requests is
no growth either. The one that has grown most counts.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from touchstone.facts.events import Worker, Workload
from touchstone.facts.sample import Histogram, Window
from touchstone.facts.wording import brief, figure, plural
from touchstone.loadgen.outcomes import kind_of
from touchstone.loadgen.totals import ALL, is_timed, totals

# The number of the entry in which the memory of the embedded target is told, beside those of the workers.
TARGET = -1

_PARTS = 5
_PIECES = 5
_FEWEST_PIECES = 3
_FEWEST_A_PIECE = 5
_FEWEST_ERRORS_OF = 20
# What lies below these is not told apart from noise: a growth of it counts as one from here.
_SHORT_S = 0.01
_SMALL_BYTES = 100.0


@dataclass(frozen=True, slots=True)
class Growth:
    """A growth as a share of what there was first; of errors, as a share of all requests.

    Attributes:
        value: Below zero where it became less; None where it cannot be told.
        count: Samples that it rests on.
        reason: Why it cannot be told, or what has grown most.
    """

    value: float | None
    count: int
    reason: str


def of_latency(windows: Sequence[Window], operation: str, workload: Workload) -> Growth:
    """The growth of the median time of an answer, counted from the moment at which its request was sent."""
    timed = [w for w in _of(windows, operation) if is_timed(w) and w.count]
    by_operation = _grouped(timed, lambda w: w.operation)
    return _most(by_operation, workload, _median_s, _SHORT_S)


def of_bytes(windows: Sequence[Window], operation: str, workload: Workload) -> Growth:
    """The growth of the mean length of an answer's body."""
    served = [w for w in _of(windows, operation) if kind_of(w.outcome) == "served" and w.count]
    by_outcome = _grouped(served, lambda w: (w.operation, w.outcome))
    return _most(by_outcome, workload, _mean_bytes, _SMALL_BYTES, "bytes")


def of_errors(windows: Sequence[Window], operation: str, workload: Workload) -> Growth:
    """By how much the share of errors is larger at the end than it was at the beginning."""
    first, last = (totals(part, operation) for part in _ends(_of(windows, operation), workload))
    count = first.sent + last.sent
    if min(first.sent, last.sent) < _FEWEST_ERRORS_OF:
        return Growth(None, count, _too_few("request", first.sent, last.sent))
    return Growth(last.error_share - first.error_share, count, "")


def of_memory(workers: Iterable[Worker], workload: Workload) -> Growth:
    """The growth of the memory of the embedded target, which tells it as a worker with the number TARGET."""
    told = [w for w in workers if w.number == TARGET]
    first, last = (
        [w.rss_bytes for w in told if begin <= w.at_s < end]
        for begin, end in (_fifth(workload, 0), _fifth(workload, 4))
    )
    if min(len(first), len(last)) < _FEWEST_PIECES:
        return Growth(None, len(told), _too_few("memory reading", len(first), len(last)))
    return Growth(median(last) / max(median(first), 1) - 1, len(first) + len(last), "")


def _of(windows: Iterable[Window], operation: str) -> list[Window]:
    return [window for window in windows if operation in (ALL, window.operation)]


def _grouped(windows: Iterable[Window], key: Callable[[Window], Hashable]) -> Mapping[Hashable, list[Window]]:
    groups: dict[Hashable, list[Window]] = {}
    for window in windows:
        groups.setdefault(key(window), []).append(window)
    return groups


def _most(
    groups: Mapping[Hashable, list[Window]],
    workload: Workload,
    measure: Callable[[list[Window]], float],
    least: float,
    unit: str = "",
) -> Growth:
    found: list[Growth] = []
    counts = (0, 0)
    for name, windows in groups.items():
        first, last = (_pieces(windows, workload, part) for part in (0, _PARTS - 1))
        counts = max(counts, (_count(first), _count(last)), key=min)
        if min(len(first), len(last)) < _FEWEST_PIECES:
            continue
        before, after = (median(measure(piece) for piece in pieces) for pieces in (first, last))
        value = max(after, least) / max(before, least) - 1
        what = " ".join(name) if isinstance(name, tuple) else str(name)
        told = " first, ".join(f"{figure(one, 4)} {unit}" if unit else brief(one) for one in (before, after)) + " last"
        found.append(Growth(value, _count(first) + _count(last), f"{what} most: {told}"))
    return max(found, key=lambda one: one.value or 0.0, default=Growth(None, sum(counts), _too_few("answer", *counts)))


def _pieces(windows: Iterable[Window], workload: Workload, part: int) -> list[list[Window]]:
    """The pieces of a fifth that hold enough to be told."""
    begin, end = _fifth(workload, part)
    length_s = (end - begin) / _PIECES
    pieces: list[list[Window]] = [[] for _ in range(_PIECES)]
    for window in windows:
        if begin <= window.at_s < end and length_s > 0:
            pieces[min(int((window.at_s - begin) / length_s), _PIECES - 1)].append(window)
    return [piece for piece in pieces if sum(window.count for window in piece) >= _FEWEST_A_PIECE]


def _ends(windows: Iterable[Window], workload: Workload) -> tuple[list[Window], list[Window]]:
    windows = list(windows)
    first, last = _fifth(workload, 0), _fifth(workload, _PARTS - 1)
    return [w for w in windows if first[0] <= w.at_s < first[1]], [w for w in windows if last[0] <= w.at_s < last[1]]


def _fifth(workload: Workload, part: int) -> tuple[float, float]:
    # Windows are named by the whole second in which they begin, so the edges are whole seconds, too.
    edges = (workload.began_at + workload.duration_s * n / _PARTS for n in (part, part + 1))
    begin, end = (float(int(edge)) for edge in edges)
    return begin, end


def _count(pieces: list[list[Window]]) -> int:
    return sum(window.count for piece in pieces for window in piece)


def _median_s(piece: list[Window]) -> float:
    return Histogram.merged(window.service for window in piece).quantile_s(0.5)


def _mean_bytes(piece: list[Window]) -> float:
    return sum(window.body_bytes for window in piece) / max(sum(window.count for window in piece), 1)


def _too_few(what: str, first: int, last: int) -> str:
    return f"too few to compare: {plural(first, what)} in the first fifth of the run, {last:,} in the last; run longer"
