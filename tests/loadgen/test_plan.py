"""A load before anything is sent: who arrives when, which version each uses, who sends it, and what it costs."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.errors import UsageError
from touchstone.loadgen.plan import ACTIONS, ROOM_TURNS, SCENARIOS, Need, Options, Plan, Schedule, plan, schedule_of

NAMES = tuple(ACTIONS)
MIX = {"read": 88.0, "start": 4.0, "cancel": 4.0, "stream": 4.0}
WEIGHTS = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 60).map(lambda number: number / 10), min_size=1)


def schedule(text: str = "constant:20", seed: int = 1, **more: Any) -> Schedule:
    return schedule_of(replace(Options(SCENARIOS["steady"], text, 40.0, MIX, seed), **more))


def planned(name: str, **changes: Any) -> Plan:
    """The plan of a scenario by its defaults, but for *changes*."""
    chosen = SCENARIOS[name]
    same = ("arrivals", "duration_s", "mix", "builds", "watchers", "build_s", "lines", "ready")
    values = {field: getattr(chosen, field) for field in same} | ({"duration_s": 60.0} if name == "soak" else {})
    return plan(Options(scenario=chosen, seed=20, **(values | changes)))


def due_of(found: Plan, action: str) -> list[float]:
    rows = found.schedule.rows
    return [float(due) for due in rows["due_s"][rows["action"] == NAMES.index(action)]]


def own(found: Plan) -> list[Need]:
    return [need for need in found.needs if need.role == "own"]


@settings(max_examples=30)
@given(weights=WEIGHTS.filter(lambda found: any(found.values())), rate=st.integers(1, 12), workers=st.integers(1, 9))
def test_workers_share_the_schedule_evenly(weights: dict[str, float], rate: int, workers: int) -> None:
    whole = schedule(f"{'poisson:' if rate % 2 else ''}{rate}", seed=rate, mix=weights, duration_s=20.0)
    shares = [whole.share(worker, workers) for worker in range(workers)]
    assert whole.rows["number"].tolist() == list(range(len(whole)))
    assert np.all(np.diff(whole.rows["due_s"]) >= 0)
    assert sorted(number for share in shares for number in share.rows["number"].tolist()) == list(range(len(whole)))
    for share in shares:
        assert share.rows.tolist() == whole.rows[share.rows["number"]].tolist()
        assert np.all(np.diff(share.rows["number"].astype(int)) > 0)
    counts = [[len(share) for share in shares]]
    counts += [[share.counts.get(name, 0) for share in shares] for name in whole.counts]
    assert all(max(of_workers) - min(of_workers) <= 1 for of_workers in counts)


def test_trace_decides_actions_where_it_has_them(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("at_s,operation\n0,stream\n1,read\n50,start\n", "utf-8")
    assert [NAMES[action] for action in schedule(f"trace:{path}").rows["action"]] == ["stream", "read"]
    path.write_text("0\n1\n2\n", "utf-8")
    assert schedule(f"trace:{path}", mix={"read": 2, "start": 1}).counts == {"read": 2, "start": 1}


def test_trace_with_an_unknown_action_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("at_s,operation\n0,read\n# later\n50,START\n", "utf-8")
    with pytest.raises(UsageError, match=f"^{path}:4: found 'START' "):
        schedule(f"trace:{path}")


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_building_arrival_has_a_version_of_its_own(name: str) -> None:
    first, again = planned(name), planned(name)
    assert (again.options, again.needs) == (first.options, first.needs)
    rows = [(NAMES[action], nth) for _, action, _, nth in first.schedule.rows.tolist()]
    assert {action for action, nth in rows if nth >= 0} == {a for a, _ in rows if ACTIONS[a].builds == "own"}
    assert [nth for _, nth in rows if nth >= 0] == list(range(len(own(first))))
    assert [own(first)[nth].purpose for _, nth in rows if nth >= 0] == [action for action, nth in rows if nth >= 0]


def test_storm_starts_all_at_once() -> None:
    found = planned("storm", builds=7)
    assert due_of(found, "start") == [0.0] * 7
    assert [(need.role, need.sleep_s) for need in found.needs] == [
        ("ready", 0.0), ("beside", 0.5), *[("room", 60.0)] * 3, *[("own", 0.5)] * 7,
    ]  # fmt: skip
    assert found.builds() == 2 + 3 + ROOM_TURNS + 7
    assert [need.role for need in planned("storm", builds=5_000).needs].count("room") == 100
    at_a_rate = planned("storm", arrivals="constant:4", duration_s=3.0)
    assert due_of(at_a_rate, "start") == pytest.approx([(n + 0.5) / 4 for n in range(12)])
    assert at_a_rate.builds() == 2 + 4 + ROOM_TURNS + 12


def test_steps_of_a_build_fit_its_purpose() -> None:
    found = planned("steady", build_s=0.8, lines=6)
    kinds = {need.purpose: need for need in own(found)}
    assert kinds["stream"] == Need("own", "stream", sleep_s=0.8, halved=True, more_lines=5)
    assert kinds["cancel"] == Need("own", "cancel", sleep_s=1.6)
    assert kinds["start"].more_lines == 0
    assert {need.purpose for need in planned("steady", duration_s=120.0).needs if need.fails} == {"start"}
    assert [need.role for need in found.needs].count("ready") == 4
    assert [need.role for need in planned("steady", mix={"start": 1}).needs].count("ready") == 0
    churn = planned("churn", builds=3, duration_s=5.0)
    assert [need.role for need in churn.needs] == ["shared"] * 3
    assert (len(churn.schedule), churn.builds()) == (30, 30)


@pytest.mark.parametrize("build_s", [1.2, 4.0, 30.0])
def test_watchers_come_before_the_output(build_s: float) -> None:
    found = planned("watchers", builds=3, watchers=5, build_s=build_s, lines=9)
    watch = due_of(found, "watch")
    assert (due_of(found, "host"), len(watch), found.builds()) == ([0.0] * 3, 15, 3)
    assert 0.3 <= min(watch) <= max(watch) <= build_s / 4 + 1e-9
    assert found.schedule.duration_s > max(watch)
    assert own(found) == [Need("own", "host", sleep_s=build_s, halved=True, more_lines=8)] * 3


def test_fairness_is_modest_alone_and_then_beside_a_greedy_key() -> None:
    found = planned("fairness", arrivals="constant:2", duration_s=10.0, mix={"modest": 1, "greedy": 3})
    modest, greedy = due_of(found, "modest"), due_of(found, "greedy")
    assert modest == pytest.approx([0.25 + n / 2 for n in range(20)])
    assert (len(greedy), min(greedy) >= 5.0) == (30, True)
    beside = [at for at in modest if at >= 5.0]
    assert [sum(one <= at < other for at in greedy) for one, other in pairwise([*beside, 10.0])] == [3] * 10
    assert [(need.role, need.second) for need in found.needs] == [("ready", False), ("ready", True)]


@pytest.mark.parametrize(
    ("name", "changes", "quoted"),
    [
        ("watchers", {"build_s": 1.0}, "--build-s 1: .* 1.2 s"),
        ("watchers", {"builds": 4, "watchers": 1}, "--watchers 1: .* 2"),
        ("fairness", {"mix": {"modest": 1}}, "--mix 'modest=1'"),
        ("fairness", {"mix": {"modest": 9, "greedy": 1}}, "--mix 'modest=9,greedy=1'"),
        ("fairness", {"mix": {"modest": 1, "greedy": 1e12}}, "fairness: .*24,000,000,000,000"),
        ("watchers", {"builds": 100_000, "watchers": 10_000}, "watchers: .*1,000,000,000 .*--builds or --watchers"),
        ("storm", {"arrivals": "constant:90000", "duration_s": 2.0}, "storm: .*180,000 builds; .*--rate or --duration"),
        ("storm", {"builds": 100_001}, "storm: .*100,001 builds; .*100,000.*--builds$"),
    ],
)
def test_plan_that_makes_no_sense_is_refused(name: str, changes: dict[str, Any], quoted: str) -> None:
    with pytest.raises(UsageError, match=f"^{quoted}"):
        planned(name, **changes)


@pytest.mark.parametrize(
    ("name", "changes", "around", "sends", "least_s"),
    [
        # Each of ten builds is started and polled four times; the burst that comes after is served whole.
        ("storm", {"builds": 10, "build_s": 0.5}, 3 + 2 * (12 + 3) + 1 + 26, 10 * (1 + 4) + 120, 0.5),
        # A race is a start, a cancel and a read; its versions are published, cancelled and deleted.
        ("churn", {"builds": 2, "duration_s": 5.0}, 3 + 3 * 2, 3 * 30, 4.9),
        ("watchers", {"build_s": 6.0}, 3 + 2 * 2, 2 * (1 + 26) + 24, 6.0),
        ("steady", {"arrivals": "constant:4", "duration_s": 2.0, "mix": {"cancel": 1}, "build_s": 0.7}, 19, 56, 1.8),
        ("steady", {"arrivals": "constant:4", "duration_s": 2.0, "mix": {"stream": 1}, "build_s": 0.7}, 19, 56, 2.5),
        ("steady", {"arrivals": "constant:4", "duration_s": 2.0, "mix": {"read": 1}}, 119, 8, 1.8),
        ("steady", {"model": "closed", "mix": {"start": 1}, "build_s": 0.7}, 803, 2400, 0.7),
    ],
)
def test_least_cost_is_that_of_an_unrefused_run(
    name: str, changes: dict[str, Any], around: int, sends: int, least_s: float
) -> None:
    found = planned(name, **changes)
    assert (found.around(), found.sends()) == (around, sends)
    assert found.least_s() == pytest.approx(least_s)
