"""Settings: typed, every problem at once, and for each value the layer that it came from.

Layers, later ones win: defaults, ``instance/config.toml``, ``.env``, the environment, ``MYAPP_<KEY>_FILE``,
the argument of :func:`myapp.create_app`. Flask's own keys come from the environment as ``FLASK_SECRET_KEY`` and
so on, as :meth:`flask.Config.from_prefixed_env` reads them.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import os
import re
import secrets
import stat
import tomllib
import types
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pydantic
from pydantic import AfterValidator, BeforeValidator

from .errors import ConfigurationError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

logger = logging.getLogger("myapp.config")

PLUGIN_KEY = re.compile(r"^MYAPP_PLUGIN_[A-Z0-9_]+__[A-Z0-9_]+$")
#: Variables of this prefix that other parts of the project read, and the application does not.
READ_ELSEWHERE = frozenset({"MYAPP_METER_DATA"})
#: Where pip copies to; Debian's has a name of its own.
SITES = frozenset({"site-packages", "dist-packages"})
#: What ``flask`` sets for itself: switches of the command line, not configuration.
FLASK_SWITCHES = frozenset({"FLASK_APP", "FLASK_DEBUG", "FLASK_RUN_FROM_CLI", "FLASK_ENV", "FLASK_SKIP_DOTENV"})
MINIMUM_SECRET_BYTES = 32
SECRET = re.compile(r"SECRET|PASSW|PASSPHRASE|TOKEN|_KEY|KEY$|DSN|CREDENTIAL", re.IGNORECASE)
#: What stands before the password of a URL, and a parameter of its query.
LOGIN = re.compile(r"//[^/:@]*:")
PARAMETER = re.compile(r"([?&;]([\w.-]+)=)[^&;#\s'\"]+")
REDIS_URL = re.compile(r"rediss?://[^/]|unix:///.")
#: How mail is handed in: as it is, encrypted after STARTTLS, encrypted from the first byte.
MAIL_SCHEMES = ("smtp", "smtp+starttls", "smtps")


def _names(value: t.Any) -> t.Any:
    """Split ``"a, b"``, as an environment variable holds it; lists pass."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _pairs(value: t.Any) -> t.Any:
    """Split ``"shop=/store, blog=/news"``, as an environment variable holds it; mappings pass."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in _names(value)]
    if not all(separator for _, separator, _ in pairs):
        raise ValueError("write it as name=/prefix, name=/prefix")
    return {name.strip(): prefix.strip() for name, _, prefix in pairs}


def own_version() -> str:
    """Return the version of myapp; not from the installed metadata, because a checkout need not be installed."""
    return str(import_module(__name__.partition(".")[0]).__version__)


def plain_name(name: str) -> str:
    """Return ``name`` as blueprint modules and plugins are called: ``-`` is ``_``."""
    return name.replace("-", "_")


def _plain_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(plain_name, names))


def _plain_keys(pairs: dict[str, str]) -> dict[str, str]:
    _each_once(_plain_names(tuple(pairs)))
    return {plain_name(name): prefix for name, prefix in pairs.items()}


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len({*names}) != len(names):
        raise ValueError("name each of them once")
    return names


def _sqlite_url(path: Path) -> str:
    """Return the URL of a file, whatever its name has in it: ``?`` and ``%`` mean something in a URL."""
    return "sqlite:///" + quote(str(path), safe="/: ")


def _database_url(value: str) -> str:
    if ":memory:" in value:
        raise ValueError("each connection would have a database of its own in memory; name a file")
    if not value or re.match(r"^sqlite:///.+", value):
        return value
    if match := re.match(r"^postgres(?:ql)?(?:\+psycopg)?://(.+)", value):
        # SQLAlchemy would look for psycopg2 behind the plain name.
        return f"postgresql+psycopg://{match[1]}"
    raise ValueError("write it as sqlite:////absolute/path.sqlite3 or postgresql://user:password@host/name")


def _jobs_url(value: str) -> str:
    if value not in ("", "sql:", "redis:") and not REDIS_URL.match(value):
        raise ValueError(
            "write it as sql:, for workers that look into the database of the app, as redis:, for those on the Redis of"
            " MYAPP_REDIS_URL, or as redis://user:password@host:6379/0"
        )
    return value


def _redis_url(value: str) -> str:
    if value and not REDIS_URL.match(value):
        raise ValueError("write it as redis://user:password@host:6379/0, rediss://… or unix:///path/of/the.sock")
    return value


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("write it as https://example.com or https://example.com/prefix")
    return value.rstrip("/")


def _mail_url(value: str) -> str:
    # What cannot be taken apart raises a ValueError that quotes a part of it.
    with contextlib.suppress(ValueError):
        parts = urlsplit(value)
        login = unquote(f"{parts.username or ''}{parts.password or ''}")
        has_login = bool(parts.username) == (parts.password is not None)
        is_bare = parts.path in ("", "/") and not parts.query and not parts.fragment and parts.netloc.count("@") < 2
        # smtplib sends user and password as ASCII.
        is_plain = value.isprintable() and login.isascii() and login.isprintable()
        if not value or (
            parts.scheme in MAIL_SCHEMES and parts.hostname and parts.port != 0 and has_login and is_bare and is_plain
        ):
            return value
    raise ValueError(
        f"write it as {', '.join(f'{scheme}://user:password@host:port' for scheme in MAIL_SCHEMES)}, without"
        " user:password@ if the server asks for none, and with % and two digits for what means something in a URL"
    )


def _mail_address(value: str) -> str:
    if re.fullmatch(r"([^\x00-\x1f<>]*<[^@<>\s]+@[^@<>\s]+>|[^@<>\s]+@[^@<>\s]+)?", value):
        return value
    raise ValueError("write it as ann@example.com or Ann <ann@example.com>")


class IsolatedConfig(dict[str, t.Any]):
    """Settings for :func:`load` that do not depend on who starts the process, and where.

    Of the environment and of ``.env`` it is told only where blueprint modules and plugins lie, and of safe mode, in
    which ``flask plugins disable`` looks at an app.
    """

    KEPT = frozenset({"MYAPP_BLUEPRINT_PACKAGES", "MYAPP_PLUGIN_DIRS", "MYAPP_SAFE_MODE"})

    def keep(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return those of ``variables`` that count."""
        return {key: variables[key] for key in self.KEPT & variables.keys()}


Names: t.TypeAlias = t.Annotated[tuple[str, ...], BeforeValidator(_names)]
PlainNames: t.TypeAlias = t.Annotated[Names, AfterValidator(_plain_names)]
Networks: t.TypeAlias = t.Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_names)]


#: One mailbox, with or without a name; empty for none.
MailAddress: t.TypeAlias = t.Annotated[str, AfterValidator(_mail_address)]


class Settings(pydantic.BaseModel):
    """The keys ``MYAPP_<NAME>`` of the core; ``docs/configuration.md`` describes each of them."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    profile: t.Literal["production", "development"] = "production"
    instance_path: Path = Path("instance")
    database_url: t.Annotated[str, AfterValidator(_database_url)] = ""
    jobs_url: t.Annotated[str, AfterValidator(_jobs_url)] = ""
    redis_url: t.Annotated[str, AfterValidator(_redis_url)] = ""
    public_url: t.Annotated[str, AfterValidator(_public_url)] = "http://localhost:5000"
    trusted_proxies: Networks = ()
    strict: bool | None = None
    blueprint_prefixes: t.Annotated[dict[str, str], BeforeValidator(_pairs), AfterValidator(_plain_keys)] = (
        pydantic.Field(default_factory=dict)
    )
    plugin_dirs: Names = ("plugins",)
    plugins: PlainNames | None = None
    plugins_disabled: PlainNames = ()
    required_plugins: PlainNames = ()
    plugin_order: t.Annotated[PlainNames, AfterValidator(_each_once)] = ()
    safe_mode: bool = False
    blueprint_packages: Names = ("myapp.blueprints",)
    mail_url: t.Annotated[str, AfterValidator(_mail_url)] = ""
    mail_from: MailAddress = ""
    mail_connect_seconds: t.Annotated[float, pydantic.Field(gt=0)] = 10.0
    mail_attempt_seconds: t.Annotated[float, pydantic.Field(gt=0)] = 30.0


#: Flask's own keys that are checked, because a wrong type fails late and far away.
FLASK_KEYS: Mapping[str, t.Any] = types.MappingProxyType(
    {
        "SECRET_KEY": str | bytes | None,
        "SECRET_KEY_FALLBACKS": list[str | bytes] | None,
        "TESTING": bool,
        "MAX_CONTENT_LENGTH": int | None,
        "PERMANENT_SESSION_LIFETIME": timedelta | int,
        "SESSION_COOKIE_SECURE": bool,
        "SESSION_COOKIE_SAMESITE": t.Literal["Strict", "Lax", "None"] | None,
        "TRUSTED_HOSTS": list[str] | None,
    }
)


@dataclass(frozen=True)
class Loaded:
    """What :func:`load` found: the typed settings, Flask's and plugins' keys, and where each value came from."""

    settings: Settings
    root: Path
    #: Keys that are neither the core's nor misspelt: Flask's own, plugins' and the team's.
    others: dict[str, t.Any]
    #: ``{"MYAPP_PROFILE": "environment", …}``: the layer that won, for each key that was given.
    sources: dict[str, str]
    warnings: list[str] = field(default_factory=list)

    @property
    def is_development(self) -> bool:
        """Whether generated secrets, upgrades at start and hints for developers are wanted."""
        return self.settings.profile == "development"

    @property
    def is_strict(self) -> bool:
        """Whether what cannot be served stops the start instead of being skipped loudly; default: while testing."""
        strict = self.settings.strict
        return bool(self.others.get("TESTING")) if strict is None else strict

    @property
    def unknown(self) -> tuple[str, ...]:
        """The ``MYAPP_…`` keys that are no settings: nobody reads them."""
        return tuple(key for key in self.others if key.startswith("MYAPP_") and not PLUGIN_KEY.match(key))

    @property
    def instance_path(self) -> Path:
        """The absolute folder for what the app writes."""
        return self.root / self.settings.instance_path

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the database; SQLite in the instance folder when none is set."""
        if not self.settings.database_url:
            return _sqlite_url(self.instance_path / "myapp.sqlite3")
        scheme, separator, path = self.settings.database_url.partition("sqlite:///")
        # A relative path starts from the root, as every other path of the settings does.
        return self.settings.database_url if scheme or not separator else f"{separator}{self.root / path}"

    def redis_url(self, role: str) -> str:
        """Return the URL of the Redis that does ``role``, or an empty text: ``jobs`` may have one of its own."""
        jobs = self.settings.jobs_url
        if role == "jobs" and jobs != "redis:":
            return jobs.removeprefix("sql:")
        return self.settings.redis_url

    @property
    def plugin_dirs(self) -> tuple[Path, ...]:
        """The absolute plugin folders, in the order in which they were listed."""
        return tuple(self.root / name for name in self.settings.plugin_dirs)


def find_root() -> Path:
    """Return the folder that relative paths of the settings start from: the one with ``devapp.py``.

    An installed myapp has no such folder beside it; then it is the current one.
    """
    beside = Path(__file__).resolve().parents[2]
    return beside if (beside / "devapp.py").is_file() else Path.cwd()


def load(
    config: Mapping[str, t.Any] | str | os.PathLike[str] | object | None = None, *, strict: bool | None = None
) -> Loaded:
    """Read every layer and return the typed result.

    :param config: the last layer: a mapping, the path of a TOML file, or an object with upper-case attributes.
    :param strict: the argument of :func:`myapp.create_app`; None leaves ``MYAPP_STRICT`` as it is.
    :raises ConfigurationError: with one sentence for each value that cannot be used; a value is never printed.
    """
    root = find_root()
    values: dict[str, t.Any] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []
    argument = dict(_iter_argument(config, problems))
    if strict is not None:
        argument["MYAPP_STRICT"] = strict
    environ, dotenv = dict(os.environ), _read_dotenv(root / ".env", problems)
    if isinstance(config, IsolatedConfig):
        environ, dotenv = config.keep(environ), config.keep(dotenv)
    for source, layer in _iter_layers(root, environ, dotenv, argument, problems):
        values.update(layer)
        sources.update(dict.fromkeys(layer, source))

    own = {f"MYAPP_{name.upper()}": name for name in Settings.model_fields}
    given = {name: values.pop(key) for key, name in own.items() if key in values}
    settings = _validate(given, sources, problems)
    warnings = _unknown_keys(values, sources, own) + _plain_logins(settings)
    for key, kind in FLASK_KEYS.items():
        if key in values:
            values[key] = _validate_flask_key(key, kind, values[key], sources, problems)
    if settings is None:
        raise ConfigurationError(problems)
    loaded = Loaded(settings, root, values, sources, warnings)
    _check_secret_key(loaded, problems)
    if settings.jobs_url == "redis:" and not settings.redis_url:
        problems.append(
            f"MYAPP_JOBS_URL (from {sources['MYAPP_JOBS_URL']}): redis: needs MYAPP_REDIS_URL, set that too."
        )
    if problems:
        raise ConfigurationError(problems)
    return loaded


def init_app(app: Flask, loaded: Loaded) -> None:
    """Put the loaded settings on ``app.config``, each core key as ``MYAPP_<NAME>``; read by every other part.

    In development a missing ``SECRET_KEY`` is generated and kept in the instance folder, readable by its owner only.
    """
    app.config.update({f"MYAPP_{name.upper()}": value for name, value in loaded.settings})
    # An app may be thrown away after a plugin has changed a list of it; the next one begins with what was loaded.
    app.config.update(_fresh(loaded.others))
    app.extensions["myapp.config"] = loaded
    for warning in loaded.warnings:
        logger.warning(warning)
    if loaded.is_development and "SECRET_KEY" not in loaded.others:
        app.config["SECRET_KEY"] = _development_key(loaded.instance_path)


def _fresh(value: t.Any) -> t.Any:
    """Return a copy of plain containers, however deep; anything else is somebody's object and stays the same."""
    if type(value) is dict:
        return {key: _fresh(inner) for key, inner in value.items()}
    if type(value) is list:
        return [_fresh(inner) for inner in value]
    return set(value) if type(value) is set else value


def get_config(app: Flask) -> Loaded:
    """Return what ``app`` was configured with."""
    return t.cast("Loaded", app.extensions["myapp.config"])


def looks_secret(key: str) -> bool:
    """Whether the value of ``key`` is hidden wherever settings are shown, going by its name."""
    return SECRET.search(key) is not None


def hide_password(url: str) -> str:
    """Return ``url`` without its password, which may have ``/`` and ``@`` in it, and without secret parameters."""
    end = url.rfind("@")
    login = LOGIN.search(url, 0, max(end, 0))
    if login is not None:
        url = f"{url[: login.end()]}***{url[end:]}"
    return PARAMETER.sub(lambda match: f"{match[1]}***" if looks_secret(match[2]) else match[0], url)


def hide_passwords(text: str) -> str:
    """Return ``text`` with every URL in it as it may be shown; what only looks like a password is hidden as well."""
    return re.sub(r"\S+", lambda match: hide_password(match[0]), text)


def did_you_mean(word: str, possibilities: list[str]) -> str:
    """Return `` Did you mean X?``, or nothing when nothing is close."""
    close = difflib.get_close_matches(word, possibilities, n=1, cutoff=0.7)
    return f" Did you mean {close[0]}?" if close else ""


def _iter_argument(config: t.Any, problems: list[str]) -> Iterator[tuple[str, t.Any]]:
    if config is None:
        return
    if isinstance(config, Mapping):
        yield from config.items()
    elif isinstance(config, str | os.PathLike):
        yield from _read_toml(Path(config), problems, required=True).items()
    else:
        yield from ((key, getattr(config, key)) for key in dir(config) if key.isupper())


def _iter_layers(
    root: Path,
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    argument: dict[str, t.Any],
    problems: list[str],
) -> Iterator[tuple[str, Mapping[str, t.Any]]]:
    # The folder that holds config.toml is itself a setting, so it is looked up in the layers that are known by now.
    instance = root / (
        argument.get("MYAPP_INSTANCE_PATH")
        or environ.get("MYAPP_INSTANCE_PATH")
        or dotenv.get("MYAPP_INSTANCE_PATH")
        or "instance"
    )
    yield "instance/config.toml", _read_toml(instance / "config.toml", problems)
    yield ".env", dict(_from_variables(dotenv))
    # `flask` has put what .env says into the environment already; it still comes from there.
    own = {key: value for key, value in environ.items() if dotenv.get(key) != value}
    yield "the environment", dict(_from_variables(own))
    yield "a file that the environment names", dict(_from_files({**dotenv, **environ}, problems))
    yield "the argument of create_app", argument


def _from_variables(variables: Mapping[str, str]) -> Iterator[tuple[str, t.Any]]:
    # An empty variable is one that is not set: that is how a shell or a compose file takes it back.
    for key in sorted(key for key, value in variables.items() if value):
        if key.startswith("MYAPP_") and not key.endswith("_FILE") and key not in READ_ELSEWHERE:
            yield key, variables[key]
        elif key.startswith("FLASK_") and not key.startswith("FLASK_RUN_") and key not in FLASK_SWITCHES:
            try:
                yield key.removeprefix("FLASK_"), json.loads(variables[key])
            except ValueError:
                yield key.removeprefix("FLASK_"), variables[key]


def _from_files(variables: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, str]]:
    for key in sorted(variables):
        match = re.fullmatch(r"(MYAPP_\w+|FLASK_SECRET_KEY)_FILE", key)
        if match is None or not variables[key]:
            continue
        try:
            yield match[1].removeprefix("FLASK_"), Path(variables[key]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{key}: the file that it names cannot be read ({type(error).__name__}).")


def _read_dotenv(path: Path, problems: list[str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    import dotenv  # Only where there is a file to read: the import costs more than all other layers together.

    try:
        return {key: value for key, value in dotenv.dotenv_values(path).items() if value is not None}
    except UnicodeDecodeError as error:
        problems.append(f"{path.name}: not UTF-8: {error}.")
        return {}


def _read_toml(path: Path, problems: list[str], *, required: bool = False) -> dict[str, t.Any]:
    if not required and not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        problems.append(f"{path.name}: the file cannot be read ({type(error).__name__}).")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path.name}: not a TOML file: {error}.")
    return {}


def _validate(given: dict[str, t.Any], sources: dict[str, str], problems: list[str]) -> Settings | None:
    try:
        return Settings.model_validate(given)
    except pydantic.ValidationError as error:
        seen: set[str] = set()
        for entry in error.errors(include_input=False, include_url=False, include_context=False):
            key = f"MYAPP_{str(entry['loc'][0]).upper()}"
            # A union reports once for each of its members; the first says enough.
            if key not in seen:
                seen.add(key)
                problems.append(f"{key} (from {sources[key]}): {_expectation(entry['msg'])}.")
    return None


def _validate_flask_key(key: str, kind: t.Any, value: t.Any, sources: dict[str, str], problems: list[str]) -> t.Any:
    try:
        # The configuration decides at start, once: an adapter is not worth keeping.
        return pydantic.TypeAdapter(kind).validate_python(value)
    except pydantic.ValidationError as error:
        message = error.errors(include_input=False, include_url=False, include_context=False)[0]["msg"]
        problems.append(f"{key} (from {sources[key]}): {_expectation(message)}.")
    return value


def _expectation(message: str) -> str:
    message = message.removeprefix("Value error, ").rstrip(".")
    return message[:1].lower() + message[1:]


def _unknown_keys(values: dict[str, t.Any], sources: dict[str, str], own: dict[str, str]) -> list[str]:
    unknown = [key for key in values if key.startswith("MYAPP_") and not PLUGIN_KEY.match(key)]
    return [
        f"{key} (from {sources[key]}) is not a setting of myapp and is ignored.{did_you_mean(key, list(own))}"
        for key in unknown
    ]


def _plain_logins(settings: Settings | None) -> list[str]:
    parts = urlsplit(settings.mail_url if settings else "")
    if parts.scheme != "smtp" or not parts.username or parts.hostname in ("localhost", "127.0.0.1", "::1"):
        return []
    return [
        "MYAPP_MAIL_URL: everybody on the way can read the password of smtp://. Write smtp+starttls:// or smtps://,"
        " whichever the server offers."
    ]


def _check_secret_key(loaded: Loaded, problems: list[str]) -> None:
    key = loaded.others.get("SECRET_KEY")
    if loaded.is_development or loaded.others.get("TESTING"):
        return
    remedy = "Make one with: python -c 'import secrets; print(secrets.token_hex())'"
    if not key:
        problems.append(f"SECRET_KEY: production needs one; set FLASK_SECRET_KEY. {remedy}.")
    elif isinstance(key, str | bytes) and len(key) < MINIMUM_SECRET_BYTES:
        problems.append(
            f"SECRET_KEY (from {loaded.sources['SECRET_KEY']}): shorter than {MINIMUM_SECRET_BYTES} bytes. {remedy}."
        )


def _development_key(instance: Path) -> str:
    """Return the key of this checkout, the same one for every process that starts at the same time."""
    path = instance / "secret_key"
    try:
        instance.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # Written aside and linked: a second process sees a whole key or none.
            aside = instance / f".secret_key.{os.getpid()}.{secrets.token_hex(4)}"
            aside.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
            aside.write_text(secrets.token_hex(), encoding="ascii")
            try:
                os.link(aside, path)
            except FileExistsError:
                logger.debug("Another process has just made %s.", path)
            finally:
                aside.unlink()
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            [
                f"MYAPP_INSTANCE_PATH: {instance} cannot be written ({error.strerror}). "
                "Make it writable, or name another folder."
            ]
        ) from error
