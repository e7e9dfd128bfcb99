"""When a proof may stop, and which cases it skips."""

import pytest

from touchstone.check.cases import Quarry

OTHERS = tuple(f"other.{number}" for number in range(9))
CLAIMS = ("cancel.settles", "cancel.idle-is-404", *OTHERS)
SETTLES = Quarry(("cancel.settles",))
MANY = Quarry(("cancel.*", "other.[0-7]"))


@pytest.mark.parametrize(
    ("quarry", "broken", "judged", "stops"),
    [
        (SETTLES, ["cancel.settles"], [*OTHERS[:6], "cancel.settles", "cancel.idle-is-404"], True),
        (SETTLES, ["cancel.idle-is-404"], CLAIMS, False),
        (SETTLES, ["cancel.settles"], ["cancel.settles", *OTHERS[:4]], False),
        (MANY, ["cancel.settles", "other.1"], [claim for claim in CLAIMS if MANY.expects(claim)], False),
        (MANY, ["cancel.settles", "other.1"], ["other.8"], True),
        (Quarry(("cancel.settles", "other.1")), ["cancel.settles"], CLAIMS, False),
        (Quarry(("cancel.settles", "other.1"), any_one=True), ["cancel.settles"], CLAIMS, True),
    ],
    ids=["found", "not-found", "others-unjudged", "only-expected-judged", "others-judged", "each-glob", "any-glob"],
)
def test_proof_stops_once_all_is_found_and_others_had_a_chance(
    quarry: Quarry, broken: list[str], judged: list[str], stops: bool
) -> None:
    assert quarry.may_stop(broken, judged, CLAIMS) is stops


@pytest.mark.parametrize(
    ("case", "broken", "needless"),
    [
        (["other.1", "cancel.settles"], ["cancel.settles"], True),
        (["other.1", "other.2"], ["cancel.settles"], False),
        (["other.1"], [], False),
    ],
)
def test_case_that_would_judge_nothing_new_is_left_out(case: list[str], broken: list[str], needless: bool) -> None:
    assert SETTLES.may_skip(case, broken, [*broken, "other.1"]) is needless
