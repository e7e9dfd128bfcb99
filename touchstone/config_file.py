"""The settings file: finds it, reads it, and refuses what it does not know.

It is ``touchstone.toml``, or the table ``[tool.touchstone]`` of ``pyproject.toml``, in the working directory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone.config_kinds import (
    Kind,
    checked,
    count,
    flag,
    folder,
    key,
    nearest,
    one_of,
    read_toml,
    refs,
    seconds,
    seed,
    text,
    up_to,
    url,
    variable,
)
from touchstone.contract.files import read_regular
from touchstone.errors import UsageError, one_line
from touchstone.target.bounds import BOUND_NAMES, LONGEST_HEAD_BYTES

EMBEDDED = "twin"
PROFILES = ("quick", "standard", "thorough")
PUBLISH = ("raw", "wrapped", "never")

RUN_KEYS: dict[str, Kind[Any]] = {
    "target": text,
    "report_dir": folder,
    "seed": seed,
    "strict": flag,
    "profile": one_of(*PROFILES),
    "claims": text,
    "max_seconds": seconds,
    "baseline": text,
}
TARGET_KEYS: dict[str, Kind[Any]] = {
    "url": url,
    "api_key": key,
    "api_key_env": variable,
    "second_api_key": key,
    "second_api_key_env": variable,
    "restricted_api_key": key,
    "restricted_api_key_env": variable,
    "build_timeout_s": seconds,
    "cancel_timeout_s": seconds,
    "patience_s": seconds,
    "request_timeout_s": seconds,
    "max_builds": count,
    "publish": one_of(*PUBLISH),
    **dict.fromkeys(BOUND_NAMES, count),
    "max_head_bytes": up_to(LONGEST_HEAD_BYTES),
}
TEMPLATE_KEYS: dict[str, Kind[Any]] = {"buildable": refs, "failing": refs, "restricted": refs}


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a settings file says, each value checked by itself.

    Attributes:
        name: How messages call the file; empty where there is none.
        folder: Where relative paths in it start.
        prefix: What stands before a table's name: ``tool.touchstone.`` in a pyproject.toml.
        run: Values of RUN_KEYS.
        targets: By name, values of TARGET_KEYS and under ``templates`` those of TEMPLATE_KEYS.
    """

    name: str = ""
    folder: Path = Path()
    prefix: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    def place(self, target: str) -> str:
        """Where the table of *target* stands, for messages."""
        return f"{self.name}: [{self.prefix}targets.{one_line(target)}]"


def find(config: Path | None, cwd: Path) -> SettingsFile:
    """The settings file that *config* names, or the one of the working directory, or an empty one.

    Raises:
        UsageError: the file cannot be read, is not TOML, or holds a key or value that does not fit.
    """
    if config is not None:
        return _read(cwd / config, str(config), required=True)
    for name in ("touchstone.toml", "pyproject.toml"):
        if (cwd / name).is_file():
            return _read(cwd / name, name, required=False)
    return SettingsFile()


def _read(path: Path, name: str, *, required: bool) -> SettingsFile:
    document = _toml(path, name)
    if path.name != "pyproject.toml":
        return _file(document, SettingsFile(name, path.parent))
    table = _table(f"{name}: [tool]", document.get("tool", {})).get("touchstone")
    if table is None and required:
        raise UsageError(f"{name}: no table [tool.touchstone]; add one, or name another file with --config")
    return _file({} if table is None else table, SettingsFile(name, path.parent, "tool.touchstone."))


def _toml(path: Path, name: str) -> dict[str, Any]:
    try:
        data = read_regular(path)
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}; check the path behind --config") from None
    return read_toml(data, name)


def _file(table: object, empty: SettingsFile) -> SettingsFile:
    place = f"{empty.name}: [{empty.prefix.rstrip('.')}]" if empty.prefix else f"{empty.name}:"
    content = _table(place, table)
    _no_target_table(empty, content.get("target"))
    targets = _table(empty.place("").replace(".]", "]"), content.pop("targets", {}))
    if EMBEDDED in targets:
        raise UsageError(f"{empty.place(EMBEDDED)}: {EMBEDDED} names the embedded server; choose another name")
    return SettingsFile(
        empty.name,
        empty.folder,
        empty.prefix,
        _values(place, content, RUN_KEYS, extra=("targets",)),
        {name: _target(empty.place(name), raw) for name, raw in targets.items()},
    )


def _no_target_table(file: SettingsFile, raw: object) -> None:
    """Refuses ``[target.NAME]``, where ``[targets.NAME]`` was meant."""
    if not isinstance(raw, dict):
        return
    name = next((one_line(inner) for inner, value in raw.items() if isinstance(value, dict)), "")
    found = f"{file.prefix}target{f'.{name}' if name else ''}"
    raise UsageError(f"{file.name}: [{found}]: no such table; did you mean [{file.prefix}targets.{name or 'NAME'}]?")


def _target(place: str, raw: object) -> dict[str, Any]:
    content = _table(place, raw)
    templates = content.pop("templates", {})
    values = _values(place, content, TARGET_KEYS, extra=("templates",))
    for name in ("api_key", "second_api_key", "restricted_api_key"):
        if {name, f"{name}_env"} <= values.keys():
            raise UsageError(f"{place} {name}: stands beside {name}_env; keep one of the two")
    if "url" not in values:
        raise UsageError(f'{place} url: is missing; add url = "https://…" to say where the target is')
    inner = f"{place} templates"
    values["templates"] = _values(f"{inner}:", _table(inner, templates), TEMPLATE_KEYS)
    return values


def _table(place: str, raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise UsageError(f"{place.rstrip(':')}: found {type(raw).__name__}; expected a table")
    return dict(raw)


def _values(
    place: str, raw: Mapping[str, Any], kinds: Mapping[str, Kind[Any]], extra: tuple[str, ...] = ()
) -> dict[str, Any]:
    for name in raw:
        if name not in kinds:
            raise UsageError(f"{place} {one_line(name)}: unknown key; {nearest(name, (*kinds, *extra))}")
    return {name: checked(f"{place} {name}", value, kinds[name]) for name, value in raw.items()}
