"""
Makes the mutants of a source: each is the source with one small change that a test should notice.

The changes are those of mutmut. What it leaves alone as a runner (decorated functions, data of a module) is changed
here as well, because the judges of this project are just that. Left out are decorators, annotations, types that have a
name, and whatever only words a message.
"""

import ast
import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from mutmut.mutation.mutators import mutation_operators

# The keyword arguments of held, broken and unclear that a person reads and nothing judges by.
MESSAGES = frozenset({"expected", "actual", "why"})
# As in mutmut: what is done to the arguments of these hardly ever leaves a program that runs.
UNTOUCHED_CALLS = frozenset({"len", "isinstance", "TypeVar"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    A source with one change.

    Attributes:
        path: Of the file, from the root of the project.
        place: The dotted name of the function or class that the change is in; ``module`` outside of any.
        lines: First and last line of the statement that changes; of a compound one those before its body.
        change: Before and after, in one line.
        source: The whole changed text.
    """

    path: str
    place: str
    lines: tuple[int, int]
    change: str
    source: str

    @property
    def name(self) -> str:
        """
        What tells the mutant from all others, whatever line it is on.
        """
        return f"{self.path} {self.place}: {self.change}"


class _Changes(cst.CSTVisitor):
    """
    Collects pairs of a node and its replacement.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_left_out(node):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                self.found += [(node, changed) for changed in operator(node) if _counts(node, changed)]
        return True


def mutants_of(path: Path, root: Path) -> list[Mutant]:
    """
    All mutants of a file, in the order of its text; equal ones once.
    """
    text = path.read_text("utf-8")
    module = cst.parse_module(text)
    tree = ast.parse(text)
    made: dict[str, Mutant] = {}
    for statement, before, after in _statements(module):
        changes = _Changes()
        statement.visit(changes)
        for node, changed in changes.found:
            replaced = statement.with_changes() if node is statement else statement.deep_replace(node, changed)
            replaced = changed if node is statement else replaced
            source = before + module.code_for_node(replaced) + after
            if source not in made and _compiles(source):
                made[source] = _named(path.relative_to(root).as_posix(), text, source, tree)
    return _numbered(made.values())


def _statements(module: cst.Module) -> Iterator[tuple[cst.CSTNode, str, str]]:
    """
    The statements of a module, each with the text before and after it.
    """
    texts = [module.code_for_node(statement) for statement in module.body]
    start = len(module.code) - len("".join(texts)) - sum(len(module.code_for_node(line)) for line in module.footer)
    for statement, text in zip(module.body, texts, strict=True):
        yield statement, module.code[:start], module.code[start + len(text) :]
        start += len(text)


def _is_left_out(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Arg):
        return node.keyword is not None and node.keyword.value in MESSAGES
    if isinstance(node, cst.Call):
        return _called(node.func) in UNTOUCHED_CALLS
    if isinstance(node, cst.Assign):
        return isinstance(node.value, cst.Subscript) and _called(node.value.value) == "Literal"
    return isinstance(node, cst.Annotation | cst.Decorator | cst.Raise | cst.Import | cst.ImportFrom)


def _called(node: cst.CSTNode) -> str:
    return node.value if isinstance(node, cst.Name) else ""


def _counts(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """
    Whether a change is one to make: one of each text, and no message taken away.
    """
    if isinstance(node, cst.SimpleString) and isinstance(changed, cst.SimpleString):
        return "XX" in changed.value and "XX" not in node.value
    if isinstance(node, cst.Call) and isinstance(changed, cst.Call):
        kept = {id(arg) for arg in changed.args}
        return not any(_is_left_out(arg) for arg in node.args if id(arg) not in kept)
    return True


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _places(tree: ast.Module) -> list[tuple[int, int, str]]:
    """
    First line, last line and dotted name of each function and class, the outer ones first.
    """
    found: list[tuple[int, int, str]] = []

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}.{child.name}".lstrip(".")
                found.append((child.lineno, child.end_lineno or child.lineno, name))
            visit(child, name)

    visit(tree, "")
    return found


def _statement(tree: ast.Module, line: int) -> tuple[int, int]:
    """
    First and last line of the innermost statement on a line, the body of a compound one apart.
    """
    around = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno <= line <= _end(node)]
    inner = max(around, key=lambda node: (node.lineno, -_end(node)), default=None)
    if inner is None:
        return line, line
    body = getattr(inner, "body", None)
    return inner.lineno, max(line, body[0].lineno - 1) if body else _end(inner)


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _named(path: str, text: str, source: str, tree: ast.Module) -> Mutant:
    old, new = text.splitlines(), source.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    blocks = [block for block in matcher.get_opcodes() if block[0] != "equal"]
    first, last = blocks[0][1], blocks[-1][2]
    inside = [name for start, end, name in _places(tree) if start <= first + 1 <= end]
    change = f"{_line(old[first:last])} ⇒ {_line(new[blocks[0][3] : blocks[-1][4]])}"
    return Mutant(path, inside[-1] if inside else "module", _statement(tree, first + 1), change, source)


def _line(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split()) or "(nothing)"


def _numbered(mutants: Iterable[Mutant]) -> list[Mutant]:
    """
    The mutants with a number where two of them read alike.
    """
    seen: dict[str, int] = {}
    numbered = []
    for mutant in mutants:
        seen[mutant.name] = count = seen.get(mutant.name, 0) + 1
        again = f"{mutant.change} (change {count})" if count > 1 else mutant.change
        numbered.append(Mutant(mutant.path, mutant.place, mutant.lines, again, mutant.source))
    return numbered
