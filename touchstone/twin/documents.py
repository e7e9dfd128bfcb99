"""A publish body to a checked document with its digest."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from touchstone.twin.answers import Refusal
from touchstone.twin.reading import Unreadable, read_body
from touchstone.twin.sugar import canonical
from touchstone.twin.validation import Problem, is_namespace, problems

DEFAULT_NAMESPACE = "default"
ENVELOPE = frozenset({"namespace", "name", "version", "template"})


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document in canonical form, and where it goes."""

    namespace: str
    name: str
    version: str
    content: dict[str, Any]


def read_document(body: bytes, content_type: str = "") -> Document:
    """Reads a publish body: the document itself, or an envelope with namespace, name, version and the document.

    Raises:
        Refusal: 400 where it is empty or cannot be parsed, 422 with every problem where it is no valid document.
    """
    try:
        data = read_body(body, content_type)
    except Unreadable as error:
        raise Refusal(400, f"Cannot read the template: {error}.") from None
    if not isinstance(data, dict):
        raise invalid([Problem("", "invalid_type", "expected an object")])
    envelope = data if is_envelope(data) else {}
    content = canonical(data["template"] if envelope else data)
    found = problems(content) or _mismatches(envelope, content)
    if found:
        raise invalid(found)
    namespace = envelope.get("namespace", DEFAULT_NAMESPACE)
    return Document(namespace, content["template"]["name"], content["template"]["version"], content)


def invalid(found: list[Problem]) -> Refusal:
    """The answer to a document that breaks rules."""
    return Refusal(422, "The template is not valid.", errors=[problem.as_json() for problem in found])


def is_envelope(data: dict[str, Any]) -> bool:
    """Whether the data wraps a document: nothing but envelope fields, of which *template* holds an object."""
    inner = data.get("template")
    if not isinstance(inner, dict) or not set(data) <= ENVELOPE:
        return False
    return len(data) > 1 or "api_version" in inner


def _mismatches(envelope: dict[str, Any], content: dict[str, Any]) -> list[Problem]:
    found = []
    if not is_namespace(envelope.get("namespace", DEFAULT_NAMESPACE)):
        found.append(Problem("namespace", "invalid_format", "expected lowercase kebab-case, 1 to 64 characters"))
    found.extend(
        Problem(name, "mismatch", f"expected the same as template.{name} of the document")
        for name in ("name", "version")
        if name in envelope and envelope[name] != content["template"][name]
    )
    return found


def digest(content: dict[str, Any], scope: Literal["document", "content"] = "document") -> str:
    """SHA-256 of the canonical document, as 64 hexadecimal digits.

    Args:
        content: The document in canonical form.
        scope: ``content`` leaves name and version out, so that two versions can share a build.
    """
    if scope == "content":
        rest = {key: value for key, value in content["template"].items() if key not in ("name", "version")}
        content = {**content, "template": rest}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
