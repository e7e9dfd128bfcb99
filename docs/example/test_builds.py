"""Tests of the client beside this file, with both fixtures of touchstone: recordings, and a live server of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builds import POLL_S, BuildCancelled, BuildFailed, Builds, GaveUp, LogBrokeOff, Refused

from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.recordings import har
from touchstone.recordings.fixtures import BuildRecordings
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.servers import ServedRecording, ServedTwin

REF = "default/made@1.0.0"
START = Request("POST", f"{BASE_URL}/templates/default/made/1.0.0/build")
FOLLOW = Request("GET", f"{BASE_URL}/templates/default/made/1.0.0/build/events")

Opened = Callable[..., Builds]


@pytest.fixture
def slept() -> list[float]:
    """How long the client would have slept, pause by pause."""
    return []


@pytest.fixture
def opened(slept: list[float]) -> Iterator[Opened]:
    """Makes clients that do not sleep, and closes them."""
    clients: list[Builds] = []

    def make(lent: ServedRecording | ServedTwin, key: str | None = None, **options: float) -> Builds:
        clients.append(Builds(lent.url, lent.key if key is None else key, sleep=slept.append, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def made(folder: Path, request: Request, *answers: Response, error: str = "") -> Path:
    """A recording of what no server does on request: how one request is answered, time after time.

    Args:
        error: How the connection ends after the last byte of an answer; empty for in good order.
    """
    exchanges = tuple(
        Exchange(
            seq=number,
            operation="",
            ref=REF,
            credential="primary",
            case="made",
            sent_at=0.0,
            head_at=0.0,
            done_at=0.0,
            request=request,
            response=answer,
            error=error,
        )
        for number, answer in enumerate(answers, 1)
    )
    file = folder / "made.har"
    file.write_text(har.render(Recording("made", exchanges, recorded_at="2026-03-14T09:26:53Z")), "utf-8")
    return file


# --- builds ----------------------------------------------------------------------------------------------------------


def test_fresh_build_is_waited_for_until_it_is_ready(
    build_recordings: BuildRecordings, opened: Opened, slept: list[float]
) -> None:
    """A version that is not built is started, looked at until it is ready, and tells how long it took."""
    lent = build_recordings("fresh-build")
    builds = opened(lent)
    assert builds.status(lent.ref).status == "not_built"
    assert builds.start(lent.ref).status == "building"
    ready = builds.wait(lent.ref)
    assert (ready.status, ready.reused, slept) == ("ready", False, [POLL_S])
    assert ready.build_time_ms


def test_second_start_reuses_what_is_built(build_recordings: BuildRecordings, opened: Opened) -> None:
    """A start of what is ready needs no build."""
    lent = build_recordings("reuse")
    builds = opened(lent)
    assert not builds.start(lent.ref).reused
    builds.wait(lent.ref)
    again = builds.start(lent.ref)
    assert (again.status, again.reused) == ("ready", True)


def test_failed_build_raises_with_its_reason(build_twin: ServedTwin, opened: Opened) -> None:
    """A build that fails is an exception, and its text says which step it was."""
    ref = build_twin.publish("echo before", "exit 3")
    builds = opened(build_twin)
    builds.start(ref)
    with pytest.raises(BuildFailed, match="step 2 ended with exit status 3"):
        builds.wait(ref)
    assert builds.status(ref).status == "failed"


def test_patience_ends(build_twin: ServedTwin, opened: Opened, slept: list[float]) -> None:
    """A client that has no patience looks once, and does not sleep."""
    ref = build_twin.publish("sleep 60")
    builds = opened(build_twin, patience_s=0.0)
    builds.start(ref)
    with pytest.raises(GaveUp):
        builds.wait(ref)
    assert slept == []


# --- cancelling ------------------------------------------------------------------------------------------------------


def test_cancelled_build_raises_where_it_is_waited_for(build_twin: ServedTwin, opened: Opened) -> None:
    """A cancel of a running build says that there was one; who waits for it is told."""
    ref = build_twin.publish("sleep 60")
    builds = opened(build_twin)
    builds.start(ref)
    assert builds.cancel(ref)
    with pytest.raises(BuildCancelled):
        builds.wait(ref)


def test_cancel_of_nothing_says_so(build_recordings: BuildRecordings, opened: Opened) -> None:
    """The 404 of a version that is not building is no error."""
    lent = build_recordings("cancel-when-idle")
    assert not opened(lent).cancel(lent.ref)


def test_cancel_of_an_unknown_version_is_an_error(build_twin: ServedTwin, opened: Opened) -> None:
    """The 404 of a version that does not exist is one."""
    with pytest.raises(Refused, match="not found") as refused:
        opened(build_twin).cancel("default/unheard-of@1.0.0")
    assert refused.value.status == 404


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["rate-limit", "capacity"])
def test_limit_is_waited_out_as_long_as_the_server_says(
    scenario: str, build_recordings: BuildRecordings, opened: Opened, slept: list[float]
) -> None:
    """
    After a 429, for the rate or for a full host, the client sleeps for the seconds of Retry-After and starts again.
    """
    lent = build_recordings(scenario)
    refused = lent.refs[-1]  # in either scenario, it is started last
    (told,) = [
        each.response.header("Retry-After")
        for each in lent.recording.exchanges
        if each.ref == refused and each.response and each.status == 429
    ]
    assert told
    assert opened(lent).start(refused).status == "building"
    assert slept == [float(told)]


def test_date_to_come_back_at_counts_from_the_date_of_the_answer(
    build_recordings: BuildRecordings, opened: Opened, slept: list[float], tmp_path: Path
) -> None:
    """A Retry-After that is a date is compared with the server's clock."""
    told = (("Date", "Sat, 14 Mar 2026 09:26:53 GMT"), ("Retry-After", "Sat, 14 Mar 2026 09:27:00 GMT"))
    lent = build_recordings(made(tmp_path, START, Response(429, told), Response(202, (), b'{"status": "building"}')))
    assert opened(lent).start(REF).status == "building"
    assert slept == [7.0]


@pytest.mark.build_twin(capacity=1, retry_after="none")
def test_waits_double_where_the_server_does_not_say_how_long(
    build_twin: ServedTwin, opened: Opened, slept: list[float]
) -> None:
    """On a full host a client comes back after 1, 2 and 4 seconds, and is served once there is room."""
    first, second = build_twin.publish("sleep 60"), build_twin.publish("echo hello")
    other = opened(build_twin)
    other.start(first)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            assert other.cancel(first)

    with Builds(build_twin.url, build_twin.key, sleep=sleep) as builds:
        assert builds.start(second).status == "building"
    assert slept == [1.0, 2.0, 4.0]


# --- keys ------------------------------------------------------------------------------------------------------------


def test_missing_key_is_refused(build_recordings: BuildRecordings, opened: Opened) -> None:
    """Without a key a start is refused with 401, and the text says what is missing."""
    lent = build_recordings("missing-key")
    with pytest.raises(Refused, match="Missing API key") as refused:
        opened(lent, key="").start(lent.ref)
    assert refused.value.status == 401


@pytest.mark.build_twin(plan="hacker")
def test_plan_that_is_too_small_is_refused(build_twin: ServedTwin, opened: Opened) -> None:
    """An account below the Scale plan may not build; the code tells this from other refusals."""
    with pytest.raises(Refused) as refused:
        opened(build_twin).start(build_twin.publish("echo hello"))
    assert (refused.value.status, refused.value.body["code"]) == (403, "UPGRADE_REQUIRED")


# --- logs ------------------------------------------------------------------------------------------------------------


def test_log_is_followed_to_the_end_of_the_build(build_recordings: BuildRecordings, opened: Opened) -> None:
    """The events come in their order; the last one says that the build is ready."""
    lent = build_recordings("events-ready")
    events = list(opened(lent).follow(lent.ref))
    assert [event["phase"] for event in events[:2]] == ["compile", "boot"]
    assert (events[-1]["level"], events[-1]["phase"]) == ("success", "ready")


@pytest.mark.build_twin(fault="log-never-closes")
def test_log_that_stays_open_ends_with_its_last_event(build_twin: ServedTwin, opened: Opened) -> None:
    """A client goes by the event that ends the build, and not by the connection."""
    ref = build_twin.publish("echo hello")
    builds = opened(build_twin)
    builds.start(ref)
    lines = [event["line"] for event in builds.follow(ref)]
    assert "hello" in lines
    assert builds.wait(ref).status == "ready"


def test_log_that_breaks_off_raises_after_what_was_told(
    build_recordings: BuildRecordings, opened: Opened, tmp_path: Path
) -> None:
    """
    A connection that is lost in the middle of the log is an error of the client's own, after the events before it.
    """
    frames = [b'data: {"phase":"compile","line":"one"}\n\n', b'data: {"phase":"boot","line":"two"}\n\n']
    kind = (("Content-Type", "text/event-stream"),)
    answer = Response(200, kind, b"".join(frames), tuple(Chunk(0.0, frame) for frame in frames))
    lost = "RemoteProtocolError: peer closed connection without sending complete message body"
    lent = build_recordings(made(tmp_path, FOLLOW, answer, error=lost))
    events = opened(lent).follow(REF)
    assert [next(events)["line"], next(events)["line"]] == ["one", "two"]
    with pytest.raises(LogBrokeOff, match="peer closed connection"):
        next(events)


@pytest.mark.build_twin(fault="log-times-out")
def test_log_that_is_closed_too_early_raises(build_twin: ServedTwin, opened: Opened) -> None:
    """A server that closes the log in the middle of a build, in good order, is found out as well."""
    ref = build_twin.publish("sleep 60")
    builds = opened(build_twin)
    builds.start(ref)
    with pytest.raises(LogBrokeOff, match="was closed after"):
        list(builds.follow(ref))
    assert builds.status(ref).status == "building"
