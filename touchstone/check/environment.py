"""
What a process is started with, in a variable of its environment: it holds keys, which no file or command line may.
"""

import json
from dataclasses import asdict, dataclass

from touchstone.config import HANDOVER, Settings


@dataclass(frozen=True, slots=True)
class Carried:
    """What every such process is told.

    Attributes:
        settings: The merged settings, as JSON with keys.
    """

    settings: str

    def environment(self) -> dict[str, str]:
        """The variable that carries this to the child."""
        return {HANDOVER: json.dumps(asdict(self))}

    def parsed_settings(self) -> Settings:
        """The settings as an object."""
        return Settings.from_json(self.settings)
