"""A proof as proof.json: for programs, so nothing is cut and nothing is made pretty."""

import json
from dataclasses import asdict
from typing import Any, get_args

from touchstone.proof.result import Blame, State, Trial
from touchstone.report.proof_view import KindCount, ProofView, noise

SCHEMA_VERSION = 1


def render(view: ProofView) -> str:
    """The proof as JSON text, ASCII only; none of its keys is ever left out.

    The keys:

    - ``schema_version``: 1; it changes when a key goes or gets another meaning.
    - ``run``: ``id``, ``started_at`` (ISO 8601, UTC), ``duration_s``, ``jobs``, ``seed``, ``asked`` (trials asked
      for), ``complete`` (all named faults asked for), ``whole``, ``interrupted``, ``exit_code``, ``reason``.
    - ``trials``, in the order of the lists that they come from; each has ``name``, ``sort`` (fault, generated,
      permitted or variant), ``class`` (empty for a variant), ``says`` (what the server does), ``state`` (killed,
      missed, noisy, survived, accused or failed), ``breaks`` and ``also`` (globs over claims), ``permits`` (what
      allows it, where it is no fault), ``blamed`` (claims rightly found broken), ``lacking`` (what of ``breaks``
      was not), ``noise`` (claims wrongly found broken), ``broken`` (by claim: ``check``, ``expected``, ``actual``,
      ``case``, the ``exchanges`` and ``seconds`` until then, and all ``checks`` that found it, also later),
      ``exchanges_until_found`` and ``seconds_until_found`` (null where the proof is not complete), ``judged`` (claims
      judged on an occasion), ``exchanges``, ``seconds``, ``exit_code`` (of the examination), and ``trouble`` (why it
      has no say).
    - ``claims``, in the order of the ledger: ``id``, ``level``, ``proven_by`` and ``seen_beside`` (names of
      faults).
    - ``classes``, and ``total`` for all of them: ``class``, ``faults``, ``killed``, ``missed``, ``noisy``,
      ``failed``, ``median_exchanges`` and ``median_seconds`` (until found, of the killed ones; null where none
      was).
    - ``counts``: ``trials``, and how many of them ended in each state.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": {**asdict(view.run), "exit_code": view.exit_code, "reason": view.reason},
        "trials": [_trial(trial) for trial in view.trials],
        "claims": [
            {"id": row.claim.id, "level": row.claim.level, "proven_by": list(row.by), "seen_beside": list(row.also)}
            for row in view.claims
        ],
        "classes": [_count(row) for row in view.kinds],
        "total": _count(view.total),
        "counts": {"trials": len(view.trials), **{state: view.count(state) for state in get_args(State)}},
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _trial(trial: Trial) -> dict[str, Any]:
    subject, found = trial.subject, trial.found
    return {
        "name": subject.name,
        "sort": subject.sort,
        "class": subject.kind,
        "says": subject.says,
        "state": trial.state,
        "breaks": list(subject.breaks),
        "also": list(subject.also),
        "permits": subject.permits,
        "blamed": list(trial.blamed) if subject.is_fault else [],
        "lacking": list(trial.lacking) if subject.is_fault else [],
        "noise": list(noise(trial)),
        "broken": {claim: _blame(blame) for claim, blame in trial.broken.items()},
        "exchanges_until_found": found.exchanges if found else None,
        "seconds_until_found": found.seconds if found else None,
        "judged": trial.judged,
        "exchanges": trial.exchanges,
        "seconds": trial.seconds,
        "exit_code": trial.exit_code,
        "trouble": trial.trouble,
    }


def _blame(blame: Blame) -> dict[str, Any]:
    return {
        "check": blame.check,
        "checks": list(blame.checks),
        "expected": blame.expected,
        "actual": blame.actual,
        "case": blame.case,
        "exchanges": blame.exchanges,
        "seconds": blame.seconds,
    }


def _count(row: KindCount) -> dict[str, Any]:
    return {
        "class": row.kind,
        "faults": row.faults,
        "killed": row.killed,
        "missed": row.missed,
        "noisy": row.noisy,
        "failed": row.failed,
        "median_exchanges": row.exchanges if row.killed else None,
        "median_seconds": row.seconds if row.killed else None,
    }
