"""``python -m myapp …``: the commands that must work when the app cannot boot."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import ScriptInfo, load_dotenv
from flask.helpers import get_load_dotenv

from .core.cli.doctor import doctor
from .core.cli.offline import blueprints, config
from .core.cli.plugins import plugins
from .core.cli.why import why


@click.group(commands=[blueprints, config, doctor, plugins, why])
@click.option("-A", "--app", "app_path", envvar="FLASK_APP", help="Default: devapp.py, app.py or wsgi.py, if there.")
@click.pass_context
def main(context: click.Context, app_path: str | None) -> None:
    """Look at blueprints, plugins, paths and the configuration, also when the application cannot boot."""
    has_devapp = Path("devapp.py").is_file()
    context.obj = ScriptInfo(app_import_path=app_path or ("devapp.py" if has_devapp else None))


if __name__ == "__main__":
    if get_load_dotenv():
        # Before click looks at FLASK_APP, as `flask` does.
        load_dotenv()
    main(prog_name="python -m myapp")
