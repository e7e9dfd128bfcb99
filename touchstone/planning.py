"""
Prints what a run would do and cost.
"""

import json

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.settings import Settings

# A ready version of each of two accounts, built on first use and kept to the end.
SHARED_BUILDS, SHARED_REQUESTS = 2, 20


def print_plan(text: str, settings: Settings, console: Console, *, shared: bool = True) -> None:
    """
    Prints the plan that the contract tests made of themselves: a row a case, then the sums.

    Args:
        shared: Whether the cases share ready versions.
    """
    shared_builds, shared_requests = (SHARED_BUILDS, SHARED_REQUESTS) if shared else (0, 0)
    cases = json.loads(text)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("case", overflow="fold")
    for title in ("claims", "builds", "requests"):
        table.add_column(title, justify="right")
    if shared:
        table.add_row(
            f"shared by the cases: {shared_builds} ready versions", "", str(shared_builds), str(shared_requests)
        )
    for case in cases:
        table.add_row(Text(case["case"]), str(len(case["claims"])), str(case["builds"]), str(case["requests"]))
    console.print(table)
    claims = {claim for case in cases for claim in case["claims"]}
    builds = shared_builds + sum(case["builds"] for case in cases)
    requests = shared_requests + sum(case["requests"] for case in cases)
    target = settings.target
    console.print(
        f"{len(cases)} cases, {len(claims)} claims; at most {builds} builds (budget {target.max_builds}) "
        f"and about {requests} requests besides polling and cleaning up; "
        f"nothing was sent to {target.url or 'the embedded twin'}",
        markup=False,
        highlight=False,
    )
    if builds > target.max_builds:
        console.print(
            f"the budget is smaller than the plan: a walk may be cut short; --max-builds {builds} lets all cases run",
            markup=False,
            highlight=False,
        )
