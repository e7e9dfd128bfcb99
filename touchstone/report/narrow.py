"""
What fits a terminal of any width: lines that break between words, tables that become lists. A pipe gets whole lines.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

# Below, columns of text would be too narrow to read.
TABLE_FROM_COLUMNS = 76

_LABEL = re.compile(r"\S[^:]*?  +|\s+")
# What is beside a label is at least this wide, or begins below it.
_LEAST = 24


def fitted(text: str, console: Console) -> str:
    """
    The text as *console* shows it: on a terminal broken between words, each line after the first under its beginning.

    No word is broken, however long: a path or a command has to survive being copied.
    """
    if not console.is_terminal or len(text) <= console.width:
        return text
    label = _LABEL.match(text)
    indent = label.end() if label else 0
    indent = indent if console.width - indent >= _LEAST else 2
    return "\n".join(
        textwrap.wrap(
            text, console.width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        )
    )


def say(console: Console, text: str, style: str = "") -> None:
    """Prints one sentence, or a label and what belongs to it."""
    console.print(Text(fitted(text, console), style), soft_wrap=True)


def listed(console: Console, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows as a list: the first cell of each, and below it the others that are not empty, by their titles."""
    for name, *cells in rows:
        say(console, name, "bold")
        for title, cell in zip(titles, cells, strict=True):
            if cell:
                say(console, f"  {title + ': ' if title else ''}{cell}")
