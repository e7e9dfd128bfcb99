"""Faults of finding versions: what is found that does not exist, what exists and is not found, and odd spellings."""

import dataclasses
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal, no_such_version
from touchstone.twin.app import App, answer_json
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Body, Engine
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

# Odd spellings, deleted versions and those of others are unknown as well; HEAD of one is still told the truth.
UNKNOWN_TOO = ("lookup.*", "access.others-version-is-404", "http.head-matches-get")


class Finds(Engine):
    """An account that has no version under a ref may be given another one."""

    def instead(self, ref: Ref, version: Version) -> bool:
        """Whether *version* is found where *ref* was asked for."""
        raise NotImplementedError

    def find(self, account: Account, ref: Ref) -> Version | None:
        if found := super().find(account, ref):
            return found
        own = [version for version in self.catalog if version.owner == account.key]
        return next((version for version in reversed(own) if self.instead(ref, version)), None)


class FindsUnderItsName(Finds):
    """The same, and what is found is called what was asked for."""

    def find(self, account: Account, ref: Ref) -> Version | None:
        version = super().find(account, ref)
        if version is None or version.ref == ref:
            return version
        return Version(version.owner, ref, version.digest, version.published, version.template)


# --- versions that do not exist ----------------------------------------------------------------------------------


class UnknownIsServed(App):
    """A status is told of some versions that do not exist."""

    def serves(self, account: Account, ref: Ref) -> bool:
        """Whether there is a status for *ref*, which the account does not have."""
        raise NotImplementedError

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        reads = resource.kind == "build" and request.method == "GET"
        if reads and not self.engine.find(account, resource.ref) and self.serves(account, resource.ref):
            return answer_json(200, {"ref": str(resource.ref), "digest": "0" * 64, "status": "not_built"})
        return await super().operate(request, account, resource)

    def own(self, account: Account) -> list[Ref]:
        """What the account has."""
        return [version.ref for version in self.engine.catalog if version.owner == account.key]


@breaks("semantic", "lookup.unknown-version-is-404", also=UNKNOWN_TOO)
class UnknownVersionIsNotBuilt(UnknownIsServed):
    """The status of a version that does not exist is 200 not_built, where its name exists."""

    def serves(self, account: Account, ref: Ref) -> bool:
        return any((own.namespace, own.name) == (ref.namespace, ref.name) for own in self.own(account))


@breaks("semantic", "lookup.unknown-name-is-404", also=UNKNOWN_TOO)
class UnknownNameIsNotBuilt(UnknownIsServed):
    """
    The status of a template that does not exist is 200 not_built, where its namespace exists and its name may be one.
    """

    def serves(self, account: Account, ref: Ref) -> bool:
        names = {own.name for own in self.own(account)}
        well_formed = re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", ref.name) and len(ref.name) <= 64
        return ref.namespace == "default" and ref.name not in names and bool(well_formed)


# A cancel in another namespace is one of another version to everybody but this server.
@breaks(
    "semantic",
    "lookup.unknown-namespace-is-404",
    also=("lookup.odd-spelling-is-404", "cancel.keeps-neighbours"),
)
class NamespacesDoNotMatter(FindsUnderItsName):
    """A version is found in every namespace."""

    def instead(self, ref: Ref, version: Version) -> bool:
        return (ref.name, ref.version) == (version.ref.name, version.ref.version)


@breaks(
    "semantic",
    "lookup.unknown-version-is-404",
    # What is found tells its own ref.
    also=(
        "cancel.keeps-neighbours",
        *UNKNOWN_TOO,
        "start.refuses-deleted-version",
        "status.ref-is-the-path",
        "start.ref-is-the-path",
    ),
)
class UnknownVersionIsTheLatest(App):
    """A version that does not exist is answered by the latest one of its name, unless it is to be deleted."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        ref, deletes = resource.ref, resource.kind == "template" and request.method == "DELETE"
        if not deletes and self.engine.find(account, ref) is None:
            own = [v.ref for v in self.engine.catalog if v.owner == account.key]
            latest = [other for other in own if (other.namespace, other.name) == (ref.namespace, ref.name)]
            resource = dataclasses.replace(resource, ref=latest[-1] if latest else ref)
        return await super().operate(request, account, resource)


@breaks("semantic", "lookup.unknown-version-is-404", also=("lookup.deleted-version-is-404",))
class PatchesDoNotMatter(FindsUnderItsName):
    """Version 1.0.10 is found where there is 1.0.0."""

    def instead(self, ref: Ref, version: Version) -> bool:
        same = (ref.namespace, ref.name) == (version.ref.namespace, version.ref.name)
        minor = version.ref.version.rpartition(".")[0]
        return same and re.fullmatch(re.escape(minor) + r"\.(0|[1-9]\d*)", ref.version) is not None


@breaks("semantic", "lookup.unknown-name-is-404")
class NamesAreComparedByPrefix(FindsUnderItsName):
    """A template is found by the beginning of its name."""

    def instead(self, ref: Ref, version: Version) -> bool:
        same = (ref.namespace, ref.version) == (version.ref.namespace, version.ref.version)
        return same and bool(ref.name) and version.ref.name.startswith(ref.name)


@breaks(
    "semantic",
    "lookup.unknown-name-is-404",
    "lookup.unknown-version-is-404",
    also=(*UNKNOWN_TOO, "start.refuses-deleted-version"),
)
class StartOfUnknownIs202(App):
    """A start of a version that does not exist is accepted."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        try:
            return await super().operate(request, account, resource)
        except Refusal as refusal:
            if refusal.status != 404 or request.method != "POST" or not re.fullmatch(r"[a-z0-9-]+", resource.ref.name):
                raise
            return answer_json(202, {"ref": str(resource.ref), "digest": "0" * 64, "status": "building"})


@breaks("semantic", "lookup.unknown-name-is-404", "lookup.unknown-version-is-404", also=UNKNOWN_TOO)
class DeleteOfUnknownIs200(App):
    """Deleting what does not exist says that it is deleted."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        unknown = self.engine.find(account, resource.ref) is None
        if resource.kind == "template" and request.method == "DELETE" and unknown:
            return answer_json(200, {"deleted": True})
        return await super().operate(request, account, resource)


# --- odd spellings -----------------------------------------------------------------------------------------------


@breaks("semantic", "lookup.odd-spelling-is-404", also=("http.no-server-error",))
class OddSpellingFails(App):
    """A name outside ASCII makes the server fail."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if not resource.ref.name.isascii():
            raise Refusal(500, "Internal error.")
        return await super().operate(request, account, resource)


@breaks("semantic", "lookup.odd-spelling-is-404")
class LatestIsAVersion(FindsUnderItsName):
    """``latest`` is a version of every template."""

    def instead(self, ref: Ref, version: Version) -> bool:
        same = (ref.namespace, ref.name) == (version.ref.namespace, version.ref.name)
        return same and ref.version == "latest"


@breaks("semantic", "lookup.odd-spelling-is-404")
class NamesIgnoreCase(FindsUnderItsName):
    """A name in capitals is the same name."""

    def instead(self, ref: Ref, version: Version) -> bool:
        return str(ref).lower() == str(version.ref).lower()


# --- versions that exist -----------------------------------------------------------------------------------------


@breaks("stateful", "lookup.existing-version-is-found", "template.read-shows-the-published")
class BuiltDocumentsAreGone(App):
    """Once a version is ready, its document is not found."""

    def get_template(self, version: Version) -> Response:
        if self.engine.status_body(version)["status"] == "ready":
            raise no_such_version()
        return super().get_template(version)


@breaks("stateful", "lookup.existing-version-is-found", "status.answers-200")
class FirstReadIsNotFound(App):
    """The first read after publishing finds nothing yet."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.seen: set[Any] = set()

    def get_build(self, version: Version) -> Response:
        if (version.owner, version.ref) not in self.seen:
            self.seen.add((version.owner, version.ref))
            raise no_such_version()
        return super().get_build(version)


@breaks(
    "stateful", "lookup.existing-version-is-found", "status.answers-200", also=("template.read-shows-the-published",)
)
class DeleteTakesItsSiblings(Engine):
    """Deleting one version deletes all versions of its name."""

    def delete(self, version: Version) -> Body:
        for other in list(self.catalog):
            if (other.owner, other.ref.name) == (version.owner, version.ref.name):
                super().delete(other)
        return {"deleted": True}
