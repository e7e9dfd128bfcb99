"""The sender of a probe, on a clock that is set by hand."""

from concurrent.futures import Future
from itertools import count, pairwise
from typing import Any

from touchstone.facts.stimulus import Stimulus, stream
from touchstone.limiter.probe.connections import Reply
from touchstone.limiter.probe.sender import Bounds, Sender
from touchstone.limiter.terms import Terms


class SlowLink:
    """A link whose connections take 0.1 s to open."""

    def __init__(self) -> None:
        self.at = 0.0
        self.sent_at: list[float] = []

    def now(self) -> float:
        """The time; each look at the clock takes a millisecond."""
        self.at += 0.001
        return self.at

    def open(self, _count: int) -> None:
        """Opens connections."""
        self.at += 0.1

    def prepared(self, _operation: str, ref: str) -> str:
        """A request."""
        return ref

    def send(self, _prepared: str) -> Reply:
        """Sends a request."""
        self.sent_at.append(self.at)
        return Reply(self.at, self.at, self.at, status=200)

    def spawn(self, work: Any, *arguments: Any) -> "Future[Any]":
        """Runs *work* at once."""
        future: Future[Any] = Future()
        future.set_result(work(*arguments))
        return future


def test_requests_keep_their_distance_where_connections_open_too_late() -> None:
    """A stream whose connections open too late keeps its gaps; requests sent at once could overtake each other."""
    link, gap_s = SlowLink(), 0.02
    bounds = Bounds(Terms(20, starts=False, most_requests=9, most_builds=0, most_s=9.0), 9.0, link.now, 0)
    sender: Any = Sender("getBuild", link, None, "a/b@1", bounds, lambda *_: None, count())  # type: ignore[arg-type]
    answers = sender.send(1, Stimulus("fill", (stream(0.05, 5, gap_s),)))
    assert len(answers) == 5
    assert min(b - a for a, b in pairwise(link.sent_at)) > 0.7 * gap_s
