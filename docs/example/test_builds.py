"""Tests of builds.py with both fixtures of touchstone: recordings, and a live server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builds import POLL_S, BuildCancelled, BuildFailed, Builds, GaveUp, LogBrokeOff, Refused

from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.recordings import har
from touchstone.recordings.fixtures import BuildRecordings
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.servers import ServedRecording, ServedTwin

REF = "default/written@1.0.0"
START = Request("POST", f"{BASE_URL}/templates/default/written/1.0.0/build")
FOLLOW = Request("GET", f"{BASE_URL}/templates/default/written/1.0.0/build/events")

Open = Callable[..., Builds]


@pytest.fixture
def pauses() -> list[float]:
    """The requested pauses in seconds."""
    return []


@pytest.fixture
def opened(pauses: list[float]) -> Iterator[Open]:
    """Opens clients that do not sleep, and closes them at the end."""
    clients: list[Builds] = []

    def open_client(api: ServedRecording | ServedTwin, key: str | None = None, **options: float) -> Builds:
        clients.append(Builds(api.url, api.key if key is None else key, sleep=pauses.append, **options))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


def written(folder: Path, request: Request, *responses: Response, error: str = "") -> Path:
    """Writes a recording of one repeated request with these responses.

    Args:
        error: Error of the connection after the last byte of each response, if any.
    """
    exchanges = tuple(
        Exchange(
            seq=number,
            operation="",
            ref=REF,
            credential="primary",
            case="written",
            sent_at=0.0,
            head_at=0.0,
            done_at=0.0,
            request=request,
            response=response,
            error=error,
        )
        for number, response in enumerate(responses, 1)
    )
    file = folder / "written.har"
    file.write_text(har.render(Recording("written", exchanges, recorded_at="2026-03-14T09:26:53Z")), "utf-8")
    return file


# --- builds ----------------------------------------------------------------------------------------------------------


def test_fresh_build_is_waited_for_until_it_is_ready(
    build_recordings: BuildRecordings, opened: Open, pauses: list[float]
) -> None:
    """The client starts a build and polls it until it is ready."""
    api = build_recordings("fresh-build")
    builds = opened(api)
    assert builds.status(api.ref).status == "not_built"
    assert builds.start(api.ref).status == "building"
    ready = builds.wait(api.ref)
    assert (ready.status, ready.reused, pauses) == ("ready", False, [POLL_S])
    assert ready.build_time_ms


def test_second_start_reuses_what_is_built(build_recordings: BuildRecordings, opened: Open) -> None:
    """The start of a ready version needs no build."""
    api = build_recordings("reuse")
    builds = opened(api)
    assert not builds.start(api.ref).reused
    builds.wait(api.ref)
    again = builds.start(api.ref)
    assert (again.status, again.reused) == ("ready", True)


def test_failed_build_raises_with_its_reason(build_twin: ServedTwin, opened: Open) -> None:
    """A failed build is an exception; its message has the failed step."""
    ref = build_twin.publish("echo before", "exit 3")
    builds = opened(build_twin)
    builds.start(ref)
    with pytest.raises(BuildFailed, match="step 2 ended with exit status 3"):
        builds.wait(ref)
    assert builds.status(ref).status == "failed"


def test_patience_ends(build_twin: ServedTwin, opened: Open, pauses: list[float]) -> None:
    """A client without patience polls once and does not sleep."""
    ref = build_twin.publish("sleep 60")
    builds = opened(build_twin, patience_s=0.0)
    builds.start(ref)
    with pytest.raises(GaveUp):
        builds.wait(ref)
    assert pauses == []


# --- cancelling ------------------------------------------------------------------------------------------------------


def test_cancelled_build_raises_while_waiting(build_twin: ServedTwin, opened: Open) -> None:
    """Cancelling a running build returns True; waiting for it raises."""
    ref = build_twin.publish("sleep 60")
    builds = opened(build_twin)
    builds.start(ref)
    assert builds.cancel(ref)
    with pytest.raises(BuildCancelled):
        builds.wait(ref)


def test_cancel_without_a_build_returns_false(build_recordings: BuildRecordings, opened: Open) -> None:
    """The 404 of an idle version is no error."""
    api = build_recordings("cancel-when-idle")
    assert not opened(api).cancel(api.ref)


def test_cancel_of_an_unknown_version_is_an_error(build_twin: ServedTwin, opened: Open) -> None:
    """The 404 of an unknown version is an error."""
    with pytest.raises(Refused, match="not found") as refused:
        opened(build_twin).cancel("default/unknown@1.0.0")
    assert refused.value.status == 404


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["rate-limit", "capacity"])
def test_client_waits_for_retry_after(
    scenario: str, build_recordings: BuildRecordings, opened: Open, pauses: list[float]
) -> None:
    """After a 429 for the rate or the capacity, the client sleeps for Retry-After and starts again."""
    api = build_recordings(scenario)
    refused = api.refs[-1]  # both scenarios start it last
    (retry_after,) = [
        each.response.header("Retry-After")
        for each in api.recording.exchanges
        if each.ref == refused and each.response and each.status == 429
    ]
    assert retry_after
    assert opened(api).start(refused).status == "building"
    assert pauses == [float(retry_after)]


def test_retry_after_date_counts_from_the_date_header(
    build_recordings: BuildRecordings, opened: Open, pauses: list[float], tmp_path: Path
) -> None:
    """A date in Retry-After is relative to the server's clock."""
    headers = (("Date", "Sat, 14 Mar 2026 09:26:53 GMT"), ("Retry-After", "Sat, 14 Mar 2026 09:27:00 GMT"))
    api = build_recordings(
        written(tmp_path, START, Response(429, headers), Response(202, (), b'{"status": "building"}'))
    )
    assert opened(api).start(REF).status == "building"
    assert pauses == [7.0]


@pytest.mark.build_twin(capacity=1, retry_after="none")
def test_back_off_doubles_without_retry_after(build_twin: ServedTwin, opened: Open, pauses: list[float]) -> None:
    """The client retries after 1, 2 and 4 seconds, and succeeds once the host has room."""
    first, second = build_twin.publish("sleep 60"), build_twin.publish("echo hello")
    other = opened(build_twin)
    other.start(first)

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            assert other.cancel(first)

    with Builds(build_twin.url, build_twin.key, sleep=sleep) as builds:
        assert builds.start(second).status == "building"
    assert pauses == [1.0, 2.0, 4.0]


# --- keys ------------------------------------------------------------------------------------------------------------


def test_missing_key_is_rejected(build_recordings: BuildRecordings, opened: Open) -> None:
    """A start without a key is rejected with 401."""
    api = build_recordings("missing-key")
    with pytest.raises(Refused, match="Missing API key") as refused:
        opened(api, key="").start(api.ref)
    assert refused.value.status == 401


@pytest.mark.build_twin(plan="hacker")
def test_account_below_the_plan_is_rejected(build_twin: ServedTwin, opened: Open) -> None:
    """An account below the Scale plan may not build; the error has a code."""
    with pytest.raises(Refused) as refused:
        opened(build_twin).start(build_twin.publish("echo hello"))
    assert (refused.value.status, refused.value.body["code"]) == (403, "UPGRADE_REQUIRED")


# --- logs ------------------------------------------------------------------------------------------------------------


def test_log_is_followed_to_the_end_of_the_build(build_recordings: BuildRecordings, opened: Open) -> None:
    """The events arrive in order; the last one is ``ready``."""
    api = build_recordings("events-ready")
    events = list(opened(api).follow(api.ref))
    assert [event["phase"] for event in events[:2]] == ["compile", "boot"]
    assert (events[-1]["level"], events[-1]["phase"]) == ("success", "ready")


@pytest.mark.build_twin(fault="log-never-closes")
def test_log_that_stays_open_ends_with_its_last_event(build_twin: ServedTwin, opened: Open) -> None:
    """The last event ends the log, not the end of the connection."""
    ref = build_twin.publish("echo hello")
    builds = opened(build_twin)
    builds.start(ref)
    lines = [event["line"] for event in builds.follow(ref)]
    assert "hello" in lines
    assert builds.wait(ref).status == "ready"


def test_log_that_breaks_off_raises_after_its_events(
    build_recordings: BuildRecordings, opened: Open, tmp_path: Path
) -> None:
    """A lost connection raises an error of the client, after the events before it."""
    frames = [b'data: {"phase":"compile","line":"one"}\n\n', b'data: {"phase":"boot","line":"two"}\n\n']
    kind = (("Content-Type", "text/event-stream"),)
    response = Response(200, kind, b"".join(frames), tuple(Chunk(0.0, frame) for frame in frames))
    lost = "RemoteProtocolError: peer closed connection without sending complete message body"
    api = build_recordings(written(tmp_path, FOLLOW, response, error=lost))
    events = opened(api).follow(REF)
    assert [next(events)["line"], next(events)["line"]] == ["one", "two"]
    with pytest.raises(LogBrokeOff, match="peer closed connection"):
        next(events)


@pytest.mark.build_twin(fault="log-times-out")
def test_log_that_is_closed_too_early_raises(build_twin: ServedTwin, opened: Open) -> None:
    """A log that the server closes during the build is an error as well."""
    ref = build_twin.publish("sleep 60")
    builds = opened(build_twin)
    builds.start(ref)
    with pytest.raises(LogBrokeOff, match="was closed after"):
        list(builds.follow(ref))
    assert builds.status(ref).status == "building"
