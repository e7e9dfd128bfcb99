"""A build log being followed in a thread of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

from touchstone.facts.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Following:
    """One follower of a build log.

    Attributes:
        live: Whether its build ran when it was opened.
        until: Set where nobody wants the rest of the log.
    """

    live: bool = True
    future: "Future[Exchange]" = field(default_factory=Future)
    until: threading.Event = field(default_factory=threading.Event)

    def begin(self, follow: Callable[[], Exchange]) -> None:
        """Follows, in a thread that keeps no process from its end."""
        threading.Thread(target=self._fulfil, args=(follow,), daemon=True).start()

    def _fulfil(self, follow: Callable[[], Exchange]) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(follow())
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result is told
            self.future.set_exception(error)

    def result(self, grace_s: float) -> Exchange:
        """The exchange once the server closed the stream, or after *grace_s* more seconds without that."""
        try:
            return self.future.result(timeout=grace_s)
        except TimeoutError:
            self.until.set()
            return self.future.result()

    def leave(self) -> None:
        """Follows no longer. The exchange stays to be asked for; one that was interrupted before it began never was."""
        self.until.set()
        self.future.cancel()

    def wait(self) -> None:
        """Waits until it is over.

        Raises:
            Exception: what kept the request from being sent.
        """
        try:
            self.future.result()
        except CancelledError:
            return
