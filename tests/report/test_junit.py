"""The report for CI viewers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from touchstone.facts.runlog import read
from touchstone.report import junit
from touchstone.report.junit import LEDGER, THRESHOLDS
from touchstone.report.view import view

ROOT = Path(__file__).resolve().parents[2]


def parsed(path: Path) -> ET.Element:
    """The report of a run log, read back."""
    return ET.fromstring(junit.render(view(read(path))))


def outcomes(root: ET.Element) -> dict[str, str]:
    """By name of a test case, its outcome."""
    kinds = ("failure", "error", "skipped")
    return {
        case.get("name", ""): next((child.tag for child in case if child.tag in kinds), "passed")
        for case in root.iter("testcase")
    }


@pytest.mark.parametrize("name", ["passing", "failing"])
def test_report_is_as_agreed(name: str, golden: Callable[[str, str], None], request: pytest.FixtureRequest) -> None:
    """Names, classes, elements and their order stay as CI viewers know them."""
    golden(f"{name}.junit.xml", junit.render(view(read(request.getfixturevalue(f"{name}_run")))))


def test_verdicts_have_their_elements(failing_run: Path) -> None:
    """Broken is a failure, a must claim without a verdict an error, what did not apply is skipped."""
    found = outcomes(parsed(failing_run))
    expected = {
        "cancel.in-flight-is-202": "failure",
        "cancel.settles": "error",
        "access.below-scale-is-403": "skipped",
        "start.answers-202": "passed",
        "run.judged": "passed",
    }

    assert {name: found[name] for name in expected} == expected


def test_totals_are_those_of_the_cases(any_run: Path) -> None:
    """The numbers on suites and on the root are counted from the test cases below them."""
    root = parsed(any_run)
    for element in (root, *root.iter("testsuite")):
        below = list(element.iter("testcase"))
        expected = {
            "tests": len(below),
            "failures": sum(1 for case in below if case.find("failure") is not None),
            "errors": sum(1 for case in below if case.find("error") is not None),
            "skipped": sum(1 for case in below if case.find("skipped") is not None),
        }
        assert {key: int(element.get(key, "-1")) for key in expected} == expected
        times = [float(case.get("time", "-1")) for case in below]
        assert float(element.get("time", "-1")) == pytest.approx(sum(times))


def test_every_case_has_a_class_and_a_name_of_its_own(any_run: Path) -> None:
    """Viewers group by class and tell cases apart by name."""
    cases = [(case.get("classname"), case.get("name")) for case in parsed(any_run).iter("testcase")]

    assert len(set(cases)) == len(cases)
    assert all(str(classname).startswith("touchstone.") for classname, _ in cases)


def test_interrupted_run_is_not_green(interrupted_run: Path) -> None:
    """A run that did not reach its end is an error even where every claim it came to was upheld."""
    assert outcomes(parsed(interrupted_run))["run.judged"] == "error"


def test_names_do_not_depend_on_the_run(failing_run: Path) -> None:
    """Neither the id of the run nor its time is part of a name."""
    text = " ".join(f"{c.get('classname')} {c.get('name')}" for c in parsed(failing_run).iter("testcase"))

    assert "ab12" not in text
    assert "2026" not in text


def test_report_fits_the_schema(any_run: Path, schema: xmlschema.XMLSchema) -> None:
    """Elements, attributes and their forms are those that readers of JUnit XML know; no name comes twice."""
    schema.validate(junit.render(view(read(any_run))))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (' tests="', ' test="'),
        (' failures="1"', ' failures="one"'),
        (' time="54.900"', ' time="54.9 s"'),
        (' classname="touchstone.cancel"', ""),
        ('name="cancel.settles"', 'name="cancel.idle-is-404"'),
        ('name="touchstone.cancel" tests', 'name="touchstone.start" tests'),
        ("<failure ", "<failed "),
        (' type="broken-must"', ""),
        ("<system-out>", '<skipped message="x">x</skipped><system-out>'),
        (">the status was not read again within 30 s<", "><"),
        ("<testcase ", "<case "),
    ],
)
def test_schema_refuses_what_readers_would_not_show(
    was: str, becomes: str, failing_run: Path, schema: xmlschema.XMLSchema
) -> None:
    """The schema tells a report from one that has a fault."""
    report = junit.render(view(read(failing_run)))
    assert was in report
    spoilt = report.replace(was, becomes)
    if was.startswith("<") and "/" not in becomes:
        spoilt = spoilt.replace(f"</{was[1:-1]}>", f"</{becomes[1:-1]}>")
    assert not schema.is_valid(spoilt)


def test_case_names_the_file_that_states_its_claim(failing_run: Path) -> None:
    """A threshold is stated elsewhere than a promise; the run itself is in no file."""
    log = read(failing_run)
    limit = replace(log.header.claims[0], id="load.p99", subject="load", source=THRESHOLDS)
    claims = (*log.header.claims, limit)
    root = ET.fromstring(junit.render(view(replace(log, header=replace(log.header, claims=claims)))))
    files = {case.get("name"): case.get("file") for case in root.iter("testcase")}

    assert files["cancel.settles"] == LEDGER
    assert files["load.p99"] == THRESHOLDS
    assert files["run.judged"] is None
    assert all((ROOT / file).is_file() for file in files.values() if file)


def test_target_attaches_no_file(failing_run: Path) -> None:
    """GitLab takes a file in double brackets for an attachment, wherever in the output of a case it stands."""
    trick = "[[ATTACHMENT|/etc/passwd]]"
    log = read(failing_run)
    report = junit.render(view(replace(log, warnings=(trick,))))

    assert "[[ATTACHMENT" not in report
    assert "[ [ATTACHMENT|/etc/passwd]]" in report


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(ROOT / "tests" / "data" / "junit.xsd")


def test_hostile_text_is_valid_xml(hostile_run: Path) -> None:
    """Characters that XML forbids are spelt out, the rest is escaped, and the whole is UTF-8."""
    report = junit.render(view(read(hostile_run)))

    assert "\\x1b[2J" in ET.fromstring(report.encode("utf-8")).find(".//failure").get("message", "")  # type: ignore[union-attr]
