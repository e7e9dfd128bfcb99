"""What a canonical document must be like, and every way in which one is not."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

API_VERSION = "orgo.ai/v1"
KEBAB = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
SEMVER = re.compile(
    r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)"
    r"(?:-(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9_]*")
SECRET_NAME = re.compile(r"[a-z][a-z0-9_-]*")
RESOLUTION = re.compile(r"[1-9][0-9]*x[1-9][0-9]*x[1-9][0-9]*")
ON_FAIL = re.compile(r"restart_service:.+|restart_vm|alert|none")
REFERENCE = re.compile(r"(\$?)\$\{(var|env)\.([^{}]*)\}")
LONGEST_NAME = 64
MOST_COMMANDS = 64
TAKEN_PORTS = (5900, 5999, 6080, 8080)
ENUMS: dict[str, tuple[Any, ...]] = {
    "os": ("linux",),
    "cpu": (1, 2, 4, 8, 16),
    "ram_gb": (4, 8, 16, 32, 64),
    "gpu": ("none", "t4", "l4", "a10", "l40s", "a100-40", "a100-80", "h100"),
    "region": ("auto-us", "iad", "sjc", "lax"),
    "restart": ("always", "on-failure", "no"),
    "protocol": ("tcp", "udp", "http", "ws"),
    "health": ("http", "tcp", "command", "process"),
}
RANGES = {
    "disk_gb": (1, None),
    "gpu_count": (0, None),
    "auto_stop_minutes": (0, 1440),
    "bandwidth_mbps": (0, None),
}
Fits = Callable[[str], object]
SECTIONS = ("hardware", "vars", "env", "build", "hooks")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a document.

    Attributes:
        field: Dotted path, list positions in brackets.
        code: ``required``, ``invalid_enum``, ``unknown_ref``, ``invalid_type``, ``invalid_format`` or ``out_of_range``.
        message: What was expected.
    """

    field: str
    code: str
    message: str

    def as_json(self) -> dict[str, str]:
        """The problem as it stands in the body of a 422."""
        return {"field": self.field, "code": self.code, "message": self.message}


def problems(document: dict[str, Any]) -> list[Problem]:
    """Everything that is wrong with a canonical document; empty for a valid one."""
    found = list(_head(document))
    found.extend(
        Problem(name, "invalid_type", "expected an object")
        for name in SECTIONS
        if name in document and not isinstance(document[name], dict)
    )
    if not found:
        for check in (_nulls, _hardware, _secrets, _env, _build, _apps, _references):
            found.extend(check(document))
    return found


def _head(document: dict[str, Any]) -> Iterator[Problem]:
    if "api_version" not in document:
        yield Problem("api_version", "required", f"expected {API_VERSION}")
    elif document["api_version"] != API_VERSION:
        yield Problem("api_version", "invalid_enum", f"expected {API_VERSION}")
    template = document.get("template")
    if template is None:
        yield Problem("template", "required", "expected an object with name and version")
    elif not isinstance(template, dict):
        yield Problem("template", "invalid_type", "expected an object with name and version")
    else:
        yield from _needed(template, "template", "name", _is_name, "lowercase kebab-case, 1 to 64 characters")
        yield from _needed(template, "template", "version", SEMVER.fullmatch, "a semantic version such as 1.0.0")
        yield from _text(template, "template", "publisher", KEBAB.fullmatch, "lowercase kebab-case")


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and bool(KEBAB.fullmatch(text))


def is_namespace(value: object) -> bool:
    """Whether a value can be a namespace; the documentation is silent, so it is held to the rule for names."""
    return isinstance(value, str) and _is_name(value)


def _needed(section: dict[str, Any], path: str, name: str, fits: Fits, form: str) -> Iterator[Problem]:
    if section.get(name) is None:
        yield Problem(f"{path}.{name}", "required", f"expected {form}")
    yield from _text(section, path, name, fits, form)


def _text(section: dict[str, Any], path: str, name: str, fits: Fits, form: str) -> Iterator[Problem]:
    value = section.get(name)
    if value is None:
        return
    if not isinstance(value, str):
        yield Problem(f"{path}.{name}", "invalid_type", f"expected text: {form}")
    elif not fits(value):
        yield Problem(f"{path}.{name}", "invalid_format", f"expected {form}")


def _enum(section: dict[str, Any], path: str, name: str, values: tuple[Any, ...]) -> Iterator[Problem]:
    value = section.get(name)
    # True equals 1 in Python, not in JSON.
    if value is not None and (isinstance(value, bool) or value not in values):
        yield Problem(f"{path}.{name}", "invalid_enum", f"expected one of {', '.join(map(str, values))}")


def _nulls(document: dict[str, Any]) -> Iterator[Problem]:
    """A documented key without a value: the schema knows texts, numbers and lists, and no null."""
    for section in ("template", "hardware", "build"):
        for name, value in document.get(section, {}).items():
            if value is None:
                yield Problem(f"{section}.{name}", "invalid_type", "expected a value; leave the key out for none")


def _hardware(document: dict[str, Any]) -> Iterator[Problem]:
    hardware = document.get("hardware", {})
    for name in ("os", "cpu", "ram_gb", "gpu", "region"):
        yield from _enum(hardware, "hardware", name, ENUMS[name])
    for name, (low, high) in RANGES.items():
        value, bounds = hardware.get(name), f"{low} or more" if high is None else f"{low} to {high}"
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield Problem(f"hardware.{name}", "invalid_type", f"expected a number, {bounds}")
        elif value < low or (high is not None and value > high):
            yield Problem(f"hardware.{name}", "out_of_range", f"expected {bounds}")
    yield from _text(hardware, "hardware", "resolution", RESOLUTION.fullmatch, "WIDTHxHEIGHTxDEPTH")
    if not isinstance(hardware.get("audio", False), bool):
        yield Problem("hardware.audio", "invalid_type", "expected true or false")


def _secrets(document: dict[str, Any]) -> Iterator[Problem]:
    for path, secret in _objects(document.get("secrets"), "secrets"):
        if isinstance(secret, Problem):
            yield secret
            continue
        yield from _needed(secret, path, "name", SECRET_NAME.fullmatch, "lowercase with - and _")
        if not isinstance(secret.get("optional", False), bool):
            yield Problem(f"{path}.optional", "invalid_type", "expected true or false")


def _objects(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any] | Problem]]:
    # The objects of a list with their paths; a Problem in the place of what is none.
    if value is None:
        return
    if not isinstance(value, list):
        yield path, Problem(path, "invalid_type", "expected a list of objects")
        return
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        yield where, item if isinstance(item, dict) else Problem(where, "invalid_type", "expected an object")


def _env(document: dict[str, Any]) -> Iterator[Problem]:
    for key, value in document.get("env", {}).items():
        if not UPPER_SNAKE.fullmatch(key):
            yield Problem(f"env.{key}", "invalid_format", "expected a name in UPPER_SNAKE_CASE")
        secret = isinstance(value, dict) and set(value) == {"secret"} and isinstance(value["secret"], str)
        if not (isinstance(value, str) or secret):
            yield Problem(f"env.{key}", "invalid_type", "expected text or {secret: NAME}")


def _build(document: dict[str, Any]) -> Iterator[Problem]:
    build = document.get("build", {})
    for name in ("apt", "pip", "npm", "run"):
        items = build.get(name)
        if items is None:
            continue
        if not isinstance(items, list):
            yield Problem(f"build.{name}", "invalid_type", "expected a list of texts")
            continue
        for index, item in enumerate(items):
            if not isinstance(item, str):
                yield Problem(f"build.{name}[{index}]", "invalid_type", "expected text")
        if name == "run" and len(items) > MOST_COMMANDS:
            yield Problem("build.run", "out_of_range", f"expected at most {MOST_COMMANDS} commands")


def _apps(document: dict[str, Any]) -> Iterator[Problem]:
    for path, app in _objects(document.get("apps"), "apps"):
        if isinstance(app, Problem):
            yield app
            continue
        yield from _needed(app, path, "name", bool, "a name")
        yield from _needed(app, path, "run", bool, "a command")
        yield from _enum(app, path, "restart", ENUMS["restart"])
        yield from _text(app, path, "on_fail", ON_FAIL.fullmatch, "restart_service:NAME, restart_vm, alert or none")
        if isinstance(app.get("health"), dict):
            yield from _enum(app["health"], f"{path}.health", "type", ENUMS["health"])
        yield from _ports(app, path)


def _ports(app: dict[str, Any], path: str) -> Iterator[Problem]:
    for where, port in _objects(app.get("ports"), f"{path}.ports"):
        if isinstance(port, Problem):
            yield port
            continue
        internal = port.get("internal")
        if isinstance(internal, bool) or not isinstance(internal, int):
            yield Problem(f"{where}.internal", "required" if internal is None else "invalid_type", "expected a port")
        elif not 1 <= internal <= 65535 or internal in TAKEN_PORTS:
            yield Problem(f"{where}.internal", "out_of_range", "expected 1 to 65535 without 5900, 5999, 6080 and 8080")
        yield from _enum(port, where, "protocol", ENUMS["protocol"])


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
