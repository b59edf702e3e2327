"""The process in which a plugin is tried: one line of JSON for each check that begins and for each that ends."""

from __future__ import annotations

import json
import traceback
import typing as t
from pathlib import Path

from ...core.errors import is_own_failure
from .building import (
    boots_with_default_config,
    builds_twice,
    disabled_equals_absent,
    hooks_are_known,
    import_has_no_side_effects,
    manifest_is_valid,
    names_are_its_own,
    starts_in_250_ms,
    two_apps_coexist,
)
from .runner import CHECKS
from .serving import files_lie_in_its_namespace, views_answer
from .subject import Subject
from .tables import migrations_go_up_down_up, models_match_migrations
from .trial import NotServedError, Trial

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_FUNCTIONS: tuple[Callable[[Trial], Iterator[str]], ...] = (
    manifest_is_valid,
    import_has_no_side_effects,
    hooks_are_known,
    boots_with_default_config,
    starts_in_250_ms,
    builds_twice,
    two_apps_coexist,
    disabled_equals_absent,
    names_are_its_own,
    migrations_go_up_down_up,
    models_match_migrations,
    views_answer,
    files_lie_in_its_namespace,
)


def main(name: str, path: str, results: str, wanted: Iterable[str]) -> None:
    """Run the checks ``wanted`` on one plugin and write what they find to the file ``results``.

    The apps are made beside that file, in the folder of whoever started this process and outlives it.
    """
    functions = {function.__name__: function for function in _FUNCTIONS}
    if tuple(functions) != CHECKS:
        raise RuntimeError("runner.CHECKS is not what there is.")
    with Path(results).open("a", encoding="utf-8") as file:

        def say(**line: t.Any) -> None:
            file.write(json.dumps(line) + "\n")
            # Whatever comes next may end the process.
            file.flush()

        trial = Trial(Subject(name, path), Path(results).parent)
        for check in wanted:
            say(begins=check)
            say(ends=check, problems=run(functions[check], trial))


def run(check: Callable[[Trial], Iterator[str]], trial: Trial) -> list[str]:
    """Return what ``check`` has to say against the plugin."""
    try:
        return list(check(trial))
    except NotServedError as error:
        return [str(error)]
    except BaseException as error:
        # What a plugin may raise has no end, and all of it is its own.
        if not is_own_failure(error):
            raise
        return [traceback.format_exc()]
