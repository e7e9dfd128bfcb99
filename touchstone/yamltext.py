"""
Reads YAML: plain values only, and with libyaml where PyYAML was built with it, which takes a tenth of the time.
"""

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    Loader = yaml.SafeLoader
else:
    Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str | bytes) -> Any:
    """
    The value that the text spells.

    Raises:
        yaml.YAMLError: it is no YAML.
        ValueError: it is not UTF-8, or holds a date that no calendar has.
    """
    return yaml.load(text, Loader)
