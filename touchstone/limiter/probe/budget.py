"""What a probe may still send, and why it sends nothing more."""

from collections.abc import Callable

from gevent.event import Event

from touchstone.facts.identity import Why
from touchstone.facts.probe_events import Answered
from touchstone.limiter.terms import Terms

# So many answers in a row that tell nothing of a limiter are no accident.
MOST_OTHERS = 5
_NO_ENTRY = frozenset({401, 403})


class Bounds:
    """The budget of a probe in requests, builds and seconds.

    Args:
        until_at: When the seconds are over, in run seconds.
        spent_builds: Builds that began before, or may have.

    Attributes:
        ended: Set when nothing more is to be sent.
        why: Why that is so.
        failure: In a sentence, where the target cannot be judged.
        requests: Limited requests that were sent, of this session and those before it.
        refused: Those of them that were refused.
        builds: Starts that were accepted.
    """

    def __init__(self, terms: Terms, until_at: float, now: Callable[[], float], spent_builds: int = 0) -> None:
        self.ended = Event()
        self.why: Why = ""
        self.failure = ""
        self.requests = self.refused = self.builds = 0
        self._terms = terms
        self._until_at = until_at
        self._now = now
        self._perhaps = spent_builds
        self._others = 0

    def end(self, why: Why, failure: str = "") -> None:
        """Has nothing more sent; the first reason counts."""
        if not self.ended.is_set():
            self.why, self.failure = why, failure
            self.ended.set()

    def room(self, at: float) -> int:
        """How many requests may be sent at a moment to come; 0 ends the probe."""
        if self.ended.is_set():
            return 0
        terms = self._terms
        left = terms.most_requests - self.requests
        if terms.starts:
            left = min(left, terms.most_builds - self.spent_builds)
        if left <= 0 or max(at, self._now()) >= self._until_at:
            self.end("budget")
            return 0
        return left

    def rest_until(self, at: float, margin_s: float) -> bool:
        """Waits until shortly before a moment; whether the probe still goes on then."""
        left_s = at - margin_s - self._now()
        return not (self.ended.wait(left_s) if left_s > 0 else self.ended.is_set())

    def recall(self, answered: Answered) -> None:
        """Counts one request of an earlier session. What told nothing may have begun a build all the same."""
        self.requests += 1
        self.refused += answered.status == 429
        if self._terms.starts:
            self.builds += answered.answer.accepted
            self._perhaps += not answered.status or answered.status >= 500

    @property
    def spent_builds(self) -> int:
        """Builds that began, or may have."""
        return self.builds + self._perhaps

    def began_nothing(self) -> None:
        """Gives a build back: a read has shown that a start which was refused began none."""
        self._perhaps -= 1

    def take(self, answered: Answered) -> None:
        """Counts one request, whatever was answered; too many answers that tell nothing end the probe."""
        self.recall(answered)
        # A refusal does not show that nothing began; a read of the version does.
        self._perhaps += self._terms.starts and answered.status == 429
        self._others = 0 if answered.heeded else self._others + 1
        if answered.heeded:
            return
        told = f"status {answered.status}" if answered.status else "no answer"
        if answered.status in _NO_ENTRY:
            self.end("interrupted", f"a request was answered with {told}: the key may not do this; give another one")
        elif self._others >= MOST_OTHERS:
            self.end("interrupted", f"{self._others} requests in a row told nothing of a limiter, the last with {told}")
