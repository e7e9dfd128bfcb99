"""What a worker gathers until it tells it: nothing is lost, nothing is told twice, and lateness is noticed."""

from tests.test_runlog import FINDING, exchange
from touchstone.facts import runlog
from touchstone.facts.events import Attempt, Build, Occurrence, Remark, Tally, Worker
from touchstone.facts.sample import NO_ANSWER, UNSENT, Histogram, Sample, Window
from touchstone.loadgen.load_run import Collector
from touchstone.loadgen.metrics import BEHIND_S


def sample(intended_at: float, late_s: float = 0.0, outcome: str = "200", operation: str = "getBuild") -> Sample:
    """A sample that takes 10 ms once it is sent."""
    return Sample(operation, outcome, intended_at, intended_at + late_s, intended_at + late_s + 0.01, 8)


def windows(collector: Collector) -> list[Window]:
    """The windows among what is to be told."""
    return [runlog.decode(event) for event in collector.drain() if event["type"] == "window"]


def test_samples_are_told_by_second_outcome_and_pace() -> None:
    """Samples of one operation, outcome and second are one window; the due moment says which second."""
    collector = Collector(3)
    for at in (5.0, 5.999, 6.0):
        collector.sample(sample(at, late_s=0.5), paced=True)
    collector.sample(sample(5.5, outcome="404"), paced=True)
    collector.sample(sample(5.5, operation="startBuild", outcome=NO_ANSWER), paced=False)

    told = [(w.worker, w.at_s, w.operation, w.outcome, w.count, w.paced) for w in windows(collector)]
    assert told == [
        (3, 5, "getBuild", "200", 2, True),
        (3, 6, "getBuild", "200", 1, True),
        (3, 5, "getBuild", "404", 1, True),
        (3, 5, "startBuild", NO_ANSWER, 1, False),
    ]


def test_what_was_told_is_not_told_again() -> None:
    """Each sample and event is drained once; what belongs to a second that was told already adds to it later."""
    collector = Collector(0)
    collector.sample(sample(5.0), paced=True)
    collector.write(Remark("careful"))
    first = collector.drain()
    collector.sample(sample(5.1, late_s=2.0), paced=True)
    second = collector.drain()

    assert [event["type"] for event in first] == ["window", "warning"]
    assert [(event["type"], event["at_s"], event["count"]) for event in second] == [("window", 5, 1)]
    assert collector.drain() == []


def test_paced_samples_tell_about_the_generator() -> None:
    """Only what the schedule set the moment for counts as sent and as late."""
    collector = Collector(0)
    collector.sample(sample(5.0, late_s=0.02), paced=True)
    collector.sample(sample(5.0, late_s=7.0), paced=False)

    assert (collector.sent, collector.late.count, collector.late.max_s < BEHIND_S) == (1, 1, True)
    assert collector.behind_from_s is None


def test_generator_is_behind_from_the_first_late_arrival_on() -> None:
    """The earliest due moment that was missed counts, in whatever order arrivals are done."""
    collector = Collector(0)
    for at, late_s in ((3.0, BEHIND_S - 0.001), (9.0, 0.11), (7.5, 2.0), (8.0, 0.5)):
        collector.sample(sample(at, late_s=late_s), paced=True)

    assert collector.behind_from_s == 7.5


def test_unsent_arrival_is_counted_and_takes_no_time() -> None:
    """What came due and was not sent has a window of its own, and no lateness."""
    collector = Collector(1)
    collector.skip("startBuild", 4.5)
    collector.skip("startBuild", 4.6, over_budget=True)

    assert (collector.sent, collector.unsent, collector.late) == (0, 2, Histogram())
    assert collector.over_budget == 1
    assert windows(collector) == [Window(1, 4, "startBuild", UNSENT, 2)]


def test_each_window_is_folded_once() -> None:
    """Whoever keeps statistics beside is given each window as it is told."""
    collector, folded = Collector(0), Histogram()
    for at in (5.0, 5.5, 6.0):
        collector.sample(sample(at), paced=True)
        if at == 5.5:
            collector.drain(lambda window: folded.merge(window.response))
    collector.drain(lambda window: folded.merge(window.response))

    assert folded.count == 3


def test_events_are_told_in_order_as_a_run_log_takes_them() -> None:
    """Everything else follows the windows, in the order in which it happened and in the form of the run log."""
    attempt = Attempt(1, 1, "default/a@1.0.0", "primary", "", True, 1.0, 1.1, 1.2, 202, None, False, 7)
    build = Build(1, "default/a@1.0.0", "primary", 1.2, 3.0, "ready", 2.5, 9)
    worker = Worker(0, "running", 2.0, 5, 0, 9)
    tally = Tally("load.steady", "protocol.answered", "http.answers", 4)
    collector = Collector(0)
    found = Occurrence(FINDING, "load.steady", 3)
    events = (exchange(), attempt, build, found, tally, worker, Remark("careful"))
    for event in events:
        collector.write(event)
    collector.sample(sample(5.0), paced=True)

    window, *others = collector.drain()
    assert window["type"] == "window"
    assert others == list(map(runlog.encode, events))
