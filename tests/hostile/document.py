"""What docs/hostile.md has of the table and the bounds: ``python -m tests.hostile.document`` renews it."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from tests.hostile.catalogue import MISBEHAVIOURS
from tests.hostile.table import ROWS, Expected, Row
from touchstone.config import TargetSettings, TargetTable
from touchstone.target.bounds import DEFAULT_BOUNDS, Bounds

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hostile.md"
_TIMES = ("request_timeout_s", "build_timeout_s", "cancel_timeout_s", "patience_s")


def renewed(text: str) -> str:
    """The document with its made parts as they should be."""
    for name, made in _PARTS.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)",
            lambda match, made=made: match[1] + made() + match[2],  # type: ignore[misc]  # a lambda has no types
            text,
            flags=re.DOTALL,
        )
    return text


def _servers() -> str:
    lines = ["| server | what it does | what a run says |", "| --- | --- | --- |"]
    lines += [f"| `{row.name}` | {MISBEHAVIOURS[row.name].says} | {_said(row)} |" for row in ROWS]
    return "\n".join(lines) + "\n"


def _said(row: Row) -> str:
    by_words: dict[str, list[str]] = {}
    for command, expected in row.cells.items():
        by_words.setdefault(_words(expected), []).append(command)
    if len(by_words) == 1:
        return next(iter(by_words))
    return "; ".join(f"{', '.join(commands)}: {words}" for words, commands in by_words.items())


def _words(expected: Expected) -> str:
    told = ", ".join(f"`{word}`" for word in expected.says)
    return f"{expected.code}" + (f" {told}" if told else "")


def _bounds() -> str:
    lines = ["| setting | default | bounds |", "| --- | --- | --- |"]
    described = {name: setting.description or "" for name, setting in TargetTable.model_fields.items()}
    lines += [
        f"| `{each.name}` | {getattr(DEFAULT_BOUNDS, each.name):,} | {described[each.name]} |"
        for each in fields(Bounds)
    ]
    lines += [f"| `{name}` | {getattr(TargetSettings(), name):g} | {described[name]} |" for name in _TIMES]
    return "\n".join(lines) + "\n"


_PARTS: dict[str, Callable[[], str]] = {"servers": _servers, "bounds": _bounds}

if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text("utf-8")), "utf-8")
