"""Outcomes of trials: killed, missed, noisy, survived, accused, failed."""

from dataclasses import replace

import pytest

from touchstone.proof.result import Blame, Sort, Subject, Trial

FAULT = Subject("cancel-lies", "fault", "A cancel lies.", "stateful", ("cancel.settles",), ("status.*",))
SETTLES, START, STATUS = "cancel.settles", "start.answers-202", "status.answers-200"


def trial(subject: Subject, exit_code: int = 1, /, **exchanges: int) -> Trial:
    """Returns a trial; each keyword is a broken claim and the number of exchanges before its finding."""
    names = {"settles": SETTLES, "start": START, "status": STATUS}
    broken = {names[name]: Blame("rule", "202", "200", "case", n, n / 10) for name, n in exchanges.items()}
    return Trial(subject, broken, exit_code, judged=100, exchanges=500)


def subject(sort: Sort, *breaks: str) -> Subject:
    return replace(FAULT, sort=sort, breaks=breaks, also=())


@pytest.mark.parametrize(
    ("exit_code", "broken", "state", "lacking", "noise"),
    [
        pytest.param(1, {"settles": 50, "status": 60}, "killed", (), (), id="a side effect is not noise"),
        pytest.param(1, {"settles": 50, "start": 60}, "noisy", (), (START,), id="an unrelated claim is noise"),
        pytest.param(1, {"status": 60}, "missed", (SETTLES,), (), id="a side effect proves nothing"),
        pytest.param(0, {"settles": 50}, "missed", (), (), id="a run that passes has found nothing"),
    ],
)
def test_outcome_of_a_fault(
    exit_code: int, broken: dict[str, int], state: str, lacking: tuple[str, ...], noise: tuple[str, ...]
) -> None:
    outcome = trial(FAULT, exit_code, **broken)
    assert (outcome.state, outcome.lacking, outcome.noise) == (state, lacking, noise)


def test_written_fault_needs_all_its_claims_and_a_derived_one_needs_any() -> None:
    written = subject("fault", START, SETTLES)
    derived = subject("generated", "start.*", SETTLES)
    assert (trial(written, start=7).state, trial(written, start=7).lacking) == ("missed", (SETTLES,))
    assert (trial(derived, start=7).state, trial(derived, start=7).lacking) == ("killed", ())
    found = [trial(one, start=7, settles=90).found for one in (written, derived)]
    assert [blame.exchanges for blame in found if blame] == [90, 7]


def test_pair_needs_a_finding_about_each_fault() -> None:
    parts = FAULT, replace(FAULT, breaks=(START, "start.ref-is-the-path"), also=())
    pair = replace(FAULT, breaks=(*parts[0].breaks, *parts[1].breaks), parts=parts)
    assert (trial(pair, settles=5, start=9).state, trial(pair, status=5, start=9).state) == ("killed", "killed")
    assert trial(pair, settles=5, status=9).lacking == parts[1].breaks


@pytest.mark.parametrize("sort", ["variant", "permitted"])
def test_correct_server_survives_only_without_a_finding(sort: Sort) -> None:
    server = subject(sort)
    states = [trial(server, 0).state, trial(server, 0, start=7).state, trial(server, 1).state]
    assert states == ["survived", "accused", "accused"]


def test_trial_with_trouble_has_failed_whatever_it_found() -> None:
    assert replace(trial(FAULT, settles=50), trouble="the process was killed").state == "failed"
