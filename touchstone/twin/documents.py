"""A publish body to a checked document with its digest."""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from touchstone.twin.answers import Refusal
from touchstone.twin.validation import Problem, is_namespace, problems

DEEPEST = 64
MOST_NODES = 100_000

_LOADER: type[yaml.SafeLoader] = type(
    "TemplateLoader",
    (getattr(yaml, "CSafeLoader", yaml.SafeLoader),),
    # Merge keys copy what they merge, once per alias: a few lines could ask for more memory than there is.
    {"flatten_mapping": lambda _loader, _node: None},
)
# The core schema of YAML 1.2: no yes/no booleans, no dates, no numbers in base 60 or 8, so that a document means
# the same in YAML as it does in JSON.
_LOADER.yaml_implicit_resolvers = {}
_LOADER.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_LOADER.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_LOADER.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_LOADER.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


class Unreadable(ValueError):
    """The body is empty, or is neither JSON nor YAML, or is too deep or too large once its aliases are followed."""


def read_body(body: bytes, content_type: str = "") -> Any:
    """The data that a body holds.

    Args:
        body: What was sent.
        content_type: Its media type; JSON is read as nothing but JSON, anything else as YAML.

    Returns:
        Dicts with string keys, lists, strings, numbers, booleans and None, at most DEEPEST levels deep.

    Raises:
        Unreadable: it cannot be read.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None
    if not text.strip():
        raise Unreadable("the body is empty")
    data = _json(text) if _is_json(content_type) else _json_or_yaml(text)
    if data is None:
        raise Unreadable("the body is empty")
    return _Plain().copy(data)


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")


def _json_or_yaml(text: str) -> Any:
    # JSON first: it is faster, and a few JSON documents (tabs between tokens) are no YAML.
    try:
        return _json(text)
    except Unreadable:
        return _yaml(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_LOADER)  # the loader is a safe one
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        raise Unreadable("the body is neither JSON nor YAML") from None


class _Plain:
    """Copies data, following aliases, and counts what it copies."""

    def __init__(self) -> None:
        self._nodes = 0

    def copy(self, value: Any, depth: int = 0) -> Any:
        self._nodes += 1
        if depth > DEEPEST or self._nodes > MOST_NODES:
            raise Unreadable(f"the body is more than {DEEPEST} levels deep or holds more than {MOST_NODES} values")
        if isinstance(value, dict):
            return {self._key(key): self.copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, depth + 1) for item in value]
        return self._scalar(value)

    def _key(self, key: Any) -> str:
        self._nodes += 1
        return key if isinstance(key, str) else json.dumps(self._scalar(key))

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, str):
            if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
                raise Unreadable("the body holds a character that is no text")
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise Unreadable("the body holds a number that is not finite")
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
        if value is None or isinstance(value, bool | int):
            return value
        raise Unreadable(f"the body holds a {type(value).__name__}, which JSON cannot")


RAM = re.compile(r"(\d{1,6})\s*gb", re.IGNORECASE)
DISPLAY = re.compile(r"\d{1,6}x\d{1,6}")


def canonical(document: dict[str, Any]) -> dict[str, Any]:
    """The same document without its shorthands. What it does not know it leaves alone: validation speaks about it."""
    result = {key: value for key, value in document.items() if value is not None}
    _name(result)
    _hardware(result)
    _files(result)
    _first_boot(result)
    return result


def _section(result: dict[str, Any], name: str) -> dict[str, Any] | None:
    # A copy to write into, or None where something that is no section stands there.
    section = result.get(name, {})
    return dict(section) if isinstance(section, dict) else None


def _name(result: dict[str, Any]) -> None:
    name, template = result.get("name"), _section(result, "template")
    if not isinstance(name, str) or template is None:
        return
    del result["name"]
    plain, at, version = name.partition("@")
    template.setdefault("name", plain)
    if at:
        template.setdefault("version", version)
    result["template"] = template


def _hardware(result: dict[str, Any]) -> None:
    hardware = _section(result, "hardware")
    if hardware is None:
        return
    for short, full in (("cpu", "cpu"), ("ram", "ram_gb"), ("display", "resolution")):
        if short in result:
            hardware.setdefault(full, _hardware_value(short, result.pop(short)))
    if hardware:
        result["hardware"] = hardware


def _hardware_value(short: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if short == "ram" and (found := RAM.fullmatch(value.strip())):
        return int(found[1])
    if short == "display" and DISPLAY.fullmatch(value):
        return f"{value}x24"
    return value


def _files(result: dict[str, Any]) -> None:
    files = result.get("files")
    if isinstance(files, dict):
        result["files"] = [
            {"path": path, **(value if isinstance(value, dict) else {"inline": value})}
            for path, value in sorted(files.items())
        ]


def _first_boot(result: dict[str, Any]) -> None:
    hooks = _section(result, "hooks")
    if "on_first_boot" in result and hooks is not None:
        hooks.setdefault("on_first_boot", result.pop("on_first_boot"))
        result["hooks"] = hooks


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
