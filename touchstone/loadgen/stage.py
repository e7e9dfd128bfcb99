"""What stands ready when a load run begins: the versions that it may use, by what they are for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from touchstone.rules.history import Content


@dataclass(frozen=True, slots=True)
class Stage:
    """The versions of one load run.

    Attributes:
        roles: Refs by role, in the order in which arrivals use them; see `touchstone.loadplan.Need`. Those of the
            second key have a role that ends in ``-second``.
        contents: What the rules know of each version.
        latency_s: What a status read took before the run.
    """

    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    contents: Mapping[str, Content] = field(default_factory=dict)
    latency_s: float = 0.0

    def refs(self, role: str) -> tuple[str, ...]:
        """The refs of a role; empty where the run has none."""
        return tuple(self.roles.get(role, ()))

    def public(self) -> dict[str, Any]:
        """The stage as JSON values."""
        contents = {ref: {k: v for k, v in asdict(c).items() if k != "until_at"} for ref, c in self.contents.items()}
        return {"roles": {k: list(v) for k, v in self.roles.items()}, "contents": contents, "latency_s": self.latency_s}

    @classmethod
    def from_public(cls, values: Mapping[str, Any]) -> "Stage":
        """The stage that `public` wrote."""
        return cls(
            {role: tuple(refs) for role, refs in values["roles"].items()},
            {ref: Content(**content) for ref, content in values["contents"].items()},
            float(values["latency_s"]),
        )
