"""When an examination that proves a fault may stop: the rule of the fair chance."""

import json
from pathlib import Path

import pytest

from touchstone.check.cases import FAIR_SHARE, Declared, Quarry
from touchstone.proof import trial
from touchstone.proof.catalogue import named_faults, variants
from touchstone.proof.trial import Order

CLAIMS = ("cancel.settles", "cancel.idle-is-404", *(f"other.{number}" for number in range(9)))


def others(share: float) -> list[str]:
    """So many of the claims that are not expected to be broken."""
    every = [claim for claim in CLAIMS if claim.startswith("other")]
    return every[: round(share * len(every))]


def test_stops_once_all_is_found_and_others_had_a_chance() -> None:
    """The expected claim is broken, and so many of the others were judged."""
    quarry = Quarry(("cancel.settles",))
    judged = [*others(FAIR_SHARE), "cancel.settles", "cancel.idle-is-404"]
    assert quarry.may_stop(["cancel.settles"], judged, CLAIMS)


def test_goes_on_while_the_fault_is_not_found() -> None:
    """A fault that is not found meets the whole examination."""
    quarry = Quarry(("cancel.settles",))
    assert not quarry.may_stop(["cancel.idle-is-404"], CLAIMS, CLAIMS)


def test_goes_on_while_others_had_no_chance() -> None:
    """What would accuse another claim has to be given the time to do so."""
    quarry = Quarry(("cancel.settles",))
    assert not quarry.may_stop(["cancel.settles"], ["cancel.settles", *others(0.5)], CLAIMS)


def test_expected_claims_do_not_count_as_others() -> None:
    """A fault that is to break nearly everything cannot make up a fair chance from that."""
    quarry = Quarry(("cancel.*", "other.[0-7]"))
    broken = ["cancel.settles", "other.1"]
    assert not quarry.may_stop(broken, [claim for claim in CLAIMS if quarry.expects(claim)], CLAIMS)
    assert quarry.may_stop(broken, ["other.8"], CLAIMS)


@pytest.mark.parametrize(
    ("case", "broken", "needless"),
    [
        (["other.1"], ["cancel.settles"], True),
        (["other.1", "cancel.settles"], ["cancel.settles"], True),
        (["other.1", "other.2"], ["cancel.settles"], False),
        (["other.1"], [], False),
    ],
)
def test_case_that_would_judge_nothing_new_is_left_out(case: list[str], broken: list[str], needless: bool) -> None:
    """Once the fault is found a case is worth its time only for claims that nothing has judged so far."""
    assert Quarry(("cancel.settles",)).may_skip(case, broken, [*broken, "other.1"]) is needless


@pytest.mark.parametrize(("any_one", "found"), [(False, False), (True, True)])
def test_named_faults_need_each_claim_and_generated_ones_need_one(any_one: bool, found: bool) -> None:
    """One of two expected claims is enough only where nobody could say beforehand which it would be."""
    assert Quarry(("cancel.settles", "other.1"), any_one=any_one).is_found(["cancel.settles"]) is found


def test_likely_culprits_come_after_the_general_cases_and_before_all_others() -> None:
    """
    General cases first, then what sets out to break it, then what judges most for its cost, and the last look last.
    """
    found = [
        Declared(name, f"test_{name}.py", claims=claims, builds=builds, requests=requests)
        for name, claims, builds, requests in (
            ("wrap_up", ("cancel.settles",), 0, 1),
            ("dear", ("other.1",), 1, 9),
            ("cheap", ("other.2", "other.3"), 0, 4),
            ("generated", ("other.4",), 0, 4),
            ("cancel", ("cancel.settles",), 9, 90),
            ("lifecycle", ("other.5",), 3, 30),
        )
    ]
    ordered = sorted(found, key=lambda case: case.place(Quarry(("cancel.settles",))))
    assert [case.id for case in ordered] == ["lifecycle", "cancel", "cheap", "dear", "generated", "wrap_up"]
    assert [case.may_be_left_out for case in ordered] == [False, True, True, True, True, False]
    left = sorted(found, key=lambda case: case.place(None))
    assert [case.id for case in left] == ["lifecycle", "cheap", "dear", "generated", "cancel", "wrap_up"]


def cases(folder: Path) -> list[str]:
    """The cases of a run log that ran, in their order."""
    events = map(json.loads, (folder / "runlog.jsonl").read_text("utf-8").splitlines())
    return [event["id"] for event in events if event["type"] == "case"]


@pytest.mark.whole
def test_proven_examination_leaves_out_what_is_left_and_takes_its_last_look(tmp_path: Path) -> None:
    """
    With the same fault, a proof runs fewer cases than a whole examination, but the general ones and the last look.
    """
    (found,) = named_faults("cancel-does-nothing")
    outcomes = {}
    for whole in (False, True):
        folder = tmp_path / str(whole)
        folder.mkdir()
        outcomes[whole] = trial.run(Order(found.subject, folder, found.profile, 1, whole), found.behaviour)
    assert [outcome.state for outcome in outcomes.values()] == ["killed", "killed"]
    early, every = cases(tmp_path / "False"), cases(tmp_path / "True")
    assert len(early) < len(every)
    assert early[-1] == "wrap_up.what_was_left_alone_has_not_changed"
    general = {case for case in every if case.startswith("lifecycle.")}
    assert general <= set(early)
    assert outcomes[False].judged >= FAIR_SHARE * (outcomes[True].judged - 1)


def test_legitimate_server_meets_the_whole_examination() -> None:
    """Of a server without a fault nothing can be found, so nothing may stop the search."""
    assert {candidate.subject.quarry() for candidate in variants()} == {None}
