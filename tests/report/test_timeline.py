"""The time line of each version."""

import json
from dataclasses import replace
from typing import Any

from touchstone.facts.events import Header, RunLog, Target, TemplateAction
from touchstone.facts.exchange import Exchange, Request, Response
from touchstone.report.timeline import MAX_MARKS, MAX_ROWS, Row, timeline

REF = "default/demo@1.0.0"
HEADER = Header("r", "0", "check", (), "2026", Target("t", "u", "url"), "quick", 1, False, "*", "ab", ())


def asked(seq: int, operation: str, at_s: float, status: int = 200, state: str = "", **changes: Any) -> Exchange:
    """An exchange of 10 ms that reports *state*."""
    body = json.dumps({"status": state} if state else {}).encode()
    plain = Exchange(
        seq, operation, REF, "primary", "c", at_s, at_s, at_s + 0.01, Request("GET", "/"), Response(status, (), body)
    )
    return replace(plain, **changes)


def rows(*exchanges: Exchange, **facts: Any) -> tuple[Row, ...]:
    """The rows of a run with these exchanges."""
    return timeline(RunLog(HEADER, exchanges, **facts), ()).rows


def test_states_are_bands_from_the_first_sighting_to_the_next() -> None:
    """A state lasts from the answer that first reported it until one reports another."""
    (row,) = rows(
        asked(1, "startBuild", 0.0, 202, "building"),
        asked(2, "getBuild", 0.5, 200, "building"),
        asked(3, "getBuild", 0.99, 200, "ready"),
    )

    assert [(band.kind, band.label) for band in row.bands] == [
        ("building", "building from +10 ms to +1 s"),
        ("ready", "ready from +1 s to +1 s"),
    ]
    assert row.summary == "building → ready · start 202, read 200 ×2"


def test_refused_answer_reports_no_state() -> None:
    """The idle of a 404 and the words of an error are not states of the build."""
    (row,) = rows(
        asked(1, "startBuild", 0.0, 202, "building"),
        asked(2, "cancelBuild", 0.1, 404, "idle"),
        asked(3, "getBuild", 0.2, 500, "ready"),
    )

    assert [band.kind for band in row.bands] == ["building"]
    assert [(mark.kind, mark.tone) for mark in row.marks] == [
        ("start", "ok"),
        ("cancel", "refused"),
        ("read", "wrong"),
    ]


def test_reads_that_lie_close_together_share_a_mark() -> None:
    """Reads within a small share of the row are one mark that says how many they are."""
    reads = [asked(n, "getBuild", 0.001 * n, 200, "building") for n in range(2, 7)]
    (row,) = rows(
        asked(1, "startBuild", 0.0, 202, "building"),
        *reads,
        asked(8, "startBuild", 0.5, 202, "building"),
        asked(9, "getBuild", 0.9, 200, "ready"),
    )

    assert [(mark.kind, mark.number) for mark in row.marks] == [
        ("start", 1),
        ("start", 1),
        ("read", 5),
        ("read", 1),
    ]
    assert row.marks[2].label == "#2–6 5 × getBuild 200 building, +2 ms to +6 ms"


def test_stream_reaches_to_its_end() -> None:
    """A stream is as wide as it was long, other single exchanges have no width."""
    (row,) = rows(
        asked(1, "startBuild", 0.0, 202, "building"), asked(2, "streamBuildEvents", 0.0, done_at=1.0)
    )  # fmt: skip

    assert [(mark.kind, mark.width_share) for mark in row.marks] == [("start", 0.0), ("stream", 1.0)]


def test_versions_with_evidence_come_first() -> None:
    """What a finding rests on is not to be searched for."""
    log = RunLog(
        HEADER, (asked(1, "startBuild", 0.0, 202), asked(2, "startBuild", 1.0, 202, ref="default/other@1.0.0"))
    )  # fmt: skip

    assert [(row.ref, row.accused) for row in timeline(log, (2,)).rows] == [
        ("default/other@1.0.0", True),
        (REF, False),
    ]


def test_version_that_was_published_is_drawn_with_its_purpose() -> None:
    """A template of the run has a row even if its build was refused."""
    (row,) = rows(
        asked(1, "startBuild", 0.0, 429), templates=(TemplateAction(REF, "builds", "ab", "published", 0.0),)
    )  # fmt: skip

    assert (row.ref, row.purpose) == (REF, "builds")


def test_what_is_not_drawn_is_said() -> None:
    """Versions that were never built, exchanges without a version and rows without room are counted in words."""
    many = [asked(n, "startBuild", n, 202, ref=f"default/v{n}@1.0.0") for n in range(MAX_ROWS + 5)]
    lost = [asked(900, "getBuild", 0.0, 404, ref="default/none@1.0.0"), asked(901, "", 0.0, ref=None)]
    drawn = timeline(RunLog(HEADER, (*many, *lost)), ())

    assert len(drawn.rows) == MAX_ROWS
    assert drawn.left_out == (
        "5 more versions without room here; 1 versions that were never built (1 exchanges); "
        "1 exchanges that name no version"
    )


def test_number_of_marks_is_bounded() -> None:
    """However many exchanges a run has, the page stays small: marks are merged further until they fit."""
    exchanges = [
        asked(n, "startBuild" if n < MAX_ROWS else "getBuild", n, 202, ref=f"default/v{n % MAX_ROWS}@1.0.0")
        for n in range(MAX_ROWS * 100)
    ]
    drawn = rows(*exchanges)

    assert sum(len(row.marks) for row in drawn) <= MAX_MARKS
    assert sum(mark.number for row in drawn for mark in row.marks) == len(exchanges)
