"""Settings: layers, types, all problems at once, nothing secret in a message."""

from __future__ import annotations

import stat
import typing as t
from ipaddress import ip_network

import pytest
import sqlalchemy as sa

from myapp import create_app
from myapp.core import config
from myapp.core.errors import ConfigurationError

if t.TYPE_CHECKING:
    from pathlib import Path

KEY = "a secret key of at least thirty-two bytes"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read no file and no variable of the machine that runs the tests."""
    monkeypatch.setattr(config, "find_root", lambda: tmp_path)
    for name in ("MYAPP_PROFILE", "FLASK_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_each_layer_wins_over_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """defaults < instance/config.toml < .env < environment < MYAPP_*_FILE < argument, and it is known which one won."""
    name = "MYAPP_PUBLIC_URL"

    def now(argument: dict[str, str] | None = None) -> tuple[str, str | None]:
        loaded = config.load({"SECRET_KEY": KEY, **(argument or {})})
        return loaded.settings.public_url, loaded.sources.get(name)

    assert now() == ("http://localhost:5000", None)
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance" / "config.toml").write_text(f'{name} = "http://toml"')
    assert now() == ("http://toml", "instance/config.toml")
    (tmp_path / ".env").write_text(f"{name}=http://dotenv")
    assert now() == ("http://dotenv", ".env")
    monkeypatch.setenv(name, "http://environment")
    assert now() == ("http://environment", "the environment")
    (tmp_path / "secret").write_text("http://file\n")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    assert now() == ("http://file", "a file that the environment names")
    assert now({name: "http://argument/"}) == ("http://argument", "the argument of create_app")


def test_text_of_the_environment_becomes_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists, pairs, networks and booleans are written as text; Flask's own keys as JSON."""
    for name, value in {
        "MYAPP_PLUGINS": "shop, blog",
        "MYAPP_BLUEPRINT_PREFIXES": "demo=/d, api.v1=/v1",
        "MYAPP_TRUSTED_PROXIES": "10.0.0.0/8,::1/128",
        "MYAPP_STRICT": "true",
        "FLASK_SECRET_KEY": KEY,
        "FLASK_MAX_CONTENT_LENGTH": "1024",
        "FLASK_TRUSTED_HOSTS": '["example.com"]',
        "FLASK_RUN_PORT": "5001",
    }.items():
        monkeypatch.setenv(name, value)
    loaded = config.load()
    assert loaded.settings.plugins == ("shop", "blog")
    assert loaded.settings.blueprint_prefixes == {"demo": "/d", "api.v1": "/v1"}
    assert loaded.settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert loaded.is_strict is True
    assert loaded.others == {"SECRET_KEY": KEY, "MAX_CONTENT_LENGTH": 1024, "TRUSTED_HOSTS": ["example.com"]}


def test_every_problem_at_once_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, source and what is expected; what was given stays secret."""
    monkeypatch.setenv("MYAPP_PROFILE", "hunter2")
    monkeypatch.setenv("MYAPP_PLUGINS_FILE", "/hunter2/nowhere")
    monkeypatch.setenv("FLASK_MAX_CONTENT_LENGTH", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        config.load({"MYAPP_BLUEPRINT_PREFIXES": "hunter2", "MYAPP_TRUSTED_PROXIES": ["hunter2"]})
    assert [problem.split(":")[0] for problem in sorted(caught.value.problems)] == [
        "MAX_CONTENT_LENGTH (from the environment)",
        "MYAPP_BLUEPRINT_PREFIXES (from the argument of create_app)",
        "MYAPP_PLUGINS_FILE",
        "MYAPP_PROFILE (from the environment)",
        "MYAPP_TRUSTED_PROXIES (from the argument of create_app)",
    ]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "production needs one"),
        ({"SECRET_KEY": "short"}, "shorter than 32 bytes"),
        ({"SECRET_KEY": 3}, "string"),
    ],
)
def test_production_refuses_a_weak_key(given: dict[str, t.Any], words: str) -> None:
    """With the command that makes one."""
    with pytest.raises(ConfigurationError, match=words):
        create_app(given)


def test_development_makes_and_keeps_a_key(tmp_path: Path) -> None:
    """Readable by its owner only, the same at the next start; an own key wins."""
    first = create_app({"MYAPP_PROFILE": "development"}, plugins=())
    second = create_app({"MYAPP_PROFILE": "development"}, plugins=())
    assert first.secret_key == second.secret_key
    assert len(str(first.secret_key)) >= 32
    assert stat.S_IMODE((tmp_path / "instance" / "secret_key").stat().st_mode) == 0o600
    assert create_app({"MYAPP_PROFILE": "development", "SECRET_KEY": "mine"}, plugins=()).secret_key == "mine"


def test_unknown_setting_is_a_warning_with_a_suggestion(caplog: t.Any) -> None:
    """A misspelt MYAPP_ key is named; plugins' keys are theirs."""
    create_app(
        {"TESTING": True, "SECRET_KEY": KEY, "MYAPP_PROFIL": "x", "MYAPP_PLUGIN_SHOP__SIZE": 3, "OWN": 1}, plugins=()
    )
    assert [record.message for record in caplog.records if record.name == "myapp.config"] == [
        "MYAPP_PROFIL (from the argument of create_app) is not a setting of myapp and is ignored. Did you mean"
        " MYAPP_PROFILE?"
    ]


def test_argument_may_be_a_file_or_an_object(tmp_path: Path) -> None:
    """A TOML file, or anything with upper-case attributes; a file that is missing or broken is a problem."""
    (tmp_path / "site.toml").write_text(f'SECRET_KEY = "{KEY}"\nMYAPP_PROFILE = "development"')
    assert config.load(tmp_path / "site.toml").is_development

    class Site:
        SECRET_KEY = KEY
        lower = "ignored"

    assert config.load(Site).others == {"SECRET_KEY": KEY}
    (tmp_path / "broken.toml").write_text("= 3")
    for name in ("broken.toml", "missing.toml"):
        with pytest.raises(ConfigurationError, match=name):
            config.load(tmp_path / name)


def test_paths_with_signs_that_mean_something_in_a_url(tmp_path: Path) -> None:
    """The database lies in the instance folder, whatever that is called."""
    for name in ("what?", "100%41", "a b#c"):
        loaded = config.load({"SECRET_KEY": KEY, "MYAPP_INSTANCE_PATH": str(tmp_path / name)})
        assert sa.make_url(loaded.database_url).database == str(tmp_path / name / "myapp.sqlite3")
    relative = config.load({"SECRET_KEY": KEY, "MYAPP_DATABASE_URL": "sqlite:///data/x.sqlite3"})
    assert sa.make_url(relative.database_url).database == str(tmp_path / "data" / "x.sqlite3")
    with pytest.raises(ConfigurationError, match="name a file"):
        config.load({"SECRET_KEY": KEY, "MYAPP_DATABASE_URL": "sqlite:///:memory:"})


def test_empty_variable_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what `flask` has copied from .env into the environment still comes from .env."""
    (tmp_path / ".env").write_text("MYAPP_PUBLIC_URL=http://dotenv")
    for name, value in {"MYAPP_STRICT": "", "MYAPP_PLUGINS": "", "MYAPP_PUBLIC_URL": "http://dotenv"}.items():
        monkeypatch.setenv(name, value)
    loaded = config.load({"SECRET_KEY": KEY})
    assert (loaded.settings.strict, loaded.settings.plugins) == (None, None)
    assert loaded.sources["MYAPP_PUBLIC_URL"] == ".env"


def test_app_of_the_kit_is_the_same_for_everybody(
    tmp_path: Path, make_app: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the shell nor `.env` of a developer decides about a test, but for where plugins and blueprints lie."""
    (tmp_path / ".env").write_text("MYAPP_PLUGIN_SHOP__SIZE=x\nMYAPP_PLUGINS=blog\nFLASK_MAX_CONTENT_LENGTH=hunter2\n")
    for name, value in {
        "MYAPP_DATABASE_URL": "sqlite:////nowhere/of.somebody",
        "MYAPP_PLUGINS_DISABLED": "shop",
        "MYAPP_PLUGIN_SHOP__NAME": "x",
        "MYAPP_PUBLIC_URL_FILE": "/nowhere",
        "MYAPP_PLUGIN_DIRS": "dropins",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "dropins").mkdir()
    (tmp_path / "dropins" / "shop.py").write_text(
        "__plugin__ = {'name': 'shop', 'config': {'size': {'type': 'int', 'default': 1}, 'name': {'type': 'str'}}}"
    )

    app = make_app("shop", config={"MYAPP_PLUGIN_SHOP__NAME": "mine"})

    loaded = config.get_config(app)
    assert loaded.settings.plugin_dirs == ("dropins",)
    assert set(loaded.sources) == {
        *("TESTING", "SECRET_KEY", "MYAPP_STRICT", "MYAPP_INSTANCE_PATH"),
        *("MYAPP_PLUGIN_DIRS", "MYAPP_PLUGIN_SHOP__NAME"),
    }
    assert loaded.others["MYAPP_PLUGIN_SHOP__NAME"] == "mine"


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands where the instance folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="MYAPP_INSTANCE_PATH"):
        create_app({"MYAPP_PROFILE": "development", "MYAPP_INSTANCE_PATH": str(tmp_path / "file")}, plugins=())


@pytest.mark.parametrize(
    "url",
    [
        *("http://h", "smtp://", "smtp://:word@h", "smtp://zoe@h", "smtp://zoe:word@h:0", "smtp://zoe:word@h:port"),
        *("smtp://zoe:word@h/x", "smtp://zoe:wo?rd@h", "smtp://zoe:w@rd@h", "smtp://zoe:wörd@h"),
        *("smtp://zoe:w%0ard@h", "smtps://[::1", "smtp+tls://h"),
    ],
)
def test_a_mail_server_that_cannot_be_used_is_named_without_its_password(url: str) -> None:
    """Also one whose password means something else in a URL."""
    with pytest.raises(ConfigurationError) as refused:
        config.load({"MYAPP_MAIL_URL": url, "SECRET_KEY": KEY})
    assert "MYAPP_MAIL_URL" in str(refused.value)
    assert "zoe" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "has_warning"),
    [
        ("smtp://ann:word@mail.example", True),
        ("smtp://ann:word@127.0.0.1:2525", False),
        ("smtp://mail.example", False),
        ("smtps://ann:w%40rd@mail.example:465/", False),
        ("smtp+starttls://ann:@[::1]:587", False),
    ],
)
def test_a_password_that_travels_in_the_clear_is_a_warning(url: str, has_warning: bool) -> None:
    """Unless it stays on this machine."""
    loaded = config.load({"MYAPP_MAIL_URL": url, "SECRET_KEY": KEY})
    assert any("MYAPP_MAIL_URL" in warning for warning in loaded.warnings) is has_warning


@pytest.mark.parametrize("sender", ["nobody", "a@b\nBcc: c@d", "Ann <ann>", "a b@c"])
def test_a_sender_is_an_address(sender: str) -> None:
    """With a name or without."""
    with pytest.raises(ConfigurationError, match="MYAPP_MAIL_FROM"):
        config.load({"MYAPP_MAIL_FROM": sender, "SECRET_KEY": KEY})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:canary@db/x", "postgresql://u:***@db/x"),
        ("postgresql://u:can/ary@db/x", "postgresql://u:***@db/x"),
        ("postgresql://u:can@ary@db/x", "postgresql://u:***@db/x"),
        ("postgresql://u:can ary@db/x", "postgresql://u:***@db/x"),
        ("postgresql:///x?host=db&password=canary&user=u", "postgresql:///x?host=db&password=***&user=u"),
        ("redis://:canary@redis:6379/0", "redis://:***@redis:6379/0"),
        ("redis://u:canary@redis?ssl_password=canary", "redis://u:***@redis?ssl_password=***"),
        ("https://shop.example:8443/a?page=2", None),
        ("sqlite:////var/lib/myapp.sqlite3", None),
        ("ann@example.com", None),
    ],
)
def test_password_of_a_url_is_hidden(url: str, shown: str | None) -> None:
    """Whatever signs are in it, and also as a parameter; what has none (None) stays as it is."""
    assert config.hide_password(url) == (shown or url)
    if " " not in url:
        assert config.hide_passwords(f"not {url} but\n{url}") == f"not {shown or url} but\n{shown or url}"


def test_empty_name_of_a_file_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As every other variable that is empty."""
    monkeypatch.setenv("MYAPP_MAIL_URL_FILE", "")

    assert config.load({"MYAPP_PROFILE": "development"}).settings.mail_url == ""


def test_file_of_settings_that_is_no_text_is_named(tmp_path: Path) -> None:
    """``config.toml`` and ``.env`` are UTF-8; what else is in them is not printed."""
    (tmp_path / "config.toml").write_bytes(b'A = "canary\xff"\n')
    (tmp_path / ".env").write_bytes(b"A=canary\xff\n")

    with pytest.raises(ConfigurationError) as caught:
        config.load({"MYAPP_PROFILE": "development", "MYAPP_INSTANCE_PATH": str(tmp_path)})

    assert [problem.partition(":")[0] for problem in caught.value.problems] == [".env", "config.toml"]
    assert "canary" not in str(caught.value)


def test_names_of_plugins_are_as_plugins_are_called() -> None:
    """``-`` is ``_`` in every setting that names one, and the same name twice is refused."""
    names = {"MYAPP_PLUGINS": "a-b", "MYAPP_PLUGINS_DISABLED": "c-d", "MYAPP_REQUIRED_PLUGINS": "e-f"}
    prefixes = {"MYAPP_PLUGIN_ORDER": "g-h,i", "MYAPP_BLUEPRINT_PREFIXES": "corner-shop=/x"}

    settings = config.load({"MYAPP_PROFILE": "development", **names, **prefixes}).settings

    assert (settings.plugins, settings.plugins_disabled, settings.required_plugins) == (("a_b",), ("c_d",), ("e_f",))
    assert (settings.plugin_order, settings.blueprint_prefixes) == (("g_h", "i"), {"corner_shop": "/x"})
    with pytest.raises(ConfigurationError, match="MYAPP_BLUEPRINT_PREFIXES"):
        config.load({"MYAPP_PROFILE": "development", "MYAPP_BLUEPRINT_PREFIXES": {"a-b": "/x", "a_b": "/y"}})
