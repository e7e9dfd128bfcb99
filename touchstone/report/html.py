"""The view as one self-contained page: what it tells first, what in full and what in short."""

from typing import Any

from touchstone.facts.events import LedgerClaim
from touchstone.loadgen.metrics import kind_of
from touchstone.report import page
from touchstone.report.probe_view import ProbeView
from touchstone.report.view import View
from touchstone.rules.verdict import ClaimVerdict

MAX_FINDINGS = 60  # told in full; the others in short
MAX_NAMED = 3  # broken claims that are told before anything else

SYMBOLS = {"broken": "✕", "could-not-run": "!", "indeterminate": "?", "not-applicable": "–", "upheld": "✓"}
_HEADLINES = {
    0: ("upheld", "No broken promise found"),
    1: ("broken", "Does not conform"),
    130: ("could-not-run", "Interrupted"),
}


def render(view: View) -> str:
    """The report as an HTML page."""
    tone, headline = headline_of(view)
    numbers = _numbers(view)
    return page.render(
        "report.html.j2",
        _styles(view),
        ("report.js",),
        view=view,
        pictures=_pictures(view),
        drawn=_drawn(view),
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
    told = _probe_headline(view.probe, view.exit_code) if view.probe else None
    return told or _HEADLINES.get(view.exit_code, ("could-not-run", "Could not be judged"))


def _counts(item: ClaimVerdict, view: View) -> bool:
    """Whether a claim is broken in a way that fails the run."""
    return item.verdict == "broken" and not item.known and (view.header.strict or item.claim.level == "must")


def _probe_headline(probe: ProbeView, exit_code: int) -> tuple[str, str] | None:
    """That of a probe which came to its end; None where something else decided how the run ends."""
    identity = probe.identity
    if probe.knee and identity.sure and exit_code == (0 if probe.knee.knee.told else 3):
        told = probe.knee.knee.told
        return ("upheld", "Knee of reads found") if told else ("indeterminate", "Knee of reads not told")
    met = identity.tiers or identity.families or not identity.unlimited_to
    if identity.sure and not exit_code:
        return "upheld", "Limiter identified" if met else "No limit met"
    if not identity.sure and exit_code == 3 and identity.why not in ("", "interrupted"):
        return "indeterminate", "Limiter not settled" if met else "No limit met"
    return None


def _styles(view: View) -> tuple[str, ...]:
    charts = ("load.css",) if view.load or view.probe else ()
    return ("report.css", *charts, "probe.css") if view.probe else ("report.css", *charts)


def _drawn(view: View) -> Any:
    """The pictures of a probe; None where the run was none."""
    if view.probe is None:
        return None
    from touchstone.report.probe_pictures import pictures  # noqa: PLC0415 - no other report needs it

    return pictures(view.probe)


def _pictures(view: View) -> Any:
    """The pictures of a load; None where the run was none."""
    if view.load is None:
        return None
    from touchstone.report.load_pictures import pictures  # noqa: PLC0415 - with numpy, which no other report needs

    return pictures(view.load)


def _numbers(view: View) -> dict[str, int]:
    """By id of a claim, the number of the first finding about it that is told in full."""
    numbers: dict[str, int] = {}
    for number, item in enumerate(view.findings[:MAX_FINDINGS], start=1):
        numbers.setdefault(item.claim.id, number)
    return numbers


def _named(view: View, numbers: dict[str, int]) -> list[LedgerClaim]:
    """The broken claims that have a finding told in full, in the order of those."""
    broken = {item.claim.id: item.claim for item in view.verdict.claims if item.verdict == "broken" and not item.known}
    return [broken[claim] for claim in numbers if claim in broken]
