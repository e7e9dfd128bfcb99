"""Judges a probe when it is over: all exchanges by the rules that need one answer, and whether it found anything."""

import dataclasses
from collections import Counter
from pathlib import Path

from touchstone.check.run import given_contents
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.facts.events import Case, CaseOutcome, Footer, Notice, Occurrence, Remark, RunLog, tallies
from touchstone.facts.identity import Identity
from touchstone.facts.probe_events import ProbeStory
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.wording import chance_words, plural
from touchstone.limiter.knee import why_words
from touchstone.limiter.probe.loop import CASE
from touchstone.loadgen.judge import INLINE_RULES
from touchstone.rules.history import Bounds, History
from touchstone.rules.judge import Judge

TITLE = "Finds out which rate limiter is behind an operation."
UNSHOWN = "a probe does not set out to show it; `touchstone check` does"


def judge_probe_run(run_log: Path, settings: Settings, footer: Footer) -> Footer:
    """Writes what the rules say of a run into its log.

    Returns:
        The footer, with an exit code of 3 where the limiter is not known, or the knee that was looked for.
    """
    log = read(run_log)
    with RunLogWriter(run_log) as writer:
        _judge_exchanges(log, settings, writer)
        log = read(run_log)
        _note_unjudged(log, writer)
        if odd := _odd(log.probe):
            writer.write(Remark(odd))
        if not footer.exit_code and (reason := unsure(log.probe) or no_knee(log.probe)):
            footer = dataclasses.replace(footer, exit_code=3, reason=reason)
        if footer.exit_code and log.findings:  # they decide how the run ends, and its own reason would be lost
            writer.write(Remark(footer.reason))
    return footer


def unsure(story: ProbeStory | None) -> str:
    """Why a probe did not find its limiter, and what would help; empty where it did."""
    if story is None or story.identified is None:
        return "the probe ended before it knew anything"
    identity = story.identified.identity
    if identity.sure:
        return ""
    known = "the limiter is not known for sure"
    if identity.families:
        first = identity.families[0]
        known += f" ({first.family.replace('-', ' ')} with a probability of {chance_words(first.probability)})"
    elif identity.unlimited_to:
        known = f"no limit was met by {plural(identity.unlimited_to, 'request')}"
    whys = {"budget": _spent(story, identity), "nothing left to learn": "no request that may be sent would tell more"}
    return f"{known}: {whys.get(identity.why, 'it ended before that')}"


def no_knee(story: ProbeStory | None) -> str:
    """
    Why a probe does not know the knee that it was to find, and what would help; empty where it does, or was not to.
    """
    if story is None or story.probing.knee is None:
        return ""
    if story.knee is None:
        return "the probe ended before it knew anything of the knee"
    return "" if story.knee.is_known else f"the knee is not known: {why_words(story.knee)}"


def _spent(story: ProbeStory, identity: Identity) -> str:
    """Which budget is spent, and what raises it."""
    most = story.probing.terms
    builds = max([sum(each.may_have_begun for each in story.answers), *(heard.builds for heard in story.heard)])
    if identity.cost.requests >= most["most_requests"]:
        budget, flag = plural(most["most_requests"], "request"), "--max-requests"
    elif most["starts"] and builds >= most["most_builds"]:
        budget, flag = plural(most["most_builds"], "build"), "--max-builds"
    else:
        budget, flag = f"{most['most_s']:g} s", "--max-seconds"
    return f"the budget of {budget} is spent; raise {flag}"


def _odd(story: ProbeStory | None) -> str:
    """What was answered that shows nothing of a limiter, in a sentence; empty where nothing was."""
    answers = [answered for answered in story.answers if not answered.heeded] if story else []
    if story is None or not answers:
        return ""
    counts = Counter(f"status {answered.status}" if answered.status else "no answer" for answered in answers)
    others = ", ".join(f"{count:,} times {what}" for what, count in sorted(counts.items()))
    return f"of {plural(len(story.answers), 'limited request')} these told nothing of a limiter: {others}"


def _judge_exchanges(log: RunLog, settings: Settings, writer: RunLogWriter) -> None:
    """Judges what was sent; an answer to a limited request that shows nothing of a limiter breaks no promise."""
    bounds = Bounds(settings.target.build_timeout_s, settings.target.cancel_timeout_s)
    history = History(Contract.load(), bounds, given=given_contents(settings))
    judge = Judge(history, ledger_of_claims.load(), INLINE_RULES, (), settings.target.key_sources)
    unheeded = {answered.seq for answered in log.probe.answers if not answered.heeded} if log.probe else set()
    received = [each for each in log.exchanges if each.response and not (each.case == CASE and each.seq in unheeded)]
    judgements = [j for each in sorted(received, key=lambda each: each.done_at) for j in judge.see(each)]
    writer.write(*tallies(CASE, judgements))
    writer.write(*(Occurrence(judge.finding(j), CASE) for j in judgements if j.outcome == "broken"))
    for rule_id, error in judge.failed.items():
        writer.write(Case(f"rule.{rule_id}", "", "error", 0.0, (), f"the rule {rule_id} failed: {error}"))


def _note_unjudged(log: RunLog, writer: RunLogWriter) -> None:
    """Notes of each claim that nothing judged that a probe does not set out to show it."""
    judged = {tally.claim for tally in log.tallies} | {finding.claim for finding in log.findings}
    judged |= {notice.claim for notice in log.notices}
    writer.write(*(Notice(c.id, "not-applicable", UNSHOWN) for c in log.header.claims if c.id not in judged))
    outcome: CaseOutcome = "failed" if any(occurrence.case == CASE for occurrence in log.occurrences) else "passed"
    lasted_s = log.probe.last_at - log.probe.probing.began_at if log.probe else 0.0
    if not any(case.id == CASE for case in log.cases):
        writer.write(Case(CASE, TITLE, outcome, round(lasted_s, 3)))
