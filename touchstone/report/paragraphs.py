"""Words on a terminal: paragraphs that keep to its width, and lines that are never broken."""

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from touchstone.facts.visible import clipped, one_line
from touchstone.loadgen.metrics import Kind

_MAX_CHARS = 1_200

# How what became of a request is shown, live and in the end.
KIND_STYLES: Mapping[Kind, str] = {
    "served": "",
    "declined": "",
    "refused": "yellow",
    "error": "bold red",
    "cut": "yellow",
    "unsent": "yellow",
}


def paragraph(console: Console, text: Text | str, indent: int = 0, style: str = "") -> None:
    """Writes words, wrapped to the width of the terminal."""
    whole = Text(told(text), style) if isinstance(text, str) else text
    for piece in whole.wrap(console, max(console.width - indent, 10), overflow="fold"):
        piece.rstrip()
        console.print(Text.assemble(" " * indent, piece))


def told(text: str) -> str:
    """A text that somebody else may have put anything into, as a terminal may show it."""
    return clipped(one_line(text), _MAX_CHARS)
