from team import _log

_log.executed.append(__name__)
raise RuntimeError("the package is broken")
