"""`touchstone prove`: the trials that it runs, its output and its exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Ended, Shell, called
from touchstone.cli.prove import Prove
from touchstone.errors import UsageError
from touchstone.proof import catalogue
from touchstone.proof.faults import FAULTS
from touchstone.proof.variants import VARIANTS
from touchstone.twin.serve import BESIDE

Command = Callable[..., Ended]
VARIANT = next(iter(VARIANTS))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs touchstone in an empty folder."""
    return lambda *arguments: called(Shell(tmp_path), monkeypatch, capsys, *arguments)


@pytest.mark.parametrize(
    ("choice", "sorts"),
    [
        (Prove(), {"fault", "variant"}),
        (Prove(pairs=2), {"fault"}),
        (Prove(generated=True), {"generated", "permitted"}),
        (Prove(fault="cancel-*"), {"fault"}),
        (Prove(variant=VARIANT), {"variant"}),
        (Prove(fault="cancel-*", variant=VARIANT), {"fault", "variant"}),
    ],
)
def test_flags_choose_sorts_of_trials(choice: Prove, sorts: set[str]) -> None:
    assert {candidate.subject.sort for candidate in choice.candidates()} == sorts


def test_every_fault_that_a_check_can_find_is_chosen() -> None:
    chosen = [candidate.subject.name for candidate in Prove().candidates()]
    assert chosen == [*(name for name, fault in FAULTS.items() if fault.under == "check"), *VARIANTS]


def test_pairs_depend_on_the_seed_and_are_built_again_from_their_names() -> None:
    pairs = Prove(pairs=8, seed=3, fault="*a*").candidates()
    names = [one.subject.name for one in pairs]
    assert names == [one.subject.name for one in Prove(pairs=8, seed=3, fault="*a*").candidates()]
    assert len({*names, *(one.subject.name for one in Prove(pairs=8, seed=4, fault="*a*").candidates())}) > 8
    for one in pairs:
        parts = [FAULTS[name] for name in one.subject.name.split(BESIDE)]
        assert one.subject.breaks == parts[0].breaks + parts[1].breaks
        assert one.profile in {part.profile for part in parts}
        again = catalogue.candidate(one.subject.name, one.subject.sort, seed=1)
        assert (again.subject, again.behaviour.says) == (one.subject, one.behaviour.says)
        assert Prove(fault=one.subject.name).candidates()[0].subject == one.subject


@pytest.mark.parametrize("flags", [("--coverage", "--pairs", "2"), ("--pairs", "2", "--generated")])
def test_flags_that_exclude_each_other_end_with_2(command: Command, flags: tuple[str, ...]) -> None:
    assert command("prove", *flags).code == 2


def test_part_of_a_variant_is_tried_only_by_its_name() -> None:
    assert [one.subject.name for one in catalogue.variants("fast-*")] == ["fast-builds"]
    assert "fast-builds" not in [one.subject.name for one in catalogue.variants("*")]


@pytest.mark.parametrize(
    "flags", [("--fault", "no-such-*"), ("--variant", "no-such-*"), ("--fault", "crowded-build-vanishes")]
)
def test_choice_of_nothing_ends_with_2(command: Command, flags: tuple[str, str]) -> None:
    """This includes a fault that appears only under load."""
    ended = command("prove", *flags)
    assert (ended.code, ended.out) == (2, "")
    assert flags[1] in ended.err
    assert not (ended.folder / "reports").exists()


def test_unknown_fault_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="log-times-out"):
        catalogue.fault("log-time-out")
    with pytest.raises(UsageError, match="is a variant"):
        catalogue.fault("no-retry-after")


def test_list_names_servers_and_writes_nothing(command: Command) -> None:
    ended = command("prove", "--list")
    assert ended.code == 0
    assert all(name in ended.out for name in (*FAULTS, *VARIANTS))
    only = command("prove", "--list", "--fault", "cancel-does-nothing").out
    assert all(claim in only for claim in FAULTS["cancel-does-nothing"].breaks)
    assert command("prove", "--list", "--fault", "no-such-*").code == 2
    assert list(ended.folder.iterdir()) == []


@pytest.mark.prove
def test_proof_of_a_fault_and_a_variant(command: Command) -> None:
    ended = command("prove", "--fault", "cancel-does-nothing", "--variant", VARIANT, "--report-dir", "proof")
    assert ended.code == 0, ended.out
    folder = ended.folder / "proof"
    states = {
        trial["name"]: trial["state"] for trial in json.loads((folder / "proof.json").read_text("utf-8"))["trials"]
    }
    assert states == {"cancel-does-nothing": "killed", VARIANT: "survived"}
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["proof.html", "proof.json"]
