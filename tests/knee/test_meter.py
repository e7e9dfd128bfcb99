"""What a trial comes to, from what the process that sends its reads reports."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from touchstone.facts.knee_trials import Outcome, Trial
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Sample, Window
from touchstone.limiter.knee.meter import Meter
from touchstone.loadgen.bulk_reports import Report

SLO_S = 0.1
EMPTY = Report(
    *(0.0, (), (), {}, {}, {}, 0, 0, 0, 0, 0, 0, 0, 0.0, 1, 0.0, 0.0, 0.0, 0, ()),
    final=False,
)


@dataclass(frozen=True)
class Read:
    """One read of a trial."""

    due_s: float
    took_s: float = 0.02
    outcome: str = "404"
    late_s: float = 0.0

    @property
    def window(self) -> Window:
        """What a report tells of it alone."""
        window = Window(0, int(self.due_s), "getBuild", self.outcome)
        if self.outcome == UNSENT:
            window.count = 1
        else:
            ends_at = self.due_s + self.took_s
            window.add(Sample("getBuild", self.outcome, self.due_s, self.due_s + self.late_s, ends_at))
        return window


def report(at_s: float, reads: Sequence[Read]) -> Report:
    """What is told at a moment, of these reads."""
    return replace(EMPTY, at_s=at_s, windows=tuple(read.window for read in reads), sent=len(reads), done=len(reads))


def metered(*reads: Read, most_missed: int | None = None, stopped: bool = False) -> tuple[Meter, Outcome]:
    """A trial of these reads, told of in one report."""
    due_s = np.array([read.due_s for read in reads])
    meter = Meter(Trial(1, "bracket", 10.0, len(reads), 1, most_missed), due_s, SLO_S, 7.0)
    meter.stopped = stopped
    meter.take(report(float(due_s[-1]) + 1, reads))
    return meter, meter.outcome()


def test_answers_in_time_are_no_misses() -> None:
    """An answer that nothing is there is one; times count from when the read was due."""
    _, outcome = metered(Read(0.1), Read(0.5, 0.05, "200"), Read(1.2, 0.099, late_s=0.05))
    assert (outcome.due, outcome.sent, outcome.missed) == (3, 3, 0)
    assert outcome.max_s == pytest.approx(0.099)
    assert outcome.p50_s == pytest.approx(0.05, rel=1e-3)
    assert outcome.began_at == 7.0


def test_slow_answers_and_failures_are_misses() -> None:
    """Each is counted once, in the second in which it was due."""
    _, outcome = metered(Read(0.1, 0.11), Read(0.2), Read(1.1, 0.001, "503"), Read(1.3, 5.0, NO_ANSWER), Read(2.0))
    assert (outcome.slow, outcome.failed, outcome.missed) == (1, 2, 3)
    assert outcome.blocks == ((2, 1), (2, 2), (1, 0))


def test_refusal_is_no_latency_and_loses_the_trial() -> None:
    """However few there are."""
    meter, outcome = metered(Read(0.1), Read(0.2, 3.0, "429"))
    assert meter.is_lost
    assert (outcome.refused, outcome.missed, outcome.max_s) == (1, 0, pytest.approx(0.02))


@pytest.mark.parametrize("status", [401, 403])
def test_key_that_is_not_let_in_loses_the_trial(status: int) -> None:
    """No read of it would tell anything."""
    meter, outcome = metered(Read(0.1, 0.001, str(status)))
    assert meter.is_lost
    assert outcome.barred == status


def test_trial_is_lost_with_one_miss_more_than_it_may_have() -> None:
    """As soon as a report tells so."""
    assert not metered(Read(0.1, 1.0), Read(0.2, 1.0), most_missed=2)[0].is_lost
    assert metered(Read(0.1, 1.0), Read(0.2, 1.0), Read(0.3, 0.001, "500"), most_missed=2)[0].is_lost
    assert not metered(*[Read(0.1, 1.0)] * 9)[0].is_lost


def test_late_and_unsent_reads_are_the_generator() -> None:
    """A read is late from a tenth of the limit on; one that was not sent came due all the same."""
    _, outcome = metered(Read(0.1, late_s=0.0099), Read(0.2, late_s=0.0101), Read(0.3, outcome=UNSENT))
    assert (outcome.late, outcome.unsent, outcome.due) == (1, 1, 3)
    assert outcome.late_p99_s == pytest.approx(0.0101, rel=1e-3)


def test_what_a_stop_cuts_off_tells_nothing() -> None:
    """Neither what was under way nor what had no connection yet."""
    _, outcome = metered(Read(0.1), Read(0.2, 9.0, CUT_OFF, late_s=5.0), Read(0.3, outcome=UNSENT), stopped=True)
    assert (outcome.due, outcome.missed, outcome.unsent, outcome.late) == (1, 0, 0, 0)
    assert outcome.stopped


def test_answers_a_second_are_those_while_reads_came() -> None:
    """
    Without the first third, in which the first answers were awaited, without those afterwards, and without failures.
    """
    due_s = np.arange(0.005, 3.0, 0.01)
    meter = Meter(Trial(1, "capacity", 100.0, len(due_s), 1), due_s, SLO_S, 0.0)
    for number in range(1, 9):
        good = [Read(0.1)] * (10 if number <= 2 else 25)
        meter.take(report(0.5 * number, [*good, *[Read(0.1, 0.001, "503")] * 5]))
    outcome = meter.outcome()
    assert outcome.due_per_s == pytest.approx(100)
    assert outcome.done_per_s == pytest.approx(50)


def test_trial_without_any_report_is_empty() -> None:
    """It tells nothing, and is no failure of ours."""
    outcome = Meter(Trial(1, "capacity", 1.0, 5, 1), np.arange(5.0), SLO_S, 0.0).outcome()
    assert (outcome.due, outcome.due_per_s, outcome.blocks) == (0, 0.0, ())
