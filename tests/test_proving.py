"""`touchstone prove` as its users meet it: what is chosen, what is printed and written, how it ends."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ended, Shell, called
from touchstone.cli.prove import Prove
from touchstone.errors import UsageError
from touchstone.proof import catalogue
from touchstone.proof.faults import FAULTS
from touchstone.proof.result import Trial
from touchstone.proof.variants import VARIANTS

Command = Callable[..., Ended]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Calls the command line in a folder of its own."""
    return lambda *arguments: called(Shell(tmp_path), monkeypatch, capsys, *arguments)


def sorts(choice: Prove) -> set[str]:
    """The sorts of servers that a choice has."""
    return {candidate.subject.sort for candidate in choice.candidates()}


def proof(folder: Path) -> dict[str, Any]:
    """What proof.json says."""
    return dict(json.loads((folder / "proof.json").read_text("utf-8")))


def test_everything_named_is_chosen_by_default() -> None:
    """All faults that a check can show and all variants; generated faults on request, and then these alone."""
    chosen = [candidate.subject.name for candidate in Prove().candidates()]
    assert chosen == [*(name for name, fault in FAULTS.items() if fault.under == "check"), *VARIANTS]
    assert sorts(Prove(generated=True)) == {"generated", "permitted"}


def test_code_in_what_a_server_does_stands_between_single_backticks() -> None:
    """A docstring has two, which are for no reader of `prove --list` and `serve`."""
    derived = (one.subject.says for one in catalogue.derived())
    said = [*(behaviour.says for behaviour in (*FAULTS.values(), *VARIANTS.values())), *derived]
    assert [sentence for sentence in said if "``" in sentence] == []
    assert any("`" in sentence for sentence in said)


def test_a_choice_of_one_sort_leaves_the_other_out() -> None:
    """`--fault` alone tries no variant, `--variant` alone no fault, both together try both."""
    variant = next(iter(VARIANTS))
    assert sorts(Prove(fault="cancel-*")) == {"fault"}
    assert sorts(Prove(variant=variant)) == {"variant"}
    assert sorts(Prove(fault="cancel-*", variant=variant)) == {"fault", "variant"}


def test_freedom_is_tried_alone_by_its_name() -> None:
    """
    A glob that matches no variant names freedoms that variants take among others; none of these is tried otherwise.
    """
    chosen = {glob: [one.subject.name for one in catalogue.variants(glob)] for glob in ("*", "fast-*")}

    assert chosen == {"*": list(VARIANTS), "fast-*": ["fast-builds"]}
    assert catalogue.candidate("fast-builds", "variant", 1).behaviour is catalogue.variant("fast-builds")


@pytest.mark.parametrize(
    ("choice", "flag"), [(Prove(fault="no-such-*"), "--fault"), (Prove(variant="no-such-*"), "--variant")]
)
def test_glob_that_matches_nothing_is_refused(choice: Prove, flag: str) -> None:
    """A proof of nothing would be no proof."""
    with pytest.raises(UsageError, match=f"{flag} 'no-such-\\*': matches nothing; `touchstone prove --list`"):
        choice.candidates()


def test_wrong_glob_ends_with_2(command: Command) -> None:
    """One line, no traceback, no report."""
    ended = command("prove", "--fault", "no-such-*")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("exit 2: --fault 'no-such-*': matches nothing")
    assert not (ended.folder / "reports").exists()


def test_fault_that_only_load_shows_is_refused(command: Command) -> None:
    """The examination could only miss it; the message says how to meet it."""
    ended = command("prove", "--fault", "crowded-build-vanishes")
    assert (ended.code, ended.out) == (2, "")
    assert "crowded-build-vanishes shows under load alone" in ended.err


def test_list_tells_apart_what_only_load_shows(command: Command) -> None:
    """`--list` has every name that a twin takes; what no proof tries comes last, and by a glob of its own as well."""
    tried, beside = command("prove", "--list").out.split("Shown by load alone, and not tried here; ")
    assert "touchstone serve --fault NAME" in beside
    assert all(name in beside for name in ("memory-is-kept", "crowded-start-is-423"))
    assert "crowded-" not in tried
    only = command("prove", "--list", "--fault", "crowded-build-*")
    assert (only.code, only.out.startswith("Shown by load alone")) == (0, True)
    assert "crowded-build-vanishes" in only.out
    assert "Shown by load" not in command("prove", "--list", "--variant", "fast-*").out
    assert command("prove", "--list", "--fault", "no-such-*").code == 2


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("log-time-out", r"did you mean log-times-out\? "),
        ("crowded-log", r"did you mean (crowded-\S+, )?crowded-\S+ or crowded-\S+\? "),
        ("?", ""),
    ],
)
def test_unknown_fault_names_the_nearest_and_where_all_are(name: str, near: str) -> None:
    """There are hundreds, which no message holds."""
    with pytest.raises(UsageError) as raised:
        catalogue.fault(name)
    where = r"`touchstone prove --list` shows all names, and with --generated those of derived faults"
    assert re.fullmatch(rf"--fault {re.escape(repr(name))}: there is none; {near}{where}", str(raised.value))


def test_list_tries_nothing(command: Command) -> None:
    """`--list` names each server with what it breaks, and leaves no file."""
    ended = command("prove", "--list", "--fault", "cancel-does-nothing")
    assert ended.code == 0
    assert "cancel-does-nothing" in ended.out
    assert all(claim in ended.out for claim in FAULTS["cancel-does-nothing"].breaks)
    assert list(ended.folder.iterdir()) == []


def test_proof_of_a_fault_and_a_variant(command: Command) -> None:
    """The fault is found and blamed on its claim, the variant is let pass: exit 0, and both reports are there."""
    variant = next(iter(VARIANTS))
    ended = command("prove", "--fault", "cancel-does-nothing", "--variant", variant, "--report-dir", "proof")
    assert ended.code == 0, ended.out
    folder = ended.folder / "proof"
    assert "proof/proof.html" in ended.out
    states = {trial["name"]: trial["state"] for trial in proof(folder)["trials"]}
    assert states == {"cancel-does-nothing": "killed", variant: "survived"}
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["proof.html", "proof.json"]


def test_interrupted_proof_reports_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was proven before Ctrl-C is written, and the exit code says that it is not all."""
    monkeypatch.chdir(tmp_path)

    def interrupt(_trial: Trial, _to_come: int) -> None:
        raise KeyboardInterrupt

    choice = Prove(fault="cancel-*", report_dir=tmp_path / "proof", jobs=1)
    view, folder = choice.proven(interrupt)
    assert view.exit_code == 130
    assert [trial["state"] for trial in proof(folder)["trials"]] == ["killed"]
    assert view.run.asked == len(choice.candidates()) > 1
