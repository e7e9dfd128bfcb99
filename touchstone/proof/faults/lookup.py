"""Faults of looking up versions: unknown versions that are found, known ones that are not, and odd spellings."""

import re
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks, fault, is_ready, own, refusing
from touchstone.twin.answers import no_such_version
from touchstone.twin.app import App, Resource, answer_json
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Body, Engine
from touchstone.twin.settings import Account

# Odd spellings, deleted versions and other accounts' versions count as unknown, too. HEAD still gets a 404.
UNKNOWN_TOO = "lookup.* access.others-version-is-404 http.head-matches-get"


class Finds(Engine):
    """Base class: a lookup of an unknown ref returns another version of the account under that ref."""

    def instead(self, ref: Ref, own: Ref) -> bool:
        """Whether a lookup of *ref* returns the version *own*."""
        raise NotImplementedError

    def find(self, account: Account, ref: Ref) -> Version | None:
        if found := super().find(account, ref):
            return found
        own = [version for version in self.catalog if version.owner == account.key]
        found = next((version for version in reversed(own) if self.instead(ref, version.ref)), None)
        return replace(found, ref=ref) if found else None


class UnknownIsServed(App):
    """Base class: some requests for unknown versions succeed."""

    method, kind = "GET", "build"

    def serves(self, ref: Ref, own: list[Ref]) -> Body | None:
        """Returns the wrong response body for an unknown *ref*, given the known refs; None for a correct 404."""
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        starts, known = request.method == "POST", self.engine.find(account, resource.ref)
        if (request.method, resource.kind) == (self.method, self.kind) and known is None:
            own = [version.ref for version in self.engine.catalog if version.owner == account.key]
            if (body := self.serves(resource.ref, own)) and (not starts or self.engine.may_build(account)):
                return answer_json(202 if starts else 200, body)
        return await super().operate(request, account, resource)


def unbuilt(ref: Ref, status: str = "not_built") -> Body:
    """Returns a status body for an unknown version."""
    return {"ref": str(ref), "digest": "0" * 64, "status": status}


def is_name(ref: Ref) -> bool:
    """Whether the name of a ref is a valid template name."""
    return bool(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", ref.name)) and len(ref.name) <= 64


def is_patch(ref: Ref, own: Ref) -> bool:
    """Whether two refs differ only in the patch number of the version."""
    minor = own.version.rpartition(".")[0]
    same = (ref.namespace, ref.name) == (own.namespace, own.name)
    return same and re.fullmatch(re.escape(minor) + r"\.(0|[1-9]\d*)", ref.version) is not None


# fmt: off
fault("unknown-version-is-not-built", "semantic", "lookup.unknown-version-is-404",
      "The status of an unknown version of a known template is 200 with not_built.", UnknownIsServed,
      serves=lambda _, ref, own: unbuilt(ref) if replace(ref, version="") in [replace(o, version="") for o in own]
      else None, also=UNKNOWN_TOO)
fault("unknown-name-is-not-built", "semantic", "lookup.unknown-name-is-404",
      "The status of an unknown template in a known namespace is 200 with not_built.", UnknownIsServed,
      serves=lambda _, ref, own: unbuilt(ref) if ref.namespace == "default" and is_name(ref)
      and ref.name not in {o.name for o in own} else None, also=UNKNOWN_TOO)
fault("start-of-unknown-is-202", "semantic", "lookup.unknown-name-is-404 lookup.unknown-version-is-404",
      "A start of an unknown version is accepted.", UnknownIsServed, method="POST",
      serves=lambda _, ref, own: unbuilt(ref, "building") if re.fullmatch(r"[a-z0-9-]+", ref.name) else None,
      also=f"{UNKNOWN_TOO} start.refuses-deleted-version")
fault("delete-of-unknown-is-200", "semantic", "lookup.unknown-name-is-404 lookup.unknown-version-is-404",
      "Deleting an unknown version is answered with deleted true.", UnknownIsServed, method="DELETE", kind="template",
      serves=lambda *_: {"deleted": True}, also=UNKNOWN_TOO)
# For the rules, a cancel in another namespace is a cancel of another version.
fault("namespaces-do-not-matter", "semantic", "lookup.unknown-namespace-is-404",
      "A version is found in every namespace.", Finds, also="lookup.odd-spelling-is-404 cancel.keeps-neighbours",
      instead=lambda _, ref, own: (ref.name, ref.version) == (own.name, own.version))
fault("patches-do-not-matter", "semantic", "lookup.unknown-version-is-404",
      "The patch number is ignored: 1.0.10 finds version 1.0.0.", Finds, also="lookup.deleted-version-is-404",
      instead=lambda _, ref, own: is_patch(ref, own))
fault("names-are-compared-by-prefix", "semantic", "lookup.unknown-name-is-404",
      "A template is found by a prefix of its name.", Finds, instead=lambda _, ref, own: (
          ref.namespace, ref.version) == (own.namespace, own.version) and ref.name and own.name.startswith(ref.name))
fault("latest-is-a-version", "semantic", "lookup.odd-spelling-is-404", "The version `latest` of a template is found.",
      Finds, instead=lambda _, ref, own: ref == replace(own, version="latest"))
fault("names-ignore-case", "semantic", "lookup.odd-spelling-is-404", "Names are compared without regard to case.",
      Finds, instead=lambda _, ref, own: str(ref).lower() == str(own).lower())
# fmt: on


# The response contains the ref of the version that was found.
@breaks(
    "semantic",
    "lookup.unknown-version-is-404",
    also=f"cancel.keeps-neighbours {UNKNOWN_TOO} start.refuses-deleted-version status.ref-is-the-path "
    "start.ref-is-the-path",
    over=App.operate,
)
async def unknown_version_is_the_latest(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A request for an unknown version, except a delete, gets the latest version of the template instead."""
    ref, deletes = resource.ref, resource.kind == "template" and request.method == "DELETE"
    if not deletes and app.engine.find(account, ref) is None:
        own = [v.ref for v in app.engine.catalog if v.owner == account.key]
        latest = [other for other in own if (other.namespace, other.name) == (ref.namespace, ref.name)]
        resource = replace(resource, ref=latest[-1] if latest else ref)
    return await App.operate(app, request, account, resource)


@breaks("stateful", "lookup.existing-version-is-found", "status.answers-200")
class FirstReadIsNotFound(App):
    """The first status read of a version after publishing is answered with 404."""

    reads = own(set[Any])

    def get_build(self, version: Version) -> Response:
        if (version.owner, version.ref) not in self.reads:
            self.reads.add((version.owner, version.ref))
            raise no_such_version()
        return super().get_build(version)


@breaks("stateful", "lookup.existing-version-is-found", "status.answers-200", also="template.read-shows-the-published")
class DeleteTakesItsSiblings(Engine):
    """Deleting one version deletes all versions of its template."""

    def delete(self, version: Version) -> Body:
        for other in list(self.catalog):
            if (other.owner, other.ref.name) == (version.owner, version.ref.name):
                super().delete(other)
        return {"deleted": True}


# fmt: off
fault("odd-spelling-fails", "semantic", "lookup.odd-spelling-is-404", "A non-ASCII name is answered with 500.",
      App, operate=refusing(App.operate, lambda *args: not args[3].ref.name.isascii(), 500, "Internal error."),
      also="http.no-server-error")
fault("built-documents-are-gone", "stateful", "lookup.existing-version-is-found template.read-shows-the-published",
      "Once a version is ready, reading its template is answered with 404.", App,
      get_template=refusing(App.get_template, is_ready, 404, "Template version not found."))
# fmt: on
