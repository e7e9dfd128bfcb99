"""Rules on build logs by themselves: well-formed ones in every legal form pass, and each broken promise is found."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, broken, exchange, exchange_rules, frame, publish, verdicts
from tests.rules.scenes import line, ready_log, started
from touchstone.facts.exchange import Exchange

MEDIA, FRAMING, JSON = "events.media-type", "events.framing", "events.json-per-frame"
FIELDS, LEVEL, PHASE = "events.fields-are-documented", "events.level-is-documented", "events.phase-is-documented"
ISO, ORDER = "events.timestamps-are-iso", "events.timestamps-in-order"
LAST, OWN = "events.terminal-frame-comes-last", "events.own-lines-only"
OTHER_DIGEST = "cd" * 32


def log(*frames: object, **more: Any) -> Exchange:
    return exchange("streamBuildEvents", 200, seq=9, **({"frames": frames} | more))


def raw_log(body: bytes, **more: Any) -> Exchange:
    return exchange("streamBuildEvents", 200, seq=9, chunks=[(0.1, body)], **more)


def two_versions() -> list[Exchange]:
    """This version and another one that was built, each with a marker of its own."""
    return [
        publish(1, content="hello"),
        publish(2, OTHER_REF, content="other", digest=OTHER_DIGEST),
        started(3, 3.0, ref=OTHER_REF),
    ]


def test_documented_log_upholds_every_claim() -> None:
    """A log like the one in the documentation upholds all claims about a log by itself."""
    found = verdicts(exchange_rules("events"), *two_versions(), log(*ready_log()))

    assert found == {(c, "held") for c in (MEDIA, FRAMING, JSON, FIELDS, LEVEL, PHASE, ISO, ORDER, LAST, OWN)}


def test_missing_fields_are_fine() -> None:
    """
    No field of a frame is required: frames without them uphold JSON and framing, and leave open what the fields hold.
    """
    found = verdicts(exchange_rules("events"), log({}, {"note": 1}))

    assert found == {(c, "held") for c in (MEDIA, FRAMING, JSON)} | {(c, "indeterminate") for c in (LEVEL, PHASE, ISO)}


def test_comments_ids_and_unknown_fields_are_fine() -> None:
    """Heartbeats as comments, ids, retries and fields that receivers ignore leave a log well-formed."""
    body = b": ping\n\nid: 1\nretry: 1000\nfoo: bar\nevent: log\n" + frame(line(1.0))

    assert broken(verdicts(exchange_rules("events"), raw_log(body))) == set()


def test_empty_answer_for_a_version_at_rest_says_nothing() -> None:
    """A 200 without type and body is no log and is not judged as one."""
    assert verdicts(exchange_rules("events"), exchange("streamBuildEvents", 200, headers={"content-type": ""})) == set()


def test_refused_request_says_nothing() -> None:
    """An error is no log."""
    assert (
        verdicts(exchange_rules("events"), exchange("streamBuildEvents", 404, json={"error": "no such version"}))
        == set()
    )


def test_head_says_nothing() -> None:
    """The answer to HEAD has a media type and no log."""
    assert verdicts(exchange_rules("events"), exchange("streamBuildEvents", 200, method="HEAD")) == set()


@pytest.mark.parametrize("kind", ["text/plain", "application/json", ""])
def test_other_media_type_is_found_and_nothing_else(kind: str) -> None:
    """A log under another media type is told once; its frames are not judged."""
    found = verdicts(exchange_rules("events"), log(*ready_log(), headers={"content-type": kind}))

    assert found == {(MEDIA, "broken")}


def test_media_type_may_have_parameters() -> None:
    """A charset beside the media type is fine."""
    found = verdicts(exchange_rules("events"), log({}, headers={"content-type": "Text/Event-Stream; charset=utf-8"}))

    assert (MEDIA, "held") in found


@pytest.mark.parametrize(
    "body",
    [
        b'{"phase":"boot"}\n{"phase":"ready"}\n',
        b'data:{"line":"\xff"}\n\n',
        b'data:{"line":"x"}\n\ndata:{"line":"y"}\n',
        b"retry: soon\n\n" + frame({}),
    ],
)
def test_malformed_stream_is_found(body: bytes) -> None:
    """
    Lines outside fields, bytes that are not UTF-8, a frame without its blank line and a wrong retry break the framing.
    """
    assert (FRAMING, "broken") in verdicts(exchange_rules("events"), raw_log(body))


@pytest.mark.parametrize("cut", [{"closed": "client"}, {"error": "RemoteProtocolError: peer closed"}])
def test_log_that_was_cut_off_may_end_within_a_frame(cut: dict[str, Any]) -> None:
    """Where the follower left, or the connection broke, a frame without its end is not the server's framing."""
    body = frame({"line": "x"}) + b'data:{"li'

    assert (FRAMING, "held") in verdicts(exchange_rules("events"), raw_log(body, **cut))


@pytest.mark.parametrize("data", [b"hello", b"[]", b'{"a":1}{"b":2}', b'{"a":NaN}', b"", b'{"a":1,"a":2}'])
def test_frame_that_is_no_json_object_is_found(data: bytes) -> None:
    """Text, other JSON, two values at once and an empty frame are no JSON object."""
    assert (JSON, "broken") in verdicts(exchange_rules("events"), raw_log(frame({}) + b"data:" + data + b"\n\n"))


@pytest.mark.parametrize(
    ("value", "claim"),
    [
        ({"line": 1}, FIELDS),
        ({"source": None}, FIELDS),
        ({"level": 3}, FIELDS),
        ({"phase": ["boot"]}, FIELDS),
        ({"ts": 1773479213}, FIELDS),
        ({"level": "debug"}, LEVEL),
        ({"phase": "building"}, PHASE),
        ({"ts": "2026-03-14T09:26:53"}, ISO),
        ({"ts": "2026-03-14 09:26:53Z"}, ISO),
        ({"ts": "14.3.2026"}, ISO),
    ],
)
def test_wrong_field_breaks_the_claim_about_it(value: dict[str, Any], claim: str) -> None:
    """A value of a wrong type breaks the claim about fields, one outside its list or form the claim about that."""
    assert broken(verdicts(exchange_rules("events"), log(line(1.0), value))) == {claim}


def test_timestamps_with_other_offsets_are_compared_as_moments() -> None:
    """An hour that looks smaller is not earlier where the offset says so."""
    stamps = ["2026-03-14T10:00:00+01:00", "2026-03-14T09:00:00.000000001Z", "2026-03-14T04:30:00-05:00"]

    assert (ORDER, "held") in verdicts(exchange_rules("events"), log(*[{"ts": ts} for ts in stamps]))


def test_timestamp_that_goes_back_is_found() -> None:
    """A frame older than the one before it breaks the order."""
    assert broken(verdicts(exchange_rules("events"), log(line(3.0), line(2.0)))) == {ORDER}


def test_one_timestamp_has_no_order() -> None:
    """A single timestamp puts no order at stake."""
    assert ORDER not in {claim for claim, _ in verdicts(exchange_rules("events"), log(line(3.0), {"line": "x"}))}


@pytest.mark.parametrize(
    "frames",
    [
        [line(1.0, "ready", "ready"), line(2.0, "archive", "tidied up")],
        [line(1.0, "ready", "ready"), line(2.0, "ready", "ready")],
        [line(1.0, "ready", "ready"), line(2.0, "ready", "really ready")],
        [line(1.0, "cancel", "cancelled"), line(2.0, "cancel", "cancelled")],
        [line(1.0, "cancel", "cancelled"), line(2.0, "ready", "ready")],
        [line(1.0, "timeout", "too long"), {"line": "more"}],
    ],
)
def test_frame_after_the_end_is_found(frames: list[dict[str, Any]]) -> None:
    """Whatever follows the frame that ends a build, and a second end, breaks the claim."""
    assert broken(verdicts(exchange_rules("events"), log(*frames))) == {LAST}


@pytest.mark.parametrize(
    "frames",
    [
        [line(1.0, "cancel", "cancel requested"), line(2.0, "cancel", "cancelled")],
        [line(1.0, "ready", "ready"), {}],
    ],
)
def test_cancel_in_two_steps_and_signs_of_life_are_one_end(frames: list[dict[str, Any]]) -> None:
    """A cancel may be told when it is asked for and when it is done; a bare object is no line."""
    assert (LAST, "held") in verdicts(exchange_rules("events"), log(*frames))


@pytest.mark.parametrize("text", ["> marker-other", "one\nmarker-other\n", "\x1b[1mmarker-other\x1b[0m"])
def test_line_of_another_build_is_found(text: str) -> None:
    """The marker of another version's build in this version's log breaks the claim, however it is decorated."""
    found = verdicts(
        exchange_rules("events"), *two_versions(), log(line(1.0, text="marker-hello"), line(2.0, text=text))
    )

    assert broken(found) == {OWN}


@pytest.mark.parametrize("text", ["marker-other-2", "my.marker-other", "marker-other.2", "a-marker-other"])
def test_longer_name_is_not_the_marker(text: str) -> None:
    """A marker that is only a part of a longer name is not there."""
    assert (OWN, "held") in verdicts(exchange_rules("events"), *two_versions(), log(line(1.0, text=text)))


def test_version_with_the_same_digest_shares_its_log() -> None:
    """Versions with one digest share a build, and so its lines."""
    story = [publish(1), publish(2, OTHER_REF, content="other"), started(3, 3.0, ref=OTHER_REF)]

    assert OWN not in {c for c, _ in verdicts(exchange_rules("events"), *story, log(line(1.0, text="marker-other")))}


def test_lines_of_replaced_content_beside_the_new_ones_are_found() -> None:
    """A log that holds what the new content prints, and what the replaced one printed, mixes two builds."""
    story = [publish(1, content="old"), publish(2, content="new", digest=OTHER_DIGEST, note={"force": True})]

    assert broken(
        verdicts(exchange_rules("events"), *story, log(line(1.0, text="marker-old"), line(2.0, text="marker-new")))
    ) == {OWN}
    assert broken(verdicts(exchange_rules("events"), *story, log(line(1.0, text="marker-old")))) == set()


def test_no_other_build_puts_nothing_at_stake() -> None:
    """A log cannot hold lines of others while nothing else was built."""
    found = verdicts(
        exchange_rules("events"),
        publish(1),
        publish(2, OTHER_REF, content="other", digest=OTHER_DIGEST),
        log(line(1.0)),
    )

    assert OWN not in {claim for claim, _ in found}


def test_log_of_an_unknown_version_is_judged_by_itself() -> None:
    """Frames of a version that the run does not know are judged like any others."""
    assert broken(verdicts(exchange_rules("events"), log({"level": "loud"}, ref=None))) == {LEVEL}
    assert broken(verdicts(exchange_rules("events"), log({"level": "loud"}, ref=REF, credential="second"))) == {LEVEL}


def test_log_of_what_the_run_never_had_is_told_elsewhere() -> None:
    """That a version which does not exist has a log at all is the fault, whosever lines it holds."""
    theirs = exchange("streamBuildEvents", ref=OTHER_REF, seq=3, frames=[{"line": "hello"}])
    marked = publish(1, note={"marker": "hello"})

    assert "events.own-lines-only" not in {claim for claim, _ in verdicts(exchange_rules("events"), marked, theirs)}


@pytest.mark.parametrize(("built", "claims"), [(False, set()), (True, {"events.own-lines-only"})])
def test_log_of_replaced_content_is_not_told_again_after_the_next_build(built: bool, claims: set[str]) -> None:
    """Until the new content is built its log may be the old one's; from then on that one is another build's."""
    story = [publish(1), publish(4, content="new", digest="cd" * 32, note={"force": True})]
    if built:
        story.append(exchange("startBuild", 202, seq=5, json={"status": "building"}))
        story.append(exchange(json={"status": "ready", "digest": "cd" * 32}, seq=6))
    old = exchange("streamBuildEvents", seq=7, frames=[{"line": "marker-hello"}])

    assert broken(verdicts(exchange_rules("events"), *story, old)) == claims


@pytest.mark.parametrize(
    ("line", "credential", "claims"),
    [
        ("marker-theirs", "primary", {OWN}),
        ("marker-theirs", "second", set()),
        ("marker-hello", "second", {OWN}),
        ("marker-hello", "primary", set()),
        ("marker-theirs", "lowercase-scheme", set()),
    ],
)
def test_log_of_another_account_is_found_where_both_have_one_name(line: str, credential: Any, claims: set[str]) -> None:
    """What a version of another account prints is another build's, though it is called alike."""
    theirs = publish(2, content="theirs", digest="cd" * 32, credential="second")
    followed = log({"line": line}, ref=REF, credential=credential)

    assert broken(verdicts(exchange_rules("events"), publish(1), theirs, followed)) == claims
