"""The scenarios as data: against the claims and the thresholds that they need, and the flags that choose among them."""

import pytest

from touchstone.contract import claims
from touchstone.errors import UsageError
from touchstone.loadgen.thresholds import STATISTICS, bundled_thresholds, read_thresholds
from touchstone.loadgen.workloads import INVARIANTS, SCENARIOS, Scenario, mix_of, scenario

MIX = {"read": 88, "start": 4, "cancel": 4, "stream": 4}
LEDGER = claims.load().raised(INVARIANTS)
EACH = pytest.mark.parametrize("each", SCENARIOS.values(), ids=lambda each: each.name)


@EACH
def test_bundled_thresholds_fit_a_scenario(each: Scenario) -> None:
    limits = read_thresholds(bundled_thresholds())[each.name]
    assert ("*", "error_share") in {(limit.operation, limit.statistic) for limit in limits}
    assert "time" in {STATISTICS[limit.statistic].sort for limit in limits}
    assert each.drift == ("drift" in {STATISTICS[limit.statistic].sort for limit in limits})
    assert len({(limit.operation, limit.statistic) for limit in limits}) == len(limits)


@EACH
def test_claims_that_a_scenario_shows_are_judged_musts(each: Scenario) -> None:
    assert {LEDGER[claim].level for claim in each.claims} == {"must"}
    assert not [claim for claim in (*each.claims, *INVARIANTS) if LEDGER[claim].excluded]


@pytest.mark.parametrize("name", ["stom", "zzz", ""])
def test_unknown_scenario_is_an_error(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name!r}.*storm"):
        scenario(name)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("read=90,start=10", {"read": 90, "start": 10}),
        (" start = 0.5 , read=0", {"start": 0.5}),
        ("stream=1e-3", {"stream": 0.001}),
    ],
)
def test_mix_is_read_from_text(text: str, weights: dict[str, float]) -> None:
    assert mix_of(text, MIX) == weights


@pytest.mark.parametrize(
    ("text", "part"),
    [
        *((text, text) for text in ("reed=1", "zzz=1", "", "read", "read=", "read=-1", "read=nan", "read=inf")),
        *((text, text) for text in ("read=1=2", "read=1,start=2,read=3", "read=0,start=0")),
        ("read=1,", ""),
        ("start=1,read=x", "read=x"),
    ],
)
def test_wrong_mix_is_an_error(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=f"^--mix {part!r}: "):
        mix_of(text, MIX)


ALL = set(SCENARIOS)


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("builds", {"storm", "churn", "watchers"}),
        ("watchers", {"watchers"}),
        ("lines", {"steady", "soak", "watchers"}),
        ("rate", ALL - {"watchers"}),
        ("arrivals", ALL - {"watchers"}),
        ("mix", {"steady", "soak", "fairness"}),
        ("build-s", ALL - {"fairness"}),
        ("users", {"steady", "churn", "soak"}),
        ("seed", ALL),
    ],
)
def test_scenario_uses_the_flags_that_change_it(flag: str, names: set[str]) -> None:
    assert {name for name, each in SCENARIOS.items() if each.uses(flag)} == names
