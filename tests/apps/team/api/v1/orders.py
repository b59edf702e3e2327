from team import _log

_log.executed.append(__name__)

import a_package_that_is_not_installed
