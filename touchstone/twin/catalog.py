"""Published template versions, by owner and ref."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

EVERYONE = ""
CURATED_NAMESPACE = "system"


@dataclass(frozen=True, slots=True)
class Ref:
    """Namespace, name and version, as in the path of a request: decoded, and otherwise unchanged."""

    namespace: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Version:
    """One published version of a template."""

    owner: str  # the key of the account, or EVERYONE for a curated one
    ref: Ref
    digest: str
    published: str  # ISO 8601
    template: dict[str, Any]  # the canonical document

    @property
    def curated(self) -> bool:
        """Whether the version belongs to all accounts."""
        return self.owner == EVERYONE


class Catalog:
    """All versions of all accounts."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, Ref], Version] = {}

    def get(self, owner: str, ref: Ref) -> Version | None:
        """Returns the owner's version with this ref, or None."""
        return self._versions.get((owner, ref))

    def put(self, version: Version) -> None:
        """Stores a version, in place of an earlier version with the same owner and ref."""
        self._versions[version.owner, version.ref] = version

    def remove(self, version: Version) -> None:
        """Removes a version."""
        self._versions.pop((version.owner, version.ref), None)

    def __iter__(self) -> Iterator[Version]:
        return iter(self._versions.values())

    def holds(self, owner: str, digest: str) -> bool:
        """Whether an owner has a version with this digest."""
        return any(version.owner == owner and version.digest == digest for version in self)
