"""The versions that a probe starts, each again only when its last build was cancelled and is seen to have ended.

A start that joins a build which still runs says nothing about a limiter.
"""

from collections import deque
from collections.abc import Callable, Iterable

import gevent
from gevent.event import Event
from gevent.pool import Group

from touchstone.facts.patience import FIRST_WAIT_S, back_off_s, poll_s
from touchstone.loadgen.load_run import Reply

Beside = Callable[[str, str], Reply]

# Before anything is asked, and before a start that is to be alone, builds that were cancelled are waited for so long.
SETTLE_S = 5.0
_TRIES = 5
# What a version is not started again after: its build is there, and a start would begin none.
_BUILT = frozenset({"ready"})
# Of a version whose start was refused: nothing builds it.
_IDLE = frozenset({"not_built", "ready"})


class Pool:
    """Versions by what their builds do.

    Args:
        beside: Sends a request that is not limited.
        settle_s: A build that reads as running for so much longer after its cancel is given up.
        began_nothing: Called where a read shows that a start which was refused began no build.

    Attributes:
        held: Those whose builds are left in flight, the first one first.
    """

    def __init__(
        self,
        refs: Iterable[str],
        beside: Beside,
        now: Callable[[], float],
        settle_s: float,
        began_nothing: Callable[[], None],
    ) -> None:
        self._free = deque(refs)
        self.held: deque[str] = deque()
        self._leaving = Group()
        self._beside, self._now, self._settle_s = beside, now, settle_s
        self._began_nothing = began_nothing
        self._news = Event()

    def take(self, count: int, stopped: Event) -> list[str]:
        """So many versions that can be started, as soon as there are; fewer where no more will come."""
        while len(self._free) < count and len(self._leaving) and not stopped.is_set():
            self._news.clear()
            self._news.wait(1.0)
        return [self._free.popleft() for _ in range(min(count, len(self._free)))]

    def give_back(self, *refs: str) -> None:
        """These were not started after all."""
        self._free.extendleft(reversed(refs))

    def started(self, ref: str, *, holds: bool) -> None:
        """A build of *ref* runs, or may: it is left in flight, or cancelled at once beside all else."""
        if holds:
            self.held.append(ref)
        else:
            self._leaving.spawn(self._leave, ref)

    def refused(self, ref: str) -> None:
        """A start of *ref* was refused; it may be started again once a read has shown that it began no build."""
        self._leaving.spawn(self._look, ref)

    def release(self, count: int) -> None:
        """Cancels so many of the builds in flight, and waits until they have ended."""
        leaving = [self._leaving.spawn(self._leave, self.held.popleft()) for _ in range(min(count, len(self.held)))]
        gevent.joinall(leaving)

    def settle(self, within_s: float = SETTLE_S) -> None:
        """Waits until no build is on its way to end, so that none takes room from what is sent next."""
        self._leaving.join(timeout=within_s)

    def close(self, within_s: float) -> None:
        """Cancels all that is in flight; what takes longer is left to whoever clears up."""
        while self.held:
            self._leaving.spawn(self._leave, self.held.popleft())
        self._leaving.join(timeout=within_s)
        self._leaving.kill(block=False)

    def _look(self, ref: str) -> None:
        reply = self._beside("getBuild", ref)
        if reply.status == 404 or (reply.status == 200 and reply.body.get("status") in _IDLE):
            self._began_nothing()
            self._free.appendleft(ref)
            self._news.set()
        else:
            self._leave(ref)

    def _leave(self, ref: str) -> None:
        if self._cancelled(ref) and self._ended(ref):
            self._free.append(ref)
        self._news.set()

    def _cancelled(self, ref: str) -> bool:
        for wait_s, _ in zip(back_off_s(), range(_TRIES), strict=False):
            reply = self._beside("cancelBuild", ref)
            if 200 <= reply.status < 300 or reply.status in (404, 409):
                return True
            gevent.sleep(wait_s if reply.asked_s is None else reply.asked_s)
        return False

    def _ended(self, ref: str) -> bool:
        """Whether the build of *ref* is seen not to run any more, and another one can be started."""
        began_at = self._now()
        while (waited_s := self._now() - began_at) <= self._settle_s:
            reply = self._beside("getBuild", ref)
            status = reply.body.get("status")
            if reply.status == 404 or (reply.status == 200 and status != "building"):
                return status not in _BUILT
            gevent.sleep(poll_s(waited_s) if reply.status == 200 else reply.asked_s or FIRST_WAIT_S)
        return False
