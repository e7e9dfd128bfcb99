"""Sentences that every report of a load run shares; their text is in assets/load.sentences.j2."""

from functools import cache

from jinja2 import Template

from touchstone.facts.sample import CUT_OFF
from touchstone.facts.wording import was
from touchstone.report import html
from touchstone.report.view import LoadView


@cache
def _template() -> Template:
    plain = html.environment().overlay(autoescape=False)
    plain.filters["was"] = was
    return plain.get_template("load.sentences.j2")


def sentence(name: str, *about: object) -> str:
    """Renders the macro *name* of the template on one line; empty if the sentence does not apply."""
    return " ".join(str(getattr(_template().module, name)(*about)).split())


def describe(load: LoadView) -> dict[str, str]:
    """Sentences about a load by name of their macro; a sentence that does not apply is empty."""
    found, began_at, numbers = load.capacity, load.workload.began_at, load.numbers
    cut_off = [row for one in numbers.operations for row in one.outcomes if row.outcome == CUT_OFF]
    return {
        "capacity": sentence("capacity", found) if found else "",
        "failed": sentence("failed", load.attempts),
        "beyond": sentence("beyond", found) if found else "",
        "closing": sentence("closing", *load.closing_counts),
        "silence": sentence("silence", load.silence, began_at) if load.silence else "",
        "pauses": sentence("pauses", load.pauses, began_at),
        "cut": sentence("cut", cut_off),
        "generator": sentence("generator", load.kept, began_at),
        "workload": sentence("workload", load.workload),
        **{name: sentence(name, numbers) for name in ("times", "timed", "remarks")},
    }
