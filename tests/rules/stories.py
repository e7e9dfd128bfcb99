"""Requests about one version with usual responses; first the number of the exchange or its time of sending (`when`)."""

from typing import Any

from tests.rules.exchanges import DIGEST, ERROR, OTHER_DIGEST, REF, build, exchange, publish, when
from touchstone.facts.exchange import Exchange

# Fields of a build object that callers may pass by name.
_BODY_FIELDS = ("digest", "build_time_ms", "reused")


def forced(seq: float, content: str = "new", digest: str = OTHER_DIGEST, **more: Any) -> Exchange:
    """A publish of other content with force."""
    return publish(seq, content=content, digest=digest, **({"note": {"force": True, "form": "json"}} | more))


def start(moment: float, /, status: int = 202, state: str = "building", **more: Any) -> Exchange:
    """A start; *state* is the status in the response body."""
    return _about_build("startBuild", moment, status, state, more)


def reuse(moment: float, /, status: int = 202, **more: Any) -> Exchange:
    """A start that reuses a golden."""
    return start(moment, status, "ready", **({"reused": True} | more))


def read(moment: float, /, state: str = "building", status: int = 200, **more: Any) -> Exchange:
    """A status read; the build time of a ready version fits requests one second apart."""
    return _about_build("getBuild", moment, status, state, more)


def cancel(moment: float, /, status: int = 202, **more: Any) -> Exchange:
    """A cancel, accepted or idle."""
    body = {"status": "cancelling" if status == 202 else "idle"}
    return exchange("cancelBuild", status, **({"json": body} | when(moment) | more))


def delete(moment: float, /, status: int = 200, **more: Any) -> Exchange:
    """A delete of the version."""
    return exchange(
        "deleteTemplate", status, **({"json": {"deleted": True} if status < 300 else ERROR} | when(moment) | more)
    )


def template(moment: float, /, content: str = "hello", digest: str = DIGEST, **more: Any) -> Exchange:
    """A template read; the steps of the document print the marker of *content*."""
    document = {"build": {"run": [f"echo marker-{content}"]}}
    return exchange(
        "getTemplate", **({"json": {"ref": REF, "digest": digest, "template": document}} | when(moment) | more)
    )


def _about_build(operation: str, seq: float, status: int, state: str, more: dict[str, Any]) -> Exchange:
    fields = {key: more.pop(key) for key in _BODY_FIELDS if key in more}
    times = {"build_time_ms": 800} if state == "ready" else {}
    body = build(state, more.get("ref") or REF, **(times | fields)) if status < 400 else ERROR
    return exchange(operation, status, **({"json": body} | when(seq) | more))
