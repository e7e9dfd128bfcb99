"""Faults of which versions there are: publishing, replacing and deleting gone wrong."""

from dataclasses import replace
from typing import Any

from touchstone.proof.mutants.transitions import Storing, enter, later
from touchstone.twin.answers import Refusal
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Body, Engine
from touchstone.twin.settings import Account


@enter("publish.skip")
class _PublishSkips(Storing):
    """Publishing every third new version says so and stores nothing."""

    def stored(self, version: Version, old: Version | None) -> None:
        if old is None and self.is_turn:
            self.put_back(version, old)


@enter("publish.to-other-account")
class _PublishesToOthers(Storing):
    """Every third version that is published belongs to another account."""

    def stored(self, version: Version, old: Version | None) -> None:
        if old is None and self.is_turn:
            self.put_back(version, old)
            self.catalog.put(replace(version, owner=self.other_key(version)))


@enter("publish.late", "timing")
class _PublishesLate(Storing):
    """Every third new version is found a while after its publish was acknowledged."""

    def stored(self, version: Version, old: Version | None) -> None:
        if old is None and self.is_turn:
            self.put_back(version, old)
            later(self.catalog.put, version)


@enter("publish.to-everybody", "security")
class _PublishesToAll(Storing):
    """What is published is found by every account on the same plan."""

    def stored(self, version: Version, old: Version | None) -> None:
        for account in self.settings.accounts:
            if self.may_build(account):
                self.catalog.put(replace(version, owner=account.key))


@enter("replace.skip")
class _ReplaceSkips(Storing):
    """Force says that the content is replaced and leaves it."""

    def stored(self, version: Version, old: Version | None) -> None:
        if old is not None:
            self.put_back(version, old)


@enter("replace.late", "timing")
class _ReplacesLate(Storing):
    """Force is acknowledged and takes effect a while later."""

    def stored(self, version: Version, old: Version | None) -> None:
        if old is not None:
            self.put_back(version, old)
            later(self.catalog.put, version)


@enter("replace.of-neighbour")
class _ReplacesNeighbour(Storing):
    """Force replaces the content of the account's previous version as well."""

    def stored(self, version: Version, old: Version | None) -> None:
        other = self.neighbour(version) if old is not None else None
        if other is not None:
            self.catalog.put(replace(version, ref=other.ref))


@enter("replace.keeps-golden")
class _ReplaceKeepsGolden(Storing):
    """The golden of what was replaced counts for the new content."""

    def stored(self, version: Version, old: Version | None) -> None:
        if old is not None and (slot := self.slots.get((old.owner, old.digest))):
            self.slots[version.owner, version.digest] = slot


@enter("replace.without-force")
class _ReplacesUnasked(Storing):
    """Other content replaces what is there without force, too."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        return super().publish(account, document, force=True)


@enter("replace.though-refused")
class _ReplacesThoughRefused(Storing):
    """A publish that is refused as a conflict replaces the content."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        try:
            return super().publish(account, document, force)
        except Refusal as refusal:
            if refusal.status == 409:
                self._store(account.key, document)
            raise


@enter("delete.skip")
class _DeleteSkips(Engine):
    """Deleting says so and deletes nothing."""

    def delete(self, version: Version) -> Body:
        return {"deleted": True}


@enter("delete.late", "timing")
class _DeletesLate(Engine):
    """Deleting takes effect a while after it was acknowledged."""

    def delete(self, version: Version) -> Body:
        later(super().delete, version)
        return {"deleted": True}


@enter("delete.of-neighbour")
class _DeletesNeighbour(Storing):
    """Deleting a version also deletes the account's one before it."""

    def delete(self, version: Version) -> Body:
        other = self.neighbour(version)
        if other is not None:
            self.catalog.remove(other)
        return super().delete(version)


@enter("delete.of-all-versions")
class _DeletesAllVersions(Engine):
    """Deleting a version deletes every version of that name."""

    def delete(self, version: Version) -> Body:
        name = (version.owner, version.ref.namespace, version.ref.name)
        for other in [v for v in self.catalog if (v.owner, v.ref.namespace, v.ref.name) == name]:
            self.catalog.remove(other)
        return super().delete(version)


@enter("delete.drops-shared-golden", pace={"digest_scope": "content"})
class _DeleteDropsGolden(Engine):
    """Deleting a version drops a golden that another version still has."""

    def delete(self, version: Version) -> Body:
        answer = super().delete(version)
        self.slots.pop((version.owner, version.digest), None)
        return answer


@enter("delete.though-no-key-fits", "security")
class _DeletesOthers(Engine):
    """Looking for a version of another account deletes it there."""

    def require(self, account: Account, ref: Any) -> Version:
        for version in [v for v in self.catalog if v.ref == ref and v.owner not in {account.key, ""}]:
            self.catalog.remove(version)
        return super().require(account, ref)
