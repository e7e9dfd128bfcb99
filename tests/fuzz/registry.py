"""All targets by name, the quickest first."""

from collections.abc import Mapping

from tests.fuzz import answers, files, logs, secrets, setups, streams
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {
    target.name: target for module in (streams, answers, logs, files, setups, secrets) for target in module.TARGETS
}
