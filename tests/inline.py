"""Runs commands and their contract tests in this process."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.command import Ended, Shell, called
from touchstone.check import job, runner
from touchstone.facts.runlog import follow
from touchstone.types import Progress


def inline(shell: Shell, *arguments: str) -> Ended:
    """Runs a command to its end; the contract tests start no process."""
    out, err = io.StringIO(), io.StringIO()
    captured: Any = SimpleNamespace(readouterr=lambda: (out.getvalue(), err.getvalue()))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(job, "watched", _watched)
        patch.setattr(runner, "subprocess", SimpleNamespace(run=listed))
        return called(shell, patch, captured, *arguments)


def run_pytest(command: Sequence[str], environment: Mapping[str, str], output: Any) -> int:
    """Runs ``python -m pytest …`` in this process with these variables; returns the exit code."""
    path, modules, variables = sys.path[:], set(sys.modules), dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            return int(pytest.main([*command[3:], "--capture=no"]))
    finally:
        os.environ.clear()
        os.environ.update(variables)
        sys.path[:] = path
        folder = command[command.index("-c") + 1].removesuffix("pytest.ini")
        for name in set(sys.modules) - modules:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(folder):
                del sys.modules[name]


_in_a_child = job.watched


def _watched(
    command: Sequence[str], environment: Mapping[str, str], output: Path, run_log: Path, progress: Progress, *more: Any
) -> int:
    if "pytest" not in command:
        return _in_a_child(command, environment, output, run_log, progress, *more)
    with io.TextIOWrapper(job.anew(output), "utf-8") as file:
        code = run_pytest(command, environment, file)
    for event in next(follow(run_log), ()):
        progress(event)
    return code


def listed(command: Sequence[str], *, env: Mapping[str, str], **_: object) -> "subprocess.CompletedProcess[str]":
    """Replaces `subprocess.run` for the list of cases of a plan."""
    return subprocess.CompletedProcess(command, run_pytest(command, env, io.StringIO()), "", "")
