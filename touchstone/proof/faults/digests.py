"""Faults of digests: their form, what they are taken of, and where they are told."""

import hashlib
import itertools
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine
from touchstone.twin.settings import Account


def sha256(text: str) -> str:
    """The digest of a text in the documented form."""
    return hashlib.sha256(text.encode()).hexdigest()


# --- form ------------------------------------------------------------------------------------------------------------


@breaks("schema", "digest.has-the-documented-form")
class DigestInCapitals(Engine):
    """Digests are written in capitals."""

    def digest_of(self, document: Document) -> str:
        return super().digest_of(document).upper()


@breaks("schema", "digest.has-the-documented-form")
class DigestNamesAnotherAlgorithm(Engine):
    """Digests carry the prefix of another algorithm."""

    def digest_of(self, document: Document) -> str:
        return f"md5:{super().digest_of(document)}"


# --- where it is told ------------------------------------------------------------------------------------------------


@breaks("semantic", "digest.is-the-published-one")
class StatusHasAPrefix(Engine):
    """The status tells the digest with a prefix that publishing does not tell."""

    def status_body(self, version: Version) -> Body:
        return super().status_body(version) | {"digest": f"sha256:{version.digest}"}


@breaks("semantic", "digest.is-the-published-one")
class StartTellsAnotherDigest(Engine):
    """The answer to a start tells the digest of the ref."""

    def start(self, account: Account, version: Version) -> Body:
        return super().start(account, version) | {"digest": sha256(str(version.ref))}


@breaks("semantic", "digest.is-the-published-one")
class TemplateTellsAnotherDigest(Engine):
    """Reading a template tells the digest of the document as it is shown, not the one that it was published under."""

    def template_body(self, version: Version) -> Body:
        return super().template_body(version) | {"digest": sha256(json.dumps(version.template))}


@breaks(
    "stateful",
    "digest.is-stable",
    also=("digest.is-the-published-one", "auth.refused-changes-nothing", "publish.conflict-keeps-content"),
)
class DigestDrifts(Engine):
    """Each read of the status shows another digest."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reads = itertools.count(1)

    def status_body(self, version: Version) -> Body:
        digest = f"{next(self.reads):04x}{version.digest[4:]}"
        return super().status_body(version) | {"digest": digest}


@breaks("stateful", "digest.is-stable", also=("digest.is-the-published-one",))
class DigestChangesWhenReady(Engine):
    """A ready version tells the digest of its snapshot instead of the one of its content."""

    def status_body(self, version: Version) -> Body:
        body = super().status_body(version)
        return body | {"digest": sha256(version.digest)} if body["status"] == "ready" else body


# --- what it is taken of ---------------------------------------------------------------------------------------------


class Misjudging(Engine):
    """An engine that still refuses other content under one ref, though its digest may not tell it."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        old = self.catalog.get(account.key, Ref(document.namespace, document.name, document.version))
        if old is not None and old.template != document.content and not force:
            raise Refusal(409, "This version is published with other content.")
        return self._store(account.key, document)


@breaks("semantic", "digest.follows-content", also=("reuse.only-identical-digest",))
class DigestOfTheRef(Misjudging):
    """The digest covers name and version and not the content."""

    def digest_of(self, document: Document) -> str:
        return sha256(f"{document.name}@{document.version}")


@breaks("semantic", "digest.follows-content", also=("reuse.only-identical-digest", "events.own-lines-only"))
class DigestWithoutCommands(Misjudging):
    """The digest covers all of a document but the commands of its build."""

    def digest_of(self, document: Document) -> str:
        content = {key: value for key, value in document.content.items() if key != "build"}
        return sha256(json.dumps(content, sort_keys=True))


@breaks(
    "semantic",
    "digest.ignores-spelling",
    also=("publish.republish-identical-is-accepted", "digest.is-the-published-one"),
)
class DigestOfTheBytes(App):
    """The same document has another digest in YAML than in JSON."""

    async def publish(self, request: Request, account: Account) -> Response:
        salt = "yaml" in request.headers.get("content-type", "")
        plain = type(self.engine).digest_of
        self.engine.digest_of = lambda document: plain(self.engine, document)[:: -1 if salt else 1]  # type: ignore[method-assign]  # for this request only
        return await super().publish(request, account)


@breaks("semantic", "digest.ignores-spelling", also=("publish.republish-identical-is-accepted",))
class DigestFollowsTheOrder(Engine):
    """The digest depends on the order of the keys."""

    def digest_of(self, document: Document) -> str:
        about = {key: value for key, value in document.content["template"].items() if key not in ("name", "version")}
        return sha256(json.dumps(document.content | {"template": about}))
