"""Rules on repeated reads: equal results pass, different results of one finished build are broken."""

from typing import Any

from tests.rules.exchanges import DIGEST, OTHER_DIGEST, OTHER_REF, publish
from tests.rules.judging import Evidence, cases, findings, story_rules, upheld, verdicts
from tests.rules.stories import cancel, delete, forced, read, reuse, start
from touchstone.facts.exchange import Exchange

RULES = story_rules("agreement")
CONCURRENT, STABLE = "status.concurrent-reads-agree", "status.build-time-is-stable"
SHARED, READY, CANCEL = "start.concurrent-share-one-build", "status.ready-stays-ready", "cancel.in-flight-is-202"
NEIGHBOUR = "default/neighbour@1.0.0"

Story = tuple[Exchange, ...]


def ready(seq: int, at: float | None = None, state: str = "ready", **more: Any) -> Exchange:
    return read(seq, state, sent_at=at, **more)


def span(seq: int, sent_at: float, done_at: float) -> Exchange:
    return start(seq, sent_at=sent_at, done_at=done_at)


BUILT = (publish(1), start(2), ready(3))
FAILED = {"status": "failed", "build_time_ms": 800}
OTHER_BUILD = (
    publish(6, OTHER_REF, content="other", digest=OTHER_DIGEST),
    ready(9, ref=OTHER_REF, build_time_ms=7),
    ready(10, ref=OTHER_REF, build_time_ms=8),
)
JOINED_ELSEWHERE = (start(7, ref=OTHER_REF), start(8, ref=OTHER_REF))
TOGETHER = (publish(1), span(2, 2.0, 2.01), span(3, 2.005, 2.015), ready(4))
CHANGED = ready(5, build_time_ms=801)


@cases(
    "story expected",
    {
        "a status": ((*BUILT, ready(5, 5.0), ready(6, 5.005, "not_built")), [(CONCURRENT, (5, 6))]),
        "a status lost for good": ((*BUILT, ready(5, 5.0), ready(6, 5.005, "not_built"), read(7, "not_built")), []),
        "only the status": ((*BUILT, ready(5, 5.0), ready(6, 5.005, json=FAILED)), [(CONCURRENT, (5, 6))]),
        "a build time": ((*BUILT, ready(5, 5.0), ready(6, 5.005, build_time_ms=1)), [(CONCURRENT, (5, 6))]),
        "an error": ((*BUILT, ready(5, 5.0, json={"status": "ready"}),
            ready(6, 5.005, json={"status": "ready", "error": "no"})), [(CONCURRENT, (5, 6))]),
        "reads that touch": ((*BUILT, ready(5, 5.0, done_at=5.5), ready(6, 5.5, build_time_ms=1)), [(STABLE, (5, 6))]),
        "one after the other": ((*BUILT, ready(5), ready(6, state="not_built")), []),
        "the flag of a reuse": ((*BUILT, ready(5, 5.0, reused=True), ready(6, 5.005, reused=False)), []),
        "a running build": ((*BUILT[:2], read(3), read(5, sent_at=5.0), ready(6, 5.005)), []),
        "beside a start": ((*BUILT[:2], read(3, "failed"), ready(5, 5.0, "failed"), start(6, sent_at=5.001),
            ready(7, 5.005, "building")), []),
        "a time": ((*BUILT, ready(5, build_time_ms=801)), [(STABLE, (3, 5))]),
        "a time in a reuse": ((*BUILT, reuse(5, build_time_ms=1)), [(STABLE, (3, 5))]),
        "a time after a reuse": ((*BUILT, reuse(4, build_time_ms=9), ready(5)), [(STABLE, (3, 4)), (STABLE, (4, 5))]),
        "a time after a start that calls itself ready": ((*BUILT, start(4, state="ready", build_time_ms=9), ready(5)),
            []),
        "a time after another start": ((*BUILT, start(4), CHANGED), []),
        "a time of other content": ((*BUILT, forced(4), CHANGED), []),
        "a time that is null": ((*BUILT, ready(5, build_time_ms=None)), []),
        "a time that is a flag": ((*BUILT, ready(5, build_time_ms=True)), []),
        "a time after simultaneous starts": ((*TOGETHER, CHANGED), [(SHARED, (4, 5))]),
        "starts recorded in another order": ((publish(1), span(2, 2.1, 2.2), span(3, 2.0, 2.15), ready(4), CHANGED),
            [(SHARED, (4, 5))]),
        "starts that touch": ((publish(1), span(2, 2.0, 2.5), span(3, 2.5, 2.6), ready(4), CHANGED), []),
        "a start that came later": ((publish(1), span(2, 2.0, 2.01), span(3, 2.3, 2.31), span(4, 2.305, 2.315),
            ready(5), ready(6, build_time_ms=1)), []),
        "times that change everywhere": ((*TOGETHER, CHANGED, *OTHER_BUILD), [(STABLE, (4, 5))]),
        "times that change where starts joined": ((*TOGETHER, CHANGED, OTHER_BUILD[0], *JOINED_ELSEWHERE,
            *OTHER_BUILD[1:]), [(SHARED, (4, 5))]),
    },
)  # fmt: skip
def test_difference_in_what_is_read_twice(story: Story, expected: Evidence) -> None:
    assert findings(RULES, *story) == expected


@cases(
    "story expected",
    {
        "simultaneous reads": ((*BUILT, ready(5, 5.0), ready(6, 5.005)), (CONCURRENT, (5, 6))),
        "build time": ((*BUILT, ready(5)), (STABLE, (3, 5))),
        "build time of a reuse": ((*BUILT, reuse(5)), (STABLE, (3, 5))),
        "one build of simultaneous starts": ((*TOGETHER, ready(5)), (SHARED, (4, 5))),
        "a build after one that was joined": ((publish(1), span(2, 2.0, 2.1), span(3, 2.5, 2.6), ready(4), ready(5),
            start(6), ready(7), ready(8)), (STABLE, (7, 8))),
    },
)  # fmt: skip
def test_equal_results_uphold(story: Story, expected: tuple[str, tuple[int, ...]]) -> None:
    assert expected in upheld(RULES, *story)


# --- versions that share a golden -------------------------------------------------------------------------------------

SHARING = (publish(1), publish(2, OTHER_REF, content="other"))
NEIGHBOURS = (publish(3, NEIGHBOUR, digest="ef" * 32, content="third"), start(4, ref=NEIGHBOUR, digest="ef" * 32))
LOST = read(7, "not_built")


@cases(
    "story expected",
    {
        "lost": ((ready(5), LOST), [(READY, (5, 7))]),
        "another time": ((ready(5), ready(6, build_time_ms=5)), [(STABLE, (5, 6))]),
        "no time": ((ready(5), ready(6, build_time_ms=None)), []),
        "the other one deleted": ((ready(5), delete(6, ref=OTHER_REF), LOST), [(READY, (5, 7))]),
        "the other one cancelled": ((ready(5), cancel(6, ref=OTHER_REF), read(7, "failed")), [(READY, (5, 7))]),
        "replaced": ((ready(5), forced(6), LOST), []),
        "published anew": ((ready(4), delete(5), publish(6), LOST), []),
        "reads that overlap": ((ready(5), read(6, "not_built", sent_at=5.005)), []),
        "beside a neighbour's cancel": ((*NEIGHBOURS, ready(5), cancel(6, ref=NEIGHBOUR), LOST), []),
        "after a neighbour's cancel": ((*NEIGHBOURS, cancel(5, ref=NEIGHBOUR), ready(6), LOST), [(READY, (6, 7))]),
        "before a neighbour's cancel": ((*NEIGHBOURS, ready(6), LOST, cancel(8, ref=NEIGHBOUR)), [(READY, (6, 7))]),
        "after a reuse": ((reuse(5), LOST), [(READY, (5, 7))]),
    },
)
def test_shared_golden_stays_whatever_others_do(story: Story, expected: Evidence) -> None:
    assert findings(RULES, *SHARING, *story) == expected


@cases(
    "story expected",
    {
        "a reuse in between": ((ready(5), reuse(6), ready(7)), [(6, 7)]),
        "not ready before": ((read(5, "not_built"), ready(6), ready(7)), [(6, 7)]),
        "lost beside a cancel": ((*NEIGHBOURS, ready(5), cancel(6, ref=NEIGHBOUR), LOST, ready(8), ready(9)), [(8, 9)]),
    },
)  # fmt: skip
def test_each_pair_of_a_shared_golden_is_judged_by_itself(story: Story, expected: list[tuple[int, int]]) -> None:
    assert [evidence for claim, evidence in upheld(RULES, *SHARING, *story) if claim == READY] == expected


def test_version_that_shares_nothing_is_left_to_the_life_cycle() -> None:
    story = (publish(1), publish(2, OTHER_REF, digest=OTHER_DIGEST, content="other"), ready(4), read(6, "not_built"))

    assert READY not in {claim for claim, _ in verdicts(RULES, *story)}


@cases(
    "digest story expected",
    {
        "idle": (DIGEST, (read(5), cancel(6, 404), read(7)), [(CANCEL, (5, 7, 6))]),
        "after a neighbour's": (DIGEST, (*NEIGHBOURS, cancel(5, ref=NEIGHBOUR), read(6), cancel(7, 404), read(8)),
            [(CANCEL, (6, 8, 7))]),
        "before an accepted one": (DIGEST, (read(5), cancel(6, 404), read(7), cancel(8, ref=OTHER_REF)),
            [(CANCEL, (5, 7, 6))]),
        "over": (DIGEST, (read(5), cancel(6, 404), ready(7)), []),
        "no read before": (DIGEST, (cancel(6, 404), read(7)), []),
        "no read after": (DIGEST, (read(5), cancel(6, 404)), []),
        "refused otherwise": (DIGEST, (read(5), cancel(6, 409), read(7)), []),
        "cancelled already": (DIGEST, (cancel(4, ref=OTHER_REF), read(5), cancel(6, 404), read(7)), []),
        "cancelled here": (DIGEST, (cancel(4), read(5), cancel(6, 404), read(7)), []),
        "a build of its own": (OTHER_DIGEST, (read(5), cancel(6, 404), read(7)), []),
    },
)  # fmt: skip
def test_cancel_of_a_shared_build_between_two_reads_finds_it(digest: str, story: Story, expected: Evidence) -> None:
    two = (publish(1), publish(2, OTHER_REF, digest=digest, content="other"), start(3, ref=OTHER_REF, digest=digest))

    assert [found for found in findings(RULES, *two, *story) if found[0] == CANCEL] == expected
