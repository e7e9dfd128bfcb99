"""
What the windows of a load run add up to for one operation: how requests ended, how long they took, how late they were.

The times are those of answers that the contract foresees. A refusal (429) is no error, and its time, which is short,
tells nothing about what was asked for. Nor does the time of a 500, or of a connection that is refused: a quick one must
not make a percentile better. See `touchstone.outcomes` for which outcome is what.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from touchstone.facts.sample import NO_ANSWER, Histogram, Window
from touchstone.loadgen.outcomes import Kind, kind_of

# All operations together.
ALL = "*"
# How long a log is followed is how long its build takes: such times are told of it alone, not of all operations.
LASTING = frozenset({"streamBuildEvents"})
# An arrival that is sent later than this is late.
LATE_S = 0.05


@dataclass(slots=True)
class Totals:
    """The sum of the windows of one operation, or of all of them.

    Attributes:
        operation: operationId, or ALL.
        times: Response times; of ALL, those of LASTING operations are left out.
        late: Lateness of the requests that the schedule paced.
        service: The same, counted from sending.
        kinds: Requests, and unsent arrivals, by what came of them.
        unanswered: Requests without an answer, those of *times* had they been answered.
        apart: Requests of LASTING operations that are in *kinds* and in nothing about times.
    """

    operation: str
    times: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)
    kinds: Counter[Kind] = field(default_factory=Counter)
    unanswered: int = 0
    apart: int = 0

    def add(self, window: Window) -> None:
        """Adds a window; one of another operation is left out."""
        if self.operation not in (ALL, window.operation):
            return
        self.kinds[kind_of(window.outcome)] += window.count
        if window.paced:
            self.late.merge(window.late)
        if self.operation == ALL and window.operation in LASTING:
            self.apart += window.count
            return
        self.unanswered += window.count if window.outcome == NO_ANSWER else 0
        if is_timed(window):
            self.times.merge(window.response)
            self.service.merge(window.service)

    @property
    def sent(self) -> int:
        """Requests sent, answered or not."""
        return self.kinds.total() - self.kinds["unsent"]

    @property
    def due(self) -> int:
        """Arrivals that the schedule paced, sent or not."""
        return self.late.count + self.kinds["unsent"]

    @property
    def error_share(self) -> float:
        """Errors among the requests sent."""
        return self.kinds["error"] / self.sent if self.sent else 0.0

    @property
    def unsent_share(self) -> float:
        """Arrivals that could not be sent among those that were due."""
        return self.kinds["unsent"] / self.due if self.due else 0.0


def is_timed(window: Window) -> bool:
    """Whether its samples tell how long an answer takes."""
    return is_answer(window.outcome)


def is_answer(outcome: str) -> bool:
    """Whether an outcome is an answer that the contract foresees, and no refusal."""
    return kind_of(outcome) in ("served", "declined")


def totals(windows: Iterable[Window], operation: str = ALL) -> Totals:
    """The sum of all windows of an operation."""
    found = Totals(operation)
    for window in windows:
        found.add(window)
    return found
