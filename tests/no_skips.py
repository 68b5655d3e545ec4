"""A pytest plugin: where ``CI=true``, a skipped test fails the run.

What was not run is not known to work, and a green run would hide it.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

_SKIPPED_MODULES = "skipped_modules"


class NoSkips:
    """Remembers what was skipped, names it at the end and turns the exit status."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember a module that was skipped as a whole."""
        if report.skipped:
            self.skipped.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a skipped test; one that fails as it is expected to is none."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear from a worker of pytest-xdist which modules it skipped: it reports only tests."""
        modules = getattr(node, "workeroutput", {}).get(_SKIPPED_MODULES, [])
        self.skipped += [name for name in modules if name not in self.skipped]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn success into failure."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:  # a worker of pytest-xdist: whoever started it decides
            output[_SKIPPED_MODULES] = self.skipped
            return
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was skipped."""
        if self.skipped:
            terminalreporter.section("skipped, which fails a run on CI")
            terminalreporter.write_line("\n".join(self.skipped))


def pytest_configure(config: pytest.Config) -> None:
    """Watch over the run, on CI alone."""
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(NoSkips())
