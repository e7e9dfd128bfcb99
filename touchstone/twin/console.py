"""What `touchstone serve` adds in front of a twin: an access log, a page at ``/``, and switches on loopback."""

import ipaddress
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from touchstone.errors import UsageError
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


class Console:
    """The ASGI application in front of one twin.

    Args:
        settings: Settings of the twin, without those that *behaviour* needs.
        behave: Returns the behaviour with these faults; raises a UsageError for an unknown name.
        control: Whether faults and limits may be switched while the twin runs.
        log: Receives a line for each request, or is None.
    """

    def __init__(
        self,
        engine: Engine,
        settings: TwinSettings,
        behaviour: Behaviour,
        behave: Callable[[Sequence[str]], Behaviour],
        *,
        faults: Sequence[str] = (),
        control: bool = False,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._engine, self._behave, self._control, self._log = engine, behave, control, log
        self._settings = settings
        self._faults, self._behaviour = list(faults), behaviour
        self._app = behaviour.wrap(behaviour.app(engine))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Responds to one request, and logs it once the response is complete."""
        if scope["type"] != "http":
            return
        began_s, status = time.monotonic(), 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            path = scope["path"]
            is_own = path == "/" or path.startswith(PREFIX)
            app = await self._respond(Request(scope, receive)) if is_own else self._app
            await app(scope, receive, watch)
        finally:
            if self._log and path != f"{PREFIX}state":  # the page reads it every second
                took_ms = (time.monotonic() - began_s) * 1000
                target = scope["raw_path"].decode("ascii", "replace")
                self._log(f"{time.strftime('%H:%M:%S')} {scope['method']} {target} {status or '-'} {took_ms:.1f} ms")

    async def _respond(self, request: Request) -> Response:
        if not _is_loopback(request):
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
        self._behaviour = behaviour = self._behave(names)
        self._faults = names
        self._engine.__class__ = behaviour.engine
        self._configure()
        self._app = behaviour.wrap(behaviour.app(self._engine))

    def _switch_limits(self, given: Any) -> None:
        """Changes the limits in *given*, an object with some of the names in _LIMITS; null takes a limit away."""
        if not isinstance(given, dict) or not given.keys() <= set(_LIMITS):
            raise UsageError(f"found {given!r:.80}; expected an object with {', '.join(_LIMITS)}")
        rate = given.get("rate")
        changes = {**given, "rate": RateLimit.parse(rate, "rate")} if isinstance(rate, str) else given
        try:
            self._settings = replace(self._settings, **changes)
        except TypeError:
            raise UsageError(f"found {given!r:.80}; expected numbers, and texts for rate and retry_after") from None
        self._configure()
        self._app = self._behaviour.wrap(self._behaviour.app(self._engine))

    def _configure(self) -> None:
        self._engine.configure(replace(self._settings, **self._behaviour.pace))

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


class ConsoleTwin(Twin):
    """A twin behind a `Console`, whose other arguments are *options*. *seeds*: whether it has the versions in SEEDS."""

    def __init__(
        self,
        settings: TwinSettings,
        behaviour: Behaviour,
        behave: Callable[[Sequence[str]], Behaviour],
        *,
        seeds: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(replace(settings, **behaviour.pace), engine=behaviour.engine)
        self._unchanged, self._behaviour, self._behave, self._options = settings, behaviour, behave, options
        self._seeds = seeds

    def application(self, engine: Engine) -> Asgi:
        """Returns the console in front of the twin, which may have its first versions by now."""
        if self._seeds:
            publish_seeds(engine)
        return Console(engine, self._unchanged, self._behaviour, self._behave, **self._options)


def publish_seeds(engine: Engine) -> None:
    """Publishes the versions in SEEDS for the first account that may: one builds, one fails, one takes long."""
    account = next(filter(engine.may_build, engine.settings.accounts), None)
    for name, steps in SEEDS.items():
        template = {"name": name, "version": "1.0.0"}
        document = {"api_version": "orgo.ai/v1", "template": template, "build": {"run": list(steps)}}
        if account:
            engine.publish(account, read_document(json.dumps(document).encode(), "application/json"))


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    """Returns a problem document (RFC 9457)."""
    return JSONResponse({"status": status, "detail": detail, **more}, status, media_type="application/problem+json")


def _is_loopback(request: Request) -> bool:
    host = request.client.host if request.client else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
