"""Why a storm does not tell whether reads are charged."""

from dataclasses import replace

import pytest

from tests.loadlogs import Storm, worker
from tests.rules.exchanges import exchange
from touchstone.facts.events import Footer, RunLog
from touchstone.loadgen.not_judged import ASKED_AT_THE_END, unasked

UNFINISHED = "one client alone met a limit, but did not get through three rounds of it"
NO_END = f"{UNFINISHED}: the limit did not let it go on, or refused it no more; raise patience_s"


def storm(statuses: tuple[int, ...], number: int = 1) -> RunLog:
    """A storm whose client that asks the limit was answered so in one round."""
    note = {"limit": {"round": number, "phase": "burst"}}
    starts = (exchange("startBuild", status, seq=n, note=note) for n, status in enumerate(statuses))
    return replace(Storm(starts=12, capacity=3).run(), exchanges=tuple(starts))


@pytest.mark.parametrize(
    ("statuses", "verdict", "reason"),
    [
        ((), "indeterminate", "the run ended before one client alone asked the limit"),
        ((202, 202), "not-applicable", "one client alone met no limit with 2 starts one after the other"),
        ((202, 503), "indeterminate", "one client alone asked the limit, and a start ended with status 503"),
        ((202, 0), "indeterminate", "one client alone asked the limit, and a start ended with ReadTimeout: timed out"),
        ((429, 202), "indeterminate", NO_END),
        ((202, 429), "indeterminate", NO_END),
    ],
)
def test_storm_says_why_nothing_is_known_of_reads(statuses: tuple[int, ...], verdict: str, reason: str) -> None:
    """Where no limit was met there is nothing to charge; where it was not asked through, nobody knows."""
    (notice,) = unasked(storm(statuses, 2))

    assert (notice.claim, notice.verdict, notice.reason) == (ASKED_AT_THE_END, verdict, reason)


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ((), "--max-requests ended the run before one client alone asked the limit; raise it"),
        ((202, 429), f"{UNFINISHED}: --max-requests ended the run; raise it"),
        (
            (202,),
            (
                "one client alone met no limit with 1 start one after the other, "
                "and then --max-requests ended the run; raise it"
            ),
        ),
    ],
)
def test_advice_fits_what_ended_the_storm(statuses: tuple[int, ...], reason: str) -> None:
    """Who is to raise a bound is told which one, and who set none is told nothing of it."""
    log = replace(storm(statuses), workers=(worker(spent_at_s=9.0),))
    stopped = replace(log, footer=Footer("", 0.0, 130, "interrupted by SIGTERM", interrupted=True))

    (notice,), (of_stopped,) = unasked(log), unasked(stopped)
    assert (notice.verdict, notice.reason) == ("indeterminate", reason)
    assert "the run was interrupted by SIGTERM" in of_stopped.reason
    assert "raise" not in of_stopped.reason
