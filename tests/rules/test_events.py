"""Parsing build logs, and rules on single logs."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_DIGEST, OTHER_REF, exchange, frame, publish
from tests.rules.judging import broken, cases, exchange_rules, outcome, verdicts
from tests.rules.scenes import line, ready_log
from tests.rules.stories import forced, read, start
from touchstone.facts.exchange import Exchange
from touchstone.rules.events import names, printed

RULES = exchange_rules("events")
MEDIA, FRAMING, JSON = "events.media-type", "events.framing", "events.json-per-frame"
FIELDS, LEVEL, PHASE = "events.fields-are-documented", "events.level-is-documented", "events.phase-is-documented"
ISO, ORDER = "events.timestamps-are-iso", "events.timestamps-in-order"
LAST, OWN = "events.terminal-frame-comes-last", "events.own-lines-only"
Story = tuple[Exchange, ...]


def log(*frames: object, **more: Any) -> Exchange:
    return exchange("streamBuildEvents", 200, **({"frames": frames, "seq": 90} | more))


def raw(body: bytes, **more: Any) -> Exchange:
    return exchange("streamBuildEvents", 200, seq=90, chunks=[(0.1, body)], **more)


# --- reading a log ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "times", "prints"),
    [
        ("> marker", 1, 1),
        ("marker and marker.", 2, 2),
        ("\x1b[1mmarker\x1b[0m", 1, 1),
        ("echo marker", 1, 0),
        ("echo 'marker'", 1, 0),
        *((longer, 0, 0) for longer in ("marker-2", "my.marker", "marker.2", "a-marker", "marker2")),
    ],
)
def test_marker_counts_where_it_stands_by_itself(text: str, times: int, prints: int) -> None:
    assert (names(text, "marker"), printed(text, "marker"), printed(1, "marker")) == (times, prints, 0)


# --- judging one log --------------------------------------------------------------------------------------------------

TWO = (publish(1), publish(2, OTHER_REF, content="other", digest=OTHER_DIGEST), start(3, ref=OTHER_REF))
READY, GOOD = line(1.0, "ready", "ready"), "2026-03-14T09:26:53Z"


def test_documented_log_upholds_every_claim() -> None:
    held = {(c, "held") for c in (MEDIA, FRAMING, JSON)}

    assert verdicts(RULES, *TWO, log(*ready_log())) == held | {
        (c, "held") for c in (FIELDS, LEVEL, PHASE, ISO, ORDER, LAST, OWN)
    }
    assert verdicts(RULES, log({}, {"note": 1})) == held | {(c, "indeterminate") for c in (LEVEL, PHASE, ISO)}


@cases(
    "answer expected",
    {
        "comments, ids and unknown fields": (raw(b": ping\n\nid: 1\nretry: 1000\nfoo: bar\n" + frame(line(1.0))),
            set()),
        "no type and no body": (exchange("streamBuildEvents", headers={"content-type": ""}), set()),
        "404": (exchange("streamBuildEvents", 404, json={"error": "no"}), set()),
        "no answer": (exchange("streamBuildEvents", 0), set()),
        "HEAD": (exchange("streamBuildEvents", method="HEAD"), set()),
        "a charset": (log({}, headers={"content-type": "Text/Event-Stream; charset=utf-8"}), set()),
        "a text": (log(*ready_log(), headers={"content-type": "text/plain"}), {MEDIA}),
        "no type": (log(*ready_log(), headers={"content-type": ""}), {MEDIA}),
        "no stream": (raw(b'{"phase":"boot"}\n{"phase":"ready"}\n'), {FRAMING}),
        "no UTF-8": (raw(b'data:{"line":"\xff"}\n\n'), {FRAMING}),
        "no end": (raw(b'data:{"line":"x"}\n\ndata:{"line":"y"}\n'), {FRAMING}),
        "a wrong retry": (raw(b"retry: soon\n\n" + frame({})), {FRAMING}),
        "left within a frame": (raw(frame({}) + b'data:{"li', closed="client"), set()),
        "broken within a frame": (raw(frame({}) + b'data:{"li', error="RemoteProtocolError: closed"), set()),
        **{
            f"data {data.decode()}": (raw(frame({}) + b"data:" + data + b"\n\n"), {JSON})
            for data in (b"hello", b"[]", b'{"a":1}{"b":2}', b'{"a":NaN}', b"", b'{"a":1,"a":2}')
        },
        **{f"a number as {field}": (log({field: 1}), {FIELDS}) for field in ("ts", "level", "phase", "source", "line")},
        "a null": (log(line(1.0), {"source": None}), {FIELDS}),
        "a list": (log(line(1.0), {"phase": ["boot"]}), {FIELDS}),
        "another level": (log(line(1.0), {"level": "debug"}), {LEVEL}),
        "another phase": (log(line(1.0), {"phase": "building"}), {PHASE}),
        "no zone": (log(line(1.0), {"ts": "2026-03-14T09:26:53"}), {ISO}),
        "no T": (log(line(1.0), {"ts": "2026-03-14 09:26:53Z"}), {ISO}),
        "another account": (log({"level": "loud"}, credential="second"), {LEVEL}),
        "an older frame": (log(line(3.0), line(2.0)), {ORDER}),
        "tidying up": (log(READY, line(2.0, "archive")), {LAST}),
        "ready twice": (log(READY, line(2.0, "ready", "ready")), {LAST}),
        "cancelled twice": (log(*[line(1.0, "cancel", "cancelled")] * 2), {LAST}),
        "ready after a cancel": (log(line(1.0, "cancel"), line(2.0, "ready")), {LAST}),
        "more after a time-out": (log(line(1.0, "timeout"), {"line": "more"}), {LAST}),
        "a cancel in two steps": (log(line(1.0, "cancel", "requested"), line(2.0, "cancel", "done")), set()),
    },
)  # fmt: skip
def test_log_is_blamed_on_the_claim_that_it_breaks(answer: Exchange, expected: set[str]) -> None:
    assert broken(verdicts(RULES, answer)) == expected


@cases(
    "claim answer expected",
    {
        **{f"only {field}": (FIELDS, log({field: "boot"}), True) for field in ("phase", "source", "line")},
        "a level": (LEVEL, log({"level": "info"}), True),
        "no level": (LEVEL, log({"phase": "boot"}), False),
        "a phase": (PHASE, log({"phase": "boot"}), True),
        "a time": (ISO, log({"ts": GOOD}), True),
        "no time": (ISO, log({"phase": "boot"}), False),
        "one time": (ORDER, log(line(3.0), {"line": "x"}), False),
        "two times": (ORDER, log({"ts": GOOD}, {"ts": GOOD}), True),
        "an empty log": (FRAMING, log(), False),
    },
)
def test_claim_holds_where_it_is_at_stake(claim: str, answer: Exchange, expected: bool) -> None:
    assert (outcome(RULES, claim, answer) == "held") is expected


# --- foreign lines ----------------------------------------------------------------------------------------------------


def prints(*markers: str, **more: Any) -> Exchange:
    return log(*[line(1.0, text=f"> marker-{marker}") for marker in markers], **more)


REPLACED = (publish(1), forced(4, done_at=4.5))
THEIRS = publish(2, content="theirs", digest=OTHER_DIGEST, credential="second")


def new(moment: float, state: str = "ready", **more: Any) -> Exchange:
    return read(moment, state, **({"digest": OTHER_DIGEST} | more))


@cases(
    "story expected",
    {
        "another build's": ((*TWO, prints("hello", "other")), "broken"),
        "its own": ((*TWO, prints("hello")), "held"),
        "a longer name": ((*TWO, prints("other-2")), "held"),
        "one digest": ((publish(1), publish(2, OTHER_REF, content="other"), start(3, ref=OTHER_REF), prints("other")),
            ""),
        "nothing else was built": ((*TWO[:2], prints("hello")), ""),
        "a version that never was": ((publish(1, note={"marker": "hello"}), log({"line": "hello"}, ref=OTHER_REF)), ""),
        "no frame": ((*TWO, log()), ""),
        "no version": ((*TWO, prints("other", ref=None)), ""),
        "over before the other began": ((*TWO, prints("hello", seq=4, sent_at=2.9, done_at=3.0)), ""),
        "open when the other began": ((*TWO, prints("hello", seq=4, sent_at=2.9, done_at=3.5)), "held"),
        "replaced content's": ((*REPLACED, prints("hello")), ""),
        "replaced and new": ((*REPLACED, prints("hello", "new")), "broken"),
        "replaced and new, as it was published": ((*REPLACED, prints("hello", "new", sent_at=4.5)), "broken"),
        "replaced and new, while it was published": ((*REPLACED, prints("hello", "new", sent_at=4.4)), ""),
        "the same marker before": ((publish(1, note={"marker": "marker-new"}), forced(4), prints("new")), ""),
        "the new one was built": ((*REPLACED, start(4.5), new(5.0), prints("hello")), "broken"),
        "a read as the start was answered": ((*REPLACED, start(5.0), new(5.5), prints("hello")), "broken"),
        "a read as the log was opened": ((*REPLACED, start(5.0), new(89.5), prints("hello")), "broken"),
        "never started": ((*REPLACED, new(7.0), prints("hello")), ""),
        "started before": ((*REPLACED, start(4.4), new(7.0), prints("hello")), ""),
        "still building": ((*REPLACED, start(5.0), new(7.0, "building"), prints("hello")), ""),
        "a start that says ready": ((*REPLACED, start(5.0), start(7.0, state="ready"), prints("hello")), ""),
        "another account's": ((publish(1), THEIRS, prints("theirs")), "broken"),
        "one accepted without a key": ((publish(1), forced(4, credential="none"), prints("new")), ""),
        "the other's own": ((publish(1), THEIRS, prints("theirs", credential="second")), ""),
        "either's": ((publish(1), THEIRS, prints("theirs", credential="lowercase-scheme")), ""),
    },
)  # fmt: skip
def test_log_holds_lines_of_its_own_build_only(story: Story, expected: str) -> None:
    assert outcome(RULES, OWN, *story) == expected
