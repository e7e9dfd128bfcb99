"""Tells of a settings file in a folder above, where a command that found none here takes the embedded twin."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from touchstone.config import Flags
from touchstone.config_file import find
from touchstone.facts.wording import one_line
from touchstone.report.terminal import say

_NAME = "touchstone.toml"


def tell_overlooked(flags: Flags, environ: Mapping[str, str], doing: str) -> None:
    """Says on stderr what `overlooked` finds for the working directory.

    Args:
        doing: What the command does with the embedded twin, such as ``judging``.
    """
    folder = overlooked(flags, environ, Path.cwd())
    if folder:
        say(Console(stderr=True), one_line(f"no {_NAME} here, but in {folder}: {doing} the embedded twin"))


def overlooked(flags: Flags, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The nearest folder above with a settings file, up to a checkout's root; None where nothing was overlooked.

    Raises:
        UsageError: the file that is here cannot be read.
    """
    named = (flags.target, flags.url, flags.config, environ.get("TOUCHSTONE_TARGET"), environ.get("ORGO_BASE_URL"))
    here = find(None, cwd)
    if any(named) or here.name == _NAME or here.run or here.targets:
        return None
    for folder in (cwd, *cwd.parents):
        try:
            if folder != cwd and (folder / _NAME).is_file():
                return folder
            if (folder / ".git").exists():
                return None
        except OSError:  # it may not be looked into
            continue
    return None
