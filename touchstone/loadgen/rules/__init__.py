"""The load rules: what can be said of a load run only as a whole. See `loadrule` for what each must be."""

from touchstone.contract.claims import Ledger
from touchstone.facts.curl import curl
from touchstone.facts.events import Notice, RunLog
from touchstone.facts.finding import Finding, Judgement, finding_id
from touchstone.facts.key_sources import KeySources
from touchstone.loadgen.judgement import Ruling, again
from touchstone.loadgen.rules import builds, phases, refusals
from touchstone.loadgen.rules.loadrule import LoadRule
from touchstone.loadgen.rules.record import Record

RULES: tuple[LoadRule, ...] = (*builds.RULES, *refusals.RULES, *phases.RULES)


def judge_load(log: RunLog, ledger: Ledger) -> Ruling:
    """
    What all load rules say of a run. A rule that fails is a fault of ours: the others still speak, and it is no pass.
    """
    record = Record(log)
    where = _Places(record)
    findings: list[Finding] = []
    judgements: list[Judgement] = []
    notices: list[Notice] = []
    for rule in RULES:
        try:
            said = list(rule(record))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost the other rules their say
            reason = f"the rule {rule.id} failed: {type(error).__name__}: {error}"
            notices.append(Notice(rule.claim, "could-not-run", reason))
            continue
        findings += [where.finding(judgement, ledger) for judgement in said if judgement.outcome == "broken"]
        judgements += [judgement for judgement in said if judgement.outcome != "broken"]
        notices += [] if said else [Notice(rule.claim, "not-applicable", rule.idle.words(record))]
    return Ruling(tuple(findings), tuple(judgements), tuple(notices))


class _Places:
    """Where a finding was met, and how to see it again, whether its exchanges were kept or not."""

    def __init__(self, record: Record) -> None:
        self._exchanges = {exchange.seq: exchange for exchange in record.log.exchanges}
        self._told = {build.seq: f"{build.ref}, {build.ended_at:.1f} s into the run" for build in record.log.builds}
        self._told |= {start.seq: f"{start.ref}, {start.sent_at:.1f} s into the run" for start in record.starts}
        self._again = again(record.log.header)
        self._sources = KeySources.of(record.log.header.settings)

    def finding(self, judgement: Judgement, ledger: Ledger) -> Finding:
        """The finding that a broken judgement becomes."""
        seq = judgement.evidence[-1]
        exchange = self._exchanges.get(seq)
        return Finding(
            id=finding_id(judgement.claim, judgement.operation, judgement.check, judgement.expected),
            claim=judgement.claim,
            level=ledger[judgement.claim].level,
            operation=judgement.operation,
            check=judgement.check,
            expected=judgement.expected,
            actual=judgement.actual,
            where=f"{exchange.request.method} {exchange.request.url}" if exchange else self._told[seq],
            curl=curl(exchange, self._sources) if exchange else self._again,
            evidence=judgement.evidence,
        )
