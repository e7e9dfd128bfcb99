"""What the load rules say of a run, and run logs with as little in them as a question needs."""

import dataclasses
import random
from typing import Any

from tests.loadgen.simulation import Crowd, Server
from tests.rules.exchanges import build, exchange
from touchstone.contract import claims
from touchstone.facts.events import Attempt, Build, BuildEnd, RunLog, TemplateAction, Worker
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding
from touchstone.loadgen.not_judged import Ruling
from touchstone.loadgen.rules import judge_load

REF = "default/own-1@1.0.0"
LEDGER = claims.load()
FINDING = Finding(
    "0" * 12, "start.answers-202", "must", "startBuild", "rules.start", "202", "200", "POST /", "curl", (1,)
)


def ruling_of(log: RunLog) -> Ruling:
    ruling = judge_load(log, LEDGER)
    assert [notice.reason for notice in ruling.notices if notice.verdict == "could-not-run"] == []
    return ruling


def broken(log: RunLog) -> set[str]:
    return {finding.claim for finding in ruling_of(log).findings}


def outcomes(log: RunLog, claim: str) -> set[str]:
    ruling = ruling_of(log)
    found: set[str] = {judgement.outcome for judgement in ruling.judgements if judgement.claim == claim}
    found |= {notice.verdict for notice in ruling.notices if notice.claim == claim}
    return found | {"broken" for finding in ruling.findings if finding.claim == claim}


def attempt(number: int = 1, status: int = 429, sent_at: float = 1.0, **facts: Any) -> Attempt:
    values: dict[str, Any] = {
        "want": 1, "number": number, "ref": REF, "credential": "primary", "phase": "", "fresh": True,
        "intended_at": sent_at, "sent_at": sent_at, "done_at": sent_at + 0.1, "status": status,
        "retry_after_s": None, "gave_up": False, "seq": number,
    }  # fmt: skip
    return Attempt(**(values | facts))


def ended(end: BuildEnd, **facts: Any) -> Build:
    values: dict[str, Any] = {
        "want": 1, "ref": REF, "credential": "primary", "accepted_at": 1.1, "ended_at": 3.0, "end": end,
        "seen_building_at": None, "seq": 50,
    }  # fmt: skip
    return Build(**(values | facts))


def read(state: str, sent_at: float, **facts: Any) -> Exchange:
    times = {"sent_at": sent_at, "done_at": sent_at + 0.05, "seq": int(1000 * sent_at)}
    return exchange(json=build(state, REF), ref=REF, **(times | facts))


def log_of(*facts: Attempt | Build | Exchange | Worker, **more: Any) -> RunLog:
    """A log with these facts and nothing else, about a version that the run published."""
    by_type: dict[str, Any] = {"templates": (TemplateAction(REF, "own", "", "published", 0.0),)}
    for name, kind in (("attempts", Attempt), ("builds", Build), ("exchanges", Exchange), ("workers", Worker)):
        by_type[name] = tuple(fact for fact in facts if isinstance(fact, kind))
    return dataclasses.replace(Crowd(Server(), random.Random(1)).run(), **(by_type | more))
