"""
The mutants of a source, and how one takes the place of what is imported.
"""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.mutants import mutants_of
from tests.mutation.swap import exchange, functions_of, put_data

SOURCE = '''\
"""
Judges.
"""

LIMIT = 3


@judged("some.claim")
def judge(status: int = 200) -> object:
    if status > LIMIT:
        return broken("some.claim", actual=f"{status + 1}", why="no")
    return None
'''


def changes(tmp_path: Path, source: str) -> set[str]:
    """
    Place and change of each mutant of a source.
    """
    path = tmp_path / "judge.py"
    path.write_text(source, "utf-8")
    return {mutant.name.removeprefix("judge.py ") for mutant in mutants_of(path, tmp_path)}


def test_data_of_a_module_defaults_and_decorated_functions_change(tmp_path: Path) -> None:
    """
    What judges is mostly data and decorated functions.
    """
    expected = {
        "module: LIMIT = 3 ⇒ LIMIT = 4",
        "judge: def judge(status: int = 200) -> object: ⇒ def judge(status: int = 201) -> object:",
        "judge: if status > LIMIT: ⇒ if status >= LIMIT:",
    }
    assert expected <= changes(tmp_path, SOURCE)


def test_wording_and_decorators_stay_as_they_are(tmp_path: Path) -> None:
    """
    No mutant changes the words of a finding, the claim in a decorator or a type.
    """
    told = changes(tmp_path, SOURCE + '\nKind = Literal["a", "b"]\n')
    assert {name for name in told if "status +" in name.split(" ⇒ ")[-1] and "status + 1" not in name} == set()
    assert {name for name in told if "why=" in name and 'why="no"' not in name.split(" ⇒ ")[-1]} == set()
    assert {name for name in told if "judged(" in name or "Kind" in name} == set()


def test_mutants_have_names_of_their_own(tmp_path: Path) -> None:
    """
    Two changes that read alike are numbered.
    """
    path = tmp_path / "judge.py"
    path.write_text("def f(a: int) -> int:\n    b = a + 1\n    b = a + 1\n    return b\n", "utf-8")
    names = [mutant.name for mutant in mutants_of(path, tmp_path)]
    assert len(set(names)) == len(names)
    assert "judge.py f: b = a + 1 ⇒ b = a - 1 (change 2)" in names


def imported(source: str, name: str = "judge") -> ModuleType:
    """
    A module made of a source, with a name that no other test uses where functions are looked for by it.
    """
    module = ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module


def test_change_inside_a_function_reaches_those_who_hold_the_function() -> None:
    """
    A function changes where it is, so that nothing is imported again.
    """
    before, after = ("def f():\n    return 1\n", "def f():\n    return 2\n")
    held = imported(before, "inside").f
    functions = functions_of("inside")
    assert exchange(functions, compile(before, "inside.py", "exec"), compile(after, "inside.py", "exec"))
    assert held() == 2


def test_change_outside_of_functions_asks_for_an_import() -> None:
    """
    A default belongs to the module's code, which has run.
    """
    before, after = ("def g(a=1):\n    return a\n", "def g(a=2):\n    return a\n")
    held = imported(before, "outside").g
    assert not exchange(
        functions_of("outside"), compile(before, "outside.py", "exec"), compile(after, "outside.py", "exec")
    )
    assert held() == 1
    assert "outside" not in sys.modules


def test_changed_data_and_defaults_reach_those_who_look_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A name gets its new value where it is defined and where it was imported, unless it is private there.
    """
    before = "LIMITS = (3, 4)\n_WORD = 'one'\ndef f(a=1):\n    return LIMITS, _WORD, a\n"
    after = before.replace("4", "5").replace("one", "two").replace("a=1", "a=2")
    judge, other = imported(before), imported("def g():\n    return LIMITS, _WORD\n", "other")
    other.LIMITS, other._WORD = judge.LIMITS, judge._WORD
    for module in (judge, other):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    assert put_data("judge", compile(after, "judge.py", "exec"))
    assert judge.f() == ((3, 5), "two", 2)
    assert other.g() == ((3, 5), "one")


def test_changed_class_has_no_data_to_put(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is in a class body is there for good, so that everything is imported anew.
    """
    judge = imported("class A:\n    limit = 1\n")
    monkeypatch.setitem(sys.modules, "judge", judge)

    assert not put_data("judge", compile("class A:\n    limit = 2\n", "judge.py", "exec"))
    assert judge.A.limit == 1
