"""Faults of publishing, of digests, of invalid documents, and of reading and deleting templates."""

import hashlib
import json
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.boundary import instead, on, put
from touchstone.proof.faults.fault import breaks, fault, is_ready, refusing
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Engine
from touchstone.twin.settings import Account


def sha256(text: str) -> str:
    """Returns the SHA-256 of a text as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def ref_of(document: Document) -> Ref:
    """Returns the ref under which a document is published."""
    return Ref(document.namespace, document.name, document.version)


_PROBLEM = {"field": "", "code": "syntax", "message": "expected a value"}


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


# fmt: off
# --- digests ---
fault("digest-in-capitals", "schema", "digest.has-the-documented-form", "Digests are in upper case.",
      Engine, digest_of=lambda self, document: Engine.digest_of(self, document).upper())
fault("status-has-a-prefix", "semantic", "digest.is-the-published-one",
      "The digest in the status has a prefix that the digest of the publish does not have.",
      on("getBuild.200.*", put(digest=lambda data: f"sha256:{data['digest']}")))
fault("digest-drifts", "stateful", "digest.is-stable", "The digest in the status is different at each read.",
      on("getBuild.200.*", lambda answer, past: answer.with_json(answer.data | {
          "digest": f"{past.count('getBuild.*'):04x}{answer.data['digest'][4:]}"})),
      also="digest.is-the-published-one auth.refused-changes-nothing publish.conflict-keeps-content")
fault("digest-without-commands", "semantic", "digest.follows-content",
      "The digest does not cover the build commands of a document.", Misjudging,
      digest_of=lambda _, document: sha256(json.dumps(document.content | {"build": None}, sort_keys=True)),
      also="reuse.only-identical-digest events.own-lines-only")
# --- publishing and deleting ---
fault("delete-does-nothing", "stateful",
      "template.delete-says-deleted lookup.deleted-version-is-404 start.refuses-deleted-version",
      "Deleting is answered with deleted false, and the version stays.", Engine, delete=lambda *_: {"deleted": False},
      also="publish.answers-201")
fault("published-when-is-a-number", "schema", "publish.body-is-documented",
      "The publish time in the response is a number, in seconds since 1970.",
      on("publishTemplate.201.*", put(published=1_773_480_413)))
fault("published-ref-is-the-last-one", "stateful", "publish.ref-is-the-document",
      "The response to a publish contains the ref of another version, from an earlier response.",
      on("publishTemplate.201.*", lambda answer, past: answer.with_json(answer.data | {
          "ref": past.others(answer, "ref") or answer.data["ref"]})))
fault("empty-is-published", "semantic", "publish.empty-is-400", "Publishing an empty document is answered with 201.",
      on("publishTemplate.400", lambda answer, past: instead(201, {})(answer, past)
         if "empty" in answer.data["error"] else answer), also="publish.body-is-documented")
fault("unparsable-is-422", "semantic", "publish.unparsable-is-400",
      "A document that cannot be parsed is answered with 422 instead of 400.",
      on("publishTemplate.400", lambda answer, past: answer if "empty" in answer.data["error"] else instead(422, {
          "error": "The template is not valid.", "errors": [_PROBLEM]})(answer, past)))
fault("identical-is-409-once-built", "stateful", "publish.republish-identical-is-accepted",
      "Publishing the same content again is answered with 409 once the version is ready.", Repeats,
      again=refusing(lambda *_: None, lambda self, old, same, force: same and not force
                     and self.status_body(old)["status"] == "ready", 409, "This version exists."))
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


@breaks("semantic", "digest.ignores-spelling",
        also="publish.republish-identical-is-accepted digest.is-the-published-one")  # fmt: skip
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


@breaks("stateful", "publish.conflict-keeps-content", over=Conflicts.conflict,
        also="digest.is-the-published-one status.build-does-not-vanish status.changes-only-by-a-start "
             "digest.is-stable publish.republish-identical-is-accepted events.build-time-agrees "
             "template.read-shows-the-published status.good-template-ends-ready publish.other-content-is-409 "
             "status.ready-stays-ready events.own-lines-only")  # fmt: skip
def conflict_overwrites(engine: Conflicts, old: Version, document: Document) -> None:
    """A publish that is refused with 409 still replaces the content of the existing version."""
    engine._store(old.owner, document)


@breaks("stateful", "publish.conflict-keeps-content", over=Conflicts.conflict,
        also="status.good-template-ends-ready template.read-shows-the-published")  # fmt: skip
def conflict_swaps_the_document(engine: Conflicts, old: Version, document: Document) -> None:
    """A publish that is refused with 409 still changes the document that reading the template returns."""
    engine.catalog.put(replace(old, template=document.content))


@breaks("semantic", "publish.auto-build-only-when-asked", also="reuse.only-* status.unbuilt-*", over=App.publish)
async def auto_build_false_builds(app: App, request: Request, account: Account) -> Response:
    """Publishing with auto_build=false starts a build."""
    query = request.scope["query_string"].replace(b"auto_build=false", b"auto_build=true")
    return await App.publish(app, Request({**request.scope, "query_string": query}, request.receive), account)


# fmt: off
fault("goldens-cannot-be-deleted", "stateful", "template.delete-says-deleted",
      "Deleting a ready version is answered with 403.", App,
      delete_template=refusing(App.delete_template, is_ready, 403, "Built templates cannot be deleted."))
fault("second-version-is-409", "stateful", "publish.answers-201",
      "Publishing a second version of a template is answered with 409.", Engine,
      publish=refusing(Engine.publish, lambda self, _, document, **force: any(
          version.ref.name == document.name and version.ref != ref_of(document) for version in self.catalog),
          409, "This template exists."))
# fmt: on
