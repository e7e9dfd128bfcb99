"""Rules on build logs by themselves, at their edges, and what their findings say."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, broken, build, exchange, exchange_rules, frame, publish, verdicts
from tests.rules.scenes import line, started
from tests.rules.sentences import findings
from touchstone.facts.exchange import Exchange

FIELDS, ISO, OWN = "events.fields-are-documented", "events.timestamps-are-iso", "events.own-lines-only"
OTHER_DIGEST = "cd" * 32


def log(*frames: object, **more: Any) -> Exchange:
    return exchange("streamBuildEvents", 200, **({"seq": 90, "frames": frames} | more))


@pytest.mark.parametrize("field", ["ts", "level", "phase", "source", "line"])
def test_each_field_by_itself_is_at_stake(field: str) -> None:
    """A frame with one field upholds or breaks what is said of fields."""
    good = {"ts": "2026-03-14T09:26:53Z", "level": "info", "phase": "boot", "source": "a", "line": "b"}

    assert (FIELDS, "held") in verdicts(exchange_rules("events"), log({field: good[field]}))
    assert broken(verdicts(exchange_rules("events"), log({field: 1}))) == {FIELDS}


@pytest.mark.parametrize(
    ("field", "value", "claim"),
    [
        ("level", "info", "events.level-is-documented"),
        ("phase", "boot", "events.phase-is-documented"),
        ("ts", "2026-03-14T09:26:53Z", ISO),
    ],
)
def test_each_value_upholds_its_own_claim(field: str, value: str, claim: str) -> None:
    """A frame with one of them says nothing of the others."""
    held = {c for c, outcome in verdicts(exchange_rules("events"), log({field: value})) if outcome == "held"}

    assert held & {"events.level-is-documented", "events.phase-is-documented", ISO} == {claim}


def test_empty_log_is_neither_well_formed_nor_not() -> None:
    """Framing is judged where there is a frame."""
    assert "events.framing" not in {
        claim for claim, _ in verdicts(exchange_rules("events"), log(chunks=[], frames=None))
    }
    assert verdicts(exchange_rules("events"), exchange("streamBuildEvents", 0)) == set()


SENTENCES: list[tuple[Exchange, tuple[str, str, str]]] = [
    (
        log({}, headers={"content-type": "text/plain"}),
        ("events.media-type", "text/event-stream", "text/plain"),
    ),
    (
        exchange("streamBuildEvents", body=b"data: {}\n\n", headers={"content-type": ""}),
        ("events.media-type", "text/event-stream", "no Content-Type"),
    ),
    (
        log([1]),
        ("events.json-per-frame", "one JSON object in each frame", "data '[1]' is JSON, but no object"),
    ),
    (
        log({"level": "info"}, {"level": "loud"}, {"level": "louder"}),
        ("events.level-is-documented", "info, success, warn, error", "frame 2: level 'loud'"),
    ),
    (
        log({"line": 1}),
        (FIELDS, "ts, level, phase, source and line as texts", "frame 1: line 1"),
    ),
    (
        log({"phase": "made"}),
        (
            "events.phase-is-documented",
            "publish, compile, boot, install, snapshot, record, archive, ready, cancel, timeout",
            "frame 1: phase 'made'",
        ),
    ),
    (
        log({"ts": "now"}),
        (ISO, "a date-time with an offset, such as 2026-03-14T09:26:53Z", "frame 1: ts 'now'"),
    ),
    (
        log({"ts": "2026-03-14T09:26:53Z"}, {"ts": "2026-03-14T09:26:52Z"}),
        (
            "events.timestamps-in-order",
            "timestamps that do not go backwards",
            "2026-03-14T09:26:52Z after 2026-03-14T09:26:53Z",
        ),
    ),
    (
        log({"phase": "ready"}, {"phase": "boot"}),
        (
            "events.terminal-frame-comes-last",
            "no frame after the one that ends the build",
            '{"phase": "boot"} after phase ready',
        ),
    ),
]


@pytest.mark.parametrize(("answer", "said"), SENTENCES, ids=[said[0] for _, said in SENTENCES])
def test_finding_says_what_is_promised_and_what_came(answer: Exchange, said: tuple[str, str, str]) -> None:
    """A person reads which frame is wrong and what it should have been."""
    assert [(c, expected, actual) for c, _, expected, actual in findings(exchange_rules("events"), answer)] == [said]


def test_finding_on_framing_says_what_is_wrong_with_the_bytes() -> None:
    """The words are those of the parser of event streams."""
    answer = exchange("streamBuildEvents", chunks=[(0.1, frame({})), (0.2, b"data: {")])

    problem = "line 3: unterminated-event: b'data: {'"
    assert findings(exchange_rules("events"), answer) == [
        ("events.framing", (1,), "a well-formed event stream", problem)
    ]


def other_version() -> list[Exchange]:
    return [publish(1), publish(2, OTHER_REF, content="other", digest=OTHER_DIGEST), started(3, 3.0, ref=OTHER_REF)]


def test_finding_on_anothers_line_names_whose_it_is() -> None:
    """A person reads the marker and the version that prints it."""
    said = findings(exchange_rules("events"), *other_version(), log(line(1.0, text="marker-other")))

    assert said == [(OWN, (90,), "lines of this build only", f"'marker-other', which the build of {OTHER_REF} prints")]


def test_log_without_a_frame_or_about_nothing_holds_no_ones_lines() -> None:
    """Whose lines a log holds is asked where there are lines, and a version."""
    assert OWN not in {c for c, _ in verdicts(exchange_rules("events"), *other_version(), log(frames=[]))}
    assert OWN not in {
        c for c, _ in verdicts(exchange_rules("events"), *other_version(), log({"line": "marker-other"}, ref=None))
    }


@pytest.mark.parametrize(("done_at", "held"), [(3.0, False), (3.5, True)])
def test_lines_of_a_build_that_began_later_are_not_at_stake(done_at: float, held: bool) -> None:
    """A log that was over when the other build was started cannot hold its lines."""
    early = log(line(1.0), seq=4, sent_at=2.9, done_at=done_at)

    assert ((OWN, "held") in verdicts(exchange_rules("events"), *other_version(), early)) is held


def replaced(*between: Exchange, sent_at: float = 20.0) -> list[Exchange]:
    """A version whose content was replaced between 4.0 and 4.5; what followed, and a log of the old build."""
    new = publish(4, content="new", digest=OTHER_DIGEST, note={"force": True}, done_at=4.5)
    return [publish(1), new, *between, log({"line": "marker-hello"}, sent_at=sent_at, done_at=sent_at + 0.5)]


def start(at: float) -> Exchange:
    return exchange("startBuild", 202, seq=round(at * 10), sent_at=at, done_at=at + 0.5, json=build())


def read(at: float, status: str = "ready", digest: str = OTHER_DIGEST) -> Exchange:
    told = build(status, digest=digest)
    return exchange(seq=round(at * 10), sent_at=at, done_at=at + 0.5, json=told)


@pytest.mark.parametrize(
    "between",
    [
        [start(4.5), read(5.0)],
        [start(5), read(5.5)],
        [start(5), read(7)],
        [start(5), read(6, "building"), read(7)],
    ],
)
def test_log_of_the_replaced_content_is_not_told_after_a_build_of_the_new(between: list[Exchange]) -> None:
    """Started once the new content was there, and seen ready in a read sent when the start was answered."""
    assert broken(verdicts(exchange_rules("events"), *replaced(*between))) == {OWN}


@pytest.mark.parametrize(
    "between",
    [
        [],
        [read(7)],
        [start(4.4), read(7)],
        [start(5), read(5.4)],
        [start(5), read(7, "building")],
        [start(5), read(7, digest="ef" * 32)],
        [start(5), read(19.6)],
        [start(5), exchange("startBuild", 202, seq=70, json=build("ready", digest=OTHER_DIGEST))],
    ],
)
def test_log_of_the_replaced_content_may_be_told_until_then(between: list[Exchange]) -> None:
    """Nobody knows that the new content was built before the log was asked for."""
    assert broken(verdicts(exchange_rules("events"), *replaced(*between))) == set()


def test_log_of_the_replaced_content_is_judged_from_the_moment_a_read_showed_the_next_build() -> None:
    """The answer of that read may be there just when the log is asked for."""
    assert broken(verdicts(exchange_rules("events"), *replaced(start(5), read(19.5)))) == {OWN}


def test_new_lines_beside_old_ones_tell_when_the_log_was_asked_for_later_than_the_publish() -> None:
    """While the publish is on its way, one log may hold both."""
    both = {"line": "marker-hello marker-new"}
    new = publish(4, content="new", digest=OTHER_DIGEST, note={"force": True}, done_at=4.5)

    assert broken(verdicts(exchange_rules("events"), publish(1), new, log(both, sent_at=4.5))) == {OWN}
    assert broken(verdicts(exchange_rules("events"), publish(1), new, log(both, sent_at=4.4))) == set()


def test_own_lines_beside_unmarked_content_are_fine() -> None:
    """A replaced content without a marker, or with the present one, printed nothing that can be told apart."""
    for note in ({"marker": ""}, {"marker": "marker-new"}):
        old = publish(1, note=note)
        new = publish(4, content="new", digest=OTHER_DIGEST, note={"force": True})
        assert broken(verdicts(exchange_rules("events"), old, new, log({"line": "marker-new"}))) == set()
