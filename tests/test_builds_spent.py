"""
No command begins more builds than --max-builds says, on servers that begin some and do not say so; the server counts.
"""

from pathlib import Path

import pytest

from tests.command import Shell
from tests.counted import SERVERS, counted

SETTINGS = """
[targets.counted]
url = "{url}"
request_timeout_s = 3.0
build_timeout_s = 5.0
cancel_timeout_s = 2.0
patience_s = 1.0
"""


def begun(folder: Path, server: str, *words: str) -> int:
    """How many builds a command began."""
    twin, builds = counted(server)
    with twin:
        (folder / "touchstone.toml").write_text(SETTINGS.format(url=twin.url), "utf-8")
        ended = Shell(folder).run(*words, "--target", "counted")
    assert ended.code in (0, 1, 3), ended.err
    return len(builds)


@pytest.mark.parametrize("server", SERVERS)
def test_check_begins_no_more_than_it_may(tmp_path: Path, server: str) -> None:
    """Whatever cases start, publish and send side by side."""
    claims = "start.concurrent*,publish.*,limit.refused-start-starts-nothing"
    words = ("check", "--profile", "quick", "--claims", claims, "--max-builds", "5")
    assert 0 < begun(tmp_path, server, *words) <= 5


@pytest.mark.parametrize("server", SERVERS)
def test_record_begins_no_more_than_it_may(tmp_path: Path, server: str) -> None:
    """The same where scenarios are played."""
    scenarios = ("fresh-build", "joined-build", "auto-build", "failed-build")
    assert 0 < begun(tmp_path, server, "record", *scenarios, "--max-builds", "3") <= 3


@pytest.mark.whole
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("most", "words"),
    [
        (6, ("load", "steady", "--duration", "1", "--rate", "6", "--mix", "start=100")),
        (10, ("probe", "--max-seconds", "6")),
    ],
    ids=["load", "probe"],
)
def test_load_and_probe_begin_no_more_than_they_may(
    tmp_path: Path, server: str, most: int, words: tuple[str, ...]
) -> None:
    """Nor do many clients at once, whose builds are planned before any is begun."""
    assert 0 < begun(tmp_path, server, *words, "--max-builds", str(most)) <= most
