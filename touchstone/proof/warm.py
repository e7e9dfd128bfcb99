"""Imports and data that every trial needs, loaded once in the process that trials are forked from."""

import sys

import _pytest.junitxml  # noqa: F401
from hypothesis.internal.charmap import intervals_from_codec

import touchstone.check.pytest_plugin
import touchstone.proof.trial  # noqa: F401
from touchstone.contract.files import contract_tests_dir

sys.path.insert(0, str(contract_tests_dir()))
__import__("generation").load_schema(1, "standard")
# Hypothesis computes this table on first use, unless its storage folder has it.
intervals_from_codec("utf-8")
