"""What one worker of a load run may spend: requests that it sends, and builds that it begins."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchstone.check.budget import ENDS, Received
from touchstone.check.budget import Budget as BuildBudget
from touchstone.facts.exchange import Credential
from touchstone.loadgen.handover import Go
from touchstone.loadgen.plan import Plan
from touchstone.target.call import Call


@dataclass
class Spent:
    """What the worker has spent, and when it had no requests left to spend."""

    in_flight: int = 0
    kept: int = 0
    kept_reads: int = 0
    cpu_beside_s: float = 0.0
    rss_beside_bytes: int = 0
    cpu_s: float = field(default_factory=time.process_time)
    at_s: float = 0.0
    over_at: float | None = None


class Budget:
    """A worker's requests.

    Args:
        most: How many there may be in all; None for any number.
        tell: Called once, when one is asked for that there is no room for.

    Attributes:
        is_over: Whether that has happened: nothing more will be sent.
    """

    def __init__(self, most: int | None, tell: Callable[[], None]) -> None:
        self.most = most
        self.is_over = False
        self._tell = tell
        self._requests = 0

    def spend(self, requests: int) -> None:
        """Takes requests out of the budget that another process sends."""
        self._requests += requests

    def take(self) -> bool:
        """Takes one request out of the budget; whether there was room for it."""
        if self.most is not None and self._requests >= self.most:
            if not self.is_over:
                self.is_over = True
                self._tell()
            return False
        self._requests += 1
        return True


class Builds:
    """A worker's builds.

    Args:
        read: Reads the status of a version, with the key that it belongs to, and has the answer settled.
    """

    def __init__(self, go: Go, plan: Plan, read: Callable[[str, Credential], None]) -> None:
        stage = go.stage
        share = plan.share_of_builds(go.builds, go.number, go.workers)
        self._budget = BuildBudget(share, ready=stage.refs("ready") + stage.refs("ready-second"))
        self._contents = stage.contents
        self._read = read

    def add(self, builds: int) -> None:
        """Adds to what may begin."""
        self._budget.builds += builds

    def admit(self, call: Call) -> bool:
        """Whether a request may be sent; reserves a build for one that may begin it."""
        admitted = not self._budget.may_begin(call) or self._budget.reserve(self._look)
        if admitted:
            self._budget.sends(call)
        return admitted

    def heeds(self, call: Call) -> bool:
        """Whether the answer to a request may change the budget."""
        return self._budget.may_begin(call) or call.operation in ENDS or self._budget.is_doubtful(call.ref or "")

    def settle(self, call: Call, status: int, body: Mapping[str, Any], sent_at: float, done_at: float) -> None:
        """Updates the budget by an answer."""
        ref = call.ref or ""
        lasts_s = self._contents[ref].sleep_s if ref in self._contents else 0.0
        received = Received(call, call.operation, ref, status, body, sent_at, done_at)
        self._budget.receive(received, reserved=self._budget.may_begin(call), lasts_s=lasts_s)

    def _look(self, ref: str) -> None:
        self._read(ref, self._contents[ref].owner if ref in self._contents else "primary")


def share_of(whole: int | None, number: int, workers: int) -> int | None:
    """One worker's share of something that is dealt evenly; all shares together are the whole, None of None."""
    return None if whole is None else whole // workers + (number < whole % workers)
