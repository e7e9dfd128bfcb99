"""junit.xml of a run: a test case for each claim, and one for the run, so that an interrupted run never passes."""

from collections import defaultdict

from touchstone.facts.wording import clipped, one_line, visible
from touchstone.report import html
from touchstone.report.view import FindingView, View
from touchstone.rules.verdict import ClaimVerdict

Outcome = tuple[str, str, str, str]  # XML element in a test case (empty for a pass), its type, its message, its text
_PASSED = ("", "", "", "")


def render(view: View) -> str:
    """JUnit XML of a run. Names of test cases contain no time or run id, so that tools can compare runs."""
    findings: dict[str, list[FindingView]] = defaultdict(list)
    for finding in view.findings:
        findings[finding.claim.id].append(finding)
    outcomes = {item.claim.id: _outcome(item, findings[item.claim.id]) for item in view.verdict.claims}
    of_run = _PASSED if view.exit_code in (0, 1) else ("error", f"exit-{view.exit_code}", view.reason, "")
    if view.exit_code == 1 and view.header.expired:
        of_run = ("failure", "expired", view.reason, "")
    jinja = html.environment().overlay()
    jinja.filters |= {"message": lambda text: clipped(one_line(text), 500), "text": _text}
    return jinja.get_template("junit.xml.j2").render(view=view, outcomes=outcomes, of_run=of_run) + "\n"


def _outcome(item: ClaimVerdict, findings: list[FindingView]) -> Outcome:
    if item.holds_again:
        return "failure", "holds-again", "holds again: remove its line from the baseline", ""
    if item.verdict == "broken":
        first = findings[0].finding
        message = f"expected {first.expected}; actual {first.actual}"
        if item.excuse:
            return "skipped", "", f"{'known to be' if item.known else 'newer, and'} broken: {message}", ""
        # Viewers show only the first element of a test case, so one element has all findings of the claim.
        return "failure", f"broken-{item.claim.level}", message, "\n\n".join(map(_finding, findings))
    if item.verdict == "could-not-run" and item.claim.level == "must" and not item.new:
        return "error", "could-not-run", item.reason, ""
    return _PASSED if item.verdict == "upheld" else ("skipped", "", f"{item.verdict}: {item.reason}", "")


def _finding(item: FindingView) -> str:
    times = "" if item.occurrences == 1 else f"\noccurred {item.occurrences} times"
    return f"{item.finding.sentence()}{times}\n{item.finding.curl}"


def _text(text: str) -> str:
    # GitLab and Jenkins attach the file that such brackets name. Text of a target must not name one.
    return clipped(visible(text), 4_000).replace("[[ATTACHMENT|", "[ [ATTACHMENT|")
