"""Coverage: the cells that a run met, from its run log, and the command that counts them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.command import Shell, called
from tests.report.checklogs import header
from tests.rules.exchanges import OTHER_REF, REF, exchange, publish
from tests.rules.stories import cancel, delete, forced, read, start, template
from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Credential, Exchange
from touchstone.proof import coverage
from touchstone.proof.coverage import CELLS, Cell, cells, emptiest, groups

PUBLISH = publish(1.0)
BUILDING = (PUBLISH, start(2.0))
READY = (*BUILDING, read(3.0, "ready"))
FAILED = (*BUILDING, read(3.0, "failed"))
CANCELLED = (*BUILDING, cancel(3.0))
READ = Cell("getBuild", "building", "owner", "long after", "early", "no other build")


def met(*exchanges: Exchange, **settings: object) -> set[Cell]:
    found = cells(RunLog(header(settings={"target": settings}), exchanges))
    assert found <= set(CELLS)
    return found


def last(*exchanges: Exchange) -> set[Cell]:
    """The cells that only the last request met."""
    return met(*exchanges) - met(*exchanges[:-1])


@pytest.mark.parametrize(
    ("before", "state"),
    [
        ((), "absent"),
        ((PUBLISH,), "not_built"),
        ((*READY, forced(4.0)), "not_built"),
        ((*READY, publish(4.0)), "ready"),
        ((publish(1.0, auto_build="building"),), "building"),
        (BUILDING, "building"),
        (READY, "ready"),
        (FAILED, "failed"),
        (CANCELLED, "cancelled"),
        ((*CANCELLED, read(4.0, "not_built")), "cancelled"),
        ((*BUILDING, start(4.0, 429), cancel(5.0, 404), delete(6.0, 404)), "building"),
        ((*BUILDING, read(3.0, "failed", credential="second")), "building"),
        ((PUBLISH, read(1.9, "not_built", done_at=9.0), start(2.0)), "building"),
        ((*BUILDING, exchange("streamBuildEvents", frames=[{"phase": "ready"}], seq=30, sent_at=3.0)), "ready"),
        ((*BUILDING, exchange("streamBuildEvents", frames=[{"level": "error"}], seq=30, sent_at=3.0)), "failed"),
    ],
)
def test_state_is_what_was_last_acknowledged(before: Sequence[Exchange], state: str) -> None:
    assert {cell.state for cell in last(*before, template(20.0))} == {state}


def test_caller_is_seen_from_the_version() -> None:
    callers: dict[Credential, str] = {"lowercase-scheme": "owner", "second": "other account", "none": "no valid key"}
    for credential, caller in callers.items():
        assert last(*BUILDING, read(9.0, credential=credential)) == {READ._replace(caller=caller)}
    (cell,) = last(publish(1.0, credential="second"), template(9.0, credential="second"))
    assert cell.caller == "owner"


@pytest.mark.parametrize(
    ("before", "request_at", "moment"),
    [
        ((), 1.0, "before any change"),
        (BUILDING, 2.3, "during a change"),
        (BUILDING, 2.52, "just after"),
        (BUILDING, 2.6, "long after"),
        ((*BUILDING, start(4.0)), 4.2, "long after"),
        (READY, 3.52, "just after"),
    ],
)
def test_moment_is_relative_to_the_nearest_change(before: Sequence[Exchange], request_at: float, moment: str) -> None:
    """A start that joins a build changes nothing."""
    assert {cell.moment for cell in last(*before, template(request_at))} == {moment}


def test_log_that_is_open_during_a_change_meets_two_cells() -> None:
    log = exchange("streamBuildEvents", frames=[{"phase": "boot"}] * 30, seq=25, sent_at=2.6)
    found = {cell.moment for cell in met(*CANCELLED, log) if cell.operation == "streamBuildEvents"}
    assert found == {"during a change", "long after"}


def test_fifth_request_of_a_caller_is_repeated() -> None:
    reads = [read(float(second)) for second in range(3, 8)]
    assert [cell.time for cell in last(*BUILDING, *reads)] == ["repeated"]
    assert last(*BUILDING, *reads[:4]) == set()
    assert last(*BUILDING, *reads[:4], read(8.0, credential="second")) == {READ._replace(caller="other account")}


@pytest.mark.parametrize(("account", "neighbour"), [("primary", "beside a build"), ("second", "no other build")])
def test_neighbour_is_a_build_of_the_same_account(account: Credential, neighbour: str) -> None:
    other: Any = {"ref": OTHER_REF, "credential": account}
    before = (PUBLISH, publish(1.1, **other), start(1.7, **other), read(6.0, **other))
    assert [cell.neighbour for cell in last(*before, template(5.0))] == [neighbour]
    assert [cell.neighbour for cell in last(*before, template(7.0))] == ["no other build"]


def test_versions_of_unknown_history_are_left_out() -> None:
    assert met(read(1.0), templates={"buildable": [REF]}) == set()
    assert met(read(1.0, ref="system/claude-code@1.0.0"), read(2.0, ref=None)) == set()


def test_groups_count_met_cells_and_the_emptiest_come_first() -> None:
    whole = [cell for cell in CELLS if cell.operation != "cancelBuild"]
    number, total = groups(whole, "operation")["getBuild",]
    assert number == total == len(CELLS) - len(whole)
    group, number, _ = next(emptiest(whole))
    assert (group.split()[0], number) == ("cancelBuild", 0)


def test_command_prints_shares_and_writes_the_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = [cell for cell in CELLS if (cell.operation, cell.state) == ("getBuild", "ready")]
    found = {"quick": set[Cell](), "standard": {READ}, "thorough": {READ, *ready}}
    monkeypatch.setattr(coverage, "checked", lambda *_: found)
    ended = called(Shell(tmp_path, columns=100), monkeypatch, capsys, "prove", "--coverage", "--report-dir", "proof")
    assert (ended.code, ended.last_line.split()[:2]) == (0, ["exit", "0:"])
    rows = [line.split() for line in ended.out.splitlines()]
    assert ["getBuild", "0/0/0", "0/0/0", "0/3/3", "0/0/100", "0/0/0", "0/0/0"] in rows
    assert ["thorough", "37", f"{len(CELLS):,}", "2%"] in rows
    written = json.loads((tmp_path / "proof" / "coverage.json").read_text("utf-8"))
    assert {name: {Cell(*cell) for cell in cells} for name, cells in written["met"].items()} == found
