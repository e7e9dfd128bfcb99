"""Imports and data that every trial needs, loaded once in the process that trials are forked from."""

import schemathesis.pytest.plugin  # noqa: F401

import touchstone.check.pytest_plugin
import touchstone.proof.trial  # noqa: F401
from touchstone.check.schemathesis_hooks import load_schema

load_schema(1, "quick")
