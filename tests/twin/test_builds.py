"""The life of a build: start, join, reuse, failure, timeout, cancel; and its log."""

from datetime import datetime
from typing import Any

import pytest

from tests.twin.conftest import Serve
from tests.twin.virtual import Api
from touchstone.twin import Engine

PHASES = ["compile", "boot", "install", "snapshot", "record", "archive", "ready"]
SLOW: dict[str, Any] = {"build_s": 600.0, "settle_s": 600.0}


def test_start_is_building_at_once_and_ready_after_its_steps(api: Api) -> None:
    published = api.publish("demo", "sleep 2", "echo x", "sleep 1").json()
    identity = {"ref": published["ref"], "digest": published["digest"]}
    assert api.status().json() == identity | {"status": "not_built"}
    started = api.start()
    assert (started.status, started.json()) == (202, identity | {"status": "building"})
    assert api.status().json() == started.json()
    api.clock.wait(3.5)
    assert api.state() == "building"
    api.clock.wait(0.2)
    # 0.6 s, 3 s of its steps, and the resolution of the timer.
    assert api.status().json() == identity | {"status": "ready", "build_time_ms": 3601, "reused": False}


def test_start_of_a_built_version_reuses_its_golden(api: Api) -> None:
    status = api.built()
    for _ in range(2):
        again = api.start()
        assert (again.status, again.json()) == (202, {**status, "reused": True})
    assert api.status().json() == status
    assert api.publish(query="?auto_build=true").json()["auto_build"] == "ready"


def test_starts_of_a_running_build_join_it(serve: Serve) -> None:
    launched: list[str] = []

    class Counting(Engine):
        def launch(self, version: Any) -> Any:
            launched.append(str(version.ref))
            return super().launch(version)

    api = serve(engine=Counting)
    api.publish()
    path = "/templates/default/demo/1.0.0/build"
    answers = [api.begin("POST", path) for _ in range(8)] + [api.start()]
    assert {(answer.status, answer.json()["status"]) for answer in answers} == {(202, "building")}
    assert all("reused" not in answer.json() for answer in answers)
    assert launched == ["default/demo@1.0.0"]


def test_failing_step_ends_the_build_with_its_reason(api: Api) -> None:
    status = api.built("demo", "echo before", "exit 3", "echo after")
    assert set(status) == {"ref", "digest", "status", "error"}
    assert status["status"] == "failed"
    assert "step 2" in status["error"]
    assert "status 3" in status["error"]
    events = api.log().events()
    assert "after" not in [event["line"] for event in events]
    assert (events[-1]["phase"], events[-1]["level"]) == ("install", "error")
    assert status["error"] in events[-1]["line"]


def test_failed_build_can_be_started_again(api: Api) -> None:
    first = api.built("demo", "exit 1")
    again = api.start()
    assert (again.status, again.json()["status"]) == (202, "building")
    assert "error" not in api.status().json()
    api.log()
    assert api.status().json() == first


def test_build_that_takes_too_long_fails(serve: Serve) -> None:
    api = serve(build_timeout_s=5.0)
    api.publish("demo", "sleep 600")
    api.start()
    api.clock.wait(4.9)
    assert api.state() == "building"
    last = api.log().events()[-1]
    assert (last["phase"], last["level"], round(api.clock.now_s, 6)) == ("timeout", "error", 5.0)
    assert api.status().json()["error"] == last["line"]
    assert api.cancel().json() == {"status": "idle"}


def test_cancelled_build_reads_building_until_it_settles(serve: Serve) -> None:
    api = serve(settle_s=3.0)
    published = api.publish("demo", "sleep 600").json()
    api.start()
    for _ in range(2):
        cancelled = api.cancel()
        assert (cancelled.status, cancelled.json()) == (202, {"status": "cancelling"})
        assert api.state() == "building"
    api.clock.wait(2.9)
    assert api.state() == "building"
    last = api.log().events()[-1]
    assert (last["phase"], last["level"]) == ("cancel", "warn")
    assert api.status().json() == {"ref": published["ref"], "digest": published["digest"], "status": "not_built"}
    idle = api.cancel()
    assert (idle.status, idle.json()) == (404, {"status": "idle"})


@pytest.mark.parametrize("run", [(), ("echo x",), ("exit 1",)])
def test_cancel_with_nothing_in_flight_changes_nothing(api: Api, run: tuple[str, ...]) -> None:
    status = api.built("demo", *run) if run else api.publish().json() and api.status().json()
    cancelled = api.cancel()
    assert (cancelled.status, cancelled.json()) == (404, {"status": "idle"})
    assert api.status().json() == status
    unknown = api.cancel("unknown")
    assert (unknown.status, set(unknown.json())) == (404, {"error", "request_id"})


def test_start_while_cancelling_is_a_fresh_build(serve: Serve) -> None:
    api = serve(settle_s=60.0)
    api.publish("demo", "sleep 2", "echo hello")
    api.start()
    cancelled = api.follow()
    api.cancel()
    api.clock.wait(30)
    assert (api.state(), "hello" in cancelled.text) == ("building", False)
    assert api.start().json()["status"] == "building"
    fresh = api.log().events()
    assert (fresh[-1]["phase"], api.state(), cancelled.is_whole) == ("ready", "ready", False)
    assert "cancel" not in [event["phase"] for event in fresh]
    api.clock.wait(60)
    # The end of the cancelled build does not change its successor.
    assert (cancelled.events()[-1]["phase"], api.state()) == ("cancel", "ready")


def test_cancel_touches_no_other_build(api: Api) -> None:
    for name, version in (("demo", "1.0.0"), ("demo", "1.0.1"), ("other", "1.0.0")):
        api.publish(name, "sleep 60", version=version)
        api.start(name, version)
    api.cancel()
    assert api.cancel("demo", "1.0.1").status == 202
    assert api.cancel("other").status == 202


def test_latency_delays_answers_and_changes_none(serve: Serve) -> None:
    api = serve(latency_s=7.0)
    assert api.built()["status"] == "ready"
    began_s = api.clock.now_s
    assert api.status("unknown").status == 404
    assert api.clock.now_s - began_s == pytest.approx(7.0)


def test_log_goes_through_the_phases_with_the_lines_of_the_steps(api: Api) -> None:
    status = api.built("demo", "echo one  two", "sleep 3.2", "make", "echo 'three  four'")
    answer = api.log()
    events = answer.events()
    assert answer.header("content-type").partition(";")[0] == "text/event-stream"
    for event in events:
        assert {"ts", "level", "phase", "line"} <= set(event) <= {"ts", "level", "phase", "line", "source"}
        assert event["level"] in ("info", "success", "warn", "error")
    assert list(dict.fromkeys(event["phase"] for event in events)) == PHASES
    lines = [event["line"] for event in events if event["phase"] == "install" and "source" not in event]
    assert lines == ["one two", "+ make", "three  four"]
    times = [datetime.fromisoformat(event["ts"]) for event in events]
    assert all(event["ts"].endswith("Z") for event in events)
    assert times == sorted(times)
    assert (times[-1] - times[0]).total_seconds() == pytest.approx(status["build_time_ms"] / 1000)
    assert (events[-1]["phase"], events[-1]["level"]) == ("ready", "success")
    assert f"{status['build_time_ms'] / 1000:.1f} s" in events[-1]["line"]


def test_packages_and_apps_have_lines_with_their_source(api: Api) -> None:
    body = {
        "api_version": "orgo.ai/v1",
        "template": {"name": "demo", "version": "1.0.0"},
        "build": {"apt": ["git"], "pip": ["httpx"], "npm": ["left-pad"], "run": []},
        "apps": [{"name": "web", "run": "serve"}],
    }
    api.request("POST", "/templates?auto_build=true", json_body=body)
    pairs = [(event.get("source"), event["line"]) for event in api.log().events() if event["phase"] == "install"]
    assert [(source, line.split()[-1]) for source, line in pairs[1:]] == [
        ("apt", "git"),
        ("pip", "httpx"),
        ("npm", "left-pad"),
        ("builder", "web"),
    ]


def test_follower_reads_live_and_late_ones_read_the_same(api: Api) -> None:
    api.publish("demo", "echo early", "sleep 60")
    api.start()
    early = api.follow()
    api.clock.wait(30)
    assert "early" in early.text
    assert (early.is_whole, api.state()) == (False, "building")
    late = api.follow()
    assert late.text == early.text
    api.cancel()
    api.clock.wait(1)
    assert early.is_whole
    assert (early.text, api.state()) == (late.text, "not_built")
    assert api.log().text == early.text


def test_logs_are_of_their_own_and_of_the_last_build(api: Api) -> None:
    for name in ("one", "two"):
        api.publish(name, f"echo line of {name}", "sleep 2", f"echo more of {name}")
        api.start(name)
    for name, other in (("one", "two"), ("two", "one")):
        text = " ".join(event["line"] for event in api.log(name).events())
        assert f"more of {name}" in text
        assert f"of {other}" not in text
    api.publish()
    unbuilt = api.log()
    assert (unbuilt.status, set(unbuilt.json())) == (404, {"error", "request_id"})


def test_text_that_could_break_the_framing_stays_in_its_frame(api: Api) -> None:
    api.built("demo", "echo 'a\n\ndata: b\r\u2028 é 🔥'")
    assert "a\n\ndata: b\r\u2028 é 🔥" in [event["line"] for event in api.log().events()]


def test_stopping_server_ends_builds_and_logs(api: Api) -> None:
    api.publish("demo", "sleep 600")
    api.start()
    log = api.follow()
    api.engine.close()
    api.clock.wait(0)
    assert (log.is_whole, log.events()[-1]["phase"], api.state()) == (True, "cancel", "not_built")
