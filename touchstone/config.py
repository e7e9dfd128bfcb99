"""Settings of a run, from flags, the environment, the settings file and defaults. The first in this list wins.

The file is ``touchstone.toml``, or the table ``[tool.touchstone]`` of ``pyproject.toml``, in the working directory.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic import WrapValidator as Wrap
from pydantic.dataclasses import dataclass as pydantic_dataclass

from touchstone.contract import claims
from touchstone.contract.files import read_toml
from touchstone.errors import Kind, Unfit, UsageError, checked, may_be_key, nearest, one_line, quoted
from touchstone.facts import redaction_guard
from touchstone.facts.key_sources import USUAL, KeySources, read_key, read_variable
from touchstone.target.bounds import BOUND_NAMES, LONGEST_HEAD_BYTES, Bounds
from touchstone.target.bounds import DEFAULT_BOUNDS as BOUNDS
from touchstone.target.keys import KeyCommand, Keys
from touchstone.target.redact import Secrets

Profile = Literal["quick", "standard", "thorough"]
Publish = Literal["raw", "wrapped", "never"]

EMBEDDED = "twin"
DEFAULT_SEED = 20
DEFAULT_MAX_BUILDS = 64
UNBOUNDED_BUILDS = 10_000  # of the embedded twin, whose builds cost nothing

KEY_NAMES = ("api_key", "second_api_key", "restricted_api_key")


def kind(form: Any) -> Kind[Any]:
    """Returns a parser for an annotated type whose last part is `fits`, such as `Count`. The parser raises Unfit."""
    adapter: TypeAdapter[Any] = TypeAdapter(form)

    def read(value: object) -> Any:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise error.errors()[0]["ctx"]["error"] from None

    return read


def fits(*expected: str) -> Wrap:
    """Returns a validator whose error says what is valid. *expected* is one description, or all choices."""
    like = expected[0] if len(expected) == 1 else f"{', '.join(expected[:-1])} or {expected[-1]}"

    def read(value: Any, inner: Callable[[Any], Any]) -> Any:
        try:
            return inner(value)
        except ValidationError:
            raise Unfit(like) from None

    return Wrap(read)


# A kebab-case name of 1 to 64 characters and a semantic version; any namespace is valid.
_REF = re.compile(r"[^/@\s]+/(?=[^@]{1,64}@)[a-z0-9]+(-[a-z0-9]+)*@\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?")


def _refs(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise Unfit("a list of refs such as default/claude-code@1.0.0")
    for item in value:
        if not _REF.fullmatch(item):
            raise Unfit("refs of the form namespace/name@1.0.0, the name in kebab-case", found=quoted(item))
    return tuple(dict.fromkeys(value))


def _url(value: object) -> str:
    like = "a URL such as https://staging.example.test/api"
    if not isinstance(value, str):
        raise Unfit(like)
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        is_valid = False
    if not is_valid or re.search(r"[\0-\x20\x7f]", value):
        # The part before the last @ and the query may contain a password or key, and are not printed.
        before, at, rest = value.rpartition("@")
        scheme = before.partition("//")[0] + "//" if "//" in before else ""
        raise Unfit(like, found=quoted(re.split(r"[?#]", f"{scheme}…@{rest}" if at else rest)[0]))
    if "@" in parts.netloc:
        raise Unfit("no user or password in it; keys come from the environment", "a URL with a user in it (not shown)")
    if re.search(r"[?#]", value):
        found = f"{quoted(re.split(r'[?#]', value)[0])} and a query or fragment (not shown)"
        raise Unfit("nothing after the path", found=found)
    return value.rstrip("/")


def _version(value: object) -> int:
    known = range(1, claims.load().version + 1)
    if type(value) is not int or value not in known:
        raise Unfit(f"a version of the contract: {', '.join(map(str, known))}")
    return value


# Matches the names of headers that Touchstone does not set itself.
_OWN = "accept|accept-encoding|authorization|connection|content-(length|type)|host|transfer-encoding|user-agent"
_HEADER = rf"\A(?i:(?!({_OWN})\Z)[!#$%&'*+.^_`|~0-9a-z-]+)\Z"

Text = Annotated[str, Field(pattern=r"\S"), fits("a string")]
TargetName = Annotated[str, Field(pattern=r"\S"), fits("the NAME of a table [targets.NAME]")]
Folder = Annotated[str, Field(pattern=r"^[^\x00]*[^\s\x00][^\x00]*$"), fits("the path of a folder")]
Switch = Annotated[bool, Field(strict=True), fits("true or false")]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63), fits("a whole number of 0 or more")]
Count = Annotated[int, Field(strict=True, ge=1, lt=2**63), fits("a whole number of 1 or more")]
HeadBytes = Annotated[Count, Field(le=LONGEST_HEAD_BYTES), fits(f"a whole number from 1 to {LONGEST_HEAD_BYTES}")]
Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False), fits("a number of seconds above 0")]
Refs = Annotated[tuple[str, ...], BeforeValidator(_refs)]
Variable = Annotated[str, BeforeValidator(read_variable)]
Key = Annotated[str, BeforeValidator(read_key)]
Url = Annotated[str, BeforeValidator(_url)]
HeaderName = Annotated[str, Field(pattern=_HEADER), fits("the name of a header that Touchstone does not set itself")]


def _is(default: object, meaning: str) -> Any:
    return Field(default, description=meaning)


def _bound(default: int, meaning: str) -> Any:
    return _is(default, f"Limit of a response: {meaning}")


def _from(variable: str, whose: str) -> Any:
    return _is(variable, f"The environment variable that holds the key of {whose}.")


@pydantic_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Templates:
    """Refs of existing versions, for a run that must not publish."""

    buildable: Refs = _is((), 'Refs whose builds become ready, for `publish = "never"`.')
    failing: Refs = _is((), 'Refs whose builds fail, for `publish = "never"`.')
    restricted: Refs = _is((), 'Refs that the restricted key may read, for `publish = "never"`.')

    def __post_init__(self) -> None:
        for ref in self.buildable:
            if ref in self.failing:
                raise Unfit("it in one list", found=f"{quoted(ref)}, which is both buildable and failing")


class TargetTable(BaseModel, extra="forbid", frozen=True, regex_engine="python-re"):
    """The table ``[targets.NAME]`` of the settings file."""

    url: Url = Field(description="Base URL without a trailing slash.")
    api_key: Key | None = _is(None, "Key of an account on the Scale plan.")
    api_key_env: Variable = _from("ORGO_API_KEY", "an account on the Scale plan")
    api_key_command: Text | None = _is(None, "Command that prints that key; a check runs it again after a 401.")
    second_api_key: Key | None = _is(None, "Key of another account on the Scale plan.")
    second_api_key_env: Variable = _from("ORGO_SECOND_API_KEY", "another account on the Scale plan")
    restricted_api_key: Key | None = _is(None, "Key of an account below the Scale plan.")
    restricted_api_key_env: Variable = _from("ORGO_RESTRICTED_API_KEY", "an account below the Scale plan")
    headers: dict[HeaderName, Variable] = _is({}, "Headers of every request, each with the variable of its value.")
    build_timeout_s: Seconds = _is(600.0, "A build that takes longer counts as stuck.")
    cancel_timeout_s: Seconds = _is(60.0, "A cancelled build that takes longer to settle counts as stuck.")
    patience_s: Seconds = _is(120.0, "Longest total wait after a 429 response.")
    request_timeout_s: Seconds = _is(30.0, "Longest wait for a response; less for an operation that has exceeded it.")
    max_builds: Count = _is(DEFAULT_MAX_BUILDS, "Most builds that the run may start.")
    max_in_flight: Count = _is(8, "Most builds that a check runs at a time; fewer if the target refuses more.")
    publish: Annotated[Publish, fits(*get_args(Publish))] = _is(
        "raw", "Form of published templates: the document itself (raw), inside a named object (wrapped), or never."
    )
    max_head_bytes: HeadBytes = _bound(BOUNDS.max_head_bytes, "bytes of a head, including interim responses before it.")
    max_headers: Count = _bound(BOUNDS.max_headers, "lines of a head; Apache and Python's own client allow 100.")
    max_body_bytes: Count = _bound(BOUNDS.max_body_bytes, "bytes of a body, compressed and decompressed.")
    max_stream_bytes: Count = _bound(BOUNDS.max_stream_bytes, "bytes of an event stream.")
    max_line_bytes: Count = _bound(BOUNDS.max_line_bytes, "bytes of a line of an event stream.")
    max_json_depth: Count = _bound(BOUNDS.max_json_depth, "nesting depth of JSON.")
    max_json_values: Count = _bound(BOUNDS.max_json_values, "values in one JSON body, and lines in one event stream.")
    max_total_bytes: Count = _bound(BOUNDS.max_total_bytes, "bytes of all responses, each without its first 4 KiB.")
    templates: Templates = Templates()

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        for name in KEY_NAMES:
            given = [each for each in (name, f"{name}_env", f"{name}_command") if each in self.model_fields_set]
            if len(given) > 1:
                raise Unfit("one of them", found=" beside ".join(given))
        return self


class RunTable(BaseModel, extra="forbid", frozen=True):
    """The keys at the top of the settings file."""

    target: TargetName = _is(EMBEDDED, "Target to judge; twin is the embedded one.")
    report_dir: Folder | None = _is(None, "Folder of the results; by default a new one under reports/.")
    seed: Seed = _is(DEFAULT_SEED, "Seed of all generated data.")
    strict: Switch = _is(False, "Whether broken should claims fail the run.")
    profile: Annotated[Profile, fits(*get_args(Profile))] = _is("standard", "Effort: quick, standard or thorough.")
    claims: Text = _is("*", "Claims to judge: globs, separated by commas.")
    max_seconds: Seconds | None = _is(None, "Longest duration of the run; unlimited by default.")
    baseline: Text | None = _is(None, "File of claims that are known to be broken.")
    contract_version: Annotated[int, BeforeValidator(_version)] | None = _is(None, "Newer claims do not fail the run.")
    targets: dict[str, TargetTable] = {}


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The content of a settings file, and the name of the file in messages."""

    name: str = ""  # empty if there is no file
    prefix: str = ""  # prefix of table names: ``tool.touchstone.`` in a pyproject.toml
    table: RunTable = field(default_factory=RunTable, repr=False)

    def place(self, *tables: object, key: object = "") -> str:
        """Returns the place of a table or key in the file, for messages."""
        table = (self.prefix + ".".join(map(one_line, tables))).rstrip(".")
        return f"{self.name}:" + (f" [{table}]" if table else "") + (f" {one_line(key)}" if key else "")


def find(config: Path | None, cwd: Path) -> SettingsFile:
    """Reads the settings file *config*, else the one in *cwd*; empty without a file. Raises UsageError if invalid."""
    if config is not None:
        return _read(cwd / config, str(config), required=True)
    for name in ("touchstone.toml", "pyproject.toml"):
        if (cwd / name).is_file():
            return _read(cwd / name, name, required=False)
    return SettingsFile()


def _read(path: Path, name: str, *, required: bool) -> SettingsFile:
    try:
        table: Any = read_toml(path, name)
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}; check the path behind --config") from None
    file = SettingsFile(name, "tool.touchstone." if path.name == "pyproject.toml" else "")
    if file.prefix:
        tool = table.get("tool", {})
        if not isinstance(tool, dict):
            raise UsageError(f"{name}: tool: found {quoted(tool)}; expected a table")
        if required and "touchstone" not in tool:
            raise UsageError(f"{name}: no table [tool.touchstone]; add one, or name another file with --config")
        table = tool.get("touchstone", {})
    read = _validated(table, file.place)
    if EMBEDDED in read.targets:
        raise UsageError(f"{file.place('targets', EMBEDDED)}: this names the embedded server; choose another name")
    paths = {key: str(path.parent / value) for key, value in read if key in ("report_dir", "baseline") and value}
    return dataclasses.replace(file, table=read.model_copy(update=paths))


_KEYS_AT = {1: RunTable.model_fields, 3: TargetTable.model_fields, 4: Templates.__dataclass_fields__}


def _validated(raw: object, place_of: Callable[..., str]) -> RunTable:
    """Validates the table *raw*; raises a UsageError that names the place of an unknown key or invalid value."""
    try:
        return RunTable.model_validate(raw)
    except ValidationError as error:
        problem = error.errors()[0]
    *tables, key = [part for part in problem["loc"] if part != "[key]"] or ("",)
    found, place = problem["input"], place_of(*tables, key=key)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        raise UsageError(f"{place}: unknown key; {nearest(str(key), _KEYS_AT[len(problem['loc'])])}")
    if problem["type"] == "missing":
        raise UsageError(f'{place}: is missing; add url = "https://…" to say where the target is')
    unfit = problem.get("ctx", {}).get("error", Unfit("a table"))
    place = place_of(*tables, key) if isinstance(found, dict) and unfit.found else place  # the whole table is invalid
    raise UsageError(f"{place}: found {unfit.found or quoted(found)}; expected {unfit.expected}")


@dataclass(frozen=True, slots=True)
class Flags:
    """Flags of the command line; None for an absent flag."""

    target: str | None = None
    url: str | None = None
    config: Path | None = None
    report_dir: Path | None = None
    seed: int | None = None
    strict: bool | None = None
    plan: bool | None = None
    fail_fast: bool | None = None
    max_builds: int | None = None
    max_seconds: float | None = None
    profile: str | None = None
    claims: str | None = None
    baseline: Path | None = None
    keyless: bool | None = None  # the run does without a key
    contract_version: int | None = None


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """A target with its keys and limits; see `TargetTable`."""

    name: str = EMBEDDED  # name of the table in the settings file, ``url`` for --url, or ``twin``
    url: str | None = None  # None until the embedded twin listens
    api_key: str | None = field(default=None, repr=False)
    second_api_key: str | None = field(default=None, repr=False)
    restricted_api_key: str | None = field(default=None, repr=False)
    key_sources: KeySources = USUAL
    unused_keys: tuple[str, ...] = field(default=(), repr=False)  # redacted like the other keys
    api_key_command: KeyCommand | None = field(default=None, repr=False)  # has the current primary key
    headers: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)  # see `Keys.always`
    build_timeout_s: float = 600.0
    cancel_timeout_s: float = 60.0
    patience_s: float = 120.0
    request_timeout_s: float = 30.0
    max_builds: int = DEFAULT_MAX_BUILDS
    max_in_flight: int = 8
    publish: Publish = "raw"
    templates: Templates = field(default_factory=Templates)
    bounds: Bounds = BOUNDS

    def __post_init__(self) -> None:
        redaction_guard.register(self.credentials().hidden())

    @property
    def embedded(self) -> bool:
        """Whether the run starts the target itself."""
        return self.name == EMBEDDED

    def credentials(self) -> Keys:
        """Returns the current keys, and the headers of every request."""
        keys = Keys(self.api_key or "", self.second_api_key, self.restricted_api_key, self.unused_keys, self.headers)
        return self.api_key_command.renewed(keys) if self.api_key_command else keys


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a run, merged; see `RunTable`."""

    target: TargetSettings = TargetSettings()
    report_dir: Path | None = None
    state_dir: Path | None = None  # folder of journals; None without a home folder
    seed: int = DEFAULT_SEED
    strict: bool = False
    plan: bool = False  # print the plan and send nothing
    profile: Profile = "standard"
    claims_glob: str = "*"
    max_seconds: float | None = None
    baseline: Path | None = None
    fail_fast: bool = False  # end the run at the first broken must claim
    contract_version: int | None = None

    def public(self) -> dict[str, Any]:
        """Returns the settings as JSON values. Each secret is replaced by ``set``, or by null if it is missing."""
        values: dict[str, Any] = _SETTINGS.dump_python(self, mode="json")
        for name in (*KEY_NAMES, "api_key_command"):
            values["target"][name] = "set" if values["target"][name] else None
        values["target"]["unused_keys"] = len(self.target.unused_keys)
        values["target"]["headers"] = {name: variable for name, (variable, _) in self.target.headers.items()}
        return values


_SETTINGS = TypeAdapter(Settings)


def load(flags: Flags, environ: Mapping[str, str], cwd: Path, builds: int | None = None) -> Settings:
    """Returns the settings of a run in *cwd*; raises UsageError. *builds* replaces the default of ``max_builds``."""
    file = find(flags.config, cwd)
    target = _target(flags, environ, file)
    table = file.table.targets.get(target.name)
    if builds is not None and (table is None or "max_builds" not in table.model_fields_set):
        target = dataclasses.replace(target, max_builds=builds)
    if flags.max_builds is not None:
        target = dataclasses.replace(target, max_builds=checked("--max-builds", flags.max_builds, kind(Count)))
    given = {name: value for name in RunTable.model_fields if (value := getattr(flags, name, None)) is not None}
    paths = {name: given.pop(name) for name in ("report_dir", "baseline") if name in given}
    of_flags = _validated(given, lambda key: f"--{key.replace('_', '-')}")
    run = file.table.model_copy(update=of_flags.model_dump(exclude_unset=True) | paths)
    # XDG Base Directory Specification: a relative path is invalid and ignored.
    homes = Path(environ.get("XDG_STATE_HOME", "")), Path(environ.get("HOME", ""), ".local", "state")
    return Settings(
        target=target,
        report_dir=cwd / run.report_dir if run.report_dir else None,
        state_dir=next((home / "touchstone" / "journals" for home in homes if home.is_absolute()), None),
        plan=bool(flags.plan),
        fail_fast=bool(flags.fail_fast),
        claims_glob=run.claims,
        baseline=cwd / run.baseline if run.baseline else None,
        **run.model_dump(include={"seed", "strict", "profile", "max_seconds", "contract_version"}),
    )


def keys_in(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the keys in the default variables, by role; the UsageError for an invalid key does not show the key."""
    names = dataclasses.asdict(USUAL)
    return {role: checked(name, environ[name], read_key) for role, name in names.items() if environ.get(name)}


def _target(flags: Flags, environ: Mapping[str, str], file: SettingsFile) -> TargetSettings:
    if flags.target is not None and flags.url is not None:
        raise UsageError("--target and --url: both are given; use only one")
    sources = (
        ("--url", flags.url),
        ("--target", flags.target),
        ("TOUCHSTONE_TARGET", environ.get("TOUCHSTONE_TARGET") or None),
        ("ORGO_BASE_URL", environ.get("ORGO_BASE_URL") or None),
        (f"{file.name}: target", file.table.target),
    )
    place, name = next((place, value) for place, value in sources if value is not None)
    if place in ("--url", "ORGO_BASE_URL"):
        url = checked(place, name, _url)
        where, url_place = "the target" if may_be_key(url) else f"the target {url}", place
        name, table = "url", TargetTable(url=url)
    elif name == EMBEDDED:
        return TargetSettings(max_builds=UNBOUNDED_BUILDS)
    elif name in file.table.targets:
        table, where = file.table.targets[name], file.place("targets", name)
        url_place = f"{where} url"
    else:
        where = file.name or "the working directory, which has no touchstone.toml"
        advice = nearest(name, (*file.table.targets, EMBEDDED))
        raise UsageError(f"{place} {quoted(name)}: no such target in {where}; {advice}")
    keys = _keys(table.model_dump(exclude_unset=True), where, url_place, environ, flags)
    shared = {each.name for each in dataclasses.fields(TargetSettings)} & TargetTable.model_fields.keys()
    values = {each: getattr(table, each) for each in shared - keys.keys() - {"url"}}
    bounds = Bounds(**{each: getattr(table, each) for each in BOUND_NAMES})
    return TargetSettings(name, table.url, bounds=bounds, **values, **keys)


def _keys(
    values: Mapping[str, Any], place: str, url_place: str, environ: Mapping[str, str], flags: Flags
) -> dict[str, Any]:
    """Returns a target's keys, their sources and headers, as arguments of TargetSettings; its URL must have no key."""
    sends = not flags.plan  # a plan needs no key
    # A key in the settings file belongs to a throw-away server; then the usual variables belong to another target.
    is_literal, text = any(name in values for name in KEY_NAMES), values.get("api_key_command")
    found, sources, command = dict[str, str | None](), list[str](), None
    for name in KEY_NAMES:
        own = "api_key_command" if text and name == "api_key" else name
        variable = values.get(f"{name}_env", "" if is_literal or own != name else f"ORGO_{name.upper()}")
        value = environ.get(variable, "") if variable else ""
        found[name] = values.get(name) or (checked(variable, value, read_key) if value else None)
        sources.append(variable or f"{own} of {place.partition(': ')[2]}")
    if sends and text:
        inherited = {name: value.encode("utf-8", "ignore").decode() for name, value in environ.items()}
        command = KeyCommand(f"{place} api_key_command", text, inherited)
        found["api_key"] = command.run()
    if sends and not flags.keyless and not found["api_key"]:
        variable = values.get("api_key_env", "ORGO_API_KEY")
        raise UsageError(f"{place}: has no key: the variable {variable} is not set; export {variable}=<your key>")
    for name, key in found.items():
        if key and key == found["api_key"] and name != "api_key":
            raise UsageError(f"{place}: {name} is the same as api_key; expected the key of another account, or none")
        if Secrets({name: key}).text(values["url"]) != values["url"]:
            raise UsageError(f"{url_place}: found a URL that contains {name} (not shown); expected one without a key")
    headers = dict[str, tuple[str, str]]()
    for name, variable in values.get("headers", {}).items() if sends else ():
        headers[name] = variable, environ.get(variable, "").strip(" ")
        if not headers[name][1]:
            raise UsageError(f"{place} headers: {variable} is not set; export {variable}=<the value of {name}>")
        checked(variable, headers[name][1].replace(" ", ""), read_key)
    return {**found, "key_sources": KeySources(*sources), "api_key_command": command, "headers": headers}
