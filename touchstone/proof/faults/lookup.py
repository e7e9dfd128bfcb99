"""Faults of finding versions: what is found that does not exist, what exists and is not found, and odd spellings."""

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

# Odd spellings, deleted versions and those of others are unknown as well; HEAD of one is still told the truth.
UNKNOWN_TOO = "lookup.* access.others-version-is-404 http.head-matches-get"


class Finds(Engine):
    """An account that has no version under a ref may be given another one, which is called what was asked for."""

    def instead(self, ref: Ref, own: Ref) -> bool:
        """Whether the version *own* is found where *ref* was asked for."""
        raise NotImplementedError

    def find(self, account: Account, ref: Ref) -> Version | None:
        if found := super().find(account, ref):
            return found
        own = [version for version in self.catalog if version.owner == account.key]
        found = next((version for version in reversed(own) if self.instead(ref, version.ref)), None)
        return replace(found, ref=ref) if found else None


class UnknownIsServed(App):
    """Some requests for versions that do not exist are served."""

    method, kind = "GET", "build"

    def serves(self, ref: Ref, own: list[Ref]) -> Body | None:
        """The answer for *ref*, which the account does not have though it has others; None for the right one."""
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        asked, known = (request.method, resource.kind), self.engine.find(account, resource.ref)
        if asked == (self.method, self.kind) and known is None:
            own = [version.ref for version in self.engine.catalog if version.owner == account.key]
            if (body := self.serves(resource.ref, own)) and (asked[0] != "POST" or self.engine.may_build(account)):
                return answer_json(202 if asked[0] == "POST" else 200, body)
        return await super().operate(request, account, resource)


def unbuilt(ref: Ref, status: str = "not_built") -> Body:
    """The status of a version that does not exist."""
    return {"ref": str(ref), "digest": "0" * 64, "status": status}


def is_name(ref: Ref) -> bool:
    """Whether a ref has a name that a template may have."""
    return bool(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", ref.name)) and len(ref.name) <= 64


def is_patch(ref: Ref, own: Ref) -> bool:
    """Whether a ref differs from another one in the last number of its version."""
    minor = own.version.rpartition(".")[0]
    same = (ref.namespace, ref.name) == (own.namespace, own.name)
    return same and re.fullmatch(re.escape(minor) + r"\.(0|[1-9]\d*)", ref.version) is not None


# fmt: off
fault("unknown-version-is-not-built", "semantic", "lookup.unknown-version-is-404",
      "The status of a version that does not exist is 200 not_built, where its name exists.", UnknownIsServed,
      serves=lambda _, ref, own: unbuilt(ref) if replace(ref, version="") in [replace(o, version="") for o in own]
      else None, also=UNKNOWN_TOO)
fault("unknown-name-is-not-built", "semantic", "lookup.unknown-name-is-404",
      "The status of a template that does not exist is 200 not_built, where its namespace exists and its name may be "
      "one.", UnknownIsServed, serves=lambda _, ref, own: unbuilt(ref) if ref.namespace == "default" and is_name(ref)
      and ref.name not in {o.name for o in own} else None, also=UNKNOWN_TOO)
fault("start-of-unknown-is-202", "semantic", "lookup.unknown-name-is-404 lookup.unknown-version-is-404",
      "A start of a version that does not exist is accepted.", UnknownIsServed, method="POST",
      serves=lambda _, ref, own: unbuilt(ref, "building") if re.fullmatch(r"[a-z0-9-]+", ref.name) else None,
      also=f"{UNKNOWN_TOO} start.refuses-deleted-version")
fault("delete-of-unknown-is-200", "semantic", "lookup.unknown-name-is-404 lookup.unknown-version-is-404",
      "Deleting what does not exist says that it is deleted.", UnknownIsServed, method="DELETE", kind="template",
      serves=lambda *_: {"deleted": True}, also=UNKNOWN_TOO)
# A cancel in another namespace is one of another version to everybody but this server.
fault("namespaces-do-not-matter", "semantic", "lookup.unknown-namespace-is-404",
      "A version is found in every namespace.", Finds, also="lookup.odd-spelling-is-404 cancel.keeps-neighbours",
      instead=lambda _, ref, own: (ref.name, ref.version) == (own.name, own.version))
fault("patches-do-not-matter", "semantic", "lookup.unknown-version-is-404",
      "Version 1.0.10 is found where there is 1.0.0.", Finds, also="lookup.deleted-version-is-404",
      instead=lambda _, ref, own: is_patch(ref, own))
fault("names-are-compared-by-prefix", "semantic", "lookup.unknown-name-is-404",
      "A template is found by the beginning of its name.", Finds, instead=lambda _, ref, own: (
          ref.namespace, ref.version) == (own.namespace, own.version) and ref.name and own.name.startswith(ref.name))
fault("latest-is-a-version", "semantic", "lookup.odd-spelling-is-404", "`latest` is a version of every template.",
      Finds, instead=lambda _, ref, own: ref == replace(own, version="latest"))
fault("names-ignore-case", "semantic", "lookup.odd-spelling-is-404", "A name in capitals is the same name.",
      Finds, instead=lambda _, ref, own: str(ref).lower() == str(own).lower())
# fmt: on


# What is found tells its own ref.
@breaks(
    "semantic",
    "lookup.unknown-version-is-404",
    also=f"cancel.keeps-neighbours {UNKNOWN_TOO} start.refuses-deleted-version status.ref-is-the-path "
    "start.ref-is-the-path",
    over=App.operate,
)
async def unknown_version_is_the_latest(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """A version that does not exist is answered by the latest one of its name, unless it is to be deleted."""
    ref, deletes = resource.ref, resource.kind == "template" and request.method == "DELETE"
    if not deletes and app.engine.find(account, ref) is None:
        own = [v.ref for v in app.engine.catalog if v.owner == account.key]
        latest = [other for other in own if (other.namespace, other.name) == (ref.namespace, ref.name)]
        resource = replace(resource, ref=latest[-1] if latest else ref)
    return await App.operate(app, request, account, resource)


@breaks("stateful", "lookup.existing-version-is-found", "status.answers-200")
class FirstReadIsNotFound(App):
    """The first read after publishing finds nothing yet."""

    seen = own(set[Any])

    def get_build(self, version: Version) -> Response:
        if (version.owner, version.ref) not in self.seen:
            self.seen.add((version.owner, version.ref))
            raise no_such_version()
        return super().get_build(version)


@breaks("stateful", "lookup.existing-version-is-found", "status.answers-200", also="template.read-shows-the-published")
class DeleteTakesItsSiblings(Engine):
    """Deleting one version deletes all versions of its name."""

    def delete(self, version: Version) -> Body:
        for other in list(self.catalog):
            if (other.owner, other.ref.name) == (version.owner, version.ref.name):
                super().delete(other)
        return {"deleted": True}


# fmt: off
fault("odd-spelling-fails", "semantic", "lookup.odd-spelling-is-404", "A name outside ASCII makes the server fail.",
      App, operate=refusing(App.operate, lambda _, *asked: not asked[2].ref.name.isascii(), 500, "Internal error."),
      also="http.no-server-error")
fault("built-documents-are-gone", "stateful", "lookup.existing-version-is-found template.read-shows-the-published",
      "Once a version is ready, its document is not found.", App,
      get_template=refusing(App.get_template, is_ready, 404, "Template version not found."))
# fmt: on
