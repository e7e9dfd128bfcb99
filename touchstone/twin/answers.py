"""Answers that say no: the exception that carries one, and the identifiers in their bodies."""

import random
import uuid
from typing import Any

UPGRADE_REQUIRED = "UPGRADE_REQUIRED"


class Refusal(Exception):
    """An error answer: status, JSON body without its ``request_id``, and headers beside the usual ones."""

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.body: dict[str, Any] = {"error": error, **more}
        self.headers = headers or {}


def missing_key() -> Refusal:
    """No Authorization header was sent."""
    text = "Missing API key. Send it as Authorization: Bearer <key>."
    return Refusal(401, text, {"WWW-Authenticate": "Bearer"})


def invalid_key() -> Refusal:
    """An Authorization header was sent that is no known key behind the Bearer scheme."""
    text = "Invalid API key. Look for typing mistakes or make a new one."
    return Refusal(401, text, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def plan_too_small(doing: str) -> Refusal:
    """The account's plan does not include what it asked for."""
    return Refusal(403, f"{doing} templates needs a Scale plan.", code=UPGRADE_REQUIRED)


def curated_is_fixed() -> Refusal:
    """The version belongs to everyone and nobody may change it."""
    return Refusal(403, "Templates in the system namespace are curated and cannot be changed.", code="CURATED")


def no_such_version() -> Refusal:
    """The account has no such template version; another one may."""
    return Refusal(404, "Template version not found.")


class RequestIds:
    """A stream of UUIDs, the same one for the same seed."""

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(seed)

    def next(self) -> str:
        """The next one."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
