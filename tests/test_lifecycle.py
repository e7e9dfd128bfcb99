"""The status machine as data."""

import pytest

from touchstone.contract.lifecycle import (
    FINISHED,
    READS_AS,
    STATUSES,
    TRANSITIONS,
    Cause,
    State,
    consistent,
    statuses,
    step,
)

ALL = frozenset(State)


def test_every_state_has_transitions_and_a_reading() -> None:
    """No state is left out of the two tables, and each leads to known states only."""
    targets = {state for row in TRANSITIONS.values() for after in row.values() for state in after}

    assert (TRANSITIONS.keys(), READS_AS.keys(), targets <= ALL) == (ALL, ALL, True)


def test_statuses_are_the_four_of_the_contract() -> None:
    """A read says one of the four documented words, and cancelling is none of them."""
    assert {"not_built", "building", "ready", "failed"} == STATUSES
    assert FINISHED <= STATUSES


@pytest.mark.parametrize(
    ("before", "cause", "after"),
    [
        ({State.NOT_BUILT}, Cause.START, {State.BUILDING}),
        ({State.FAILED}, Cause.START, {State.BUILDING}),
        ({State.READY}, Cause.START, {State.READY}),
        ({State.BUILDING}, Cause.START, {State.BUILDING}),
        ({State.CANCELLING}, Cause.START, {State.BUILDING}),
        ({State.BUILDING}, Cause.CANCEL, {State.CANCELLING}),
        ({State.CANCELLING}, Cause.SETTLE, {State.NOT_BUILT, State.FAILED}),
        ({State.NOT_BUILT, State.READY, State.FAILED}, Cause.CANCEL, set()),
        ({State.READY}, Cause.FAIL, set()),
        ({State.NOT_BUILT, State.BUILDING}, Cause.SUCCEED, {State.READY}),
        (set(), Cause.START, set()),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(sorted(value)) or "nothing",
)
def test_step_leads_to_what_is_possible(before: set[State], cause: Cause, after: set[State]) -> None:
    """States in which a cause cannot happen drop out, and the others lead on."""
    assert step(before, cause) == after


def test_nothing_leaves_ready() -> None:
    """A golden stays: no cause but new content leads from ready to another state."""
    assert all(after == {State.READY} for after in TRANSITIONS[State.READY].values())


def test_cancelling_reads_as_building() -> None:
    """A build whose cancel has not settled still reads building."""
    assert consistent(ALL, "building") == {State.BUILDING, State.CANCELLING}
    assert statuses({State.CANCELLING}) == {"building"}


def test_unknown_status_is_consistent_with_nothing() -> None:
    """A word outside the contract fits no state."""
    assert consistent(ALL, "cancelled") == set()
