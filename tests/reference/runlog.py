"""The page about the run log: each event with its fields, as the facts that it is read into say them."""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

from tests.reference.docstrings import attributes, fields, named, sentence, within
from tests.reference.marks import code, table
from tests.reference.notes import SAYS
from touchstone.facts import runlog
from touchstone.facts.finding import Finding

BEGINNING = """
# The run log

`runlog.jsonl` is what a run appends to and what every report is made from: one JSON object a line, ASCII only, schema
version {version}. The first line is the header; a log without a footer is one of a run that was cut short. An
unfinished last line is passed over, any other line that is no event makes the file foreign. Points in time whose names
end in `_at` are seconds since the run started, unless they are said to be dates. Keys never stand in it.

Fields have the names of the facts that the events are read into; some are written shorter than they are told here:
bodies are `{{"text": …}}` or `{{"base64": …}}` and are cut at 64 KiB, which `cut` tells with the full length; the
chunks of a stream are pairs of time and length; a histogram is its cells and its sum, least and most.
"""

ADDED = {
    "header": (("schema_version", "whole number", "Version of the format."),),
    "finding": (
        ("case", "text", "The case that met it; empty for none."),
        ("times", "whole number", "How often, where occasions that look alike were counted."),
    ),
}
# What report.json says of fields by the same names.
AS_REPORTED = {"header": "run", "finding": "findings[]", "tally": "claims[].judgements.*"}


def page() -> str:
    """The page."""
    facts = dict(_facts())
    rows = [(f"[`{kind}`](#{kind})", _is(kind, fact)) for kind, fact in facts.items()]
    parts = [BEGINNING.strip().format(version=runlog.SCHEMA_VERSION), table(("event", "is"), rows)]
    parts += [_section(kind, fact) for kind, fact in facts.items()]
    inner = _inner(facts.values())
    parts += ["## Values within events", *(f"### value: {one.__name__}\n\n{_told(one)}" for one in inner)]
    return "\n\n".join(parts)


def _facts() -> Iterator[tuple[str, Any]]:
    """What each event holds, by its type: header first, footer last."""
    for kind, fact in runlog.KINDS.items():
        yield kind, Finding if kind == "finding" else fact


def _is(kind: str, fact: Any) -> str:
    """What an event is: the fact that it is read into."""
    said = sentence(fact)
    return said[:1].upper() + said[1:]


def _section(kind: str, fact: Any) -> str:
    return f"## {kind}\n\n{_told(fact, ADDED.get(kind, ()), AS_REPORTED.get(kind, kind))}"


def _told(fact: Any, before: tuple[tuple[str, str, str], ...] = (), place: str = "") -> str:
    if not dataclasses.is_dataclass(fact):
        return sentence(fact)
    said = attributes(fact) if inspect.isclass(fact) else {}
    rows = [(code(name), kind, text) for name, kind, text in before]
    rows += [
        (code(name), named(kind), said.get(name) or SAYS.get(f"{place}.{name}", ""))
        for name, kind in fields(fact).items()
    ]
    return f"{sentence(fact)}\n\n{table(('field', 'type', 'is'), rows)}"


def _inner(facts: Any) -> list[type]:
    """The dataclasses that the fields of facts are made of, and theirs, each once."""
    found: dict[type, None] = {}
    ahead = list(facts)
    while ahead:
        fact = ahead.pop(0)
        if not dataclasses.is_dataclass(fact):
            continue
        for kind in fields(fact).values():
            fresh = [one for one in within(kind) if one not in found]
            found |= dict.fromkeys(fresh)
            ahead += fresh
    return list(found)
