"""What pytest sees of the contract: one item for each check."""

from __future__ import annotations

import typing as t
from importlib import import_module

import pytest

from .runner import CHECKS, run_probe

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .runner import Findings
    from .subject import Subject

OPTION = "--myapp-contract"
_SUBJECTS = pytest.StashKey["list[Subject]"]()


class ContractError(Exception):
    """What a check has to say against a plugin: one sentence or more."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Contract(pytest.Collector):
    """The checks of one plugin."""

    subject: Subject
    _findings: Findings | None = None

    @classmethod
    def of(cls, session: pytest.Session, subject: Subject) -> Contract:
        """Return the node of ``subject``."""
        contract: Contract = cls.from_parent(
            session, name=f"contract/{subject.label}", nodeid=f"contract/{subject.label}"
        )
        contract.subject = subject
        return contract

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for each check."""
        for check in CHECKS:
            item: Check = Check.from_parent(self, name=check)
            if self.config.pluginmanager.hasplugin("xdist"):
                # One process of pytest for all of them, and so one process of the probe.
                item.add_marker(pytest.mark.xdist_group(self.name))
            yield item

    def findings(self) -> Findings:
        """Return what the probe found, which is asked once, when the first check runs."""
        if self._findings is None:
            self._findings = run_probe(self.subject)
        return self._findings


class Check(pytest.Item):
    """One check."""

    def runtest(self) -> None:
        """Fail when there is something to be said against the plugin.

        :raises ContractError: with all of it.
        """
        problems = t.cast("Contract", self.parent).findings().of(self.name)
        if problems:
            raise ContractError(problems)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: t.Any = None) -> t.Any:
        """Return the sentences alone: where pytest raised them says nothing about the plugin."""
        if isinstance(excinfo.value, ContractError):
            return "\n".join(f"* {problem}" for problem in excinfo.value.problems)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[t.Any, int | None, str]:
        """Return what stands above a failure."""
        return self.path, None, f"{t.cast('Contract', self.parent).subject.name}: {self.name}"


def choose(config: pytest.Config) -> None:
    """Find the plugins that the option names, so that a name that is none ends pytest at once."""
    names = config.getoption(OPTION)
    if not names:
        return
    # Only now: it knows of plugins, and so of Flask.
    subject = import_module(".subject", __package__)
    try:
        config.stash[_SUBJECTS] = [subject.resolve(name) for name in dict.fromkeys(names)]
    except subject.SubjectError as error:
        raise pytest.UsageError(f"{OPTION}: {error}") from error
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []


def add_checks(config: pytest.Config, session: pytest.Session, items: list[pytest.Item]) -> None:
    """Append the checks of the chosen plugins to ``items``."""
    for subject in config.stash.get(_SUBJECTS, ()):
        contract = Contract.of(session, subject)
        config.hook.pytest_collectstart(collector=contract)
        report = config.hook.pytest_make_collect_report(collector=contract)
        items.extend(report.result)
        # This is what counts them.
        config.hook.pytest_collectreport(report=report)
