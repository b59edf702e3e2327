"""Break load-bearing lines on purpose: each must turn the tests red.

Run it with ``python tests/mutants.py``; it works on copies and changes nothing here. Exit 1 names every mutant that
survived, and every one whose line has changed and has to be written anew.
"""

from __future__ import annotations

import compileall
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
import typing as t
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = "myapp/core/"
#: Each mutant has a process of its own, forked from one that has imported what is not ours.
FORKS = multiprocessing.get_context("forkserver")
PRELOADED = (
    "alembic.command",
    "argon2",
    "click.testing",
    "flask",
    "flask_mail",
    "orjson",
    "psycopg",
    "pydantic",
    "pytest",
    "redis",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.orm",
)
SECONDS_OF_ONE = 120
#: Python's own exit status for an exception would be that of a failed test.
CRASHED = 70
#: What stands before the exit code at the end of what a process has said.
END = "\nexit code: "


class Outcome(t.NamedTuple):
    """How a run of pytest ended; one that took too long has no exit code."""

    exit_code: int | None
    said: str


class Mutant(t.NamedTuple):
    """One broken line: what it says, what it says instead, and which tests have to notice."""

    name: str
    path: str
    line: str
    instead: str
    tests: str


MUTANTS = [
    Mutant(
        "commit and rollback swapped",
        CORE + "tasks/requests.py",
        "if response.status_code >= 400 and not task.is_kept:",
        "if response.status_code < 400 and not task.is_kept:",
        "tests/core/tasks/test_transaction.py::test_success_commits_before_the_answer_leaves",
    ),
    Mutant(
        "callbacks before the commit",
        CORE + "tasks/task.py",
        "        if self._frames is not None or self._resources is not None:\n            self._commit_resources(response)\n",
        "        if self._frames is not None:\n            drain(self, self._frames[0].commit)\n            self._frames = None\n"
        "        if self._frames is not None or self._resources is not None:\n            self._commit_resources(response)\n",
        "tests/core/tasks/test_attacks.py::test_kept_session_refuses_objects_after_the_end",
    ),
    Mutant(
        "before_commit forgets savepoints",
        CORE + "tasks/task.py",
        "        return self._frames[-1]\n\n    def _prepare(",
        "        return self._frames[0]\n\n    def _prepare(",
        "tests/core/tasks/test_prepare.py::test_savepoint_takes_its_functions_with_it",
    ),
    Mutant(
        "what a function wrote is not prepared",
        CORE + "tasks/task.py",
        "                prepared = {name for name in prepared if not (self._resources or {})[name].commits_last}\n",
        "",
        "tests/core/tasks/test_prepare.py::test_what_is_registered_while_the_database_is_prepared",
    ),
    Mutant(
        "a session without its receivers",
        CORE + "data/session.py",
        "        task.unbind(RESOURCE)\n        raise\n",
        "        raise\n",
        "tests/core/tasks/test_prepare.py::test_receiver_that_fails_leaves_no_session",
    ),
    Mutant(
        "release before rollback",
        CORE + "tasks/task.py",
        "        for resource in reversed(list((self._resources or {}).values())):\n            if resource.rollback is not None and",
        "        self._release()\n"
        "        for resource in reversed(list((self._resources or {}).values())):\n            if resource.rollback is not None and",
        "tests/core/tasks/test_transaction.py::test_sql_commits_last_of_several_resources",
    ),
    Mutant(
        "the database does not commit last",
        CORE + "tasks/task.py",
        "            for resource in sorted((self._resources or {}).values(), key=lambda resource: resource.commits_last):",
        "            for resource in sorted((self._resources or {}).values(), key=lambda resource: not resource.commits_last):",
        "tests/core/tasks/test_transaction.py::test_sql_commits_last_of_several_resources",
    ),
    Mutant(
        "no rollback before the handler",
        CORE + "tasks/requests.py",
        "if task is not None and task.is_open and _rolls_back(task, error):",
        "if False:",
        "tests/core/tasks/test_transaction.py::test_handler_gets_a_fresh_transaction",
    ),
    Mutant(
        "a failed commit is swallowed",
        CORE + "tasks/requests.py",
        "                response = _answer_failed_commit(app, task, error, args[:-1], process_and_commit)\n",
        "                pass\n",
        "tests/core/tasks/test_attacks.py::test_no_success_while_an_error_is_answered",
    ),
    Mutant(
        "the session is not put back",
        CORE + "tasks/requests.py",
        "    _restore_session(app)\n    try:",
        "    try:",
        "tests/core/tasks/test_transaction.py::test_failed_commit_is_the_apps_own_409",
    ),
    Mutant(
        "requests share a pushed context",
        CORE + "tasks/requests.py",
        "        context = app.app_context()\n        context.push()\n        writes",
        "        from flask.globals import app_ctx\n        context = app_ctx._get_current_object() if app_ctx else app.app_context()\n        context.push()\n        writes",
        "tests/core/tasks/test_transaction.py::test_two_requests_in_one_app_context_keep_both_rows",
    ),
    Mutant(
        "get_db() after the decision",
        CORE + "tasks/task.py",
        "        if not self._is_open:\n            raise TaskEndedError(",
        "        if False:\n            raise TaskEndedError(",
        "tests/core/tasks/test_transaction.py::test_db_after_the_decision_is_refused",
    ),
    Mutant(
        "commit by hand is allowed",
        CORE + "data/engine.py",
        "and not committing.get()",
        "and False",
        "tests/core/tasks/test_transaction.py::test_commit_by_hand_before_an_abort_leaves_nothing",
    ),
    Mutant(
        "a failed COMMIT stays open in the pool",
        CORE + "data/sqlite.py",
        "    if connection.in_transaction:\n        connection.rollback()\n",
        "",
        "tests/core/tasks/test_attacks.py::test_no_success_while_an_error_is_answered",
    ),
    Mutant(
        "writers begin DEFERRED",
        CORE + "data/sqlite.py",
        "        if not options.get(WRITES):",
        "        if True:",
        "tests/core/data/test_sqlite.py::test_unsafe_methods_begin_immediate",
    ),
    Mutant(
        "a nested writer waits for its parent",
        CORE + "data/sqlite.py",
        "if task is not None and self._owner is not None and self._owner in task.iter_ancestors():",
        "if False:",
        "tests/core/tasks/test_attacks.py::test_nested_write_in_a_writer_that_only_read",
    ),
    Mutant(
        "foreign keys are on during a migration",
        CORE + "data/migrations.py",
        'execute("PRAGMA foreign_keys = OFF")',
        'execute("PRAGMA foreign_keys = ON")',
        "tests/core/data/test_migrations.py::test_batch_alter_keeps_cascaded_children",
    ),
    Mutant(
        "every exit of a command commits",
        CORE + "tasks/commands.py",
        "            if code not in (None, 0):\n                raise\n",
        "",
        "tests/core/tasks/test_commands.py::test_command_commits_or_leaves_nothing",
    ),
    Mutant(
        "the last chunk is not held back",
        CORE + "tasks/stream.py",
        "            steps = _iter_held_back(steps)\n",
        "            pass\n",
        "tests/core/tasks/test_stream.py::test_failed_late_commit_holds_the_last_chunk_back",
    ),
    Mutant(
        "a disconnect commits the body",
        CORE + "tasks/stream.py",
        "        finally:\n            task.rollback()\n            current.reset(token)",
        "        finally:\n            task.is_open and task.commit()\n            current.reset(token)",
        "tests/core/tasks/test_stream.py::test_disconnect_rolls_the_body_back",
    ),
    Mutant(
        "callbacks survive their savepoint",
        CORE + "tasks/task.py",
        "        if rolled_back:\n            # This task",
        "        if False:\n            # This task",
        "tests/core/tasks/test_attacks.py::test_nested_write_in_a_reader_that_wrote_is_told_at_once",
    ),
    Mutant(
        "a raising callback stops the others",
        CORE + "tasks/effects.py",
        "        _report(parent, callback, error)\n        return []",
        "        raise",
        "tests/core/tasks/test_attacks.py::test_receiver_that_raises_changes_nothing",
    ),
    Mutant(
        "Flask swallows an error and sends the success",
        CORE + "tasks/requests.py",
        "            if task is None or not is_swallowed:\n                raise\n",
        "            raise\n",
        "tests/core/tasks/test_attacks.py::test_no_success_while_an_error_is_answered",
    ),
    Mutant(
        "a teardown function keeps the core's from running",
        CORE + "tasks/__init__.py",
        "        try:\n            do_teardown_appcontext(*args, **kwargs)\n        finally:\n            _release()\n",
        "        do_teardown_appcontext(*args, **kwargs)\n        _release()\n",
        "tests/core/tasks/test_attacks.py::test_teardown_that_raises_releases_everything",
    ),
    Mutant(
        "a bare context loses writes in silence",
        CORE + "data/session.py",
        '    if task.kind == "bare":\n        raise NoTaskError(',
        "    if False:\n        raise NoTaskError(",
        "tests/core/tasks/test_attacks.py::test_write_of_an_untasked_command_is_loud",
    ),
    Mutant(
        "who waits for the write lock holds a connection",
        CORE + "data/session.py",
        '        if self.task.writes and self.write_lock is None and engine.dialect.name == "sqlite":',
        "        if False:",
        "tests/core/tasks/test_attacks.py::test_nested_write_in_a_reader_that_wrote_is_told_at_once",
    ),
    Mutant(
        "every column is shown",
        CORE + "data/model.py",
        "        for name in self.__public__:",
        "        for name in (*self.__public__, *sa.inspect(type(self)).columns.keys()):",
        "tests/core/data/test_model.py::test_to_dict_gives_the_allow_list_only",
    ),
    Mutant(
        "an absent password is not verified",
        CORE + "access/passwords.py",
        "        dummy = self._dummy\n",
        "        dummy = self._dummy\n        if hashed is None:\n            return False\n",
        "tests/core/access/test_passwords.py::test_absent_hash_is_verified_as_well",
    ),
    Mutant(
        "hashes at once without a limit",
        CORE + "access/passwords.py",
        "        with self._slots:\n            try:",
        "        if True:\n            try:",
        "tests/core/access/test_passwords.py::test_at_most_so_many_at_once",
    ),
    Mutant(
        "a revoked token is good",
        CORE + "access/models.py",
        "return self.revoked is None and ",
        "return ",
        "tests/core/access/test_principal.py::test_bad_token_is_a_401",
    ),
    Mutant(
        "a disabled user's token is good",
        CORE + "access/models.py",
        " and self.user.active\n",
        "\n",
        "tests/core/access/test_principal.py::test_bad_token_is_a_401",
    ),
    Mutant(
        "who asks waits for the write lock",
        CORE + "access/lookup.py",
        "if not task.writes or ",
        "if True or ",
        "tests/core/access/test_principal.py::test_who_asks_never_waits_for_the_write_lock",
    ),
    Mutant(
        "the user of a write is not the session's",
        CORE + "access/principal.py",
        "return Principal(adopt(token.user), ",
        "return Principal(token.user, ",
        "tests/core/access/test_principal.py::test_what_is_assigned_to_the_user_is_written",
    ),
    Mutant(
        "a request inside of a request inherits the user",
        CORE + "access/principal.py",
        '        if one.kind in ("request", "job"):\n            return one\n',
        '        if one.kind in ("request", "job") and one.parent is None:\n            return one\n',
        "tests/core/access/test_principal.py::test_request_inside_of_a_request_stands_alone",
    ),
    Mutant(
        "one of several scopes is enough",
        CORE + "access/principal.py",
        "if not principal.scopes.issuperset(names):",
        "if names and not principal.scopes.intersection(names):",
        "tests/core/access/test_guard.py::test_scopes_on_every_kind_of_view",
    ),
    Mutant(
        "everybody sees everybody",
        "myapp/blueprints/api/v1/users.py",
        "        return asking\n    access.require([WRITE])\n",
        "        return asking\n",
        "tests/blueprints/test_users.py::test_somebody_else_is_a_403",
    ),
    Mutant(
        "dataclasses bypass to_json",
        CORE + "web/json.py",
        " | orjson.OPT_PASSTHROUGH_DATACLASS",
        "",
        "tests/core/web/test_results.py::test_json_is_strict",
    ),
    Mutant(
        "a broken module is imported again",
        CORE + "discovery/walk.py",
        "        importlib.import_module(name)\n",
        "        import_string(name)\n",
        "tests/core/discovery/test_discovery.py::test_broken_module_is_executed_once",
    ),
    Mutant(
        "a 404 explains itself in production",
        CORE + "web/problems.py",
        'current_app.debug and problem["status"] == 404',
        'problem["status"] == 404',
        "tests/core/ops/test_explain.py::test_miss_says_nothing_outside_of_debug",
    ),
    Mutant(
        "a half copied folder restarts the server",
        CORE + "ops/watch.py",
        "if now == last and now != before:",
        "if now != before:",
        "tests/core/ops/test_watch.py::test_change_counts_when_it_has_settled",
    ),
    Mutant(
        "the server is watched by a command below it",
        CORE + "ops/watch.py",
        "context is None or context.command is not run_command or not is_running_from_reloader()",
        "not is_running_from_reloader()",
        "tests/core/ops/test_watch.py::test_nothing_is_watched_elsewhere",
    ),
    Mutant(
        "the root claims every path",
        CORE + "discovery/claims.py",
        '(claim != "/" and path.startswith(f"{claim}/"))',
        "path.startswith(claim)",
        "tests/core/ops/test_explain.py::test_miss_names_a_module_that_is_no_python",
    ),
    Mutant(
        "a new plugin replaces what is there",
        CORE + "plugins/scaffold.py",
        "    if os.path.lexists(target) or (folder",
        "    if (folder",
        "tests/core/plugins/test_scaffold.py::test_what_is_there_is_never_overwritten",
    ),
    Mutant(
        "a new plugin is written in place",
        CORE + "plugins/scaffold.py",
        "        aside.rename(target)",
        "        shutil.copytree(aside, target, dirs_exist_ok=True)",
        "tests/core/plugins/test_scaffold.py::test_two_at_once_write_one_plugin",
    ),
    Mutant(
        "nobody watches an import",
        "myapp/testing/contract/watch.py",
        "        self._is_on = True",
        "        self._is_on = False",
        "tests/testing/test_contract.py::test_check_is_red_on_a_plugin_that_breaks_it",
    ),
    Mutant(
        "why is fine with a problem",
        CORE + "cli/offline.py",
        "context.exit(PROBLEMS if has_problems else OK)",
        "context.exit(OK)",
        "tests/core/cli/test_doctor.py::test_modules_and_plugins",
    ),
    Mutant(
        "audit passes statements over",
        "plugins/audit/trail.py",
        "            self._statements.append(change)\n            self._register(change)\n",
        "            self._statements.append(change)\n",
        "tests/plugins/audit/test_audit.py::test_what_objects_do_not_say",
    ),
    Mutant(
        "audit keeps secrets that are public",
        "plugins/audit/values.py",
        "is_hidden = any(map(SECRET.search, names)) or hidden",
        "is_hidden = hidden",
        "tests/plugins/audit/test_audit.py::test_each_row_has_its_entry",
    ),
    Mutant(
        "alerts queue up without end",
        "plugins/slack_alerts/handler.py",
        "        if self._queue.qsize() >= self._queue_size:\n",
        "        if False:\n",
        "tests/plugins/slack_alerts/test_alerts.py::test_nobody_waits_and_what_does_not_fit_is_counted",
    ),
    Mutant(
        "alerts tell of other apps",
        "plugins/slack_alerts/handler.py",
        "if has_app_context() and current_app._get_current_object() is not self._app():",
        "if False:",
        "tests/plugins/slack_alerts/test_alerts.py::test_apps_do_not_cross",
    ),
    Mutant(
        "a critical plugin is disabled by mistake",
        CORE + "cli/plugins.py",
        "    if consequences and not force and not _is_confirmed(report.name):\n",
        "    if False:\n",
        "tests/core/cli/test_plugins.py::test_critical_plugin_is_not_disabled_by_mistake",
    ),
    Mutant(
        "what is half registered is served",
        CORE + "plugins/failures.py",
        "        raise PluginError(plugin.name, taken or code, summary, traceback=text) from error\n",
        "        return\n",
        "tests/core/plugins/test_law.py::test_broken_is_disabled",
    ),
    Mutant(
        "modules of a broken plugin stay",
        CORE + "plugins/attempts.py",
        "            found = sys.modules.pop(module)\n",
        "            found = sys.modules[module]\n",
        "tests/core/plugins/test_law.py::test_broken_is_disabled",
    ),
    Mutant(
        "models of a broken plugin stay",
        CORE + "plugins/attempts.py",
        "        data.drop_models(",
        "        (lambda packages: None)(",
        "tests/core/plugins/test_law.py::test_broken_is_disabled",
    ),
    Mutant(
        "a plugin takes the modules of its siblings",
        CORE + "plugins/attempts.py",
        "self._units[name] = unit if root in self._roots or unit not in sys.modules else module",
        "self._units[name] = root",
        "tests/core/plugins/test_siblings.py::test_sibling_that_comes_first_is_not_in_the_way[commands]",
    ),
    Mutant(
        "another plugin stands in for the critical one",
        CORE + "plugins/plan.py",
        "is_spare = served is not None and (served.is_critical or candidate.is_critical is False)",
        "is_spare = served is not None",
        "tests/core/plugins/test_policy.py::test_critical_plugin_that_is_there_twice",
    ),
    Mutant(
        "a secret in what failed at run time",
        CORE + "plugins/breaker.py",
        "        return self.guards.redact(self.plugin, text)\n",
        "        return text\n",
        "tests/core/plugins/test_settings.py::test_secret_in_an_error_at_run_time_stays_out_of_all_that_is_told",
    ),
    Mutant(
        "an object explains more rows than its own",
        "plugins/audit/trail.py",
        "            change.is_explained = rows <= written[change.action, change.table]\n",
        "            change.is_explained = written[change.action, change.table] > 0\n",
        "tests/plugins/audit/test_audit.py::test_an_event_of_the_mapper_is_not_explained_by_its_object[sqlite]",
    ),
    Mutant(
        "a critical plugin is left out",
        CORE + "plugins/lifecycle.py",
        "        if wrong is not None and (is_strict or report.is_critical):\n",
        "        if wrong is not None and is_strict:\n",
        "tests/core/plugins/test_policy.py::test_what_nothing_may_be_served_without",
    ),
    Mutant(
        "decisions that cannot be read are none",
        CORE + "plugins/state.py",
        "        if self.wrong:\n            raise",
        "        if False:\n            raise",
        "tests/core/plugins/test_state.py::test_file_that_cannot_be_used_is_left_alone",
    ),
    Mutant(
        "an edge moves others",
        CORE + "plugins/order.py",
        "                heapq.heappush(heap, keys[follower])\n",
        "                heap.append(keys[follower])\n",
        "tests/core/plugins/test_order.py::test_only_who_has_to_is_moved",
    ),
    Mutant(
        "a secret in an error is shown",
        CORE + "plugins/failures.py",
        "        summary = redact(plugin.config, describe(error, home)) + owners\n",
        "        summary = describe(error, home) + owners\n",
        "tests/core/plugins/test_settings.py::test_secret_in_an_error_stays_out_of_problem_log_and_traceback",
    ),
    Mutant(
        "the core drops the tables of a plugin that has vanished",
        CORE + "data/migrations.py",
        "    owners = (*get_schema(app).owners, *_absent_owners(app, connection))\n",
        "    owners = tuple(get_schema(app).owners)\n",
        "tests/core/plugins/test_migrations.py::test_vanished_plugin_blocks_nobody",
    ),
    Mutant(
        "a revision is written into site-packages",
        CORE + "data/migrations.py",
        "    if not SITES.isdisjoint(owner.versions.parts):\n",
        "    if False:\n",
        "tests/core/data/test_migrations.py::test_revision_is_not_written_into_what_pip_has_copied",
    ),
    Mutant(
        "the remains of an installation are a plugin",
        CORE + "plugins/imports.py",
        "        _refuse_remains(candidate.name, target)\n",
        "",
        "tests/core/plugins/test_plugins.py::test_remains_of_an_installation_are_a_problem",
    ),
    Mutant(
        "an app of the test kit has the settings of whoever runs the tests",
        CORE + "config.py",
        "        environ, dotenv = config.keep(environ), config.keep(dotenv)\n",
        "        pass\n",
        "tests/core/test_config.py::test_app_of_the_kit_is_the_same_for_everybody",
    ),
    Mutant(
        "a value ends the subject and begins the text",
        CORE + "work/mail/templates.py",
        'LINE_BREAK.sub(" ", part) if isinstance(part, Printed) else part for part in parts',
        "parts",
        "tests/core/work/mail/test_templates.py::test_a_line_break_in_a_subject_is_refused",
    ),
    Mutant(
        "a job about a row that has no id yet",
        CORE + "work/functions.py",
        "        if None in args or None in kwargs.values():\n",
        "        if False:\n",
        "tests/core/work/test_ledger.py::test_id_of_a_row_that_was_not_flushed_is_refused",
    ),
    Mutant(
        "a job ends although it was given to somebody else",
        CORE + "work/statements.py",
        "id = :id AND state = 'running' AND owner = :owner AND attempts = :attempts",
        "id = :id",
        "tests/core/work/test_recovery.py::test_zombie_that_comes_back_commits_nothing",
    ),
    Mutant(
        "the attempt is not burned when a job is taken",
        CORE + "work/statements.py",
        "state = 'running', attempts = attempts + 1, owner",
        "state = 'running', attempts = attempts, owner",
        "tests/core/work/test_recovery.py::test_job_of_a_dead_worker_is_ready_at_once",
    ),
    Mutant(
        "a job commits without its end",
        CORE + "work/run.py",
        "            self._write_done(connection.exec_driver_sql)\n",
        "",
        "tests/core/work/test_ledger.py::test_job_runs_after_the_commit_and_leaves_its_result",
    ),
    Mutant(
        "a job is given back with its attempt burned",
        CORE + "work/statements.py",
        "state = 'ready', attempts = attempts - 1, owner = NULL",
        "state = 'ready', attempts = attempts, owner = NULL",
        "tests/core/work/test_recovery.py::test_zombie_that_comes_back_commits_nothing",
    ),
    Mutant(
        "a worker that lives is taken for dead",
        CORE + "work/files.py",
        "            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
        "            fcntl.flock(file, fcntl.LOCK_UN)\n",
        "tests/core/work/test_recovery.py::test_job_of_a_dead_worker_is_ready_at_once",
    ),
    Mutant(
        "a cancelled job is given back",
        CORE + "work/recovery.py",
        " if presence.was_cancel_asked(orphan.id, owner)]",
        " if not orphan]",
        "tests/core/work/test_recovery.py::test_job_that_is_given_back_after_it_was_cancelled_does_not_run_again",
    ),
    Mutant(
        "a job that is over is left to others while the database is busy",
        CORE + "work/insist.py",
        "(tries >= TRIES and gives_up())",
        "tries >= TRIES",
        "tests/core/work/test_recovery.py::test_end_of_a_job_waits_for_the_write_lock",
    ),
    Mutant(
        "an expired job is tried again, without its arguments",
        CORE + "work/admin.py",
        "    if is_expired(job):\n",
        "    if False:\n",
        "tests/core/work/test_commands.py::test_expired_job_is_not_tried_again",
    ),
    Mutant(
        "what ends a cancelled job ends the next one",
        CORE + "work/slot.py",
        " and attempt.is_interruptible and slot.interrupts(attempt):",
        " and attempt.is_interruptible:",
        "tests/core/work/test_slot.py",
    ),
    Mutant(
        "the file of a worker that lives is swept away",
        CORE + "work/files.py",
        "        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "",
        "tests/core/work/test_recovery.py::test_files_of_idle_workers_that_died_are_cleared_away",
    ),
    Mutant(
        "who is opened during an attempt is not asked",
        CORE + "work/mail/sending.py",
        "for recipient in recipients if recipient.state in OPEN]",
        "for recipient in asked if recipient.state in OPEN]",
        "tests/core/work/mail/test_sending.py::test_a_mail_that_is_tried_again_during_an_attempt_reaches_everybody",
    ),
    Mutant(
        "a job may begin before its time",
        CORE + "work/statements.py",
        "priority = :priority AND run_at <= :now\n",
        "priority = :priority AND :now IS NOT NULL\n",
        "tests/core/work/test_recovery.py::test_job_is_not_taken_with_the_one_before_it",
    ),
    Mutant(
        "two functions of one name share their jobs",
        CORE + "work/functions.py",
        "if known is None or known.function is not self.function:",
        "if known is None:",
        "tests/core/work/test_ledger.py::test_two_functions_of_one_name_are_told_apart",
    ),
    Mutant(
        "every process that builds the app works",
        CORE + "work/engine.py",
        "    if context is None or context.command is not run_command:\n        return\n",
        "    if context is None:\n        return\n",
        "tests/core/work/test_serving.py::test_no_other_process_works",
    ),
    Mutant(
        "any certificate of a mail server will do",
        CORE + "work/mail/smtp.py",
        "host.starttls(context=ssl.create_default_context())",
        "host.starttls(context=ssl._create_unverified_context())",
        "tests/core/work/mail/test_smtp.py::test_the_certificate_is_verified_before_anything_is_said",
    ),
    Mutant(
        "a mail server is waited for, one mail after the other",
        CORE + "work/mail/transfer.py",
        "if server is None or began < self._asked_again_at:",
        "if server is None:",
        "tests/core/work/mail/test_smtp.py::test_a_silent_server_does_not_let_one_mail_after_the_other_wait",
    ),
    Mutant(
        "a refused recipient is dropped",
        CORE + "work/mail/smtp.py",
        "                self.replies[recipient] = reply\n",
        "                pass\n",
        "tests/core/work/mail/test_smtp.py::test_each_recipient_has_the_reply_that_is_about_it",
    ),
    Mutant(
        "a line break begins another header",
        CORE + "work/mail/rendering.py",
        "    if CONTROL.search(text):",
        "    if False:",
        "tests/core/work/mail/test_rendering.py::test_nothing_becomes_another_header",
    ),
    Mutant(
        "a mail goes again to those who have it",
        CORE + "work/mail/sending.py",
        "[recipient.address for recipient in mail.recipients if recipient.state in OPEN]",
        "[recipient.address for recipient in mail.recipients]",
        "tests/core/work/mail/test_sending.py::test_each_recipient_has_a_fate_of_its_own",
    ),
    Mutant(
        "a mail whose job has died waits for ever",
        CORE + "work/worker.py",
        "            settle_abandoned(self.app, taker.link)\n",
        "",
        "tests/core/work/mail/test_sending.py::test_a_mail_outlives_its_job",
    ),
    Mutant(
        "who is beyond a server's limit is left out",
        CORE + "work/mail/smtp.py",
        "        return others\n",
        "        return []\n",
        "tests/core/work/mail/test_smtp.py::test_those_beyond_the_limit_of_a_transaction_are_in_the_next",
    ),
    Mutant(
        "a zombie writes down what became of a mail",
        CORE + "work/mail/sending.py",
        ".where(Mail.id == mail_id, Mail.attempts == attempts)",
        ".where(Mail.id == mail_id)",
        "tests/core/work/mail/test_sending.py::test_a_zombie_writes_nothing_down",
    ),
    Mutant(
        "a client chooses where the links of a mail lead",
        CORE + "work/mail/templates.py",
        "contextvars.Context().run(_render, app, template, context)",
        "_render(app, template, context)",
        "tests/core/work/mail/test_templates.py::test_a_link_begins_with_the_public_url",
    ),
    Mutant(
        "an outage is told each day",
        "plugins/realmon/outages.py",
        "            silence.meter.silent_since = silence.last_start\n",
        "",
        "tests/plugins/realmon/test_outages.py::test_an_outage_is_told_once",
    ),
    Mutant(
        "scopes below background are asked in the job only",
        CORE + "guards/background.py",
        "        for names in found.scopes:\n            require(names)\n",
        "",
        "tests/core/guards/test_background.py::test_class_based_views",
    ),
    Mutant(
        "a decorator between a class and its background is left out",
        CORE + "guards/views.py",
        "        if self.chooses_method and not _is_plain(self.background.function):",
        "        if False:",
        "tests/core/guards/test_background.py::test_class_with_a_foreign_decorator_below_is_refused",
    ),
    Mutant(
        "everybody may see everybody's jobs",
        "myapp/blueprints/jobs.py",
        "    if job is None or job.user_id not in (None, None if user is None else user.id):",
        "    if job is None:",
        "tests/blueprints/test_jobs.py::test_somebody_elses_job_is_not_there",
    ),
    Mutant(
        "a Redis that hangs is asked by every request",
        CORE + "redis.py",
        "        if not self.breaker.admits():",
        "        if False:",
        "tests/core/test_redis.py::test_a_redis_that_hangs_is_waited_for_once",
    ),
    Mutant(
        "what Redis has lost is not sent again",
        CORE + "work/sender.py",
        "    messages.send(redis, lost)\n",
        "",
        "tests/core/work/test_redis_engine.py::test_lost_messages_are_sent_again_and_others_are_not",
    ),
    Mutant(
        "what others write into messages is read",
        CORE + "work/rq_classes.py",
        "for key, value in raw_data.items() if key in READ}",
        "for key, value in raw_data.items()}",
        "tests/core/work/test_redis_engine.py::test_messages_of_others_call_nothing",
    ),
    Mutant(
        "what a plugin registers is not guarded",
        CORE + "plugins/guarding.py",
        "            functions[index] = _named_like(function, guard.wrap())\n",
        "",
        "tests/core/plugins/test_guards.py::test_the_page_is_there",
    ),
    Mutant(
        "abort() of a plugin is swallowed",
        CORE + "plugins/breaker.py",
        "    passing: tuple[type[BaseException], ...] = (HTTPException,)",
        "    passing: tuple[type[BaseException], ...] = ()",
        "tests/core/plugins/test_guards.py::test_abort_is_an_answer",
    ),
    Mutant(
        "a critical plugin is skipped",
        CORE + "plugins/breaker.py",
        "        if self.is_critical:\n            return self.refuse(",
        "        if False:\n            return self.refuse(",
        "tests/core/plugins/test_guards.py::test_a_critical_plugin_is_never_skipped",
    ),
    Mutant(
        "a critical plugin is skipped after five failures",
        CORE + "plugins/breaker.py",
        "        if self.failures < FAILURES or self.is_critical:",
        "        if self.failures < FAILURES:",
        "tests/core/plugins/test_guards.py::test_a_critical_plugin_is_never_skipped",
    ),
    Mutant(
        "everybody tries at the end of the pause",
        CORE + "plugins/breaker.py",
        "            self._retry_at = now + PAUSE_SECONDS\n            return True",
        "            return True",
        "tests/core/plugins/test_guards.py::test_one_of_many_tries_again",
    ),
    Mutant(
        "what a failed function wrote first is kept",
        CORE + "plugins/breaker.py",
        "            task.start_over()\n",
        "            pass\n",
        "tests/core/plugins/test_guards.py::test_what_it_wrote_is_undone",
    ),
    Mutant(
        "what a plugin has left of a transaction is everybody's",
        CORE + "data/__init__.py",
        "    state.check = check_usable\n",
        "",
        "tests/core/plugins/test_guards.py::test_a_transaction_that_cannot_go_on_is_its_failure",
    ),
    Mutant(
        "a guarded function has no savepoint",
        CORE + "data/guarded.py",
        "        if innermost is None or innermost.savepoint is not None or self.is_joining:",
        "        if True:",
        "tests/core/tasks/test_guards.py::test_what_a_failed_function_wrote_is_undone",
    ),
    Mutant(
        "what the function has pending is sent before its savepoint",
        CORE + "data/guarded.py",
        "        if self.is_joining:\n",
        "        if False:\n",
        "tests/core/tasks/test_guards.py::test_what_a_failed_function_wrote_is_undone",
    ),
    Mutant(
        "a callback does not touch the task",
        CORE + "tasks/task.py",
        "            self._frames = [Effects()]\n        self.is_touched = True\n        return self._frames[-1]\n",
        "            self._frames = [Effects()]\n        return self._frames[-1]\n",
        "tests/core/tasks/test_guards.py::test_every_touch_is_noticed",
    ),
    Mutant(
        "a slot is not escaped",
        CORE + "plugins/slots.py",
        "        return escape(result)",
        "        return Markup(result)",
        "tests/core/plugins/test_slots.py::test_text_is_escaped_and_markup_passes",
    ),
    Mutant(
        "one breaker for all slots",
        CORE + "plugins/slots.py",
        "for guard in slots.get(name) or guards_of(name)",
        'for guard in guards_of("x")',
        "tests/core/plugins/test_slots.py::test_a_slot_that_always_fails_is_seen_and_skipped",
    ),
    Mutant(
        "tables of a plugin take everybody down",
        CORE + "data/schema.py",
        "        if not get_schema(app).is_optional(name):",
        "        if True:",
        "tests/core/plugins/test_tables.py::test_failing_migration_costs_its_plugin_only",
    ),
    Mutant(
        "a critical plugin is served without its tables",
        CORE + "plugins/tables.py",
        "    critical = [report.name for report in state.reports if report.is_critical]",
        "    critical: list[str] = []",
        "tests/core/plugins/test_tables.py::test_critical_plugin_stays_strict",
    ),
    Mutant(
        "views use tables that are not theirs",
        CORE + "plugins/tables.py",
        "        if why:\n            # It has",
        "        if False:\n            # It has",
        "tests/core/plugins/test_tables.py::test_failing_migration_costs_its_plugin_only",
    ),
    Mutant(
        "a revision that no file has is current",
        CORE + "data/migrations.py",
        "        return None, current is None\n",
        "        return None, True\n",
        "tests/core/data/test_migrations.py::test_missing_revision_files_are_told_everywhere",
    ),
    Mutant(
        "each who asks starts a health check",
        CORE + "plugins/health.py",
        "            if run is None or not (is_pending or ",
        "            if run is None or not (",
        "tests/core/plugins/test_health.py::test_a_check_that_hangs_is_down",
    ),
    Mutant(
        "a header of a proxy makes an operator",
        CORE + "ops/status.py",
        '    if any(name in environ for name in FORWARDED) or "werkzeug.proxy_fix.orig" in environ:',
        "    if False:",
        "tests/core/ops/test_status.py::test_development_tells_its_own_machine",
    ),
    Mutant(
        "a page elsewhere reads the status",
        CORE + "ops/status.py",
        ' and (host == "localhost" or _is_loopback(host))',
        "",
        "tests/core/ops/test_status.py::test_development_tells_its_own_machine",
    ),
    Mutant(
        "a plugin adds to the policy of all pages",
        CORE + "web/headers.py",
        '(request.endpoint or "").partition(".")[0]',
        'next(iter(state.policies), "")',
        "tests/core/web/test_headers.py::test_a_plugin_adds_to_its_own_pages",
    ),
    Mutant(
        "a source of a policy ends the directive",
        CORE + "policy.py",
        "    if not HOST.fullmatch(source):",
        "    if not HOST.match(source):",
        "tests/core/web/test_headers.py::test_a_policy_that_cannot_be_added_is_said",
    ),
    Mutant(
        "a link leads out of the static files",
        CORE + "plugins/files.py",
        "        return view(filename=filename) if is_inside else abort(404)",
        "        return view(filename=filename)",
        "tests/core/plugins/test_files.py::test_static_files_stay_inside",
    ),
    Mutant(
        "a plugin brings templates for others",
        CORE + "plugins/files.py",
        '            if owner is None or template.startswith(f"{owner}/"):',
        "            if True:",
        "tests/core/plugins/test_files.py::test_a_template_outside_is_not_found",
    ),
]


def run_tests(tree: Path, tests: str) -> Outcome:
    """Run ``tests`` in a copy of the tree, against the copy's myapp."""
    plugin = (
        []
        if any(point.value == "myapp.testing" for point in entry_points(group="pytest11"))
        else ["-p", "myapp.testing"]
    )
    # On SQLite alone: a server for each mutant would take longer than all the tests.
    arguments = [
        "-x",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tree}/.tmp",
        *plugin,
        "-k",
        "not postgresql",
        *tests.split(),
    ]
    with tempfile.NamedTemporaryFile(prefix="mutant-", suffix=".log") as log:
        process = FORKS.Process(target=_run_pytest, args=(str(tree), arguments, log.name))
        process.start()
        process.join(SECONDS_OF_ONE)
        if process.is_alive():
            process.kill()
            process.join()
        said = Path(log.name).read_text(encoding="utf-8", errors="replace")
    # Not the status of the process: threads that start others take it from each other.
    said, _, code = said.rpartition(END)
    return Outcome(int(code) if code.isdigit() else None, said)


def _run_pytest(tree: str, arguments: list[str], log: str) -> None:
    """Become a process that runs pytest in ``tree``; all that it says goes into ``log``."""
    file = os.open(log, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(tree)
    # Other processes that a test starts, and other ways to import than this process's, are to find the copy too.
    os.environ["PYTHONPATH"] = tree
    sys.path[:] = [tree, *(entry for entry in sys.path if not entry or not Path(entry).is_relative_to(ROOT / "tests"))]
    try:
        import pytest

        code = int(pytest.main(arguments))
    except BaseException:
        traceback.print_exc()
        code = CRASHED
    sys.stdout.flush()
    os.write(1, f"{END}{code}".encode())
    os._exit(0)


def copy_tree(target: Path) -> Path:
    """Copy the project: what git knows, so that nothing untracked helps; without git, all but what tools have made."""
    if not (ROOT / ".git").exists():
        made = shutil.ignore_patterns(".venv", "instance", "__pycache__", "*.egg-info", ".*_cache", "build", "dist")
        return Path(shutil.copytree(ROOT, target, ignore=made, dirs_exist_ok=True))
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def compile_tree(tree: Path) -> Path:
    """Compile a copy: what is copied of it with its times is compiled as well, but for the line that is changed."""
    for folder in ("myapp", "plugins"):
        compileall.compile_dir(tree / folder, quiet=1)
    # pytest compiles tests in a way of its own, and keeps that too.
    run_tests(tree, f"--collect-only {' '.join(sorted({name.partition('::')[0] for name in _names()}))}")
    return tree


def _names() -> set[str]:
    return {name for mutant in MUTANTS for name in mutant.tests.split()}


def try_mutant(mutant: Mutant, original: Path) -> str | None:
    """Return why the mutant is not dead, or None."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(shutil.copytree(original, folder, copy_function=os.link, dirs_exist_ok=True))
        path = tree / mutant.path
        source = path.read_text(encoding="utf-8")
        if source.count(mutant.line) != 1:
            return f"its line stands {source.count(mutant.line)} times in {mutant.path}; write it anew"
        # A file of its own: the others are those of the original.
        path.unlink()
        path.write_text(source.replace(mutant.line, mutant.instead), encoding="utf-8")
        result = run_tests(tree, mutant.tests)
    if result.exit_code == 1:
        return None
    return f"it survived {mutant.tests} (exit {result.exit_code})\n{result.said[-1200:]}"


def find_red() -> str | None:
    """Return what fails without any mutant: a red suite would kill them all."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        result = run_tests(copy_tree(Path(folder)), " ".join(sorted(_names())))
    return None if result.exit_code == 0 else result.said[-2400:]


def main() -> int:
    """Try every mutant, four at a time, because some wait for a lock.

    ``--suite-is-green`` believes that the tests pass without any.
    """
    if "--suite-is-green" not in sys.argv and (red := find_red()) is not None:
        print(f"The tests fail without any mutant:\n{red}")
        return 1
    FORKS.set_forkserver_preload(list(PRELOADED))
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(max_workers=4) as pool:
        original = compile_tree(copy_tree(Path(folder)))
        verdicts = list(pool.map(try_mutant, MUTANTS, [original] * len(MUTANTS)))
    for mutant, verdict in zip(MUTANTS, verdicts, strict=True):
        print(
            f"{'killed  ' if verdict is None else 'SURVIVED'}  {mutant.name}{'' if verdict is None else f': {verdict}'}"
        )
    alive = sum(verdict is not None for verdict in verdicts)
    print(f"{len(MUTANTS) - alive} of {len(MUTANTS)} mutants were killed.")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
