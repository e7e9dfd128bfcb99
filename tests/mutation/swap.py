"""
Puts a mutant in place of the source that is already imported, in a process that is thrown away afterwards.

The code of functions is exchanged in place, so that nothing has to be imported again, also behind decorators and in
modules that imported the function by name. Plain data of a module and defaults of its functions are put in place as
well, but what was made of them while importing is not made again: that a mutant survives so proves nothing. Then, and
after any other change, such as one of a class body, everything that is ours has to be imported anew.
"""

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType, ModuleType


def functions_of(module: str) -> dict[str, list[FunctionType]]:
    """
    The functions of a module that are alive, by qualified name.
    """
    found: dict[str, list[FunctionType]] = {}
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__module__ == module:
            found.setdefault(thing.__code__.co_qualname, []).append(thing)
    return found


def exchange(functions: dict[str, list[FunctionType]], old: CodeType, new: CodeType) -> bool:
    """
    Gives living functions their changed code.

    Returns:
        Whether that was all: False where the change is not inside a function that is alive once.
    """
    changed = list(_changed(old, new))
    if None in changed:
        return False
    for code in changed:
        alive = functions.get(code.co_qualname, [])
        if len(alive) != 1 or len(alive[0].__code__.co_freevars) != len(code.co_freevars):
            return False
    for code in changed:
        functions[code.co_qualname][0].__code__ = code
    return True


def put_data(module: str, changed: CodeType) -> bool:
    """
    Puts the data and the defaults of a changed module in the place of those that are there.

    Returns:
        Whether there was any to put.
    """
    there, fresh = vars(sys.modules[module]), {"__name__": module, "__builtins__": __builtins__}
    exec(changed, fresh)
    found = False
    for name, new in fresh.items():
        old = there.get(name)
        if name.startswith("__"):
            continue
        if isinstance(new, FunctionType) and isinstance(old, FunctionType):
            before, after = (old.__defaults__, old.__kwdefaults__), (new.__defaults__, new.__kwdefaults__)
            if before != after and _is_plain(after):
                old.__defaults__, old.__kwdefaults__ = after
                found = True
        elif _is_plain(new) and _is_plain(old) and old != new:
            _put(name, old, new, module)
            found = True
    return found


def _put(name: str, old: object, new: object, module: str) -> None:
    """
    Gives a name its changed value, in its module and, where it is not private, in those that imported it.
    """
    for other in list(sys.modules.values()):
        if other.__name__ == module or (not name.startswith("_") and vars(other).get(name) is old):
            setattr(other, name, new)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, (*value, *value.values())))
    return value is None or isinstance(value, str | bytes | int | float | range | re.Pattern)


def _changed(old: CodeType, new: CodeType) -> Iterator[CodeType | None]:
    """
    The outermost functions whose code differs; None for code that runs at import.
    """
    if _bare(old) != _bare(new):
        yield None
        return
    for before, after in zip(_inner(old), _inner(new), strict=True):
        if before != after:
            is_function = after.co_flags & inspect.CO_OPTIMIZED and not after.co_name.startswith("<")
            yield from (after,) if is_function else _changed(before, after)


def _inner(code: CodeType) -> list[CodeType]:
    return [each for each in code.co_consts if isinstance(each, CodeType)]


def _bare(code: CodeType) -> tuple[object, ...]:
    """
    What code does itself, the functions in it apart.
    """
    constants = tuple((type(c), c.co_qualname if isinstance(c, CodeType) else repr(c)) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """
    Finds one module, with a changed source.
    """

    def __init__(self, module: str, path: str, source: str) -> None:
        self.module, self.path, self.source = module, path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module:
            return None
        package = self.path.endswith("__init__.py")
        spec = importlib.util.spec_from_loader(fullname, self, origin=self.path, is_package=package)
        if spec and package:
            spec.submodule_search_locations = [self.path.removesuffix("/__init__.py")]
        return spec

    def get_source(self, fullname: str) -> str:
        return self.source


def import_anew(module: str, path: str, source: str, ours: tuple[str, ...] = ("touchstone", "tests")) -> None:
    """
    Forgets all modules below *ours*, and has *module* found with its changed source from now on.
    """
    for name in [name for name in sys.modules if name.split(".")[0] in ours and not name.startswith("tests.mutation")]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Changed(module, path, source))
