"""A probe for programs: numbers in seconds and shares, nothing cut and nothing rounded to please."""

from dataclasses import asdict
from typing import Any

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.knee_trials import Tried
from touchstone.report.knee_view import KneeView
from touchstone.report.probe_view import ProbeView


def document(probe: ProbeView) -> dict[str, Any]:
    """The probe as JSON values."""
    identity = probe.identity
    return {
        "operation": probe.operation,
        "sentence": probe.sentence,
        "sure": identity.sure,
        "why": identity.why,
        "family": identity.families[0].family if identity.families else "none",
        "text": identity.text,
        "tiers": [_tier(tier) for tier in identity.tiers],
        "families": [asdict(runner) for runner in identity.families],
        "alike": list(identity.alike),
        "unlimited_to": identity.unlimited_to,
        "uncapped_to": identity.uncapped_to,
        "holds_to": identity.holds_to,
        "others_share": _interval(identity.others_share),
        "cost": asdict(identity.cost),
        "failed": len(probe.failed),
        "findings": list(identity.findings),
        "notes": list(identity.notes),
        "steps": [asdict(step) for step in probe.steps],
        "advice": _advice(probe),
        "knee": _knee(probe.knee),
    }


def _knee(view: KneeView | None) -> dict[str, Any] | None:
    """The knee and its trials; null where none was looked for."""
    if view is None:
        return None
    known = {"told": view.knee.told, "sentence": view.sentence, **asdict(view.knee)}
    return known | {"trials": [_trial(tried) for tried in view.tried]}


def _trial(tried: Tried) -> dict[str, Any]:
    outcome = asdict(tried.outcome)
    outcome.pop("blocks")
    return {**asdict(tried.trial), "told": tried.mark, **outcome}


def _tier(tier: Tier) -> dict[str, Any]:
    return {
        "family": tier.family,
        "text": tier.text,
        "parameters": {name: _interval(number) for name, number in tier.numbers.items()},
        "options": dict(tier.options),
    }


def _interval(number: Interval) -> dict[str, float]:
    return {"value": number.value, "low": number.low, "high": number.high}


def _advice(probe: ProbeView) -> dict[str, Any]:
    """The settings of a client; null where the limiter does not ask for one."""
    found, pace = probe.advice, probe.advice.pace
    return {
        "rate_per_s": found.rate_per_s,
        "spacing_s": pace.spacing_s if pace and pace.spacing_s else None,
        "burst": pace.burst if pace else None,
        "rest_before_burst_s": pace.rest_s if pace else None,
        "wait_after_burst_s": pace.after_s if pace else None,
        "parallel_requests": pace.at_once if pace else None,
        "parallel_builds": pace.in_flight if pace else None,
        "wait_after_429_s": pace.free_s if pace else None,
        "refused_requests_count": pace.harmful if pace else None,
        "retry_after_contradicted": not found.retry_after,
        "families": list(found.families),
        "lines": list(found.lines),
    }
