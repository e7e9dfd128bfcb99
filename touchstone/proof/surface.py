"""Table of the responses that the twin sends: operations, statuses, states, fields and headers.

The generated faults are derived from the table. A test compares it with the contract.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from touchstone.twin.app import Kind as ResourceKind

FieldType = Literal["text", "number", "flag", "object", "list"]

# Method and resource by operationId.
OPERATIONS: dict[str, tuple[str, ResourceKind]] = {
    "publishTemplate": ("POST", "templates"),
    "getTemplate": ("GET", "template"),
    "deleteTemplate": ("DELETE", "template"),
    "startBuild": ("POST", "build"),
    "getBuild": ("GET", "build"),
    "cancelBuild": ("DELETE", "build"),
    "streamBuildEvents": ("GET", "events"),
}

# Every status in the contract, including those that the twin never sends.
STATUSES: dict[str, tuple[int, ...]] = {
    "publishTemplate": (200, 201, 400, 401, 403, 409, 422, 429),
    "getTemplate": (200, 400, 401, 403, 404, 422, 429),
    "deleteTemplate": (200, 400, 401, 403, 404, 405, 409, 422, 429),
    "startBuild": (200, 202, 400, 401, 403, 404, 405, 409, 422, 429),
    "getBuild": (200, 400, 401, 403, 404, 422, 429),
    "cancelBuild": (202, 400, 401, 403, 404, 405, 409, 422, 429),
    "streamBuildEvents": (200, 400, 401, 403, 404, 422, 429),
}

ENUMS: dict[str, tuple[str, ...]] = {
    "status": ("ready", "building", "failed", "not_built"),
    "level": ("info", "success", "warn", "error"),
    "phase": (
        "publish", "compile", "boot", "install", "snapshot", "record", "archive", "ready", "cancel", "timeout",
    ),
}  # fmt: skip

# Response headers that clients interpret.
HEADERS = ("Content-Type", "Content-Length", "Retry-After", "WWW-Authenticate")

EVENT_FIELDS = ("ts", "level", "phase", "source", "line")

_IDENTITY: dict[str, FieldType] = {"ref": "text", "digest": "text"}
_BUILD: dict[str, FieldType] = {**_IDENTITY, "status": "text"}
_GOLDEN: dict[str, FieldType] = {**_BUILD, "build_time_ms": "number", "reused": "flag"}
_FAILED: dict[str, FieldType] = {**_BUILD, "error": "text"}
_PUBLISHED: dict[str, FieldType] = {**_IDENTITY, "published": "text"}
_ERROR: dict[str, FieldType] = {"error": "text"}

# Documented fields that no claim is about; the twin omits some of these.
UNUSED = frozenset({"golden_dir", "code", "request_id", "hint"})


@dataclass(frozen=True, slots=True)
class Place:
    """One kind of response.

    Attributes:
        state: Distinguishes responses with the same HTTP status, for example ``ready``; may be empty.
        fields: Type of each body field, by name.
    """

    operation: str
    status: int
    state: str = ""
    fields: Mapping[str, FieldType] = field(default_factory=dict)

    @property
    def every(self) -> int:
        """Period of a generated fault: with 2, it changes every second response, so that a polling case can go on."""
        polled_or_needed = self.operation in {"getBuild", "startBuild", "publishTemplate", "cancelBuild"}
        return 2 if self.status < 300 and polled_or_needed else 1

    @property
    def name(self) -> str:
        """Name of the place, such as ``getBuild.200.ready``. The names of its generated faults begin with it."""
        return ".".join(filter(None, (self.operation, str(self.status), self.state)))


SUCCESSES: tuple[Place, ...] = (
    Place("getBuild", 200, "not_built", _BUILD),
    Place("getBuild", 200, "building", _BUILD),
    Place("getBuild", 200, "ready", _GOLDEN),
    Place("getBuild", 200, "failed", _FAILED),
    Place("startBuild", 202, "building", _BUILD),
    Place("startBuild", 202, "ready", _GOLDEN),
    Place("cancelBuild", 202, "cancelling", {"status": "text"}),
    Place("publishTemplate", 201, "plain", _PUBLISHED),
    Place("publishTemplate", 201, "auto_build", {**_PUBLISHED, "auto_build": "text"}),
    Place("getTemplate", 200, "", {**_PUBLISHED, "template": "object"}),
    Place("deleteTemplate", 200, "", {"deleted": "flag"}),
)

REFUSALS: tuple[Place, ...] = (
    *(Place(operation, 401, "", _ERROR) for operation in OPERATIONS),
    *(Place(operation, 403, "", _ERROR) for operation in ("startBuild", "publishTemplate")),
    *(Place(operation, 404, "", _ERROR) for operation in ("startBuild", "getBuild")),
    Place("cancelBuild", 404, "unknown", _ERROR),
    Place("cancelBuild", 404, "idle", {"status": "text"}),
    *(Place(operation, 404, "", _ERROR) for operation in ("getTemplate", "deleteTemplate", "streamBuildEvents")),
    *(Place("publishTemplate", status, "", _ERROR) for status in (400, 409)),
    Place("publishTemplate", 422, "", {"errors": "list"}),
    Place("startBuild", 429, "", _ERROR),
)

PLACES = SUCCESSES + REFUSALS
LOG = Place("streamBuildEvents", 200)


def place(name: str) -> Place:
    """Returns the place with a name such as ``getBuild.200.ready``."""
    return next(found for found in (*PLACES, LOG) if found.name == name)
