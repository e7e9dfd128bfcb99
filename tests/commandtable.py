"""
The table of commands that completion reads, made from the commands: ``python -m tests.commandtable`` writes it anew.
"""

import json
from typing import Any

from typer.main import get_group

from touchstone.cli.app import MODULES, app
from touchstone.cli.completion import TABLE
from touchstone.loadgen.workloads import SCENARIOS
from touchstone.proof.faults import FAULTS
from touchstone.proof.variants import VARIANTS
from touchstone.recordings import recorder


def table() -> str:
    """The table as it should be."""
    commands = get_group(app).commands
    document = {
        "commands": {name: _entry(commands[name]) for name in MODULES},
        "faults": list(FAULTS),
        "recorded": list(recorder.scenarios()),
        "scenarios": list(SCENARIOS),
        "variants": list(VARIANTS),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _entry(command: Any) -> dict[str, Any]:
    parts = getattr(command, "commands", {})
    params = [] if parts else command.params
    return {
        "help": command.get_short_help_str(limit=200),
        "commands": {name: _entry(part) for name, part in parts.items()},
        "options": [_option(param) for param in params if param.param_type_name == "option"],
        "arguments": [
            {"name": param.name, "nargs": param.nargs} for param in params if param.param_type_name == "argument"
        ],
    }


def _option(param: Any) -> dict[str, Any]:
    return {
        "names": [*param.opts, *param.secondary_opts],
        "takes": not param.is_flag,
        "multiple": param.multiple,
        "help": param.help or "",
    }


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
