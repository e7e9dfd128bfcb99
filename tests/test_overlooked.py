"""A settings file in a folder above is not taken in silence for none."""

from pathlib import Path

import pytest

from tests.command import Shell, called
from touchstone.cli.overlooked import overlooked
from touchstone.config import Flags

SETTINGS = '[targets.staging]\nurl = "http://127.0.0.1:9/api"\napi_key = "sk_live_test"\n'


@pytest.fixture
def below(tmp_path: Path) -> Path:
    """A folder two below one with a settings file, as far up as anybody looks."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "touchstone.toml").write_text(SETTINGS, "utf-8")
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("command", "doing"),
    [
        ("check", "judging"),
        ("load steady", "loading"),
        ("probe", "probing"),
        ("record", "recording"),
        ("drift", "comparing with"),
    ],
)
def test_settings_above_are_told_before_the_twin_is_taken(
    below: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, doing: str
) -> None:
    """One line on stderr says where they are and what is done instead."""
    ended = called(Shell(below, {}), monkeypatch, capsys, *command.split(), "--plan")

    assert ended.code == 0
    told = f"no touchstone.toml here, but in {below.parent.parent}: {doing} the embedded twin"
    assert " ".join(ended.err.split()) == told


@pytest.mark.parametrize(
    ("flags", "environ"),
    [
        (Flags(target="twin"), {}),
        (Flags(url="http://127.0.0.1:9/api"), {}),
        (Flags(config=Path("mine.toml")), {}),
        (Flags(), {"TOUCHSTONE_TARGET": "twin"}),
        (Flags(), {"ORGO_BASE_URL": "http://127.0.0.1:9/api"}),
    ],
)
def test_target_that_was_named_overlooks_nothing(below: Path, flags: Flags, environ: dict[str, str]) -> None:
    """Who says what is to be judged knows it."""
    assert overlooked(flags, environ, below) is None


def test_nearest_folder_is_told(below: Path) -> None:
    """Of several the one that is next, and none where one is here."""
    (below.parent / "touchstone.toml").write_text(SETTINGS, "utf-8")
    assert overlooked(Flags(), {}, below) == below.parent
    (below / "touchstone.toml").write_text("", "utf-8")
    assert overlooked(Flags(), {}, below) is None


@pytest.mark.parametrize(("content", "found"), [("[tool.touchstone]\nseed = 4\n", False), ("[project]\n", True)])
def test_pyproject_counts_where_it_is_about_touchstone(below: Path, content: str, found: bool) -> None:
    """A package below has a pyproject.toml of its own, which is no settings file by that alone."""
    (below / "pyproject.toml").write_text(content, "utf-8")
    assert (overlooked(Flags(), {}, below) is not None) is found


def test_nobody_looks_beyond_a_checkout(below: Path) -> None:
    """What is above the root of a checkout is about something else; a worktree has a file there."""
    (below.parent / ".git").write_text("gitdir: elsewhere\n", "utf-8")
    assert overlooked(Flags(), {}, below) is None
