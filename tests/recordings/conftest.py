"""Commands about recordings, run in this process."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.command import KEYS, Ended, Shell
from tests.inline import inline

Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command in the temporary folder, with these keys in its environment."""

    def command(*arguments: str, keys: Mapping[str, str] = KEYS) -> Ended:
        return inline(Shell(tmp_path, keys), *arguments)

    return command
