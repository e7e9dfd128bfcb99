"""What a driver did to a limit, put together from its requests."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, REF, build, exchange, history
from touchstone.facts.exchange import Exchange
from touchstone.rules.limits import rested, rounds, started_beside, starts_of, waited_enough

READY = build("ready", reused=True)


def request(at: float, phase: str, status: int = 202, number: int = 1, **more: Any) -> Exchange:
    operation = "getBuild" if phase == "reads" else "startBuild"
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5, "json": READY}
    facts |= {"note": {"limit": {"round": number, "phase": phase}}}
    return exchange(operation, status, **(facts | more))


WHOLE = (
    request(1, "reads", 200),
    request(2, "reads", 500),
    request(3, "burst"),
    request(4, "burst", 500),
    request(5, "burst", json=build("building")),
    request(6, "burst", 429),
    request(7, "other-key", ref=OTHER_REF, credential="second"),
    request(8, "confirm", 429),
    request(9, "retry", 429),
    request(11, "retry"),
)


def test_round_has_its_phases_in_order() -> None:
    """Reads that were served, every start of the burst, the other key's start, what confirms it, and the retries."""
    (whole,) = rounds(REF, history(*WHOLE))

    assert (whole.case, whole.number) == ("test", 1)
    assert [e.seq for e in whole.reads] == [10]
    assert [e.seq for e in whole.burst] == [30, 40, 50, 60]
    assert [e.seq for e in whole.retries] == [90, 110]
    assert whole.confirm is not None
    assert whole.other_key is not None
    assert (whole.confirm.seq, whole.other_key.seq) == (80, 70)


def test_round_tells_what_was_served_and_what_was_refused() -> None:
    """Served are starts that found the golden; the burst lasts from its first request to its last answer."""
    (whole,) = rounds(REF, history(*WHOLE))

    assert [e.seq for e in whole.served] == [30]
    assert whole.first_refusal is not None
    assert (whole.first_refusal.seq, whole.burst_s) == (60, 3.5)
    assert [(a.seq, b.seq) for a, b in whole.waits] == [(80, 90), (90, 110)]


def test_round_without_a_confirmation_waits_from_the_end_of_its_burst() -> None:
    """The last start of the burst is what the first retry waited after."""
    (bare,) = rounds(REF, history(*WHOLE[2:6], *WHOLE[8:]))

    assert (bare.confirm, bare.other_key) == (None, None)
    assert [(a.seq, b.seq) for a, b in bare.waits] == [(60, 90), (90, 110)]


def test_rounds_are_told_apart_by_case_and_number() -> None:
    """Requests of several rounds may come in any order; one without a burst is left out."""
    story = [
        request(1, "burst", number=2),
        request(2, "burst", number=1),
        request(3, "burst", number=1, case="another"),
        request(4, "reads", 200, number=3),
    ]

    assert [(r.case, r.number) for r in rounds(REF, history(*story))] == [("another", 1), ("test", 1), ("test", 2)]
    assert list(rounds(REF, history(exchange("startBuild", 202)))) == []


def test_other_key_belongs_to_the_round_of_its_note() -> None:
    """Another round's, or a start of the same version, is not the other key's start."""
    elsewhere = [
        request(7, "other-key", number=2, ref=OTHER_REF),
        request(8, "other-key", case="another", ref=OTHER_REF),
        request(9, "other-key"),
    ]
    (only,) = rounds(REF, history(request(1, "burst"), *elsewhere))

    assert only.other_key is None


def ended(number: int, at: float, last: int = 202, **more: Any) -> list[Exchange]:
    """A round that was refused at its end and then served, or not."""
    return [
        request(at, "burst", number=number, **more),
        request(at + 1, "burst", number=number, **more),
        request(at + 2, "burst", 429, number=number, **more),
        request(at + 5, "retry", last, number=number, **more),
    ]


def gaps(*story: Exchange) -> list[tuple[int, float]]:
    return [(r.number, rest_s) for r, rest_s in rested(REF, history(*story))]


def test_key_rests_from_the_last_refusal_to_the_next_burst() -> None:
    """Wherever in the round before that refusal was."""
    assert gaps(*ended(1, 10), *ended(2, 40)) == [(2, 27.5)]
    confirmed = [*ended(1, 10), request(13, "confirm", 429)]
    assert gaps(*confirmed, *ended(2, 40)) == [(2, 26.5)]
    tried = [*ended(1, 10), request(14, "retry", 429)]
    assert gaps(*tried, *ended(2, 40)) == [(2, 25.5)]


@pytest.mark.parametrize(
    "story",
    [
        [*ended(1, 10, 429), *ended(2, 40)],
        [*ended(1, 10)[:3], *ended(2, 40)],
        [*ended(1, 10)[:2], ended(1, 10)[3], *ended(2, 40)],
        [*ended(1, 10), *ended(2, 40)[:2]],
        [*ended(1, 10), *ended(2, 40, case="another")],
        [*ended(1, 10), exchange("startBuild", 202, seq=200, sent_at=20.0), *ended(2, 40)],
    ],
    ids=["not served", "no retry", "not refused", "no refusal after", "another case", "a start beside it"],
)
def test_rest_is_told_only_where_it_is_certain(story: list[Exchange]) -> None:
    """
    The round before ended with a start served after a refusal, the next one met a limit, and nothing ran beside them.
    """
    assert gaps(*story) == []


@pytest.mark.parametrize(
    ("beside", "found"),
    [
        ({"sent_at": 20.0}, True),
        ({"sent_at": 12.0, "done_at": 12.5}, False),
        ({"sent_at": 12.0, "done_at": 12.6}, True),
        ({"sent_at": 31.9}, True),
        ({"sent_at": 32.0}, False),
        ({"sent_at": 20.0, "credential": "second"}, False),
        ({"sent_at": 20.0, "note": {"limit": {}}}, False),
        ({"sent_at": 20.0, "note": {"limit": {}}, "case": "another"}, True),
        ({"sent_at": 20.0, "ref": OTHER_REF}, True),
    ],
)
def test_start_from_outside_runs_beside_the_driver(beside: dict[str, Any], found: bool) -> None:
    """Under the same key, from another case or without the driver's note, between the two moments."""
    first, last = request(12.5, "burst", 429), request(31.5, "burst")
    other = exchange("startBuild", 202, **({"seq": 200} | beside))

    assert started_beside(first, last, history(first, last, other)) is found


def test_starts_of_a_key_are_starts_and_publishes_that_build() -> None:
    """Everything that a limit may charge."""
    story = [
        exchange("startBuild", 429, seq=1),
        exchange("publishTemplate", 201, seq=2, note={"auto_build": True}),
        exchange("publishTemplate", 201, seq=3, note={"auto_build": False}),
        exchange("publishTemplate", 201, seq=4),
        exchange("startBuild", 202, seq=5, credential="second"),
        exchange("getBuild", seq=6),
    ]

    assert [e.seq for e in starts_of("primary", history(*story))] == [1, 2]


@pytest.mark.parametrize(
    ("headers", "at", "enough"),
    [
        ({"retry-after": "2"}, 3.5, True),
        ({"retry-after": "2"}, 3.4, False),
        ({"retry-after": "soon"}, 1.6, True),
        ({}, 1.6, True),
    ],
)
def test_retry_waits_as_long_as_it_was_asked_to(headers: dict[str, str], at: float, enough: bool) -> None:
    """Counted from the answer; what asks for nothing is waited for long enough."""
    assert waited_enough(request(1, "burst", 429, headers=headers), request(at, "retry")) is enough


def test_retry_after_no_answer_waits_long_enough() -> None:
    """Nothing was asked for."""
    assert waited_enough(request(1, "burst", 0, error="ReadTimeout"), request(2, "retry"))
