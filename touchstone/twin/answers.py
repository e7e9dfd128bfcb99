"""Error responses: an exception with a response, and the request ids in response bodies."""

import random
import uuid
from typing import Any

UPGRADE_REQUIRED = "UPGRADE_REQUIRED"


class Refusal(Exception):
    """An error response: status, JSON body without its ``request_id``, and extra headers."""

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.body: dict[str, Any] = {"error": error, **more}
        self.headers = headers or {}


def missing_key() -> Refusal:
    """The 401 for a missing Authorization header."""
    text = "Missing API key. Send it as Authorization: Bearer <key>."
    return Refusal(401, text, {"WWW-Authenticate": "Bearer"})


def invalid_key() -> Refusal:
    """The 401 for an Authorization header without a known key and the Bearer scheme."""
    text = "Invalid API key. Look for typing mistakes or make a new one."
    return Refusal(401, text, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def plan_too_small(doing: str) -> Refusal:
    """The 403 for an account below the Scale plan."""
    return Refusal(403, f"{doing} templates needs a Scale plan.", code=UPGRADE_REQUIRED)


def curated_is_fixed() -> Refusal:
    """The 403 for a change of a curated version."""
    return Refusal(403, "Templates in the system namespace are curated and cannot be changed.", code="CURATED")


def no_such_version() -> Refusal:
    """The 404 for a version that the account does not have."""
    return Refusal(404, "Template version not found.")


class RequestIds:
    """Random UUIDs, repeatable with a seed."""

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(seed)

    def next(self) -> str:
        """Returns the next UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
