"""The settings of a run come from four places, in one order of weight, and refuse what they do not know."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from touchstone.config import (
    DEFAULT_MAX_BUILDS,
    UNBOUNDED_BUILDS,
    Flags,
    Settings,
    TargetSettings,
    Templates,
    load,
)
from touchstone.errors import UsageError
from touchstone.target.bounds import LONGEST_HEAD_BYTES, Bounds

KEY = "sk_live_0123456789abcdef"
OTHER = "sk_live_fedcba9876543210"
STAGING = '[targets.staging]\nurl = "https://staging.example.test/api/"\n'

Loader = Callable[..., Settings]


@pytest.fixture
def loaded(tmp_path: Path) -> Loader:
    """Loads settings from a touchstone.toml with the given text in an empty folder."""

    def load_them(
        text: str = "", environ: Mapping[str, str] = {}, name: str = "touchstone.toml", **flags: Any
    ) -> Settings:
        if text:
            (tmp_path / name).write_text(text, encoding="utf-8")
        return load(Flags(**flags), environ, tmp_path)

    return load_them


@pytest.fixture
def refused(loaded: Loader) -> Callable[..., str]:
    """Loads settings that must be refused, and answers the message."""

    def message(*args: Any, **kwargs: Any) -> str:
        with pytest.raises(UsageError) as error:
            loaded(*args, **kwargs)
        return str(error.value)

    return message


def test_nothing_said_means_the_embedded_twin(loaded: Loader) -> None:
    """Without flags, variables and a file, the target is the twin, without keys and without a bound on builds."""
    settings = loaded()
    assert settings == Settings(target=TargetSettings(max_builds=UNBOUNDED_BUILDS))
    assert settings.target.embedded


def test_named_target_takes_its_table(loaded: Loader) -> None:
    """A named target has the values of its table, defaults for the rest, and keys from the default variables."""
    text = STAGING + 'build_timeout_s = 90\npublish = "never"\ntemplates = { buildable = ["a/b@1.0.0"] }\n'
    settings = loaded(text, {"ORGO_API_KEY": KEY, "ORGO_SECOND_API_KEY": OTHER}, target="staging")
    assert settings.target == TargetSettings(
        name="staging",
        url="https://staging.example.test/api",
        api_key=KEY,
        second_api_key=OTHER,
        build_timeout_s=90.0,
        max_builds=DEFAULT_MAX_BUILDS,
        publish="never",
        templates=Templates(buildable=("a/b@1.0.0",)),
    )


def test_table_in_pyproject_counts_like_a_file_of_its_own(loaded: Loader) -> None:
    """Without a touchstone.toml, [tool.touchstone] of pyproject.toml is read."""
    text = "[tool.touchstone]\nseed = 7\n[tool.touchstone.targets.staging]\nurl = 'http://h'\n"
    settings = loaded(text, {"ORGO_API_KEY": KEY}, "pyproject.toml", target="staging")
    assert (settings.seed, settings.target.url) == (7, "http://h")


def test_pyproject_without_a_table_says_nothing(loaded: Loader) -> None:
    """The pyproject.toml of another project is no settings file."""
    assert loaded("[project]\nname = 'x'\n", name="pyproject.toml") == loaded()


@pytest.mark.parametrize(
    ("flags", "environ", "expected"),
    [
        ({"url": "http://flag"}, {"TOUCHSTONE_TARGET": "other", "ORGO_BASE_URL": "http://env"}, "http://flag"),
        ({"target": "staging"}, {"TOUCHSTONE_TARGET": "other"}, "https://staging.example.test/api"),
        ({}, {"TOUCHSTONE_TARGET": "other", "ORGO_BASE_URL": "http://env"}, "http://other"),
        ({}, {"ORGO_BASE_URL": "http://env"}, "http://env"),
        ({}, {"ORGO_BASE_URL": "", "TOUCHSTONE_TARGET": ""}, "https://staging.example.test/api"),
        ({"target": "twin"}, {"ORGO_BASE_URL": "http://env"}, None),
    ],
)
def test_flag_beats_environment_beats_file(
    loaded: Loader, flags: dict[str, Any], environ: dict[str, str], expected: str | None
) -> None:
    """The target comes from the weightiest place that names one; an empty variable names none."""
    text = f'target = "staging"\n{STAGING}[targets.other]\nurl = "http://other"\n'
    assert loaded(text, {"ORGO_API_KEY": KEY, **environ}, **flags).target.url == expected


def test_flags_beat_the_file_in_each_value(loaded: Loader, tmp_path: Path) -> None:
    """Whatever a flag says replaces what the file says."""
    text = 'seed = 1\nstrict = true\nprofile = "quick"\nclaims = "a.*"\nmax_seconds = 5\nreport_dir = "f"\n'
    from_file = loaded(text)
    flags = {
        "seed": 2,
        "strict": False,
        "profile": "thorough",
        "claims": "b.*",
        "max_seconds": 6.5,
        "report_dir": Path("g"),
    }
    from_flags = loaded(text, **flags)
    twin = TargetSettings(max_builds=UNBOUNDED_BUILDS)
    assert from_file == Settings(twin, tmp_path / "f", None, 1, True, False, "quick", "a.*", 5.0)
    assert from_flags == Settings(twin, tmp_path / "g", None, 2, False, False, "thorough", "b.*", 6.5)


def test_max_builds_flag_beats_the_table(loaded: Loader) -> None:
    """--max-builds replaces the budget of any target."""
    settings = loaded(STAGING + "max_builds = 5\n", {"ORGO_API_KEY": KEY}, target="staging", max_builds=3)
    assert settings.target.max_builds == 3


def test_config_elsewhere_resolves_paths_from_its_folder(tmp_path: Path) -> None:
    """A relative report_dir of a file starts where the file is, that of a flag where the user is."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "t.toml").write_text('report_dir = "out"\n')
    settings = load(Flags(config=Path("conf/t.toml")), {}, tmp_path)
    assert settings.report_dir == tmp_path / "conf" / "out"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/u"}, Path("/state/touchstone/journals")),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/u"}, Path("/home/u/.local/state/touchstone/journals")),
        ({"HOME": "/home/u"}, Path("/home/u/.local/state/touchstone/journals")),
        ({}, None),
    ],
)
def test_state_folder_follows_the_xdg_rule(loaded: Loader, environ: dict[str, str], expected: Path | None) -> None:
    """Journals go below XDG_STATE_HOME where that is absolute, else below the home folder, else nowhere."""
    assert loaded(environ=environ).state_dir == expected


def test_unknown_key_names_the_nearest(refused: Callable[..., str]) -> None:
    """A misspelt key is refused with its place and the key that was meant."""
    actual = refused(STAGING + "build_timout_s = 5\n")
    assert actual == "touchstone.toml: [targets.staging] build_timout_s: unknown key; did you mean build_timeout_s?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sead = 1", "touchstone.toml: sead: unknown key; did you mean seed?"),
        ("target = 'staging'\nplan = true", "touchstone.toml: plan: unknown key; known: baseline, claims, "),
        ("[targets.a]\nurl = 'x'", "touchstone.toml: [targets.a] url: found 'x'; expected a URL such as"),
        ("[targets.a]\nmax_builds = 4", "touchstone.toml: [targets.a] url: is missing; add url ="),
        ("[targets]\na = 5", "touchstone.toml: [targets] a: found 5; expected a table"),
        ("targets = 5", "touchstone.toml: targets: found 5; expected a table"),
        ("[targets.twin]\nurl = 'http://h'", "touchstone.toml: [targets.twin]: this names the embedded server"),
        ("seed = true", "touchstone.toml: seed: found True; expected a whole number of 0 or more"),
        ("seed = -1", "touchstone.toml: seed: found -1; expected"),
        ("max_seconds = inf", "touchstone.toml: max_seconds: found inf; expected a number of seconds above 0"),
        ("max_seconds = nan", "touchstone.toml: max_seconds: found nan; expected"),
        ("max_seconds = 0", "touchstone.toml: max_seconds: found 0; expected"),
        ("max_seconds = '5'", "touchstone.toml: max_seconds: found '5'; expected"),
        ("strict = 1", "touchstone.toml: strict: found 1; expected true or false"),
        ("claims = ''", "touchstone.toml: claims: found ''; expected a text"),
        (
            "profile = 'fast'",
            "touchstone.toml: profile: found 'fast'; expected quick, standard or thorough",
        ),
        ("profile = 'quik'", "expected quick, standard or thorough"),
        (STAGING + "max_builds = 0", "[targets.staging] max_builds: found 0; expected a whole number of 1 or more"),
        (STAGING + "max_builds = 2.0", "[targets.staging] max_builds: found 2.0; expected a whole number of 1 or more"),
        (STAGING + "publish = 'row'", "found 'row'; expected raw, wrapped or never"),
        (STAGING + "templates = []", "touchstone.toml: [targets.staging] templates: found a list; expected a table"),
        (
            STAGING + "templates.buildible = []",
            "[targets.staging.templates] buildible: unknown key; did you mean buildable?",
        ),
        (
            STAGING + "templates.failing = ['a/b']",
            "failing: found 'a/b'; expected refs of the form namespace/name@1.0.0",
        ),
        (STAGING + "templates.failing = ['a/B@1.0.0']", "failing: found 'a/B@1.0.0'; expected refs"),
        (STAGING + "templates.failing = 'a/b@1.0.0'", "failing: found 'a/b@1.0.0'; expected a list of refs"),
        (
            STAGING + "api_key = 'abcd1234'\napi_key_env = 'X'",
            "[targets.staging]: found api_key beside api_key_env; expected one of the two",
        ),
        ("seed = ", "touchstone.toml: not TOML: "),
    ],
)
def test_value_that_does_not_fit_is_refused_with_its_place(
    refused: Callable[..., str], text: str, expected: str
) -> None:
    """Each message says where, what was found and what was expected."""
    assert expected in refused(text)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"target": "stagin"}, "--target 'stagin': no such target in touchstone.toml; did you mean staging?"),
        ({"target": "zzz"}, "--target 'zzz': no such target in touchstone.toml; known: staging, twin"),
        ({"target": "staging", "url": "http://h"}, "--target and --url: both are given; keep one of the two"),
        ({"max_builds": 0}, "--max-builds: found 0; expected a whole number of 1 or more"),
        ({"max_seconds": float("inf")}, "--max-seconds: found inf; expected a number of seconds above 0"),
        ({"seed": -1}, "--seed: found -1; expected a whole number of 0 or more"),
        ({"profile": "thorugh"}, "--profile: found 'thorugh'; expected quick, standard or thorough"),
        ({"claims": " "}, "--claims: found ' '; expected a text"),
        ({"config": Path("missing.toml")}, "missing.toml: cannot be read: No such file or directory; check the path"),
        ({"config": Path()}, ".: cannot be read: Is a directory; check the path"),
    ],
)
def test_flag_that_does_not_fit_is_refused(refused: Callable[..., str], flags: dict[str, Any], expected: str) -> None:
    """A flag is checked like a value of the file, and the message names the flag."""
    assert expected in refused(STAGING, **flags)


def test_target_without_any_file_says_so(refused: Callable[..., str]) -> None:
    """A named target in a folder without settings is a usage error that names the file to write."""
    actual = refused(environ={"TOUCHSTONE_TARGET": "prod"})
    assert actual == (
        "TOUCHSTONE_TARGET 'prod': no such target in the working directory, which has no touchstone.toml; known: twin"
    )


def test_config_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """A file in another encoding gives the position of the first bad byte, not a traceback."""
    (tmp_path / "touchstone.toml").write_bytes(b"# \xff\n")
    with pytest.raises(UsageError, match=r"touchstone\.toml: not TOML: .* byte 0xff in position 2"):
        load(Flags(), {}, tmp_path)


def test_named_pyproject_without_table_is_refused(tmp_path: Path) -> None:
    """--config pyproject.toml promises a table that must be there."""
    (tmp_path / "pyproject.toml").write_text("[tool]\n")
    with pytest.raises(UsageError, match=r"no table \[tool\.touchstone\]"):
        load(Flags(config=Path("pyproject.toml")), {}, tmp_path)


@pytest.mark.parametrize("table", ["tool = 5", "[tool]\ntouchstone = 5"])
def test_pyproject_whose_tool_is_no_table_is_refused(refused: Callable[..., str], table: str) -> None:
    """A pyproject.toml with a value where a table belongs gives a message, not a traceback."""
    assert "expected a table" in refused(table, name="pyproject.toml")


def test_bounds_are_settings_of_a_target(tmp_path: Path) -> None:
    """What a target says of a bound replaces the default of that one, and reaches the child of a run."""
    table = '[targets.a]\nurl = "http://h/api"\napi_key = "sk_live_0123456789"\nmax_headers = 9\n'
    (tmp_path / "touchstone.toml").write_text(table)
    settings = load(Flags(target="a"), {}, tmp_path)
    assert settings.target.bounds == Bounds(max_headers=9)
    assert settings.public()["target"]["bounds"]["max_headers"] == 9


@pytest.mark.parametrize("value", ["0", "102401", "1.5", "true"])
def test_bound_of_heads_is_one_that_can_be_kept(tmp_path: Path, value: str) -> None:
    """The parser beneath httpx takes no longer head, so that a higher bound would promise too much."""
    told = (tmp_path / "touchstone.toml").write_text
    told(f'[targets.a]\nurl = "http://h/api"\nmax_head_bytes = {value}\n')
    with pytest.raises(UsageError, match=r"\[targets.a\] max_head_bytes: found .*; expected a whole number from 1 to "):
        load(Flags(target="a"), {}, tmp_path)
    told(f'[targets.a]\nurl = "http://h/api"\nmax_head_bytes = {LONGEST_HEAD_BYTES}\n')
    assert load(Flags(target="a"), {"ORGO_API_KEY": KEY}, tmp_path).target.bounds.max_head_bytes == LONGEST_HEAD_BYTES


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "true", '"many"'])
def test_bound_is_a_whole_number(tmp_path: Path, value: str) -> None:
    """A bound that nothing could be within, or that is no number, is refused with its place."""
    (tmp_path / "touchstone.toml").write_text(f'[targets.a]\nurl = "http://h/api"\nmax_body_bytes = {value}\n')
    with pytest.raises(
        UsageError, match=r"\[targets.a\] max_body_bytes: found .*; expected a whole number of 1 or more"
    ):
        load(Flags(target="a"), {}, tmp_path)
