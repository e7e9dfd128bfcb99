"""What a run would do and cost, without doing it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from touchstone.config import Settings

# Polls while one build runs: the pause between reads grows by half from 0.01 s to 1 s.
GENERATED_REQUESTS = {"quick": 1, "standard": 4, "thorough": 20}


@dataclass(frozen=True, slots=True)
class Cost:
    """At most how many builds a case begins, and about how many requests it sends besides polls."""

    builds: int
    requests: int


def cost_of(declared: Mapping[str, object], settings: Settings) -> Cost:
    """The cost that a case declares: numbers, or one number a profile."""
    return Cost(_number(declared.get("builds", 0), settings), _number(declared.get("requests", 0), settings))


def write_plan(cases: Sequence[tuple[str, tuple[str, ...], Cost]], path: Path) -> None:
    """Writes the plan as JSON to *path*."""
    rows = [
        {"case": name, "claims": list(claims), "builds": cost.builds, "requests": cost.requests}
        for name, claims, cost in cases
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")


def _number(value: object, settings: Settings) -> int:
    if isinstance(value, Mapping):
        value = value[settings.profile]
    return int(str(value))
