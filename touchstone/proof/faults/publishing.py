"""Faults of publishing, of digests, of invalid documents, and of reading and deleting templates."""

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.boundary import on, put
from touchstone.proof.faults.fault import breaks, fault, is_ready, own, refusing
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, Resource, answer_json
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine
from touchstone.twin.settings import Account


def sha256(text: str) -> str:
    """Returns the SHA-256 of a text as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def ref_of(document: Document) -> Ref:
    """Returns the ref under which a document is published."""
    return Ref(document.namespace, document.name, document.version)


class Repeats(Engine):
    """Base class: a publish of an existing version is handled in a wrong way."""

    def again(self, old: Version, same: bool, force: bool) -> Version | None:
        """Returns the version to respond with; None to publish correctly. *same*: whether the content is the same."""
        raise NotImplementedError

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, ref_of(document))
        found = self.again(old, old.digest == self.digest_of(document), force) if old else None
        return found or super().publish(account, document, force)


class Misjudging(Engine):
    """Base class for wrong digests. To refuse other content for a ref, the twin compares documents, not digests."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, ref_of(document))
        if old is not None and old.template != document.content and not force:
            raise Refusal(409, "This version is published with other content.")
        return self._store(account.key, document)


class Refuses(App):
    """Base class: some refusals of a publish are changed."""

    def alter(self, refusal: Refusal) -> Refusal:
        """Returns the changed refusal."""
        raise NotImplementedError

    async def publish(self, request: Request, account: Account) -> Response:
        try:
            return await super().publish(request, account)
        except Refusal as refusal:
            raise self.alter(refusal) from None


class Remembers(App):
    """Base class: some requests about deleted versions succeed."""

    deleted = own(dict[Any, Version])

    def delete_template(self, version: Version) -> Response:
        self.deleted[version.owner, version.ref] = version
        return super().delete_template(version)

    def left(self, method: str, kind: str, version: Version) -> Callable[..., Response] | None:
        """Returns the method that serves a request about a deleted version; None for a correct 404."""
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        version = self.deleted.get((account.key, resource.ref))
        gone = version is not None and self.engine.find(account, resource.ref) is None
        if version and gone and (serve := self.left(request.method, resource.kind, version)):
            return serve(account, version) if request.method == "POST" else serve(version)
        return await super().operate(request, account, resource)


# fmt: off
# --- digests ---
fault("digest-in-capitals", "schema", "digest.has-the-documented-form", "Digests are in upper case.",
      Engine, digest_of=lambda self, document: Engine.digest_of(self, document).upper())
fault("digest-names-another-algorithm", "schema", "digest.has-the-documented-form",
      "Digests have the prefix `md5:`.",
      Engine, digest_of=lambda self, document: f"md5:{Engine.digest_of(self, document)}")
fault("status-has-a-prefix", "semantic", "digest.is-the-published-one",
      "The digest in the status has a prefix that the digest of the publish does not have.",
      on("getBuild.200.*", put(digest=lambda data: f"sha256:{data['digest']}")))
fault("start-tells-another-digest", "semantic", "digest.is-the-published-one",
      "The response to a start contains a digest of the ref instead of the content.",
      on("startBuild.202.*", put(digest=lambda data: sha256(data["ref"]))))
fault("template-tells-another-digest", "semantic", "digest.is-the-published-one",
      "Reading a template shows a digest of the response body instead of the published digest.",
      on("getTemplate.200", put(digest=lambda data: sha256(json.dumps(data["template"])))))
fault("digest-changes-when-ready", "stateful", "digest.is-stable",
      "The digest in the status changes when the version becomes ready.",
      on("getBuild.200.ready", put(digest=lambda data: sha256(data["digest"]))), also="digest.is-the-published-one")
fault("digest-of-the-ref", "semantic", "digest.follows-content",
      "The digest covers name and version, but not the content.", Misjudging, also="reuse.only-identical-digest",
      digest_of=lambda _, document: sha256(f"{document.name}@{document.version}"))
fault("digest-without-commands", "semantic", "digest.follows-content",
      "The digest does not cover the build commands of a document.", Misjudging,
      digest_of=lambda _, document: sha256(json.dumps(document.content | {"build": None}, sort_keys=True)),
      also="reuse.only-identical-digest events.own-lines-only")
# --- documents ---
fault("read-shows-another-ref", "semantic", "template.read-shows-the-published",
      "Reading a template shows the ref of version `latest`.",
      on("getTemplate.200", put(ref=lambda data: f"{data['ref'].rpartition('@')[0]}@latest")))
fault("document-has-another-name", "semantic", "template.read-shows-the-published",
      "Reading a template shows the document with the name `untitled`.",
      on("getTemplate.200", put(template=lambda data: data["template"] | {
          "template": data["template"]["template"] | {"name": "untitled"}})))
fault("deleted-is-a-text", "schema", "template.delete-says-deleted", "Deleting is answered with deleted as a string.",
      on("deleteTemplate.200", put(deleted="true")))
fault("delete-does-nothing", "stateful",
      "template.delete-says-deleted lookup.deleted-version-is-404 start.refuses-deleted-version",
      "Deleting is answered with deleted false, and the version stays.", Engine, delete=lambda *_: {"deleted": False},
      also="publish.answers-201")
# --- deleted versions ---
fault("deleted-is-only-hidden", "stateful", "lookup.deleted-version-is-404 start.refuses-deleted-version",
      "The status of a deleted version can still be read, and the version can be built.", Remembers,
      left=lambda app, method, kind, version: {"POST": app.start_build, "GET": app.get_build, "HEAD": app.get_build}
      .get(method) if kind == "build" else None)
fault("deleted-golden-is-ready", "stateful", "lookup.deleted-version-is-404",
      "A version that was ready before its delete still has the status ready.", Remembers, also="http.head-matches-get",
      left=lambda app, method, kind, version: app.get_build if (method, kind) == ("GET", "build")
      and app.engine.status_body(version)["status"] == "ready" else None)
fault("deleted-document-is-shown", "stateful", "lookup.deleted-version-is-404",
      "The document of a deleted version can still be read.", Remembers, also="http.head-matches-get",
      left=lambda app, method, kind, version: app.get_template if (method, kind) == ("GET", "template") else None)
fault("deleted-version-builds", "stateful", "start.refuses-deleted-version",
      "A start of a deleted version is accepted and builds it.", Remembers,
      left=lambda app, method, kind, version: app.start_build if (method, kind) == ("POST", "build") else None,
      also="lookup.deleted-version-is-404")
# --- publishing ---
fault("published-when-is-a-number", "schema", "publish.body-is-documented",
      "The publish time in the response is a number, in seconds since 1970.",
      on("publishTemplate.201.*", put(published=1_773_480_413)))
fault("publish-always-replaces", "semantic", "publish.other-content-is-409",
      "Publishing other content replaces an existing version without force.", Engine, also="publish.force-replaces",
      publish=lambda self, account, document, force=False: Engine.publish(self, account, document, force=True))
fault("other-content-is-ignored", "semantic", "publish.other-content-is-409",
      "Publishing other content without force is answered with 201, but changes nothing.", Repeats,
      again=lambda _, old, same, force: None if force or same else old)
fault("force-changes-nothing", "semantic", "publish.force-replaces",
      "A forced publish of other content is answered with 201, but changes nothing.", Repeats,
      again=lambda _, old, same, force: old if force and not same else None,
      also="status.unbuilt-is-not-built digest.follows-content")
fault("auto-build-is-forgotten", "semantic", "publish.auto-build-starts",
      "Publishing with auto_build is answered with building, but starts no build.", App,
      auto_build=lambda *_: "building", target={"build_timeout_s": 2.0})
fault("auto-build-is-always-told", "schema", "publish.auto-build-only-when-asked",
      "The response to every publish contains auto_build.",
      on("publishTemplate.201.plain", put(auto_build="not_built")))
# fmt: on


@breaks(
    "stateful",
    "digest.is-stable",
    also="digest.is-the-published-one auth.refused-changes-nothing publish.conflict-keeps-content",
)
class DigestDrifts(Engine):
    """The digest in the status is different at each read."""

    reads = own(lambda: itertools.count(1))

    def status_body(self, version: Version) -> Body:
        return super().status_body(version) | {"digest": f"{next(self.reads):04x}{version.digest[4:]}"}


@breaks(
    "semantic", "digest.ignores-spelling", also="publish.republish-identical-is-accepted digest.is-the-published-one"
)
class DigestOfTheBytes(App):
    """The same document has different digests in YAML and in JSON."""

    async def publish(self, request: Request, account: Account) -> Response:
        salt = "yaml" in request.headers.get("content-type", "")
        plain = type(self.engine).digest_of
        self.engine.digest_of = lambda document: plain(self.engine, document)[:: -1 if salt else 1]  # type: ignore[method-assign]  # for this request only
        return await super().publish(request, account)


@breaks("semantic", "digest.ignores-spelling", also="publish.republish-identical-is-accepted", over=Engine.digest_of)
def digest_follows_the_order(engine: Engine, document: Document) -> str:
    """The digest depends on the order of the keys in the document."""
    about = {key: value for key, value in document.content["template"].items() if key not in ("name", "version")}
    return sha256(json.dumps(document.content | {"template": about}))


@breaks("semantic", "publish.empty-is-400", also="publish.body-is-documented", over=App.publish)
async def empty_is_published(app: App, request: Request, account: Account) -> Response:
    """Publishing an empty document is answered with 201."""
    try:
        return await App.publish(app, request, account)
    except Refusal as refusal:
        if "empty" in refusal.body["error"]:
            return answer_json(201, {})
        raise


@breaks("semantic", "publish.unparsable-is-400")
class UnparsableIs422(Refuses):
    """A document that cannot be parsed is answered with 422 instead of 400."""

    def alter(self, refusal: Refusal) -> Refusal:
        if refusal.status == 400 and "empty" not in refusal.body["error"]:
            problem = {"field": "", "code": "syntax", "message": "expected a value"}
            return Refusal(422, "The template is not valid.", errors=[problem])
        return refusal


@breaks("stateful", "publish.ref-is-the-document")
class PublishedRefIsTheLastOne(App):
    """The response to a publish contains the ref of the previous publish."""

    last = ""

    async def publish(self, request: Request, account: Account) -> Response:
        data = json.loads(bytes((await super().publish(request, account)).body))
        last, self.last = self.last, data["ref"]
        return answer_json(201, data | {"ref": last or data["ref"]})


@breaks("semantic", "publish.republish-identical-is-accepted")
class IdenticalIs409(Repeats):
    """Publishing the same content again is answered with 409."""

    def again(self, old: Version, same: bool, force: bool) -> Version | None:
        if same and not force:
            raise Refusal(409, "This version exists.")
        return None


@breaks("stateful", "publish.republish-identical-is-accepted", over=IdenticalIs409.again)
def identical_is_409_once_built(engine: IdenticalIs409, old: Version, same: bool, force: bool) -> Version | None:
    """Publishing the same content again is answered with 409 once the version is ready."""
    return IdenticalIs409.again(engine, old, same and engine.status_body(old)["status"] == "ready", force)


class Conflicts(Engine):
    """Base class: a publish that is refused with 409 has a side effect."""

    def conflict(self, old: Version, document: Document) -> None:
        raise NotImplementedError

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        try:
            return super().publish(account, document, force)
        except Refusal:
            if old := self.catalog.get(account.key, ref_of(document)):
                self.conflict(old, document)
            raise


@breaks(
    "stateful",
    "publish.conflict-keeps-content",
    also="digest.is-the-published-one status.build-does-not-vanish status.changes-only-by-a-start digest.is-stable "
    "publish.republish-identical-is-accepted events.build-time-agrees template.read-shows-the-published "
    "status.good-template-ends-ready publish.other-content-is-409 status.ready-stays-ready events.own-lines-only",
    over=Conflicts.conflict,
)
def conflict_overwrites(engine: Conflicts, old: Version, document: Document) -> None:
    """A publish that is refused with 409 still replaces the content of the existing version."""
    engine._store(old.owner, document)


@breaks(
    "stateful",
    "publish.conflict-keeps-content",
    also="status.good-template-ends-ready template.read-shows-the-published",
    over=Conflicts.conflict,
)
def conflict_swaps_the_document(engine: Conflicts, old: Version, document: Document) -> None:
    """A publish that is refused with 409 still changes the document that reading the template returns."""
    engine.catalog.put(replace(old, template=document.content))


@breaks("stateful", "publish.force-replaces", also="publish.conflict-keeps-content template.read-shows-the-published")
class ForceKeepsTheDocument(Repeats):
    """After a forced publish, reading the template still shows the old document."""

    old = own(dict[Any, Any])

    def again(self, old: Version, same: bool, force: bool) -> Version | None:
        if force and not same:
            self.old[old.owner, old.ref] = old.template
        return None

    def template_body(self, version: Version) -> Body:
        document = self.old.get((version.owner, version.ref), version.template)
        return {**super().template_body(version), "template": document}


@breaks("semantic", "publish.auto-build-only-when-asked", also="reuse.only-* status.unbuilt-*", over=App.publish)
async def auto_build_false_builds(app: App, request: Request, account: Account) -> Response:
    """Publishing with auto_build=false starts a build."""
    query = request.scope["query_string"].replace(b"auto_build=false", b"auto_build=true")
    return await App.publish(app, Request({**request.scope, "query_string": query}, request.receive), account)


# fmt: off
fault("ready-documents-are-forbidden", "stateful", "template.read-shows-the-published",
      "Once a version is ready, reading its template is answered with 403.", App,
      get_template=refusing(App.get_template, is_ready, 403, "Built templates cannot be read."))
fault("goldens-cannot-be-deleted", "stateful", "template.delete-says-deleted",
      "Deleting a ready version is answered with 403.", App,
      delete_template=refusing(App.delete_template, is_ready, 403, "Built templates cannot be deleted."))
fault("second-version-is-409", "stateful", "publish.answers-201",
      "Publishing a second version of a template is answered with 409.", Engine,
      publish=refusing(Engine.publish, lambda self, _, document, **force: any(
          version.ref.name == document.name and version.ref != ref_of(document) for version in self.catalog),
          409, "This template exists."))
# fmt: on
