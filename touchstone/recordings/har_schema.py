"""Checks a document against the format HAR 1.2 (HTTP Archive), which har.schema.json beside this module spells out.

The format is taken as it is written in practice: what Chrome, Firefox and mitmproxy are known to leave out, or to
write as null, passes.
"""

import json
from functools import cache
from pathlib import Path

from touchstone.contract.document import Problem, Schema, resolved

_FORMAT = Path(__file__).with_name("har.schema.json")


def problems(document: object) -> tuple[Problem, ...]:
    """Every disagreement with the format, in the order of the pointers; numbers in them count as numbers.

    Args:
        document: The whole file as JSON reads it, `log` included.
    """
    return tuple(sorted(_schema().problems(document), key=_place))


@cache
def _schema() -> Schema:
    definition = resolved(json.loads(_FORMAT.read_text("utf-8")))
    # Each part stands where it is used now; left here, all would be checked against the meta-schema once more.
    del definition["$defs"]
    return Schema(definition)


def _place(problem: Problem) -> list[tuple[int, str]]:
    return [(int(step) if step.isdecimal() else -1, step) for step in problem.pointer.split("/")]
