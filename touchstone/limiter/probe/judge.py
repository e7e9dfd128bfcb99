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
        return "the probe ended before it told what it knows"
    identity = story.identified.identity
    if identity.sure:
        return ""
    match identity.why:
        case "budget":
            why = _spent(story, identity)
        case "nothing left to learn":
            why = "no request that may be sent would tell more"
        case _:
            why = "it ended before that"
    return f"{_so_far(identity)}: {why}"


def no_knee(story: ProbeStory | None) -> str:
    """
    Why a probe does not tell the knee that it was to find, and what would help; empty where it does, or was not to.
    """
    if story is None or story.probing.knee is None:
        return ""
    if story.knee is None:
        return "the probe ended before it told what it knows of the knee"
    return "" if story.knee.is_known else f"the knee is not told: {why_words(story.knee)}"


def _spent(story: ProbeStory, identity: Identity) -> str:
    """Which budget is spent, and what raises it."""
    most = story.probing.terms
    # Of a start that was not answered nobody knows whether it began a build.
    builds = sum(each.answer.accepted or not each.status or each.status >= 500 for each in story.answers)
    builds = max([builds, *(heard.builds for heard in story.heard)])
    if identity.cost.requests >= most["most_requests"]:
        budget, flag = plural(most["most_requests"], "request"), "--max-requests"
    elif most["starts"] and builds >= most["most_builds"]:
        budget, flag = plural(most["most_builds"], "build"), "--max-builds"
    else:
        budget, flag = f"{most['most_s']:g} s", "--max-seconds"
    return f"the budget of {budget} is spent; raise {flag}"


def _so_far(identity: Identity) -> str:
    """What is known though it is not sure."""
    if identity.families:
        first = identity.families[0]
        likeliest = f"{first.family.replace('-', ' ')} with a probability of {chance_words(first.probability)}"
        return f"the limiter is not known for sure ({likeliest})"
    if identity.unlimited_to:
        return f"no limit was met by {plural(identity.unlimited_to, 'request')}"
    return "the limiter is not known for sure"


def _odd(story: ProbeStory | None) -> str:
    """What was answered that tells nothing of a limiter, in a sentence; empty where nothing was."""
    if story is None or all(answered.heeded for answered in story.answers):
        return ""
    answers = [answered for answered in story.answers if not answered.heeded]
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
    for judgement in judgements:
        if judgement.outcome == "broken":
            writer.write(Occurrence(judge.finding(judgement), CASE))
    for rule_id, error in judge.failed.items():
        writer.write(Case(f"rule.{rule_id}", "", "error", 0.0, (), f"the rule {rule_id} failed: {error}"))


def _note_unjudged(log: RunLog, writer: RunLogWriter) -> None:
    """Notes of each claim that nothing judged that a probe does not set out to show it."""
    judged = {tally.claim for tally in log.tallies} | {finding.claim for finding in log.findings}
    judged |= {notice.claim for notice in log.notices}
    for claim in log.header.claims:
        if claim.id not in judged:
            writer.write(Notice(claim.id, "not-applicable", UNSHOWN))
    story = log.probe
    outcome: CaseOutcome = "failed" if any(occurrence.case == CASE for occurrence in log.occurrences) else "passed"
    lasted_s = story.last_at - story.probing.began_at if story else 0.0
    if not any(case.id == CASE for case in log.cases):
        writer.write(Case(CASE, TITLE, outcome, round(lasted_s, 3)))
