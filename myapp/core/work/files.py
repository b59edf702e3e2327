"""The presence of a worker on SQLite: a file beside the database that it holds with ``flock`` and reports in.

The kernel frees the lock when the process ends, whatever ends it: a lock that is free says that its worker is dead,
without heartbeats and without clocks. SQLite in WAL mode has all its processes on one host, so that they see it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import typing as t
import weakref
from pathlib import Path

from ..errors import JobError

if t.TYPE_CHECKING:
    from datetime import datetime

    from .ledger import Claim
    from .presence import Report

REPORT_BYTES = 2_000


class FilePresence:
    """See :class:`myapp.core.work.presence.Presence`.

    :param database: the path of the database; the folder beside it is called ``<database>-workers``.
    """

    def __init__(self, database: str) -> None:
        self.folder = Path(f"{database}-workers")
        self._database = database
        self._file: int | None = None
        self._owner = ""
        _held.add(self)

    def hold(self, owner: str) -> None:
        """Lock the file of ``owner``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _share(self.folder, self._database)
        path = self._path(owner)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever clears away may have taken the file for that of a dead worker before it was locked.
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(file).st_ino:
                    break
            os.close(file)
        _share(path, self._database)
        self._file, self._owner = file, owner

    def release(self) -> None:
        """Unlock the file and remove it."""
        if self._file is not None:
            self.forget(self._owner)
            self.abandon()

    def abandon(self) -> None:
        """Close the file without a word: what a forked child does with what it inherits."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def beat(self, now: datetime) -> None:
        """Do nothing: the kernel holds the lock."""

    def report(self, claim: Claim, report: Report) -> None:
        """Write the report into the file of this worker."""
        if self._file is not None:
            fraction, text = report
            data = json.dumps([claim.id, fraction, text and text[: REPORT_BYTES // 8]]).encode() + b"\n"
            os.pwrite(self._file, data, 0)

    def is_cancel_asked(self, claim: Claim) -> bool:
        """Whether the file that asks for it is there."""
        return self.was_cancel_asked(claim.id, claim.owner)

    def forget_cancel(self, claim: Claim) -> None:
        """Remove it."""
        self._cancel_path(claim.id, claim.owner).unlink(missing_ok=True)

    def is_alive(self, owner: str) -> bool:
        """Whether the file of ``owner`` is locked."""
        try:
            file = os.open(self._path(owner), os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            # Shared: two who look at the same time do not take each other for the worker.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def forget(self, owner: str) -> None:
        """Remove the files of ``owner``."""
        self._path(owner).unlink(missing_ok=True)
        for path in self.folder.glob(f"{self._path(owner).name}.cancel.*"):
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the files of workers that were killed while they held no job, and what asks nobody to stop."""
        with os.scandir(self.folder) as entries:
            names = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
        for name in names:
            owner, is_cancel, _ = name.partition(".cancel.")
            if not is_cancel:
                _remove_unlocked(self.folder / name)
            elif owner not in names:
                # Only when its worker was forgotten before this look: the job of one that has just died is cancelled.
                (self.folder / name).unlink(missing_ok=True)

    def look(self, job_id: str, owner: str) -> Report | None:
        """Return what the worker has written of this job."""
        try:
            data = self._path(owner).read_bytes()
            id_, fraction, text = json.loads(data.partition(b"\n")[0])
        except (FileNotFoundError, PermissionError, ValueError):
            # Nothing yet, or half of it: the next look sees the whole. Or it is not for this user.
            return None
        return (fraction, text) if id_ == job_id else None

    def ask_to_cancel(self, job_id: str, owner: str, now: datetime) -> None:
        """Leave a file for the worker.

        :raises JobError: when the folder is another user's.
        """
        try:
            self._cancel_path(job_id, owner).touch()
        except PermissionError as error:
            raise JobError(
                f"The job {job_id} cannot be told to stop: this process may not write into {self.folder}. Let web"
                " server and workers be one user, or let the database be writable for a group that both are in."
            ) from error

    def was_cancel_asked(self, job_id: str, owner: str) -> bool:
        """Whether that file is there."""
        return self._cancel_path(job_id, owner).exists()

    def _path(self, owner: str) -> Path:
        # The name comes from a column: whatever is in there, it stays in this folder.
        return self.folder / re.sub(r"[^A-Za-z0-9:_-]", "_", owner)

    def _cancel_path(self, job_id: str, owner: str) -> Path:
        return self.folder / f"{self._path(owner).name}.cancel.{re.sub(r'[^A-Za-z0-9-]', '_', job_id)}"


def _share(path: Path, database: str) -> None:
    """Let those use ``path`` who may use the database, as SQLite does with the files that it has beside it."""
    # The database is not there yet; or the group is none of this user's, or the folder is another one's.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        there = os.stat(database)
        mode = stat.S_IMODE(there.st_mode) & 0o666 | 0o600
        if path.is_dir():
            # Who may read may enter.
            mode |= (mode & 0o444) >> 2
        os.chown(path, there.st_uid if os.geteuid() == 0 else -1, there.st_gid)
        path.chmod(mode)


def _remove_unlocked(path: Path) -> None:
    """Remove the file of a worker that is gone; who takes it for its own at this moment makes another one."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        # It lives.
        return
    finally:
        os.close(file)


_held: weakref.WeakSet[FilePresence] = weakref.WeakSet()


def _abandon_all() -> None:
    # A child shares the lock of its parent: a process that a job has forked would keep its dead worker alive.
    for presence in list(_held):
        presence.abandon()


os.register_at_fork(after_in_child=_abandon_all)
