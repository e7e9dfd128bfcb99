"""The table of characters that Hypothesis is given: it says what Hypothesis finds out by itself, and is read by it."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.internal.charmap import intervals_from_codec

from touchstone.check import tables


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder of Hypothesis with nothing in it."""
    set_hypothesis_home_dir(tmp_path / "hypothesis")
    yield tmp_path / "hypothesis"
    set_hypothesis_home_dir(None)


def encodable(character: str) -> bool:
    """Whether UTF-8 has it, and gives it back as it was."""
    try:
        return character.encode("utf-8").decode("utf-8") == character
    except UnicodeEncodeError:
        return False


def test_table_says_what_is_so() -> None:
    """Each interval ends where what can be encoded ends."""
    told, lossy = tables.UTF_8
    assert lossy == []
    for first, last in told:
        assert all(encodable(chr(code)) for code in (first, (first + last) // 2, last))
        assert not any(0 <= code <= 0x10FFFF and encodable(chr(code)) for code in (first - 1, last + 1))
    assert not any(encodable(chr(code)) for code in range(0xD800, 0xE000))


def test_table_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis looks for it where it was written and tries no character; one that is there is kept."""
    tables.provide()
    (written,) = home.glob(f"unicode_data/{unicodedata.unidata_version}/*")
    before = written.read_bytes()
    monkeypatch.setattr("sys.maxunicode", -2)  # to find it out, it would go through as many
    encodes, lossy = intervals_from_codec("utf-8")
    assert [list(encodes.intervals), list(lossy.intervals)] == list(tables.UTF_8)

    written.write_bytes(b"there before")
    tables.provide()
    assert (written.read_bytes(), list(written.parent.iterdir())) == (b"there before", [written])
    assert before != b"there before"


def test_folder_that_takes_nothing_is_left_alone(tmp_path: Path) -> None:
    """Where the table cannot be written the run goes on without it."""
    (tmp_path / "file").write_text("no folder")
    set_hypothesis_home_dir(tmp_path / "file" / "hypothesis")
    try:
        tables.provide()
    finally:
        set_hypothesis_home_dir(None)
    assert (tmp_path / "file").read_text() == "no folder"


def test_place_that_has_moved_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another release of Hypothesis may keep its tables elsewhere: it finds them out by itself."""
    monkeypatch.delattr("hypothesis.internal.charmap.charmap_file")
    tables.provide()
    assert not home.exists()
