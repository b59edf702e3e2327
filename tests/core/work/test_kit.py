"""The fixture ``jobs``: what authors of blueprints and plugins test their jobs with."""

from __future__ import annotations

import typing as t

import pytest

from myapp import job, task
from myapp.core.errors import UnknownJobError

if t.TYPE_CHECKING:
    from myapp import CustomFlask
    from myapp.testing import Jobs


@job
def double(number: int, *, again: bool = False) -> int:
    if again:
        double.enqueue(number * 2)
    return number * 2


@job(name="tests.named")
def named(number: int) -> None: ...


@job
def fail() -> None:
    raise ArithmeticError("of the job")


def test_jobs_are_found_by_their_arguments(app: CustomFlask, jobs: Jobs) -> None:
    """A savepoint that failed has enqueued nothing; drain() runs what jobs enqueue as well."""
    with app.task():
        id_ = double.enqueue(1, again=True)
        with pytest.raises(ZeroDivisionError), task.savepoint():
            double.enqueue(7)
            raise ZeroDivisionError
    assert jobs.assert_enqueued(double, 1, again=True).id == id_
    for wrong in (lambda: jobs.assert_enqueued(double, 7), lambda: jobs.assert_enqueued(fail)):
        with pytest.raises(AssertionError, match="those that wait"):
            wrong()
    assert [ended.state for ended in jobs.drain()] == ["done", "done"]
    assert [one.value for one in jobs.list(double)] == [2, 4]
    assert jobs.find(id_).state == "done"


def test_jobs_are_found_by_the_name_of_their_function(app: CustomFlask, jobs: Jobs) -> None:
    """For tests that cannot import it; a name that nobody has is an error, not an empty list."""
    with app.task():
        id_ = named.enqueue(1)
    assert jobs.assert_enqueued("tests.named", 1).id == id_
    assert [one.id for one in jobs.list("tests.named")] == [id_]
    with pytest.raises(AssertionError, match=r"0 jobs of tests\.named wait"):
        jobs.assert_enqueued("tests.named", 2)
    with pytest.raises(UnknownJobError, match=r"tests\.nobody"):
        jobs.list("tests.nobody")


def test_error_of_a_job_reaches_its_test(app: CustomFlask, jobs: Jobs) -> None:
    """A test that drains sees it, unless it says that it does not want to."""
    with app.task():
        fail.enqueue()
        double.enqueue(1)
    with pytest.raises(ArithmeticError, match="of the job"):
        jobs.drain()
    jobs.clock.advance(3)
    assert {ended.state for ended in jobs.drain(raises=False)} == {"ready", "done"}


def test_one_clock_moves_all(clock: t.Any, app: CustomFlask, jobs: Jobs) -> None:
    """The fixture ``clock`` makes jobs due as well."""
    with app.task():
        double.with_options(delay=60).enqueue(1)
    assert jobs.drain() == []
    clock.advance(60)
    assert [ended.state for ended in jobs.drain()] == ["done"]


def test_no_worker_starts_by_itself(app: CustomFlask, jobs: Jobs) -> None:
    """A job that was enqueued stays ready until the test runs it."""
    with app.task():
        id_ = double.enqueue(1)
    assert jobs.find(id_).state == "ready"
