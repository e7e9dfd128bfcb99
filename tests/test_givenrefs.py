"""A ref in the settings that leads to no version is the caller's mistake, and is said before anything is judged."""

from pathlib import Path

import httpx
import pytest
import respx

from tests.command import PRIMARY, RESTRICTED, Command, Shell
from tests.watched import Watched
from touchstone.check.preflight import check_given
from touchstone.config import TargetSettings, Templates
from touchstone.contract.document import Contract
from touchstone.errors import TargetError
from touchstone.facts.exchange import Exchange
from touchstone.target.call import Keys
from touchstone.target.transport import Transport

THERE, GONE, HALF = "default/there@1.0.0", "default/gone@1.0.0", "default/half@1.0.0"


def read_with(publish: str, low: str | None = RESTRICTED, **refs: str) -> list[Exchange]:
    """What is read of a server that has one version, and denies one of the two pages of another one."""
    sent: list[Exchange] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        is_there = "/there/" in path or ("/half/" in path and not path.endswith("/build"))
        return httpx.Response(200 if is_there else 404, json={})

    keys = Keys(PRIMARY, None, low)
    transport = Transport("http://host/api", keys, Contract.load(), sent.append)
    templates = Templates(**{name: (ref,) for name, ref in refs.items()})
    target = TargetSettings("a", restricted_api_key=low, publish=publish, templates=templates)  # type: ignore[arg-type]  # one of the three
    with respx.mock(assert_all_called=False) as router:
        router.route().mock(side_effect=answer)
        try:
            check_given(transport, target)
        finally:
            transport.close()
    return sent


@pytest.mark.parametrize(
    ("refs", "told"),
    [
        ({"buildable": GONE}, f"buildable: {GONE} answers 404 with this key; publish it or correct the ref"),
        ({"buildable": THERE, "failing": GONE}, f"failing: {GONE} answers 404 with this key; publish it or"),
        (
            {"restricted": GONE},
            f"restricted: {GONE} answers 404 with the restricted key; publish it or correct the ref",
        ),
    ],
)
def test_ref_that_is_not_there_is_named(refs: dict[str, str], told: str) -> None:
    """The message has the list, the ref and the key that does not find it."""
    with pytest.raises(TargetError) as error:
        read_with("never", **refs)
    assert str(error.value).startswith(told)


def test_version_that_is_there_is_read_once() -> None:
    """One read of each is enough; a server that denies one of two pages is left to the rules."""
    sent = read_with("never", buildable=THERE, failing=HALF)
    assert [(each.operation, each.ref) for each in sent] == [
        ("getBuild", THERE),
        ("getBuild", HALF),
        ("getTemplate", HALF),
    ]


def test_refs_that_the_run_does_not_use_are_not_read() -> None:
    """A run that publishes takes its own templates, and nobody reads with a key that there is not."""
    assert read_with("raw", None, buildable=GONE, failing=HALF, restricted="default/gone-too@1.0.0") == []


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--profile", "quick", "--claims", "reuse.ready-at-once"),
        ("load", "steady", "--duration", "1"),
    ],
)
def test_misspelt_ref_is_no_fault_of_the_server(tmp_path: Path, call: Command, words: tuple[str, ...]) -> None:
    """The run ends with 3 before anything is judged, and the last line names the ref."""
    with Watched() as watched:
        (tmp_path / "touchstone.toml").write_text(
            f'[targets.a]\nurl = "{watched.url}"\napi_key = "{PRIMARY}"\npublish = "never"\n'
            f'templates.buildable = ["{GONE}"]\n'
        )
        ended = call(Shell(tmp_path), *words, "--target", "a")
        assert watched.launched == []
    assert ended.code == 3
    assert f"buildable: {GONE} answers 404 with this key; publish it or correct the ref" in ended.last_line
    assert ended.report()["findings"] == []
