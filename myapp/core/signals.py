"""The signals of the core: how a lower part tells an upper one, without importing it.

Receivers of the task signals run inside ``create_app``'s process and thread, after the decision;
they must not raise, and may not touch the task's resources. What a receiver of ``session_opened`` raises is raised by
``get_db()``.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

#: Sent with ``task`` after a task has committed and released its resources.
task_committed = _signals.signal("task-committed")
#: Sent with ``task`` after a task was rolled back, for whatever cause.
task_rolled_back = _signals.signal("task-rolled-back")
#: Sent with ``task``, ``callback`` (qualified name) and ``exception`` when a callback raised.
callback_failed = _signals.signal("callback-failed")
#: Sent by the app with ``task`` and ``session`` when a task opens its session, before anything is asked of it.
session_opened = _signals.signal("session-opened")
#: Sent with ``plugin`` (its name), ``function`` (qualified name) and ``exception`` when a function that a plugin has
#: registered for the whole app begins to fail; the sender is the app.
plugin_degraded = _signals.signal("plugin-degraded")
#: Sent with ``job_id`` and ``state`` after a job has changed in this process: enqueued, reported progress, ended.
job_changed = _signals.signal("job-changed")
