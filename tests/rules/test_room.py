"""Starts that stay refused though nothing of the run can be in their way."""

from typing import Any

import pytest

from tests.rules.exchanges import OTHER_REF, build, exchange, verdicts
from touchstone.facts.exchange import Exchange
from touchstone.rules import limits
from touchstone.rules.history import Bounds

RULES = (limits.room_is_free,)


CLAIM = "limit.ends-after-back-off"
# The bounds of the tests: so long after a served start its build is over.
LONGEST_S = Bounds().build_timeout_s + Bounds().cancel_timeout_s


def served(at: float = 0.0, **more: Any) -> Exchange:
    return exchange("startBuild", 202, json=build(), sent_at=at, done_at=at + 0.01, **({"seq": 1} | more))


def refused(seq: int, at: float, retry_after: str | None = "1", **more: Any) -> Exchange:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return exchange("startBuild", 429, json={"error": "busy"}, headers=headers, seq=seq, sent_at=at, done_at=at, **more)


def found(*exchanges: Exchange) -> set[tuple[str, str]]:
    return verdicts(RULES, *exchanges)


def retries(gap_s: float = 1.0, retry_after: str | None = "1") -> list[Exchange]:
    at = LONGEST_S + 1
    return [refused(5 + number, at + number * gap_s, retry_after) for number in range(3)]


def test_start_that_stays_refused_when_all_builds_are_over_is_found() -> None:
    """Two waits as long as asked, and nothing of the run is left: somebody forgot to give the room back."""
    assert found(served(), *retries()) == {(CLAIM, "broken")}


@pytest.mark.parametrize(
    "exchanges",
    [
        [served(), *retries(0.5)],
        [served(), *retries(0.5, None)],
        [served(), *retries()[:2]],
        [*retries()],
        [served(LONGEST_S - 1), *retries()],
        [served(), served(LONGEST_S, seq=2, credential="second", ref=OTHER_REF), *retries()],
        [served(), exchange("startBuild", 0, seq=2, sent_at=LONGEST_S, done_at=LONGEST_S + 0.5), *retries()],
    ],
    ids=["too soon", "sooner than documented", "once", "nothing before", "a build may run", "another's", "unanswered"],
)
def test_start_that_something_may_be_in_the_way_of_is_not_judged(exchanges: list[Exchange]) -> None:
    """A retry that comes too soon, or a build that may still run, explains the refusal."""
    assert found(*exchanges) == set()
