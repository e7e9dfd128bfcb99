"""The pytest plugin for tests of API clients: the fixtures `build_recordings` and `build_twin`.

pytest loads this plugin in every run of the environment. Heavy imports therefore wait until a test uses a fixture.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from touchstone.errors import HarnessError

if TYPE_CHECKING:
    from touchstone.recordings.servers import ServedRecording, ServedTwin

MARK = "build_twin"


class BuildRecordings:
    """Serves recordings to one test, one at a time."""

    def __init__(self) -> None:
        self._recordings: list[ServedRecording] = []
        self._serving = ExitStack()
        self._reported = 0

    def __call__(
        self, scenario: str | Path, speed: float = 0.0, folder: Path | None = None, *, serve: bool = False
    ) -> "ServedRecording":
        """Serves a recording in place of the previous one; with *serve*, over HTTP to any client.

        *speed* of streams: 1 as recorded, 0 without pauses.
        """
        __tracebackhide__ = True
        from touchstone.recordings import servers  # noqa: PLC0415 - heavy, and few runs need it

        self.stop()
        try:
            recording = servers.ServedRecording(servers.read(scenario, folder), speed, serve=serve)
        except HarnessError as error:
            pytest.fail(f"build_recordings: {error}", pytrace=False)
        self._serving.enter_context(recording.running())
        self._recordings.append(recording)
        return recording

    def stop(self) -> None:
        """Stops serving, so that clients reach the network again."""
        self._serving.close()

    def unreported(self) -> str:
        """Returns the requests since the last call that had no recorded response, one per line."""
        errors = [error for recording in self._recordings for error in recording.errors]
        new, self._reported = errors[self._reported :], len(errors)
        return "\n".join(dict.fromkeys(new))

    def advice(self) -> str:
        """Returns advice for a failed test in which no request has reached the recording."""
        is_idle = self._recordings and not self._recordings[-1].used
        return "no request has reached the recording; a client without httpx needs serve=True" if is_idle else ""


_RECORDINGS = pytest.StashKey[BuildRecordings]()


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker `build_twin`."""
    marker = f"{MARK}(fault, variant, rate, capacity, plan, ...)"
    config.addinivalue_line("markers", f"{marker}: options of the server of the fixture {MARK}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fails a test that sent a request without a recorded response, even if the client swallowed the error."""
    try:
        result = yield
    except BaseException:
        recordings = item.stash.get(_RECORDINGS, None)
        if text := recordings and (recordings.unreported() or recordings.advice()):
            item.add_report_section("call", "build_recordings", text)
        raise
    recordings = item.stash.get(_RECORDINGS, None)
    if recordings and (errors := recordings.unreported()):
        pytest.fail(errors, pytrace=False)
    return result


@pytest.fixture
def build_recordings(request: pytest.FixtureRequest) -> Iterator[BuildRecordings]:
    """Answers httpx clients from a recording; ``build_recordings("rate-limit").url`` is the base URL for the client."""
    recordings = request.node.stash[_RECORDINGS] = BuildRecordings()
    yield recordings
    recordings.stop()
    if errors := recordings.unreported():
        pytest.fail(errors, pytrace=False)


@pytest.fixture
def build_twin(request: pytest.FixtureRequest) -> "Iterator[ServedTwin]":
    """Starts a live server of the whole API; ``@pytest.mark.build_twin(capacity=1)`` configures it."""
    from touchstone.recordings.servers import ServedTwin  # noqa: PLC0415 - heavy, and few runs need it

    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARK))):  # the marker nearest to the test wins
        if mark.args:
            problem = f"found {mark.args[0]!r}; expected keywords, e.g. capacity=1"
            pytest.fail(f"@pytest.mark.{MARK}: {problem}", pytrace=False)
        options |= mark.kwargs
    try:
        twin = ServedTwin(**options)
    except HarnessError as error:
        pytest.fail(f"@pytest.mark.{MARK}: {error}", pytrace=False)
    with twin:
        yield twin
