"""What became of the reads of one trial, from the reports of the process that sends them; pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from touchstone.facts.knee_trials import Outcome, Trial
from touchstone.facts.sample import Histogram, Window
from touchstone.limiter.knee.judging import LATE_SHARE
from touchstone.loadgen.bulk_reports import Report
from touchstone.loadgen.metrics import kind_of

# How fast answers come is measured from here on: the first ones are not there at once.
_STEADY_FROM = 1 / 3
_BARRED = ("401", "403")
# What is no answer that a user waited for in vain.
_UNTIMED = ("refused", "cut", "unsent")


class Meter:
    """Adds up the reports of one trial.

    Args:
        due_s: When its reads are due, in seconds since it began.
        began_at: Run second of that.
    """

    def __init__(self, trial: Trial, due_s: NDArray[np.float64], slo_s: float, began_at: float) -> None:
        self._trial, self._due_s, self._slo_s, self._began_at = trial, due_s, slo_s, began_at
        self._response, self._late = Histogram(), Histogram()
        self._slow = self._failed = self._refused = self._unsent = self._barred = 0
        self._blocks: dict[int, tuple[int, int]] = {}
        self._marks: list[tuple[float, int]] = []
        self._sent = self._good = 0
        self._done_at = 0.0
        self.stopped = False

    @property
    def is_lost(self) -> bool:
        """Whether nothing that follows would change what the trial tells."""
        most = self._trial.most_missed
        missed = self._slow + self._failed
        return bool(self._refused or self._barred or (most is not None and missed > most))

    def take(self, report: Report) -> None:
        """Takes in what was told."""
        self._sent = report.sent
        for window in report.windows:
            self._take(window)
        self._marks.append((report.at_s, self._good))

    def _take(self, window: Window) -> None:
        kind = kind_of(window.outcome)
        if kind == "unsent":
            self._unsent += window.count
            return
        if kind != "cut":
            self._late.merge(window.late)
            self._done_at = max(self._done_at, window.done_at)
        if kind in _UNTIMED:
            self._refused += window.count if kind == "refused" else 0
            return
        missed = window.count
        if kind == "error":
            self._failed += missed
            self._barred = int(window.outcome) if window.outcome in _BARRED else self._barred
        else:
            self._good += window.count
            missed = round(window.response.share_above(self._slo_s) * window.count)
            self._slow += missed
        self._response.merge(window.response)
        before = self._blocks.get(window.at_s, (0, 0))
        self._blocks[window.at_s] = before[0] + window.count, before[1] + missed

    def outcome(self) -> Outcome:
        """What became of them all."""
        late, response = self._late, self._response
        due_per_s, done_per_s = self._rates()
        # What waited for a connection when it was stopped is nobody's fault.
        unsent = 0 if self.stopped else self._unsent
        return Outcome(
            due=late.count + unsent,
            sent=self._sent,
            slow=self._slow,
            failed=self._failed,
            refused=self._refused,
            unsent=unsent,
            late=round(late.share_above(LATE_SHARE * self._slo_s) * late.count),
            late_p99_s=round(late.quantile_s(0.99), 6),
            **{f"p{name}_s": round(response.quantile_s(int(name) / 100), 6) for name in ("50", "90", "99")},
            max_s=round(response.max_s, 6),
            due_per_s=round(due_per_s, 3),
            done_per_s=round(done_per_s, 3),
            lasted_s=round(max(self._done_at, self._marks[-1][0] if self._marks else 0.0), 6),
            blocks=tuple(self._blocks[second] for second in sorted(self._blocks)),
            stopped=self.stopped,
            began_at=round(self._began_at, 6),
            barred=self._barred,
        )

    def _rates(self) -> tuple[float, float]:
        """Reads that came due and answers that are no failures, both a second, between two reports while reads came."""
        ends_at = float(self._due_s[-1]) if len(self._due_s) else 0.0
        steady = [mark for mark in self._marks if _STEADY_FROM * ends_at <= mark[0] <= ends_at]
        if len(steady) < 2:
            return 0.0, 0.0
        (first_at, first), (last_at, last) = steady[0], steady[-1]
        due = _between(self._due_s, (first_at, last_at))
        return due / (last_at - first_at), (last - first) / (last_at - first_at)


def _between(due_s: NDArray[np.float64], span: Sequence[float]) -> int:
    first, last = np.searchsorted(due_s, span)
    return int(last - first)
