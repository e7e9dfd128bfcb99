"""The tutorial works word for word for somebody who has nothing but it."""

from pathlib import Path

import pytest

from tests.followed import ROOT, Reader
from tests.stages import free_port

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")


def followed(document: str, folder: Path) -> None:
    """Follows it, in a folder of its own."""
    # The environment that runs the tests is the one that would be installed.
    instead = {
        "make install": f"make -C {ROOT} --no-print-directory -o .venv/.ready install",
        "/tmp/tour": str(folder / "tour"),
        "8123": str(free_port()),
    }
    with Reader(folder, instead) as reader:
        wrong = reader.follow(document)
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)
    assert reader.folder == folder / "tour"


@pytest.mark.alone
def test_tutorial_works_word_for_word(tmp_path: Path) -> None:
    """Each command of the tutorial, in order, prints what is shown below it."""
    followed(TUTORIAL, tmp_path)
