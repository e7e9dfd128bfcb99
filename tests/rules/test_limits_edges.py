"""Rules on limits, round by round: what each of a driver's requests proves, and what findings say and show."""

from typing import Any, ClassVar

import pytest

from tests.rules.exchanges import OTHER_REF, REF, broken, build, exchange, publish, story_verdicts
from tests.rules.sentences import shown_by, story_findings
from touchstone.facts.exchange import Exchange
from touchstone.rules.limits import (
    ends_after_back_off,
    per_key,
    reads_not_charged,
    refused_otherwise,
    retry_after_honest,
)

SHAPE, HONEST, ENDS = "limit.has-the-error-shape", "limit.retry-after-is-honest", "limit.ends-after-back-off"
PER_KEY, READS = "limit.is-per-key", "limit.reads-are-not-charged"
READY = build("ready", reused=True)


def start(at: float, phase: str = "burst", status: int = 202, number: int = 1, **more: Any) -> Exchange:
    """A start by the driver: sent at *at*, answered half a second later."""
    after = more.pop("after", None)
    note = {"limit": {"round": number, "phase": phase} | more.pop("limit", {})}
    facts: dict[str, Any] = {"seq": round(at * 10), "sent_at": at, "done_at": at + 0.5, "note": note}
    facts |= {"json": READY if status == 202 else {"error": "no"}}
    facts |= {"headers": {"retry-after": after}} if after else {}
    return exchange("startBuild", status, **(facts | more))


def refused(at: float, phase: str = "burst", **more: Any) -> Exchange:
    return start(at, phase, 429, **more)


def read(at: float, number: int, **more: Any) -> Exchange:
    note = {"limit": {"round": number, "phase": "reads"}}
    return exchange(
        **({"seq": round(at * 10), "sent_at": at, "done_at": at + 0.01, "json": READY, "note": note} | more)
    )


class TestOtherwise:
    """A start that is refused without 429."""

    @staticmethod
    def served(at: float, **more: Any) -> Exchange:
        return exchange("startBuild", 202, **({"seq": round(at * 10), "sent_at": at, "json": READY} | more))

    @staticmethod
    def denied(at: float, status: int = 403, **more: Any) -> Exchange:
        facts = {"seq": round(at * 10), "sent_at": at, "json": {"error": "no"}} | more
        return exchange("startBuild", status, **facts)

    def found(self, *story: Exchange) -> set[str]:
        return broken(story_verdicts((refused_otherwise,), publish(1), *story))

    def test_is_shown_with_what_was_served_before_and_after(self) -> None:
        """The same start was let through on both sides; the first refusal is the one to explain."""
        story = [publish(1), self.served(2), self.denied(3), self.denied(4), self.served(5)]

        assert story_findings((refused_otherwise,), *story) == [
            (
                SHAPE,
                (20, 50, 30),
                "429, where a limit refuses what is served before and after",
                '403 {"error": "no"}',
            )
        ]

    @pytest.mark.parametrize(
        ("status", "claims"),
        [(400, {SHAPE}), (409, {SHAPE}), (499, {SHAPE}), (401, set()), (404, set()), (429, set()), (500, set())],
    )
    def test_is_a_refusal_that_nothing_else_explains(self, status: int, claims: set[str]) -> None:
        """Keys, versions and failures have claims of their own."""
        assert self.found(self.served(2), self.denied(3, status), self.served(5)) == claims

    @pytest.mark.parametrize("operation", ["getBuild", "getTemplate", "streamBuildEvents"])
    def test_is_found_beside_requests_that_only_look(self, operation: str) -> None:
        """Looking changes nothing that could explain it."""
        looks = exchange(operation, 200, seq=25, json=build("ready"))

        assert self.found(self.served(2), looks, self.denied(3), self.served(5)) == {SHAPE}

    @pytest.mark.parametrize("at", [2.2, 4.2])
    def test_is_explained_by_whatever_else_was_done(self, at: float) -> None:
        """A cancel or a publish in between may have changed what a start is told."""
        for operation in ("cancelBuild", "publishTemplate", "deleteTemplate"):
            acts = exchange(operation, 200, seq=round(at * 10), json={})
            assert self.found(self.served(2), acts, self.denied(3), self.served(5)) == set()

    def test_is_found_from_the_moment_the_first_start_was_answered(self) -> None:
        """Before that the two were on their way together."""
        assert self.found(self.served(2, done_at=3.0), self.denied(3), self.served(5)) == {SHAPE}
        assert self.found(self.served(2, done_at=3.1), self.denied(3), self.served(5)) == set()

    def test_is_not_found_on_one_side_only(self) -> None:
        """A start that is refused from now on may have another reason."""
        assert self.found(self.served(2), self.denied(3)) == set()
        assert self.found(self.denied(3), self.served(5)) == set()


class TestHonest:
    """A retry that waited as long as it was told to."""

    def found(self, *story: Exchange) -> list[tuple[str, tuple[int, ...], str, str]]:
        return story_findings((retry_after_honest,), *story)

    def test_that_is_refused_twice_is_shown_with_the_wait(self) -> None:
        """The last refusal before, and the retry."""
        first = [start(1), refused(2, after="1"), refused(3.5, "retry", after="1")]
        second = [start(11, number=2), refused(12, after="1", number=2), refused(14, "retry", number=2)]
        once = [start(21, number=3), refused(22, after="1", number=3), refused(24.5, "retry", number=3)]

        assert self.found(*first, *second, *once) == [
            (
                HONEST,
                (220, 245),
                "served after waiting as long as Retry-After says",
                "3 starts refused again after the whole wait, the last after 2.0 s",
            )
        ]
        assert [evidence for _, evidence, *_ in self.found(*first, *second)] == [(120, 140)]
        assert story_verdicts((retry_after_honest,), *first) == {(HONEST, "indeterminate")}

    def test_is_looked_at_in_each_round(self) -> None:
        """A round whose burst was refused from its first start on shows a full host; the next one counts."""
        full = [refused(1, after="1"), refused(2.5, "retry", after="1")]
        good = [start(11, number=2), refused(12, after="1", number=2), start(14, "retry", number=2)]

        assert shown_by((retry_after_honest,), *full, *good) == [(HONEST, (120, 140))]
        assert story_verdicts((retry_after_honest,), *full) == set()


class TestEnds:
    """How a round's retries ended."""

    GAVE_UP: ClassVar[dict[str, Any]] = {"limit": {"gave_up": True}}

    def test_with_a_refusal_for_good_is_found(self) -> None:
        """The first refusal and the last retry, and how often and how long it was tried."""
        story = [start(1), refused(2, after="1"), refused(4, "retry"), refused(10.5, "retry", **self.GAVE_UP)]

        assert story_findings((ends_after_back_off,), *story) == [
            (ENDS, (20, 105), "a start served after backing off", "429 after 2 retries in 8.0 s")
        ]

    def test_is_shown_by_the_first_refusal_and_the_last_retry(self) -> None:
        """A start that was served in the end."""
        story = [start(1), refused(2), refused(4, "retry"), start(6, "retry")]

        assert shown_by((ends_after_back_off,), *story) == [(ENDS, (20, 60))]

    def test_is_open_while_nobody_gave_up(self) -> None:
        """A retry that was refused, or failed, is not the end."""
        assert story_verdicts((ends_after_back_off,), start(1), refused(2), refused(4, "retry")) == set()
        failed = start(4, "retry", 500, **self.GAVE_UP)
        assert story_verdicts((ends_after_back_off,), start(1), refused(2), failed) == set()

    def test_is_judged_for_each_round(self) -> None:
        """A round that met no limit takes nothing away from the next one."""
        none = [start(1), start(2)]
        second = [start(11, number=2), refused(12, number=2), start(14, "retry", number=2)]

        assert story_verdicts((ends_after_back_off,), *none, *second) == {(ENDS, "held")}


class TestPerKey:
    """A start by another key while the first one is refused."""

    @staticmethod
    def of_round(other_status: int = 202, number: int = 1, at: float = 100.0, **confirm: Any) -> list[Exchange]:
        other = {"ref": OTHER_REF, "credential": "second", "number": number}
        return [
            start(at, number=number),
            start(at + 1, number=number),
            refused(at + 2, number=number),
            start(at + 3, "other-key", other_status, **other),
            start(at + 4, "confirm", **({"status": 429, "number": number} | confirm)),
            start(at + 6, "retry", number=number),
        ]

    READY_BEFORE = exchange(seq=3, ref=OTHER_REF, credential="second", json=build("ready", OTHER_REF), sent_at=0.3)

    def found(self, *story: Exchange) -> set[tuple[str, str]]:
        return story_verdicts((per_key,), *story)

    def test_that_is_refused_is_shown_between_two_refusals(self) -> None:
        """The refusals of the first key, and that of the other one."""
        said = story_findings((per_key,), self.READY_BEFORE, *self.of_round(429))

        assert said == [
            (
                PER_KEY,
                (1020, 1040, 1030),
                "another key's start served",
                '429 {"error": "no"} after 2 starts by the first key',
            )
        ]
        assert shown_by((per_key,), self.READY_BEFORE, *self.of_round()) == [(PER_KEY, (1020, 1040, 1030))]

    @pytest.mark.parametrize(
        ("missing", "judged"),
        [
            (None, True),
            (3, False),
            (4, False),
        ],
    )
    def test_needs_the_other_start_and_its_confirmation(self, missing: int | None, judged: bool) -> None:
        """Without either nothing is shown."""
        whole = self.of_round()
        kept = [each for number, each in enumerate(whole) if number != missing]

        assert bool(self.found(self.READY_BEFORE, *kept)) is judged

    def test_says_nothing_where_the_first_key_was_served_again(self) -> None:
        """Then it was not refused while the other one was tried; nor where no start of the burst was."""
        assert self.found(self.READY_BEFORE, *self.of_round(429, status=202)) == set()
        burst, later = self.of_round(429)[:2], self.of_round(429)[3:]
        assert self.found(self.READY_BEFORE, *burst, *later) == set()

    def test_is_judged_for_each_round(self) -> None:
        """A round without another key, or whose other start failed, takes nothing away from the next one."""
        for first in (self.of_round()[:3], self.of_round(500)):
            second = self.of_round(429, 2, 300.0)
            assert (PER_KEY, "broken") in self.found(self.READY_BEFORE, *first, *second)

    def test_is_judged_where_the_first_key_was_not_tried_again(self) -> None:
        """How long that one needed to recover is not known then."""
        assert self.found(self.READY_BEFORE, *self.of_round(429)[:5]) == {(PER_KEY, "broken")}

    def test_is_open_where_the_first_key_was_refused_from_the_first_start_on(self) -> None:
        """A burst of one start may have met a full host."""
        assert self.found(self.READY_BEFORE, *self.of_round(429)[2:]) == {(PER_KEY, "indeterminate")}

    def test_needs_a_version_that_was_ready(self) -> None:
        """The other key's start builds nothing only where its version was seen ready before."""
        late = exchange(seq=1031, ref=OTHER_REF, credential="second", json=build("ready", OTHER_REF), sent_at=103.1)
        building = exchange(seq=3, ref=OTHER_REF, credential="second", json=build("building", OTHER_REF), sent_at=0.3)

        assert self.found(*self.of_round(429)) == {(PER_KEY, "indeterminate")}
        assert self.found(late, *self.of_round(429)) == {(PER_KEY, "indeterminate")}
        assert self.found(building, *self.of_round(429)) == {(PER_KEY, "indeterminate")}
        itself = self.of_round(429)
        itself[3] = start(103, "other-key", 429, ref=OTHER_REF, credential="second", json=build("ready", OTHER_REF))
        assert self.found(*itself) == {(PER_KEY, "indeterminate")}

    def own_starts(self, *gaps_s: float) -> list[Exchange]:
        """Starts of the other key that ended so many seconds before its refusal at 103."""
        facts = {"ref": OTHER_REF, "credential": "second", "json": build("ready", OTHER_REF)}
        return [
            exchange("startBuild", 202, seq=500 + n, sent_at=103 - gap - 0.1, done_at=103 - gap, **facts)
            for n, gap in enumerate(gaps_s)
        ]

    @pytest.mark.parametrize(
        ("gaps_s", "outcome"),
        [
            ((), "broken"),
            ((10.0,), "broken"),
            ((10.0, 20.0), "indeterminate"),
            ((10.0, 59.9), "indeterminate"),
            ((10.0, 60.0), "broken"),
        ],
    )
    def test_may_have_been_used_up_by_its_own_starts(self, gaps_s: tuple[float, ...], outcome: str) -> None:
        """As many as the first key was served, within a minute."""
        assert self.found(self.READY_BEFORE, *self.own_starts(*gaps_s), *self.of_round(429)) == {(PER_KEY, outcome)}

    @pytest.mark.parametrize(("gap_s", "outcome"), [(89.0, "indeterminate"), (91.0, "broken")])
    def test_may_have_been_used_up_for_as_long_as_the_first_key_needed(self, gap_s: float, outcome: str) -> None:
        """A key that was served twice and recovered after thirty seconds may have a window of three times that."""
        slow = [*self.of_round(429)[:5], start(132, "retry")]

        assert self.found(self.READY_BEFORE, *self.own_starts(10.0, gap_s), *slow) == {(PER_KEY, outcome)}

    @pytest.mark.parametrize(("served", "outcome"), [(1, "indeterminate"), (2, "indeterminate"), (6, "broken")])
    def test_was_not_used_up_where_the_first_key_regains_much_in_a_short_time(self, served: int, outcome: str) -> None:
        """
        A later burst of six shows that a window of a few seconds holds two at least, so older starts do not count.
        """
        later = [start(107 + 0.6 * number, number=2) for number in range(served)]
        story = [self.READY_BEFORE, *self.own_starts(20.0, 30.0), *self.of_round(429), *later]

        assert self.found(*story) == {(PER_KEY, outcome)}


class TestReads:
    """Starts served after many reads, compared with those served without."""

    @staticmethod
    def of_round(
        number: int, at: float, served: int, reads: int = 0, case: str = "test", pace: float = 0.6
    ) -> list[Exchange]:
        """A round that begins at *at* and ends 20 seconds later, a refusal and a served retry at its end."""
        looks = [read(at - 2 + 0.02 * n, number, seq=round(at * 10) - 20 + n, case=case) for n in range(reads)]
        burst = [start(at + pace * n, number=number, case=case) for n in range(served)]
        last = at + pace * served
        return [
            *looks,
            *burst,
            refused(last, number=number, case=case),
            start(last + 5, "retry", number=number, case=case),
        ]

    def three(self, plain: int, after_reads: int, reads: int = 12, **more: Any) -> list[Exchange]:
        first, second = self.of_round(1, 100, 3), self.of_round(2, 200, plain)
        third = self.of_round(3, 310, after_reads, reads, **more)
        return [*first, *second, *third]

    def found(self, *story: Exchange) -> set[tuple[str, str]]:
        return story_verdicts((reads_not_charged,), *story)

    @pytest.mark.parametrize(
        ("plain", "after_reads", "reads", "outcome"),
        [
            (4, 4, 12, "held"),
            (4, 2, 12, "held"),
            (6, 2, 18, "indeterminate"),
            (6, 1, 18, "broken"),
            (7, 2, 21, "broken"),
            (3, 3, 9, "held"),
            (2, 2, 9, "indeterminate"),
            (4, 4, 11, "indeterminate"),
            (5, 2, 15, "indeterminate"),
        ],
    )
    def test_are_alike_or_apart(self, plain: int, after_reads: int, reads: int, outcome: str) -> None:
        """
        At least half as many are alike, less than a third are apart; three starts and thrice as many reads are needed.
        """
        slow = 0.6 * plain / after_reads + 0.1

        assert self.found(*self.three(plain, after_reads, reads, pace=slow)) == {(READS, outcome)}

    def test_are_shown_by_both_bursts_and_the_last_read(self) -> None:
        """A finding says how many starts were served on either side."""
        story = self.three(7, 1, 21, pace=5.0)

        assert [(c, expected, actual) for c, _, expected, actual in story_findings((reads_not_charged,), *story)] == [
            (READS, "as many starts served after reads as without", "1 starts served after 21 reads, 7 without")
        ]
        assert story_findings((reads_not_charged,), *story)[0][1] == (2042, 3100, 3150)

    def test_need_a_burst_that_lasted_as_long(self) -> None:
        """A shorter burst had less time for starts."""
        assert self.found(*self.three(4, 3, pace=0.1)) == {(READS, "indeterminate")}

    def test_are_compared_within_one_case_and_after_the_same_rest(self) -> None:
        """Another case drove another limit, and a longer rest may have filled it further."""
        alone = [*self.of_round(1, 100, 3), *self.of_round(2, 310, 4, 12)]
        longer = [*self.of_round(1, 100, 3), *self.of_round(2, 250, 4), *self.of_round(3, 340, 4, 12)]

        assert self.found(*alone) == set()
        assert self.found(*longer) == set()

    def test_are_compared_though_another_case_has_nothing_to_compare(self) -> None:
        """A round with reads and none without takes nothing away from the next case."""
        alone = [*self.of_round(1, 1000, 3, case="alone"), *self.of_round(2, 1210, 4, 12, case="alone")]
        assert self.found(*alone, *self.three(4, 4, pace=0.7)) == {(READS, "held")}

    def test_are_compared_with_the_round_that_was_served_least(self) -> None:
        """Of several rounds without reads the smallest one is what is usual."""
        rounds = [
            *self.of_round(1, 100, 3),
            *self.of_round(2, 200, 9),
            *self.of_round(3, 300, 3),
            *self.of_round(4, 410, 2, 12, pace=2),
        ]
        other = [
            *self.of_round(1, 100, 3),
            *self.of_round(2, 200, 3),
            *self.of_round(3, 300, 9),
            *self.of_round(4, 410, 2, 12, pace=2),
        ]

        assert self.found(*rounds) == {(READS, "held")}
        assert self.found(*other) == {(READS, "held")}


def test_rounds_are_about_the_version_that_was_driven() -> None:
    """Another version has none."""
    assert story_verdicts((ends_after_back_off,), start(1), refused(2), start(4, "retry"), ref=OTHER_REF) == set()
    assert start(1).ref == REF
