"""Build the wheel and the source archive, and try both as users get them.

    python3 tools/package.py                           # build both, check them, try the wheel
    python3 tools/package.py --keep dist               # and keep both
    python3 tools/package.py --tests .venv/bin/python  # and run tests of the source archive
    python3 tools/package.py --wheel dist              # try the wheel that was built before
    python3 tools/package.py --tag v0.1.0              # may this tag be released?

The source archive must have every file that git tracks, and the wheel every file of the package.
The wheel is installed alone, without extras. Then every module must be imported without a warning,
or say which extra it needs, and the commands must work. ``--tests`` takes a Python that has what
the tests need.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import PACKAGE, ROOT, copy_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

TOOLS = ("build>=1.2", "twine>=6.1")
"""What builds and checks; the group ``dev`` of pyproject.toml has the same."""

MADE = ("PKG-INFO", f"{PACKAGE}.egg-info/")
"""What setuptools adds to a source archive."""

IMPORTS = r"""
import importlib, json, pkgutil, re
from importlib import metadata
import requests_authretry as package

needs = {}
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            extra = re.search(r"pip install '[\w-]+\[(\w+)\]'", str(error))
            if not extra:
                raise
            needs[module.name] = extra[1]
extras = metadata.metadata("requests-authretry").get_all("Provides-Extra")
print(json.dumps({"version": package.__version__, "needs": needs, "extras": extras}))
"""
"""A program that imports every module, and says which of them need which extra."""

FROM_SOURCE = ("tests/recorded", "tests/test_docs.py", "tests/test_packaging.py")
"""The tests of the source archive that are run: they need its cassettes, pages and tools."""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program and return its standard output; exit with all that it says if it fails."""
    arguments = [str(part) for part in command]
    ran = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{' '.join(arguments)}\n{ran.stdout}{ran.stderr}\nexit status {ran.returncode}")
    return ran.stdout


def environment(folder: Path, *packages: str | Path) -> Path:
    """Make an environment, install packages, and return the folder with its programs."""
    run(sys.executable, "-m", "venv", folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", *packages)
    return programs


def faults(tree: Iterable[str], source: Iterable[str], wheel: Iterable[str]) -> list[str]:
    """Compare the files of the tree with those of the archives.

    Args:
        tree: The paths that git tracks.
        source: The paths in the source archive, below its one folder.
        wheel: The paths in the wheel.

    Returns:
        A line for each difference.
    """
    tracked, packed = set(tree), {name for name in wheel if ".dist-info/" not in name}
    made = {name for name in set(source) - tracked if name.startswith(MADE)}
    modules = {name for name in tracked if name.startswith(f"{PACKAGE}/")}
    return [
        f"{archive} {verb} {name}"
        for archive, has, wanted in (
            ("the source archive", set(source) - made, tracked),
            ("the wheel", packed, modules),
        )
        for verb, names in (("lacks", wanted - has), ("should not have", has - wanted))
        for name in sorted(names)
    ]


def why_not(tag: str, project: str, changelog: str) -> str | None:
    """Say why a tag may not be released; None if it may.

    Args:
        tag: As in ``v0.1.0``.
        project: The text of pyproject.toml.
        changelog: The text of CHANGELOG.md.
    """
    (version,) = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)
    if tag != f"v{version}":
        return f"pyproject.toml has the version {version}, which is not the tag {tag}"
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, changelog, re.MULTILINE):
        return f"CHANGELOG.md has no section for {version} with a date"
    return None


def build(folder: Path) -> tuple[Path, Path]:
    """Build from a copy of the tree, check both archives, and return the source and the wheel."""
    tree, out = folder / "tree", folder / "dist"
    copy_tree(tree)
    tracked = [path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()]
    python = environment(folder / "tools", *TOOLS) / "python"
    run(python, "-m", "build", "--outdir", out, tree)
    (source,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    run(python, "-m", "twine", "check", "--strict", source, wheel)
    with tarfile.open(source) as archive, zipfile.ZipFile(wheel) as packed:
        members = [each.name.partition("/")[2] for each in archive if each.isfile()]
        found = faults(tracked, members, packed.namelist())
    if found:
        sys.exit("\n".join([*found, "MANIFEST.in says what the archives have."]))
    return source, wheel


def try_wheel(wheel: Path, folder: Path) -> str:
    """Install a wheel alone, import every module of it, run its commands, and tell about it."""
    programs = environment(folder / "wheel", wheel)
    python = programs / "python"
    run(python, "-m", "pip", "check")
    told = [
        json.loads(run(python, "-I", "-W", "error", *optimized, "-c", IMPORTS, cwd=folder))
        for optimized in ((), ("-O",), ("-OO",))
    ]
    about = told[0]
    if any(each != about for each in told) or f"-{about['version']}-" not in wheel.name:
        sys.exit(f"the versions and extras are not the same: {wheel.name}, {told}")
    if not set(about["needs"].values()) <= set(about["extras"]):
        sys.exit(f"there is no such extra: {about}")
    for command in ((programs / "authretry",), (python, "-m", PACKAGE)):
        run(*command, "--help", cwd=folder)
        run(*command, "check", cwd=folder)
    needs = ", ".join(sorted(f"{module} ({extra})" for module, extra in about["needs"].items()))
    return f"{wheel.name} works without extras, which these modules need: {needs}"


def try_source(source: Path, folder: Path, python: Path) -> str:
    """Collect all tests of a source archive, run some, and tell about it."""
    with tarfile.open(source) as archive:
        archive.extractall(folder / "source", filter="data")
    (tree,) = (folder / "source").iterdir()
    pytest = (python, "-m", "pytest", "-q", "-m", "not slow")
    collected = run(*pytest, "--collect-only", cwd=tree).rstrip().splitlines()[-1]
    ran = run(*pytest, *FROM_SOURCE, cwd=tree).rstrip().splitlines()[-1]
    return f"{source.name}: {collected}; of its cassettes, pages and tools {ran}"


def main() -> None:
    """Do what is asked for; the exit status is 1 if anything is wrong."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to put both archives")
    parser.add_argument("--tests", type=Path, metavar="PYTHON", help="runs the source's tests")
    parser.add_argument("--wheel", type=Path, metavar="FOLDER", help="only try the wheel in it")
    parser.add_argument("--tag", help="only say whether this tag may be released")
    options = parser.parse_args()
    if options.tag is not None:
        project, changes = (ROOT / name for name in ("pyproject.toml", "CHANGELOG.md"))
        sys.exit(why_not(options.tag, project.read_text("utf-8"), changes.read_text("utf-8")))
    with tempfile.TemporaryDirectory(prefix="package-") as name:
        folder = Path(name)
        if options.wheel is not None:
            (wheel,) = options.wheel.glob("*.whl")
            print(try_wheel(wheel.absolute(), folder))
            return
        source, wheel = build(folder)
        print(f"{source.name} has all that git tracks, and {wheel.name} the whole package")
        print(try_wheel(wheel, folder))
        if options.tests is not None:
            print(try_source(source, folder, options.tests.absolute()))
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            for archive in (source, wheel):
                shutil.copy2(archive, options.keep)


if __name__ == "__main__":
    main()
