"""What every trial would load by itself, loaded once by the process that trials are forked from."""

import schemathesis.pytest.plugin  # noqa: F401

import touchstone.check.pytest_plugin
import touchstone.cli.prove
import touchstone.proof.trial  # noqa: F401
from touchstone.check.schemathesis_hooks import load_schema

load_schema(1, "quick")
