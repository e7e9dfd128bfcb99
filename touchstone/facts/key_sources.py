"""Where the keys of a run come from, in the words of messages and reports: never a key."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

# A key of the documented form that no account can have: it is not random, so two runs send the same bytes.
UNKNOWN_KEY = "sk_live_" + "0" * 24
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class KeySources:
    """For each account the variable that holds its key, or the place in the settings file that does."""

    primary: str = "ORGO_API_KEY"
    second: str = "ORGO_SECOND_API_KEY"
    restricted: str = "ORGO_RESTRICTED_API_KEY"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Those of a run, from the settings in the header of its log; the usual ones where they are not told."""
        target = settings.get("target")
        given = target.get("key_sources") if isinstance(target, dict) else None
        texts = {name: text for name, text in given.items() if isinstance(text, str)} if isinstance(given, dict) else {}
        return cls(**{name: texts.get(name, usual) for name, usual in asdict(USUAL).items()})

    def advice(self, role: str, whose: str) -> str:
        """
        What lets a claim be judged that lacks the key called *role*, such as ``second``; *whose* says what key that is.
        """
        source, usual = getattr(self, role), getattr(USUAL, role)
        if source == usual:
            return f"set {role}_api_key_env, or {usual}, to {whose}"
        if is_variable(source):
            return f"{role}_api_key_env names {source}, which is not set"
        return f"set {source} to {whose}"


USUAL = KeySources()


def is_variable(source: str) -> bool:
    """Whether a key comes from the environment."""
    return _VARIABLE.fullmatch(source) is not None
