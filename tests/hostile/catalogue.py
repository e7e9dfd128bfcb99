"""All flaws by name."""

from tests.hostile import bodies, connections, detours, heads, logs
from tests.hostile.server import Flaw

FLAWS: dict[str, Flaw] = {one.name: one for part in (connections, heads, bodies, logs, detours) for one in part.ALL}
