"""
What requests travel on: connections that keep to a deadline, and a client that remembers nothing.
"""

import httpx

from touchstone.deadline import BoundedBackend
from touchstone.trust import trusting

# An idle connection is not used again after this: servers close theirs after 5 s (Node, uvicorn) or later, and a
# request that meets the closing would look like one that was not answered.
LONGEST_IDLE_S = 3.0


class Wire(httpx.HTTPTransport):
    """
    Connections that keep to a deadline.

    Args:
        kept: How many are kept for another request; with none, each request has a connection of its own.
    """

    def __init__(self, backend: BoundedBackend, kept: int = 32) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept, keepalive_expiry=LONGEST_IDLE_S)
        super().__init__(verify=trusting(), trust_env=False, limits=limits)
        self._pool._network_backend = backend  # noqa: SLF001  # httpx passes none on; a test sees if it gets lost


class _NoCookies(httpx.Cookies):
    """
    A jar that stays empty.
    """

    def extract_cookies(self, response: httpx.Response) -> None:
        """
        Takes none.
        """

    def set_cookie_header(self, request: httpx.Request) -> None:
        """
        Gives none.
        """


def keep_no_cookies(client: httpx.Client) -> None:
    """
    Lets a client send what it is told and no more: an answer's cookies would go out with the next request.
    """
    client._cookies = _NoCookies()  # noqa: SLF001  # httpx copies a jar that it is given; a test sees if it gets lost
