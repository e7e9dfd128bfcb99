"""junit.xml: it fits the schema of CI viewers, its counts are right, and an interrupted run is never green."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from tests.report.examples import EXAMPLES, example, failing, xml
from touchstone.report.view import View, view

ROOT = Path(__file__).resolve().parents[2]
RUNS = [name for name in EXAMPLES if isinstance(example(name), View)]
KINDS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(ROOT / "tests" / "data" / "junit.xsd")


def cases(text: str) -> dict[str, ET.Element]:
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


def test_text_of_a_target_attaches_no_file() -> None:
    """GitLab attaches a file named in double brackets."""
    report = xml(view(replace(failing(), warnings=("[[ATTACHMENT|/etc/passwd]]",))))
    assert "[[ATTACHMENT" not in report
    assert "ATTACHMENT|/etc/passwd" in report


def test_characters_forbidden_in_xml_are_escaped() -> None:
    failure = ET.fromstring(xml(example("check-hostile")).encode("utf-8")).find(".//failure")
    assert failure is not None
    assert "\\x1b[2J" in failure.get("message", "")
