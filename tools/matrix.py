"""Run the tests on the supported versions of Python, requests and urllib3.

    python3 tools/matrix.py                  # list the entries
    python3 tools/matrix.py 3.10-oldest      # run some
    python3 tools/matrix.py --subset         # what CI runs each time, with --at-once 2
    python3 tools/matrix.py --all            # each in full

Each entry has a fresh environment with the package installed, and a fresh copy of the tree without
it. Of a subset, the oldest runs all tests, and the others those that meet requests and urllib3;
.ci/run runs all of them on the newest as well. An interpreter that is not there is said to be
missing; with CI=true that is a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from subprocess import STDOUT
from typing import IO, TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

ROOT = Path(__file__).parent.parent
PACKAGE = "requests_authretry"

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
OLDEST = (
    *("requests==2.28.2", "urllib3==1.26.16", "filelock==3.20.1", "http-sf==1.4.0"),
    *("oauthlib==3.2.2", "joserfc==1.4.3", "redis==5.2.0", "keyring==24.0.0", "rich==13.3.1"),
    "tomli==2.0.0; python_version < '3.11'",
)
# requests 2.28.2 does not take urllib3 2, so these are all that can be put together
DEPENDENCIES = {"oldest": OLDEST, "mixed": ("urllib3==1.26.16",), "newest": ()}
ENTRIES = tuple(f"{python}-{kind}" for kind in DEPENDENCIES for python in PYTHONS)

IN_FULL = ("3.10-oldest",)
IN_PART = ("3.11-mixed", "3.12-newest", "3.13-newest")
MEETING = (
    "tests/recorded",
    "tests/neighbours",
    "tests/call/test_adapter.py",
    "tests/install/test_inner_retries.py",
    "tests/call/test_bodies_like_bare.py",
    "tests/call/test_response_body.py",
    "tests/call/test_request_body.py",
    "tests/call/test_cookies.py",
    "tests/call/test_failures.py",
    "tests/call/test_hooks.py",
    "tests/install/test_install.py",
    "tests/install/test_mount.py",
    "tests/call/test_proxies.py",
    "tests/call/test_redirects.py",
    "tests/sources/test_sessions_of_others.py",
    "tests/call/test_unread.py",
)
"""Where the tests are that meet requests and urllib3."""


def interpreter(version: str) -> str | None:
    """The first one of that version that can make environments, from PATH or pyenv."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout
        folders += sorted(Path(root.strip()).glob("versions/*/bin"))
    for candidate in (folder / f"python{version}" for folder in folders):
        # a pyenv shim is there for versions that are not
        probe = [str(candidate), "-c", "import ensurepip, venv"]
        if (
            candidate.exists()
            and not subprocess.run(probe, capture_output=True, check=False).returncode
        ):
            return str(candidate)
    return None


def copy_tree(target: Path) -> None:
    """Copy what git tracks, and what it would: no environment, no caches."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


RUNNING: set[subprocess.Popen[bytes]] = set()
"""The processes of all entries that run now."""


def stop(*_: object) -> NoReturn:
    """End the processes of all entries, and this one when they have ended."""
    for process in tuple(RUNNING):
        process.terminate()
    sys.exit(1)


def run(entry: str, output: IO[str], *, in_full: bool) -> bool:
    """Run one entry, write what it says to ``output``, and tell whether it passed."""

    def call(*command: str, check: bool = True, cwd: Path | None = None) -> bool:
        output.flush()
        with subprocess.Popen(command, cwd=cwd, stdout=output, stderr=STDOUT) as process:
            RUNNING.add(process)
        RUNNING.discard(process)
        if process.returncode and (check):
            raise subprocess.CalledProcessError(process.returncode, command)
        return process.returncode == 0

    version, _, kind = entry.partition("-")
    output.write(f"\n=== the tests on Python {version}, {kind} dependencies\n")
    python, began = interpreter(version), time.monotonic()
    if python is None:
        output.write(f"there is no Python {version} here: not tested on it\n")
        return os.environ.get("CI") != "true"
    with tempfile.TemporaryDirectory(prefix=f"{entry}-") as folder:
        tree, made = Path(folder, "tree"), Path(folder, "environment", "bin", "python")
        copy_tree(tree)
        call(python, "-m", "venv", str(made.parents[1]))
        # Most of what the packages bring is never imported: compile what is.
        install = [str(made), "-m", "pip", "install", "--quiet", "--no-compile"]
        call(*install, ".[test]", *DEPENDENCIES[kind], cwd=tree)
        shutil.rmtree(tree / PACKAGE)  # the installed one is tested
        # .ci/run tries many more examples on the newest versions.
        tests = [str(made), "-m", "pytest", "-n", "auto", "-rs", "--hypothesis-profile=quick"]
        passed = call(*tests, *(() if in_full else MEETING), check=False, cwd=tree)
    verdict = "passed" if passed else "FAILED"
    output.write(f"{entry} {verdict} in {time.monotonic() - began:.0f} s\n")
    return passed


def run_all(entries: Sequence[str], full: Collection[str], at_once: int) -> list[str]:
    """Run entries, some at once; print what each says in their order, and return what failed."""
    failed = []
    with ThreadPoolExecutor(at_once) as pool, ExitStack() as files:
        outputs = [files.enter_context(tempfile.TemporaryFile("w+")) for _ in entries]
        jobs = [
            pool.submit(run, entry, output, in_full=entry in full)
            for entry, output in zip(entries, outputs, strict=True)
        ]
        for entry, output, job in zip(entries, outputs, jobs, strict=True):
            error = job.exception()  # waits for its end
            output.seek(0)
            print(output.read(), flush=True)
            if error is not None:
                print(f"{entry} FAILED: {error}", flush=True)
            if error is not None or not job.result():
                failed.append(entry)
    return failed


def main() -> int:
    """Run what is asked for; 1 where any of it failed."""
    parser = ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("entries", nargs="*", metavar="ENTRY", help=", ".join(ENTRIES))
    parser.add_argument("--all", action="store_true", help="all entries, each in full")
    parser.add_argument("--subset", action="store_true", help="what CI runs each time")
    parser.add_argument("--at-once", type=int, default=1, help="how many entries run at a time")
    options = parser.parse_args()
    unknown = set(options.entries) - set(ENTRIES)
    if unknown:
        parser.error(
            f"there is no {', '.join(sorted(unknown))}: the entries are {', '.join(ENTRIES)}"
        )
    if options.subset:
        chosen = [*IN_FULL, *IN_PART]
    else:
        chosen = [*(ENTRIES if options.all else options.entries)]
    if not chosen:
        print("\n".join(ENTRIES))
    signal.signal(signal.SIGTERM, stop)
    failed = run_all(chosen, IN_FULL if options.subset else chosen, options.at_once)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
