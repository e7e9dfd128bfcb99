"""The view as report.json: for programs, so nothing is cut and nothing is made pretty."""

import json
from typing import Any

from touchstone.report import load_json, probe_json
from touchstone.report.view import FindingView, View
from touchstone.rules.verdict import ClaimVerdict

SCHEMA_VERSION = 1


def render(view: View) -> str:
    """The report as JSON text, ASCII only, keys in the order of the documentation."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": _run(view),
        "claims": [_claim(claim) for claim in view.verdict.claims],
        "findings": [_finding(finding) for finding in view.findings],
        "counts": view.counts,
        "cases": view.cases,
        "warnings": list(view.warnings),
        "left_behind": list(view.left_behind),
        "may_be_left": list(view.may_be_left),
    }
    if view.load:
        document["load"] = load_json.document(view.load)
    if view.probe:
        document["probe"] = probe_json.document(view.probe)
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _run(view: View) -> dict[str, Any]:
    header = view.header
    return {
        "id": header.run_id,
        "target": header.target.name,
        "started_at": header.started_at,
        "duration_s": round(view.duration_s, 3),
        "exit_code": view.exit_code,
        "reason": view.reason,
        "interrupted": view.interrupted,
        "url": header.target.url,
        "kind": header.target.kind,
        "command": view.command,
        "profile": header.profile,
        "seed": header.seed,
        "strict": header.strict,
        "claims_glob": header.claims_glob,
        "known": list(header.known),
        "contract_sha256": header.contract_sha256,
        "tool_version": header.tool_version,
    }


def _claim(item: ClaimVerdict) -> dict[str, Any]:
    return {
        "id": item.claim.id,
        "level": item.claim.level,
        "verdict": item.verdict,
        "checks": [check.check for check in item.checks],
        "findings": list(item.findings),
        "reason": item.reason,
        "known": item.known,
        "sentence": item.claim.sentence,
        "source": item.claim.source,
        "judgements": {
            check.check: {"held": check.held, "broken": check.broken, "indeterminate": check.indeterminate}
            for check in item.checks
        },
    }


def _finding(item: FindingView) -> dict[str, Any]:
    finding = item.finding
    return {
        "claim": finding.claim,
        "level": item.claim.level,
        "operation": finding.operation,
        "expected": finding.expected,
        "actual": finding.actual,
        "curl": finding.curl,
        "id": finding.id,
        "check": finding.check,
        "where": finding.where,
        "occurrences": item.occurrences,
        "cases": list(item.cases),
        "evidence": list(finding.evidence),
    }
