"""Each kind of report in each format equals its golden file."""

from collections.abc import Callable

import pytest

from tests.report.examples import EXAMPLES, Report, document, example, page, pipeline, terminal, xml
from tests.report.golden import agrees
from tests.report.markup import Markup

Render = Callable[[Report], str]
WITH_PAGE = "check-known load-storm load-workers knee-found proof-flawed compare-checks compare-loads"
FORMATS: dict[str, tuple[Render, str]] = {
    "txt": (terminal, " ".join(name for name in EXAMPLES if "hostile" not in name)),
    "narrow.txt": (
        lambda report: terminal(report, 40),
        "check-failing load-storm probe-unsure proof-flawed compare-loads compare-checks",
    ),
    "page.txt": (
        lambda report: "\n".join(Markup(page(report)).outline) + "\n",
        f"{WITH_PAGE} probe-unsure probe-queue",
    ),
    "json": (document, f"{WITH_PAGE} load-fallen probe-bucket"),
    "junit.xml": (xml, "check-known check-interrupted load-steady"),
    "summary.md": (pipeline, "check-passing check-known check-interrupted load-storm proof-flawed"),
}


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for form, (_, names) in FORMATS.items() for name in names.split()]
)
def test_report_equals_its_golden_file(name: str, form: str) -> None:
    render, _ = FORMATS[form]
    agrees(f"{name}.{form}", render(example(name)))
