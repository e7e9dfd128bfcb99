"""The part of a probe that looks for a knee: below what limiter, from which trials on, and what is told of it."""

import math
from collections.abc import Callable
from statistics import median

from touchstone.facts.events import Occurrence
from touchstone.facts.identity import Identity
from touchstone.facts.knee_trials import KneeTerms
from touchstone.facts.probe_events import ProbeStory, knee_event
from touchstone.facts.runlog import RunLogWriter
from touchstone.limiter.knee.ceiling import Ceiling, ceiling
from touchstone.limiter.knee.search import Search
from touchstone.limiter.probe.budget import Bounds
from touchstone.limiter.probe.connections import ProbeLink
from touchstone.limiter.probe.handover import ProbeHandover, knee_terms_of
from touchstone.limiter.probe.knee_run import KneeRun, Link
from touchstone.limiter.probe.sender import Sender
from touchstone.loadgen.inline_judge import Appraiser
from touchstone.loadgen.prepared_request import Shot
from touchstone.target.answer import Answer

_FREE = Ceiling(math.inf, 0.0)
# Answers that are kept besides those that break a promise.
_KEPT = 20


def _answered_s(story: ProbeStory) -> float:
    """How long an answer takes in the middle where few are asked for; 0 where none was let through."""
    times = [each.answer.done_at - each.answer.sent_at for each in story.answers if each.answer.accepted]
    return median(times) if times else 0.0


class KneeSeeker:
    """One search, or what is left of one that was interrupted.

    Args:
        case: What answers are judged under.

    Attributes:
        began: Whether the limiter is known and the search begins.
    """

    def __init__(
        self,
        handover: ProbeHandover,
        link: ProbeLink,
        sender: Sender,
        bounds: Bounds,
        appraiser: Appraiser,
        log: RunLogWriter,
        now: Callable[[], float],
        case: str,
    ) -> None:
        self.began = False
        self._handover, self._link, self._sender, self._bounds = handover, link, sender, bounds
        self._appraiser, self._log, self._now, self._case = appraiser, log, now, case
        self._kept = 0

    def seek(self, story: ProbeStory, identity: Identity) -> None:
        """Looks for the knee of the operation, and writes down each trial and what it came to.

        Args:
            identity: What is known of its limiter: where that is nothing sure, nothing is sent.
        """
        terms = knee_terms_of(story.probing.knee)
        assert terms is not None
        limit = ceiling(identity) or _FREE
        highest = None if math.isinf(limit.rate_per_s) else limit.rate_per_s
        left = KneeTerms(terms.slo_s, max(0, terms.most_requests - self._bounds.requests))
        search = Search(left, _answered_s(story), highest, story.probing.seed)
        for tried in story.tried:
            if tried.mark != "cut":
                search.ask(math.inf)
                search.hear(tried.trial, tried.outcome)
        if not identity.sure:
            search.stop("interrupted" if self._bounds.why == "interrupted" else "unsettled")
        elif not self._bounds.ended.is_set():
            self.began = True
            self._run(story, terms, limit.rest_s).run(search)
        else:
            search.stop("seconds" if self._bounds.why == "budget" else "interrupted")
        self._log.write(knee_event(search.known()))

    def _run(self, story: ProbeStory, terms: KneeTerms, rest_s: float) -> KneeRun:
        handover = self._handover
        shot = self._link.shot(story.probing.operation, handover.refs[0])
        target = handover.parsed_settings().target
        link = Link(handover.url, target, shot, self._now, handover.origin, handover.until_at)
        return KneeRun(link, terms.slo_s, rest_s, self._bounds, self._appraiser, self._judge, self._log)

    def _judge(self, shot: Shot, answer: Answer) -> int:
        """Judges an answer that looks like none before, and keeps what is worth keeping."""
        seq = self._sender.next_seq()
        seen = self._appraiser.appraise_look(shot, answer, 1, seq, self._case)
        if seen.findings or self._kept < _KEPT:
            self._kept += 1
            self._log.write(seen.exchange or self._link.shots.exchange(shot, answer, seq, self._case, 0.0))
        for finding in seen.findings:
            self._log.write(Occurrence(finding, self._case))
        return seen.look
