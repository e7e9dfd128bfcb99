"""
Two contract runs beside each other: what became of each claim, what may not be compared, and what a pipeline reads.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.report.conftest import Story, found, header, ledger
from tests.report.test_html import Page
from touchstone.cli.reports import app
from touchstone.errors import UsageError
from touchstone.facts.events import Footer, Notice, Occurrence, RunLog, Tally
from touchstone.facts.runlog import RunLogWriter
from touchstone.report import compare_report
from touchstone.report.comparison import FIXED, NEWLY_BROKEN, NO_LONGER, NOW, OTHERWISE, TOO_FEW, compare

START, READY = "start.answers-202", "status.ready-stays-ready"
BROKEN, MENDED, LOST, FOUND, SHOULD = (
    "cancel.in-flight-is-202",
    "cancel.settles",
    "events.frames-are-json",
    "access.other-account-is-404",
    "status.golden-dir-is-text",
)


def run(
    *,
    broken: tuple[str, ...] = (),
    idle: tuple[str, ...] = (),
    stuck: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (),
    slower: float = 1.0,
    seconds: int = 0,
    **changes: object,
) -> RunLog:
    """A check; a read of a status takes a few milliseconds in each of so many seconds."""
    claims = tuple(claim for claim in ledger() if claim.id not in left_out)
    story, exchanges = Story(), []
    for number in range(seconds * 20):
        story.now_s = number / 20
        took_s = slower * (0.004 + 0.0005 * (number * 7 % 11))
        exchanges.append(story.ask("getBuild", "default/x@1.0.0", 200, {}, took_s=took_s))
    levels = {claim.id: claim.level for claim in claims}
    wrong = (
        found(Story().ask("getBuild", "default/x@1.0.0", 500, {}), name, "200", "500", level=levels[name])
        for name in broken
    )
    notices = [(name, "not-applicable", "set second_api_key_env") for name in idle]
    notices += [(name, "could-not-run", "nothing answered") for name in stuck]
    held = (claim.id for claim in claims if claim.id not in (*broken, *idle, *stuck))
    return RunLog(
        header=header(**{"claims": claims, **changes}),
        exchanges=tuple(exchanges),
        tallies=tuple(Tally("c", "rules", name, held=1) for name in held),
        occurrences=tuple(Occurrence(finding) for finding in wrong),
        notices=tuple(Notice(*notice) for notice in notices),  # type: ignore[arg-type]  # words, not literals
        footer=Footer("2026-01-02T03:04:15Z", 9.75, 0, ""),
    )


@pytest.fixture
def pair() -> tuple[RunLog, RunLog]:
    """Two runs of which each kind of change can be told once."""
    before = run(broken=(MENDED, START), idle=(FOUND, READY))
    after = run(broken=(BROKEN,), idle=(LOST, START), stuck=(READY,))
    return before, after


def told(before: RunLog, after: RunLog) -> str:
    """The comparison on a terminal, as one line."""
    stream = StringIO()
    compare_report.write(compare(before, after), Console(file=stream, width=100))
    return " ".join(stream.getvalue().split())


def test_each_claim_is_told_by_what_became_of_it(pair: tuple[RunLog, RunLog]) -> None:
    """
    A broken claim that is not judged any more is not fixed, and one that cannot be judged for another reason is told.
    """
    claims = compare(*pair).claims
    groups = {
        group: [turn.after.claim.id for turn in claims.turned_by(group)] for group in {t.group for t in claims.turned}
    }
    assert groups == {
        NEWLY_BROKEN: [BROKEN],
        FIXED: [MENDED],
        NO_LONGER: [START, LOST],
        NOW: [FOUND],
        OTHERWISE: [READY],
    }
    words = told(*pair)
    assert f"Claims newly broken (1) {BROKEN}: upheld → broken" in words
    assert f"Claims fixed (1) {MENDED}: broken → upheld" in words
    assert f"Claims no longer judged (2) {START}: broken → not-applicable (set second_api_key_env)" in words
    assert "6 claims with another verdict (1 newly broken, 1 fixed, 2 no longer judged, 1 now judged, 1 not" in words
    page = " ".join(Page(compare_report.render(compare(*pair))).text.split())
    assert "Claims newly broken (1)" in page
    assert "Claims no longer judged (2)" in page


def test_claim_of_another_ledger_is_told_apart_from_one_that_was_not_asked_for() -> None:
    """What only one run knows is new or removed; what --claims leaves out is counted."""
    added = compare(run(left_out=(BROKEN,)), run()).claims
    assert ([item.claim.id for item in added.only_after], added.unasked) == ([BROKEN], 0)
    removed = compare(run(), run(left_out=(BROKEN,))).claims
    assert ([item.claim.id for item in removed.only_before], removed.unasked) == ([BROKEN], 0)
    narrowed = compare(
        run(broken=(START,)),
        run(left_out=tuple(c.id for c in ledger() if c.subject != "cancel"), claims_glob="cancel.*"),
    )
    claims = narrowed.claims
    assert (claims.only_before, claims.only_after, claims.gone, claims.unasked) == ((), (), (), len(ledger()) - 3)
    assert [one.what for one in narrowed.unlike] == ["claims"]
    assert "13 claims only one of the two was asked for, by --claims." in told(narrowed.before, narrowed.after)


def test_runs_of_different_contracts_are_not_compared() -> None:
    """The message says which run has which, and what to do."""
    with pytest.raises(UsageError) as error:
        compare(run(), replace(run(), header=header(contract_sha256="6a" * 32, tool_version="0.2.0")))
    assert "A (20260102-030405-ab12) was judged by the contract 5f5f5f5f5f5f of touchstone 0.1.0" in str(error.value)
    assert "by 6a6a6a6a6a6a of 0.2.0; verdicts of different contracts do not compare" in str(error.value)


def test_runs_of_different_kinds_are_not_compared() -> None:
    """A replay judges what a check does not ask."""
    with pytest.raises(
        UsageError, match=r"A \(.*\) is a check run, B \(.*\) is a replay run; expected two runs of one"
    ):
        compare(run(), run(command="replay"))


def test_slower_answers_are_told() -> None:
    """With the difference and its interval; equal runs do not differ, and too few answers tell nothing."""
    before, after = run(seconds=30), run(seconds=30, slower=1.5)
    both = compare(before, after)
    (times,) = both.operations
    assert (times.name, times.counts) == ("getBuild", (600, 600))
    assert [change.verdict for change in times.times] == ["slower", "slower"]
    assert all(change.apart and change.apart.value == pytest.approx(0.5, abs=0.02) for change in times.times)
    assert "answer times of 1 operation beyond noise" in both.reason
    assert "Answer times beyond noise (1) getBuild (600 and 600 answers): p50" in told(before, after)
    assert "slower" in Page(compare_report.render(both)).text
    assert not compare(before, before).slower_or_faster
    few = compare(run(seconds=1), run(seconds=1, slower=3))
    assert {change.verdict for change in few.operations[0].times} == {TOO_FEW}


def test_refused_answers_are_not_timed() -> None:
    """A refusal comes at once, and how many there are is chance."""
    log = run(seconds=20)
    refused = tuple(replace(e, response=replace(e.response, status=429)) for e in log.exchanges if e.response)
    assert compare(replace(log, exchanges=refused), log).operations == ()


def test_document_has_all_of_it(pair: tuple[RunLog, RunLog]) -> None:
    """compare.json names every claim that turned, with both verdicts, and counts agree with lists."""
    document = json.loads(compare_report.render_json(compare(*pair)))
    assert document["claims"]["newly_broken"] == [
        {"id": BROKEN, "level": "must", "verdict": "broken", "reason": "", "before": "upheld"}
    ]
    assert {key: number for key, number in document["counts"].items() if key in document["claims"]} == {
        key: len(rows) for key, rows in document["claims"].items()
    }
    assert [row["claim"] for row in document["findings"]["new"]] == [BROKEN]
    assert document["counts"]["gone_findings"] == len(document["findings"]["gone"]) == 2
    assert (document["runs"]["a"]["exit_code"], document["runs"]["b"]["exit_code"]) == (1, 1)
    assert document["differs"] is True


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Compares two runs as the command line does."""
    monkeypatch.chdir(tmp_path)

    def compared(before: RunLog, after: RunLog, *words: str) -> Result:
        for name, log in (("a", before), ("b", after)):
            (tmp_path / f"{name}.jsonl").unlink(missing_ok=True)
            with RunLogWriter(tmp_path / f"{name}.jsonl") as writer:
                writer.write(log.header)
                for occurrence in log.occurrences:
                    writer.write(Occurrence(occurrence.finding))
                for tally in log.tallies:
                    writer.write(tally)
                assert log.footer
                writer.write(log.footer)
        return CliRunner().invoke(app, ["compare", "a.jsonl", "b.jsonl", "--report-dir", "out", *words])

    return compared


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ({}, {"broken": (BROKEN,)}, 1),
        ({"broken": (BROKEN,)}, {"broken": (BROKEN,)}, 0),
        ({"broken": (BROKEN,)}, {}, 0),
        ({"left_out": (BROKEN,)}, {"broken": (BROKEN,)}, 1),
        ({}, {"broken": (SHOULD,)}, 0),
        ({}, {"broken": (SHOULD,), "strict": True}, 1),
    ],
    ids=["newly broken", "broken before", "fixed", "broken and new", "should", "should, strict"],
)
def test_pipeline_may_ask_for_a_failure(
    command: Callable[..., Result], tmp_path: Path, before: dict[str, object], after: dict[str, object], code: int
) -> None:
    """With --fail-on-new what B alone broke ends with 1, and without it nothing does."""
    logs = run(**before), run(**after)  # type: ignore[arg-type]  # of the table above
    assert command(*logs).exit_code == 0
    ended = command(*logs, "--fail-on-new")
    assert ended.exit_code == code
    assert ended.output.splitlines()[-1].startswith(f"exit {code}: ")
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["exit_code"] == code
