"""The statements of the ledger, written out for both databases.

Each is one statement whose WHERE says what has to be true for it, so that two workers cannot both do it. They are not
built by SQLAlchemy, because they run for every job: a statement that is looked up in its cache costs more than the
insert itself.
"""

from __future__ import annotations

import re
import typing as t
from datetime import UTC, datetime

#: What statements have in common; each stands in braces below.
FRAGMENTS = {
    "new": """
        INTO jobs (id, func, args, queue, priority, unique_key, run_at, state, attempts, max_attempts, timeout,
            atomic, task_id, user_id, scopes, created)
        VALUES (:id, :func, :args, :queue, :priority, :unique_key, :run_at, 'ready', 0, :max_attempts, :timeout,
            :atomic, :task_id, :user_id, :scopes, :created)
    """,
    # As the index has it.
    "has_key": "state IN ('ready', 'running') AND unique_key IS NOT NULL",
    # The columns of myapp.core.work.ledger.Claim, in its order.
    "claimed": "id, func, args, attempts, max_attempts, timeout, atomic, user_id, scopes, owner",
    # The attempt is burned here, before anything of the job has run.
    "taken": """
        state = 'running', attempts = attempts + 1, owner = :owner, lease_until = :lease_until, started = :now,
        cancel_asked = NULL, progress = NULL, progress_text = NULL
    """,
    "over": """
        owner = NULL, lease_until = NULL, progress = :progress, progress_text = :progress_text, finished = :now,
        expires_at = :expires_at
    """,
    # What follows a line. SQLite has no index search for (queue, priority) > (…, …): it would read the whole line.
    "same_queue": "state = 'ready' AND jobs.queue = lines.queue AND jobs.priority > lines.priority",
    "next_queue": "state = 'ready' AND jobs.queue > lines.queue",
    # What makes an attempt the one that may end its job: nobody else has taken it meanwhile.
    "is_mine": "id = :id AND state = 'running' AND owner = :owner AND attempts = :attempts",
}
STATEMENTS = {
    "insert": "INSERT {new}",
    "insert_unique": "INSERT {new} ON CONFLICT (unique_key) WHERE {has_key} DO NOTHING",
    "find_unique": "SELECT id FROM jobs WHERE unique_key = :unique_key AND {has_key}",
    "claim": """
        UPDATE jobs SET {taken} WHERE id = (
            SELECT id FROM jobs
            WHERE state = 'ready' AND queue = :queue AND priority = :priority AND run_at <= :now
            ORDER BY run_at, id LIMIT 1 {skip_locked}
        ) RETURNING {claimed}
    """,
    "claim_one": "UPDATE jobs SET {taken} WHERE id = :id AND state = 'ready' AND run_at <= :now RETURNING {claimed}",
    # Each line of waiting jobs (a queue and a priority) with the moment at which its first one is due, by one step in
    # the index for each: however many wait, or wait for their time.
    "upcoming": """
        WITH RECURSIVE lines(queue, priority) AS (
            SELECT CAST(queue AS TEXT), priority FROM (
                SELECT queue, priority FROM jobs WHERE state = 'ready' ORDER BY queue, priority LIMIT 1
            ) AS head
            UNION ALL
            SELECT
                CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE {same_queue}) THEN lines.queue
                    ELSE (SELECT min(jobs.queue) FROM jobs WHERE {next_queue}) END,
                coalesce(
                    (SELECT min(jobs.priority) FROM jobs WHERE {same_queue}),
                    (SELECT jobs.priority FROM jobs WHERE {next_queue} ORDER BY jobs.queue, jobs.priority LIMIT 1)
                )
            FROM lines WHERE lines.queue IS NOT NULL
        )
        SELECT queue, priority, (
            SELECT min(run_at) FROM jobs
            WHERE state = 'ready' AND jobs.queue = lines.queue AND jobs.priority = lines.priority
        ) AS due
        FROM lines WHERE queue IS NOT NULL ORDER BY due
    """,
    # What comes first in one line.
    "due": """
        SELECT id FROM jobs WHERE state = 'ready' AND queue = :queue AND priority = :priority AND run_at <= :moment
        ORDER BY run_at, id LIMIT :limit
    """,
    "running": """
        SELECT id, func, owner, attempts, max_attempts, timeout, started, lease_until FROM jobs
        WHERE state = 'running'
    """,
    # Only if its worker has not renewed it meanwhile.
    "doubt": """
        UPDATE jobs SET lease_until = :until WHERE id = :id AND state = 'running' AND lease_until = :lease_until
    """,
    # Of a worker that is gone and had begun nothing, or was not given the time to end it: the attempt is not burned.
    "give_back": """
        UPDATE jobs SET state = 'ready', attempts = attempts - 1, owner = NULL, lease_until = NULL, run_at = :now
        WHERE state = 'running' AND owner = :owner
    """,
    "expired": "SELECT 1 FROM jobs WHERE expires_at < :now AND (expires_at >= :since OR expires_at < :gone) LIMIT 1",
    # Who asked for a job is told for a while that there was one.
    "clear": """
        UPDATE jobs SET args = '[[],{{}}]', result = NULL, error = NULL, progress_text = NULL
        WHERE expires_at < :now AND expires_at >= :since AND user_id IS NOT NULL
    """,
    "delete": "DELETE FROM jobs WHERE expires_at < :gone OR (expires_at < :now AND user_id IS NULL)",
    "done": "UPDATE jobs SET state = 'done', result = :result, error = NULL, {over} WHERE {is_mine}",
    "end": "UPDATE jobs SET state = :state, error = :error, {over} WHERE {is_mine}",
    "try_again": """
        UPDATE jobs SET state = 'ready', run_at = :run_at, error = :error, owner = NULL, lease_until = NULL
        WHERE {is_mine}
    """,
}


class Dialect:
    """How one kind of database wants statements and moments."""

    def __init__(self, name: str) -> None:
        self.is_sqlite = name == "sqlite"
        self.statements = {key: self._written(text) for key, text in STATEMENTS.items()}

    def __getitem__(self, name: str) -> str:
        """Return a statement as the driver takes it."""
        return self.statements[name]

    def moment(self, moment: datetime | None) -> t.Any:
        """Return a moment in UTC as the driver takes it; SQLite keeps the text that SQLAlchemy would write."""
        if moment is None or not self.is_sqlite:
            return moment
        return moment.isoformat(" ", "microseconds")[:26]

    def parsed(self, value: t.Any) -> datetime:
        """Return the moment that the driver gave: the counterpart of :meth:`moment`."""
        moment = datetime.fromisoformat(value) if self.is_sqlite else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def _written(self, text: str) -> str:
        locking = "" if self.is_sqlite else "FOR UPDATE SKIP LOCKED"
        text = " ".join(text.format(**FRAGMENTS, skip_locked=locking).split())
        return text if self.is_sqlite else re.sub(r":(\w+)", r"%(\1)s", text)
