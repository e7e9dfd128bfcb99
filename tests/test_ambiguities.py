"""Each ambiguity of the documentation is answered by a variant of the twin, or excluded with the reason."""

from collections.abc import Mapping

from tests.ambiguities import AMBIGUITIES, EXCLUDED
from touchstone.proof.variants import VARIANTS


def complaints(
    known: Mapping[int, str], excluded: Mapping[int, str], answers: Mapping[str, tuple[int, ...]]
) -> set[str]:
    """What does not go together, each by its name; *answers* are the numbers that each variant answers."""
    answered = {number for numbers in answers.values() for number in numbers}
    return (
        {f"{n}, {known[n]}: neither a variant nor an exclusion" for n in known.keys() - answered - excluded.keys()}
        | {f"{n}, {known[n]}: excluded, and answered by a variant" for n in excluded.keys() & answered & known.keys()}
        | {f"{n}: excluded, but no ambiguity" for n in excluded.keys() - known.keys()}
        | {f"{n}: excluded without a reason" for n, reason in excluded.items() if not reason}
        | {f"{name}: answers {n}, which is no ambiguity" for name, numbers in answers.items()
           for n in numbers if n not in known}
    )  # fmt: skip


def test_every_ambiguity_is_answered_or_excluded() -> None:
    """No ambiguity is forgotten, none is both answered and excluded, and no variant answers what nobody asked."""
    answers = {name: variant.answers for name, variant in VARIANTS.items()}
    assert complaints(AMBIGUITIES, EXCLUDED, answers) == set()


def test_ambiguities_are_numbered_without_a_gap() -> None:
    """The list has fifty entries, each in other words."""
    assert list(AMBIGUITIES) == list(range(1, 51))
    assert len(set(AMBIGUITIES.values())) == 50


def test_forgotten_ambiguity_is_named() -> None:
    """Each kind of disagreement is told by the name of what disagrees."""
    known = {1: "form", 2: "order", 3: "length"}
    assert complaints(known, {3: "never seen"}, {"a": (1,), "b": (1, 2)}) == set()
    assert complaints(known, {3: "never seen"}, {"a": (1,)}) == {"2, order: neither a variant nor an exclusion"}
    assert complaints(known, {3: "", 4: "gone"}, {"a": (1, 2, 3), "b": (9,)}) == {
        "3, length: excluded, and answered by a variant",
        "3: excluded without a reason",
        "4: excluded, but no ambiguity",
        "b: answers 9, which is no ambiguity",
    }
