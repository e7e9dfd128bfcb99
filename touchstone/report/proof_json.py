"""
A proof as proof.json: for programs, so nothing is cut and nothing is made pretty.
"""

import json
from dataclasses import asdict
from typing import Any

from touchstone.proof import Trial
from touchstone.report.proof_view import ProofView

SCHEMA_VERSION = 1


def render(view: ProofView) -> str:
    """
    The proof as JSON text, ASCII only.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": {**asdict(view.run), "exit_code": view.exit_code, "reason": view.reason},
        "trials": [_trial(trial) for trial in view.trials],
        "claims": [
            {"id": row.claim.id, "level": row.claim.level, "proven_by": list(row.by), "seen_beside": list(row.also)}
            for row in view.claims
        ],
        "kinds": [asdict(kind) for kind in view.kinds],
        "counts": {
            "trials": len(view.trials),
            **{state: view.count(state) for state in ("killed", "missed", "noisy", "survived", "accused", "failed")},
        },
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _trial(trial: Trial) -> dict[str, Any]:
    subject = trial.subject
    return {
        "name": subject.name,
        "sort": subject.sort,
        "kind": subject.kind,
        "says": subject.says,
        "state": trial.state,
        "breaks": list(subject.breaks),
        "also": list(subject.also),
        "permits": subject.permits,
        "blamed": list(trial.blamed),
        "lacking": list(trial.lacking),
        "noise": list(trial.noise),
        "broken": {claim: asdict(blame) for claim, blame in trial.broken.items()},
        "found_after": {"exchanges": trial.found.exchanges, "seconds": trial.found.seconds} if trial.found else None,
        "judged": trial.judged,
        "exchanges": trial.exchanges,
        "seconds": trial.seconds,
        "exit_code": trial.exit_code,
        "trouble": trial.trouble,
    }
