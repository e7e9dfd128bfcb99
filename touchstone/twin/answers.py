"""Error responses of the twin, as exceptions."""

from typing import Any


class Refusal(Exception):
    """An error response as an exception: status, JSON body and extra headers. `App` adds the ``request_id``."""

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.body: dict[str, Any] = {"error": error, **more}
        self.headers = headers or {}


def invalid_key() -> Refusal:
    """Returns the 401 for an Authorization header with an unknown key or without the Bearer scheme."""
    text = "Invalid API key. Look for typing mistakes or make a new one."
    return Refusal(401, text, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def curated_is_fixed() -> Refusal:
    """Returns the 403 for a request that would change a curated version, which all accounts share."""
    return Refusal(403, "Templates in the system namespace are curated and cannot be changed.", code="CURATED")


def no_such_version() -> Refusal:
    """Returns the 404 for a version that is neither the account's own nor curated."""
    return Refusal(404, "Template version not found.")
