"""Markdown: tables, anchors as GitHub makes them, and words that must not be taken for marks."""

import re
from collections.abc import Iterable, Sequence


def cell(text: str) -> str:
    """A text as it stands in a table: on one line, bars escaped, and what reads like a tag shown as it is."""
    pieces = re.split(r"(``.+?``|`[^`]*`|<br>)", " ".join(text.split()).replace("|", r"\|"))
    # Every second piece is code or a mark of ours, in which nothing is a mark.
    return "".join(piece if number % 2 else plain(piece) for number, piece in enumerate(pieces))


def plain(text: str) -> str:
    """A text that holds no code, so that nothing in it is a mark of emphasis or a tag."""
    return re.sub(r"([*<])", r"\\\1", re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; columns in which nothing stands are left out."""
    lines = [[cell(text) for text in row] for row in rows]
    kept = [place for place in range(len(heads)) if any(line[place] for line in lines)]
    shown = [
        [heads[place] for place in kept],
        ["---"] * len(kept),
        *([line[place] for place in kept] for line in lines),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in shown)


def code(text: object) -> str:
    """A text as code; empty for nothing."""
    return f"`{text}`" if text not in ("", None) else ""


def codes(texts: Iterable[object]) -> str:
    """Texts as code, separated by commas."""
    return ", ".join(map(code, texts))


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    words = re.sub(r"`|<[^>]*>|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip())
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def paragraphs(text: str) -> str:
    """A docstring or a help text: each paragraph on one line, what is indented in it kept as code."""
    parts = re.split(r"\n\s*\n", text.replace("\b\n", "").strip("\n"))
    told = []
    for part in parts:
        lines = part.splitlines()
        if lines[1:] and all(line.strip().startswith("touchstone ") for line in lines[1:]):
            # A help text has examples so, each on a line.
            examples = "\n".join(line.strip() for line in lines[1:])
            told.append(f"{lines[0].strip()}\n\n```sh\n{examples}\n```")
        elif all(line.startswith("    ") for line in part.splitlines()):
            told.append("```\n" + "\n".join(line[4:] for line in part.splitlines()) + "\n```")
        else:
            told.append(" ".join(part.split()).replace("``", "`"))
    return "\n\n".join(told)
