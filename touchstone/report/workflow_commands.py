"""
Commands that a step of GitHub Actions gives to its runner by printing them: how they are written, and kept from others.

Source: docs.github.com, "Workflow commands for GitHub Actions"; actions/runner, ActionCommand.cs.
"""

import re
from typing import Literal

from touchstone.facts.wording import clipped, one_line, visible

MAX_TITLE_CHARS = 200
MAX_MESSAGE_CHARS = 2_000

# The runner looks for `::` behind blanks and for `##[` anywhere in a line, which a carriage return ends as well.
# Colours are looked through: another runner may drop them first.
_BEGIN = re.compile(r"((?:^|\r)(?:\s|\x1b\[[0-9;]*m)*):(?=:)", flags=re.MULTILINE)


def inert(text: str) -> str:
    """The text, in which no line is a command: a blank stands where one would begin."""
    return _BEGIN.sub(r"\1: ", text).replace("##[", "# #[")


def annotation(kind: Literal["error", "warning"], title: str, message: str, file: str = "", line: int = 0) -> str:
    """The command that puts a remark beside a line of a file, or beside the run where no file is named.

    Args:
        line: From 1.
    """
    place = {"file": file, "line": str(line)} if file else {}
    properties = place | {"title": clipped(one_line(title), MAX_TITLE_CHARS)}
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{kind} {told}::{_data(clipped(visible(message), MAX_MESSAGE_CHARS))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
