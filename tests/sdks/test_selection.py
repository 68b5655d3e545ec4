"""Tests of SDKs are left out where a package is missing, unless they are asked for."""

from __future__ import annotations

import pytest

NEEDS = """
    import pytest

    @pytest.mark.sdk("no-such-package")
    def test_needs_a_package():
        pass

    @pytest.mark.sdk("pytest")
    def test_has_its_package():
        pass
"""


@pytest.mark.parametrize(
    ("asked", "outcomes", "status"),
    [
        ([], {"passed": 1, "deselected": 1}, 0),
        (["-m", "sdk"], {"passed": 1, "skipped": 1}, 1),
        (["-m", "not sdk"], {"deselected": 2}, 5),
    ],
    ids=["by default", "asked for", "not wanted"],
)
def test_a_missing_package(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[str],
    outcomes: dict[str, int],
    status: int,
) -> None:
    """Its tests are deselected; asked for by name they are skipped, which fails a run on CI."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\nmarkers = sdk(package): needs it")
    pytester.makepyfile(test_it=NEEDS)
    run = pytester.runpytest("-p", "tests.sdks.conftest", "-p", "tests.no_skips", *asked)
    run.assert_outcomes(**outcomes)
    assert run.ret == status
