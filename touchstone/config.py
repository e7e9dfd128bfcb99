"""How this run is set up: merges flags, environment, file and defaults once, in this order of weight.

Nothing else in the package reads flags, settings files or the environment.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from touchstone import config_kinds as kinds
from touchstone.config_file import EMBEDDED, PROFILES, SettingsFile, find
from touchstone.config_kinds import Kind, T, checked, nearest
from touchstone.contract.quoting import may_be_key, quoted
from touchstone.errors import UsageError, one_line
from touchstone.facts import second_look
from touchstone.facts.key_sources import USUAL, KeySources
from touchstone.target.bounds import BOUND_NAMES, DEFAULT_BOUNDS, Bounds

Profile = Literal["quick", "standard", "thorough"]
Publish = Literal["raw", "wrapped", "never"]

# The variable that hands a run's settings to its child process. It holds keys: never log an environment.
HANDOVER = "TOUCHSTONE_CHILD"

DEFAULT_SEED = 20
DEFAULT_MAX_BUILDS = 40
UNBOUNDED_BUILDS = 10_000  # builds of the embedded twin cost nothing

_PATHS = ("report_dir", "state_dir", "baseline")
_KEY_NAMES = ("api_key", "second_api_key", "restricted_api_key")

# What each variable of the environment that the package looks up is for; docs/reference/settings.md shows it.
VARIABLES: Mapping[str, str] = {
    "TOUCHSTONE_TARGET": "The target of the settings file to take; `--target` and `--url` outweigh it.",
    "ORGO_BASE_URL": "The base URL to take, as `--url`, where no target is named.",
    "ORGO_API_KEY": "Key of an account on the Scale plan, unless the target names another variable or spells it out.",
    "ORGO_SECOND_API_KEY": "Key of another account on the Scale plan, likewise.",
    "ORGO_RESTRICTED_API_KEY": "Key of an account below the Scale plan, likewise.",
    "HOME": "Journals go to `.local/state/touchstone/journals` below it.",
    "XDG_STATE_HOME": "Journals go to `touchstone/journals` below it instead, where it is an absolute path.",
    "GITHUB_ACTIONS": "Where it is `true`, a run is a step of a job of GitHub Actions, and says so there as well.",
    "GITHUB_REPOSITORY": "Set by GitHub Actions: the repository of the job.",
    "GITHUB_WORKFLOW_REF": "Set by GitHub Actions: the file of the workflow.",
    "GITHUB_STEP_SUMMARY": "Set by GitHub Actions: the file that a summary of the run is added to.",
    "GITHUB_WORKSPACE": "Set by GitHub Actions: the folder of the checkout.",
    "_TOUCHSTONE_COMPLETE": "Set by the completion of a shell.",
    "CI": "Where it is set, no progress is drawn.",
}


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says; None where it says nothing."""

    target: str | None = None
    url: str | None = None
    config: Path | None = None
    report_dir: Path | None = None
    seed: int | None = None
    strict: bool | None = None
    plan: bool | None = None
    max_builds: int | None = None
    max_seconds: float | None = None
    profile: str | None = None
    claims: str | None = None
    baseline: Path | None = None


@dataclass(frozen=True, slots=True)
class Templates:
    """
    Refs to use where the run must not publish, by what their builds do, and those that only the restricted key reads.

    Attributes:
        buildable: Refs whose builds become ready, for a run that must not publish.
        failing: Refs whose builds fail, for a run that must not publish.
        restricted: Refs that the restricted key may read, for a run that must not publish.
    """

    buildable: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    restricted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """What is judged, with whose keys, and how patiently.

    Attributes:
        name: The table in the settings file, ``url`` for a URL given directly, ``twin`` for the embedded one.
        url: Base URL without a trailing slash; None until the embedded twin listens.
        api_key: Key of an account on the Scale plan; None only for the embedded twin.
        second_api_key: Key of another account on the Scale plan.
        restricted_api_key: Key of an account below the Scale plan.
        key_sources: Where each of the three comes from.
        unused_keys: Keys that the run knows and does not use; they are kept out of what it writes.
        build_timeout_s: A build that takes longer counts as stuck.
        cancel_timeout_s: A cancelled build that takes longer to settle counts as stuck.
        patience_s: Longest total wait for one 429 to end.
        request_timeout_s: Longest wait for one answer.
        max_builds: How many builds the run may start.
        publish: How the run publishes templates: the document as it is (raw), inside an object that names it (wrapped),
            or not at all (never), where it needs refs that are there.
        templates: See `Templates`.
        bounds: How much of an answer is read.
    """

    name: str = EMBEDDED
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    second_api_key: str | None = field(default=None, repr=False)
    restricted_api_key: str | None = field(default=None, repr=False)
    key_sources: KeySources = USUAL
    unused_keys: tuple[str, ...] = field(default=(), repr=False)
    build_timeout_s: float = 600.0
    cancel_timeout_s: float = 60.0
    patience_s: float = 120.0
    request_timeout_s: float = 30.0
    max_builds: int = DEFAULT_MAX_BUILDS
    publish: Publish = "raw"
    templates: Templates = Templates()
    bounds: Bounds = DEFAULT_BOUNDS

    def __post_init__(self) -> None:
        second_look.know(self.keys() | {f"unused-{n}": value for n, value in enumerate(self.unused_keys, start=1)})

    @property
    def embedded(self) -> bool:
        """Whether the target is the twin that the run starts itself."""
        return self.name == EMBEDDED

    def keys(self) -> dict[str, str]:
        """The keys that there are, by their role: ``primary``, ``second``, ``restricted``."""
        found = (("primary", self.api_key), ("second", self.second_api_key), ("restricted", self.restricted_api_key))
        return {role: value for role, value in found if value}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a run is told, merged.

    Attributes:
        target: What is judged; twin is the embedded server.
        report_dir: Where results go; None for a new folder under ``reports/``.
        state_dir: Where journals go; None where the environment names no home.
        seed: Seed of everything that is generated.
        strict: Whether broken should claims fail the run, too.
        profile: How much is generated: quick, standard or thorough.
        claims_glob: The claims to judge: globs, separated by commas.
        max_seconds: How long the run may take; None for as long as it needs.
        baseline: The file of claims that a check may find broken; None where there is none.
    """

    target: TargetSettings = TargetSettings()
    report_dir: Path | None = None
    state_dir: Path | None = None
    seed: int = DEFAULT_SEED
    strict: bool = False
    plan: bool = False
    profile: Profile = "standard"
    claims_glob: str = "*"
    max_seconds: float | None = None
    baseline: Path | None = None

    def at(self, url: str, keys: Mapping[str, str]) -> "Settings":
        """
        The same settings for a target that now listens at *url* and knows *keys* by role, see TargetSettings.keys.
        """
        target = dataclasses.replace(
            self.target,
            url=checked("the embedded twin", url, kinds.url),
            api_key=keys["primary"],
            second_api_key=keys.get("second"),
            restricted_api_key=keys.get("restricted"),
        )
        return dataclasses.replace(self, target=target)

    def to_json(self) -> str:
        """The settings with their keys, for the environment of a child process and for nothing else."""
        return json.dumps(dataclasses.asdict(self), default=str, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """The settings that `to_json` wrote.

        Raises:
            UsageError: the text is something else; the message does not show it.
        """
        try:
            raw = json.loads(text)
            target = raw["target"]
            templates = Templates(**{name: tuple(refs) for name, refs in target["templates"].items()})
            folders = {name: Path(raw[name]) if raw[name] else None for name in _PATHS}
            unused = tuple(target["unused_keys"])
            sources, bounds = KeySources(**target["key_sources"]), Bounds(**target["bounds"])
            parts = {"templates": templates, "bounds": bounds, "unused_keys": unused, "key_sources": sources}
            return cls(**{**raw, **folders, "target": TargetSettings(**{**target, **parts})})
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UsageError(f"{HANDOVER}: not the settings of a run; leave this variable to touchstone") from None

    def public(self) -> dict[str, Any]:
        """The settings without keys, as JSON values: of a key it says only whether there is one."""
        values: dict[str, Any] = json.loads(self.to_json())
        for name in _KEY_NAMES:
            values["target"][name] = "set" if values["target"][name] else None
        values["target"]["unused_keys"] = len(self.target.unused_keys)
        return values


@dataclass(frozen=True, slots=True)
class Workflow:
    """The job of GitHub Actions that a command is a step of.

    Attributes:
        summary: File that a step appends its summary to; None where the runner names none.
        checkout: Folder of the repository; None where the runner names none.
        file: File of the workflow, as a path in the repository; empty where the runner names none.
    """

    summary: Path | None
    checkout: Path | None
    file: str


def workflow_in(environ: Mapping[str, str]) -> Workflow | None:
    """The job of GitHub Actions that the environment is one of; None elsewhere.

    Source: docs.github.com, Variables reference, "Default environment variables".
    """
    if environ.get("GITHUB_ACTIONS") != "true":
        return None
    summary, checkout = environ.get("GITHUB_STEP_SUMMARY"), environ.get("GITHUB_WORKSPACE")
    # OWNER/REPOSITORY/PATH@REF
    file = environ.get("GITHUB_WORKFLOW_REF", "").partition("@")[0].removeprefix(environ.get("GITHUB_REPOSITORY", "/"))
    return Workflow(Path(summary) if summary else None, Path(checkout) if checkout else None, file.removeprefix("/"))


def load(flags: Flags, environ: Mapping[str, str], cwd: Path, builds: int | None = None) -> Settings:
    """The settings of a run.

    Args:
        cwd: The working directory: the settings file is looked for in it, and relative paths start from it.
        builds: How many the run may start where nobody says it; None for as many as a check may.

    Raises:
        UsageError: something that the caller wrote does not exist or does not fit; the message says where.
    """
    file = find(flags.config, cwd)
    target = _target(flags, environ, file)
    if builds is not None and "max_builds" not in file.targets.get(target.name, {}):
        target = dataclasses.replace(target, max_builds=builds)
    if flags.max_builds is not None:
        target = dataclasses.replace(target, max_builds=checked("--max-builds", flags.max_builds, kinds.count))
    merged = _Merged(flags, file)
    folder, baseline = (getattr(flags, name) or merged.file_path(name) for name in ("report_dir", "baseline"))
    return Settings(
        target=target,
        report_dir=None if folder is None else cwd / folder,
        state_dir=_state_dir(environ),
        seed=merged.pick("seed", kinds.seed, DEFAULT_SEED),
        strict=merged.pick("strict", kinds.flag, default=False),
        plan=bool(flags.plan),
        profile=cast(Profile, merged.pick("profile", kinds.one_of(*PROFILES), "standard")),
        claims_glob=merged.pick("claims", kinds.text, "*"),
        max_seconds=merged.pick("max_seconds", kinds.seconds, None),
        baseline=None if baseline is None else cwd / baseline,
    )


def keys_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The keys of the usual variables, by role; whichever target they belong to, they are secrets.

    Raises:
        UsageError: one is none; the message does not show it.
    """
    names = (("primary", "ORGO_API_KEY"), ("second", "ORGO_SECOND_API_KEY"), ("restricted", "ORGO_RESTRICTED_API_KEY"))
    return {role: checked(name, environ[name], kinds.key) for role, name in names if environ.get(name)}


@dataclass(frozen=True, slots=True)
class _Merged:
    flags: Flags
    file: SettingsFile

    def pick(self, name: str, kind: Kind[T], default: T | None) -> Any:
        value = getattr(self.flags, name)
        if value is not None:
            return checked(f"--{name.replace('_', '-')}", value, kind)
        return self.file.run.get(name, default)

    def file_path(self, name: str) -> Path | None:
        value = self.file.run.get(name)
        return None if value is None else self.file.folder / value


def _target(flags: Flags, environ: Mapping[str, str], file: SettingsFile) -> TargetSettings:
    if flags.target is not None and flags.url is not None:
        raise UsageError("--target and --url: both are given; keep one of the two")
    if flags.url is not None:
        return _plain("--url", flags.url, environ)
    if flags.target is not None:
        return _named(flags.target, "--target", environ, file)
    if environ.get("TOUCHSTONE_TARGET"):
        return _named(environ["TOUCHSTONE_TARGET"], "TOUCHSTONE_TARGET", environ, file)
    if environ.get("ORGO_BASE_URL"):
        return _plain("ORGO_BASE_URL", environ["ORGO_BASE_URL"], environ)
    if "target" in file.run:
        return _named(file.run["target"], f"{file.name}: target", environ, file)
    return TargetSettings(max_builds=UNBOUNDED_BUILDS)


def _plain(place: str, value: str, environ: Mapping[str, str]) -> TargetSettings:
    url = checked(place, value, kinds.url)
    keys = _keys({}, "the target" if may_be_key(url) else f"the target {url}", environ)
    kinds.check_no_key_in(url, keys, place)
    return TargetSettings("url", url, **keys)


def _named(name: str, place: str, environ: Mapping[str, str], file: SettingsFile) -> TargetSettings:
    if name == EMBEDDED:
        return TargetSettings(max_builds=UNBOUNDED_BUILDS)
    if name not in file.targets:
        where = file.name or "the working directory, which has no touchstone.toml"
        advice = nearest(name, (*file.targets, EMBEDDED))
        raise UsageError(f"{place} {quoted(name)}: no such target in {where}; {advice}")
    values = dict(file.targets[name])
    templates = Templates(**values.pop("templates"))
    for ref in templates.buildable:
        if ref in templates.failing:
            raise UsageError(
                f"{file.place(name)} templates: {quoted(ref)} is both buildable and failing; keep it in one list"
            )
    keys = _keys(values, file.place(name), environ)
    kinds.check_no_key_in(values["url"], keys, f"{file.place(name)} url")
    bounds = Bounds(**{bound: values.pop(bound) for bound in BOUND_NAMES if bound in values})
    rest = {field: value for field, value in values.items() if not field.removesuffix("_env").endswith("api_key")}
    sources = _sources(values, f"[{file.prefix}targets.{one_line(name)}]")
    return TargetSettings(name=name, templates=templates, bounds=bounds, key_sources=sources, **keys, **rest)


def _sources(values: Mapping[str, Any], table: str) -> KeySources:
    """Where the keys of a target come from, or would, by the same order as in `_keys`."""
    spelled_out = any(name in values for name in _KEY_NAMES)
    found = [
        values.get(f"{name}_env") or (f"{name} of {table}" if spelled_out else f"ORGO_{name.upper()}")
        for name in _KEY_NAMES
    ]
    return KeySources(*found)


def _keys(values: Mapping[str, Any], place: str, environ: Mapping[str, str]) -> dict[str, Any]:
    # A target that spells a key out is a throw-away server: keys from the environment would belong to another one.
    spelled_out = any(name in values for name in _KEY_NAMES)
    found: dict[str, str | None] = {}
    for name in _KEY_NAMES:
        default = "" if spelled_out else f"ORGO_{name.upper()}"
        variable = values.get(f"{name}_env", default)
        value = environ.get(variable, "") if variable else ""
        found[name] = values.get(name) or (checked(variable, value, kinds.key) if value else None)
    if not found["api_key"]:
        variable = values.get("api_key_env", "ORGO_API_KEY")
        raise UsageError(f"{place}: has no key: the variable {variable} is not set; export {variable}=<your key>")
    for name in _KEY_NAMES[1:]:
        if found[name] and found[name] == found["api_key"]:
            raise UsageError(f"{place}: {name} is the same as api_key; expected the key of another account, or none")
    return found


def _state_dir(environ: Mapping[str, str]) -> Path | None:
    # XDG Base Directory Specification: a relative path is invalid and ignored.
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        home = Path(environ.get("HOME", ""))
        if not home.is_absolute():
            return None
        state = home / ".local" / "state"
    return state / "touchstone" / "journals"
