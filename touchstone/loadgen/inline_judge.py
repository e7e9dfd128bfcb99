"""Judges every answer of a load by the rules that need nothing else, and each response fingerprint once.

Under load thousands of answers are alike: the same request, the same status, the same body. A rule that reads only the
bytes of one exchange says the same of all of them. The fingerprint holds all that such a rule can read; tests hold the
two together.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from touchstone.contract.claims import Ledger
from touchstone.facts.events import Tally
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement, finding_id
from touchstone.facts.key_sources import USUAL, KeySources
from touchstone.loadgen.client import LONG_BODY_BYTES, PreparedRequest, Requests
from touchstone.rules.catalogue import EXCHANGE_RULES
from touchstone.rules.history import History
from touchstone.rules.judge import finding_of, said
from touchstone.rules.rule import Rule
from touchstone.target.answer import NOT_REACHED, Answer

# A rule is inline where what it says of an exchange depends on nothing but the contract, the templates that were given,
# the request, status, body, error and who closed, and of the response's headers on those in READ_HEADERS.
_INLINE = frozenset(
    {
        # It also asks whether a connection failed before, to say so once; here those of an operation are alike.
        "protocol.answered",
        "protocol.no-server-error",
        "protocol.documented-status",
        "protocol.media-type",
        "protocol.json",
        "protocol.wrong-method",
        "access.refused-key",
        "access.refusal-text",
        "access.accepted-key",
        "access.publish-plan",
        "shape.object",
        "shape.template-digest",
        "shape.fields-by-state",
        "shape.ref",
        "shape.cancelling",
        "shape.deleted",
        "refusals.shape",
        "refusals.fields",
        "refusals.key",
        "refusals.internals",
        "refusals.document",
        "events.media-type",
        "events.framing",
        "events.json",
        "events.fields",
        "events.order",
        "events.end",
        "limits.shape",
        "limits.retry-after",
    }
)
INLINE_RULES: tuple[Rule[Exchange], ...] = tuple(rule for rule in EXCHANGE_RULES if rule.id in _INLINE)
# The others look at what else the run sent and when: at publishes of an odd name, at lines of other builds and what was
# begun before, at starts that might still be in the way. A rule that is new is among them until it is listed above.
STORY_TIME_RULES: tuple[Rule[Exchange], ...] = tuple(rule for rule in EXCHANGE_RULES if rule.id not in _INLINE)

# What the head and the length of an answer tell: status, media type, whether it is whole.
_CHEAP = frozenset(
    {"protocol.answered", "protocol.no-server-error", "protocol.documented-status", "protocol.media-type"}
)
_KEY_RULE = "refusals.key"

# The fields of a head that these rules read. All others may differ from answer to answer without meaning anything, but
# for a key.
READ_HEADERS = frozenset({"content-type", "retry-after"})
# What rules about the size of a request tell apart.
LARGE_BODY_BYTES = 65_536
# When so many are known, all are judged anew.
MAX_FINGERPRINTS = 50_000

# A longer body is known by its digest, or so many fingerprints could fill the memory.
_LONGEST_KEPT_BYTES = 1_024
# A text without blanks, quotes and escapes: none is a stack trace, and none makes a body more or less JSON.
_REQUEST_ID = re.compile(rb'"request_id"\s*:\s*"([!#-\[\]-~]*)"')
_LONGEST_MASKED_BYTES = 4_096
_MARKER = "<key:"

# Check, claim and outcome, and the reason of an indeterminate one.
_Line = tuple[str, str, str, str]


@dataclass(slots=True)
class _Verdict:
    """What the rules say of some fingerprints, and of how many answers.

    Attributes:
        findings: Their ids.
        is_partial: Whether most of the body was not judged.
    """

    lines: tuple[_Line, ...]
    findings: tuple[str, ...]
    is_partial: bool
    count: int = 0


class AnswerJudge:
    """Judges the answers that one process gets; nothing in it waits, so that greenlets may share it.

    Args:
        history: What the run did before it: the contract, what was given and published. It does not grow.

    Attributes:
        findings: By id, as each first came up.
        failed: The first error of each rule that failed, by the rule's id.
    """

    def __init__(
        self,
        history: History,
        ledger: Ledger,
        requests: Requests,
        rules: Sequence[Rule[Exchange]] = INLINE_RULES,
        sources: KeySources = USUAL,
    ) -> None:
        self.findings: dict[str, Finding] = {}
        self.failed: dict[str, str] = {}
        self._history = history
        self._ledger = ledger
        self._sources = sources
        self._rules = tuple(rules)
        self._outer_rules = tuple(rule for rule in rules if rule.id in _CHEAP or rule.id == _KEY_RULE)
        self._requests = requests
        self._secrets = requests.secrets
        self._known: dict[object, _Verdict] = {}
        self._verdicts: dict[object, _Verdict] = {}
        # The same few header lines come with each answer.
        self._hides_key = functools.lru_cache(maxsize=1024)(self._holds_key)

    def judge(
        self, request: PreparedRequest, answer: Answer, seq: int, case: str = ""
    ) -> tuple[tuple[Finding, ...], Exchange | None]:
        """Judges one answer.

        Returns:
            The findings that came up for the first time, and the exchange where one had to be made.
        """
        fingerprint = self.fingerprint(request, answer)
        verdict = None if fingerprint is None else self._known.get(fingerprint)
        if verdict is not None:
            verdict.count += 1
            return (), None
        is_partial = len(answer.body) > LONG_BODY_BYTES
        exchange = self._requests.exchange(request, answer, seq, case)
        rules = self._outer_rules if is_partial else self._rules
        judgements = [j for rule in rules for j in said(rule, exchange, self._history, self.failed)]
        new = tuple(self._new(judgements, exchange))
        verdict = self._verdict(judgements, is_partial=is_partial)
        verdict.count += 1
        if fingerprint is not None:
            if len(self._known) >= MAX_FINGERPRINTS:
                self._known.clear()
            self._known[fingerprint] = verdict
        return new, exchange

    def fingerprint(self, request: PreparedRequest, answer: Answer) -> object | None:
        """What two answers share of which every rule says the same; None for one that shows a key, or is long."""
        head, body, error = answer.head, answer.body, answer.error
        if head is None:
            if error.startswith(NOT_REACHED):
                # Whatever version was asked of a server that is gone; how often is told of each operation.
                return request.operation, len(request.request.body) > LARGE_BODY_BYTES
            return request, error.split(" ", 1)[0]
        if len(body) > LONG_BODY_BYTES or any(map(self._hides_key, head.headers)):
            return None
        body, request_id = masked(body)
        if request_id and self._secrets.data(request_id) != request_id:
            return None
        read = tuple((name, value) for name, value in head.headers if name in READ_HEADERS)
        known = body if len(body) <= _LONGEST_KEPT_BYTES else hashlib.blake2b(body).digest()
        return request, head.status, read, known, error and error.split(" ", 1)[0], answer.closed

    def occurrences(self) -> dict[str, int]:
        """How many answers showed each finding, by its id."""
        times = dict.fromkeys(self.findings, 0)
        for verdict in self._verdicts.values():
            for name in verdict.findings:
                times[name] += verdict.count
        return times

    def tallies(self, case: str = "") -> tuple[Tally, ...]:
        """The held and the indeterminate judgements of all answers, one tally per check and claim.

        The first reason stands for all of them.
        """
        counts: dict[tuple[str, str], tuple[int, int, str]] = {}
        for verdict in self._verdicts.values():
            for check, claim, outcome, why in verdict.lines:
                held, unclear, reason = counts.get((check, claim), (0, 0, ""))
                if outcome == "held":
                    counts[check, claim] = held + verdict.count, unclear, reason
                elif outcome == "indeterminate":
                    counts[check, claim] = held, unclear + verdict.count, reason or why
        return tuple(Tally(case, check, claim, *count) for (check, claim), count in counts.items())

    def partly_judged(self) -> str:
        """What a reader of the report should know; empty where every answer was judged by all rules."""
        number = sum(verdict.count for verdict in self._verdicts.values() if verdict.is_partial)
        answers = f"{number:,} answers were" if number > 1 else "1 answer was"
        why = "judged by the cheap rules only (status, media type, whether all of it came): of a long body only the "
        return f"{answers} {why}beginning is kept" if number else ""

    def _holds_key(self, header: tuple[str, str]) -> bool:
        line = ": ".join(header)
        return _MARKER in line or self._secrets.text(line) != line

    def _new(self, judgements: Iterable[Judgement], exchange: Exchange) -> Iterable[Finding]:
        for judgement in judgements:
            if judgement.outcome == "broken" and _id(judgement) not in self.findings:
                finding = finding_of(judgement, exchange, self._ledger, self._sources)
                self.findings[finding.id] = finding
                yield finding

    def _verdict(self, judgements: Sequence[Judgement], *, is_partial: bool) -> _Verdict:
        """The one verdict of all fingerprints of which the rules say the same: there are a few."""
        lines = tuple(dict.fromkeys(_line(judgement) for judgement in judgements))
        findings = tuple(dict.fromkeys(_id(judgement) for judgement in judgements if judgement.outcome == "broken"))
        return self._verdicts.setdefault((lines, findings, is_partial), _Verdict(lines, findings, is_partial))


def masked(body: bytes) -> tuple[bytes, bytes]:
    """A JSON body without its request id, and that; any other body as it is, and nothing."""
    found = _REQUEST_ID.search(body) if b'"request_id"' in body and len(body) <= _LONGEST_MASKED_BYTES else None
    if found is None:
        return body, b""
    start, end = found.span(1)
    rest = body[:start] + b"*" + body[end:]
    # Where the rest is no JSON, nobody knows what a quote begins; with it, the one is JSON where the other is.
    return (rest, found[1]) if _is_json(rest) else (body, b"")


@functools.lru_cache(maxsize=1024)
def _is_json(body: bytes) -> bool:
    try:
        json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def _line(judgement: Judgement) -> _Line:
    why = judgement.actual if judgement.outcome == "indeterminate" else ""
    return judgement.check, judgement.claim, judgement.outcome, why


def _id(judgement: Judgement) -> str:
    return finding_id(judgement.claim, judgement.operation, judgement.check, judgement.expected)
