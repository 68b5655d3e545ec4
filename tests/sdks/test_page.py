"""``docs/sdks.md`` has all packages, in both ways."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

from tests.sdks.support import PAGE, PROGRAMS

HERE = Path(__file__).parent
TEXT = PAGE.read_text("utf-8")


def test_every_package_is_run() -> None:
    """Each has a program for each way, a row in the table, a test, and is in the extra."""
    packages = {package for package, _ in PROGRAMS}
    assert set(PROGRAMS) == set(product(packages, ["mounted", "installed"]))
    assert packages == set(re.findall(r"^\| \[(\S+)\]\(#\S+\)", TEXT, re.MULTILINE))
    tests = "\n".join(path.read_text("utf-8") for path in HERE.glob("test_*.py"))
    assert packages == set(
        re.findall(r'^pytestmark = pytest.mark.sdk\("(\S+)"\)', tests, re.MULTILINE)
    )
    metadata = (HERE.parents[1] / "pyproject.toml").read_text("utf-8")
    assert [name for name in packages if f'"{name}>=' not in metadata] == []
