"""What a load run hands to its processes arrives whole, and keys go through the environment alone."""

import json
from dataclasses import replace
from pathlib import Path

import msgpack  # type: ignore[import-untyped]
import pytest

from tests.rules.exchanges import OTHER_REF, REF
from touchstone.check.handover import HANDOVER
from touchstone.check.job import child_environment
from touchstone.config import Settings, TargetSettings
from touchstone.facts.events import Limit
from touchstone.loadgen.handover import GO, PART, Go, LoadHandover, deal
from touchstone.loadgen.plan import SCENARIOS, Options, Stage, plan
from touchstone.loadgen.runner import Launch, locust_command
from touchstone.rules.history import Content

KEY = "sk_live_nobody_may_see_this"
CONTENT = Content(REF, "primary", "abc", "ready", 0.5, "mark-1", 3, 1.0, 1.5, "ab" * 32)
GIVEN = Content(OTHER_REF, "second", "given", "ready", 0.0, "", 0, 0.0, 0.0)
STAGE = Stage({"own": (REF,), "ready-second": (OTHER_REF,)}, {REF: CONTENT, OTHER_REF: GIVEN})
FAIRNESS = Options(SCENARIOS["fairness"], "constant:1", 24.0, {"modest": 1.0, "greedy": 20.0}, 20)
STEADY = Options(SCENARIOS["steady"], "constant:10", 9.0, {"read": 3, "start": 2}, 20, ready=1)
GOING = Go(FAIRNESS, STAGE, 123.25, 4, 90, 1000)


def test_handover_arrives_whole_and_its_file_holds_no_key(tmp_path: Path) -> None:
    path = tmp_path / "go.json"
    path.write_text(json.dumps(GO.dump_python(GOING, mode="json")), encoding="utf-8")
    settings = Settings(target=TargetSettings("served", "http://127.0.0.1:1/api", KEY, patience_s=3.0))
    sent = LoadHandover(settings, "runlog.jsonl", str(path), (Limit("*", "p99_s", 1.0),), True)
    received = LoadHandover.received(sent.environment())
    assert (received, received.go()) == (sent, GOING)
    assert received.go().stage.contents[REF].until_at == float("inf")
    assert (KEY in sent.environment()[HANDOVER], KEY in path.read_text(encoding="utf-8")) == (True, False)


def test_key_is_on_no_command_line() -> None:
    settings = Settings(target=TargetSettings(api_key=KEY))
    environment = child_environment(LoadHandover(settings, ""), {"LOCUST_USERS": "9", "GEVENT_LOOP": "x", "PATH": "/b"})
    commands = [locust_command("storm", launch) for launch in (Launch(), Launch(3), Launch(1, 2), Launch(web_port=80))]
    assert (environment.keys() & {"LOCUST_USERS", "GEVENT_LOOP"}, environment["PATH"]) == (set(), "/b")
    assert KEY not in str(commands)


@pytest.mark.parametrize("builds", [40, 7, 2])
def test_parts_of_all_workers_are_the_run(builds: int) -> None:
    going, whole = replace(GOING, options=STEADY, workers=3, builds=builds), plan(STEADY)
    parts = [deal(going, whole, number) for number in range(3)]
    numbers = sorted(number for part in parts for number in part.assigned["number"].tolist())
    assert numbers == list(range(90)) == list(range(parts[0].arrivals))
    assert sum(part.builds for part in parts) + parts[0].builds_after == builds
    if builds < len(whole.needs):
        assert max(part.builds for part in parts) - min(part.builds for part in parts) <= 1
    for part in parts:
        assert PART.validate_python(msgpack.loads(msgpack.dumps(PART.dump_python(part)))) == part
