"""Parses and validates the body of a publish request, and computes the digest of the document."""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from touchstone.twin.answers import Refusal

MAX_DEPTH = 64
MAX_NODES = 100_000

_LOADER: type[yaml.SafeLoader] = type(
    "TemplateLoader",
    (getattr(yaml, "CSafeLoader", yaml.SafeLoader),),
    # YAML merge keys (<<) are ignored: each one copies its target, so a few lines could exhaust the memory.
    {"flatten_mapping": lambda _loader, _node: None},
)
# The core schema of YAML 1.2 has no yes/no booleans, no dates, and no numbers in base 60 or 8. With it, a document has
# the same meaning in YAML and in JSON.
_LOADER.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$", "-+.0123456789"),
):
    _LOADER.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _unreadable(why: str) -> Refusal:
    return Refusal(400, f"Cannot read the template: the body {why}.")


def read_body(body: bytes, content_type: str = "") -> Any:
    """Parses a body as JSON. If that fails, parses it as YAML, unless the content type is JSON.

    Raises a 400 if the body is empty, cannot be parsed, is deeper than MAX_DEPTH or has over MAX_NODES values.
    """
    media = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable("is not UTF-8") from None
    try:
        # JSON first: it is faster, and some JSON documents (tabs between tokens) are not valid YAML.
        data = json.loads(text) if text.strip() else None
    except (ValueError, RecursionError):
        if media == "application/json" or media.endswith("+json"):
            raise _unreadable("is not JSON") from None
        try:
            data = yaml.load(text, Loader=_LOADER)  # the loader is a safe one
        except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
            raise _unreadable("is neither JSON nor YAML") from None
    if data is None:
        raise _unreadable("is empty")
    return _plain(data, itertools.count(1))


def _plain(value: Any, nodes: Iterator[int], depth: int = 0) -> Any:
    if depth > MAX_DEPTH or next(nodes) > MAX_NODES:
        raise _unreadable(f"is more than {MAX_DEPTH} levels deep or holds more than {MAX_NODES} values")
    if isinstance(value, dict):
        return {_key(key, nodes): _plain(item, nodes, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, nodes, depth + 1) for item in value]
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _unreadable("holds a character that is no text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _unreadable("holds a number that is not finite")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    elif value is not None and not isinstance(value, bool | int):
        raise _unreadable(f"holds a {type(value).__name__}, which JSON cannot")
    return value


def _key(key: Any, nodes: Iterator[int]) -> str:
    return key if isinstance(key, str) else json.dumps(_plain(key, nodes))


RAM = re.compile(r"(\d{1,6})\s*gb", re.IGNORECASE)
DISPLAY = re.compile(r"\d{1,6}x\d{1,6}")
HARDWARE = {"cpu": "cpu", "ram": "ram_gb", "display": "resolution"}


def canonical(document: dict[str, Any]) -> dict[str, Any]:
    """Returns a document with its short forms expanded. Invalid parts stay, and the validation reports them."""
    result = {key: value for key, value in document.items() if value is not None}
    sections = {name: result.get(name, {}) for name in ("template", "hardware", "hooks")}
    # Copies of the sections, to change them. If a section is not an object, its short forms stay as they are.
    known = {name: dict(section) for name, section in sections.items() if isinstance(section, dict)}
    if isinstance(result.get("name"), str) and "template" in known:
        name, at, version = result.pop("name").partition("@")
        known["template"] = {"name": name, **({"version": version} if at else {}), **known["template"]}
    if "hardware" in known:
        short = {full: _hardware(name, result.pop(name)) for name, full in HARDWARE.items() if name in result}
        known["hardware"] = short | known["hardware"]
    if "on_first_boot" in result and "hooks" in known:
        known["hooks"] = {"on_first_boot": result.pop("on_first_boot"), **known["hooks"]}
    if isinstance(files := result.get("files"), dict):
        result["files"] = [
            {"path": path, **(value if isinstance(value, dict) else {"inline": value})}
            for path, value in sorted(files.items())
        ]
    return result | {name: section for name, section in known.items() if section or name in result}


def _hardware(short: str, value: Any) -> Any:
    if isinstance(value, str) and short == "ram" and (found := RAM.fullmatch(value.strip())):
        return int(found[1])
    if isinstance(value, str) and short == "display" and DISPLAY.fullmatch(value):
        return f"{value}x24"
    return value


API_VERSION = "orgo.ai/v1"
TAKEN_PORTS = (5900, 5999, 6080, 8080)
REFERENCE = re.compile(r"(\$?)\$\{(var|env)\.([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One violation of the document schema."""

    field: str  # dotted path, list positions in brackets
    code: str
    message: str


class _Section(BaseModel, strict=True):  # unknown keys are allowed
    pass


def _free(port: int) -> int:
    if port in TAKEN_PORTS:
        raise PydanticCustomError("out_of_range", "Port should be another one than 5900, 5999, 6080 and 8080")
    return port


def _secret(value: Any) -> Any:
    is_secret = isinstance(value, dict) and set(value) == {"secret"} and isinstance(value["secret"], str)
    return value["secret"] if is_secret else value


def _no_flag(value: Any) -> Any:
    # True equals 1 in Python, but not in JSON.
    if isinstance(value, bool):
        raise PydanticCustomError("literal_error", "Input should be a number")
    return value


Kebab = Annotated[str, Field(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$")]
# The documentation has no rule for namespaces, so the twin applies the rule for names.
Name = Annotated[Kebab, Field(max_length=64)]
_NUMBER, _WORD = r"(?:0|[1-9][0-9]*)", r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
SemVer = Annotated[
    str,
    Field(
        pattern=rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_WORD}(?:\.{_WORD})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$"
    ),
]
UpperSnake = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
Given = Annotated[str, Field(min_length=1)]


class _Template(_Section):
    name: Name
    version: SemVer
    publisher: Kebab = ""


class _Hardware(_Section):
    os: Literal["linux"] = "linux"
    cpu: Annotated[Literal[1, 2, 4, 8, 16], BeforeValidator(_no_flag)] = 1
    ram_gb: Literal[4, 8, 16, 32, 64] = 4
    gpu: Literal["none", "t4", "l4", "a10", "l40s", "a100-40", "a100-80", "h100"] = "none"
    region: Literal["auto-us", "iad", "sjc", "lax"] = "auto-us"
    disk_gb: Annotated[float, Field(ge=1)] = 1
    gpu_count: Annotated[float, Field(ge=0)] = 0
    auto_stop_minutes: Annotated[float, Field(ge=0, le=1440)] = 0
    bandwidth_mbps: Annotated[float, Field(ge=0)] = 0
    resolution: Annotated[str, Field(pattern=r"^(?:[1-9][0-9]*x){2}[1-9][0-9]*$")] = ""
    audio: bool = False


class _Secret(_Section):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    optional: bool = False


class _Build(_Section):
    apt: list[str] = []
    pip: list[str] = []
    npm: list[str] = []
    run: Annotated[list[str], Field(max_length=64)] = []


class _Port(_Section):
    internal: Annotated[int, Field(ge=1, le=65535), AfterValidator(_free)]
    protocol: Literal["tcp", "udp", "http", "ws"] = "tcp"


class _Health(_Section):
    type: Literal["http", "tcp", "command", "process"] = "http"


class _App(_Section):
    name: Given
    run: Given
    restart: Literal["always", "on-failure", "no"] = "no"
    on_fail: Annotated[str, Field(pattern=r"^(?:restart_service:.+|restart_vm|alert|none)$")] = "none"
    health: _Health = _Health()
    ports: list[_Port] = []


class _Document(_Section):
    namespace: Name
    api_version: Literal["orgo.ai/v1"]
    template: _Template
    hardware: _Hardware = _Hardware()
    vars: dict[str, Any] = {}
    env: dict[UpperSnake, Annotated[str, BeforeValidator(_secret)]] = {}
    build: _Build = _Build()
    hooks: dict[str, Any] = {}
    secrets: list[_Secret] = []
    apps: list[_App] = []


# Error codes of the API by error type of pydantic; all other types become ``invalid_type``.
CODES = {
    "missing": "required",
    "literal_error": "invalid_enum",
    "string_pattern_mismatch": "invalid_format",
    "string_too_short": "required",
    "string_too_long": "invalid_format",
    **dict.fromkeys(("too_long", "greater_than_equal", "less_than_equal", "out_of_range"), "out_of_range"),
}


def problems(document: dict[str, Any]) -> list[Problem]:
    """Returns all violations of the schema in a canonical document that has the key ``namespace`` as well."""
    # In these sections, null is never valid, not even as the value of an unknown key.
    sections = {name: document.get(name) for name in ("template", "hardware", "build")}
    nulls = [
        Problem(f"{name}.{key}", "invalid_type", "expected a value; leave the key out for none")
        for name, section in sections.items()
        if isinstance(section, dict)
        for key, value in section.items()
        if value is None
    ]
    try:
        _Document.model_validate(document)
    except ValidationError as error:
        found = {problem.field: problem for problem in (*map(_problem, error.errors()), *nulls)}
        return list(found.values())
    return nulls or list(_references(document))


def _problem(error: ErrorDetails) -> Problem:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"] if part != "[key]")
    code = "invalid_type" if error["input"] is None else CODES.get(error["type"], "invalid_type")
    return Problem(path.removeprefix("."), code, error["msg"])


def _references(document: dict[str, Any]) -> Iterator[Problem]:
    known = {
        "var": set(document.get("vars", {})),
        "env": {key for key, value in document.get("env", {}).items() if isinstance(value, str)},
    }
    for path, text in _texts({key: value for key, value in document.items() if key != "vars"}, ""):
        for escape, kind, name in REFERENCE.findall(text):
            if not escape and name not in known[kind]:
                yield Problem(path, "unknown_ref", f"expected a {kind} that the document defines")


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")


DEFAULT_NAMESPACE = "default"
ENVELOPE = frozenset({"namespace", "name", "version", "template"})


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document in canonical form, with its namespace, name and version."""

    namespace: str
    name: str
    version: str
    content: dict[str, Any]


def read_document(body: bytes, content_type: str = "") -> Document:
    """Parses the body of a publish: a document, or an envelope with namespace, name, version and a document.

    Raises a 400 if the body is empty or cannot be parsed, and a 422 with all problems if the document is invalid.
    """
    data = read_body(body, content_type)
    if not isinstance(data, dict):
        raise invalid([Problem("", "invalid_type", "expected an object")])
    inner = data.get("template")
    # An envelope has only fields from ENVELOPE, and its *template* is an object.
    is_envelope = isinstance(inner, dict) and set(data) <= ENVELOPE and (len(data) > 1 or "api_version" in inner)
    envelope: Mapping[str, Any] = data if is_envelope else {}
    content = canonical(envelope.get("template", data))
    namespace = envelope.get("namespace", DEFAULT_NAMESPACE)
    if found := problems({**content, "namespace": namespace}):
        raise invalid(found)
    template = content["template"]
    mismatches = [
        Problem(name, "mismatch", f"expected the same as template.{name} of the document")
        for name in ("name", "version")
        if name in envelope and envelope[name] != template[name]
    ]
    if mismatches:
        raise invalid(mismatches)
    return Document(namespace, template["name"], template["version"], content)


def invalid(found: list[Problem]) -> Refusal:
    """Returns the 422 for an invalid document or query; *found* lists the problems."""
    return Refusal(422, "The template is not valid.", errors=list(map(asdict, found)))


def digest(content: dict[str, Any], scope: Literal["document", "content"] = "document") -> str:
    """Returns the SHA-256 of a canonical document in hex digits. *scope* ``content`` leaves out name and version."""
    if scope == "content":
        rest = {key: value for key, value in content["template"].items() if key not in ("name", "version")}
        content = {**content, "template": rest}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
