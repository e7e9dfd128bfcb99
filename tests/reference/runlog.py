"""The page about the run log: its form, and the types of its events."""

from tests.reference.docstrings import sentence
from tests.reference.marks import code, table
from touchstone.facts import runlog
from touchstone.facts.finding import Finding

BEGINNING = """
# The run log

Every run appends to `runlog.jsonl`, and every report is made from it. The file holds one JSON object a line, in ASCII,
schema version {version}. Each object has a `type`. The first line is the header. A log without a footer belongs to a
run that was cut short. Readers skip an unfinished last line. Any other line that is no event makes the file invalid.

Times that end in `_at` are seconds since the start of the run, except dates in ISO 8601. Bodies are `{{"text": …}}` or
`{{"base64": …}}`, cut at 64 KiB; `cut` then holds the full length. No event contains a key.

Fields have the names of the dataclasses in `touchstone/facts/` that events are read into.
"""


def page() -> str:
    """The page."""
    facts = {kind: Finding if kind == "finding" else fact for kind, fact in runlog.KINDS.items()}
    rows = [(code(kind), sentence(fact)) for kind, fact in facts.items()]
    return f"{BEGINNING.strip().format(version=runlog.SCHEMA_VERSION)}\n\n{table(('type', 'meaning'), rows)}"
