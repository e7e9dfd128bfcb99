"""What a load run did not show, in the one line that it ends with."""

import pytest

from tests.loadlogs import log_of, workload
from touchstone.facts.events import Limit
from touchstone.loadgen.judge import shortfall
from touchstone.loadgen.thresholds import Reading

STATISTICS = (("*", "p99_s"), ("getBuild", "p99_s"), ("*", "error_share"), ("startBuild", "max_s"), ("*", "p50_s"))


@pytest.mark.parametrize(
    ("number", "others"),
    [
        (0, None),
        (1, ""),
        (2, "; nor getBuild p99_s"),
        (4, "; nor getBuild p99_s, error_share, startBuild max_s"),
        (5, "; nor getBuild p99_s, error_share, startBuild max_s, 1 more"),
    ],
)
def test_first_one_is_told_with_its_reason_and_others_by_name(number: int, others: str | None) -> None:
    """The line stays short; the report has the reasons of all."""
    readings = [Reading(Limit(*name, 0.5), None, 5, "indeterminate", "run longer") for name in STATISTICS[:number]]
    told = shortfall(log_of(workload()), readings, own_limits=True)
    first = "not judged: all operations p99_s at most 0.5, run longer"
    assert told == ("" if others is None else first + others)
