"""Keys come from where the settings say, and no message, repr or log shows one."""

import json
from pathlib import Path

import pytest

from touchstone.check.examination import restricted_key_advice, second_key_advice
from touchstone.check.handover import HANDOVER, CheckHandover
from touchstone.check.job import at_twin
from touchstone.config import Flags, Settings, Templates, load
from touchstone.errors import UsageError
from touchstone.facts.key_sources import KeySources

KEY = "sk_live_0123456789abcdef"
OTHER = "sk_live_fedcba9876543210"
LOW = "sk_live_00000000ffffffff"


def target_of(tmp_path: Path, table: str, environ: dict[str, str], name: str = "a") -> Settings:
    """The settings for a target whose table holds *table*."""
    (tmp_path / "touchstone.toml").write_text(f'[targets.{name}]\nurl = "http://h/api"\n{table}\n')
    return load(Flags(target=name), environ, tmp_path)


def test_variable_named_in_the_file_gives_the_key(tmp_path: Path) -> None:
    """api_key_env says which variable holds the key; the default variable is not read beside it."""
    settings = target_of(tmp_path, 'api_key_env = "MINE"', {"MINE": KEY, "ORGO_API_KEY": OTHER})
    assert settings.target.keys() == {"primary": KEY}


def test_missing_variable_is_named(tmp_path: Path) -> None:
    """A variable that is not set is a usage error with its name and the command that sets it."""
    with pytest.raises(UsageError) as error:
        target_of(tmp_path, 'api_key_env = "MINE"', {"ORGO_API_KEY": OTHER})
    assert str(error.value) == (
        "touchstone.toml: [targets.a]: has no key: the variable MINE is not set; export MINE=<your key>"
    )


def test_url_without_key_names_the_variable(tmp_path: Path) -> None:
    """A URL given directly takes its key from ORGO_API_KEY, and an empty variable counts as not set."""
    with pytest.raises(UsageError) as error:
        load(Flags(url="http://h/"), {"ORGO_API_KEY": ""}, tmp_path)
    assert str(error.value) == (
        "the target http://h: has no key: the variable ORGO_API_KEY is not set; export ORGO_API_KEY=<your key>"
    )


def test_url_takes_all_three_keys_from_the_environment(tmp_path: Path) -> None:
    """The three default variables give the three roles."""
    environ = {"ORGO_API_KEY": KEY, "ORGO_SECOND_API_KEY": OTHER, "ORGO_RESTRICTED_API_KEY": LOW}
    settings = load(Flags(url="http://h"), environ, tmp_path)
    assert settings.target.keys() == {"primary": KEY, "second": OTHER, "restricted": LOW}


def test_missing_second_key_is_no_error(tmp_path: Path) -> None:
    """Claims that need another account are not applicable then; the run goes on."""
    settings = target_of(tmp_path, 'second_api_key_env = "SECOND"', {"ORGO_API_KEY": KEY})
    assert settings.target.keys() == {"primary": KEY}


def test_key_spelled_out_keeps_the_environment_out(tmp_path: Path) -> None:
    """A throw-away server with its own key is never sent the keys of another account."""
    settings = target_of(tmp_path, 'api_key = "local-key"', {"ORGO_API_KEY": KEY, "ORGO_SECOND_API_KEY": OTHER})
    assert settings.target.keys() == {"primary": "local-key"}


@pytest.mark.parametrize(
    ("table", "sources"),
    [
        ("", KeySources()),
        ('api_key_env = "MINE"', KeySources("MINE")),
        ('second_api_key_env = "THEIRS"', KeySources(second="THEIRS")),
        (
            'api_key = "local-key"\nrestricted_api_key_env = "LOW"',
            KeySources("api_key of [targets.a]", "second_api_key of [targets.a]", "LOW"),
        ),
    ],
)
def test_settings_know_where_each_key_comes_from(tmp_path: Path, table: str, sources: KeySources) -> None:
    """Messages and reports name the variable of the target, or the place in the file, and the run log carries it."""
    settings = target_of(tmp_path, table, {"ORGO_API_KEY": KEY, "MINE": KEY, "THEIRS": OTHER})
    assert settings.target.key_sources == sources
    assert KeySources.of(json.loads(json.dumps(settings.public()))) == sources


@pytest.mark.parametrize("settings", [{}, {"target": "twin"}, {"target": {"key_sources": [KEY]}}, {"target": {}}])
def test_log_that_tells_no_source_had_the_usual_ones(settings: dict[str, object]) -> None:
    """A run log of an earlier version is read as before."""
    assert KeySources.of(settings) == KeySources()


@pytest.mark.parametrize(
    ("table", "second", "restricted"),
    [
        (
            "",
            "set second_api_key_env, or ORGO_SECOND_API_KEY, to another account's key",
            "set restricted_api_key_env, or ORGO_RESTRICTED_API_KEY, to a key below the Scale plan",
        ),
        (
            'second_api_key_env = "STAGNG_SECOND_KEY"\nrestricted_api_key_env = "STAGNG_LOW"',
            "second_api_key_env names STAGNG_SECOND_KEY, which is not set",
            "restricted_api_key_env names STAGNG_LOW, which is not set",
        ),
        (
            'api_key = "local-key"',
            "set second_api_key of [targets.a] to another account's key",
            "set restricted_api_key of [targets.a] to a key below the Scale plan",
        ),
    ],
)
def test_missing_key_is_told_by_the_name_that_is_looked_for(
    tmp_path: Path, table: str, second: str, restricted: str
) -> None:
    """Who named a variable learns that it is not set, and who named none what to set."""
    target = target_of(tmp_path, table, {"ORGO_API_KEY": KEY}).target
    assert (second_key_advice(target), restricted_key_advice(target)) == (second, restricted)


@pytest.mark.parametrize("role", ["second", "restricted"])
def test_same_key_for_two_accounts_is_refused(tmp_path: Path, role: str) -> None:
    """A second account that is the first one would make every isolation claim look broken."""
    environ = {"ORGO_API_KEY": KEY, f"ORGO_{role.upper()}_API_KEY": KEY}
    with pytest.raises(UsageError, match=f"{role}_api_key is the same as api_key"):
        target_of(tmp_path, "", environ)


@pytest.mark.parametrize("bad", [f"{KEY} ", f"{KEY}\n", f"{KEY[:5]}ü{KEY[5:]}", f"{KEY}\x00"])
def test_key_that_no_header_carries_is_refused_unseen(tmp_path: Path, bad: str) -> None:
    """A blank, a line break or a non-ASCII character in a key is named by its position, and the key is not shown."""
    with pytest.raises(UsageError) as error:
        target_of(tmp_path, "", {"ORGO_API_KEY": bad})
    message = str(error.value)
    assert message.startswith("ORGO_API_KEY: found U+")
    assert KEY[5:15] not in message


@pytest.mark.parametrize(
    "table",
    [
        f'api_key_env = "{KEY}-"',
        f'api_key = ["{KEY}"]',
        f'api_key = "{KEY} "',
        f'api_key = "{KEY}"\napi_key_env = "X"',
        f'api_kye = "{KEY}"',
        f'api_key = "{KEY}',
        f'url = "{KEY}"',
        f'publish = "{KEY}"',
        f'max_builds = "{KEY}"',
        f'templates.buildable = ["{KEY}"]',
        f'templates.buildable = "{KEY}"',
        f'build_timeout_s = {{api_key = "{KEY}"}}',
        f'api_key_env = ["{KEY}"]',
    ],
)
def test_message_about_a_wrong_key_does_not_show_it(tmp_path: Path, table: str) -> None:
    """Whatever is wrong with a key in the file, the message keeps it."""
    with pytest.raises(UsageError) as error:
        target_of(tmp_path, table, {})
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[target.a]\napi_key = "{KEY}"', "target: found a table; expected the NAME of a table [targets.NAME]"),
        (f'[target]\napi_key = "{KEY}"', "target: found a table; expected the NAME of a table [targets.NAME]"),
        (f'target = ["{KEY}"]', "target: found a list; expected the NAME of a table"),
        (
            f'target = "{KEY}"',
            "target a text of 24 characters (not shown): no such target in touchstone.toml; known: twin",
        ),
        (f'[profile.a]\napi_key = "{KEY}"', "profile: found a table; expected quick, standard or thorough"),
        (f'seed = "{KEY[8:]}"', "seed: found a text of 16 characters (not shown); expected a whole number"),
    ],
)
def test_value_in_the_wrong_place_is_not_repeated(tmp_path: Path, text: str, said: str) -> None:
    """A table or a list is called that, and a text that may be a key is told by its length."""
    (tmp_path / "touchstone.toml").write_text(f"{text}\n")
    with pytest.raises(UsageError) as error:
        load(Flags(), {}, tmp_path)
    assert str(error.value).startswith(f"touchstone.toml: {said}")
    assert KEY[8:] not in str(error.value)


def test_table_of_a_pyproject_is_named_in_full(tmp_path: Path) -> None:
    """The table that is meant is named as it has to stand in that file."""
    (tmp_path / "pyproject.toml").write_text(f'[tool.touchstone.target.a]\napi_key = "{KEY}"\n')
    with pytest.raises(UsageError) as error:
        load(Flags(), {}, tmp_path)
    assert str(error.value) == (
        "pyproject.toml: [tool.touchstone] target: found a table; expected the NAME of a table [targets.NAME]"
    )


@pytest.mark.parametrize("named", ["sk_live_test_primary", "SK_LIVE_X", "0123456789abcdef", "my-key"])
def test_key_instead_of_its_variable_is_not_repeated(tmp_path: Path, named: str) -> None:
    """What begins like a key, or is no name of a variable, may be the key itself."""
    with pytest.raises(UsageError) as error:
        target_of(tmp_path, f'api_key_env = "{named}"', {})
    assert str(error.value) == (
        "touchstone.toml: [targets.a] api_key_env: found what looks like a key (not shown); "
        "expected the name of a variable such as ORGO_API_KEY"
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://me:hush@h/api", "found a URL with a user in it (not shown); expected no user or password in it"),
        ("https://hush@h/api", "found a URL with a user in it (not shown)"),
        ("https://h/api?key=hush", "found 'https://h/api' and a query or fragment (not shown)"),
        ("https://h/api#hush", "found 'https://h/api' and a query or fragment (not shown)"),
        ("https://me:hush@h:port/api", "found 'https://…@h:port/api'; expected a URL such as"),
        ("ftp://h", "found 'ftp://h'; expected a URL such as https://"),
        ("h/api", "found 'h/api'; expected a URL such as"),
        ("http:///api", "found 'http:///api'; expected a URL"),
        ("http://h:99999", "found 'http://h:99999'; expected a URL"),
        ("http://[::1", "found 'http://[::1'; expected a URL"),
        ("http://h/a b", "found 'http://h/a b'; expected a URL"),
        ("", "found ''; expected a URL"),
    ],
)
def test_url_that_does_not_fit_is_refused(tmp_path: Path, url: str, said: str) -> None:
    """Only http and https URLs of a host and a path are taken, and no part that may hold a secret is repeated."""
    with pytest.raises(UsageError) as error:
        load(Flags(url=url), {"ORGO_API_KEY": KEY}, tmp_path)
    message = str(error.value)
    assert message.startswith(f"--url: {said}")
    assert "hush" not in message


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://127.0.0.1:8123/api/", "http://127.0.0.1:8123/api"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("https://h/a/b//", "https://h/a/b"),
    ],
)
def test_base_path_is_kept_without_its_slash(tmp_path: Path, url: str, kept: str) -> None:
    """The base path stays as written, trailing slashes apart."""
    assert load(Flags(url=url), {"ORGO_API_KEY": KEY}, tmp_path).target.url == kept


def test_repr_and_public_show_no_key(tmp_path: Path) -> None:
    """Neither a traceback with the settings in it nor the header of a run log gives a key away."""
    settings = target_of(tmp_path, "", {"ORGO_API_KEY": KEY, "ORGO_SECOND_API_KEY": OTHER})
    shown = repr(settings) + repr(settings.target) + json.dumps(settings.public())
    assert [key for key in (KEY, OTHER) if key in shown] == []
    assert settings.public()["target"]["api_key"] == "set"
    assert settings.public()["target"]["restricted_api_key"] is None


def test_settings_survive_the_way_to_a_child_process(tmp_path: Path) -> None:
    """What a run hands over, its child reads back equal, keys, paths and tuples included."""
    (tmp_path / "touchstone.toml").write_text(
        f'[targets.a]\nurl = "http://h"\napi_key = "{KEY}"\ntemplates.failing = ["a/b@1.0.0-rc.1"]\nmax_builds = 7\n'
    )
    flags = Flags(target="a", report_dir=Path("out"), plan=True, max_seconds=1.5)
    settings = load(flags, {"HOME": "/home/u"}, tmp_path)
    assert settings.target.templates == Templates(failing=("a/b@1.0.0-rc.1",))
    assert CheckHandover.received(CheckHandover(settings, "").environment()).settings == settings


@pytest.mark.parametrize("text", ["", "5", "[]", '{"target": 5}', f'{{"target": {{"api_key": ["{KEY}"]}}}}'])
def test_foreign_text_is_refused_unseen(text: str) -> None:
    """A variable that holds something else is a usage error that does not repeat it."""
    with pytest.raises(UsageError, match="not started by touchstone") as error:
        CheckHandover.received({HANDOVER: text})
    assert KEY not in str(error.value)


def test_embedded_twin_gets_its_url_and_keys_when_it_listens(tmp_path: Path) -> None:
    """Settings for the twin are completed once its port is known, and it stays the embedded target."""
    target = at_twin(load(Flags(), {}, tmp_path), "http://127.0.0.1:5/api").target
    assert (target.url, set(target.keys())) == ("http://127.0.0.1:5/api", {"primary", "second", "restricted"})
    assert target.embedded
