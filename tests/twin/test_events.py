"""The event stream over HTTP."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import httpx
import pytest

from tests.twin.conftest import SECOND, Api, frames_of, paced
from touchstone.twin.build import Stream

EVENTS = "/templates/default/demo/1.0.0/build/events"
PHASES = ["compile", "boot", "install", "snapshot", "record", "archive", "ready"]


def test_stream_is_server_sent_events_of_compact_json(api: Api) -> None:
    """The media type is that of event streams, every frame one data line, every event known fields."""
    api.built()
    response = api.http.get(EVENTS)
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert '"phase":"ready"' in response.text
    for event in frames_of(response.text):
        assert {"ts", "level", "phase", "line"} <= set(event) <= {"ts", "level", "phase", "line", "source"}
        assert event["level"] in ("info", "success", "warn", "error")


def test_stream_goes_through_the_phases_and_tells_the_steps(api: Api) -> None:
    """Phases keep their order; packages, steps and apps have a line each, in the order of the document."""
    api.built("demo", "echo one  two", "make", "echo 'three  four'")
    events = api.events()
    assert list(dict.fromkeys(event["phase"] for event in events)) == PHASES
    lines = [event["line"] for event in events if event["phase"] == "install" and "source" not in event]
    assert lines == ["one two", "+ make", "three  four"]


def test_packages_and_apps_have_lines_with_their_source(api: Api) -> None:
    """The source of a package's line is its installer."""
    body = {
        "api_version": "orgo.ai/v1",
        "template": {"name": "demo", "version": "1.0.0"},
        "build": {"apt": ["git"], "pip": ["httpx"], "npm": ["left-pad"], "run": []},
        "apps": [{"name": "web", "run": "serve"}],
    }
    api.http.post("/templates?auto_build=true", json=body)
    said = [(event.get("source"), event["line"]) for event in api.events() if event["phase"] == "install"]
    assert said[1:] == [
        ("apt", "installed git"),
        ("pip", "installed httpx"),
        ("npm", "installed left-pad"),
        ("builder", "installed app web"),
    ]


def test_times_are_utc_in_order_and_within_the_build(api: Api) -> None:
    """Time stamps end in Z, never decrease, and are as far apart as the steps make them."""
    api.built("demo", "sleep 0.02")
    stamps = [event["ts"] for event in api.events()]
    assert all(stamp.endswith("Z") for stamp in stamps)
    times = [datetime.fromisoformat(stamp) for stamp in stamps]
    assert times == sorted(times)
    assert (times[-1] - times[0]).total_seconds() >= 0.019


@pytest.mark.parametrize(("pause", "stated"), [("0.2", "0.2 s"), ("0", "0.0 s")])
def test_last_line_of_a_success_agrees_with_the_status(api: Api, pause: str, stated: str) -> None:
    """The seconds of the ready line are the milliseconds of the status, to one decimal."""
    status = api.built("demo", f"sleep {pause}")
    last = api.events()[-1]
    assert (last["phase"], last["level"]) == ("ready", "success")
    assert f"{status['build_time_ms'] / 1000:.1f} s" in last["line"]
    assert {"ready", "golden"} <= set(last["line"].split())


def test_last_line_of_a_failure_is_an_error_of_the_install_phase(api: Api) -> None:
    """It carries the reason that the status gives."""
    status = api.built("demo", "exit 1")
    last = api.events()[-1]
    assert (last["phase"], last["level"], last["line"]) == ("install", "error", f"build failed: {status['error']}")


def test_subscriber_reads_live_and_until_the_end(api: Api) -> None:
    """Frames arrive while the build runs; when the stream closes the status is final."""
    api.publish("demo", "echo early", "sleep 600")
    api.start()
    with api.http.stream("GET", EVENTS) as stream:
        lines = (line for line in stream.iter_lines() if line)
        while "early" not in next(lines):
            pass
        assert api.status().json()["status"] == "building"
        api.cancel()
        assert '"phase":"cancel"' in list(lines)[-1]
        assert api.status().json()["status"] == "not_built"


def test_late_and_repeated_subscribers_read_the_same(api: Api) -> None:
    """The whole stream is replayed, during the build and after it."""
    api.publish("demo", "echo x", "sleep 0.05")
    api.start()
    with api.http.stream("GET", EVENTS) as early:
        first = next(early.iter_text())
        during = api.http.get(EVENTS).text
    assert during.startswith(first)
    assert api.http.get(EVENTS).text == during


def test_stream_is_of_its_own_build_only(api: Api) -> None:
    """Two builds at the same time do not mix their lines."""
    for name in ("one", "two"):
        api.publish(name, f"echo line of {name}", "sleep 0.02", f"echo more of {name}")
        api.start(name)
    for name, other in (("one", "two"), ("two", "one")):
        text = " ".join(event["line"] for event in api.events(name))
        assert f"line of {name}" in text
        assert f"of {other}" not in text


def test_stream_of_the_last_build_replaces_the_one_before(connect: Callable[..., Api]) -> None:
    """After a cancelled build and a new one the stream is that of the new one."""
    api = connect(engine=paced(600.0, 0.01))
    api.publish()
    api.start()
    api.cancel()
    assert api.events()[-1]["phase"] == "cancel"
    api.start()
    assert "cancel" not in [event["phase"] for event in api.events()]


def test_stream_of_what_was_never_built_is_404(api: Api) -> None:
    """There is nothing to replay; the same goes for unknown versions."""
    api.publish()
    for path in (EVENTS, EVENTS.replace("demo", "unknown")):
        response = api.http.get(path)
        assert (response.status_code, set(response.json())) == (404, {"error", "request_id"})


def test_closing_a_stream_without_a_last_event_ends_it() -> None:
    """A subscriber that waits is told of the end itself."""

    async def run() -> list[bytes]:
        stream = Stream()
        stream.emit(b"one")
        asyncio.get_running_loop().call_soon(stream.close)
        return [frame async for frame in stream.follow()]

    assert asyncio.run(asyncio.wait_for(run(), 20)) == [b"one"]


def test_client_that_goes_away_does_no_harm(api: Api) -> None:
    """A stream that is given up half-way leaves the build and other streams alone."""
    api.publish("demo", "sleep 0.1")
    api.start()
    with api.http.stream("GET", EVENTS) as stream:
        next(stream.iter_bytes())
    assert api.events()[-1]["phase"] == "ready"


def test_text_that_could_break_the_framing_stays_in_its_frame(api: Api) -> None:
    """Line ends and separators in a step's text are escaped, other scripts are kept."""
    api.built("demo", "echo 'a\n\ndata: b\r\u2028 é 🔥'")
    assert "a\n\ndata: b\r\u2028 é 🔥" in [event["line"] for event in api.events()]


def test_events_need_the_owner(slow: Api) -> None:
    """Another account's stream is 404, and no frame of it leaks."""
    slow.publish()
    slow.start()
    response = httpx.get(slow.url + EVENTS, headers={"Authorization": f"Bearer {SECOND}"})
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
