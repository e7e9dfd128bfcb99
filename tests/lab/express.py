"""The package `express-rate-limit` of npm: a fixed window that the first request of a caller opens."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tests.lab.counted import Counted, Operation
from tests.lab.processes import Command, Place, before_twin, program
from touchstone.twin import TwinSettings

_HERE = Path(__file__).resolve().parent

Fields = Literal["draft-6", "draft-7", "draft-8"]


def missing() -> str:
    """What has to be installed; empty where nothing has to be."""
    if not program("node"):
        return "Node.js is not installed: apt-get install nodejs npm"
    installed = (_HERE / "node_modules" / "express-rate-limit").is_dir()
    return "" if installed else "express-rate-limit is not installed: npm ci --prefix tests/lab"


@contextlib.contextmanager
def express_rate_limit(
    settings: TwinSettings,
    folder: Path,
    limit: int,
    window_s: float,
    fields: Fields | None = "draft-8",
    operation: Operation = "startBuild",
) -> Iterator[str]:
    """At most *limit* requests in a window.

    Args:
        fields: Which RateLimit fields stand in answers, and `Retry-After` with them; None for none at all.
    """
    counted = Counted.of(operation, settings)

    def command(place: Place) -> Command:
        options = {
            "listener": place.listener,
            "twin": f"http://{place.twin}",
            "method": counted.method,
            "path": counted.path,
            "limit": limit,
            "windowMs": round(window_s * 1000),
            "fields": fields or False,
        }
        return Command((program("node"), str(_HERE / "express.mjs"), json.dumps(options)))

    with before_twin(settings, folder, command) as url:
        yield url
