"""
Imported for its effect by the process that trials are forked from: what each of them would compute is there already.

Hypothesis makes tables of all characters and Schemathesis compiles the contract, together the better part of a second.
"""

import gc

from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok

from touchstone import claims
from touchstone.adapters import pytest_plugin
from touchstone.adapters.schemathesis_hooks import load_schema
from touchstone.contract import Contract
from touchstone.settings import Settings

__all__ = ["pytest_plugin"]


def _generate_once() -> None:
    """
    Draws one request of each operation.
    """
    defaults = Settings()
    for found in load_schema(defaults.seed, "quick").get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        once = settings(
            max_examples=1,
            phases=(Phase.generate,),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        once(given(operation.as_strategy())(lambda _case: None))()


Contract.load()
claims.load()
_generate_once()

# What is here stays here: a child that looked for garbage in it would copy all of it.
gc.collect()
gc.freeze()
