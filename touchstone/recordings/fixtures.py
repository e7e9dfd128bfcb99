"""The pytest plugin for people who write clients of the API: a recording or a twin for each test that asks for one.

It is loaded into every pytest run of the environment, so nothing but pytest is imported until a test asks.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from touchstone.errors import HarnessError

if TYPE_CHECKING:
    from touchstone.recordings.servers import ServedRecording, ServedTwin

MARK = "build_twin"


class BuildRecordings:
    """Puts recordings on for one test, one at a time."""

    def __init__(self) -> None:
        self._recordings: list[ServedRecording] = []
        self._on: ServedRecording | None = None
        self._reported = 0

    def __call__(self, scenario: str | Path, speed: float = 0.0, folder: Path | None = None) -> "ServedRecording":
        """Serves a recording, in place of the one before; streams come *speed* times as fast, at once for 0.

        *scenario* is a path, or a name in *folder*, which without one is that of the embedded twin.
        """
        __tracebackhide__ = True
        from touchstone.recordings import reader, servers  # noqa: PLC0415 - heavy, and most runs need none of it

        self.take_off()
        try:
            recording = servers.ServedRecording(reader.read(servers.found(scenario, folder)), speed)
        except HarnessError as error:
            problem = str(error)
        else:
            recording.start()
            self._on = recording
            self._recordings.append(recording)
            return recording
        pytest.fail(f"build_recordings: {problem}")

    def take_off(self) -> None:
        """Lets clients reach the network again."""
        if self._on is not None:
            self._on.stop()
            self._on = None

    def news(self) -> str:
        """The requests without an answer since the last call; empty for none."""
        errors = [error for recording in self._recordings for error in recording.errors]
        new, self._reported = errors[self._reported :], len(errors)
        return "\n".join(dict.fromkeys(new))


_RECORDINGS = pytest.StashKey[BuildRecordings]()


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(fault, variant, rate, capacity, plan, ...): how the server of the fixture {MARK} behaves",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fails a test with a request that no recording could answer, whatever its client made of it."""
    try:
        result = yield
    except BaseException:
        if news := _news(item):
            item.add_report_section("call", "build_recordings", news)
        raise
    if news := _news(item):
        pytest.fail(news, pytrace=False)
    return result


def _news(item: pytest.Item) -> str:
    recordings = item.stash.get(_RECORDINGS, None)
    return recordings.news() if recordings else ""


@pytest.fixture
def build_recordings(request: pytest.FixtureRequest) -> Iterator[BuildRecordings]:
    """Serves recordings by the names of their scenarios, each at its *url*; the next takes the former off."""
    recordings = request.node.stash[_RECORDINGS] = BuildRecordings()
    yield recordings
    recordings.take_off()
    if news := recordings.news():
        pytest.fail(news, pytrace=False)


@pytest.fixture
def build_twin(request: pytest.FixtureRequest) -> "Iterator[ServedTwin]":
    """Starts a live server of the whole contract, which ``@pytest.mark.build_twin(capacity=1)`` configures."""
    from touchstone.recordings.servers import ServedTwin  # noqa: PLC0415 - heavy, and most runs need none of it

    try:
        twin = ServedTwin(**_options(request))
    except HarnessError as error:
        pytest.fail(f"@pytest.mark.{MARK}: {error}", pytrace=False)
    with twin:
        yield twin


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the markers of a test say, the nearest one last."""
    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARK))):
        if mark.args:
            pytest.fail(f"@pytest.mark.{MARK}: found {mark.args[0]!r}; expected names, e.g. capacity=1", pytrace=False)
        options |= mark.kwargs
    return options
