"""What a worker gathers until it reports: nothing is lost, nothing is reported twice, and lateness is noticed."""

import pytest

from touchstone.facts import runlog
from touchstone.facts.events import Remark
from touchstone.facts.sample import NO_ANSWER, Histogram, Sample, Window
from touchstone.loadgen.load_run import Collector
from touchstone.loadgen.metrics import BEHIND_S


def sample(intended_at: float, late_s: float = 0.0, outcome: str = "200", operation: str = "getBuild") -> Sample:
    """A sample that takes 10 ms once it is sent."""
    return Sample(operation, outcome, intended_at, intended_at + late_s, intended_at + late_s + 0.01, 8)


def windows(collector: Collector) -> list[Window]:
    return [runlog.decode(event) for event in collector.drain() if event["type"] == "window"]


def test_samples_are_gathered_by_second_outcome_and_pace() -> None:
    collector = Collector(3)
    for at in (5.0, 5.999, 6.0):
        collector.sample(sample(at, late_s=0.5), paced=True)
    collector.sample(sample(5.5, outcome="404"), paced=True)
    collector.sample(sample(5.5, operation="startBuild", outcome=NO_ANSWER), paced=False)
    assert [(w.worker, w.at_s, w.operation, w.outcome, w.count, w.paced) for w in windows(collector)] == [
        (3, 5, "getBuild", "200", 2, True),
        (3, 6, "getBuild", "200", 1, True),
        (3, 5, "getBuild", "404", 1, True),
        (3, 5, "startBuild", NO_ANSWER, 1, False),
    ]


def test_each_sample_and_event_is_reported_once() -> None:
    collector, folded = Collector(0), Histogram()
    collector.sample(sample(5.0), paced=True)
    collector.write(Remark("careful"))  # comes after all windows
    first = collector.drain(lambda window: folded.merge(window.response))
    collector.sample(sample(5.1, late_s=2.0), paced=True)  # belongs to a second that was reported already
    second = collector.drain(lambda window: folded.merge(window.response))
    assert [event["type"] for event in first] == ["window", "warning"]
    assert [(event["type"], event["at_s"], event["count"]) for event in second] == [("window", 5, 1)]
    assert (collector.drain(), folded.count) == ([], 2)


@pytest.mark.parametrize(
    ("samples", "sent", "behind_from_s"),
    [
        ([(5.0, 0.02, True), (5.0, 7.0, False)], 1, None),  # only what is paced
        ([(3.0, BEHIND_S - 0.001, True), (9.0, 0.11, True), (7.5, 2.0, True), (8.0, 0.5, True)], 4, 7.5),
    ],
)
def test_generator_is_behind_from_the_first_late_arrival_on(
    samples: list[tuple[float, float, bool]], sent: int, behind_from_s: float | None
) -> None:
    collector = Collector(0)
    for at, late_s, paced in samples:
        collector.sample(Sample("getBuild", "200", at, at + late_s, at + late_s + 0.01), paced=paced)
    assert (collector.sent, collector.late.count, collector.behind_from_s) == (sent, sent, behind_from_s)
