"""A client for builds, written by the rules of the documentation: copy it and make it yours.

It needs httpx and httpx-sse. That no connection can be made is told by the exceptions of httpx.
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

# After a 429 that does not say when to come back: 1 s, doubled each time, at most 60 s.
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
# A build takes about two minutes.
POLL_S, PATIENCE_S = 2.0, 900.0
# A build step may print nothing for long. What is silent for longer than this is a connection that is gone.
LONGEST_SILENCE_S = 300.0


class BuildsError(Exception):
    """The root of what this client raises."""


class Refused(BuildsError):
    """The server refuses a request: see *status*, and *body* for what it says besides."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status} {body.get('error', '')}".strip())
        self.status = status
        self.body = body


class BuildFailed(BuildsError):
    """The build has failed, for the reason that this says."""


class BuildCancelled(BuildsError):
    """The build was cancelled by somebody."""


class LogBrokeOff(BuildsError):
    """The log ended before its build did: follow it again, or wait."""


class GaveUp(BuildsError):
    """Going on would take longer than the client is patient."""


@dataclass(frozen=True, slots=True)
class Build:
    """What becomes of a version: its *status* is ``not_built``, ``building``, ``ready`` or ``failed``."""

    ref: str
    status: str
    build_time_ms: int | None = None
    reused: bool = False
    error: str = ""


class Builds:
    """The builds of one account. A version is named by its ref, such as ``default/my-template@1.0.0``.

    Args:
        url: Base URL of the API.
        patience_s: How long one call may wait.
        sleep: Waits for some seconds; tests need not.
    """

    def __init__(
        self, url: str, key: str, patience_s: float = PATIENCE_S, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=30.0)
        self._patience_s = patience_s
        self._sleep = sleep

    def start(self, ref: str) -> Build:
        """Starts a build or joins the one that runs; it is ready at once where an older one can be reused."""
        return _build(ref, self._send("POST", ref))

    def status(self, ref: str) -> Build:
        """What has become of the version so far."""
        return _build(ref, self._send("GET", ref))

    def wait(self, ref: str) -> Build:
        """The build once it is ready.

        Raises:
            BuildFailed, BuildCancelled: it does not become ready.
            GaveUp: it takes too long.
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
        """Calls a build off, which takes a moment to settle. Returns whether one was running."""
        try:
            self._send("DELETE", ref)
        except Refused as refused:
            if refused.body.get("status") != "idle":
                raise
            return False
        return True

    def follow(self, ref: str) -> Iterator[dict[str, Any]]:
        """The events of the log, each as soon as it is written, until the build is over.

        Raises:
            LogBrokeOff: the log ends, or falls silent, before the build is over.
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
        if event:  # without any, it is the log of a version that is not building
            raise LogBrokeOff(f"{ref}: the log was closed after {event.get('line')!r}")

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, method: str, ref: str, *, log: bool = False, until: float | None = None) -> httpx.Response:
        """Sends a request, after a pause again while there are too many; the body of a log is left to be read."""
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
            told_s = _retry_after_s(response)
            self._pause(back_off_s if told_s is None else told_s, until)
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
    except ValueError:  # a proxy on the way may answer in HTML
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after_s(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        # A date is one of the server's clock, which ours need not agree with.
        then, now = parsedate_to_datetime(value), parsedate_to_datetime(response.headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError):
        return None
