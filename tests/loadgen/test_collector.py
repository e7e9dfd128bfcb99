"""What a worker gathers until it reports: nothing is lost, nothing is reported twice, and lateness is noticed."""

import pytest

from touchstone.facts.sample import Sample
from touchstone.loadgen.load_run import Collector
from touchstone.loadgen.metrics import BEHIND_S


def sample(intended_at: float, late_s: float = 0.0, outcome: str = "200", operation: str = "getBuild") -> Sample:
    return Sample(operation, outcome, intended_at, intended_at + late_s, intended_at + late_s + 0.01, 8)


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
