"""Which requests a limiter counts."""

from dataclasses import dataclass
from typing import Literal

from touchstone.twin import TwinSettings

Operation = Literal["startBuild", "getBuild"]
_METHODS: dict[Operation, str] = {"startBuild": "POST", "getBuild": "GET"}


@dataclass(frozen=True, slots=True)
class Counted:
    """The requests of one operation.

    Attributes:
        method: Of the request.
        path: A pattern that its whole path fits, base path included, without groups; anchored at both ends.
    """

    method: str
    path: str

    @classmethod
    def of(cls, operation: Operation, settings: TwinSettings) -> "Counted":
        """Those of *operation* at a twin."""
        return cls(_METHODS[operation], f"^{settings.base_path}/templates/[^/]+/[^/]+/[^/]+/build$")
