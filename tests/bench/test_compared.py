"""The comparison of examiners: what counts as found, what as a false alarm, and how it is added up."""

import dataclasses

from tests.bench.compared import EXAMINERS, Comparison, Measured, cell, sampled, usual
from touchstone.proof.result import Subject


def measured(examiner: str, server: str = "f", **fields: object) -> Measured:
    """One examiner before one fault, that says nothing unless told otherwise."""
    run = Measured(examiner, server, "fault", "schema", 1, (), None, 0, 100, 2.0, ended=True)
    return dataclasses.replace(run, **fields)  # type: ignore[arg-type]


def correct(examiner: str, *said: str, seed: int = 1) -> Measured:
    """One examiner before the correct twin."""
    return measured(examiner, "correct", sort="correct", kind="", said=said, seed=seed)


def fault(name: str, kind: str) -> Subject:
    """A named fault."""
    return Subject(name, "fault", "Does.", kind, ("a.b",))


def all_three(server: str, **fields: object) -> list[Measured]:
    """All examiners before one server, each with the same outcome."""
    return [measured(name, server, **fields) for name in EXAMINERS]


def test_complaint_that_the_correct_twin_gets_as_well_finds_nothing() -> None:
    """A fault is missed by who says about it only what it says about the correct twin."""
    known = usual([correct("default", "a"), correct("default", "b", seed=2)])
    assert not cell(measured("default", said=("a", "b")), known).found
    assert cell(measured("default", said=("a", "c")), known).new == ("c",)
    assert cell(measured("default", said=("a", "c")), known).found


def test_one_examiner_s_false_alarms_excuse_no_other() -> None:
    """What one examiner says about the correct twin takes nothing away from another one."""
    known = usual([correct("default", "a")])
    assert cell(measured("best", said=("a",)), known).found


def test_ours_has_to_blame_the_right_claim() -> None:
    """Of ours, findings about something else do not count as found."""
    assert not cell(measured("touchstone", said=("a.b",), found=False), usual([])).found
    assert cell(measured("touchstone", said=("a.b",), found=True), usual([])).found


def test_sample_takes_each_class_in_turn() -> None:
    """A class with many faults takes no place of a class with few."""
    faults = [fault(f"x{number}", "schema") for number in range(20)] + [fault("y0", "stream"), fault("y1", "stream")]
    assert [one.kind for one in sampled(faults, 6, 1)] == ["schema", "stream", "schema", "stream", "schema", "schema"]
    assert len(sampled(faults, 100, 1)) == 22


def test_smaller_sample_is_the_beginning_of_a_larger_one() -> None:
    """What was measured for a small sample serves a larger one with the same seed; another seed takes others."""
    faults = [fault(f"x{number}", kind) for number in range(20) for kind in ("schema", "stream")]
    assert sampled(faults, 5, 3) == sampled(faults[::-1], 12, 3)[:5]
    assert sampled(faults, 5, 3) != sampled(faults, 5, 4)
    assert sampled([], 5, 1) == []


def test_only_servers_that_all_have_seen_are_compared() -> None:
    """A run that was cut short leaves servers that only some examiners saw; they count for nobody."""
    comparison = Comparison([*all_three("whole"), measured("best", "part", said=("a",))])
    assert [line.server for line in comparison.lines("fault")] == ["whole"]


def test_totals_are_counted_by_class() -> None:
    """Each class has a line, and the last one adds them up."""
    runs = [
        *all_three("one", kind="schema"),
        measured("touchstone", "two", kind="stream", found=True, requests=300),
        measured("default", "two", kind="stream", said=("a",)),
        measured("best", "two", kind="stream", ended=False),
    ]
    rows = [row.split() for row in Comparison(runs).totals().splitlines()]
    assert ["schema", "1", "0", "0", "0"] in rows
    assert ["stream", "1", "1", "1", "0"] in rows
    assert ["all", "2", "1", "1", "0"] in rows
    assert ["median", "requests", "200", "100", "100"] in rows
    assert ["cut", "off", "(*)", "0", "0", "1"] in rows


def test_false_alarms_are_counted_on_correct_twins_and_variants() -> None:
    """Whoever accuses a server that is right is counted, and apart from it whether that was anything new."""
    runs = [
        *(correct(name) for name in ("touchstone", "best")),
        *(correct("default", *said, seed=seed) for seed, said in enumerate([("a",), (), ("a", "b")])),
        *all_three("v", sort="variant", kind="", said=("a",)),
    ]
    rows = Comparison(runs).false_alarms().splitlines()
    assert rows[1].split()[-9:] == ["0", "of", "1", "2", "of", "3", "0", "of", "1"]
    assert rows[2].split()[-3:] == ["0", "2", "0"]
    assert rows[3].split()[-3:] == ["1", "1", "1"]
    assert rows[4].split()[-3:] == ["1", "0", "1"]


def test_matrix_has_a_line_for_each_fault_and_a_cell_for_each_examiner() -> None:
    """A cell says found or missed, how many requests and seconds it took, and whether the run was cut off."""
    runs = [
        measured("touchstone", found=True, strange=2, requests=1038),
        measured("default", said=("a",), seconds=28.25),
        measured("best", ended=False),
    ]
    line = Comparison(runs).matrix().splitlines()[-1]
    ours, default, best = (part.split() for part in line.split("|"))
    assert ours == ["schema", "f", "found+2", "1038", "2.0"]
    assert default == ["found", "100", "28.2"]
    assert best == ["missed", "100", "2.0*"]


def test_words_tell_what_a_fault_was_found_by() -> None:
    """Each new complaint of plain Schemathesis is printed with the server that it is about; usual ones only once."""
    runs = [correct("default", "usual"), *all_three("f", said=("usual",))]
    runs[2] = measured("default", said=("usual", "fresh"))
    said = Comparison(runs).words().splitlines()
    assert "default on the correct twin: usual" in said
    assert "default on f: fresh" in said
    assert "default on f: usual" not in said
