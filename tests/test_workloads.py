"""The scenarios as data, held against the code that plays them, the ledger and the thresholds."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from touchstone.contract import claims
from touchstone.contract.document import Contract
from touchstone.contract.files import load_dir
from touchstone.errors import UsageError
from touchstone.loadgen.arrivals import parse
from touchstone.loadgen.metrics import ALL
from touchstone.loadgen.plan import draw_up
from touchstone.loadgen.thresholds import bundled_thresholds, read_thresholds
from touchstone.loadgen.workloads import (
    ACTIONS,
    AT_ONCE,
    INVARIANTS,
    SCENARIOS,
    Options,
    Scenario,
    mix_of,
    scenario,
)

# What the methods of a client send; see touchstone/loadgen/flows.py.
SENT_BY = {
    "start": {"startBuild", "getBuild"},
    "build": {"startBuild", "getBuild"},
    "await_end": {"getBuild"},
    "until_building": {"getBuild"},
    "follow": {"streamBuildEvents"},
}
MIX = {"read": 88, "start": 4, "cancel": 4, "stream": 4}


def classes_of(name: str) -> Iterator[ast.ClassDef]:
    """The classes of a scenario's file and of those beside it that it imports. Importing them would patch sockets."""
    tree = ast.parse((load_dir() / f"{name}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node
        elif isinstance(node, ast.ImportFrom) and (load_dir() / f"{node.module}.py").exists():
            yield from classes_of(str(node.module))


def methods_of(name: str) -> dict[str, ast.FunctionDef]:
    """The methods of a scenario's classes by name."""
    bodies = (node.body for node in classes_of(name))
    return {node.name: node for body in bodies for node in body if isinstance(node, ast.FunctionDef)}


def sent_by(name: str) -> set[str]:
    """
    The operations that the code of a scenario sends: those that it names, and those that the methods it calls send.
    """
    operations = set(Contract.load().operations)
    found: set[str] = set()
    for method in methods_of(name).values():
        for node in ast.walk(method):
            if isinstance(node, ast.Constant) and node.value in operations:
                found.add(str(node.value))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                found |= SENT_BY.get(node.func.attr, set())
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_has_a_file_that_plays_its_actions(name: str) -> None:
    """load/SCENARIO.py says whose it is, and has a method for each action of its mix and for no other."""
    labels = {
        node.value.value
        for each in classes_of(name)
        for node in each.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and ast.unparse(node.targets[0]) == "scenario"
    }
    played = {method.removeprefix("do_") for method in methods_of(name) if method.startswith("do_")}

    assert labels == {name}
    assert played == set(SCENARIOS[name].mix)


def test_every_action_has_an_operation() -> None:
    """Each action that arrives is timed by an operation of the contract, and played by some scenario."""
    played = {action for each in SCENARIOS.values() for action in each.mix}

    assert set(ACTIONS) == played
    assert {action.operation for action in ACTIONS.values()} <= set(Contract.load().operations)


@pytest.mark.parametrize("name", SCENARIOS)
def test_arrival_sends_its_operation_first(name: str) -> None:
    """The first request of an action, which its arrival is timed by, is of the operation that thresholds know it by."""
    for method_name, method in methods_of(name).items():
        if not method_name.startswith("do_"):
            continue
        calls = [node for node in ast.walk(method) if isinstance(node, ast.Call)]
        named = [
            SENT_BY[call.func.attr] if call.func.attr in SENT_BY else {ast.literal_eval(call.args[0])}
            for call in sorted(calls, key=lambda call: (call.lineno, -call.col_offset))
            if isinstance(call.func, ast.Attribute) and (call.func.attr in SENT_BY or call.func.attr == "send")
        ]
        assert ACTIONS[method_name.removeprefix("do_")].operation in named[0]


@pytest.mark.parametrize("each", SCENARIOS.values(), ids=lambda each: each.name)
def test_defaults_of_a_scenario_make_sense(each: Scenario) -> None:
    """It lasts, its arrivals can be read, its weights are above 0, and what it needs it has."""
    assert SCENARIOS[each.name] is each
    assert each.says.endswith((".", "?"))
    assert each.duration_s > 0
    assert each.build_s > 0
    assert each.lines >= 1
    assert each.mix
    assert all(weight > 0 for weight in each.mix.values())
    assert bool(each.ready) == ("read" in each.mix)
    assert each.needs_second == ("greedy" in each.mix)
    if each.arrivals == AT_ONCE:
        assert each.builds > 0
    else:
        assert str(parse(each.arrivals, each.duration_s)) == each.arrivals


@pytest.mark.parametrize("name", SCENARIOS)
def test_thresholds_are_about_what_a_scenario_sends(name: str) -> None:
    """Each scenario has thresholds, for all operations together and for operations that it does send."""
    limited = {limit.operation for limit in read_thresholds(bundled_thresholds())[name]}

    assert ALL in limited
    assert limited - {ALL} <= sent_by(name)
    assert len(limited) > 1 or name == "soak"


@pytest.mark.parametrize("each", SCENARIOS.values(), ids=lambda each: each.name)
def test_what_a_scenario_shows_is_a_must(each: Scenario) -> None:
    """A run without a verdict on what it was to show is no pass, so each of these claims is known and a must."""
    ledger = claims.load().raised(INVARIANTS)

    assert {claim: ledger[claim].level for claim in each.shows} == dict.fromkeys(each.shows, "must")
    assert not [claim for claim in each.shows if ledger[claim].excluded]
    assert len(set(each.shows)) == len(each.shows)


def test_invariants_are_claims_that_are_judged() -> None:
    """Each invariant is a row of the ledger that is not excluded; raising it changes its level and nothing else."""
    plain, raised = claims.load(), claims.load().raised(INVARIANTS)

    assert len(set(INVARIANTS)) == len(INVARIANTS)
    assert not [claim for claim in INVARIANTS if plain[claim].excluded]
    assert [row.id for row in raised.values()] == [row.id for row in plain.values()]
    assert {id_ for id_ in raised if raised[id_] != plain[id_]} == {
        id_ for id_ in INVARIANTS if plain[id_].level == "should"
    }
    assert {raised[id_].level for id_ in INVARIANTS} == {"must"}


def test_documentation_names_every_scenario() -> None:
    """docs/load.md has a row for each scenario, and for no other."""
    text = (Path(__file__).parent.parent / "docs" / "load.md").read_text(encoding="utf-8")
    table = text.split("## Scenarios")[1].split("##")[0]

    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == list(SCENARIOS)


def test_documentation_has_a_trace_with_every_action(tmp_path: Path) -> None:
    """The example of docs/load.md can be sent by steady and by soak, and names all that they have."""
    text = (Path(__file__).parent.parent / "docs" / "load.md").read_text(encoding="utf-8")
    path = tmp_path / "seen.csv"
    path.write_text(next(block for block in text.split("```")[1::2] if block.startswith("\nat_s")), encoding="utf-8")

    for name in ("steady", "soak"):
        mix = SCENARIOS[name].mix
        assert draw_up(Options(SCENARIOS[name], f"trace:{path}", 20.0, mix, 1)).counts == dict.fromkeys(mix, 1)
    assert [list(SCENARIOS[name].mix) for name in ("storm", "churn")] == [["start"], ["race"]]


def test_unknown_scenario_names_the_nearest() -> None:
    """A name with a letter too many is answered by the one that was meant."""
    assert scenario("soak") is SCENARIOS["soak"]
    with pytest.raises(UsageError, match=r"^scenario 'stom': no such scenario; did you mean storm\?$"):
        scenario("stom")
    with pytest.raises(UsageError, match="known: churn, fairness, soak, steady, storm, watchers"):
        scenario("zzz")


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("read=90,start=10", {"read": 90, "start": 10}),
        (" start = 0.5 , read=0", {"start": 0.5}),
        ("stream=1e-3", {"stream": 0.001}),
    ],
)
def test_mix_names_weights(text: str, weights: dict[str, float]) -> None:
    """What is named has its weight, and what is not named or has none does not arrive."""
    assert mix_of(text, MIX) == weights


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reed=1", r"--mix 'reed=1': unknown action; did you mean read\?"),
        ("zzz=1", "--mix 'zzz=1': unknown action; known: cancel, read, start, stream"),
        ("", "--mix '': unknown action; known: cancel, read, start, stream"),
        ("read=1,", "--mix '': unknown action; known: cancel, read, start, stream"),
        ("read", "--mix 'read': expected action=weight with a weight of 0 or more"),
        ("read=", "--mix 'read=': expected action=weight with a weight of 0 or more"),
        ("start=1,read=x", "--mix 'read=x': expected action=weight with a weight of 0 or more"),
        ("read=-1", "--mix 'read=-1': expected action=weight with a weight of 0 or more"),
        ("read=nan", "--mix 'read=nan': expected action=weight with a weight of 0 or more"),
        ("read=inf", "--mix 'read=inf': expected action=weight with a weight of 0 or more"),
        ("read=1=2", "--mix 'read=1=2': expected action=weight with a weight of 0 or more"),
        ("read=1,start=2,read=3", "--mix 'read=1,start=2,read=3': read has two weights; keep one of them"),
        ("read=0,start=0", "--mix 'read=0,start=0': no action is left; give one of read, start, cancel, stream a"),
    ],
)
def test_wrong_mix_says_what_is_wrong(text: str, message: str) -> None:
    """The message names the part that does not fit, what was expected, and the nearest action."""
    with pytest.raises(UsageError, match=f"^{message}"):
        mix_of(text, MIX)


def test_flags_that_change_nothing_are_known() -> None:
    """Which scenario heeds which flag follows from what it is made of."""
    heeded = {
        flag: {name for name, each in SCENARIOS.items() if each.heeds(flag)}
        for flag in ("builds", "watchers", "lines", "rate", "arrivals", "mix", "build-s", "users")
    }
    every = set(SCENARIOS)

    assert heeded == {
        "builds": {"storm", "churn", "watchers"},
        "watchers": {"watchers"},
        "lines": {"steady", "soak", "watchers"},
        "rate": every - {"watchers"},
        "arrivals": every - {"watchers"},
        "mix": {"steady", "soak", "fairness"},
        "build-s": every - {"fairness"},
        "users": {"steady", "churn", "soak"},
    }
