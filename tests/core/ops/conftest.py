from __future__ import annotations

from tests.core.discovery.conftest import make_package as make_package
from tests.core.discovery.conftest import make_team_app as make_team_app
from tests.core.discovery.conftest import team as team
from tests.core.plugins.conftest import make_folder as make_folder
from tests.core.plugins.conftest import make_plugin_app as make_plugin_app
