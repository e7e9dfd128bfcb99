"""
A run of plain Schemathesis: which complaints are told apart, what a file that was cut off still says, what is asked.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from tests.bench.plain import HERE, PUBLISHED, Alarm, Order, alarms_in, arguments, requests_in


def scenario(*failures: dict[str, Any], method: str = "GET") -> str:
    """The line about one scenario with one request, whose check failed in so many ways."""
    checks = [{"name": "check", "status": "failure", "failure_info": {"failure": failure}} for failure in failures]
    recorder = {
        "cases": {"c": {"value": {"method": method, "path": "/x"}}},
        "checks": {"c": [*checks, {"name": "other", "status": "success"}]},
        "interactions": {"c": {}},
    }
    return json.dumps({"ScenarioFinished": {"recorder": recorder}}) + "\n"


def events(folder: Path, *lines: str) -> Path:
    """A file of events."""
    path = folder / "events.ndjson"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_alarms_of_one_kind_are_one(tmp_path: Path) -> None:
    """The same complaint about the same operation counts once, one about another operation is another one."""
    failure = {"code": "ST103", "message": "Undocumented"}
    path = events(tmp_path, scenario(failure), scenario(failure, failure), scenario(failure, method="PUT"))
    assert alarms_in(path) == {Alarm("check", "ST103", "GET /x"), Alarm("check", "ST103", "PUT /x")}


def test_alarm_names_what_was_wrong_with_the_request(tmp_path: Path) -> None:
    """One false alarm about an accepted request does not hide another request that is accepted by mistake."""
    failures = [{"code": "ST201", "message": f"Accepted\nInvalid component: {what}\nmore"} for what in ("a", "b")]
    path = events(tmp_path, scenario(*failures), scenario({"code": "ST301", "operation": "DELETE /x", "message": ""}))
    assert {alarm.detail for alarm in alarms_in(path)} == {"a", "b", "after DELETE /x"}


def test_check_that_passes_is_no_alarm(tmp_path: Path) -> None:
    """Only failures are complaints."""
    assert alarms_in(events(tmp_path, scenario())) == frozenset()


def test_error_of_a_run_is_an_alarm(tmp_path: Path) -> None:
    """An operation that could not be tested is a complaint about it."""
    error = {"NonFatalError": {"value": {"type": "ReadTimeout"}, "label": "GET /x"}}
    assert {str(alarm) for alarm in alarms_in(events(tmp_path, json.dumps(error)))} == {"ReadTimeout on GET /x"}


def test_file_that_ends_in_the_middle_of_a_line_counts_up_to_there(tmp_path: Path) -> None:
    """Of a run that was killed, the complaints and the requests that it had told of count."""
    line = scenario({"code": "ST103", "message": ""})
    path = events(tmp_path, line, scenario(), line[:50])
    assert (len(alarms_in(path)), requests_in(path)) == (1, 2)
    assert (alarms_in(tmp_path / "none"), requests_in(tmp_path / "none")) == (frozenset(), 0)


def test_default_preset_adds_a_key_and_nothing_else(tmp_path: Path) -> None:
    """By itself Schemathesis has its own settings, the key apart; the best ones come from a file."""
    default, best = (arguments(Order(None, preset, 7, tmp_path), "http://x") for preset in ("default", "best"))
    assert [part for part in default if part not in best] == ["--header", "Authorization: Bearer sk_live_test_primary"]
    assert not [part for part in default if part.startswith(("--phases", "--checks", "--max-examples"))]


def test_best_preset_names_what_is_published() -> None:
    """The dictionaries of best.toml and the versions that are published beforehand agree, and every file is there."""
    settings = tomllib.loads((HERE / "best.toml").read_text(encoding="utf-8"))
    assert settings["dictionaries"]["names"]["values"] == list(PUBLISHED)
    users = json.loads((HERE / settings["auth"]["wfc"]["path"]).read_text(encoding="utf-8"))["auth"]
    assert [user["name"] for user in users] == settings["auth"]["wfc"]["peers"]
