"""Building blocks of faults: counters, comparisons of versions, and base classes with a hook for each kind of bug."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from touchstone.proof.faults.logs import Beside, event_of, is_output
from touchstone.twin.app import App, Resource
from touchstone.twin.build import Build
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Engine
from touchstone.twin.settings import Account

LEAVES_S = 0.05  # a client that leaves within this time after its request has not received the response
CHANGED = "status.* events.* cancel.* start.* reuse.* publish.auto-build-starts"  # by another end of a build
GONE = f"{CHANGED} lookup.* template.* publish.* digest.* http.head-matches-get"  # by a version that is not found
NOTHING: Any = staticmethod(lambda *_: None)


def notes(part: App | Engine) -> Any:
    """Returns what a faulty application or engine has noted, by key; an unknown key has the value 0."""
    return vars(part).setdefault("notes", defaultdict(int))


def nth(part: App | Engine, *key: Any) -> int:
    """Counts one event with this key; returns its number, from 1."""
    notes(part)[key] += 1
    return int(notes(part)[key])


def in_flight(engine: Engine, version: Version) -> list[Build]:
    """Returns the running builds of the account of a version, the oldest first."""
    found = [build for build in engine.running if build.in_flight and build.version.owner == version.owner]
    return sorted(found, key=lambda build: build._started_at)


def alike(engine: Engine, version: Version, key: Callable[[Ref], object]) -> list[Version]:
    """Returns the owner's versions that have the same *key*, in the order of their publishing."""
    return [one for one in engine.catalog if one.owner == version.owner and key(one.ref) == key(version.ref)]


def planned(build: Build, change: Callable[..., Any]) -> Build:
    """Returns the build with changed steps."""
    build.plan = replace(build.plan, steps=tuple(change(build.plan.steps)))
    return build


def copied(build: Build, others: list[Build]) -> Build:
    """Returns the build; its output also appears in the logs of *others* as long as they run."""
    build.stream = Beside(lambda f: [one.stream for one in others if one.in_flight and is_output(event_of(f))])
    return build


def ref_in(part: bytes) -> Ref | None:
    """Returns the ref of the document in a request body that may be incomplete, or None."""
    found = re.search(rb'\bname"?\s*:\s*"?([a-z0-9-]+).*?\bversion"?\s*:\s*"?([0-9][^"\s,}]*)', part, re.DOTALL)
    return Ref("default", found[1].decode(), found[2].decode()) if found else None


class Crossing(App):
    """Base class with hooks for a *call*; its *op* is such as ``POST build``, its *place* is the key and the ref.

    If a client disconnects, *cut* gets the part of its body that has arrived, and *lost* gets the response.
    """

    pause_s = float("inf")  # the part of a body after a longer pause is ignored
    delay_s: Any = staticmethod(lambda _: 0.0)
    before = after = cut = lost = NOTHING
    arrived: Any = staticmethod(lambda _, body: body)  # returns the body to use

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        version, op = self.engine.find(account, resource.ref), f"{request.method} {resource.kind}"
        place, client = (account.key, resource.ref), request.client
        call = SimpleNamespace(op=op, request=request, client=client, account=account, place=place, version=version)
        if op == "POST templates" and self.engine.may_build(account):
            request._body = self.arrived(call, await self.body(call))
        await asyncio.sleep(self.delay_s(call))
        response = self.before(call) or await super().operate(request, call.account, resource)
        response = self.after(call, response) or response
        if "lost" in vars(type(self)) and resource.kind != "events":
            await asyncio.sleep(LEAVES_S)
            if await request.is_disconnected():
                self.lost(call, response)
        return response

    async def body(self, call: Any) -> bytes:
        body, at = b"", time.monotonic()
        notes(self)["upload", call.account.key] = at  # while the body is incomplete
        try:
            async for part in call.request.stream():
                if time.monotonic() - at < self.pause_s:
                    body, at = body + part, time.monotonic()
        except ClientDisconnect:
            self.cut(call, body)
            raise
        finally:
            notes(self).pop(("upload", call.account.key), None)
        return body


class Leaving(Engine):
    """Base class: *left* gets the running build whose log a client stops following."""

    left = NOTHING

    async def follow(self, build: Build) -> AsyncIterator[bytes]:
        try:
            async for frame in build.stream.follow():
                yield frame
        finally:
            if not build.outcome:
                self.left(build)
