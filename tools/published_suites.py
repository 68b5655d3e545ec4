"""Run the published test suites of others under ``install(Settings())``, and compare with bare.

    python tools/published_suites.py [requests requests-toolbelt betamax ...]

Run it by a Python that has this package with ``.[test]`` installed; without names it runs them all.
Each suite comes from the source distribution of its package and is run twice, as it is and
installed; every test has to come to the same, but for what is explained below. No traffic leaves
the machine (``suite_plugin.py``).

The functional test of requests-kerberos needs a Kerberos realm, for which MIT's programs and
headers have to be there (``apt-get install krb5-kdc krb5-user libkrb5-dev``). Without them that one
test is skipped, and the tool says so.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

NEEDS = ("pytest-httpbin", "pytest-mock", "pytest", "trustme", "pysocks", "pyopenssl")
"""What the suites need besides."""

KERBEROS_PROGRAMS = ("krb5kdc", "kadmin.local", "kinit", "krb5-config")
KERBEROS_PACKAGES = ("gssapi", "k5test", "pyspnego[kerberos]")
"""They are built from source, by ``krb5-config``."""

STARTED_WITHIN = 30.0
"""Seconds that a server has to start."""


class Served(NamedTuple):
    """What a suite is told of the server that was started for it.

    Attributes:
        environment: Variables for the suite.
        answers: Options for the plugin: which address of the suite's is the server's.
    """

    environment: dict[str, str]
    answers: tuple[str, ...] = ()


@contextmanager
def no_server(tree: Path) -> Iterator[Served]:
    """Start nothing: the suite needs no server, or ``suite_plugin.py`` has it."""
    del tree
    yield Served({})


@contextmanager
def ntlm_server(tree: Path) -> Iterator[Served]:
    """Start the server that requests-ntlm's tests expect on port 5000, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "flask", "--app", "tests.test_server", "run", "--port", port]
    server = subprocess.Popen(
        [str(part) for part in command],
        cwd=tree,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield Served({}, ("--answer", f"localhost:5000={port}"))
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int) -> None:
    """Wait until somebody listens on a port of loopback."""
    ends = time.monotonic() + STARTED_WITHIN
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)):
            if time.monotonic() > ends:
                raise TimeoutError(f"nobody listens on port {port}")
            time.sleep(0.05)


@contextmanager
def kerberos_realm(tree: Path) -> Iterator[Served]:
    """Start a realm with a web server in it, where this machine can."""
    missing = [name for name in KERBEROS_PROGRAMS if shutil.which(name, path=with_sbin()) is None]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *KERBEROS_PACKAGES]
    if not missing and subprocess.run(pip, check=False).returncode:
        missing = list(KERBEROS_PACKAGES)
    if missing:
        print(f"requests-kerberos: no functional test without {', '.join(missing)}", flush=True)
        yield Served({})
        return
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("kerberos_realm.py"))],
        cwd=tree,
        env={**os.environ, "PATH": with_sbin()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with server:  # which closes its input, and so ends it
        yield Served(json.loads(server.stdout.readline() if server.stdout else ""))


def with_sbin() -> str:
    """The search path with the folder where Debian has what serves."""
    return os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"


class Suite(NamedTuple):
    """A published suite.

    Attributes:
        package: The folder of its source that the installed package stands for.
        tests: What to run.
        install: Arguments of pip that install the package, where ``.[test]`` does not.
        server: Starts what its tests talk to.
    """

    package: str
    tests: str = "tests"
    install: tuple[str, ...] = ()
    server: Callable[[Path], AbstractContextManager[Served]] = no_server


SUITES = {
    "requests": Suite("requests"),
    "requests-toolbelt": Suite("requests_toolbelt"),
    "betamax": Suite("src"),
    # Its functional tests need IIS.
    "requests-ntlm": Suite("requests_ntlm", "tests/unit", ("flask",), ntlm_server),
    # Most of its tests need no Kerberos, which pip would build.
    "requests-kerberos": Suite(
        "requests_kerberos", install=("--no-deps", "requests-kerberos"), server=kerberos_realm
    ),
}
"""The suites, by the names of their packages."""

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
    package = tree / SUITES[suite].package
    if package.is_dir():
        package.rename(tree / "not-imported")
    return tree


def outcomes(suite: str, tree: Path, *options: str) -> dict[str, str]:
    """What became of each test, by its name."""
    path = tree.parent / "outcomes.json"
    tools = str(Path(__file__).parent)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {tools!r}); import pytest; "]
    command[-1] += "sys.exit(pytest.main(sys.argv[1:]))"
    plugins = ["-p", "suite_plugin", "-p", "no:randomly", "-p", "no:socket", "-q"]
    arguments = ["--outcomes", str(path), *options, "-c", "/dev/null", "--rootdir", "."]
    with SUITES[suite].server(tree) as served:
        subprocess.run(
            [*command, *plugins, *arguments, *served.answers, SUITES[suite].tests],
            cwd=tree,
            env={**os.environ, **served.environment},
            capture_output=True,
            check=False,
        )
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return {name.replace(str(tree), "."): outcome for name, outcome in found.items()}


def compared(suite: str) -> bool:
    """Whether a suite comes to the same, or to what is explained."""
    # A tree for each: what one run leaves behind, the next would find.
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        bare = outcomes(suite, unpacked(suite, Path(first)))
        installed = outcomes(suite, unpacked(suite, Path(second)), "--installed")
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
    for needs in (NEEDS, *(SUITES[suite].install for suite in suites)):
        if needs:
            subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *needs], check=True)
    return 0 if all([compared(suite) for suite in suites]) else 1  # noqa: C419 (each of them is run)


if __name__ == "__main__":
    sys.exit(main())
