"""HTML report of a run, parts of all pages (self-contained, text of a target escaped), sentences of every report."""

import base64
import hashlib
import re
import shlex
from collections.abc import Iterable
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from touchstone.facts.key_sources import KeySources, is_variable
from touchstone.facts.wording import brief, clipped, describe_chance, figure, one_line, percentage, plural, visible, was
from touchstone.loadgen.metrics import kind_of
from touchstone.report.charts import load_pictures, probe_pictures
from touchstone.report.probe_view import ProbeView, describe_family
from touchstone.report.texts import TEXTS
from touchstone.report.view import FindingView, View

MAX_FINDINGS = 60  # findings shown in full; the others get one line each
SYMBOLS = {"broken": "✕", "could-not-run": "!", "indeterminate": "?", "not-applicable": "–", "upheld": "✓"}
_HEADLINES = {0: ("upheld", "Passed"), 1: ("broken", "Does not conform"), 130: ("could-not-run", "Interrupted")}
_ASSETS = Path(__file__).parent / "assets"


def render(view: View) -> str:
    """HTML page of a run."""
    tone, headline = headline_of(view)
    styles = ["report.css", *(["load.css"] if view.load or view.probe else []), *(["probe.css"] if view.probe else [])]
    return page(
        "report.html.j2",
        styles,
        ("report.js",),
        view=view,
        pictures=load_pictures(view.load) if view.load else None,
        drawn=probe_pictures(view.probe) if view.probe else None,
        kind_of=kind_of,
        key_sources=KeySources.of,
        tone=tone,
        headline=headline,
        findings=view.findings[:MAX_FINDINGS],
        further=view.findings[MAX_FINDINGS:],
    )


def headline_of(view: View) -> tuple[str, str]:
    """Tone and headline of a run; the tone is a verdict, whose colour and symbol the page uses."""
    is_broken = any(
        item.verdict == "broken" and not item.excuse and (view.header.strict or item.claim.level == "must")
        for item in view.verdict.claims
    )
    if view.exit_code == 1 and (view.healed or view.header.expired) and not is_broken:
        return "broken", "Baseline out of date"
    found = _probe_headline(view.probe, view.exit_code) if view.probe else None
    return found or _HEADLINES.get(view.exit_code, ("could-not-run", "Could not be judged"))


def _probe_headline(probe: ProbeView, exit_code: int) -> tuple[str, str] | None:
    """Tone and headline of a probe; None if the result of the probe does not explain the exit code."""
    identity = probe.identity
    if probe.knee and identity.sure and exit_code == (0 if probe.knee.knee.is_known else 3):
        return ("upheld", "Knee found") if not exit_code else ("indeterminate", "Knee not found")
    limited = identity.tiers or identity.families or not identity.unlimited_to
    if identity.sure and not exit_code:
        return "upheld", "Limiter identified" if limited else "No limit reached"
    if not identity.sure and exit_code == 3 and identity.why not in ("", "interrupted"):
        return "indeterminate", "Limiter not certain" if limited else "No limit reached"
    return None


def page(template: str, styles: Iterable[str], scripts: Iterable[str], **values: Any) -> str:
    """HTML page from a template, style sheets and scripts in assets/; strings in *values* are escaped."""
    script, style = ("".join((_ASSETS / name).read_text("utf-8") for name in names) for names in (scripts, styles))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    values |= {"style": Markup(style), "script": Markup(script), "script_hash": digest}
    return environment().get_template(template).render(values)


@cache
def environment() -> Environment:
    """Jinja environment of the templates in assets/."""
    jinja = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        # Makes hidden characters in a string visible; Jinja escapes the string afterwards. Other values stay unchanged.
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters.update(
        brief=brief,
        figure=figure,
        clip=clipped,
        coded=_coded,
        line=one_line,
        # Quotes are not escaped, which halves the size of a page full of JSON.
        content=lambda text: Markup(escape(visible(text), quote=False)),
        levels=partial(_coded, pattern=r"\b(must|should)(?= claim)"),
        family=describe_family,
        plural=plural,
        spaced=lambda verdict: verdict.replace("-", " ").replace("_", " "),
        percent=lambda share: f"{figure(100 * share)}%",  # for CSS and SVG
        share=percentage,
        chance=describe_chance,
        when=when,
        is_variable=is_variable,
        shell=lambda text: shlex.quote(visible(text)),
        was=was,
    )
    jinja.globals |= {"sentence": sentence, "symbols": SYMBOLS, "TEXTS": TEXTS}
    return jinja


def _coded(text: str, pattern: str = r"`([^`\n]+)`") -> Markup:
    """The text as HTML; each group of *pattern*, by default a part in backticks, becomes a `code` element."""
    return Markup(re.sub(pattern, r"<code>\1</code>", str(Markup.escape(visible(text)))))


def when(iso: str) -> str:
    """Date and time in UTC, without fractions of a second."""
    moment = iso.replace("T", " ").removesuffix("Z").removesuffix("+00:00").partition(".")[0]
    return f"{moment} UTC" if iso else "unknown"


def script(item: FindingView, view: View) -> str:
    """Shell script that repeats a finding."""
    template = environment().overlay(autoescape=False).get_template("finding.sh.j2")
    return template.render(script=item.script, claim=item.claim, finding=item.finding, run=view.header)


@cache
def _sentences(of: str) -> Template:
    return environment().overlay(autoescape=False).get_template(f"{of}.sentences.j2".removeprefix("."))


def sentence(name: str, *about: object, of: str = "") -> str:
    """Sentence from a macro in assets/sentences.j2, or of a probe (*of*); empty if it does not apply."""
    return " ".join(str(getattr(_sentences(of).module, name)(*about)).split())
