"""
The view as one self-contained page: no network, no script needed to read it, nothing of the target taken as markup.
"""

import base64
import hashlib
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from touchstone.report.pretty import span
from touchstone.report.view import View, check_words
from touchstone.report.visible import clipped, visible

MAX_FINDINGS = 60  # told in full; the others in short
_ASSETS = Path(__file__).parent / "assets"

SYMBOLS = {"broken": "✕", "could-not-run": "!", "indeterminate": "?", "not-applicable": "–", "upheld": "✓"}
_HEADLINES = {
    0: ("upheld", "No broken promise found"),
    1: ("broken", "Does not conform"),
    130: ("could-not-run", "Interrupted"),
}


def render(view: View) -> str:
    """
    The report as an HTML page.
    """
    script = _asset("report.js")
    tone, headline = _HEADLINES.get(view.exit_code, ("could-not-run", "Could not be judged"))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            view=view,
            run=view.header,
            tone=tone,
            headline=headline,
            findings=view.findings[:MAX_FINDINGS],
            further=view.findings[MAX_FINDINGS:],
            numbers=_numbers(view),
            symbols=SYMBOLS,
            style=Markup(_asset("report.css")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
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
        span=span, clip=clipped, checkwords=check_words, content=_content, words=_words, percent=_percent, when=_when
    )
    return environment


def _finalize(value: Any) -> Any:
    """
    Makes hidden characters visible in every text that the page shows; the escaping of markup comes after it.
    """
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _numbers(view: View) -> dict[str, int]:
    """
    By id of a claim, the number of the first finding about it that is told in full.
    """
    numbers: dict[str, int] = {}
    for number, item in enumerate(view.findings[:MAX_FINDINGS], start=1):
        numbers.setdefault(item.claim.id, number)
    return numbers


def _content(text: str) -> Markup:
    """
    The text as the content of an element. Quotes stay as they are there, which halves the size of a page full of JSON.
    """
    return Markup(escape(visible(text), quote=False))


def _words(verdict: str) -> str:
    return verdict.replace("-", " ").replace("_", " ")


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _when(iso: str) -> str:
    moment = iso.replace("T", " ").removesuffix("Z").removesuffix("+00:00").partition(".")[0]
    return f"{moment} UTC" if iso else "unknown"


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
