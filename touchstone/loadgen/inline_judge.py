"""Judges every answer of a load run by the rules that need nothing else, and each look of an answer once.

Under load thousands of answers look alike: the same request, the same status, the same body. A rule that reads only the
bytes of one exchange says the same of all of them, so it is asked once and its word is counted. What a look is made of
is all that an inline rule can read; tests hold the two together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from touchstone.contract.claims import Ledger
from touchstone.facts.events import Tally
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement, finding_id
from touchstone.facts.key_sources import USUAL, KeySources
from touchstone.loadgen.fingerprint import Look, Looks, outline
from touchstone.loadgen.prepared_request import LONG_BODY_BYTES, Shot, Shots
from touchstone.loadgen.recent import Recent
from touchstone.rules.catalogue import EXCHANGE_RULES
from touchstone.rules.history import History
from touchstone.rules.judge import finding_of, said
from touchstone.rules.rule import Rule
from touchstone.target.answer import Answer

# A rule is inline whose word on an exchange depends on nothing but the contract, the templates that were given, the
# request, status, body, error and who closed, and of the response's headers on those in looks.READ_HEADERS.
_INLINE = frozenset(
    {
        # It also asks whether a connection failed before, to tell that once; here those of an operation are one look.
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

MOST_LOOKS = 50_000
MOST_MISSES_PER_S = 200.0
_MOST_MISSES_AT_ONCE = 1_000.0

_Word = tuple[str, str, str, str]
_Asked = Literal[
    "all",
    "cheap",  # there was no time for more
    "outer",  # most of the body is not here
]


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one answer.

    Attributes:
        findings: Those that nothing showed before.
        exchange: The exchange, where one had to be made; the evidence of *findings*.
        look: What `Appraiser.add` counts more answers of the same look by.
    """

    findings: tuple[Finding, ...]
    exchange: Exchange | None
    look: int


@dataclass(slots=True)
class _Verdict:
    """All that the rules say of a look, and of how many answers they said it.

    Attributes:
        words: Check, claim and outcome, and of an indeterminate one the reason.
        findings: Their ids.
        asked: Which rules were asked.
        again: What another answer with this verdict brings.
    """

    words: tuple[_Word, ...]
    findings: tuple[str, ...]
    asked: _Asked
    again: Seen
    count: int = 0


@dataclass(slots=True)
class _Allowance:
    """How many looks may be judged: so many a second, and of those that were not used some at once."""

    per_s: float
    left: float = _MOST_MISSES_AT_ONCE
    at_s: float = 0.0

    def take(self, now_s: float) -> bool:
        """Takes one where there is one."""
        self.left = min(_MOST_MISSES_AT_ONCE, self.left + max(0.0, now_s - self.at_s) * self.per_s)
        self.at_s = max(self.at_s, now_s)
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Appraiser:
    """Judges the answers that one process gets; nothing in it waits, so that greenlets may share it.

    Args:
        history: What the run did before it: the contract, what was given and published. It does not grow.
        rules: INLINE_RULES, or some of them.
        max_misses_per_s: So many answers a second are judged by all rules because nobody has seen their look, and a
            thousand at once after a pause; each costs some 0.1 ms, one of a long log 1 ms. Of more, only what is
            cheap to see is judged.
        most_looks: So many looks are remembered; what was not seen for long is judged again.

    Attributes:
        offset_s: What the times of answers lack to be seconds since the run started.
        findings: By id, as each was first met.
        failed: The first error of each rule that failed, by the rule's id.
    """

    def __init__(
        self,
        history: History,
        ledger: Ledger,
        rules: Sequence[Rule[Exchange]],
        shots: Shots,
        *,
        max_misses_per_s: float = MOST_MISSES_PER_S,
        most_looks: int = MOST_LOOKS,
        sources: KeySources = USUAL,
    ) -> None:
        self.offset_s = 0.0
        self.findings: dict[str, Finding] = {}
        self.failed: dict[str, str] = {}
        self._history = history
        self._ledger = ledger
        self._sources = sources
        self._rules = tuple(rules)
        self._cheap_rules = tuple(rule for rule in rules if rule.id in _CHEAP)
        self._marked_rules = tuple(rule for rule in rules if rule.id in _CHEAP or rule.id == _KEY_RULE)
        self._shots = shots
        self._secrets = shots.secrets
        self._allowance = _Allowance(max_misses_per_s)
        self._looks = Looks(shots.secrets, most_looks)
        self._known: Recent[Look, _Verdict] = Recent(most_looks)
        self._known_cheaply: Recent[Look, _Verdict] = Recent(most_looks)
        self._verdicts: list[_Verdict] = []
        self._alike: dict[object, _Verdict] = {}

    @property
    def cheaply_judged(self) -> int:
        """How many answers were judged by the cheap rules only."""
        return self._count("cheap")

    def _count(self, asked: _Asked) -> int:
        return sum(verdict.count for verdict in self._verdicts if verdict.asked == asked)

    def see(self, shot: Shot, answer: Answer, seq: int, case: str = "") -> Seen:
        """Judges one answer to *shot*."""
        look = self._looks.of(shot, answer)
        verdict = self._known.get(look) if look else None
        if verdict is not None:
            verdict.count += 1
            return verdict.again
        seen, verdict = self._appraised(look, shot, answer, seq, case)
        verdict.count += 1
        return seen

    def appraise_look(self, shot: Shot, answer: Answer, count: int, seq: int, case: str = "") -> Seen:
        """Judges an answer that another process got, and *count* times so far one that looks like it."""
        look = self._looks.from_elsewhere(shot, answer)
        verdict = self._known.get(look) if look else None
        if verdict is None:
            seen, verdict = self._appraised(look, shot, answer, seq, case)
        else:
            seen = verdict.again
        verdict.count += count
        return seen

    def add(self, look: int, count: int) -> None:
        """Counts more answers that look like an earlier one.

        Args:
            look: As `Seen` told.
        """
        self._verdicts[look].count += count

    def occurrences(self) -> dict[str, int]:
        """How many answers showed each finding, by its id."""
        times = dict.fromkeys(self.findings, 0)
        for verdict in self._verdicts:
            for name in verdict.findings:
                times[name] += verdict.count
        return times

    def tallies(self, case: str = "") -> tuple[Tally, ...]:
        """The held and the indeterminate judgements of all answers, one tally per check and claim.

        The first reason stands for all of them.
        """
        counts: dict[tuple[str, str], tuple[int, int, str]] = {}
        for verdict in self._verdicts:
            for check, claim, outcome, why in verdict.words:
                held, unclear, reason = counts.get((check, claim), (0, 0, ""))
                if outcome == "held":
                    counts[check, claim] = held + verdict.count, unclear, reason
                elif outcome == "indeterminate":
                    counts[check, claim] = held, unclear + verdict.count, reason or why
        return tuple(Tally(case, check, claim, *count) for (check, claim), count in counts.items())

    def told(self) -> str:
        """
        What the reader of the reports should know, in a few words; empty where every answer was judged by all rules.
        """
        why: dict[_Asked, str] = {
            "cheap": f"more than {self._allowance.per_s:g} a second looked like none before",
            "outer": "of a long body only the beginning is kept",
        }
        return "; ".join(
            f"{f'{number:,} answers were' if number > 1 else '1 answer was'} judged by the cheap rules only (status, "
            f"media type, whether all of it came): {reason}"
            for asked, reason in why.items()
            if (number := self._count(asked))
        )

    def _appraised(self, look: Look | None, shot: Shot, answer: Answer, seq: int, case: str) -> tuple[Seen, _Verdict]:
        """What comes of an answer whose look is not known."""
        if answer.is_partial or len(answer.body) > LONG_BODY_BYTES:
            return self._judged(self._marked_rules, shot, answer, seq, case, asked="outer")
        if look is None or self._secrets.data(answer.body) != answer.body:
            rules = self._rules if self._allowance.take(answer.done_at) else self._marked_rules
            return self._judged(rules, shot, answer, seq, case)
        if self._allowance.take(answer.done_at):
            seen, verdict = self._judged(self._rules, shot, answer, seq, case)
            self._known.put(look, verdict)
            return seen, verdict
        look = outline(look, answer)
        known = self._known_cheaply.get(look)
        if known is not None:
            return known.again, known
        seen, verdict = self._judged(self._cheap_rules, shot, answer, seq, case)
        self._known_cheaply.put(look, verdict)
        return seen, verdict

    def _judged(
        self,
        rules: tuple[Rule[Exchange], ...],
        shot: Shot,
        answer: Answer,
        seq: int,
        case: str,
        asked: _Asked = "cheap",
    ) -> tuple[Seen, _Verdict]:
        exchange = self._shots.exchange(shot, answer, seq, case, self.offset_s)
        judgements = [j for rule in rules for j in said(rule, exchange, self._history, self.failed)]
        new: list[Finding] = []
        for judgement in judgements:
            if judgement.outcome == "broken" and _id(judgement) not in self.findings:
                finding = finding_of(judgement, exchange, self._ledger, self._sources)
                self.findings[finding.id] = finding
                new.append(finding)
        verdict = self._verdict(judgements, "all" if rules is self._rules else asked)
        return Seen(tuple(new), exchange, verdict.again.look), verdict

    def _verdict(self, judgements: list[Judgement], asked: _Asked) -> _Verdict:
        """The one verdict of all looks of which the rules say the same: there are a few, of however many looks."""
        words = tuple(dict.fromkeys(_word(judgement) for judgement in judgements))
        findings = tuple(dict.fromkeys(_id(judgement) for judgement in judgements if judgement.outcome == "broken"))
        verdict = self._alike.get((words, findings, asked))
        if verdict is None:
            verdict = _Verdict(words, findings, asked, Seen((), None, len(self._verdicts)))
            self._alike[words, findings, asked] = verdict
            self._verdicts.append(verdict)
        return verdict


def _word(judgement: Judgement) -> _Word:
    why = judgement.actual if judgement.outcome == "indeterminate" else ""
    return judgement.check, judgement.claim, judgement.outcome, why


def _id(judgement: Judgement) -> str:
    return finding_id(judgement.claim, judgement.operation, judgement.check, judgement.expected)
