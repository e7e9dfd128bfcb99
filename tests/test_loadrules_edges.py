"""The edges of the load rules: what no verdict can be built on, and what is blamed for what."""

import dataclasses
from typing import Any

import pytest

from tests.ruled import LEDGER, REF, accused, attempt, ended, log_of, outcomes, read, reasons, ruled
from tests.rules.exchanges import exchange
from touchstone.facts.events import Attempt, Build, BuildEnd, Worker
from touchstone.loadgen.rules import RULES, judge_load

FIRST = "default/first@1.0.0"


@pytest.mark.parametrize("end", ["unread", "unfinished"])
def test_build_that_the_run_left_alone_is_indeterminate(end: BuildEnd) -> None:
    """A run that was cut does not know how its last builds ended, and blames nobody."""
    log = log_of(attempts=(attempt(status=202),), builds=(ended(end),))
    assert outcomes(log, "status.build-ends") == outcomes(log, "status.build-does-not-vanish") == {"indeterminate"}
    assert accused(log) == set()


def test_accepted_start_whose_client_left_no_word_is_indeterminate() -> None:
    """None is lost without somebody saying so."""
    assert reasons(log_of(attempts=(attempt(status=202),)), "status.build-ends").endswith("its client left no word")


def test_version_that_somebody_cancelled_has_not_lost_its_build() -> None:
    """A build that is gone may be the one that was cancelled."""
    lost = log_of(attempts=(attempt(status=202),), builds=(ended("vanished"),))
    assert accused(lost) == {"status.build-does-not-vanish"}
    cancel = exchange("cancelBuild", 202, ref=REF, sent_at=2.0, seq=3)
    assert accused(dataclasses.replace(lost, exchanges=(cancel,))) == set()


@pytest.mark.parametrize("status", [0, 202, 500, 503])
def test_start_that_may_have_acted_explains_a_build(status: int) -> None:
    """Without an answer, or with a 5xx, nobody knows whether a build began."""
    log = log_of(attempts=(attempt(status=status),), exchanges=(read("building", 2.0),))
    assert accused(log) == set()
    assert outcomes(log, "load.builds-admitted") == {"held"}


def test_running_build_that_nobody_started_is_blamed() -> None:
    """Before any start, and after the last one was seen to be over; not while one is under way."""
    assert accused(log_of(exchanges=(read("building", 0.5),))) == {"load.builds-admitted"}
    over = (read("failed", 2.0), read("building", 3.0))
    log = log_of(attempts=(attempt(status=202),), exchanges=over)
    assert accused(log) == {"load.builds-admitted"}
    again = dataclasses.replace(log, attempts=(*log.attempts, attempt(2, 202, 3.02)))
    assert accused(again) == set()
    assert accused(dataclasses.replace(log, templates=())) == set()


def test_refused_start_after_a_build_is_over_is_blamed_for_the_next() -> None:
    """The claim about refused starts, and not the one about admitted builds, is broken."""
    over = (read("failed", 2.0), read("building", 4.0))
    log = log_of(attempts=(attempt(status=202), attempt(2, 429, 3.0)), exchanges=over)
    assert accused(log) == {"limit.refused-start-starts-nothing"}


@pytest.mark.parametrize(("rested_at", "seen_at"), [(1.5, 9.0), (2.5, 3.0)])
def test_clocks_that_may_disagree_blame_nobody(rested_at: float, seen_at: float) -> None:
    """What two workers saw is in order only as far as their clocks are: a read and the start, and two reads."""
    log = log_of(attempts=(attempt(status=202),), exchanges=(read("failed", rested_at), read("building", seen_at)))
    assert accused(log) == {"load.builds-admitted"}
    apart = (Worker(0, "done", 9.0, 1, 0, 1, clock_error_s=0.6),)
    assert accused(dataclasses.replace(log, workers=apart)) == set()


def test_refused_start_before_a_version_was_at_rest_explains_nothing() -> None:
    """What runs after it was seen at rest is not the build of an earlier refusal."""
    tries = (attempt(status=202, sent_at=0.5), attempt(2, 429, 1.5))
    log = log_of(attempts=tries, exchanges=(read("failed", 2.0), read("building", 4.0)))
    assert accused(log) == {"load.builds-admitted"}


def test_version_that_was_not_known_to_be_unbuilt_may_be_ready() -> None:
    """A refused start of it explains no result, and needs none."""
    seen = (read("ready", 2.0),)
    assert accused(log_of(attempts=(attempt(fresh=False),), exchanges=seen)) == set()
    assert accused(log_of(attempts=(attempt(),), exchanges=seen)) == {"limit.refused-start-starts-nothing"}


def served_first(**facts: Any) -> tuple[Attempt, Build]:
    """Another client of the key, whose build was over before anything else happened, unless *facts* say otherwise."""
    start = attempt(status=202, sent_at=0.0, want=9, seq=91, ref=FIRST)
    return start, ended(**({"end": "ready", "want": 9, "ref": FIRST, "accepted_at": 0.1, "ended_at": 0.9} | facts))


def test_client_that_had_no_patience_for_one_wait_is_indeterminate() -> None:
    """It was told to come back later than it was to wait, and sent no second start."""
    log = log_of(attempts=(attempt(1, retry_after_s=60.0, gave_up=True),))
    assert outcomes(log, "limit.ends-after-back-off") == {"indeterminate"}
    assert reasons(log, "limit.ends-after-back-off").startswith("was to wait longer than patience_s of the target")


def test_client_that_was_refused_to_the_end_is_indeterminate() -> None:
    """It came back again and again, and the run ended first; one that never meant to come back says nothing."""
    tries = tuple(attempt(n, sent_at=2.0 * n, retry_after_s=1.0) for n in range(1, 5))
    log = log_of(attempts=tries)
    assert reasons(log, "limit.ends-after-back-off") == "was refused 4 times, and the run ended before it was served"
    assert outcomes(log_of(attempts=tries[:1]), "limit.ends-after-back-off") == {"not-applicable"}


def test_client_that_gave_up_too_soon_is_indeterminate() -> None:
    """Who did not wait as it was told cannot complain."""
    tries = tuple(attempt(n, sent_at=float(n), retry_after_s=5.0, gave_up=n == 4) for n in range(1, 5))
    log = log_of(attempts=tries)
    assert reasons(log, "limit.ends-after-back-off").startswith("gave up sooner than Retry-After says: 3 retries")


@pytest.mark.parametrize(
    ("beside", "broken"),
    [
        (None, True),
        (attempt(status=202, sent_at=2.9, want=2, ref="default/other@1.0.0", seq=90), False),
        (attempt(status=429, sent_at=2.95, want=2, ref="default/other@1.0.0", seq=90), False),
        (attempt(status=202, sent_at=0.2, want=2, ref="default/other@1.0.0", credential="second", seq=90), False),
        (attempt(status=429, sent_at=2.9, want=2, ref="default/other@1.0.0", credential="second", seq=90), True),
    ],
)
def test_only_what_is_alone_with_the_limit_breaks_it(beside: Attempt | None, broken: bool) -> None:
    """Another start of the key, or a build that may keep the host full, is an excuse; another key's refusal is none."""
    served, over = served_first()
    tries = tuple(attempt(n, sent_at=float(n), retry_after_s=0.5, gave_up=n == 4) for n in range(1, 5))
    log = log_of(attempts=(served, *tries, *([beside] if beside else [])), builds=(over,))
    expected = {"limit.ends-after-back-off", "limit.retry-after-is-honest"} if broken else set()
    assert accused(log) == expected


@pytest.mark.parametrize("end", ["stuck", "unread", "unfinished"])
def test_build_whose_end_nobody_saw_may_keep_the_host_full(end: BuildEnd) -> None:
    """Until the end of the run, for all that anybody knows."""
    served, unknown = served_first(end=end)
    tries = tuple(attempt(n, sent_at=float(n), retry_after_s=0.5, gave_up=n == 4) for n in range(1, 5))
    log = log_of(attempts=(served, *tries), builds=(unknown,))
    assert accused(log) - {"status.build-ends"} == set()
    assert "may have been in its way" in reasons(log, "limit.ends-after-back-off")


def test_key_that_was_never_served_met_no_rate() -> None:
    """A host that is full of others' builds refuses from the first start on, and cannot say for how long."""
    tries = tuple(attempt(n, sent_at=float(n), retry_after_s=0.5) for n in range(1, 5))
    assert accused(log_of(attempts=tries)) == set()
    served, over = served_first()
    assert accused(log_of(attempts=(served, *tries), builds=(over,))) == {"limit.retry-after-is-honest"}


@pytest.mark.parametrize(("pause_s", "broken"), [(3.0, False), (5.0, True)])
def test_short_waits_prove_nothing_where_nobody_says_how_long_to_wait(pause_s: float, broken: bool) -> None:
    """A limit that counts refused starts needs a rest as long as its window."""
    served, over = served_first()
    tries = tuple(attempt(n, sent_at=n * pause_s, gave_up=n == 4) for n in range(1, 5))
    found = accused(log_of(attempts=(served, *tries), builds=(over,)))
    assert found == ({"limit.ends-after-back-off"} if broken else set())


def test_one_refusal_after_the_whole_wait_is_indeterminate() -> None:
    """It may be somebody else's load on the host."""
    served, over = served_first()
    log = log_of(attempts=(served, attempt(retry_after_s=0.5), attempt(2, sent_at=2.0)), builds=(over,))
    assert outcomes(log, "limit.retry-after-is-honest") == {"indeterminate"}


def test_rule_that_fails_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours leaves its claim without a verdict, says so, and costs the other rules nothing."""

    def fails(_record: object) -> Any:
        raise ZeroDivisionError("x")

    rules = (dataclasses.replace(RULES[0], judge=fails), *RULES[1:])
    monkeypatch.setattr("touchstone.loadgen.rules.RULES", rules)
    ruling = judge_load(log_of(exchanges=(read("building", 0.5),)), LEDGER)
    assert [n.reason for n in ruling.notices if n.verdict == "could-not-run"] == [
        "the rule overall.ends failed: ZeroDivisionError: x"
    ]
    assert [finding.claim for finding in ruling.findings] == ["load.builds-admitted"]


def test_finding_says_where_and_how_to_see_it_again() -> None:
    """By its exchange where that was kept, else by the version, the time and the command of the run."""
    kept = ruled(log_of(exchanges=(read("building", 0.5),))).findings[0]
    assert kept.where.startswith("GET http://")
    assert kept.curl.startswith("curl ")
    lost = ruled(log_of(attempts=(attempt(status=202),), builds=(ended("vanished"),))).findings[0]
    assert (lost.where, lost.curl) == (f"{REF}, 3.0 s into the run", "touchstone load storm --seed 20")
    assert (lost.level, lost.evidence, lost.check) == ("must", (50,), "overall.stays")


def test_each_rule_judges_a_claim_of_the_ledger_under_a_name_of_its_own() -> None:
    """Load rules name claims that exist, and no two share a name."""
    assert {rule.claim for rule in RULES} <= {claim.id for claim in (*LEDGER.judged(), *LEDGER.judged("load"))}
    assert len({rule.id for rule in RULES}) == len(RULES)
