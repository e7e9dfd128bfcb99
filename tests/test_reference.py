"""The reference in docs/ is the one that the code makes, and leaves nothing unsaid."""

from pathlib import Path

import pytest

from tests.reference import __main__ as maker
from tests.reference import settings
from tests.reference.claims import link
from tests.reference.pages import FOLDER, pages
from touchstone.contract import claims
from touchstone.proof.faults import FAULTS

PAGES = pages()
ADVICE = "docs/reference/ is older than the code: run `make docs` and commit what it writes"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_the_one_that_the_code_makes(name: str) -> None:
    """The committed page is what the code says now."""
    path = FOLDER / name
    assert path.exists(), ADVICE
    # Not compared by ==, whose report would be the difference of two long texts in place of the advice.
    is_same = path.read_text("utf-8") == PAGES[name]
    assert is_same, f"{name}: {ADVICE}"


def test_what_is_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever makes the reference anew sees which pages it changed, and that it was made where it changed none."""
    folder = tmp_path / "docs" / "reference"
    folder.mkdir(parents=True)
    (folder / "old.md").write_text("old", "utf-8")
    for name, value in {"ROOT": tmp_path, "FOLDER": folder, "pages": lambda: {"a.md": "a", "b.md": "b"}}.items():
        monkeypatch.setattr(maker, name, value)
    maker.main()
    written = ["docs/reference/a.md: written", "docs/reference/b.md: written"]
    whole = "docs/reference/: 2 pages, 2 of them changed"
    assert capsys.readouterr().out.splitlines() == ["docs/reference/old.md: removed", *written, whole]
    maker.main()
    assert capsys.readouterr().out == "docs/reference/: 2 pages, 0 of them changed\n"


def test_every_page_is_made() -> None:
    """No page lies in the folder that nothing makes."""
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES), ADVICE


def test_every_setting_says_what_it_is() -> None:
    """
    The settings and the variables have a sentence each; one without is to be told of in the docstring of its class.
    """
    assert [name for _, _, keys, _ in settings.PARTS for name, key in keys.items() if not key.description] == []
    assert [name for name in settings.variables() if name not in settings.VARIABLES] == []


def test_every_field_that_any_run_reports_says_what_it_is() -> None:
    """What report.json holds of every run has a sentence each, whether it is read from a docstring or from the list."""
    rows = PAGES["report.md"].partition("## Load runs")[0].splitlines()
    fields = [row.split(" | ") for row in rows if row.startswith("| `")]
    assert [row[0] for row in fields if len(row) < 3 or row[2] in ("", " |")] == []
    assert len(fields) > 40


def test_claims_and_faults_lead_to_each_other() -> None:
    """A claim names each fault that proves it, and the fault names the claim."""
    by_claim = {part.split("\n", 1)[0]: part for part in PAGES["claims.md"].split("\n### ")[1:]}
    rows = {row.split('"')[1]: row for row in PAGES["faults.md"].splitlines() if row.startswith("| <a id=")}
    assert set(rows) == set(FAULTS)
    for name, fault in FAULTS.items():
        for claim in fault.breaks:
            assert f"[`{name}`](faults.md#{name})" in by_claim[claim]
            assert link(claim) in rows[name]
    judged = [*claims.load().judged(), *claims.load().judged("load")]
    assert set(by_claim) == {claim.id for claim in judged}
