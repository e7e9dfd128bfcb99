"""The sender of a probe and its budget, on a clock that is set by hand."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from touchstone.facts.probe import Answer, Answered, Outcome, Segment, Stimulus, Terms, Trial, drain, stream
from touchstone.limiter.probe.sender import Bounds, OpenLoop, Pool, Sender
from touchstone.target.call import Answer as Reply
from touchstone.target.call import Head

TERMS = Terms(20, starts=True, most_requests=9, most_builds=5, most_s=9.0)


@dataclass
class HandLink:
    """A link without a network: requests take no time, work runs at once, connections take *opening_s* to open.

    Attributes:
        statuses: What requests of an operation are answered with, one after the other, and the last one for good.
        sent: The operations that were sent, and when.
    """

    opening_s: float = 0.0
    statuses: dict[str, list[int]] = field(default_factory=dict)
    body: bytes = b'{"status": "cancelled"}'
    took_s: float = 0.0
    at: float = 0.0
    timeout_s: float = 5.0
    sent: list[tuple[str, float]] = field(default_factory=list)
    bounds: Any = field(default_factory=lambda: SimpleNamespace(max_total_bytes=10_000))

    def now(self) -> float:
        self.at += 0.001
        return self.at

    def open(self, _count: int) -> None:
        self.at += self.opening_s

    def prepared(self, operation: str, _ref: str) -> str:
        return operation

    def send(self, operation: str, _timeout_s: float = 0.0, sent: threading.Event | None = None) -> Reply:
        """Sends a request."""
        self.sent.append((operation, self.at))
        left = self.statuses.get(operation, [200])
        if sent:
            sent.set()
        status = left.pop(0) if len(left) > 1 else left[0]
        times = self.at, self.at, self.at + self.took_s
        return Reply(Head(status, ()) if status else None, self.body, [], *times)

    def spawn(self, work: Any, *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(work(*arguments))
        return future

    def times(self, operation: str) -> list[float]:
        return [at for name, at in self.sent if name == operation]


def sender_of(link: Any, operation: str, pool: Pool | None = None, terms: Terms = TERMS) -> tuple[Sender, Bounds]:
    """A sender with a budget, whose waits set the clock."""

    def wait(wait_s: float) -> bool:
        link.at += wait_s
        return bounds.ended.is_set()

    bounds = Bounds(replace(terms, starts=pool is not None), terms.most_s, link.now, 0)
    bounds.ended.wait = wait  # type: ignore[assignment,method-assign]  # nothing waits
    return Sender(operation, link, pool, "a/b@1", bounds, lambda *_: None, count()), bounds


def test_requests_keep_their_distance_where_connections_open_too_late() -> None:
    link, gap_s = HandLink(opening_s=0.1), 0.02
    sender, _ = sender_of(link, "getBuild")
    assert len(sender.send(1, Stimulus("fill", (stream(0.05, 5, gap_s),)))) == 5
    assert min(later - sooner for sooner, later in pairwise(link.times("getBuild"))) > 0.7 * gap_s


@pytest.mark.parametrize(
    ("statuses", "segment", "sent", "evidence", "why"),
    [
        pytest.param([200, 429, 200], drain(0.1, 5), 2, 2, "", id="until refused"),
        pytest.param([429, 429, 200], Segment((0.1, 0.2, 0.3, 0.4), "accepted"), 3, 3, "", id="until accepted"),
        pytest.param([200, 429, 200], stream(0.1, 8, 0.1), 2, 2, "", id="stream"),
        pytest.param([200], replace(drain(0.1, 9), quick_s=0.001), 4, 4, "", id="until held back"),
        pytest.param([404, 500, 200], Segment((0.1, 0.2, 0.3)), 3, 2, "", id="failing once"),
        pytest.param([200, 401], Segment((0.1, 0.2, 0.3)), 2, 1, "interrupted", id="barred"),
        pytest.param([500], Segment((0.1,) * 9), 5, 0, "interrupted", id="nothing of a limiter"),
        pytest.param([200], drain(0.1, 20), 9, 9, "budget", id="requests"),
        pytest.param([200], Segment((1.0, 20.0)), 1, 1, "budget", id="time"),
    ],
)
def test_stimulus_ends_with_its_answer_or_the_budget(
    statuses: list[int], segment: Segment, sent: int, evidence: int, why: str
) -> None:
    link = HandLink(statuses={"getBuild": statuses}, took_s=0.1 if segment.quick_s else 0.0)
    sender, bounds = sender_of(link, "getBuild")
    answers = sender.send(1, Stimulus("a", (segment,)))
    times = link.times("getBuild")
    assert (len(times), len(answers), bounds.requests, bounds.why) == (sent, evidence, sent, why)
    assert all(at >= due for at, due in zip(times, segment.at, strict=False))


def test_builds_are_a_budget_and_one_without_an_answer_counts() -> None:
    link = HandLink(statuses={"startBuild": [202, 429, 500, 0, 202, 202]})
    pool = Pool([f"a/{number}@1" for number in range(20)], link, 1.0, 429)  # type: ignore[arg-type]  # as much as it uses
    sender, bounds = sender_of(link, "startBuild", pool)
    sender.send(1, Stimulus("a", (Segment((0.1,) * 20),)))
    assert (bounds.spent_builds, bounds.refused, bounds.why) == (5, 1, "budget")
    assert len(link.times("startBuild")) == 6
    assert len(link.times("cancelBuild")) == 5


def test_other_status_can_be_a_refusal_and_is_proposed_as_one() -> None:
    for refusal, evidence, builds in ((429, 1, 6), (503, 2, 1)):
        link = HandLink(statuses={"startBuild": [202, 503]})
        pool = Pool([f"a/{number}@1" for number in range(20)], link, 1.0, 429)  # type: ignore[arg-type]  # as much as it uses
        sender, bounds = sender_of(link, "startBuild", pool, replace(TERMS, refusal=refusal, most_builds=20))
        answers = sender.send(1, Stimulus("a", (drain(0.1, 9),)))
        assert (len(answers), bounds.spent_builds) == (evidence, builds)
        assert ("--refusal 503" in bounds.failure) == (refusal == 429)


@pytest.mark.parametrize(("statuses", "refused"), [([204], False), ([503, 204], False), ([429, 204], True)])
def test_refused_cancel_is_a_sign_of_a_limit_on_all_requests(statuses: list[int], refused: bool) -> None:
    link = HandLink(statuses={"startBuild": [202], "cancelBuild": statuses, "getBuild": [404]})
    pool = Pool(["a/b@1"], link, 1.0, 429)  # type: ignore[arg-type]  # as much as it uses
    pool._closed.wait = lambda _: False  # type: ignore[assignment,method-assign]  # nothing waits
    sender_of(link, "startBuild", pool)[0].send(1, Stimulus("a", (Segment((0.1,)),)))
    assert pool.refused.is_set() is refused


def test_first_reason_to_end_counts() -> None:
    bounds = Bounds(TERMS, 9.0, lambda: 0.0, 0)
    assert bounds.room(0.0) == 5
    for _ in range(4):
        bounds.take(Answered(1, Answer(0.0, 0.1, accepted=False), 503))
    bounds.take(Answered(1, Answer(0.0, 0.1, accepted=False), 429))  # it tells of a limiter: the others were no row
    assert not bounds.ended.is_set()
    bounds.end("interrupted")
    bounds.take(Answered(1, Answer(0.0, 0.1, accepted=False), 403))
    assert (bounds.why, bounds.failure, bounds.room(0.0)) == ("interrupted", "", 0)


@pytest.mark.parametrize(
    ("cancels", "reads", "body", "free"),
    [
        ([202], [200], b'{"status": "cancelled"}', 1),
        ([409], [404], b"", 1),
        ([202], [200], b'{"status": "ready"}', 0),  # a start would begin none
        ([202], [200], b'{"status": "building"}', 0),
        ([202], [500, 200], b'{"status": "failed"}', 1),
        ([403], [200], b'{"status": "cancelled"}', 0),
    ],
    ids=["cancelled", "gone", "ready", "building", "read again", "not cancelled"],
)
def test_version_is_started_again_only_where_its_build_ended(
    monkeypatch: pytest.MonkeyPatch, cancels: list[int], reads: list[int], body: bytes, free: int
) -> None:
    link = HandLink(statuses={"cancelBuild": cancels, "getBuild": reads}, body=body)
    pool = Pool(["a/b@1"], link, 0.05, 429)  # type: ignore[arg-type]  # as much as it uses
    monkeypatch.setattr(pool._closed, "wait", lambda wait_s: False)
    (ref,) = pool.take(1, threading.Event())
    pool.started(ref, holds=True)
    assert (pool.take(1, threading.Event()), link.sent) == ([], [])
    pool.release(1)
    assert len(pool.take(1, threading.Event())) == free
    assert len(link.times("cancelBuild")) == (1 if cancels != [403] else 5)


def trial(link: HandLink, statuses: Sequence[int], most_missed: int | None = None) -> Outcome:
    """What becomes of a trial of ten reads at 20 a second."""
    link.statuses["getBuild"] = list(statuses)
    bounds: Any = SimpleNamespace(ended=threading.Event(), end=lambda _: None)
    bounds.ended.wait = lambda wait_s=0.0: setattr(link, "at", link.at + wait_s)
    reads = OpenLoop(Trial(1, "bracket", 20.0, 10, 1, most_missed), 0.1, link, "getBuild")  # type: ignore[arg-type]
    outcome = reads.run(bounds, 900.0)
    assert len(reads.distinct) == len(set(statuses[: outcome.sent]))
    return outcome


@pytest.mark.parametrize(
    ("took_s", "statuses", "most_missed", "slow", "failed", "refused", "stopped"),
    [
        (0.01, [200], None, 0, 0, 0, False),
        (0.2, [200], None, 10, 0, 0, False),
        (0.2, [200], 3, 4, 0, 0, True),
        (0.01, [200, 500, 200], None, 0, 1, 0, False),
        (0.01, [200, 404, 409, 200], None, 0, 0, 0, False),
        (0.01, [200, 200, 429], None, 0, 0, 1, True),
        (0.01, [200, 403], None, 0, 1, 0, True),
    ],
    ids=["kept", "slow", "stopped", "failed", "not there", "refused", "barred"],
)
def test_outcome_of_a_trial_counts_what_became_of_its_reads(
    took_s: float, statuses: list[int], most_missed: int | None, slow: int, failed: int, refused: int, stopped: bool
) -> None:
    outcome = trial(HandLink(took_s=took_s), statuses, most_missed)
    assert (outcome.slow, outcome.failed, outcome.refused, outcome.stopped) == (slow, failed, refused, stopped)
    assert outcome.due == outcome.sent == (10 if not stopped else len(statuses) if most_missed is None else 4)
    assert outcome.barred == (403 if 403 in statuses else 0)
    assert outcome.p50_s == pytest.approx(took_s, abs=0.05)
    assert (outcome.done_per_s == 0.0, outcome.due_per_s == 0.0) == (stopped, stopped)
