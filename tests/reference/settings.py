"""The page about touchstone.toml and the environment: each key with what it may hold, its default and its meaning."""

import ast
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.reference.marks import anchor, code, table
from touchstone import config_file
from touchstone.cli import settings_help
from touchstone.cli.settings_help import Described
from touchstone.config import VARIABLES, Flags
from touchstone.config_kinds import Kind, Unfit

SOURCES = Path(config_file.__file__).resolve().parent

BEGINNING = """
# Settings

A run is set up by flags, the environment, a settings file and defaults; what comes first in this list wins. The file
is `touchstone.toml` in the working directory, or the table `[tool.touchstone]` of its `pyproject.toml`, where a target
is `[tool.touchstone.targets.NAME]`. `--config FILE` names another one. An unknown key is an error that names the
nearest known one. Paths start from the folder of the file. A target is chosen by `--target NAME` or `--url URL`;
without one it is the embedded twin, which `--target twin` names.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One table of the file.

    Attributes:
        keys: What each key may hold.
        described: What each of them means, and what holds without it.
    """

    title: str
    table: str
    keys: Mapping[str, Kind[Any]]
    described: tuple[Described, ...]


PARTS = (
    Part("The run", "", config_file.RUN_KEYS, settings_help.run_keys()),
    Part("A target", "[targets.NAME]", config_file.TARGET_KEYS, settings_help.target_keys()),
    Part(
        "Templates of a target",
        "[targets.NAME.templates]",
        config_file.TEMPLATE_KEYS,
        settings_help.template_keys(),
    ),
)


def page() -> str:
    """The page."""
    parts = [BEGINNING.strip()]
    for part in PARTS:
        place = f"In the table `{part.table}`:" if part.table else "At the top of the file:"
        rows = [_row(part, name, kind) for name, kind in part.keys.items()]
        parts += [f"## {part.title}", place, table(("key", "holds", "default", "flag", "is"), rows)]
    rows = [(code(name), VARIABLES.get(name, "")) for name in variables()]
    parts += ["## Environment", table(("variable", "is"), rows)]
    return "\n\n".join(parts)


def variables() -> list[str]:
    """The variables that the package looks up by name, in the order of the alphabet."""
    found = {name for path in SOURCES.rglob("*.py") for name in _looked_up(ast.parse(path.read_text("utf-8")))}
    return sorted(found | {f"ORGO_{name.upper()}" for name in _keys()})


def said(part: Part, name: str) -> str:
    """What a key is; empty where the code does not say it."""
    return _described(part, name).meaning


def _row(part: Part, name: str, kind: Kind[Any]) -> tuple[str, str, str, str, str]:
    flag = f"`--{name.replace('_', '-')}`" if name in {field.name for field in dataclasses.fields(Flags)} else ""
    return anchor(name) + code(name), expected(kind), _default(part, name), flag, said(part, name)


def expected(kind: Kind[Any]) -> str:
    """What a setting may hold, as the message about one that does not fit says it."""
    try:
        kind(object())
    except Unfit as error:
        return error.expected
    return ""


def _default(part: Part, name: str) -> str:
    value = _described(part, name).default
    if value in (None, ()):
        return ""
    return code(str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value)


def _described(part: Part, name: str) -> Described:
    return next(one for one in part.described if one.name == name)


def _keys() -> list[str]:
    return [name.removesuffix("_env") for name in config_file.TARGET_KEYS if name.endswith("_env")]


def _looked_up(tree: ast.Module) -> Iterator[str]:
    """The names that stand in `environ["NAME"]` and `environ.get("NAME")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_environment(node.value):
            names = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            names = node.args[:1] if _is_environment(node.func.value) else []
        else:
            continue
        yield from (str(name.value) for name in names if isinstance(name, ast.Constant))


def _is_environment(node: ast.expr) -> bool:
    return ast.unparse(node) in ("environ", "os.environ")
