"""The twin of `touchstone serve`: with an access log, a page at ``/``, and switches of its faults and limits."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from touchstone.errors import UsageError, nearest, quoted
from touchstone.twin.documents import read_document
from touchstone.twin.engine import Engine
from touchstone.twin.limits import RateLimit
from touchstone.twin.serve import Asgi, Behaviour, Twin
from touchstone.twin.settings import TwinSettings

PREFIX = "/__touchstone/"
# The set of --seed-templates: build steps by name of the template.
SEEDS: Mapping[str, Sequence[str]] = {
    "hello": ("echo hello from the twin",),
    "broken": ("echo this build fails at its last step", "exit 1"),
    "slow": ("echo this build takes a minute", "sleep 60"),
}
_LIMITS = ("rate", "capacity", "retry_after", "latency_s", "build_s", "settle_s", "build_timeout_s")
_CONTROL_OFF = "the switches are off; start the twin with --control"


class ConsoleTwin(Twin):
    """A twin with an access log, a page, and switches for its faults and limits.

    Args:
        settings: Settings of the twin, without those that *behaviour* needs.
        behave: Returns the behaviour with these faults; raises a UsageError for an unknown name.
        faults: Names of the faults in *behaviour*.
        seeds: Whether it begins with the versions in SEEDS.
        control: Whether faults and limits may be switched while the twin runs.
        log: Receives a line for each request, or is None.
    """

    _engine: Engine
    _api: Asgi

    def __init__(
        self,
        settings: TwinSettings,
        behaviour: Behaviour,
        behave: Callable[[Sequence[str]], Behaviour],
        *,
        faults: Sequence[str] = (),
        seeds: bool = False,
        control: bool = False,
        log: Callable[[str], None] | None = None,
    ) -> None:
        of_twin: dict[str, Any] = {"engine": behaviour.engine, "app": behaviour.app, "wrap": behaviour.wrap}
        super().__init__(replace(settings, **behaviour.pace), **of_twin)
        self._given, self._behaviour, self._behave = settings, behaviour, behave
        self._faults, self._seeds, self._control, self._log = list(faults), seeds, control, log

    def application(self, engine: Engine) -> Asgi:
        """Returns the ASGI application of the server, this object."""
        self._engine = engine
        if self._seeds:
            publish_seeds(engine)
        self._api = super().application(engine)
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Responds to one request, and logs it once the response is complete."""
        if scope["type"] != "http":
            return
        began_s, status = time.monotonic(), 0

        @wraps(send)
        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            path = scope["path"]
            is_own = path == "/" or path.startswith(PREFIX)
            app = await self._respond(Request(scope, receive)) if is_own else self._api
            await app(scope, receive, watch)
        finally:
            if self._log and path != f"{PREFIX}state":  # the page reads it every second
                took_ms = (time.monotonic() - began_s) * 1000
                target = scope["raw_path"].decode("ascii", "replace")
                now = datetime.now(UTC).astimezone()
                self._log(f"{now:%H:%M:%S} {scope['method']} {target} {status or '-'} {took_ms:.1f} ms")

    async def _respond(self, request: Request) -> Response:
        host = request.client.host if request.client else ""
        if host != "::1" and not host.startswith("127."):
            return problem(403, "only this machine may read or switch the state of the twin")
        match request.method, request.url.path.removeprefix(PREFIX):
            case (("GET" | "HEAD"), "/"):
                return HTMLResponse(Path(__file__).with_name("console.html").read_text("utf-8"))
            case (("GET" | "HEAD"), "state"):
                return JSONResponse(self._state())
            case "PUT", ("faults" | "limits") as what:
                if not self._control:
                    return problem(403, _CONTROL_OFF)
                try:
                    body = json.loads(await request.body())
                    self._switch_faults(body) if what == "faults" else self._switch_limits(body)
                except (UsageError, ValueError) as error:
                    return problem(422, f"{what}: {str(error).removeprefix('--fault ')}")
                return JSONResponse(self._state())
        return problem(404, f"expected GET /, GET {PREFIX}state, PUT {PREFIX}faults or PUT {PREFIX}limits")

    def _switch_faults(self, names: Any) -> None:
        """Switches to the faults *names*, without ending builds; versions, builds and their logs stay."""
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UsageError(f'found {names!r:.80}; expected a list of names, such as ["cancel-answers-200"]')
        self._switch(self._behave(names), self._given)
        self._faults = names

    def _switch_limits(self, given: Any) -> None:
        """Changes the limits in *given*, an object with some of the names in _LIMITS; null takes a limit away."""
        if not isinstance(given, dict):
            raise UsageError(f"found {given!r:.80}; expected an object with {', '.join(_LIMITS)}")
        for name in given.keys() - set(_LIMITS):
            raise UsageError(f"{quoted(name)}: no limit that can be switched; {nearest(name, _LIMITS)}")
        rate = given.get("rate")
        changes = {**given, "rate": RateLimit.parse(rate, "rate")} if isinstance(rate, str) else given
        try:
            self._switch(self._behaviour, replace(self._given, **changes))
        except TypeError:
            raise UsageError(f"found {given!r:.80}; expected numbers, and texts for rate and retry_after") from None

    def _switch(self, behaviour: Behaviour, settings: TwinSettings) -> None:
        settled = replace(settings, **behaviour.pace)
        self._behaviour, self._given = behaviour, settings
        self._engine.__class__ = behaviour.engine
        self._engine.configure(settled)
        self._app_class, self._wrap = behaviour.app, behaviour.wrap
        self._api = super().application(self._engine)

    def _state(self) -> dict[str, Any]:
        """The state of the twin as JSON values: limits, faults, accounts, and all versions with their status."""
        settings = self._engine.settings
        limits = {name: getattr(settings, name) for name in _LIMITS}
        tiers = settings.rate.tiers if settings.rate else ()
        rate = " + ".join(f"{tier.family}:{tier.limit}/{tier.window_s:g}" for tier in tiers)
        return {
            "base_path": settings.base_path,
            "control": self._control,
            "faults": self._faults,
            "limits": limits | {"rate": rate or None},
            "accounts": [{"name": each.name, "plan": each.plan, "key": each.key} for each in settings.accounts],
            "versions": list(self._versions(settings)),
        }

    def _versions(self, settings: TwinSettings) -> Iterator[dict[str, Any]]:
        names = {each.key: each.name for each in settings.accounts}
        for version in self._engine.catalog:
            status = Engine.status_body(self._engine, version)  # that of a fault may count as a read
            yield {"owner": names.get(version.owner, "everyone"), **status}


def publish_seeds(engine: Engine) -> None:
    """Publishes the versions in SEEDS for the first account that may: one builds, one fails, one takes long."""
    account = next(filter(engine.may_build, engine.settings.accounts), None)
    for name, steps in SEEDS.items():
        template = {"name": name, "version": "1.0.0"}
        document = {"api_version": "orgo.ai/v1", "template": template, "build": {"run": list(steps)}}
        if account:
            engine.publish(account, read_document(json.dumps(document).encode(), "application/json"))


def problem(status: int, detail: str) -> JSONResponse:
    """Returns a problem document (RFC 9457)."""
    body = {"status": status, "title": HTTPStatus(status).phrase, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")
