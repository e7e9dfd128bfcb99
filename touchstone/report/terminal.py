"""Terminal output for any width: lines wrap between words, wide tables become lists. Pipes get unwrapped lines."""

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

# A narrower terminal gets a list instead of a table.
TABLE_FROM_COLUMNS = 76

_LABELLED = 3  # lines with this indentation may begin with a label, below which they go on
_LABEL = re.compile(r"\S[^:]*?  +|\s+")
# Maximum width of a text column in characters; columns of at most _SHORT characters are never narrowed.
_MOST, _SHORT = 44, 12


def say(console: Console, text: str, style: str = "") -> None:
    """Prints a sentence, or a label and its text. Words are never broken, so that paths can be copied."""
    if console.is_terminal:
        label = _LABEL.match(text)
        indent = label.end() if label else 0
        indent = indent if console.width - indent >= 24 else 2  # the room beside the label is too narrow
        wrapper = textwrap.TextWrapper(console.width, break_long_words=False, break_on_hyphens=False)
        wrapper.subsequent_indent = " " * indent
        text = wrapper.fill(text) if len(text) > console.width else text
    console.print(Text(text, style), soft_wrap=True)


def inert(text: str, most: int = 1_200) -> str:
    """Untrusted text on one line without control characters, cut to *most* characters."""
    return clipped(one_line(text), most)


def _paragraph(console: Console, text: Text | str, indent: int = 0, style: str = "") -> None:
    """Prints text wrapped to the width of the terminal; a plain string passes through `inert` first."""
    whole = Text(inert(text), style) if isinstance(text, str) else text
    label = re.match("(expected|actual|history|request|again) +", whole.plain) if indent == _LABELLED else None
    hanging = label.end() if label else 0
    for number, piece in enumerate(
        whole[hanging:].wrap(console, max(console.width - indent - hanging, 10), overflow="fold")
    ):
        piece.rstrip()
        console.print(Text.assemble(" " * indent, " " * hanging if number else whole[:hanging], piece))


def render(console: Console, template: str, tables: Mapping[str, Callable[[], None]], **values: Any) -> None:
    """Renders a template with rich markup and prints it line by line.

    Lines are wrapped to the width of the terminal and keep their indentation; empty lines are skipped. A line that
    begins with ``!`` is never wrapped, so that commands can be copied. ``.`` prints an empty line, ``@name`` the table
    *name* of *tables*. Strings among *values* pass through `inert` first.
    """
    from touchstone.report import html  # noqa: PLC0415 - most commands need no template

    jinja = html.environment().overlay(finalize=_finalize)
    jinja.filters["cell"] = lambda text: inert(text, 300)
    # Up to a number of lines beside a label, cut between words. A line may lose a word to the next one.
    room = max(console.width - 12, 20)
    jinja.filters["fit"] = lambda text, lines: _shortened(one_line(text), lines * room - 16 * (lines - 1))
    jinja.filters["latest"] = lambda steps, lines: _latest(steps, lines * room - 16 * (lines - 1))
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


def _latest(steps: Sequence[str], most: int) -> str:
    """The last of *steps* that fit."""
    for first in range(len(steps)):
        text = one_line(("… " if first else "") + ", ".join(steps[first:]))
        if len(text) <= most or first == len(steps) - 1:
            return text
    return ""


def _shortened(text: str, most: int) -> str:
    whole = textwrap.shorten(text, most, placeholder=" …")
    return text.partition(" ")[0] + " …" if whole == "…" else whole  # a long word stays whole


def _finalize(value: Any) -> Any:
    is_plain = isinstance(value, str) and not isinstance(value, Markup)
    return Markup(escape(inert(value))) if is_plain else value


def table(
    console: Console, titles: Sequence[str], rows: Iterable[Sequence[str | Text]], name: str = "", *, wide: bool = True
) -> None:
    """Prints a table; on a narrow terminal, a list with the title *name*. Titles of number columns begin with ``>``."""
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
    """Prints a table as a list: the first cell of each row, below it the other texts, then all numbers on one line."""
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
