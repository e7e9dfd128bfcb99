"""The page of a run, and what every page has in common: self-contained, nothing of a target as markup."""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from touchstone.facts.key_sources import KeySources, is_variable
from touchstone.facts.wording import brief, clipped, describe_chance, figure, percentage, plural, visible
from touchstone.loadgen.metrics import kind_of
from touchstone.report import load_charts, probe_charts
from touchstone.report.probe_view import ProbeView
from touchstone.report.view import View, describe_check

MAX_FINDINGS = 60  # in full; the others in short

SYMBOLS = {"broken": "✕", "could-not-run": "!", "indeterminate": "?", "not-applicable": "–", "upheld": "✓"}
_HEADLINES = {
    0: ("upheld", "No broken promise found"),
    1: ("broken", "Does not conform"),
    130: ("could-not-run", "Interrupted"),
}
_ASSETS = Path(__file__).parent / "assets"


def render(view: View) -> str:
    """The report of a run as an HTML page."""
    tone, headline = headline_of(view)
    numbers: dict[str, int] = {}  # by claim, the number of the first finding about it that is told in full
    for number, item in enumerate(view.findings[:MAX_FINDINGS], start=1):
        numbers.setdefault(item.claim.id, number)
    unknown = {item.claim.id: item.claim for item in view.verdict.claims if item.verdict == "broken" and not item.known}
    styles = ["report.css", *(["load.css"] if view.load or view.probe else []), *(["probe.css"] if view.probe else [])]
    return page(
        "report.html.j2",
        styles,
        ("report.js",),
        view=view,
        pictures=load_charts.pictures(view.load) if view.load else None,
        drawn=probe_charts.pictures(view.probe) if view.probe else None,
        kind_of=kind_of,
        key_sources=KeySources.of,
        run=view.header,
        tone=tone,
        headline=headline,
        findings=view.findings[:MAX_FINDINGS],
        further=view.findings[MAX_FINDINGS:],
        numbers=numbers,
        named=[unknown[claim] for claim in numbers if claim in unknown][:3],
        unknown=len(unknown),
        symbols=SYMBOLS,
    )


def headline_of(view: View) -> tuple[str, str]:
    """The tone and the headline of a run."""
    is_broken = any(
        item.verdict == "broken" and not item.known and (view.header.strict or item.claim.level == "must")
        for item in view.verdict.claims
    )
    if view.exit_code == 1 and view.healed and not is_broken:
        return "broken", "Holds again"
    found = _probe_headline(view.probe, view.exit_code) if view.probe else None
    return found or _HEADLINES.get(view.exit_code, ("could-not-run", "Could not be judged"))


def _probe_headline(probe: ProbeView, exit_code: int) -> tuple[str, str] | None:
    """None where something other than the probe decided how the run ends."""
    identity = probe.identity
    if probe.knee and identity.sure and exit_code == (0 if probe.knee.knee.is_known else 3):
        return ("upheld", "Knee of reads found") if not exit_code else ("indeterminate", "Knee of reads not told")
    limited = identity.tiers or identity.families or not identity.unlimited_to
    if identity.sure and not exit_code:
        return "upheld", "Limiter identified" if limited else "No limit met"
    if not identity.sure and exit_code == 3 and identity.why not in ("", "interrupted"):
        return "indeterminate", "Limiter not settled" if limited else "No limit met"
    return None


def page(template: str, styles: Iterable[str], scripts: Iterable[str], **values: Any) -> str:
    """A page from a template, with style sheets and scripts, all among the assets; no text in *values* is markup."""
    script = "".join(map(_asset, scripts))
    values["style"] = Markup("".join(map(_asset, styles)))
    values["script"] = Markup(script)
    values["script_hash"] = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment().get_template(template).render(values)


@cache
def environment() -> Environment:
    """What renders the templates among the assets."""
    jinja = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters.update(
        brief=brief,
        figure=figure,
        clip=clipped,
        coded=_coded,
        checkwords=describe_check,
        content=_content,
        plural=plural,
        words=lambda verdict: verdict.replace("-", " ").replace("_", " "),
        percent=lambda share: f"{figure(100 * share)}%",  # of CSS and SVG
        share=percentage,
        chance=describe_chance,
        when=_when,
        is_variable=is_variable,
    )
    return jinja


def _finalize(value: Any) -> Any:
    """Makes hidden characters visible in every text; the escaping of markup comes after it."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _coded(text: str) -> Markup:
    """A text with code in place of what stands between backticks."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(Markup.escape(visible(text)))))


def _content(text: str) -> Markup:
    """The text as the content of an element, quotes as they are, which halves the size of a page full of JSON."""
    return Markup(escape(visible(text), quote=False))


def _when(iso: str) -> str:
    moment = iso.replace("T", " ").removesuffix("Z").removesuffix("+00:00").partition(".")[0]
    return f"{moment} UTC" if iso else "unknown"


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
