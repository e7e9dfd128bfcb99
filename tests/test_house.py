"""
The rules of the house that no linter knows: sizes, docstrings, names, the lock file, and lists that must agree.
"""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

MODULE_LINES = 400
TEST_LINES = 600
FUNCTION_LINES = 40

OURS = ("touchstone", "contract_tests", "load")
NAMELESS = frozenset({"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"})

# Whether to draw progress depends on the machine, not on how the run is set up; everything else comes from settings.
READS_ENVIRONMENT = (
    *("touchstone/cli.py", "touchstone/cli_check.py", "touchstone/cli_recordings.py", "touchstone/cli_sweep.py"),
    *("touchstone/progress.py", "touchstone/adapters/"),
    *("touchstone/runner.py", "touchstone/prover.py", "touchstone/trial.py"),
    *("touchstone/cli_load.py", "touchstone/cli_workflow.py", "touchstone/loading.py", "touchstone/loadworker.py"),
    *("touchstone/cli_probe.py", "touchstone/probing.py", "touchstone/cli_report.py", "touchstone/cli_compare.py"),
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources(*tops: str) -> Mapping[str, str]:
    """
    The Python files below the given folders, text by path from the root.
    """
    paths = [path for top in tops for path in sorted((ROOT / top).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


@cache
def parsed(source: str) -> ast.Module:
    """
    The tree of a source; many rules ask for it.
    """
    return ast.parse(source)


def functions(source: str) -> Iterator[Function]:
    """
    Every function and method in a source, nested ones included.
    """
    return (node for node in ast.walk(parsed(source)) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    """
    The lines of a function from its name to its end; the docstring, which is no code, apart.
    """
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def too_long(texts: Mapping[str, str], limit: int) -> set[str]:
    """
    The files with more lines than the limit.
    """
    counts = {path: len(text.splitlines()) for path, text in texts.items()}
    return {f"{path}: {count} lines, at most {limit}" for path, count in counts.items() if count > limit}


def long_functions(texts: Mapping[str, str]) -> set[str]:
    """
    The functions with more lines than FUNCTION_LINES.
    """
    return {
        f"{path}: {function.name}: {lines_of(function)} lines, at most {FUNCTION_LINES}"
        for path, text in texts.items()
        for function in functions(text)
        if lines_of(function) > FUNCTION_LINES
    }


def crowded_docstrings(texts: Mapping[str, str]) -> set[str]:
    """
    The docstrings whose quotes share a line with their text.
    """
    found = set()
    for path, text in texts.items():
        lines = text.splitlines()
        for node in ast.walk(parsed(text)):
            if not isinstance(node, Function | ast.ClassDef | ast.Module) or ast.get_docstring(node) is None:
                continue
            string = node.body[0]
            edges = {lines[string.lineno - 1].strip().lstrip("r"), lines[(string.end_lineno or 1) - 1].strip()}
            if edges != {'"""'}:
                found.add(f"{path}:{string.lineno}")
    return found


def silent_ignores(texts: Mapping[str, str]) -> set[str]:
    """
    The places where a checker is silenced without a code and a reason after it.
    """
    # Written in two parts, so that this line is none of its own findings.
    silencer = re.compile(r"#\s*(type:\s*ignore|no" + r"qa)(.*)")
    well_said = re.compile(r"(\[[a-z-]+(, ?[a-z-]+)*\]|: ?[A-Z]+\d+(, ?[A-Z]+\d+)*)\s+(#|-|–|—|\() ?\w.*")
    return {
        f"{path}:{number}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        for match in silencer.finditer(line)
        if not well_said.match(match[2])
    }


def test_no_module_outgrows_its_limit() -> None:
    """
    A module has at most 400 lines, a test file at most 600.
    """
    assert too_long(sources(*OURS), MODULE_LINES) | too_long(sources("tests"), TEST_LINES) == set()


def test_no_function_outgrows_its_limit() -> None:
    """
    A function has at most 40 lines, its docstring apart, in the tests as well.
    """
    assert long_functions(sources(*OURS, "tests")) == set()


def test_quotes_of_docstrings_stand_alone() -> None:
    """
    The quotes of a docstring in the product stand on lines of their own.
    """
    assert crowded_docstrings(sources(*OURS)) == set()


def test_every_test_states_its_fact() -> None:
    """
    Each test has a docstring: the behaviour that it proves.
    """
    silent = {
        f"{path}: {function.name}"
        for path, text in sources("tests", "contract_tests").items()
        for function in functions(text)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    }
    assert silent == set()


def test_no_module_has_a_name_that_says_nothing() -> None:
    """
    A module is named after what is in it.
    """
    assert {path for path in sources(*OURS, "tests") if Path(path).stem in NAMELESS} == set()


def test_every_silenced_checker_says_why() -> None:
    """
    An ignore in the product names the rule that it silences and the reason.
    """
    assert silent_ignores(sources(*OURS)) == set()


def test_no_test_sleeps() -> None:
    """
    A test waits for an event; a sleep is too long on one machine and too short on another. A bench has to wait.
    """
    tests = {path: text for path, text in sources("tests").items() if not path.startswith("tests/bench/")}
    sleepers = {path for path, text in tests.items() if re.search(r"\btime\.sleep\(|\bfrom time import.*sleep", text)}
    assert sleepers - {"tests/test_house.py"} == set()


def test_frozen_values_are_slotted_and_exceptions_are_not_frozen() -> None:
    """
    A frozen dataclass has slots, and none of them is an exception, which must take a traceback.
    """
    faults = set()
    for path, text in sources(*OURS).items():
        for node in ast.walk(parsed(text)):
            if isinstance(node, ast.ClassDef):
                written = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
                is_error = any(
                    "Error" in ast.unparse(parent) or "Exception" in ast.unparse(parent) for parent in node.bases
                )
                if "frozen=True" in written and ("slots=True" not in written or is_error):
                    faults.add(f"{path}: {node.name}")
    assert faults == set()


def test_environment_is_read_at_the_edges_only() -> None:
    """
    The environment enters through the command line and the hand-over to a child; nothing else looks at it.
    """
    readers = {path for path, text in sources("touchstone").items() if re.search(r"\bos\.(environ|getenv)\b", text)}
    assert {path for path in readers if not path.startswith(READS_ENVIRONMENT)} == set()


def test_lock_holds_hashes_and_no_address() -> None:
    """
    The lock file works with any index: it names none, and every version in it has hashes.
    """
    text = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = re.findall(r"^[\w.-]+==\S+.*", text, flags=re.MULTILINE)
    assert re.findall(r"(?i)\w+://\S*|--(?:extra-)?index-url\S*|--find-links\S*|--trusted-host\S*", text) == []
    assert [line for line in pinned if not line.endswith("\\")] == []
    assert len(pinned) > 50


def test_lock_satisfies_every_dependency() -> None:
    """
    Each dependency of pyproject.toml is in the lock, at a version that it allows.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lines = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), flags=re.MULTILINE)
    locked = {name.lower().replace("_", "-"): version for name, version in lines}
    wanted = [Requirement(text) for text in project["project"]["dependencies"] + project["dependency-groups"]["dev"]]
    missing = [
        str(need) for need in wanted if locked.get(need.name.lower().replace("_", "-"), "none") not in need.specifier
    ]
    assert missing == []


def test_project_asks_for_the_oldest_python_that_make_accepts() -> None:
    """
    pyproject.toml, the linter and the set-up script agree on the oldest Python.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    oldest = project["project"]["requires-python"].removeprefix(">=")
    assert project["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert project["tool"]["mypy"]["python_version"] == oldest
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in (ROOT / ".ci" / "venv").read_text("utf-8")
    assert Marker(f"python_version >= '{oldest}'").evaluate()


def test_wheel_carries_what_the_package_reads(tmp_path: Path) -> None:
    """
    A wheel holds every module, contract, contract tests, recordings and all assets, and no test of the harness.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    places = {
        "touchstone": "touchstone",
        "openapi": "touchstone/_bundle/openapi",
        "contract_tests": "touchstone/_bundle/contract_tests",
        "load": "touchstone/_bundle/load",
        "tests/recordings": "touchstone/_bundle/recordings",
    }
    files = {
        f"{packed_as}/{path.relative_to(ROOT / top).as_posix()}"
        for top, packed_as in places.items()
        for path in (ROOT / top).rglob("*")
        if path.is_file()
    }
    files |= {f"touchstone/_bundle/{name}" for name in ("lock_of.py", "requirements.lock")}
    assert packed == {name for name in files if not any(p.startswith((".", "__pycache__")) for p in name.split("/"))}


def test_menu_lists_every_target_in_one_or_two_lines() -> None:
    """
    Each phony target of the Makefile says what it does, `help` comes first, and none has more than two lines.
    """
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z-]+):(?:[^\n#]*)## \S[^\n]*\n((?:\t[^\n]*\n)*)", text, flags=re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    assert phony is not None
    assert [name for name, _ in targets] == phony[1].split()
    assert targets[0][0] == "help"
    assert {name for name, recipe in targets if not 1 <= recipe.count("\n") <= 2} == set()


@pytest.mark.parametrize(
    "name", ["Makefile", ".ci/run", ".ci/venv", "pyproject.toml", "CONTRIBUTING.md", "CHANGELOG.md"]
)
def test_nothing_points_to_one_machine(name: str) -> None:
    """
    What sets the project up names no home folder, no registry and no address of a machine.
    """
    text = (ROOT / name).read_text("utf-8")
    assert re.findall(r"/(?:root|home|work|opt|Users)/\S*|https?://(?!keepachangelog|semver)[\w.-]*\w", text) == []


def source_with_function(lines: int, docstring_lines: int = 0) -> str:
    """
    A source with one function of so many lines of code, its first line included.
    """
    docstring = ['    """', *["    word"] * (docstring_lines - 2), '    """'] if docstring_lines else []
    return "\n".join(["def f():", *docstring, *["    x = 1"] * (lines - 1)]) + "\n"


def test_long_file_and_long_function_are_found() -> None:
    """
    The size checks see one line too many, and neither a file at the limit nor a long docstring.
    """
    assert too_long({"a": "x\n" * 400, "b": "x\n" * 401}, 400) == {"b: 401 lines, at most 400"}
    texts = {"a": source_with_function(40, docstring_lines=30), "b": source_with_function(41)}
    assert long_functions(texts) == {"b: f: 41 lines, at most 40"}


def test_crowded_docstring_is_found() -> None:
    """
    A docstring on one line is seen, one with its quotes alone is not.
    """
    texts = {"a": 'def f():\n    """Does."""\n', "b": 'def f():\n    """\n    Does.\n    """\n', "c": '"""\nSays."""\n'}
    assert crowded_docstrings(texts) == {"a:2", "c:1"}


def test_silent_ignore_is_found() -> None:
    """
    An ignore without a code or without a reason is seen, one with both is not.
    """
    mark = "# type: " + "ignore"
    texts = {
        "a": f"x {mark}\n",
        "b": f"x {mark}[misc]\n",
        "c": f"x {mark}[misc]  # the stubs lack it\n",
        "d": "x # no" + "qa: E501\n",
    }
    assert silent_ignores(texts) == {"a:1", "b:1", "d:1"}


def test_properties_depend_on_no_chance_and_no_clock() -> None:
    """
    What no property says for itself holds for all: the same cases in each run, however long one takes.
    """
    assert (settings().derandomize, settings().deadline, settings().database) == (True, None, None)
