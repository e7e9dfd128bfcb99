"""
The view as junit.xml: one test case for each claim and one for the run itself, so that no half-done run looks green.
"""

from collections import Counter
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from touchstone.facts.wording import clipped, one_line, visible
from touchstone.report.view import FindingView, View, describe_check
from touchstone.rules.verdict import ClaimVerdict

# What they are called in a checkout of ours.
LEDGER, THRESHOLDS = "openapi/claims.yaml", "load/thresholds.toml"
_MAX_MESSAGE_CHARS = 500
_MAX_TEXT_CHARS = 4_000
_KINDS = ("failure", "error", "skipped")


def render(view: View) -> str:
    """The report as JUnit XML; names carry neither times nor ids of the run, so that runs can be compared."""
    root = Element("testsuites", name="touchstone")
    findings: dict[str, list[FindingView]] = {}
    for finding in view.findings:
        findings.setdefault(finding.claim.id, []).append(finding)
    for subject in view.subjects:
        suite = SubElement(root, "testsuite", name=_clean(f"touchstone.{subject.name}"))
        for claim in subject.claims:
            _claim(suite, claim, findings.get(claim.claim.id, []))
    _run(SubElement(root, "testsuite", name="touchstone.run"), view)
    for suite in root:
        _count(suite, list(suite))
    _count(root, [case for suite in root for case in suite])
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _claim(suite: Element, item: ClaimVerdict, findings: list[FindingView]) -> None:
    case = _case(suite, item.claim.id)
    if item.claim.source:  # one that only a finding names is in no file
        case.set("file", THRESHOLDS if item.claim.source == THRESHOLDS else LEDGER)
    if item.verdict == "broken" and item.known:
        first = findings[0].finding
        _outcome(case, "skipped", f"known to be broken: expected {first.expected}; actual {first.actual}")
    elif item.holds_again:
        _outcome(case, "failure", "holds again: take its line out of the baseline", "holds-again")
    elif item.verdict == "broken":
        # One element per case: readers take only the first, so a claim's findings share it.
        first = findings[0].finding
        message = f"expected {first.expected}; actual {first.actual}"
        _outcome(case, "failure", message, f"broken-{item.claim.level}", "\n\n".join(map(_finding, findings)))
    elif item.verdict == "could-not-run" and item.claim.level == "must":
        _outcome(case, "error", item.reason, "could-not-run")
    elif item.verdict != "upheld":
        _outcome(case, "skipped", f"{item.verdict}: {item.reason}")
    lines = [f"{item.claim.level}: {item.claim.sentence}", f"source: {item.claim.source}"]
    lines += [f"{check.check}: {describe_check(check)}" for check in item.checks]
    SubElement(case, "system-out").text = _text("\n".join(lines))


def _run(suite: Element, view: View) -> None:
    # The rules judge what the run as a whole has seen, so that its time is the only one there is.
    case = _case(suite, "run.judged", view.duration_s)
    if view.exit_code not in (0, 1):
        _outcome(case, "error", view.reason, f"exit-{view.exit_code}")
    lines = [f"exit {view.exit_code}: {view.reason}", view.command, *view.warnings]
    lines += [f"left on the target: {ref}; `touchstone sweep` removes it" for ref in view.left_behind]
    lines += [f"may be left on the target: {ref}; `touchstone sweep` looks, and removes it" for ref in view.may_be_left]
    SubElement(case, "system-out").text = _text("\n".join(lines))


def _case(suite: Element, name: str, time_s: float = 0.0) -> Element:
    return SubElement(suite, "testcase", classname=suite.get("name", ""), name=_clean(name), time=f"{time_s:.3f}")


def _outcome(case: Element, kind: str, message: str, type_: str = "", text: str = "") -> None:
    element = SubElement(case, kind, message=clipped(_clean(message), _MAX_MESSAGE_CHARS))
    if type_:
        element.set("type", type_)
    element.text = _text(text or message)  # GitLab shows what is inside, Jenkins the message


def _finding(item: FindingView) -> str:
    times = "" if item.occurrences == 1 else f"\nmet {item.occurrences} times"
    return f"{item.finding.sentence()}{times}\n{item.finding.curl}"


def _count(element: Element, cases: list[Element]) -> None:
    kinds = Counter(child.tag for case in cases for child in case if child.tag in _KINDS)
    element.set("tests", str(len(cases)))
    element.set("failures", str(kinds["failure"]))
    element.set("errors", str(kinds["error"]))
    element.set("skipped", str(kinds["skipped"]))
    element.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def _clean(text: str) -> str:
    return one_line(text)


def _text(text: str) -> str:
    # GitLab and Jenkins attach the file that stands in such brackets, and a target may have written them.
    return clipped(visible(text), _MAX_TEXT_CHARS).replace("[[ATTACHMENT|", "[ [ATTACHMENT|")
