"""
Each broken server is found, with exit code 1, and blamed on the promise that it breaks and on no unrelated one.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import broken_builds, broken_doors, broken_logs  # importing them fills the list
from tests.broken_twins import BROKEN, BrokenTwin
from tests.command import PRIMARY, RESTRICTED, SECOND
from touchstone import claims as ledger_of_claims
from touchstone import rules, runner
from touchstone.contract import Contract
from touchstone.judge import Judge
from touchstone.rules.history import Bounds, Content, History
from touchstone.runlog import read
from touchstone.settings import Settings, TargetSettings, Templates
from touchstone.twin import Twin

AT_ONCE = 2

# A check takes seconds, so usually these have to do; with ALL_TWINS in the environment all are checked.
USUAL = (
    "start-answers200",
    "first-read-is-stale",
    "second-start-at-once-fails",
    "fifth-status",
    "build-time-in-seconds",
    "ready-flickers",
    "failing-step-is-ignored",
    "reuse-by-name",
    "digest-drifts",
    "cancel-does-nothing",
    "cancel-hits-neighbours",
    "cancel-poisons-the-next",
    "log-is-plain-text",
    "log-ends-without-end",
    "logs-are-mixed",
    "key-in-the-query",
    "keys-compared-by-prefix",
    "others-may-read",
    "plan-is-not-enforced",
    "unknown-version-is-not-built",
    "odd-spelling-fails",
    "refused-start-builds",
    "limit-is503",
    "error-repeats-the-key",
    "json-is-cut-off",
)
CHECKED = [twin for twin in BROKEN if os.environ.get("ALL_TWINS") or twin.name in USUAL]
LEGACY = "default/legacy-demo@1.0.0"
ACCOUNTS: dict[str, Any] = {
    "name": "broken",
    "api_key": PRIMARY,
    "second_api_key": SECOND,
    "restricted_api_key": RESTRICTED,
    "templates": Templates(restricted=(LEGACY,)),
}
TARGET: dict[str, Any] = {"build_timeout_s": 5.0, "cancel_timeout_s": 4.0, "max_builds": 1000}


@dataclass(frozen=True, slots=True)
class Judged:
    """
    How the check of a broken server ended.

    Attributes:
        verdicts: By claim, those that the check selected.
        broken: The claims that all rules together find broken in the exchanges of the run, selected or not.
    """

    exit_code: int
    verdicts: dict[str, str]
    broken: frozenset[str]


def check(twin: BrokenTwin, folder: Path) -> Judged:
    """
    Checks a broken server, as far as the claims that it breaks need it, the cases in a child process as always.
    """
    with Twin(twin.settings(), engine=twin.engine, app=twin.app, wrap=twin.wrap) as served:
        target = TargetSettings(**ACCOUNTS | TARGET | twin.target, url=served.url)
        settings = Settings(
            target=target,
            report_dir=folder,
            state_dir=folder / "state",
            strict=True,
            profile=twin.profile,
            claims_glob=",".join(filter(None, (*twin.claims, twin.beside))),
        )
        outcome = runner.check(settings, ["touchstone", "check"], lambda _event: None)
    report = json.loads((folder / "report.json").read_text("utf-8"))
    verdicts = {claim["id"]: claim["verdict"] for claim in report["claims"]}
    return Judged(outcome.exit_code, verdicts, judged_again(outcome.run_log, target))


def judged_again(run_log: Path, target: TargetSettings) -> frozenset[str]:
    """
    The claims that all rules find broken in the exchanges of a run log, also those that the run did not select.
    """
    bounds = Bounds(target.build_timeout_s, target.cancel_timeout_s)
    legacy = Content(LEGACY, "restricted", "legacy", "unknown", 0.0, "", 0, float("-inf"), float("-inf"))
    history = History(Contract.load(), bounds, given={LEGACY: legacy})
    judge = Judge(history, ledger_of_claims.load(), rules.EXCHANGE_RULES, rules.STORY_RULES)
    exchanges = [exchange for exchange in read(run_log).exchanges if exchange.case != "clean-up"]
    told = [judgement for exchange in exchanges for judgement in judge.see(exchange)]
    told += judge.tell({exchange.ref: None for exchange in exchanges if exchange.ref})
    return frozenset(judgement.claim for judgement in told if judgement.outcome == "broken")


@pytest.fixture(scope="module")
def checks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, "Future[Judged]"]]:
    """
    The checks of all broken servers that were asked for, two at a time.
    """
    asked = {item.callspec.params["twin"].name for item in request.session.items if hasattr(item, "callspec")
             and "twin" in item.callspec.params}  # fmt: skip
    # Signals belong to the main thread, and these checks run beside it.
    patched = pytest.MonkeyPatch()
    patched.setattr(runner, "_signals", lambda: nullcontext(runner.Interrupted()))
    pool = ThreadPoolExecutor(AT_ONCE)
    todo = [twin for twin in BROKEN if twin.name in asked]
    yield {twin.name: pool.submit(check, twin, tmp_path_factory.mktemp(twin.name)) for twin in todo}
    pool.shutdown(cancel_futures=True)
    patched.undo()


@pytest.mark.timeout("600")
@pytest.mark.parametrize("twin", CHECKED, ids=lambda twin: twin.name)
def test_broken_server_is_found_and_blamed(twin: BrokenTwin, checks: "dict[str, Future[Judged]]") -> None:
    """
    The check of a server with one fault ends with 1, finds each claim that the fault breaks, and accuses no other.
    """
    judged = checks[twin.name].result()
    assert {claim: judged.verdicts[claim] for claim in twin.claims} == dict.fromkeys(twin.claims, "broken")
    assert judged.exit_code == 1
    assert judged.broken - set(twin.claims) - set(twin.also) == set()


def test_list_of_broken_servers_is_in_order() -> None:
    """
    Each broken server has a name of its own, says what it does wrong, and names claims of the ledger.
    """
    ledger = ledger_of_claims.load()
    assert len({twin.name for twin in BROKEN}) == len(BROKEN) >= 24
    assert set(USUAL) - {twin.name for twin in BROKEN} == set()
    assert [twin.name for twin in BROKEN if not twin.says or not twin.claims] == []
    assert {claim for twin in BROKEN for claim in (*twin.claims, *twin.also)} - set(ledger) == set()
    parts = [part for twin in BROKEN for part in (twin.engine, twin.app, twin.wrap)]
    assert {part.__module__ for part in parts} >= {m.__name__ for m in (broken_builds, broken_doors, broken_logs)}
