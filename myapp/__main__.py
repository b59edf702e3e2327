"""``python -m myapp …``: the commands that must work when the app cannot boot."""

from __future__ import annotations

import click
from flask.cli import ScriptInfo, load_dotenv
from flask.helpers import get_load_dotenv

from .core.cli.doctor import doctor
from .core.cli.offline import blueprints, config
from .core.cli.plugins import plugins
from .core.cli.why import why


@click.group(commands=[blueprints, config, doctor, plugins, why])
@click.option("-A", "--app", "app_path", envvar="FLASK_APP", default="devapp.py", show_default=True)
@click.pass_context
def main(context: click.Context, app_path: str) -> None:
    """Look at blueprints, plugins, paths and the configuration, also when the application cannot boot."""
    context.obj = ScriptInfo(app_import_path=app_path)


if __name__ == "__main__":
    if get_load_dotenv():
        # Before click looks at FLASK_APP, as `flask` does.
        load_dotenv()
    main(prog_name="python -m myapp")
