"""The page of a run, and what every page has in common: self-contained, nothing of a target as markup."""

import base64
import hashlib
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from touchstone.facts.events import LedgerClaim
from touchstone.facts.key_sources import is_variable
from touchstone.facts.wording import brief, chance_words, clipped, figure, percentage, plural, visible
from touchstone.loadgen.metrics import kind_of
from touchstone.report.pretty import span
from touchstone.report.probe_view import ProbeView
from touchstone.report.view import View, describe_check
from touchstone.rules.verdict import ClaimVerdict

MAX_FINDINGS = 60  # told in full; the others in short
MAX_NAMED = 3  # broken claims that are told before anything else

SYMBOLS = {"broken": "✕", "could-not-run": "!", "indeterminate": "?", "not-applicable": "–", "upheld": "✓"}
_HEADLINES = {
    0: ("upheld", "No broken promise found"),
    1: ("broken", "Does not conform"),
    130: ("could-not-run", "Interrupted"),
}
_ASSETS = Path(__file__).parent / "assets"


def render(view: View) -> str:
    """The report of a run as an HTML page: what it tells first, what in full and what in short."""
    tone, headline = headline_of(view)
    numbers: dict[str, int] = {}  # by claim, the number of the first finding about it that is told in full
    for number, item in enumerate(view.findings[:MAX_FINDINGS], start=1):
        numbers.setdefault(item.claim.id, number)
    charted = ("load.css",) if view.load or view.probe else ()
    return page(
        "report.html.j2",
        ("report.css", *charted, *(("probe.css",) if view.probe else ())),
        ("report.js",),
        view=view,
        pictures=_load_pictures(view),
        drawn=_probe_pictures(view),
        kind_of=kind_of,
        run=view.header,
        tone=tone,
        headline=headline,
        findings=view.findings[:MAX_FINDINGS],
        further=view.findings[MAX_FINDINGS:],
        numbers=numbers,
        named=_named(view, numbers)[:MAX_NAMED],
        unknown=sum(item.verdict == "broken" and not item.known for item in view.verdict.claims),
        symbols=SYMBOLS,
    )


def headline_of(view: View) -> tuple[str, str]:
    """The verdict on a run, or what it has in the place of one, and its headline."""
    if view.exit_code == 1 and view.healed and not any(_counts(item, view) for item in view.verdict.claims):
        return "broken", "Holds again"
    found = _probe_headline(view.probe, view.exit_code) if view.probe else None
    return found or _HEADLINES.get(view.exit_code, ("could-not-run", "Could not be judged"))


def _counts(item: ClaimVerdict, view: View) -> bool:
    """Whether a claim is broken in a way that fails the run."""
    return item.verdict == "broken" and not item.known and (view.header.strict or item.claim.level == "must")


def _probe_headline(probe: ProbeView, exit_code: int) -> tuple[str, str] | None:
    """That of a probe which came to its end; None where something else decided how the run ends."""
    identity = probe.identity
    if probe.knee and identity.sure and exit_code == (0 if probe.knee.knee.is_known else 3):
        return ("upheld", "Knee of reads found") if not exit_code else ("indeterminate", "Knee of reads not told")
    limited = identity.tiers or identity.families or not identity.unlimited_to
    if identity.sure and not exit_code:
        return "upheld", "Limiter identified" if limited else "No limit met"
    if not identity.sure and exit_code == 3 and identity.why not in ("", "interrupted"):
        return "indeterminate", "Limiter not settled" if limited else "No limit met"
    return None


def _probe_pictures(view: View) -> Any:
    """The pictures of a probe; None where the run was none."""
    if view.probe is None:
        return None
    from touchstone.report.probe_charts import pictures  # noqa: PLC0415 - no other report needs it

    return pictures(view.probe)


def _load_pictures(view: View) -> Any:
    """The pictures of a load; None where the run was none."""
    if view.load is None:
        return None
    from touchstone.report.load_charts import pictures  # noqa: PLC0415 - with numpy, which no other report needs

    return pictures(view.load)


def _named(view: View, numbers: dict[str, int]) -> list[LedgerClaim]:
    """The broken claims that have a finding told in full, in the order of those."""
    broken = {item.claim.id: item.claim for item in view.verdict.claims if item.verdict == "broken" and not item.known}
    return [broken[claim] for claim in numbers if claim in broken]


def page(template: str, styles: tuple[str, ...], scripts: tuple[str, ...], **values: Any) -> str:
    """A page from its template, with its style sheets and scripts inside.

    Args:
        template: File name among the assets, as are *styles* and *scripts*.
        values: What the template names; texts among them are shown as they are and never taken for markup.
    """
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
        span=span,
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
        chance=chance_words,
        when=_when,
        is_variable=is_variable,
    )
    return jinja


def _finalize(value: Any) -> Any:
    """Makes hidden characters visible in every text that the page shows; the escaping of markup comes after it."""
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
