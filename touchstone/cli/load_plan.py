"""What a load would do and cost, on a terminal; nothing is sent."""

import numpy as np
from rich.console import Console
from rich.table import Table

from touchstone.check.embedded import at_twin
from touchstone.config import Settings, TargetSettings
from touchstone.facts.figures import figure
from touchstone.loadgen.loading import Wish, check_terms
from touchstone.loadgen.plan import Cost, Plan
from touchstone.loadgen.workloads import MAY_BUILD
from touchstone.report.narrow import fitted

_SECONDS_SHOWN = 12
# Where the embedded twin would listen: nothing is sent to it.
_ANYWHERE = "http://127.0.0.1:1"


def print_load_plan(plan: Plan, settings: Settings, wish: Wish, console: Console) -> None:
    """Prints a schedule by second, and what it costs in builds, requests and seconds.

    Raises:
        UsageError: it may not be carried out.
    """
    check_terms(settings, plan, wish)
    options, target = plan.options, settings.target
    timed = at_twin(settings, _ANYWHERE).target if target.embedded else target
    cost = plan.cost(timed.build_timeout_s, timed.patience_s, timed.cancel_timeout_s)

    def say(text: str) -> None:
        console.print(fitted(text, console), markup=False, highlight=False, soft_wrap=True)

    say(f"{options.scenario.name}: {options.scenario.says}")
    where, how = target.url or target.name, f"{options.model} model, seed {options.seed}"
    say(f"target {where}, arrivals {options.arrivals_text}, {how}")
    if options.model == "open":
        console.print(_table(plan))
    else:
        say(f"in turn   {_turns(plan)}")
    say(f"builds    {cost.builds:,} at most ({target.max_builds:,} are allowed)")
    say(f"requests  {_requests(plan, cost)}; {cost.around:,} of them set up and clear up")
    most_s = min(cost.most_seconds, settings.max_seconds or cost.most_seconds)
    say(f"seconds   {cost.least_seconds:,g} at least, {most_s:,g} at worst; without set-up, clean-up and slow answers")
    say(f"at worst  {_at_worst(cost, timed)}")


def _requests(plan: Plan, cost: Cost) -> str:
    options = plan.options
    if options.model == "open":
        return f"{cost.requests:,} if nothing is refused, {cost.most_requests:,} at worst"
    most = "" if cost.most_requests is None else f", {cost.most_requests:,} at worst"
    who = "1 client gets" if options.users == 1 else f"{options.users:,} clients get"
    return f"as many as {who} answered in {options.duration_s:g} s{most}"


def _turns(plan: Plan) -> str:
    """What the clients of a closed model send."""
    told = [(name in MAY_BUILD, f"{number:,} {name}") for name, number in plan.schedule.counts.items()]
    once = ", ".join(text for builds, text in told if builds)
    again = ", ".join(text for builds, text in told if not builds)
    return "; ".join(
        ([f"{again}, again and again"] if again else []) + ([f"{once}, no more than once each"] if once else [])
    )


def _at_worst(cost: Cost, target: TargetSettings) -> str:
    """What the figures at worst assume. A start that is refused comes back, and that is what makes them so large."""
    builds = f"every build takes {target.build_timeout_s:g} s"
    if not cost.per_refusal:
        return builds
    each = "1 request" if cost.per_refusal == 1 else f"{cost.per_refusal} requests"
    return f"every start is refused, and comes back each second for {target.patience_s:g} s ({each} a time); {builds}"


def _table(plan: Plan) -> Table:
    """Arrivals by second and action; a long schedule in as many equal spans as fit."""
    schedule = plan.schedule
    spans = min(_SECONDS_SHOWN, max(1, round(schedule.duration_s)))
    width_s = schedule.duration_s / spans
    table = Table(box=None, pad_edge=False)
    table.add_column("from s", justify="right")
    for name in schedule.names:
        table.add_column(name, justify="right")
    places = np.minimum((schedule.due_s / width_s).astype(int), spans - 1)
    for span in range(spans):
        counts = np.bincount(schedule.actions[places == span], minlength=len(schedule.names))
        table.add_row(figure(span * width_s), *(f"{count:,}" for count in counts))
    return table
