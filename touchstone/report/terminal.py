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

# Below, columns of text would be too narrow to read.
TABLE_FROM_COLUMNS = 76

_LABEL = re.compile(r"\S[^:]*?  +|\s+")
# A column of text asks for no more than this, and is not narrowed where it needs no more than that.
_MOST, _SHORT = 44, 12


def say(console: Console, text: str, style: str = "") -> None:
    """Prints a sentence, or a label and its text; no word is broken, as a path has to survive being copied."""
    if console.is_terminal:
        label = _LABEL.match(text)
        indent = label.end() if label else 0
        indent = indent if console.width - indent >= 24 else 2  # too narrow beside the label: below it
        wrapper = textwrap.TextWrapper(console.width, break_long_words=False, break_on_hyphens=False)
        wrapper.subsequent_indent = " " * indent
        text = wrapper.fill(text) if len(text) > console.width else text
    console.print(Text(text, style), soft_wrap=True)


def inert(text: str, most: int = 1_200) -> str:
    """A foreign text on one line that gives a terminal no command, cut to *most* characters."""
    return clipped(one_line(text), most)


def _paragraph(console: Console, text: Text | str, indent: int = 0, style: str = "") -> None:
    """Prints text wrapped to the width of the terminal; a plain one is made inert."""
    whole = Text(inert(text), style) if isinstance(text, str) else text
    for piece in whole.wrap(console, max(console.width - indent, 10), overflow="fold"):
        piece.rstrip()
        console.print(Text.assemble(" " * indent, piece))


def render(console: Console, template: str, tables: Mapping[str, Callable[[], None]], **values: Any) -> None:
    """Prints a template of rich's markup, line by line.

    A line is wrapped to the width of the terminal, behind its own blanks; an empty one is left out. One that begins
    with ``!`` is never broken, as a command has to survive being copied, ``.`` is an empty line, and ``@name`` a table.
    Texts among *values* give no command to a terminal, and are no markup.
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
            _paragraph(console, Text.from_markup(text, emoji=False), len(line) - len(line.lstrip(" ")))


def _finalize(value: Any) -> Any:
    is_plain = isinstance(value, str) and not isinstance(value, Markup)
    return Markup(escape(inert(value))) if is_plain else value


def table(
    console: Console, titles: Sequence[str], rows: Iterable[Sequence[str | Text]], name: str = "", *, wide: bool = True
) -> None:
    """Prints rows as a table, on a narrow terminal as a list under *name*; titles of numbers begin with ``>``."""
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
        _paragraph(console, name, style="bold")
    for first, *cells in lines:
        say(console, first.plain, "bold")
        pairs = [pair for pair in zip(titles[1:], cells, strict=True) if pair[1]]
        for title, cell in pairs:
            if title[:1] != ">":
                _paragraph(console, cell, 2)
        numbers = ", ".join(f"{title[1:]} {cell}".replace("\n", " ") for title, cell in pairs if title[:1] == ">")
        if numbers:
            _paragraph(console, numbers, 2, "dim")
