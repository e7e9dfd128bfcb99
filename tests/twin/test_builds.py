"""The life of a build over HTTP: starting, joining, reusing, failing, timing out, cancelling."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.twin.conftest import Api, paced
from touchstone.twin import Engine, TwinSettings
from touchstone.twin.build import Build
from touchstone.twin.catalog import Ref, Version


def states(api: Api) -> tuple[int, Any]:
    """Status code and state of the default version."""
    response = api.status()
    return response.status_code, response.json()["status"]


def test_published_version_is_not_built(api: Api) -> None:
    """Before any start the status has exactly ref, digest and ``not_built``."""
    published = api.publish().json()
    assert api.status().json() == {"ref": published["ref"], "digest": published["digest"], "status": "not_built"}


def test_start_is_202_building_and_visible_at_once(slow: Api) -> None:
    """A start does not wait for its build, and the next read knows of it."""
    published = slow.publish().json()
    building = {"ref": published["ref"], "digest": published["digest"], "status": "building"}
    response = slow.start()
    assert (response.status_code, response.json()) == (202, building)
    assert slow.status().json() == building


def test_finished_build_is_ready_with_its_time(api: Api) -> None:
    """Ready comes with whole milliseconds, which are not less than the steps take."""
    status = api.built("demo", "sleep 0.02", "echo x", "sleep 0.01")
    assert set(status) == {"ref", "digest", "status", "build_time_ms", "reused"}
    assert (status["status"], status["reused"]) == ("ready", False)
    assert isinstance(status["build_time_ms"], int)
    assert status["build_time_ms"] >= 40


def test_start_of_what_is_built_is_ready_and_reused(api: Api) -> None:
    """The golden is reused at once, with the time of the build that made it, as often as one likes."""
    status = api.built()
    for _ in range(2):
        response = api.start()
        assert (response.status_code, response.json()) == (202, {**status, "reused": True})
    assert api.status().json() == status


def test_start_while_building_joins_the_build(slow: Api) -> None:
    """A second start answers ``building`` and starts nothing: one cancel ends it all."""
    slow.publish()
    first, second = slow.start(), slow.start()
    assert (second.status_code, second.json()) == (202, first.json())
    assert "reused" not in second.json()


def test_simultaneous_starts_make_one_build(connect: Callable[..., Api]) -> None:
    """However many clients start one digest at the same time, it is built once."""
    launched: list[str] = []

    class Counting(Engine):
        def launch(self, version: Any) -> Any:
            launched.append(str(version.ref))
            return super().launch(version)

    api = connect(engine=Counting, build_s=600.0)
    api.publish()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.start(), range(24)))
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(202, "building")}
    assert launched == ["default/demo@1.0.0"]


def test_failing_step_ends_the_build_as_failed_with_its_reason(api: Api) -> None:
    """The error names the step and its exit status; what comes after the step is not done."""
    status = api.built("demo", "echo before", "exit 3", "echo after")
    assert set(status) == {"ref", "digest", "status", "error"}
    assert (status["status"], status["error"]) == ("failed", "build.run step 2 ended with exit status 3")
    assert "after" not in [event["line"] for event in api.events()]


def test_failed_build_can_be_started_again(connect: Callable[..., Api]) -> None:
    """A start after a failure is a new build, and the old error is gone while it runs."""
    api = connect(engine=paced(0.01, 600.0))
    api.built("demo", "exit 1")
    response = api.start()
    assert (response.status_code, response.json()["status"]) == (202, "building")
    assert "error" not in api.status().json()


def test_repeated_failure_is_a_failure_again(api: Api) -> None:
    """The second build of a failing template ends like the first."""
    first = api.built("demo", "exit 1")
    api.start()
    api.events()
    assert api.status().json() == first


def test_build_that_takes_too_long_fails(connect: Callable[..., Api]) -> None:
    """The timeout ends it as failed, and the stream in the phase ``timeout``."""
    api = connect(build_timeout_s=0.02)
    status = api.built("demo", "sleep 600")
    assert (status["status"], status["error"]) == ("failed", "build timed out after 0.02 s")
    last = api.events()[-1]
    assert (last["phase"], last["level"]) == ("timeout", "error")
    assert api.cancel().json() == {"status": "idle"}


def test_build_of_no_length_still_ends_after_its_start_was_answered(connect: Callable[..., Api]) -> None:
    """Even an instant build answers ``building`` first."""
    api = connect(build_s=0.0)
    api.publish()
    assert api.start().json()["status"] == "building"
    api.events()
    assert api.status().json()["build_time_ms"] >= 1


def test_cancel_of_a_build_in_flight_is_202_and_reads_building_until_it_settles(slow: Api) -> None:
    """The acknowledgement is ``cancelling``, a second one too, and the status enum has no such value."""
    slow.publish()
    slow.start()
    for _ in range(2):
        response = slow.cancel()
        assert (response.status_code, response.json()) == (202, {"status": "cancelling"})
        assert states(slow) == (200, "building")


def test_cancelled_build_settles_as_not_built(connect: Callable[..., Api]) -> None:
    """When the stream of a cancelled build closes, the version is not built, and a cancel finds nothing."""
    api = connect(build_s=600.0, settle_s=0.01)
    published = api.publish().json()
    api.start()
    api.cancel()
    assert (api.events()[-1]["phase"], api.events()[-1]["level"]) == ("cancel", "warn")
    assert api.status().json() == {"ref": published["ref"], "digest": published["digest"], "status": "not_built"}
    assert (api.cancel().status_code, api.cancel().json()) == (404, {"status": "idle"})


@pytest.mark.parametrize("run", [(), ("echo x",), ("exit 1",)])
def test_cancel_with_nothing_in_flight_is_404_idle_and_changes_nothing(api: Api, run: tuple[str, ...]) -> None:
    """Never built, ready and failed versions are idle, and stay what they are."""
    status = api.built("demo", *run) if run else api.publish().json() and api.status().json()
    response = api.cancel()
    assert (response.status_code, response.json()) == (404, {"status": "idle"})
    assert api.status().json() == status


def test_cancel_of_an_unknown_version_is_an_ordinary_404(api: Api) -> None:
    """What does not exist is not idle."""
    response = api.cancel("unknown")
    assert (response.status_code, set(response.json())) == (404, {"error", "request_id"})


def test_start_while_cancelling_is_a_fresh_build_that_completes(connect: Callable[..., Api]) -> None:
    """A start does not join a dying build."""
    api = connect(engine=paced(600.0, 0.01), settle_s=600.0)
    api.publish()
    api.start()
    api.cancel()
    response = api.start()
    assert (response.status_code, response.json()["status"]) == (202, "building")
    assert api.events()[-1]["phase"] == "ready"
    assert states(api) == (200, "ready")


def test_settling_build_leaves_its_successor_alone(connect: Callable[..., Api]) -> None:
    """When the dying build is gone, the one that was started meanwhile goes on."""
    api = connect(build_s=600.0, settle_s=0.02)
    api.publish()
    api.start()
    with api.http.stream("GET", "/templates/default/demo/1.0.0/build/events") as dying:
        lines = dying.iter_lines()
        next(lines)
        api.cancel()
        api.start()
        assert '"phase":"cancel"' in [line for line in lines if line][-1]
    assert states(api) == (200, "building")


def test_cancelled_build_stops_working_at_once(connect: Callable[..., Api]) -> None:
    """While it settles nothing happens in it any more: it cannot finish after all."""
    api = connect(engine=paced(0.05, 0.1), settle_s=600.0)
    api.publish()
    api.start()
    assert api.cancel().status_code == 202
    api.built("later")
    assert states(api) == (200, "building")


def test_build_ends_once() -> None:
    """A build whose version goes away while it settles has one last event and one end."""
    ends: list[str] = []

    async def run() -> list[bytes]:
        build = Build(
            Version("", Ref("", "", ""), "", "", {}),
            TwinSettings(build_s=600.0, settle_s=0.0),
            lambda ended: ends.append(ended.outcome),
        )
        build.launch()
        build.cancel()
        build.end_cancelled("replaced")
        settled = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, settled.set)
        await settled.wait()
        return [frame async for frame in build.stream.follow()]

    frames = asyncio.run(run())
    assert (ends, len(frames)) == (["cancelled"], 1)


def test_cancelled_build_leaves_no_golden(connect: Callable[..., Api]) -> None:
    """After a cancelled build the next one is built, not reused, and completes."""
    api = connect(engine=paced(600.0, 0.01))
    api.publish()
    api.start()
    api.cancel()
    api.events()
    assert states(api) == (200, "not_built")
    assert api.start().json()["status"] == "building"
    api.events()
    assert states(api) == (200, "ready")


def test_cancel_touches_no_other_build(slow: Api) -> None:
    """Other versions of the account go on building."""
    for name, version in (("demo", "1.0.0"), ("demo", "1.0.1"), ("other", "1.0.0")):
        slow.publish(name, version=version)
        slow.start(name, version)
    slow.cancel()
    assert slow.cancel("demo", "1.0.1").status_code == 202
    assert slow.cancel("other").status_code == 202


def test_status_of_many_versions_is_their_own(api: Api) -> None:
    """One version fails, one succeeds, one is not built, and none is confused with another."""
    good, bad = api.built("good"), api.built("bad", "exit 1")
    api.publish("idle")
    assert [api.status(name).json()["status"] for name in ("good", "bad", "idle")] == ["ready", "failed", "not_built"]
    assert api.status("good").json() == good
    assert api.status("bad").json() == bad


def test_latency_delays_answers_and_changes_none(connect: Callable[..., Api]) -> None:
    """A slow twin keeps the same promises, refusals included."""
    api = connect(latency_s=0.01)
    assert api.built()["status"] == "ready"
    assert api.status("unknown").status_code == 404
