"""Where the capacity is: what a run may say of it, and what it may not."""

from dataclasses import replace

import pytest

from tests.loadlogs import BEGAN_AT, Bucket, ClockWindow, FixedWindow, NoLimit, Storm, log_of, steady, workload
from tests.rules.exchanges import exchange
from touchstone.facts.events import Attempt, Build, RunLog, TemplateAction
from touchstone.loadgen.capacity import Capacity, InFlight, Life, capacity, lives_of
from touchstone.report.load_sentences import sentence


def of(log: RunLog) -> Capacity:
    """What a run says."""
    found = capacity(log)
    assert found is not None
    return found


def window() -> NoLimit:
    """Eight starts in four seconds."""
    return FixedWindow(8, 4.0)


def bucket() -> NoLimit:
    """Eight at once, then two a second."""
    return Bucket(8, 2.0)


def clock() -> NoLimit:
    """Four starts in five seconds, which begin by the clock."""
    return ClockWindow(4, 5.0, 1.3)


UNEVEN = (0.4, 2.6, 1.0, 1.7, 0.7)


@pytest.mark.parametrize(
    ("storm", "finding", "words"),
    [
        (Storm(lengths=UNEVEN), "either", "either that, or the capacity is 4."),
        (Storm(), "either", "A rate limit could have refused them as well: either that, or the capacity is 4."),
        (Storm(retry_s=0.3), "either", "720 starts were refused meanwhile. A rate limit could"),
        (Storm(starts=3), "not-reached", "No start was refused: the capacity is at least 3 builds in flight."),
        (Storm(starts=1), "not-reached", "at least 1 build in flight."),
        (Storm(patience=1), "either", "either that, or the capacity is 4."),
        (Storm(capacity=None, rate=window), "either", "either that, or the capacity is 8."),
        (Storm(capacity=None, rate=clock), "either", "either that, or the capacity is 4."),
        (Storm(capacity=None, rate=window, retry_s=0.3), "rate", "all 1,046 refusals, and a full host the"),
        (Storm(capacity=None, rate=bucket, retry_s=0.3), "rate", "The capacity is at least 9."),
        (Storm(capacity=None, rate=window, retry_s=0.3, build_s=10.0), "rate", "The capacity is at least 24."),
        (
            Storm(capacity=None, rate=clock, retry_s=0.3, lengths=UNEVEN),
            "rate",
            "So would builds that this run does not see",
        ),
        (Storm(rate=window, retry_s=0.3), "rate", "434 starts were refused with fewer than the 4 builds"),
        (Storm(rate=bucket, retry_s=0.3), "rate", "in flight that were seen at other times"),
    ],
)
def test_run_says_what_it_saw(storm: Storm, finding: str, words: str) -> None:
    """The capacity is named where builds in flight show it, a rate limit where they rule it out, and doubt is told."""
    found = of(storm.run())

    assert found.finding == finding
    assert words in sentence("capacity", found)


def test_refusals_with_room_are_a_rate_limit() -> None:
    """Who is refused though fewer builds are in flight than at another time has met a rate limit, not the capacity."""
    log = Storm(starts=4, capacity=None).run()
    later = BEGAN_AT + 5.0
    refused = tuple(
        replace(log.attempts[0], want=50 + n, fresh=True, status=429, intended_at=later, sent_at=later, done_at=later)
        for n in range(7)
    )
    found = of(replace(log, attempts=log.attempts + refused))

    assert (found.finding, found.refused_below, found.refused_full) == ("rate", 7, 0)
    assert sentence("capacity", found) == (
        "7 starts were refused with fewer than the 4 builds in flight that were seen at other times: a rate limit "
        "can explain all 7 refusals. So would builds that this run does not see: those of others, or cancelled ones "
        "that keep their place. The capacity is at least 4."
    )


def test_refusals_that_nothing_explains_are_told_as_such() -> None:
    """Refused at random, starts fit neither a host that is full at one number nor a limit that counts."""
    log = Storm(starts=4, capacity=None).run()
    calm = [(BEGAN_AT + 20.0 * n + tick, status) for n in range(1, 9) for tick, status in ((0, 202), (1, 429))]
    burst = [(BEGAN_AT + 500.0 + 0.1 * n, 202) for n in range(60)]
    more = tuple(
        replace(log.attempts[0], want=50 + n, status=status, intended_at=at, sent_at=at, done_at=at + 0.01, seq=100 + n)
        for n, (at, status) in enumerate([*calm, *burst])
    )
    found = of(replace(log, attempts=log.attempts + more))

    assert found.finding == "unclear"
    assert "neither a full host nor a usual rate limit explains these refusals" in sentence("capacity", found)
    assert sentence("capacity", found).endswith("The capacity is at least 4.")


def test_starts_of_shared_versions_may_have_needed_room() -> None:
    """Where clients race about the same versions nobody knows whether a refused start needed room."""
    log = Storm(starts=2).run()
    attempts = tuple(replace(attempt, fresh=None, status=429) for attempt in log.attempts)
    found = of(log_of(workload("churn"), attempts=attempts))

    assert (found.finding, found.refused_unsure, found.refused_needless) == ("either", 2, 0)
    assert sentence("capacity", found) == (
        "2 starts were refused of versions that other clients start and cancel as well, so that nobody knows how many "
        "builds were in flight: a full host, or a rate limit."
    )


def test_what_refusals_say_is_a_hint() -> None:
    """What the target says of its refusals is told, each once, in any of the usual forms, and as what it is."""
    bodies = ({"error": {"message": "Host  full"}}, {"error": "Too fast"}, {"message": "Host full"}, {}, {"error": 7})
    refusals = [exchange("startBuild", 429, json=body) for body in bodies]
    refusals.append(exchange("startBuild", 429, json={"message": "Asked for"}, note={"limit": {"round": 1}}))
    found = of(replace(Storm().run(), exchanges=tuple(replace(e, seq=900 + n) for n, e in enumerate(refusals))))

    assert found.messages == ("Host full", "Too fast")
    assert sentence("capacity", found).endswith("Refusals say 'Host full' and 'Too fast': a hint, and no proof.")


def test_refused_start_that_needs_no_room_is_a_rate_limit() -> None:
    """A start of a version that is built needs no room, so a full host is no reason to refuse it."""
    log = Storm(starts=2).run()
    attempts = tuple(replace(attempt, fresh=False, status=429) for attempt in log.attempts)
    found = of(log_of(workload("fairness"), attempts=attempts))

    assert (found.finding, found.refused_needless) == ("rate", 2)
    text = "2 starts were refused that needed no room: a rate limit can explain all 2 refusals."
    assert sentence("capacity", found) == text


def test_limit_met_at_the_end_leaves_the_capacity_open() -> None:
    """Starts that need no room and are refused show a rate limit, and the capacity is at least what was seen."""
    log = Storm(lengths=UNEVEN).run()
    end_at = max(build.ended_at for build in log.builds)
    burst = tuple(
        replace(
            log.attempts[0], want=900, number=n + 1, fresh=False, status=202 if n < 60 else 429,
            sent_at=end_at + n / 1000, done_at=end_at + n / 1000 + 0.0005,
        )
        for n in range(80)
    )  # fmt: skip
    found = of(replace(log, attempts=log.attempts + burst))

    assert (found.finding, found.at_least, found.refused_needless) == ("rate", 4, 20)
    assert found.clients.wanted == 40


def test_nothing_is_known_without_a_start() -> None:
    """A run without starts has no capacity to tell; one whose starts got no answer says that it knows nothing."""
    log = Storm(starts=2).run()
    dead = tuple(replace(attempt, status=0) for attempt in log.attempts)

    assert capacity(steady()) is None
    assert of(log_of(workload("storm"), attempts=dead)).finding == "unknown"
    assert "says nothing about the capacity" in sentence("capacity", of(log_of(workload("storm"), attempts=dead)))


def test_sparse_reads_leave_a_range() -> None:
    """Where nobody read a build while it ran, its end is not known, and the capacity is told as two numbers."""
    found = of(Storm(poll_s=2.0, retry_s=0.5).run())

    assert (found.at_least, found.at_most) == (1, 4)
    assert "the capacity is between 1 and 4" in sentence("capacity", found)


@pytest.mark.parametrize("poll_s", [0.05, 0.2, 0.45])
@pytest.mark.parametrize("capacity_of", [1, 3, 7])
def test_capacity_is_found_whatever_it_is(capacity_of: int, poll_s: float) -> None:
    """With reads closer than half a build, the number is exact."""
    found = of(Storm(starts=20, capacity=capacity_of, poll_s=poll_s, lengths=UNEVEN, retry_s=0.3).run())

    assert (found.finding, found.at_least, found.at_most) == ("either", capacity_of, capacity_of)


def test_clients_and_admissions_are_counted() -> None:
    """What became of the clients, how long they waited, and how many were let in within a time."""
    found = of(Storm().run())
    clients = found.clients

    assert (clients.wanted, clients.at_once, clients.later, clients.gave_up) == (40, 4, 36, 0)
    assert clients.tries == 40 + len(found.refusals) == 220
    assert (found.admitted, found.busiest) == (40, {1: 4, 10: 40, 60: 40})
    assert 4.9 < clients.wait_p50_s < 5.2
    assert sentence("beyond", found).startswith(
        "Of 40 clients 4 were let in at the first try, 36 after waiting, half of them"
    )


def test_clients_that_give_up_are_counted() -> None:
    """A client without patience left is no client that waits."""
    found = of(Storm(patience=1).run())

    assert (found.clients.at_once, found.clients.later, found.clients.gave_up) == (4, 0, 36)
    assert "36 gave up" in sentence("beyond", found)


def test_clients_that_the_end_of_the_run_met_waiting_are_counted() -> None:
    """Who was refused until the run was stopped is neither served nor gave up, and is told of by that name."""
    log = Storm().run()
    stopped = tuple(attempt for attempt in log.attempts if attempt.sent_at < BEGAN_AT + 3.5)
    found = of(replace(log, attempts=stopped))
    clients = found.clients

    assert clients.wanted == 40 == clients.at_once + clients.later + clients.still_trying
    assert (clients.at_once, clients.gave_up, clients.still_trying > 0) == (4, 0, True)
    assert f", {clients.still_trying} were still trying when the run ended; " in sentence("beyond", found)


def test_every_client_is_told_of_once() -> None:
    """Whoever was not let in gave up, was still trying, did not come back, or got no answer that tells."""
    log = Storm(starts=4, capacity=None).run()
    first = log.attempts[0]
    ends = (
        replace(first, want=50, status=429, gave_up=True),
        replace(first, want=51, status=429),
        replace(first, want=52, status=429, phase="alone"),
        replace(first, want=53, status=429, phase="beside-greedy"),
        replace(first, want=54, status=503),
        replace(first, want=55, status=0),
        replace(first, want=56, status=0),
        replace(first, want=57, status=0, cut_off=True),
    )
    found = of(replace(log, attempts=log.attempts + ends))
    clients = found.clients

    assert (clients.gave_up, clients.still_trying, clients.turned_away, clients.failed) == (1, 2, 2, 3)
    assert clients.wanted == 12 == clients.at_once + clients.later + 1 + 2 + 2 + 3
    assert sentence("beyond", found).startswith(
        "Of 12 clients 4 were let in at the first try, 1 gave up, 2 were still trying when the run ended, "
        "2 were refused and did not come back, 3 got an error or no answer; 12 tries in all."
    )


def test_bounds_hold_the_truth() -> None:
    """At every moment, surely and possibly in flight are the least and the most that can be true."""
    storm = Storm(rate=window, retry_s=0.3)
    log = storm.run()
    flight = InFlight(lives_of(log.attempts, log.builds))
    began = [b.accepted_at - 0.002 for b in log.builds]

    for n in range(2_000):
        at = BEGAN_AT + n / 100
        # Begun between the sending and the answer, and over as long after it as a build takes.
        least = sum(start + 0.004 <= at <= start + storm.build_s - 0.004 for start in began)
        most = sum(start - 0.004 <= at <= start + storm.build_s + 0.008 for start in began)
        assert flight.sure(at) <= most
        assert least <= flight.at_most(at, at)
        assert flight.sure(at) <= flight.at_most(at, at) <= 8


def test_build_that_was_never_seen_to_end_may_go_on() -> None:
    """A build that nobody saw ending takes up room in what is possible, and in nothing that is sure."""
    attempt = Attempt(1, 1, "r", "primary", "", True, 1.0, 1.0, 1.1, 202, None, False, 1)
    build = Build(1, "r", "primary", 1.1, 9.0, "unread", None, 1)
    flight = InFlight(lives_of([attempt], [build]))

    assert (flight.sure(5.0), flight.at_most(5.0, 5.0), flight.at_most(99.0, 99.0)) == (0, 1, 1)
    assert (flight.sure(1.1), flight.most) == (1, 1)


def test_whatever_overlaps_a_start_may_have_been_in_its_way() -> None:
    """While a start was under way, all builds count that were in flight at any moment of it."""
    flight = InFlight([Life(0.9, 1.0, 2.0, 2.5), Life(2.7, 2.8, 4.0, 4.1)])

    assert [flight.at_most(*span) for span in ((2.4, 2.6), (2.55, 2.65), (2.4, 2.75), (0.1, 0.8))] == [1, 0, 2, 0]


def test_steps_tell_both_numbers_over_time() -> None:
    """Each step says how many builds were surely in flight from there on, and how many more may have been."""
    flight = InFlight([Life(0.9, 1.0, 2.0, 2.5), Life(1.4, 1.5, 3.0, 3.1)])

    assert [(step.at_s, step.sure, step.unsure) for step in flight.steps(9.0)] == [
        (1.0, 1, 0), (1.5, 2, 0), (2.0, 1, 1), (2.5, 1, 0), (3.0, 0, 1), (3.1, 0, 0),
    ]  # fmt: skip


def test_build_lasts_as_long_as_its_steps() -> None:
    """Builds that nobody read while they ran were in flight together if they began within the time of their steps."""
    log = Storm(starts=6, capacity=None, poll_s=3.0).run()
    published = (TemplateAction("default/a@1", "own", "", "published", 0.1),)
    known = replace(log, templates=published)

    assert of(log).at_least == 1
    assert of(known).at_least == 6
