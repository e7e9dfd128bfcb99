"""Settings come from flags, environment and file in this order; invalid ones are rejected without showing a key."""

import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from touchstone import config
from touchstone.check.examination import key_advice
from touchstone.check.handover import CheckHandover
from touchstone.config import UNBOUNDED_BUILDS, Flags, Settings, TargetSettings, Templates, load
from touchstone.contract.document import Contract
from touchstone.errors import UsageError
from touchstone.facts.key_sources import KeySources
from touchstone.target import keys
from touchstone.target.bounds import LONGEST_HEAD_BYTES, Bounds

KEY, OTHER, LOW = "sk_live_0123456789abcdef", "sk_live_fedcba9876543210", "sk_live_00000000ffffffff"
ENV = {"ORGO_API_KEY": KEY}
ROLES = ("ORGO_API_KEY", "ORGO_SECOND_API_KEY", "ORGO_RESTRICTED_API_KEY")
STAGING = '[targets.staging]\nurl = "https://staging.example.test/api/"\n'

Loader = Callable[..., Settings]


@pytest.fixture
def loaded(tmp_path: Path) -> Loader:
    """Loads settings from a file with the given text in an empty folder."""

    def load_them(
        text: str = "", environ: Mapping[str, str] = ENV, name: str = "touchstone.toml", **flags: Any
    ) -> Settings:
        if text:
            (tmp_path / name).write_text(text, encoding="utf-8")
        return load(Flags(**flags), environ, tmp_path)

    return load_them


@pytest.fixture
def refused(loaded: Loader) -> Callable[..., str]:
    """Loads settings that must be refused, and returns the message."""

    def message(*args: Any, **kwargs: Any) -> str:
        with pytest.raises(UsageError) as error:
            loaded(*args, **kwargs)
        return str(error.value)

    return message


def test_default_is_the_embedded_twin_with_unlimited_builds(loaded: Loader) -> None:
    assert loaded() == Settings(target=TargetSettings(max_builds=UNBOUNDED_BUILDS))
    assert loaded().target.embedded
    assert loaded("[project]\nname = 'x'\n", name="pyproject.toml") == loaded()


def test_target_takes_its_table(loaded: Loader) -> None:
    text = STAGING + 'build_timeout_s = 90\npublish = "never"\nmax_headers = 9\n'
    text += 'templates = { buildable = ["a/b@1.0.0", "a/b@1.0.0"] }\n'
    settings = loaded(text, ENV | {"ORGO_SECOND_API_KEY": OTHER}, target="staging")
    assert settings.target == TargetSettings(
        name="staging",
        url="https://staging.example.test/api",
        api_key=KEY,
        second_api_key=OTHER,
        build_timeout_s=90.0,
        max_builds=config.DEFAULT_MAX_BUILDS,
        publish="never",
        templates=Templates(buildable=("a/b@1.0.0",)),
        bounds=Bounds(max_headers=9),
    )


OTHER_TARGET = {"TOUCHSTONE_TARGET": "other", "ORGO_BASE_URL": "http://env"}


@pytest.mark.parametrize(
    ("flags", "environ", "url"),
    [
        ({"url": "http://flag"}, OTHER_TARGET, "http://flag"),
        ({"target": "staging"}, OTHER_TARGET, "https://staging.example.test/api"),
        ({}, OTHER_TARGET, "http://other"),
        ({}, {"ORGO_BASE_URL": "http://env"}, "http://env"),
        ({}, {"ORGO_BASE_URL": "", "TOUCHSTONE_TARGET": ""}, "https://staging.example.test/api"),
        ({"target": "twin"}, {"ORGO_BASE_URL": "http://env"}, None),
    ],
)
def test_flag_beats_environment_beats_file(
    loaded: Loader, flags: dict[str, Any], environ: dict[str, str], url: str | None
) -> None:
    text = f'target = "staging"\n{STAGING}[targets.other]\nurl = "http://other"\n'
    assert loaded(text, ENV | environ, **flags).target.url == url


def test_flags_beat_the_file_in_each_value(loaded: Loader, tmp_path: Path) -> None:
    text = 'seed = 1\nstrict = true\nprofile = "quick"\nclaims = "a.*"\nmax_seconds = 5\n'
    text += 'report_dir = "f"\nbaseline = "b"\n'
    flags = {"seed": 2, "strict": False, "profile": "thorough", "claims": "b.*", "max_seconds": 6.5}
    twin = TargetSettings(max_builds=UNBOUNDED_BUILDS)
    assert loaded(text) == Settings(twin, tmp_path / "f", None, 1, True, False, "quick", "a.*", 5.0, tmp_path / "b")
    from_flags = loaded(text, **flags, report_dir=Path("g"), baseline=Path("c"), plan=True)
    assert from_flags == Settings(twin, tmp_path / "g", None, 2, False, True, "thorough", "b.*", 6.5, tmp_path / "c")


def test_budget_of_builds_comes_from_flag_table_or_command(loaded: Loader, tmp_path: Path) -> None:
    assert loaded(STAGING + "max_builds = 5\n", target="staging", max_builds=3).target.max_builds == 3
    flags = Flags(target="staging")
    assert load(flags, ENV, tmp_path, builds=9).target.max_builds == 5
    (tmp_path / "touchstone.toml").write_text(STAGING)
    assert load(flags, ENV, tmp_path, builds=9).target.max_builds == 9


def test_paths_in_pyproject_are_relative_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "pyproject.toml").write_text('[tool.touchstone]\nreport_dir = "out"\nbaseline = "known"\n')
    settings = load(Flags(config=Path("conf/pyproject.toml")), {}, tmp_path)
    assert (settings.report_dir, settings.baseline) == (tmp_path / "conf" / "out", tmp_path / "conf" / "known")


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/u"}, Path("/state/touchstone/journals")),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/u"}, Path("/home/u/.local/state/touchstone/journals")),
        ({"HOME": "/home/u"}, Path("/home/u/.local/state/touchstone/journals")),
        ({}, None),
    ],
)
def test_journals_follow_the_xdg_rule(loaded: Loader, environ: dict[str, str], folder: Path | None) -> None:
    assert loaded(environ=environ).state_dir == folder


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("sead = 1", ["sead: ", " seed?"]),
        ("target = 'staging'\nplan = true", ["plan: "]),
        ("[targets.a]\nurl = 'x'", ["[targets.a] url: found 'x'"]),
        ("[targets.a]\nmax_builds = 4", ["[targets.a] url: "]),
        ("[targets]\na = 5", ["[targets] a: found 5"]),
        ("[targets.twin]\nurl = 'http://h'", ["[targets.twin]: "]),
        *((f"seed = {value}", [f"seed: found {value}"]) for value in (-1, 1.5, 2**63)),
        ("seed = true", ["seed: found True"]),
        *((f"max_seconds = {value}", [f"max_seconds: found {value}"]) for value in ("inf", "nan", "0", "'5'")),
        ("profile = 'quik'", ["profile: found 'quik'", "quick, standard or thorough"]),
        (STAGING + "build_timout_s = 5", ["[targets.staging] build_timout_s: ", " build_timeout_s?"]),
        (STAGING + "max_builds = 0", ["[targets.staging] max_builds: found 0"]),
        (STAGING + "publish = 'row'", ["found 'row'", "raw, wrapped or never"]),
        (STAGING + "templates.buildible = []", ["[targets.staging.templates] buildible: ", " buildable?"]),
        (STAGING + "templates.failing = ['a/b']", ["failing: found 'a/b'"]),
        (STAGING + "templates.failing = 'a/b@1.0.0'", ["failing: found 'a/b@1.0.0'"]),
        (STAGING + "templates = {buildable = ['a/b@1.0.0'], failing = ['a/b@1.0.0']}", ["'a/b@1.0.0'"]),
        (STAGING + f"max_head_bytes = {LONGEST_HEAD_BYTES + 1}", ["max_head_bytes: found ", str(LONGEST_HEAD_BYTES)]),
        *((STAGING + f"max_body_bytes = {value}", ["max_body_bytes: found "]) for value in ("0", "1.5", '"many"')),
        (STAGING + "api_key = 'abcd1234'\napi_key_env = 'X'", ["[targets.staging]: ", "api_key_env"]),
        (STAGING + "api_key_command = 'cat x'\napi_key_env = 'X'", ["[targets.staging]: ", "api_key_command"]),
        (STAGING + "headers = 'X-Env'", ["[targets.staging] headers: found 'X-Env'", "a table"]),
        (STAGING + "headers = {'X-Env' = 5}", ["[targets.staging.headers] X-Env: found 5", "a variable"]),
        (STAGING + "headers = {host = 'A'}", ["[targets.staging.headers] host: found 'host'"]),
        (STAGING + "headers = {'X Y' = 'A'}", ["[targets.staging.headers] X Y: found 'X Y'"]),
        ("seed = ", ["touchstone.toml: "]),
        *((f"contract_version = {value}", ["contract_version: found ", "1"]) for value in ("0", "2", "true")),
    ],
)
def test_invalid_value_in_the_file_is_rejected_with_its_place(
    refused: Callable[..., str], text: str, data: list[str]
) -> None:
    message = refused(text)
    assert message.startswith("touchstone.toml: ")
    assert [part for part in data if part not in message] == []


@pytest.mark.parametrize(
    ("flags", "data"),
    [
        ({"target": "stagin"}, ["--target 'stagin'", " staging?"]),
        ({"target": "zzz"}, ["--target 'zzz'", "staging, twin"]),
        ({"target": "staging", "url": "http://h"}, ["--target", "--url"]),
        ({"max_builds": 0}, ["--max-builds: found 0"]),
        ({"max_seconds": float("inf")}, ["--max-seconds: found inf"]),
        ({"profile": "thorugh"}, ["--profile: found 'thorugh'"]),
        ({"config": Path("missing.toml")}, ["missing.toml: "]),
        ({"contract_version": 2}, ["--contract-version: found 2"]),
    ],
)
def test_invalid_flag_is_rejected(refused: Callable[..., str], flags: dict[str, Any], data: list[str]) -> None:
    message = refused(STAGING, **flags)
    assert [part for part in data if part not in message] == []


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("touchstone.toml", b"# \xff\n", "touchstone.toml: "),
        ("pyproject.toml", b"[tool]\n", "pyproject.toml: "),  # --config promises a table
        ("pyproject.toml", b"tool = 5", "pyproject.toml: tool: found 5"),
        ("pyproject.toml", b"[tool]\ntouchstone = 5", "pyproject.toml: [tool.touchstone]"),
        ("pyproject.toml", b"[tool.touchstone]\ntarget = 5", "pyproject.toml: [tool.touchstone] target: found 5"),
    ],
)
def test_invalid_settings_file_is_rejected_by_name(tmp_path: Path, name: str, content: bytes, place: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as raised:
        load(Flags(config=Path(name)), {}, tmp_path)
    assert str(raised.value).startswith(place)


def of_table(loaded: Loader, table: str, environ: Mapping[str, str] = ENV) -> Settings:
    return loaded(f'[targets.a]\nurl = "http://h/api"\n{table}\n', environ, target="a")


LOCAL = KeySources("api_key of [targets.a]", "second_api_key of [targets.a]", "LOW")


@pytest.mark.parametrize(
    ("table", "environ", "keys", "sources"),
    [
        ("", dict(zip(ROLES, (KEY, OTHER, LOW), strict=True)), (KEY, OTHER, LOW), KeySources()),
        ("", ENV | {"ORGO_SECOND_API_KEY": ""}, (KEY,), KeySources()),
        ('api_key_env = "MINE"', {"MINE": KEY, "ORGO_API_KEY": OTHER}, (KEY,), KeySources("MINE")),
        ('second_api_key_env = "THEIRS"', ENV, (KEY,), KeySources(second="THEIRS")),
        # A server with its own key in the file never gets the keys of other accounts.
        ('api_key = "local-key"\nrestricted_api_key_env = "LOW"', ENV | {ROLES[1]: OTHER}, ("local-key",), LOCAL),
    ],
    ids=["default", "empty", "other-variable", "missing-second", "in-the-file"],
)
def test_keys_come_from_their_sources_and_stay_secret(
    loaded: Loader, table: str, environ: dict[str, str], keys: tuple[str, ...], sources: KeySources
) -> None:
    settings = of_table(loaded, table, environ)
    assert settings.target.credentials().hidden() == dict(zip(("primary", "second", "restricted"), keys, strict=False))
    assert settings.target.key_sources == sources
    assert KeySources.of(json.loads(json.dumps(settings.public()))) == sources
    printed = repr(settings) + repr(settings.target) + json.dumps(settings.public())
    assert [key for key in keys if key in printed] == []
    roles = ("api_key", "second_api_key", "restricted_api_key")
    assert [settings.public()["target"][role] for role in roles] == ["set"] * len(keys) + [None] * (3 - len(keys))


def test_url_takes_its_keys_from_the_default_variables(loaded: Loader, refused: Callable[..., str]) -> None:
    assert loaded(url="http://h", environ=ENV | {ROLES[2]: LOW}).target.credentials().hidden() == {
        "primary": KEY,
        "restricted": LOW,
    }
    assert loaded(url="https://[::1]:80/a/b//").target.url == "https://[::1]:80/a/b"
    message = refused(url="http://h/", environ={"ORGO_API_KEY": ""})
    assert [part for part in ("http://h", "ORGO_API_KEY") if part not in message] == []
    assert "MINE" in refused('[targets.a]\nurl = "http://h"\napi_key_env = "MINE"', target="a")


def test_advice_names_the_source_of_a_missing_key(loaded: Loader) -> None:
    for table, second, restricted in (
        ("", *ROLES[1:]),
        ('second_api_key_env = "SECOND"\nrestricted_api_key_env = "LOW"', "SECOND", "LOW"),
        ('api_key = "local-key"', "second_api_key of [targets.a]", "restricted_api_key of [targets.a]"),
    ):
        target = of_table(loaded, table).target
        assert second in key_advice(target, "second")
        assert restricted in key_advice(target, "restricted")


@pytest.mark.parametrize("role", ROLES[1:])
def test_same_key_for_two_accounts_is_rejected(refused: Callable[..., str], role: str) -> None:
    assert role.removeprefix("ORGO_").lower() in refused(STAGING, ENV | {role: KEY}, target="staging")


@pytest.mark.parametrize("bad", [f"{KEY} ", f"{KEY}\n", f"{KEY[:5]}ü{KEY[5:]}", f"{KEY}\x00"])
def test_invalid_key_is_rejected_without_showing_it(refused: Callable[..., str], bad: str) -> None:
    message = refused(STAGING, {"ORGO_API_KEY": bad}, target="staging")
    assert message.startswith("ORGO_API_KEY: found U+")
    assert KEY[5:15] not in message


def test_common_word_as_a_key_is_rejected_without_showing_it(refused: Callable[..., str]) -> None:
    schemas = Contract.load().document["components"]["schemas"].values()
    properties = {name for schema in schemas for name in schema.get("properties", ()) if len(name) >= 8}
    common = ("abcdefg", "password", "BUILDING", "xxxxxxxx", "Authorization", *properties)
    for role, bad in itertools.product(ROLES, common):
        environ = ENV | {role: bad}
        message = refused(url="http://h", environ=environ)
        with pytest.raises(UsageError) as raised:
            config.keys_in(environ)
        assert role in message
        assert role in str(raised.value)
        assert bad not in (message + str(raised.value)).replace(role, "")
    for bad in common:
        message = refused(f'[targets.a]\nurl = "http://h"\napi_key = "{bad}"', target="a")
        assert bad not in message.replace("api_key", "")


WITH_KEYS = (
    *(f'api_key_env = "{KEY}-"', f'api_key = ["{KEY}"]', f'api_key = "{KEY} "', f'api_kye = "{KEY}"'),
    *(f'api_key = "{KEY}"\napi_key_env = "X"', f'api_key = "{KEY}', f'url = "{KEY}"', f'publish = "{KEY}"'),
    *(f'max_builds = "{KEY}"', f'templates.buildable = ["{KEY}"]', f'templates.buildable = "{KEY}"'),
    *(f'build_timeout_s = {{api_key = "{KEY}"}}', f'api_key_env = ["{KEY}"]', 'api_key_env = "my-key"'),
    *(f'api_key_env = "{name}"' for name in ("sk_live_test_primary", "SK_LIVE_X", "0123456789abcdef")),
)
RUNS_WITH_KEYS = (
    *(f'[target.a]\napi_key = "{KEY}"', f'target = ["{KEY}"]', f'target = "{KEY}"', f'seed = "{KEY[8:]}"'),
    f'[profile.a]\napi_key = "{KEY}"',
)


@pytest.mark.parametrize("text", [*(f'[targets.a]\nurl = "http://h"\n{each}' for each in WITH_KEYS), *RUNS_WITH_KEYS])
def test_message_contains_no_key(refused: Callable[..., str], text: str) -> None:
    message = refused(text, target="a" if "[targets.a]" in text else None)
    assert message.startswith("touchstone.toml: ")
    assert not [key for key in (KEY[8:], "my-key", "sk_live", "SK_LIVE", "0123") if key in message]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        *(("https://me:hush@h/api", ""), ("https://hush@h/api", ""), ("https://me:hush@h:port/api", "'https://…@h:port/api'")),
        *(("https://h/api?key=hush", "'https://h/api'"), ("https://h/api#hush", "'https://h/api'")),
        *((url, repr(url)) for url in ("ftp://h", "h/api", "http:///api", "http://h:99999", "http://h:0", "http://[::1")),
        *((url, repr(url)) for url in ("http://h/a b", "")),
    ],
)  # fmt: skip
def test_invalid_url_is_rejected_without_its_secrets(refused: Callable[..., str], url: str, found: str) -> None:
    message = refused(url=url)
    assert message.startswith(f"--url: found {found}")
    assert "hush" not in message


GOOD = "sk_live_Ab12Cd34Ef56"


@pytest.mark.parametrize("written", [GOOD, GOOD.upper(), GOOD.replace("_", "%5F"), GOOD[1:]])
@pytest.mark.parametrize(
    "form",
    [
        *("http://h/{}", "http://h/base/{}/api", "http://{}.example.test/api", "http://{}@h/api"),
        *("http://user:{}@h/api", "http://h/api?key={}", "http://h/api#{}"),
    ],
)
def test_url_with_a_key_is_rejected_without_showing_it(refused: Callable[..., str], form: str, written: str) -> None:
    url, known = form.format(written), {"ORGO_API_KEY": f"{GOOD}9z", "ORGO_SECOND_API_KEY": GOOD}
    messages = [refused(url=url, environ=keys) for keys in (known, {})]
    messages += [refused(environ=keys | {"ORGO_BASE_URL": url}) for keys in (known, {})]
    messages += [refused(f'[targets.a]\nurl = "{url}"\n', keys, target="a") for keys in (known, {})]
    assert not [message for message in messages if written.lower() in message.lower()]


def test_settings_reach_a_child_process_unchanged(loaded: Loader) -> None:
    table = f'api_key = "{KEY}"\ntemplates.failing = ["a/b@1.0.0-rc.1"]\nmax_builds = 7\n'
    flags = {"target": "a", "report_dir": Path("out"), "plan": True, "max_seconds": 1.5}
    settings = loaded(f'[targets.a]\nurl = "http://h"\n{table}', {"HOME": "/home/u"}, **flags)
    assert settings.target.templates == Templates(failing=("a/b@1.0.0-rc.1",))
    assert CheckHandover.received(CheckHandover(settings, "").environment()).settings == settings


GATEWAY = "Bearer hush-12-34-56"
SECRET = '[targets.a]\nurl = "http://h"\napi_key_command = "printenv VAULT"\nheaders = { X-Env = "GATEWAY" }\n'
PRINTED = {"VAULT": f"{KEY}\nmore", "GATEWAY": GATEWAY, "PATH": os.environ["PATH"], "ODD": "\udcff"}


def test_command_and_headers_are_secrets_that_reach_a_child_process(loaded: Loader) -> None:
    settings = loaded(SECRET, PRINTED | {ROLES[0]: LOW, ROLES[1]: OTHER}, target="a")
    assert settings.target.credentials().hidden() == {"primary": KEY, "second": OTHER, "env:GATEWAY": GATEWAY}
    assert settings.target.key_sources == KeySources("api_key_command of [targets.a]")
    assert settings.target.credentials().headers("none") == {"X-Env": GATEWAY}
    assert CheckHandover.received(CheckHandover(settings, "").environment()).settings == settings
    printed = repr(settings) + json.dumps(settings.public())
    assert [secret for secret in (KEY, GATEWAY, "printenv", "udcff") if secret in printed] == []
    assert loaded(SECRET, {}, target="a", plan=True).target.credentials().hidden() == {}  # a plan runs no command


@pytest.mark.parametrize(
    ("environ", "command", "found"),
    [
        ({"GATEWAY": ""}, "printenv VAULT", "GATEWAY is not set"),
        ({"GATEWAY": "hush\r\nX: y-12"}, "printenv VAULT", "GATEWAY: found U+000D"),
        ({"GATEWAY": "hush-1"}, "printenv VAULT", "GATEWAY: found one of 6 characters"),
        ({}, "sh -c 'echo hush; exit 3'", "api_key_command: found a command that ends with exit code 3"),
        ({}, "sleep 600", "api_key_command: found a command that ends with exit code -9 after 0.2 s"),
        ({}, "sh -c 'sleep 2 & echo hush'", "api_key_command: found one of 4 characters"),
        *(({}, bad, "api_key_command: found a command that cannot be run") for bad in ("no-such-command", "'")),
    ],
)
def test_header_or_command_without_a_usable_value_is_rejected(
    refused: Callable[..., str], environ: dict[str, str], command: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "LIMIT_S", 0.2 if command == "sleep 600" else keys.LIMIT_S)
    message = refused(SECRET.replace("printenv VAULT", command), PRINTED | environ, target="a")
    assert found in message
    assert "hush" not in message
