"""A blueprint-plugin application platform on Flask: what authors of blueprints and plugins import.

``docs/public.md`` lists every name.
"""

from __future__ import annotations

import gc
import sys
import typing as t
from importlib import import_module

from .core.plugins.finder import install_finder

if t.TYPE_CHECKING:
    from .core.access import User as User
    from .core.access import get_user as get_user
    from .core.access import public as public
    from .core.access import scopes as scopes
    from .core.app import CustomFlask as CustomFlask
    from .core.app import create_app as create_app
    from .core.config import hide_passwords as hide_passwords
    from .core.data import Model as Model
    from .core.data import UTCDateTime as UTCDateTime
    from .core.data import get_db as get_db
    from .core.errors import ApiException as ApiException
    from .core.errors import ValidationError as ValidationError
    from .core.guards import background as background
    from .core.guards import email as email
    from .core.plugins import PluginContext as PluginContext
    from .core.plugins import hookimpl as hookimpl
    from .core.signals import plugin_degraded as plugin_degraded
    from .core.signals import session_opened as session_opened
    from .core.tasks import after_commit as after_commit
    from .core.tasks import after_rollback as after_rollback
    from .core.tasks import get_resource as get_resource
    from .core.tasks import task as task
    from .core.tasks import tasked as tasked
    from .core.tasks import untasked as untasked
    from .core.web import ApiResult as ApiResult
    from .core.web import read_json as read_json
    from .core.work import job as job
    from .core.work import progress as progress
    from .core.work.mail import Message as Message
    from .core.work.mail import create_message as create_message
    from .core.work.mail import send_mail as send_mail

__version__ = "0.1.0"

#: Which part gives which name. Resolved at first use (PEP 562): a plugin that needs one does not import them all.
_PARTS = {
    "ApiException": "errors",
    "ApiResult": "web",
    "CustomFlask": "app",
    "Message": "work.mail",
    "Model": "data",
    "PluginContext": "plugins",
    "UTCDateTime": "data",
    "User": "access",
    "ValidationError": "errors",
    "after_commit": "tasks",
    "after_rollback": "tasks",
    "background": "guards",
    "create_app": "app",
    "create_message": "work.mail",
    "email": "guards",
    "get_db": "data",
    "get_resource": "tasks",
    "get_user": "access",
    "hide_passwords": "config",
    "hookimpl": "plugins",
    "job": "work",
    "plugin_degraded": "signals",
    "progress": "work",
    "public": "access",
    "read_json": "web",
    "scopes": "access",
    "send_mail": "work.mail",
    "session_opened": "signals",
    "task": "tasks",
    "tasked": "tasks",
    "untasked": "tasks",
}

__all__ = [
    "ApiException",
    "ApiResult",
    "CustomFlask",
    "Message",
    "Model",
    "PluginContext",
    "UTCDateTime",
    "User",
    "ValidationError",
    "after_commit",
    "after_rollback",
    "background",
    "create_app",
    "create_message",
    "email",
    "get_db",
    "get_resource",
    "get_user",
    "hide_passwords",
    "hookimpl",
    "job",
    "plugin_degraded",
    "progress",
    "public",
    "read_json",
    "scopes",
    "send_mail",
    "session_opened",
    "task",
    "tasked",
    "untasked",
]

install_finder()


def __getattr__(name: str) -> t.Any:
    if name not in _PARTS:
        raise AttributeError(f"module 'myapp' has no attribute {name!r}. docs/public.md lists what it has.")
    value = globals()[name] = getattr(_import(f"myapp.core.{_PARTS[name]}"), name)
    return value


def _import(name: str) -> t.Any:
    """Import a part; the garbage collector never looks at what the import makes, which stays for good.

    Looking for garbage among the classes and functions of SQLAlchemy and pydantic takes a sixth of the time of the
    import, and a tenth of that of a whole command when the process ends. What is there already, when the first part
    is imported, is left alone for good as well: import myapp before anything that is to be collected.
    """
    is_new, is_enabled = name not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        return import_module(name)
    finally:
        # Not for a name of a part that is there: an app that somebody wants to get rid of may exist by then.
        if is_new:
            gc.freeze()
        if is_enabled:
            gc.enable()


def __dir__() -> list[str]:
    return sorted(__all__)
