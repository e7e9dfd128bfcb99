"""The scenarios as data: the thresholds that they need, and the flags that choose among them."""

import pytest

from touchstone.errors import UsageError
from touchstone.loadgen.plan import SCENARIOS, Scenario, mix_of
from touchstone.loadgen.thresholds import STATISTICS, read_thresholds

MIX = {"read": 88, "start": 4, "cancel": 4, "stream": 4}


@pytest.mark.parametrize("each", SCENARIOS.values(), ids=lambda each: each.name)
def test_bundled_thresholds_fit_a_scenario(each: Scenario) -> None:
    limits = read_thresholds()[each.name]
    assert ("*", "error_share") in {(limit.operation, limit.statistic) for limit in limits}
    assert "time" in {STATISTICS[limit.statistic].sort for limit in limits}
    assert each.drift == ("drift" in {STATISTICS[limit.statistic].sort for limit in limits})
    assert len({(limit.operation, limit.statistic) for limit in limits}) == len(limits)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        *((text, text) for text in ("reed=1", "zzz=1", "", "read", "read=", "read=-1", "read=nan", "read=inf")),
        *((text, text) for text in ("read=1=2", "read=1,start=2,read=3", "read=0,start=0")),
        ("start=1,read=x", "read=x"),
    ],
)
def test_wrong_mix_is_an_error(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=f"^--mix {part!r}: "):
        mix_of(text, MIX)
