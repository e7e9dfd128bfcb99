"""The picture of claims × faults: who stands where, and which mark is in which cell."""

from fnmatch import fnmatchcase
from itertools import pairwise

import pytest

from tests.report.proofs import (
    CLAIMS,
    accused,
    all_proven,
    fault,
    flawed,
    generated,
    large,
    missed,
    nothing,
    partial,
    proven,
    trial,
    view_of,
)
from touchstone.report.proof_report import GAP_PX, ROW_PX, SHAPES, Matrix, matrix
from touchstone.report.proof_view import ProofView


def cells(seen: Matrix) -> set[tuple[str, str, str]]:
    """Claim, fault and mark of each cell, found by where it is drawn: the row at its height, the column at its edge."""
    rows = {row.y: row.proven.claim.id for row in seen.rows}
    found = set()
    for column in seen.columns:
        for shape, marks in column.cells.items():
            for claim, y in marks:
                assert rows[y] == claim
                found.add((claim, column.trial.subject.name, shape))
    return found


def test_each_mark_is_in_its_cell() -> None:
    """Found, beside it, noise and missing: each at the height of its claim and in the column of its fault."""
    assert cells(matrix(flawed())) == {
        ("start.answers-202", "answers-200", "proves"),
        ("start.ref-is-the-path", "other-ref", "proves"),
        ("error.has-a-text", "other-ref", "also"),
        ("cancel.settles", "half-found", "proves"),
        ("cancel.says-idle", "half-found", "missing"),
        ("start.answers-202", "poor-aim", "proves"),
        ("cancel.says-idle", "poor-aim", "noise"),
        ("error.has-a-text", "odd-but-right", "noise"),
        ("cancel.settles", "hangs", "missing"),
    }


def test_rows_are_the_claims_in_the_order_of_the_ledger() -> None:
    """Rows follow each other, with a gap where the subject changes."""
    seen = matrix(all_proven())
    head = seen.head

    assert [row.proven.claim.id for row in seen.rows] == [claim.id for claim in CLAIMS]
    assert [row.y - head for row in seen.rows] == [
        0,
        ROW_PX,
        2 * ROW_PX + GAP_PX,
        3 * ROW_PX + GAP_PX,
        4 * ROW_PX + 2 * GAP_PX,
    ]
    assert [(band.name, band.size) for band in seen.row_bands] == [
        ("start", 2 * ROW_PX),
        ("cancel", 2 * ROW_PX),
        ("error", ROW_PX),
    ]
    assert seen.height == head + 5 * ROW_PX + 2 * GAP_PX


def test_columns_follow_the_first_claim_that_each_has_to_break() -> None:
    """Whatever the order of the trials, a diagonal shows; a number leads back to the trial."""
    trials = [*reversed(proven()[:4])]
    seen = matrix(view_of(trials))
    width = seen.column_px

    assert [column.trial.subject.name for column in seen.columns] == [
        "answers-200",
        "other-ref",
        "never-settles",
        "cancel-is-odd",
    ]
    assert [column.number for column in seen.columns] == [4, 3, 2, 1]
    assert [column.x for column in seen.columns] == [0, width, 2 * width + GAP_PX, 3 * width + GAP_PX]
    assert [(band.name, band.start) for band in seen.column_bands] == [("start", 0), ("cancel", 2 * width + GAP_PX)]
    assert seen.width == 4 * width + GAP_PX


def test_noise_does_not_move_a_column() -> None:
    """A fault stands with what it has to break, also where a claim before it was blamed or nothing was found."""
    shot_wide = trial(fault("wide", "cancel.says-idle"), "start.answers-202")

    assert [band.name for band in matrix(view_of([shot_wide])).column_bands] == ["cancel"]


def test_only_servers_with_something_to_find_are_columns() -> None:
    """A legitimate server that survives has no column; one that was accused has."""
    names = [column.trial.subject.name for column in matrix(view_of([*proven(), accused()])).columns]

    assert names == ["answers-200", "other-ref", "never-settles", "cancel-is-odd", "odd-but-right"]


def test_generated_fault_is_missing_wherever_it_could_have_been_found() -> None:
    """Where one of several claims would do and none was found, all of them are marked; where one was, none is."""
    lost = trial(generated("lost", "cancel.*", "error.*"))
    found = trial(generated("found", "cancel.*", "error.*"), "cancel.settles")

    assert {(claim, name) for claim, name, shape in cells(matrix(view_of([lost, found]))) if shape == "missing"} == {
        ("cancel.settles", "lost"),
        ("cancel.says-idle", "lost"),
        ("error.has-a-text", "lost"),
    }


def test_partial_proof_leaves_out_what_it_has_nothing_to_say_about() -> None:
    """Whoever asks for two faults sees their claims, and how many others there are."""
    seen = matrix(partial())

    assert [row.proven.claim.id for row in seen.rows] == [
        "start.answers-202",
        "start.ref-is-the-path",
        "error.has-a-text",
    ]
    assert seen.left_out == 2
    assert matrix(all_proven()).left_out == 0


def test_claim_without_a_proof_keeps_its_row() -> None:
    """Where all faults were asked for, a claim that none of them touched is an empty row, which is what to look for."""
    seen = matrix(view_of(proven()[:1]))

    assert [row.proven.claim.id for row in seen.rows] == [claim.id for claim in CLAIMS]
    assert seen.left_out == 0


def test_claim_that_was_to_be_found_keeps_its_row() -> None:
    """A miss is seen in a partial proof, too, though no claim was broken."""
    rows = matrix(view_of([missed()], complete=False)).rows

    assert [row.proven.claim.id for row in rows] == ["cancel.settles", "cancel.says-idle"]


def test_picture_without_columns_has_no_size() -> None:
    """A proof that was stopped before its first trial can be laid out."""
    seen = matrix(nothing())

    assert (seen.columns, seen.width) == ((), 0)


def test_names_of_faults_are_shown_while_there_is_room() -> None:
    """Few columns bear names, for which the head is high enough; many are narrow and bear none."""
    few, many = matrix(large(60)), matrix(large(700))
    longest = max(len(column.trial.subject.name) for column in few.columns)

    assert few.named
    assert few.head >= 6.6 * longest
    assert not many.named
    assert many.column_px < few.column_px
    assert many.width < 4_000


@pytest.mark.parametrize("view", [all_proven(), flawed(), large(150), large(400)], ids=["all", "flawed", "150", "400"])
def test_no_cell_is_shared(view: ProofView) -> None:
    """No two columns and no two rows overlap, every mark is in one cell, and every finding has its mark."""
    seen = matrix(view)
    xs = [column.x for column in seen.columns]
    ys = [row.y for row in seen.rows]
    drawn = cells(seen)

    assert all(after - before >= seen.column_px for before, after in pairwise(xs))
    assert all(after - before >= ROW_PX for before, after in pairwise(ys))
    assert len({(claim, name) for claim, name, _ in drawn}) == len(drawn)
    broken = {(claim, one.subject.name) for one in view.trials for claim in one.broken}
    lacking = {
        (row.claim.id, one.subject.name)
        for one in view.trials
        for row in view.claims
        for glob in one.lacking
        if one.subject.is_fault and fnmatchcase(row.claim.id, glob)
    }
    assert {(claim, name) for claim, name, _ in drawn} == broken | lacking
    assert {shape for _, _, shape in drawn} <= set(SHAPES)
