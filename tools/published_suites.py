"""Run the published test suites of others under ``install(Settings())``, and compare with bare.

    python tools/published_suites.py [requests requests-toolbelt betamax]

Run it by a Python that has this package with ``.[test]`` installed. Each suite comes from the
source distribution of its package and is run twice, as it is and installed; every test has to come
to the same, but for what is explained below. No traffic leaves the machine (``suite_plugin.py``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

NEEDS = ("pytest-httpbin", "pytest-mock", "pytest", "trustme", "pysocks", "pyopenssl")
"""What the suites need besides."""

SUITES = {"requests": "requests", "requests-toolbelt": "requests_toolbelt", "betamax": "src"}
"""Each suite, and the folder of its source that the installed package stands for."""

EXPLAINED = {
    "tests/test_lowlevel.py::test_chunked_encoding_error": (
        "its server answers one connection: the body that is cut short is a failed attempt, and "
        "the next one finds nobody there, a ConnectionError in place of ChunkedEncodingError"
    ),
    "tests/test_requests.py::test_urllib3_retries": (
        "the adapter's own retries are off while installed: the last answer is handed out where "
        "urllib3 raises RetryError"
    ),
}
"""Tests that come to something else, and why."""


def unpacked(suite: str, folder: Path) -> Path:
    """The source of a package, without the package itself."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
    ]
    subprocess.run([*command, "--no-binary", ":all:", suite], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(folder)  # noqa: S202 (what pip has just checked)
    (tree,) = (entry for entry in folder.iterdir() if entry.is_dir())
    package = tree / SUITES[suite]
    if package.is_dir():
        package.rename(tree / "not-imported")
    return tree


def outcomes(tree: Path, *options: str) -> dict[str, str]:
    """What became of each test, by its name."""
    path = tree.parent / f"outcomes{len(options)}.json"
    tools = str(Path(__file__).parent)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {tools!r}); import pytest; "]
    command[-1] += "sys.exit(pytest.main(sys.argv[1:]))"
    plugins = ["-p", "suite_plugin", "-p", "no:randomly", "-p", "no:socket", "-q"]
    arguments = ["--outcomes", str(path), *options, "-c", "/dev/null", "--rootdir", ".", "tests"]
    subprocess.run([*command, *plugins, *arguments], cwd=tree, capture_output=True, check=False)
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return {name.replace(str(tree), "."): outcome for name, outcome in found.items()}


def compared(suite: str) -> bool:
    """Whether a suite comes to the same, or to what is explained."""
    # A tree for each: what one run leaves behind, the next would find.
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        bare = outcomes(unpacked(suite, Path(first)))
        installed = outcomes(unpacked(suite, Path(second)), "--installed")
    passed = [sum(outcome == "passed" for outcome in each.values()) for each in (bare, installed)]
    print(f"{suite}: of {len(bare)} tests {passed[0]} pass bare, {passed[1]} installed", flush=True)
    different = [
        name for name in sorted({*bare, *installed}) if bare.get(name) != installed.get(name)
    ]
    for name in different:
        reason = EXPLAINED.get(name, "NOT EXPLAINED")
        print(f"  {name}: {bare.get(name)}, then {installed.get(name)}: {reason}", flush=True)
    return bool(passed[0]) and not set(different) - set(EXPLAINED)


def main() -> int:
    """Compare what is asked for, else all; 1 where something is not explained."""
    suites = sys.argv[1:] or list(SUITES)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *NEEDS], check=True)
    return 0 if all([compared(suite) for suite in suites]) else 1  # noqa: C419 (each of them is run)


if __name__ == "__main__":
    sys.exit(main())
