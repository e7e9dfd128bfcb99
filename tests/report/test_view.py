"""The view: what is told about a run."""

from dataclasses import replace
from pathlib import Path

import pytest

from touchstone.facts.events import RunLog
from touchstone.facts.runlog import read
from touchstone.report.view import MAX_EVIDENCE_CHARS, describe_check, view
from touchstone.rules.verdict import CheckCount


@pytest.fixture
def failing(failing_run: Path) -> RunLog:
    return read(failing_run)


def test_counts_add_up(any_run: Path) -> None:
    """Every claim has exactly one verdict."""
    counts = view(read(any_run)).counts
    verdicts = ("upheld", "broken", "not_applicable", "could_not_run", "indeterminate")

    assert counts["claims"] == sum(counts[verdict] for verdict in verdicts)


def test_finding_met_often_is_told_once(failing: RunLog) -> None:
    """A finding has its number of occurrences and the cases that met it, must before should."""
    told = [(item.claim.id, item.occurrences, len(item.cases)) for item in view(failing).findings]

    assert told == [
        ("cancel.in-flight-is-202", 14, 14),
        ("status.build-time-is-ms", 1, 1),
        ("status.golden-dir-is-text", 1, 1),
    ]


def test_deciding_exchange_comes_first(failing: RunLog) -> None:
    """The exchange that shows the outcome is the first one shown, what led to it follows."""
    item = view(failing).findings[0]

    assert [shown.exchange.seq for shown in item.exchanges] == [item.finding.evidence[1], item.finding.evidence[0]]
    assert item.left_out == ()


def test_evidence_without_room_is_named(failing: RunLog) -> None:
    """Exchanges that are not shown are listed by number, also those that the run log does not hold."""
    fat = replace(failing.exchanges[0], request=replace(failing.exchanges[0].request, body=b"x" * 3_000))
    exchanges = tuple(replace(fat, seq=n) for n in range(1, 400))
    occurrences = tuple(
        replace(o, finding=replace(o.finding, id=f"{n:012}", evidence=(*range(n, n + 9), 9_999)))
        for n, o in enumerate(failing.occurrences * 20, start=1)
    )
    seen = view(replace(failing, exchanges=exchanges, occurrences=occurrences))

    assert sum(shown.size for item in seen.findings for shown in item.exchanges) <= MAX_EVIDENCE_CHARS
    for item in seen.findings:
        assert {shown.exchange.seq for shown in item.exchanges} | set(item.left_out) == set(item.finding.evidence)


def test_command_that_repeats_the_run_names_seed_and_broken_claims(failing: RunLog) -> None:
    """The findings can be had again without the rest of the run."""
    seen = view(failing)

    assert seen.command == "touchstone check --url http://127.0.0.1:8123/api"
    assert seen.again == (
        f"{seen.command} --seed 20 --claims cancel.in-flight-is-202,status.build-time-is-ms,status.golden-dir-is-text"
    )


def test_command_that_repeats_the_run_leaves_out_what_was_not_broken(failing: RunLog) -> None:
    """Of the claims that were asked for, those that held or did not apply are none of the broken ones."""
    argv = ("touchstone", "check", "--claims", "cancel.*,access.below-scale-is-403")
    seen = view(replace(failing, header=replace(failing.header, argv=argv)))

    assert seen.again == (
        "touchstone check --seed 20 --claims cancel.in-flight-is-202,status.build-time-is-ms,status.golden-dir-is-text"
    )


@pytest.mark.parametrize(("command", "seeded"), [("probe", True), ("replay", False), ("record", False)])
def test_command_that_repeats_a_run_has_options_that_there_are(failing: RunLog, command: str, seeded: bool) -> None:
    """Only a check has --claims, and what draws nothing has no --seed."""
    argv = ("touchstone", command)
    seen = view(replace(failing, header=replace(failing.header, command=command, argv=argv)))

    assert seen.again == f"touchstone {command}{' --seed 20' if seeded else ''}"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ((), "touchstone check"),
        (("/opt/bin/touchstone", "check", "--seed=4"), "touchstone check --seed=4"),
        (("--target", "a b"), "touchstone check --target 'a b'"),
    ],
)
def test_command_is_one_that_a_shell_takes(failing: RunLog, argv: tuple[str, ...], expected: str) -> None:
    """However the run was started, the command has the name of the tool, no path, and its words quoted."""
    seen = view(replace(failing, header=replace(failing.header, argv=argv)))

    assert seen.command == expected
    assert seen.again.count("--seed") == 1


def test_reasons_are_grouped(failing: RunLog) -> None:
    """A reason is told once, with the claims that it holds for."""
    seen = view(failing)

    assert [(r.reason, r.claims) for r in seen.stuck] == [
        ("the status was not read again within 30 s", ["cancel.settles"])
    ]
    assert [r.reason for r in seen.idle] == ["set restricted_api_key_env"]


def test_template_that_was_left_is_told_until_it_is_deleted(failing: RunLog) -> None:
    """The last thing that happened to a template counts."""
    left = view(failing).left_behind
    gone = replace(failing.templates[-1], action="deleted")

    assert left == ("default/touchstone-ab12-sleep@1.0.0",)
    assert view(replace(failing, templates=(*failing.templates, gone))).left_behind == ()


def test_template_that_may_be_left_is_told_apart(failing: RunLog) -> None:
    """What nobody knows to be on the target is not said to be there."""
    unsure = replace(failing.templates[-1], action="may-be-left")
    seen = view(replace(failing, templates=(*failing.templates, unsure)))

    assert (seen.left_behind, seen.may_be_left) == ((), ("default/touchstone-ab12-sleep@1.0.0",))


def test_duration_of_a_run_without_footer_is_that_of_its_exchanges(failing: RunLog) -> None:
    """A log that was cut short still says how far the run came."""
    seen = view(replace(failing, footer=None))

    assert seen.interrupted
    assert seen.duration_s == max(exchange.done_at for exchange in failing.exchanges)


def test_target_without_a_name_is_called_by_its_address(failing: RunLog) -> None:
    """A target that only a URL names is told by that URL."""
    unnamed = replace(failing.header, target=replace(failing.header.target, name="url"))

    assert view(failing).target == "staging"
    assert view(replace(failing, header=unnamed)).target == failing.header.target.url


def test_counts_of_a_check_read_as_words() -> None:
    """Only what was counted is named."""
    assert describe_check(CheckCount("r", held=1400, broken=1)) == "1,400 held, 1 broken"
