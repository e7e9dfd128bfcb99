"""A client for builds that follows the API documentation: copy it and adapt it.

It needs httpx and httpx-sse. Connection errors are exceptions of httpx.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import quote

import httpx
from httpx_sse import EventSource

# Back-off after a 429 without Retry-After: 1 s, doubled each time, at most 60 s.
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
# A build takes about two minutes.
POLL_S, PATIENCE_S = 2.0, 900.0
# A build step may print nothing for a long time. After a longer silence the connection is lost.
LONGEST_SILENCE_S = 300.0


class BuildsError(Exception):
    """Base class of the errors of this client."""


class Refused(BuildsError):
    """The server rejected a request with *status*; *body* is the response body."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status} {body.get('error', '')}".strip())
        self.status = status
        self.body = body


class BuildFailed(BuildsError):
    """The build failed; the message is its error."""


class BuildCancelled(BuildsError):
    """The build was cancelled."""


class LogBrokeOff(BuildsError):
    """The log ended before its build: follow it again, or wait."""


class GaveUp(BuildsError):
    """Waiting any longer would exceed *patience_s*."""


@dataclass(frozen=True, slots=True)
class Build:
    """The build of a version; *status* is ``not_built``, ``building``, ``ready`` or ``failed``."""

    ref: str
    status: str
    build_time_ms: int | None = None
    reused: bool = False
    error: str = ""


class Builds:
    """The builds of one account. A ref identifies a version, such as ``default/my-template@1.0.0``.

    Args:
        url: Base URL of the API.
        patience_s: Longest wait of one call, in seconds.
        sleep: Sleeps for some seconds; a test passes a stub.
    """

    def __init__(
        self, url: str, key: str, patience_s: float = PATIENCE_S, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=30.0)
        self._patience_s = patience_s
        self._sleep = sleep

    def start(self, ref: str) -> Build:
        """Starts a build, joins the running one, or reuses an earlier one, which is ready at once."""
        return _build(ref, self._send("POST", ref))

    def status(self, ref: str) -> Build:
        """Reads the status of the build."""
        return _build(ref, self._send("GET", ref))

    def wait(self, ref: str) -> Build:
        """Waits until the build is ready.

        Raises:
            BuildFailed, BuildCancelled: the build ended in another way.
            GaveUp: the build took longer than *patience_s*.
        """
        until = time.monotonic() + self._patience_s
        while (build := _build(ref, self._send("GET", ref, until=until))).status == "building":
            self._pause(POLL_S, until)
        if build.status == "failed":
            raise BuildFailed(build.error)
        if build.status == "not_built":
            raise BuildCancelled(ref)
        return build

    def cancel(self, ref: str) -> bool:
        """Cancels the build, which settles a moment later; returns whether there was one."""
        try:
            self._send("DELETE", ref)
        except Refused as refused:
            if refused.body.get("status") != "idle":
                raise
            return False
        return True

    def follow(self, ref: str) -> Iterator[dict[str, Any]]:
        """Yields the events of the log as they arrive, until the build is over.

        Raises:
            LogBrokeOff: the log ends, or is silent for too long, before the build is over.
        """
        event: dict[str, Any] = {}
        try:
            with closing(self._send("GET", ref, log=True)) as response:
                for data in (frame.data for frame in EventSource(response).iter_sse() if frame.data):
                    event = json.loads(data)
                    yield event
                    if event.get("phase") in ("ready", "cancel", "timeout") or event.get("level") == "error":
                        return
        except httpx.TransportError as error:
            raise LogBrokeOff(f"{ref}: {error}") from error
        if event:  # without an event there was no build to follow
            raise LogBrokeOff(f"{ref}: the log was closed after {event.get('line')!r}")

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, method: str, ref: str, *, log: bool = False, until: float | None = None) -> httpx.Response:
        """Sends a request and repeats it after each 429; the body of a log is not read."""
        name, _, version = ref.partition("@")
        path = f"/templates/{quote(name)}/{quote(version)}/build{'/events' if log else ''}"
        timeout = httpx.Timeout(30.0, read=LONGEST_SILENCE_S) if log else httpx.USE_CLIENT_DEFAULT
        until, back_off_s = until or time.monotonic() + self._patience_s, FIRST_WAIT_S
        while True:
            response = self._http.send(self._http.build_request(method, path, timeout=timeout), stream=log)
            if response.is_success:
                return response
            response.read()
            if response.status_code != 429:
                raise Refused(response.status_code, _body(response))
            retry_after_s = _retry_after_s(response)
            self._pause(back_off_s if retry_after_s is None else retry_after_s, until)
            back_off_s = min(2 * back_off_s, LONGEST_WAIT_S)

    def _pause(self, seconds: float, until: float) -> None:
        if time.monotonic() + seconds > until:
            raise GaveUp(f"in {self._patience_s} s")
        self._sleep(seconds)


def _build(ref: str, response: httpx.Response) -> Build:
    body = _body(response)
    known = {name: body[name] for name in ("build_time_ms", "reused", "error") if name in body}
    return Build(ref, str(body.get("status", "")), **known)


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:  # a proxy may respond in HTML
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after_s(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        # The date is by the server's clock, which may differ from ours.
        then, now = parsedate_to_datetime(value), parsedate_to_datetime(response.headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError):
        return None
