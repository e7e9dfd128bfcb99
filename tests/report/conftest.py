"""The flag that renews golden files."""

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew", action="store_true", help="Write the files of tests/golden again.")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--renew"):
        os.environ["RENEW_GOLDEN_FILES"] = "1"
