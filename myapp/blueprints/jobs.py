"""``/jobs``: what became of a background job (``/get_result?job_id=`` of founding document 004)."""

from __future__ import annotations

import logging
import typing as t
from uuid import UUID

from flask import Blueprint, request, url_for

from myapp import ApiException, ApiResult, get_user, public, scopes
from myapp.core import access, web, work
from myapp.core.errors import JobError

if t.TYPE_CHECKING:
    from myapp.core.work import Job

logger = logging.getLogger("myapp.jobs")

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")
blueprint.after_request(web.forbid_storing)

ONE = "/<uuid:job_id>"
#: What a client is told of a state; whatever else there is has failed, and the problem's type says how.
STATUS = {"ready": "queued", "running": "running", "done": "done"}
#: For each end that is none of the function's own: the problem's type, title, status and detail (``docs/jobs.md``).
TYPES = "urn:myapp:problems#"
PROBLEMS = {
    "failed": ("job-failed", "The job failed", 500, "It ended with an error, and is not tried again."),
    "dead": ("job-dead", "The job was given up", 500, "It failed in every attempt, or cannot be run."),
    "cancelled": ("job-cancelled", "The job was cancelled", 409, "Somebody cancelled it. Ask for it again if need be."),
}


@blueprint.get("/")
@scopes()
def index() -> ApiResult:
    """Return the jobs of whoever asks, the newest first, a page at a time, without their results.

    :raises ValidationError: for a ``limit`` that is not 1 to 200.
    :raises ApiException: 400, for a ``cursor`` that no page has given.
    """
    limit, cursor = web.read_limit(), request.args.get("cursor")
    before = None if cursor is None else _checked(cursor)
    found = work.list_jobs(user_id=access.require().id, before=before, limit=limit + 1)
    items = [_describe(job) for job in found[:limit] if not work.is_expired(job)]
    has_more = len(found) > limit
    return web.page(items, url_for(".index", limit=limit, cursor=found[limit - 1].id) if has_more else None)


@blueprint.get(ONE)
@public
def show(job_id: UUID) -> ApiResult:
    """Return the state of a job: 202 while there is something to wait for, 200 with its result or its failure after it.

    :raises ApiException: 404 for one that is not there, or is somebody else's; 410 for the owner of one that is
        forgotten.
    """
    return _answer(_find(job_id))


@blueprint.delete(ONE)
@public
def cancel(job_id: UUID) -> ApiResult:
    """Cancel a job: 200 for one that waits, which never starts then; 202 for one that runs, which is asked to stop.

    :raises ApiException: as :func:`show`; 409 for one that has ended already, unless by being cancelled; 503 where the
        worker's files are another user's.
    """
    # In a task of its own, as the ledger does it: this one has written nothing.
    try:
        work.cancel(_find(job_id).id)
    except JobError as error:
        # What is wrong is in the sentence, and for the operator.
        logger.error("%s", error)
        raise ApiException("The worker of this job cannot be told to stop by this server.", 503) from error
    job = _find(job_id)
    if job.is_over and job.state != "cancelled":
        raise ApiException(f"Job {job.id} has ended already, and cannot be cancelled.", 409)
    return _answer(job)


def _find(job_id: UUID) -> Job:
    """Return the job, if whoever asks may know of it: without an owner it is everybody's who has its id."""
    user = get_user()
    job = work.find_job(str(job_id))
    if job is None or job.user_id not in (None, None if user is None else user.id):
        raise ApiException(f"There is no job {job_id}.", 404)
    if work.is_expired(job):
        if job.user_id is None:
            raise ApiException(f"There is no job {job_id}.", 404)
        raise ApiException(f"Job {job_id} ended long ago, and what it returned is forgotten.", 410)
    return job


def _answer(job: Job) -> ApiResult:
    body = _describe(job)
    if not job.is_over:
        return ApiResult(body, 202, {"Retry-After": "1"})
    if job.state == "done":
        return ApiResult({**body, "result": job.value})
    return ApiResult({**body, "error": _problem(job)})


def _describe(job: Job) -> dict[str, t.Any]:
    """Return what every answer says about a job."""
    return {
        "job": job.id,
        "status": STATUS.get(job.state, "failed"),
        "href": url_for(".show", job_id=job.id),
        "progress": job.progress,
        "progress_text": job.progress_text,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
    }


def _problem(job: Job) -> dict[str, t.Any]:
    """Return why a job failed: what its function raised for the client, and nothing else of what went wrong."""
    kind, title, status, detail = PROBLEMS[job.state]
    failure = work.Failure.from_text(job.error)
    problem = {"type": TYPES + kind, "title": title, "status": status, "detail": detail}
    if failure is not None and failure.problem is not None:
        own = {key: value for key, value in failure.problem.items() if (key, value) != ("type", "about:blank")}
        problem |= own
    return {**problem, "instance": url_for(".show", job_id=job.id)}


def _checked(cursor: str) -> str:
    try:
        return str(UUID(cursor))
    except ValueError:
        raise ApiException("This cursor is of no page. Follow the address in `next` as it is.", 400) from None
