"""The connections of a probe: those of the limited requests, open before they are due, and others for all else."""

from collections.abc import Callable

from touchstone.config import Settings
from touchstone.contract.document import Contract
from touchstone.loadgen.lean import Connections
from touchstone.loadgen.load_run import Reply, call
from touchstone.loadgen.prepared_request import Shot, Shots
from touchstone.target.answer import Answer
from touchstone.target.call import Keys

# A connection that was idle for longer is not relied on: servers close them, some after a few seconds.
FRESH_S = 1.5


class ProbeLink:
    """Sends requests with the first key.

    Args:
        now: The clock of the run.

    Attributes:
        shots: Makes exchanges of what came back.
    """

    def __init__(self, url: str, settings: Settings, contract: Contract, now: Callable[[], float]) -> None:
        target = settings.target
        keys = Keys(target.api_key or "", target.second_api_key, target.restricted_api_key)
        self.shots = Shots(url, keys, contract)
        self._url, self._timeout_s, self._now, self._bounds = url, target.request_timeout_s, now, target.bounds
        self._limited = self._connections()
        self._beside = self._connections()
        self._used_at = now()

    def _connections(self) -> Connections:
        return Connections(self._url, self._timeout_s, clock=self._now, bounds=self._bounds)

    def prepare(self, count: int) -> None:
        """Makes sure that so many limited requests need not wait for a connection."""
        if self._now() - self._used_at > FRESH_S:
            self._limited.close()
            self._limited = self._connections()
        self._limited.open_ahead(count)
        self._used_at = self._now()

    def warm(self, operation: str, ref: str) -> None:
        """Sends a request that is not limited on the connection of those that are."""
        shot = self.shots.shot(call(operation, ref))
        self._limited.send(shot.method, shot.wire)
        self._used_at = self._now()

    def shot(self, operation: str, ref: str) -> Shot:
        """A request that is ready to be sent."""
        return self.shots.shot(call(operation, ref))

    def limited(self, shot: Shot) -> Answer:
        """Sends a limited request."""
        answer = self._limited.send(shot.method, shot.wire)
        self._used_at = self._now()
        return answer

    def beside(self, operation: str, ref: str) -> Reply:
        """Sends another one, in nobody's way."""
        shot = self.shots.shot(call(operation, ref))
        return Reply(self._beside.send(shot.method, shot.wire), 0)

    def close(self) -> None:
        """Closes all connections."""
        self._limited.close()
        self._beside.close()
