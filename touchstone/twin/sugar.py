"""The short way to write a document, turned into the canonical one."""

import re
from typing import Any

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
