"""Variants of publishing, digests, deletion, and refs."""

import hashlib
import json
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.variants.http import parsed
from touchstone.proof.variants.variant import freedom, permitted
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.app import Resource, answer_json
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import API_VERSION, DEFAULT_NAMESPACE, Document, Problem, invalid
from touchstone.twin.engine import Body
from touchstone.twin.settings import Account

GIVEN, BROKEN = "given", "given-broken"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")

# fmt: off
freedom("digest-covers-name-and-version", "The digest covers the whole document, so two versions never share one.",
        Engine, 3, pace={"digest_scope": "document"})
# fmt: on


@permitted(1)
class DigestHasAPrefix(Engine):
    """All digests have the prefix `sha256:`."""

    def digest_of(self, document: Document) -> str:
        return f"sha256:{super().digest_of(document)}"


@permitted(2, over=Engine.digest_of)
def digest_of_another_form(engine: Engine, document: Document) -> str:
    """Digests are computed from another canonical form of the document, with default values filled in."""
    content = {"hardware": {"os": "linux", "cpu": 2}, **document.content}
    return hashlib.sha256(json.dumps(content, sort_keys=True, indent=1).encode()).hexdigest()


@permitted(35, target={"publish": "wrapped"})
class PublishTakesAnEnvelope(App):
    """Publishing accepts a document only inside an object with its name and version, not as the whole body."""

    async def publish(self, request: Request, account: Account) -> Response:
        self.engine.require_plan(account, "Publishing")
        data = await json_of(request)
        if data and not {"name", "version"} & data.keys():
            raise Refusal(400, "template required")
        return await super().publish(request, account)


@permitted(35)
class DocumentsAreRaw(App):
    """Publishing accepts a document only as the whole body, not inside an object with its name and version."""

    async def publish(self, request: Request, account: Account) -> Response:
        self.engine.require_plan(account, "Publishing")
        data = await json_of(request)
        if "template" in data and {"name", "version"} & data.keys():
            raise invalid([Problem("api_version", "required", "api_version is required")])
        return await super().publish(request, account)


@permitted(
    35,
    target={
        "publish": "never",
        "templates": {
            "buildable": [f"default/{GIVEN}@1.0.0"],
            "failing": [f"default/{BROKEN}@1.0.0"],
            "restricted": ["default/legacy-demo@1.0.0"],
        },
    },
)
class PublishingIsLeftAlone(Engine):
    """Every publish is refused with 403; a few versions exist from the start."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:  # a seam
        raise Refusal(403, "Publishing is not open to this key.")

    def _seed_versions(self) -> None:
        super()._seed_versions()
        for name, step in ((GIVEN, "echo given"), (BROKEN, "exit 1")):
            template = {"name": name, "version": "1.0.0"}
            content = {"api_version": API_VERSION, "template": template, "build": {"run": ["sleep 0.3", step]}}
            self._store(self.settings.accounts[0].key, Document(DEFAULT_NAMESPACE, name, "1.0.0", content))


@permitted(36)
class RepublishIs200(App):
    """Publishing the same content again is answered with 200 instead of 201."""

    async def publish(self, request: Request, account: Account) -> Response:
        before = list(self.engine.catalog)
        response = await super().publish(request, account)
        if response.status_code == 201 and before == list(self.engine.catalog):
            response.status_code = 200
        return response


@permitted(37)
class PublishIs200(App):
    """Every successful publish is answered with 200 instead of 201."""

    async def publish(self, request: Request, account: Account) -> Response:
        response = await super().publish(request, account)
        response.status_code = 200
        return response


@permitted(40, over=App.auto_build)
def auto_build_refused_is_429(app: App, account: Account, version: Version) -> str:
    """If a limit refuses the build of a publish with auto_build, the publish gets a 429 but takes effect."""
    return str(app.engine.start(account, version)["status"])


@permitted(40)
class AutoBuildRefusedSaysSo(App):
    """If a limit refuses the build of a publish, the response has the auto_build value `rate_limited`."""

    def auto_build(self, account: Account, version: Version) -> str:
        status = super().auto_build(account, version)
        return "rate_limited" if status == "not_built" else status


@permitted(41)
class AutoBuildSaysReused(App):
    """If auto_build reuses a snapshot (golden), the response to the publish has the auto_build value `reused`."""

    def auto_build(self, account: Account, version: Version) -> str:
        status = super().auto_build(account, version)
        return "reused" if status == "ready" else status


@permitted(42)
class GoldenGoesWithItsVersion(Engine):
    """A snapshot (golden) is deleted with the last version that uses it, so its content must be built again."""

    def release(self, version: Version) -> None:
        super().release(version)
        if not self.catalog.holds(version.owner, version.digest):
            self.slots.pop((version.owner, version.digest), None)


@permitted(42, over=Engine.release)
def build_outlives_its_version(engine: Engine, version: Version) -> None:
    """The build of a replaced or deleted version keeps running."""


@permitted(42)
class ForceWhileBuildingIs409(Engine):
    """Replacing or deleting a version that is being built is answered with 409."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, Ref(document.namespace, document.name, document.version))
        if old is not None and force and old.digest != self.digest_of(document):
            self.require_rest(old)
        return super().publish(account, document, force)

    def delete(self, version: Version) -> Body:
        self.require_rest(version)
        return super().delete(version)

    def require_rest(self, version: Version) -> None:
        if self.state_of(self.slots.get((version.owner, version.digest))) == "building":
            raise Refusal(409, "A build of this version is running.")


@permitted(45)
class EverythingIsInDefault(Engine):
    """Every document is published in the namespace default."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        document = Document(DEFAULT_NAMESPACE, document.name, document.version, document.content)
        return super().publish(account, document, force)


@permitted(46)
class OddSpellingIs400(App):
    """A request whose path contains an invalid ref is answered with 400 instead of 404."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        ref = resource.ref
        names = (ref.namespace, ref.name)
        fits = all(_NAME.fullmatch(name) and len(name) <= 64 for name in names) and _VERSION.fullmatch(ref.version)
        if resource.kind != "templates" and not fits:
            raise Refusal(400, f"{str(ref)[:200]!r} cannot be the name of a version.")
        return await super().operate(request, account, resource)


@permitted(source="publish#response.published (ISO 8601, which has several forms)")
class PublishedInAnotherForm(Engine):
    """The publish time has the UTC offset +00:00 and no fraction of a second."""

    def published_body(self, version: Version) -> Body:
        body = super().published_body(version)
        return body | {"published": re.sub(r"\.\d+Z$", "+00:00", body["published"])}


@permitted(source="get#response.template (the document, without a documented form)")
class TemplateShowsDefaults(App):
    """Reading a template shows the document with default values filled in."""

    def get_template(self, version: Version) -> Response:
        body: dict[str, Any] = parsed(super().get_template(version))
        return answer_json(200, body | {"template": {"hardware": {"os": "linux"}, "secrets": [], **body["template"]}})


async def json_of(request: Request) -> dict[str, Any]:
    """Returns the JSON object in a request body; an empty dict if the body is not a JSON object."""
    try:
        data = json.loads(await request.body())
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
