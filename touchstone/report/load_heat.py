"""The heat map of a load run: how many answers took how long, second by second; pure."""

import math

import numpy as np
import numpy.typing as npt

from touchstone.facts.histogram import Histogram, middle_s
from touchstone.facts.sample import UNSENT, Window
from touchstone.loadgen.metrics import LASTING, is_timed
from touchstone.report.chart import Chart, Key, Log, Shape, clock_axis, height, place
from touchstone.report.load_time import Columns
from touchstone.report.load_view import LoadView
from touchstone.rules.verdict import plural

ROWS = 26
LEVELS = 7


def heat_map(load: LoadView, columns: Columns) -> Chart | None:
    """The heat map of a run, or None where no answer tells a time."""
    windows = _windows(load)
    whole = Histogram.merged(_times(window, load) for window in windows)
    if not whole.cells:
        return None
    scale = Log(max(whole.quantile_s(0.001), whole.max_s / 1e7), whole.max_s)
    counts = np.zeros((ROWS, columns.count), dtype=np.int64)
    for window in windows:
        column = columns.column(window.at_s)
        for edge, number in _times(window, load).cells.items():
            counts[min(int(scale.share(middle_s(edge)) * ROWS), ROWS - 1), column] += number
    levels = _levels(counts)
    what = "Response" if load.numbers.timed else "Service"
    return Chart(
        title=f"{what} times over time",
        words=_words(load, whole.count, columns),
        x=clock_axis(columns.length_s),
        y=scale.axis(f"{what.lower()} time"),
        shapes=tuple(shape for shape, _ in levels),
        keys=tuple(key for _, key in levels),
        key_name="answers:",
        height_px=230,
    )


def _windows(load: LoadView) -> list[Window]:
    """Those whose times mean the same; followed logs only where there is nothing else."""
    timed = [window for window in load.windows if window.outcome != UNSENT and is_timed(window)]
    brief = [window for window in timed if window.operation not in LASTING]
    return brief or timed


def _times(window: Window, load: LoadView) -> Histogram:
    return window.response if load.numbers.timed else window.service


def _words(load: LoadView, count: int, columns: Columns) -> str:
    wide = "a second" if columns.width_s == 1 else f"{columns.width_s} seconds"
    apart = " Followed logs are left out: they last as long as their builds." if _is_mixed(load) else ""
    told = f"a column is {wide}, and the stronger its colour, the more answers took so long"
    return f"{plural(count, 'answer')}; {told}.{apart}"


def _is_mixed(load: LoadView) -> bool:
    names = {one.name for one in load.numbers.operations}
    return bool(names & LASTING and names - LASTING)


def _levels(counts: npt.NDArray[np.int64]) -> list[tuple[Shape, Key]]:
    """From the fewest to the most, the fields of each colour and the counts that it stands for."""
    bounds = _bounds(int(counts.max()))
    found = []
    ends = [*(bound - 1 for bound in bounds[1:]), int(counts.max())]
    for number, (low, high) in enumerate(zip(bounds, ends, strict=True)):
        css = f"h{1 + round(number * (LEVELS - 1) / max(len(bounds) - 1, 1))}"
        text = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        found.append((Shape(_fields((counts >= low) & (counts <= high)), css), Key(css, text)))
    return [pair for pair in found if pair[0].d]


def _bounds(most: int) -> list[int]:
    """The smallest count of each colour: equal steps of the logarithm, and at least one apart."""
    steps = [round(10 ** (math.log10(most + 1) * n / LEVELS)) for n in range(LEVELS)]
    bounds: list[int] = []
    for step in steps:
        bounds.append(max(step, bounds[-1] + 1 if bounds else 1))
    return [bound for bound in bounds if bound <= most]


def _fields(marked: npt.NDArray[np.bool_]) -> str:
    """The marked fields as rectangles, neighbours in a row as one."""
    rows, columns = marked.shape
    parts = []
    for row in range(rows):
        top, bottom = height((row + 1) / rows), height(row / rows)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], marked[row], [False])).astype(np.int8)))
        for begin, end in edges.reshape(-1, 2):
            left, right = place(begin / columns), place(end / columns)
            parts.append(f"M{left} {top}H{right}V{bottom}H{left}z")
    return "".join(parts)
