"""What requests travel on: connections that keep to a deadline, and a client that remembers nothing."""

from collections.abc import Iterator
from typing import Any

import h11
import httpx

from touchstone.target.deadline import BoundedBackend
from touchstone.target.tls import trusting

# An idle connection is not used again after this: servers close theirs after 5 s (Node, uvicorn) or later, and a
# request that meets the closing would look like one that was not answered.
LONGEST_IDLE_S = 3.0
# Where an answer says how many bytes came behind its end.
SURPLUS_BYTES = "touchstone.surplus_bytes"


class Wire(httpx.HTTPTransport):
    """Connections that keep to a deadline.

    Args:
        kept: How many are kept for another request; with none, each request has a connection of its own.
    """

    def __init__(self, backend: BoundedBackend, kept: int = 32) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept, keepalive_expiry=LONGEST_IDLE_S)
        super().__init__(verify=trusting(), trust_env=False, limits=limits)
        self._pool._network_backend = backend  # noqa: SLF001  # httpx passes none on; a test sees if it gets lost

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request; its connection is not used again where more comes than the answer."""
        response = super().handle_request(request)
        response.stream = _Ended(response.stream, response.extensions)
        return response


class _Ended(httpx.SyncByteStream):
    """A body that looks, once it is read, whether bytes came behind its end.

    httpcore keeps such a connection, and takes them for the answer to the next request.
    """

    def __init__(self, plain: Any, extensions: dict[str, Any]) -> None:
        self._plain = plain
        self._extensions = extensions

    def __iter__(self) -> Iterator[bytes]:
        yield from self._plain

    def close(self) -> None:
        """Gives the connection back, closed where it holds too much."""
        stream = self._plain._httpcore_stream  # noqa: SLF001  # nothing public has it; a test sees if it gets lost
        # What is served in the place of the network has no connection.
        connection = getattr(getattr(stream, "_stream", None), "_connection", None)
        if connection is not None:
            parser = connection._h11_state  # noqa: SLF001  # the same
            surplus, _ = parser.trailing_data
            if surplus and parser.their_state in (h11.DONE, h11.MUST_CLOSE):
                self._extensions[SURPLUS_BYTES] = len(surplus)
                self._extensions["network_stream"].close()
        self._plain.close()


class _NoCookies(httpx.Cookies):
    """A jar that stays empty."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Takes none."""

    def set_cookie_header(self, request: httpx.Request) -> None:
        """Gives none."""


def keep_no_cookies(client: httpx.Client) -> None:
    """Lets a client send what it is told and no more: an answer's cookies would go out with the next request."""
    client._cookies = _NoCookies()  # noqa: SLF001  # httpx copies a jar that it is given; a test sees if it gets lost
