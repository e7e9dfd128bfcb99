"""Faults that went unnoticed once, since no case sent a thing in the form, or at the moment, that shows them.

No check was written for any of them. What they led to: every wrong header on every operation, whole documents in each
form and wrong ones in the place of what is there, contents that are published at one moment, and the times of a log
that is told again.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.proof.faults.logs import event_of, frame_of
from touchstone.proof.faults.unforeseen import ref_of
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json, read_switches
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.documents import read_document
from touchstone.twin.engine import Engine
from touchstone.twin.paths import resource_at
from touchstone.twin.settings import Account
from touchstone.twin.stream import timestamp


@breaks("security", "auth.malformed-header-is-401")
class LogsTakeABareKey(App):
    """Where a build log is followed, a key is accepted that stands in the Authorization header without a scheme."""

    async def answer(self, request: Request) -> Response:
        resource = resource_at(request.scope["raw_path"], self.settings.base_path)
        keys = {account.key.encode() for account in self.settings.accounts}
        if resource is not None and resource.kind == "events":
            request.scope["headers"] = [
                (name, b"Bearer " + value if name == b"authorization" and value in keys else value)
                for name, value in request.scope["headers"]
            ]
        return await super().answer(request)


@breaks("stream", "events.timestamps-are-true")
class OldLinesAreStampedAnew(Engine):
    """
    What was logged before somebody began to follow is sent with the time at which he began, also long after the end.
    """

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        slot = self.slots.get((version.owner, version.digest))
        return self._follow(slot.last) if slot and slot.last else None

    async def _follow(self, build: Build) -> AsyncIterator[bytes]:
        old, now = len(build.stream.frames), timestamp(time.time())
        async for frame in build.stream.follow():
            yield frame_of({**event_of(frame), "ts": now}) if old > 0 else frame
            old -= 1


@breaks(
    "concurrency",
    "publish.other-content-is-409",
    also=("template.read-shows-the-published", "publish.answers-201", "digest.is-the-published-one"),
)
class SimultaneousPublishesBothWin(App):
    """Of two simultaneous publishes of one new version with different content both are answered with 201."""

    async def publish(self, request: Request, account: Account) -> Response:
        document = read_document(await request.body(), request.headers.get("content-type", ""))
        if self.engine.catalog.get(account.key, ref_of(document)) is not None:
            return await super().publish(request, account)
        await asyncio.sleep(0.05)
        version = self.engine.publish(account, document, force=True)
        answer = self.engine.published_body(version)
        if read_switches(request.scope["query_string"], ("auto_build", "force"))["auto_build"]:
            answer["auto_build"] = self.auto_build(account, version)
        return answer_json(201, answer)


@breaks("semantic", "template.read-shows-the-published")
class YamlNumbersBecomeTexts(App):
    """A document that was published as YAML is shown with its numbers turned into texts."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.from_yaml: set[str] = set()

    async def publish(self, request: Request, account: Account) -> Response:
        known = {version.digest for version in self.engine.catalog}
        response = await super().publish(request, account)
        digest = json.loads(bytes(response.body))["digest"]
        if "yaml" in request.headers.get("content-type", "") and digest not in known:
            self.from_yaml.add(digest)
        return response

    def get_template(self, version: Version) -> Response:
        body = self.engine.template_body(version)
        if version.digest in self.from_yaml:
            body["template"] = _texts(body["template"])
        return answer_json(200, body)


@breaks(
    "stateful", "lookup.existing-version-is-found", also=("status.answers-200", "template.read-shows-the-published")
)
class ForceDeletesBeforeItChecks(App):
    """
    A forced publish takes the version away before it looks at the document: one that is wrong leaves nothing there.
    """

    async def publish(self, request: Request, account: Account) -> Response:
        forced = read_switches(request.scope["query_string"], ("auto_build", "force"))["force"]
        body = await request.body()
        try:
            return await super().publish(request, account)
        except Refusal as refusal:
            if refusal.status == 422 and forced:
                self._drop(account, json.loads(body)["template"])
            raise

    def _drop(self, account: Account, about: Any) -> None:
        named = (about.get("name"), about.get("version"))
        for version in list(self.engine.catalog):
            if version.owner == account.key and (version.ref.name, version.ref.version) == named:
                self.engine.delete(version)


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
