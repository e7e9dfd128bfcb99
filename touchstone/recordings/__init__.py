"""Recordings: HAR files. They are recorded, replayed, compared with a live target, and served to tests."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import respx


def router(
    scenario: str | Path, base_url: str = "https://builds.test/api", speed: float = 0.0, **options: Any
) -> "respx.MockRouter":
    """A respx router that answers from a recording, by the history of each version.

    Args:
        scenario: Name of a recording, such as ``rate-limit``, or the path of a HAR file.
        base_url: Base URL of the client; the router answers below it.
        speed: Speed of event streams: 1 as recorded, 0 without pauses.
        options: Other options of `respx.mock`, such as ``assert_all_called=False``.

    Raises:
        UsageError: an argument is invalid, or names no recording.
        RecordingError: the file is no recording.
    """
    import respx  # noqa: PLC0415 - heavy, and few runs need it

    from touchstone.recordings import servers  # noqa: PLC0415

    recording = servers.read(scenario)
    route = servers.RecordedRoute(recording, speed, base_url)
    result = respx.MockRouter(base_url=base_url, **options)
    result.add(route, name=recording.name)
    return result
