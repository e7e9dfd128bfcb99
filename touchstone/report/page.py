"""
What every page has in common: self-contained, no network, no script needed to read it, nothing of a target as markup.
"""

import base64
import hashlib
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from touchstone.facts.key_sources import is_variable
from touchstone.facts.wording import brief, chance_words, clipped, figure, percentage, plural, visible
from touchstone.report.pretty import span
from touchstone.report.view import check_words

_ASSETS = Path(__file__).parent / "assets"


def render(template: str, styles: tuple[str, ...], scripts: tuple[str, ...], **values: Any) -> str:
    """A page from its template, with its style sheets and scripts inside.

    Args:
        template: File name among the assets, as are *styles* and *scripts*.
        values: What the template names; texts among them are shown as they are and never taken for markup.
    """
    script = "".join(map(_asset, scripts))
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup("".join(map(_asset, styles))),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            **values,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        span=span,
        brief=brief,
        figure=figure,
        clip=clipped,
        coded=_coded,
        checkwords=check_words,
        content=_content,
        plural=plural,
        words=_words,
        percent=_percent,  # of CSS and SVG
        share=percentage,
        chance=chance_words,
        when=_when,
        is_variable=is_variable,
    )
    return environment


def _finalize(value: Any) -> Any:
    """Makes hidden characters visible in every text that the page shows; the escaping of markup comes after it."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _coded(text: str) -> Markup:
    """A text with code in place of what stands between backticks."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(Markup.escape(visible(text)))))


def _content(text: str) -> Markup:
    """
    The text as the content of an element. Quotes stay as they are there, which halves the size of a page full of JSON.
    """
    return Markup(escape(visible(text), quote=False))


def _words(verdict: str) -> str:
    return verdict.replace("-", " ").replace("_", " ")


def _percent(share: float) -> str:
    return f"{figure(100 * share)}%"


def _when(iso: str) -> str:
    moment = iso.replace("T", " ").removesuffix("Z").removesuffix("+00:00").partition(".")[0]
    return f"{moment} UTC" if iso else "unknown"


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
