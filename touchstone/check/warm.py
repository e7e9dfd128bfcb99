"""Imported for its effect by the process that trials are forked from: what each of them would compute is there already.

Hypothesis makes tables of all characters and Schemathesis compiles the contract, together the better part of a second;
what pytest and the twin's server import when they start is most of another one.
"""

import gc
import importlib
import warnings

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import integers
from schemathesis.core.result import Ok

from touchstone.check import pytest_plugin
from touchstone.check.schemathesis_hooks import load_schema
from touchstone.config import Settings
from touchstone.contract import claims
from touchstone.contract.document import Contract

__all__ = ["pytest_plugin"]

_IMPORTED_LATER = (
    "_pytest.helpconfig",
    "_pytest.junitxml",
    "_pytest.skipping",
    "_pytest.tracemalloc",
    "_pytest.unittest",
    "_pytest.warnings",
    "anyio._backends._asyncio",
    "pdb",
    "schemathesis.pytest.plugin",
    "touchstone.check.links",
    "uvicorn.lifespan.off",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)
_ONCE = settings(
    max_examples=1,
    phases=(Phase.generate,),
    database=None,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def _generate_once() -> None:
    """
    Draws one request of each operation, and numbers enough for Hypothesis to look up the constants of all modules.
    """
    defaults = Settings()
    settings(_ONCE, max_examples=100)(given(integers())(lambda _number: None))()
    for found in load_schema(defaults.seed, "quick").get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        _ONCE(given(operation.as_strategy())(lambda _case: None))()


Contract.load()
claims.load()
_generate_once()
for _module in _IMPORTED_LATER:
    importlib.import_module(_module)
with warnings.catch_warnings():
    # It warns of strategies that were evaluated before it came, which is what this is for, and of others after it.
    warnings.simplefilter("ignore")
    importlib.import_module("_hypothesis_pytestplugin")

# What is here stays here: a child that looked for garbage in it would copy all of it.
gc.collect()
gc.freeze()
