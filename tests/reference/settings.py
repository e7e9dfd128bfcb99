"""The page about touchstone.toml and the environment: each key with what it may hold, its default and its meaning."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from tests.reference.marks import code, table
from touchstone.config import Flags, RunTable, TargetTable, Templates

# The environment variables that the package reads.
VARIABLES: Mapping[str, str] = {
    "TOUCHSTONE_TARGET": "Target of the settings file; `--target` and `--url` outweigh it.",
    "ORGO_BASE_URL": "Base URL, as `--url`, where no target is named.",
    "ORGO_API_KEY": "Key of an account on the Scale plan, unless the target names another variable or spells it out.",
    "ORGO_SECOND_API_KEY": "Key of another account on the Scale plan, likewise.",
    "ORGO_RESTRICTED_API_KEY": "Key of an account below the Scale plan, likewise.",
    "HOME": "Journals go to `.local/state/touchstone/journals` below it.",
    "XDG_STATE_HOME": "Journals go to `touchstone/journals` below it instead, where it is an absolute path.",
    "GITHUB_ACTIONS": "Where it is `true`, a run also reports to GitHub Actions.",
    "GITHUB_STEP_SUMMARY": "File that the summary of a run is added to.",
    "CI": "If set, no progress is drawn.",
}

BEGINNING = """
# Settings

Flags win over the environment, the environment over a settings file, and the file over defaults. The file is
`touchstone.toml` in the working directory, or the table `[tool.touchstone]` of its `pyproject.toml`, where a target is
`[tool.touchstone.targets.NAME]`. `--config FILE` names another one. An unknown key is an error. Paths start from the
folder of the file. Without `--target NAME` or `--url URL`, the target is the embedded twin, as with `--target twin`.
"""


# Title, place and keys of each table, and what the values of one are read by.
PARTS: tuple[tuple[str, str, Mapping[str, Any], Any], ...] = (
    ("The run", "", {k: v for k, v in RunTable.model_fields.items() if k != "targets"}, RunTable),
    (
        "A target",
        "[targets.NAME]",
        {k: v for k, v in TargetTable.model_fields.items() if k != "templates"},
        TargetTable,
    ),
    ("Templates of a target", "[targets.NAME.templates]", Templates.__pydantic_fields__, Templates),
)


def page() -> str:
    """The page."""
    parts = [BEGINNING.strip()]
    for title, place, keys, form in PARTS:
        where = f"In the table `{place}`:" if place else "At the top of the file:"
        rows = [_row(name, key, expected(form, name)) for name, key in keys.items()]
        parts += [f"## {title}", where, table(("key", "holds", "default", "flag", "is"), rows)]
    rows = [(code(name), text) for name, text in VARIABLES.items()]
    parts += ["## Environment", table(("variable", "is"), rows)]
    return "\n\n".join(parts)


def _row(name: str, key: Any, holds: str) -> tuple[str, str, str, str, str]:
    flag = f"`--{name.replace('_', '-')}`" if name in {field.name for field in dataclasses.fields(Flags)} else ""
    return code(name), holds, _default(key.default), flag, str(key.description)


def expected(form: Any, name: str) -> str:
    """What a setting may hold, as the message about one that does not fit says it."""
    try:
        TypeAdapter(form).validate_python({name: object()})
    except ValidationError as error:
        (problem,) = (one for one in error.errors() if one["loc"] == (name,))
        return str(problem["ctx"]["error"].expected) if "ctx" in problem else "a table of variables by header"
    raise AssertionError(name)


def _default(value: object) -> str:
    if value in (None, (), {}, PydanticUndefined):
        return ""
    return code(str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value)
