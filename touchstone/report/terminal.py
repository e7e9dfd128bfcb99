"""Text on a terminal of any width: lines break between words, tables become lists. A pipe gets whole lines."""

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from touchstone.facts.wording import clipped, one_line
from touchstone.loadgen.metrics import Kind

# Below, columns of text would be too narrow to read.
TABLE_FROM_COLUMNS = 76

_LABEL = re.compile(r"\S[^:]*?  +|\s+")
# What is beside a label is at least this wide, or begins below it.
_LEAST = 24
# A column of text asks for no more than this, and is not narrowed where it needs no more than that.
_MOST, _SHORT = 44, 12

# How what became of a request is shown, live and in the end.
KIND_STYLES: Mapping[Kind, str] = {
    "served": "",
    "declined": "",
    "refused": "yellow",
    "error": "bold red",
    "cut": "yellow",
    "unsent": "yellow",
}


def fitted(text: str, console: Console) -> str:
    """The text as *console* shows it: on a terminal broken between words, later lines under the first one's beginning.

    No word is broken, however long: a path or a command has to survive being copied.
    """
    if not console.is_terminal or len(text) <= console.width:
        return text
    label = _LABEL.match(text)
    indent = label.end() if label else 0
    indent = indent if console.width - indent >= _LEAST else 2
    lines = textwrap.wrap(
        text, console.width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def say(console: Console, text: str, style: str = "") -> None:
    """Prints one sentence, or a label and what belongs to it."""
    console.print(Text(fitted(text, console), style), soft_wrap=True)


def inert(text: str, most: int = 1_200) -> str:
    """A text of somebody else on one line that gives a terminal no command, cut to *most* characters."""
    return clipped(one_line(text), most)


def paragraph(console: Console, text: Text | str, indent: int = 0, style: str = "") -> None:
    """Prints text wrapped to the width of the terminal; a plain one is made inert."""
    whole = Text(inert(text), style) if isinstance(text, str) else text
    for piece in whole.wrap(console, max(console.width - indent, 10), overflow="fold"):
        piece.rstrip()
        console.print(Text.assemble(" " * indent, piece))


def render(console: Console, template: str, tables: Mapping[str, Callable[[], None]], **values: Any) -> None:
    """Prints a template of rich's markup, line by line.

    A line is wrapped to the width of the terminal, behind its own blanks; an empty one is left out. One that begins
    with ``!`` is never broken, as a command has to survive being copied, ``.`` is an empty line, and ``@name`` a table.

    Args:
        template: File name among the assets.
        tables: By name, what prints a table.
        values: What the template names; texts among them give no command to a terminal, and are no markup.
    """
    from touchstone.report import html  # noqa: PLC0415 - most of what prints needs no template

    jinja = html.environment().overlay(finalize=_finalize)
    jinja.filters["cell"] = lambda text: inert(text, 300)
    jinja.filters["whole"] = lambda text: Markup(escape(one_line(text)))
    for line in jinja.get_template(template).render(values).splitlines():
        text = line.strip(" ")
        if text == ".":
            console.print()
        elif text.startswith("@"):
            tables[text[1:]]()
        elif text.startswith("!"):
            console.print(Text.from_markup(text[1:], emoji=False), soft_wrap=True)
        elif text:
            paragraph(console, Text.from_markup(text, emoji=False), len(line) - len(line.lstrip(" ")))


def _finalize(value: Any) -> Any:
    is_plain = isinstance(value, str) and not isinstance(value, Markup)
    return Markup(escape(inert(value))) if is_plain else value


def table(
    console: Console, titles: Sequence[str], rows: Iterable[Sequence[str | Text]], name: str = "", *, wide: bool = True
) -> None:
    """Prints rows as a table, on a narrow terminal as a list.

    Args:
        titles: Of the columns; those of numbers begin with ``>``.
        name: What stands above a list, which has no titles of columns.
        wide: Whether the columns of text after the first take all the width that is left.
    """
    lines = [[Text(inert(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows]
    if console.width < TABLE_FROM_COLUMNS:
        _print_list(console, titles, lines, name)
        return
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=wide, padding=(0, 1, 0, 0))
    for number, title in enumerate(titles):
        if title[:1] == ">":
            grid.add_column(title[1:], justify="right")
        else:
            cells = [title, *(line for row in lines for line in row[number].plain.split("\n"))]
            width = min(max(map(len, cells)), _MOST)
            is_flexible = number > 0 and width > _SHORT
            ratio = width if wide and is_flexible else None
            grid.add_column(title, overflow="fold", min_width=None if is_flexible else width, ratio=ratio)
    for row in lines:
        grid.add_row(*row)
    console.print(grid)


def _print_list(console: Console, titles: Sequence[str], lines: list[list[Text]], name: str) -> None:
    """Prints the first cell of each row, below it the texts that are not empty, and then the numbers on one line."""
    if name:
        paragraph(console, name, style="bold")
    for first, *cells in lines:
        say(console, first.plain, "bold")
        pairs = [pair for pair in zip(titles[1:], cells, strict=True) if pair[1]]
        for title, cell in pairs:
            if title[:1] != ">":
                paragraph(console, cell, 2)
        numbers = ", ".join(f"{title[1:]} {cell}".replace("\n", " ") for title, cell in pairs if title[:1] == ">")
        if numbers:
            paragraph(console, numbers, 2, "dim")
