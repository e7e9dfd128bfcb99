"""Request paths: which resource one names, and which methods that resource has."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote_to_bytes

from touchstone.twin.catalog import Ref

Kind = Literal["templates", "template", "build", "events"]
METHODS: dict[Kind, tuple[str, ...]] = {
    "templates": ("POST",),
    "template": ("DELETE", "GET", "HEAD"),
    "build": ("DELETE", "GET", "HEAD", "POST"),
    "events": ("GET", "HEAD"),
}
NO_REF = Ref("", "", "")


@dataclass(frozen=True, slots=True)
class Resource:
    """What a path names; *ref* is empty for the collection of templates."""

    kind: Kind
    ref: Ref = NO_REF


@lru_cache(maxsize=512)
def resource_at(raw_path: bytes, base_path: str) -> Resource | None:
    """The resource that a path names, or None.

    Args:
        raw_path: As it was sent. Splitting comes before decoding, so that an encoded slash separates nothing.
        base_path: What every path starts with.

    Source: RFC 3986, section 2.4.
    """
    prefix = base_path.encode() + b"/"
    if not raw_path.startswith(prefix):
        return None
    try:
        parts = [unquote_to_bytes(part).decode() for part in raw_path[len(prefix) :].split(b"/")]
    except UnicodeDecodeError:
        return None
    match parts:
        case ["templates"]:
            return Resource("templates")
        case ["templates", namespace, name, version]:
            return Resource("template", Ref(namespace, name, version))
        case ["templates", namespace, name, version, "build"]:
            return Resource("build", Ref(namespace, name, version))
        case ["templates", namespace, name, version, "build", "events"]:
            return Resource("events", Ref(namespace, name, version))
    return None
