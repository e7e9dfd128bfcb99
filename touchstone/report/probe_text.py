"""A probe on a terminal: what was found, why it is no other, how to have the same, and what clients should do."""

from rich.console import Console
from rich.text import Text

from touchstone.facts.wording import chance_words, one_line
from touchstone.report.paragraphs import paragraph, told
from touchstone.report.probe_view import ProbeView
from touchstone.report.probe_words import family_words, free_words, limiter_words, others_words, readings


def write(probe: ProbeView, console: Console, *, advises: bool = False) -> None:
    """Writes the probe to *console*.

    Args:
        advises: Whether it is told what a client should do.
    """
    identity = probe.identity
    paragraph(console, probe.sentence, style="bold green" if identity.sure else "bold yellow")
    if not identity.sure and identity.tiers:
        paragraph(console, f"likeliest: {limiter_words(readings(identity.tiers), probe.noun)}", 2)
    for words in free_words(identity) if identity.tiers else ():
        paragraph(console, words, 2)
    _runners(probe, console)
    if identity.tiers:
        console.print(Text(f"  touchstone serve --rate {one_line(identity.text)}"), soft_wrap=True)
    if words := others_words(identity.others_share):
        paragraph(console, words, 2, "yellow")
    if probe.knee:
        paragraph(console, probe.knee.sentence, style="bold green" if probe.knee.knee.told else "bold yellow")
    console.print()
    _listed(console, "What answers say of the limit, and it does not do", identity.findings, "bold yellow")
    _listed(console, "Notes", identity.notes, "bold")
    if advises:
        write_advice(probe, console)


def write_advice(probe: ProbeView, console: Console) -> None:
    """Writes what a client should do."""
    _listed(console, "What a client should do", probe.advice.lines, "bold")


def _runners(probe: ProbeView, console: Console) -> None:
    """The family that comes next, and every one that is still likely where none stands out."""
    identity = probe.identity
    for runner in identity.families[1 : 2 if identity.sure else None]:
        line = Text.assemble("not ", (told(family_words(runner.family)), "bold")) if identity.sure else None
        line = line or Text.assemble("or ", (told(family_words(runner.family)), "bold"))
        line.append(f" ({chance_words(runner.probability)}, at best {told(runner.text)})" if runner.text else "")
        line.append(f": {told(runner.lost)}" if runner.lost else "")
        paragraph(console, line, 2)


def _listed(console: Console, title: str, lines: tuple[str, ...], style: str) -> None:
    if not lines:
        return
    paragraph(console, title, style=style)
    for line in lines:
        paragraph(console, line, 2)
    console.print()
