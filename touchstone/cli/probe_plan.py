"""What a probe would do and cost, on a terminal; nothing is sent."""

from rich.console import Console

from touchstone.config import Settings
from touchstone.facts.wording import plural
from touchstone.limiter.probe.command import Wish, check_terms, needs
from touchstone.limiter.terms import worst
from touchstone.report.terminal import fitted


def print_probe_plan(settings: Settings, wish: Wish, console: Console) -> None:
    """Prints what is found out about what, and what that costs at worst.

    Raises:
        UsageError: it may not be carried out.
    """
    check_terms(settings, wish)
    terms, target = wish.terms, settings.target
    cost, versions = worst(terms), len(needs(settings, terms).needs)

    def say(text: str) -> None:
        console.print(fitted(text, console), markup=False, highlight=False, soft_wrap=True)

    say(f"probe: finds out which limiter is behind {wish.operation}, and with which numbers")
    say(f"target {target.url or target.name}, seed {terms.seed}, one client with the first key")
    if wish.knee:
        say(
            f"then finds the knee of {wish.operation}: the highest rate at which 99 % are answered within "
            f"{1e3 * wish.knee.slo_s:g} ms. A LOAD: it asks for more than the target can answer, for some seconds"
        )
    say(f"before    {_before(settings, versions)}")
    if terms.starts:
        say(
            "each build is cancelled as soon as its start is answered, but for those that show how many may be in "
            f"flight at once, {terms.most_held:,} at most"
        )
    most = wish.knee.most_requests if wish.knee else cost.requests
    say(f"requests  {most:,} at worst, all of which may be refused; {_beside(terms.starts)}")
    say(f"builds    {cost.builds:,} at worst")
    say(f"seconds   {cost.seconds:,g} at worst; without set-up and clean-up")


def _before(settings: Settings, versions: int) -> str:
    if settings.target.publish == "never":
        return f"publishes nothing, and uses {plural(versions, 'version')} of templates.buildable"
    return f"publishes {plural(versions, 'version')}, which {'is' if versions == 1 else 'are'} deleted at the end"


def _beside(starts: bool) -> str:
    return "besides, each build is cancelled and read until it has ended" if starts else "nothing is built"
