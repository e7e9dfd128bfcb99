"""What people write by hand: settings files and thresholds."""

import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from tests.fuzz.steps import SECRET, TOML
from tests.fuzz.target import Target, check_message, file, folder
from touchstone import config
from touchstone.check.handover import CheckHandover
from touchstone.config import SettingsFile, find
from touchstone.contract.files import load_dir
from touchstone.errors import UsageError
from touchstone.loadgen.thresholds import read_thresholds

_KEYS = ("api_key", "second_api_key", "restricted_api_key")
ENVIRONMENT = {"ORGO_API_KEY": "sk_live_" + "e" * 24, "HOME": "/nowhere"}
_EXAMPLE = "https://staging.example.test/api"


def check_settings(data: bytes) -> None:
    """A settings file is read or refused, under either name; messages, reprs and reports hold no key of it."""
    for name in ("touchstone.toml", "pyproject.toml"):
        path = file(name, data)
        # What stands elsewhere as well is no secret, nor is what messages give as an example.
        secrets = {one for one in _secrets(data) if data.count(one.encode()) == 1 and one not in _EXAMPLE}
        try:
            found = find(None, folder())
            for target in (None, *found.table.targets):
                _check_loaded(target, found, secrets)
        except UsageError as error:
            check_message(error, name, secrets)
        finally:
            path.unlink()


def _check_loaded(target: str | None, found: SettingsFile, secrets: set[str]) -> None:
    try:
        merged = config.load(config.Flags(target=target), ENVIRONMENT, folder())
    except UsageError as error:
        check_message(error, secrets=secrets)
        return
    text = repr(merged) + repr(found) + repr(merged.public())
    assert not [secret for secret in secrets if secret in text]
    assert CheckHandover.received(CheckHandover(merged, "").environment()).settings == merged
    numbers = (merged.target.build_timeout_s, merged.target.patience_s, merged.max_seconds or 1.0)
    assert all(0 < number < math.inf for number in numbers)


def _secrets(data: bytes) -> Iterator[str]:
    """What a file holds where keys and passwords stand; of a file that is no TOML, what of the seeds' key is left."""
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except Exception:  # noqa: BLE001 - it says nothing then
        yield SECRET
        return
    tables = (document, _at(document, "tool", "touchstone"))
    for table in tables:
        for target in _at(table, "targets").values():
            if isinstance(target, dict):
                texts = (*map(target.get, _KEYS), _password(str(target.get("url"))))
                yield from (text for text in texts if isinstance(text, str) and len(text) >= 12)


def _password(url: str) -> str:
    """Between the slashes and the last @ of a URL stands who signs in; unless a path begins before it."""
    user = re.search(r"//(.*)@", url)
    _, colon, password = user[1].rpartition(":") if user else ("", "", "")
    of_path = re.match(r"\d*/" if colon else r".*/", password)
    return "" if of_path else password


def _at(table: Any, *names: str) -> dict[str, Any]:
    for name in names:
        table = table.get(name) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}


def settings_files() -> Sequence[bytes]:
    text = """\
target = "staging"
report_dir = "reports/here"
seed = 7
strict = true
profile = "quick"
claims = "start.*"
max_seconds = 60

[targets.staging]
url = "https://staging.example.test/api"
api_key_env = "ORGO_API_KEY"
build_timeout_s = 600
cancel_timeout_s = 1.5
patience_s = 1e2
request_timeout_s = 30
max_builds = 40
publish = "never"
templates = { buildable = ["default/hello@1.0.0"], failing = [], restricted = [] }

[targets."throw away"]
url = "http://127.0.0.1:8123"
api_key = "sk_live_first_0123456789"
second_api_key = "sk_live_other_0123456789"
"""
    inner = re.sub(r"(?m)^\[targets", "[tool.touchstone.targets", text)
    with_user = text.replace("https://staging", "https://user:password-0123456789@staging")
    return (text.encode(), f'[project]\nname = "x"\n[tool.touchstone]\n{inner}'.encode(), with_user.encode())


def check_thresholds(data: bytes) -> None:
    """Thresholds are read or refused with their place, and a limit is a number that something can be held against."""
    path = file("thresholds.toml", data)
    try:
        limits = read_thresholds(path)
    except UsageError as error:
        check_message(error, f"{path}: ")
        return
    assert all(0 <= limit.value < math.inf for each in limits.values() for limit in each)


def thresholds() -> Sequence[bytes]:
    return ((load_dir() / "thresholds.toml").read_bytes(), b'[steady."*"]\nerror_share = 0.001\n')


TARGETS = (
    Target("settings", check_settings, settings_files, TOML, most_bytes=4096),
    Target("thresholds", check_thresholds, thresholds, TOML, most_bytes=4096),
)
