"""Drift is told in words: what an answer looked like and looks like now, not what differs from run to run anyway."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.recorded import changed, recorded
from touchstone.facts.exchange import Chunk, Exchange, Response
from touchstone.recordings.drifting import drift
from touchstone.recordings.recording import Recording, step

NAME = "fresh-build"


def drifted(*changes: tuple[int, Response]) -> set[str]:
    """What is told where some answers of the recording are others now."""
    now = recorded(NAME)
    for number, response in changes:
        now = changed(now, number, lambda each, new=response: replace(each, response=new))  # type: ignore[misc]  # a default
    return set(drift({NAME: recorded(NAME)}, {NAME: now}))


def answer(number: int, **fields: Any) -> Response:
    """One answer of the recording with some members of its body set, or without those that are None."""
    response = answer_of(number)
    body = response.json() | fields
    return replace(response, body=json.dumps({k: v for k, v in body.items() if v is not None}).encode())


def answer_of(number: int) -> Response:
    """One answer of the recording."""
    response = recorded(NAME).exchanges[number].response
    assert response is not None
    return response


def numbers(name: str, operation: str) -> list[int]:
    """The exchanges of one operation that show a step."""
    pairs = enumerate(recorded(NAME).exchanges)
    return [number for number, each in pairs if (step(each), each.operation) == (name, operation)]


READY = numbers("ready", "getBuild")
START = numbers("building", "startBuild")[0]
WHERE = "getBuild (ready)"


def test_same_recording_has_not_drifted() -> None:
    """Nothing has changed where nothing has."""
    assert drifted() == set()


def test_values_that_must_differ_are_no_drift() -> None:
    """Another digest, another time, another build time and another date are no other shape."""
    others = [(n, answer(n, digest="0" * 64, build_time_ms=7)) for n in READY]
    later = [(n, replace(r, headers=(("content-type", "application/json"), ("date", "x")))) for n, r in others]
    assert drifted(*later) == set()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"eta_s": 1.5}, f"{WHERE}: field eta_s is new: a number"),
        ({"build_time_ms": "7"}, f"{WHERE}: field build_time_ms: an integer in the recording, a text now"),
        ({"build_time_ms": 7.5}, f"{WHERE}: field build_time_ms: an integer in the recording, a number now"),
        ({"build_time_ms": None}, f"{WHERE}: field build_time_ms is gone; it was an integer"),
        ({"parts": [{"id": 1}]}, f"{WHERE}: field parts[].id is new: an integer"),
    ],
)
def test_fields_are_compared_by_name_and_type(fields: dict[str, Any], told: str) -> None:
    """A field that is new, gone or of another type is named with its place."""
    assert drifted(*((n, answer(n, **fields)) for n in READY)) == {told}


def test_status_media_type_and_headers_are_compared() -> None:
    """Another status, media type or header name is told; the order and the case of names do not matter."""
    other = replace(answer_of(START), status=200, headers=(("Content-Type", "text/x; charset=a"), ("X-New", "1")))
    assert drifted((START, other)) == {
        "startBuild (building): status: 202 in the recording, 200 now",
        "startBuild (building): media type: application/json in the recording, text/x now",
        "startBuild (building): header x-new is new",
    }


def test_words_are_compared_and_prose_is_not() -> None:
    """A phase that was never seen is told; a line of output may be any."""
    stream = numbers("log ends on ready", "streamBuildEvents")
    body = answer_of(stream[0]).body
    spoilt = body.replace(b'"phase":"snapshot"', b'"phase":"freezing"').replace(b"took a snapshot", b"froze it well")
    others = [(n, replace(answer_of(n), body=spoilt, chunks=(Chunk(1.0, spoilt),))) for n in stream]
    (told,) = drifted(*others)
    assert told.startswith("streamBuildEvents (log ends on ready): field phase: archive or boot or")
    assert "freezing" in told


def test_other_order_of_steps_is_told_with_the_step_before() -> None:
    """A step that came in between is named, and where."""
    now = recorded(NAME)
    kept = tuple(each for number, each in enumerate(now.exchanges) if number not in numbers("not built", "getBuild"))
    (told,) = drift({NAME: now}, {NAME: replace(now, exchanges=kept)})
    assert told == f"{NAME}: steps after 'getTemplate: 200': not built in the recording, nothing now"


def test_change_on_many_occasions_is_told_once() -> None:
    """What is new in every answer is one line that names some of the occasions."""
    now = recorded(NAME)

    def more(each: Exchange) -> Exchange:
        assert each.response is not None
        return replace(each, response=replace(each.response, headers=(*each.response.headers, ("x-new", "1"))))

    new = replace(now, exchanges=tuple(map(more, now.exchanges)))
    (told,) = drift({NAME: now}, {NAME: new})
    assert told.endswith(" and 4 more: header x-new is new")


def test_only_scenarios_of_both_sides_are_compared() -> None:
    """What was not played this time is not drift."""
    assert drift({NAME: recorded(NAME)}, {}) == ()
    assert drift({NAME: recorded(NAME)}, {"reuse": recorded("reuse")}) == ()


def test_answer_that_never_came_has_no_shape() -> None:
    """A request without an answer adds nothing but its step."""
    now = recorded(NAME)
    silent: Recording = changed(now, READY[-1], lambda each: replace(each, response=None, error="ReadTimeout: x"))
    assert drift({NAME: now}, {NAME: silent}) == (
        f"{NAME}: steps after 'ready': nothing in the recording, no answer now",
    )
