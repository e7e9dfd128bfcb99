"""A comparison of two runs as compare.json: for programs, so nothing is cut."""

import json
from dataclasses import asdict
from typing import Any

from touchstone.facts.events import RunLog
from touchstone.facts.finding import Finding
from touchstone.report.compare_loads import Change
from touchstone.report.comparison import GROUPS, Comparison, Turn
from touchstone.rules.verdict import ClaimVerdict, RunVerdict

SCHEMA_VERSION = 1


def render(comparison: Comparison, exit_code: int = 0) -> str:
    """The comparison as JSON text, ASCII only."""
    claims = comparison.claims
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "exit_code": exit_code,
        "reason": comparison.reason,
        "differs": comparison.differs,
        "runs": {"a": _run(comparison.before, claims.before), "b": _run(comparison.after, claims.after)},
        "unlike": [asdict(one) for one in comparison.unlike],
        "counts": {_key(group): len(claims.turned_by(group)) for group in GROUPS}
        | {
            "removed": len(claims.only_before),
            "added": len(claims.only_after),
            "unasked": claims.unasked,
            "new_findings": len(claims.new),
            "gone_findings": len(claims.gone),
        },
        "claims": {_key(group): [_turn(turn) for turn in claims.turned_by(group)] for group in GROUPS}
        | {"removed": [_claim(one) for one in claims.only_before], "added": [_claim(one) for one in claims.only_after]},
        "findings": {"new": [_finding(one) for one in claims.new], "gone": [_finding(one) for one in claims.gone]},
        "answers": [
            {
                "operation": one.operation,
                "counts": list(one.counts),
                "times": [_change(change) for change in one.changes],
            }
            for one in comparison.answers
        ],
    }
    if comparison.load:
        document["load"] = [
            {"operation": one.name, "statistics": [_change(change) for change in (*one.times, *one.counted)]}
            for one in comparison.load.operations
        ]
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _key(group: str) -> str:
    return group.replace(" ", "_")


def _run(log: RunLog, verdict: RunVerdict) -> dict[str, Any]:
    header = log.header
    return {
        "id": header.run_id,
        "command": header.command,
        "target": header.target.name,
        "url": header.target.url,
        "started_at": header.started_at,
        "duration_s": log.footer.duration_s if log.footer else None,
        "exit_code": verdict.exit_code,
        "reason": verdict.reason,
        "contract_sha256": header.contract_sha256,
        "tool_version": header.tool_version,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return _claim(turn.after) | {"before": turn.before.verdict}


def _claim(item: ClaimVerdict) -> dict[str, Any]:
    return {"id": item.claim.id, "level": item.claim.level, "verdict": item.verdict, "reason": item.reason}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "claim": finding.claim,
        "level": finding.level,
        "operation": finding.operation,
        "expected": finding.expected,
        "actual": finding.actual,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "statistic": change.statistic,
        "a": change.before,
        "b": change.after,
        "apart": asdict(change.apart) if change.apart else None,
        "verdict": change.verdict,
    }
