"""What counts as killed, missed, noisy, survived and accused."""

from dataclasses import replace

import pytest

from touchstone.proof.result import Blame, Sort, Subject, Trial, median

FAULT = Subject("cancel-lies", "fault", "A cancel lies.", "stateful", ("cancel.settles",), ("status.*",))


def blamed(**exchanges: int) -> dict[str, Blame]:
    """Claims that were broken, with how many exchanges it took; ``__`` stands for the dot and ``_`` for the hyphen."""
    return {
        name.replace("__", ".").replace("_", "-"): Blame("rule", "202", "200", "case", number, number / 10)
        for name, number in exchanges.items()
    }


def trial(subject: Subject, exit_code: int = 1, **broken: int) -> Trial:
    """A trial that found these."""
    return Trial(subject, blamed(**broken), exit_code, judged=100, exchanges=500)


def sort(kind: Sort, *breaks: str) -> Subject:
    """A subject of a sort."""
    return replace(FAULT, sort=kind, breaks=breaks, also=())


def test_fault_is_killed_when_the_right_claim_is_broken_and_no_other() -> None:
    """What it cannot help breaking as well is no noise."""
    found = trial(FAULT, cancel__settles=50, status__answers_200=60)
    assert (found.state, found.blamed, found.noise, found.lacking) == ("killed", ("cancel.settles",), (), ())


def test_fault_with_an_unrelated_finding_is_noisy() -> None:
    """The right claim is broken, and one that has nothing to do with it."""
    found = trial(FAULT, cancel__settles=50, start__answers_202=60)
    assert (found.state, found.noise) == ("noisy", ("start.answers-202",))


def test_fault_found_by_its_side_effect_only_is_missed() -> None:
    """A finding on what may be broken as well proves nothing about what must be."""
    found = trial(FAULT, status__answers_200=60)
    assert (found.state, found.lacking, found.found) == ("missed", ("cancel.settles",), None)


def test_fault_without_a_failing_exit_is_missed() -> None:
    """A finding that does not fail the run is none that a user would see."""
    assert trial(FAULT, exit_code=0, cancel__settles=50).state == "missed"


def test_named_fault_needs_each_claim_and_a_generated_one_any() -> None:
    """Of a generated fault it is known whose promise it breaks, not from which side that is seen first."""
    half = {"start__answers_202": 7}
    named = trial(sort("fault", "start.answers-202", "cancel.settles"), **half)
    derived = trial(sort("generated", "start.*", "cancel.settles"), **half)
    assert (named.state, named.lacking) == ("missed", ("cancel.settles",))
    assert (derived.state, derived.lacking) == ("killed", ())


def test_found_is_the_finding_that_completes_the_proof() -> None:
    """The last one of those that are needed; the first one where any is enough."""
    both = {"start__answers_202": 7, "cancel__settles": 90}
    named = trial(sort("fault", "start.answers-202", "cancel.settles"), **both).found
    derived = trial(sort("generated", "start.*", "cancel.settles"), **both).found
    assert named is not None
    assert derived is not None
    assert (named.exchanges, derived.exchanges) == (90, 7)


@pytest.mark.parametrize("kind", ["variant", "permitted"])
def test_legitimate_server_survives_only_without_a_finding(kind: Sort) -> None:
    """Any finding accuses it, and so does an exit code that is not 0."""
    subject = sort(kind)
    assert trial(subject, 0).state == "survived"
    assert trial(subject, 0, start__answers_202=7).state == "accused"
    assert trial(subject, 1).state == "accused"


def test_trial_that_did_not_come_to_its_end_says_nothing() -> None:
    """Whatever was found by then: it failed."""
    assert replace(trial(FAULT, cancel__settles=50), trouble="the process was killed").state == "failed"


@pytest.mark.parametrize(("values", "middle"), [((), 0.0), ((3,), 3), ((5, 1, 3), 3), ((4, 1, 2, 9), 3.0)])
def test_median_is_the_middle(values: tuple[float, ...], middle: float) -> None:
    """Of an even number it is the mean of the two in the middle."""
    assert median(values) == middle
