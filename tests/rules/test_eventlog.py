"""The answer to a follower, read as a log."""

from typing import Any

import pytest

from tests.rules.exchanges import exchange, frame
from touchstone.contract.event_stream import MAX_LINE_BYTES
from touchstone.facts.exchange import Exchange
from touchstone.rules.eventlog import is_stream, log_of, phase_of


def stream(*data: bytes, **more: Any) -> Exchange:
    return exchange("streamBuildEvents", body=b"".join(data), **more)


@pytest.mark.parametrize(
    ("frames", "ended"),
    [
        ([{"phase": "ready"}], True),
        ([{"phase": "cancel"}], True),
        ([{"phase": "install", "level": "error"}], True),
        ([{"phase": "install", "level": "warn"}], False),
        ([{"phase": "ready"}, {"phase": "archive"}], False),
        ([{"phase": "ready"}, {}], True),
        ([{"phase": ["ready"]}], False),
        ([], False),
    ],
)
def test_log_is_ended_by_its_last_phase_or_an_error(frames: list[dict[str, Any]], ended: bool) -> None:
    """The last frame that tells something decides; a sign of life does not."""
    log = log_of(stream(*map(frame, frames)))

    assert log is not None
    assert log.ended is ended


@pytest.mark.parametrize(
    ("answer", "stream_"),
    [
        (stream(frame({})), True),
        (stream(frame({}), headers={"content-type": "text/event-stream; charset=utf-8"}), True),
        (stream(frame({}), headers={"content-type": "text/plain"}), False),
        (exchange("streamBuildEvents", 404, headers={"content-type": "text/event-stream"}), False),
        (exchange("streamBuildEvents", 0), False),
        (stream(frame({}), method="HEAD"), False),
        (exchange("getBuild", headers={"content-type": "text/event-stream"}), False),
        (exchange("getBuild", 0), False),
    ],
)
def test_log_is_a_stream_that_a_follower_was_served(answer: Exchange, stream_: bool) -> None:
    """Anything else, or no answer at all, holds no log."""
    assert is_stream(answer) is stream_
    assert (log_of(answer) is not None) is stream_


@pytest.mark.parametrize(("value", "phase"), [({"phase": "boot"}, "boot"), ({"phase": 1}, ""), ({}, "")])
def test_phase_that_is_no_text_is_none(value: dict[str, Any], phase: str) -> None:
    """A phase of a wrong type has a claim of its own."""
    assert phase_of(value) == phase


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"data: [1]\n\n", "is JSON, but no object"),
        (b"data: {\n\n", "Expecting property name"),
        (b'data: {"line": "\\ud800"}\n\n', ""),
    ],
)
def test_frame_that_cannot_be_read_is_kept_with_the_reason(data: bytes, problem: str) -> None:
    """A text with half a surrogate pair is odd, but JSON."""
    log = log_of(stream(data))

    assert log is not None
    assert (log.misread or ("", ""))[1].startswith(problem)
    assert log.complete is (not problem)


def test_log_with_a_line_too_long_to_keep_is_not_complete() -> None:
    """A line may be as long as it likes, but what was not kept cannot be judged."""
    log = log_of(stream(frame({"line": "a"}), frame({"line": "x" * (MAX_LINE_BYTES + 1)}), frame({"line": "b"})))

    assert log is not None
    assert (log.faults, log.complete) == ((), False)
