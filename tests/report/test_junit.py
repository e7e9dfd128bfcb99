"""junit.xml: it fits the schema of CI viewers, counts what it holds, and no half-done run looks green."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from tests.report.examples import EXAMPLES, example, failing, xml
from touchstone.report.junit import LEDGER, THRESHOLDS
from touchstone.report.view import View, view

ROOT = Path(__file__).resolve().parents[2]
RUNS = [name for name in EXAMPLES if isinstance(example(name), View)]
KINDS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(ROOT / "tests" / "data" / "junit.xsd")


def cases(text: str) -> dict[str, ET.Element]:
    """The test cases by name."""
    return {case.get("name", ""): case for case in ET.fromstring(text).iter("testcase")}


@pytest.mark.parametrize("name", RUNS)
def test_report_fits_the_schema_and_counts_its_cases(name: str, schema: xmlschema.XMLSchema) -> None:
    text = xml(example(name))
    schema.validate(text)
    root = ET.fromstring(text.encode("utf-8"))
    for element in (root, *root.iter("testsuite")):
        below = list(element.iter("testcase"))
        counts = {key: sum(case.find(kind) is not None for case in below) for key, kind in KINDS.items()}
        assert {key: int(element.get(key, "-1")) for key in ("tests", *KINDS)} == {"tests": len(below), **counts}
        assert float(element.get("time", "-1")) == pytest.approx(sum(float(case.get("time", "-1")) for case in below))


@pytest.mark.parametrize(
    ("run", "name", "outcome"),
    [
        *(("check-failing", "cancel.in-flight-is-202", "failure"), ("check-failing", "cancel.settles", "error")),
        *(("check-failing", "access.below-scale-is-403", "skipped"), ("check-failing", "start.answers-202", None)),
        *(("check-known", "cancel.in-flight-is-202", "skipped"), ("check-known", "start.answers-202", "failure")),
        *(("check-failing", "run.judged", None), ("check-interrupted", "run.judged", "error")),
    ],
)
def test_verdict_has_its_element(run: str, name: str, outcome: str | None) -> None:
    found = [child.tag for child in cases(xml(example(run)))[name] if child.tag in KINDS.values()]
    assert found == ([outcome] if outcome else [])


def test_case_names_the_file_that_states_its_claim() -> None:
    log = failing()
    limit = replace(log.header.claims[0], id="load.p99", subject="load", source=THRESHOLDS)
    found = cases(xml(view(replace(log, header=replace(log.header, claims=(*log.header.claims, limit))))))
    names = ("cancel.settles", "load.p99", "run.judged")
    assert [found[name].get("file") for name in names] == [LEDGER, THRESHOLDS, None]


def test_target_attaches_no_file() -> None:
    """GitLab takes a file in double brackets for an attachment, wherever in the output of a case it stands."""
    report = xml(view(replace(failing(), warnings=("[[ATTACHMENT|/etc/passwd]]",))))
    assert "[[ATTACHMENT" not in report
    assert "ATTACHMENT|/etc/passwd" in report


def test_characters_that_xml_forbids_are_spelt_out() -> None:
    failure = ET.fromstring(xml(example("check-hostile")).encode("utf-8")).find(".//failure")
    assert failure is not None
    assert "\\x1b[2J" in failure.get("message", "")
