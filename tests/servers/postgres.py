"""A real PostgreSQL with a cluster of its own, on a socket of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING, Any

from tests.servers.oidc import ServerMissingError
from tests.servers.starting import started

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETTINGS = {"listen_addresses": "", "fsync": "off", "logging_collector": "off"}
"""No port, as a socket in a folder of its own collides with nothing; nothing to outlive a crash."""


class PostgresServer:
    """A PostgreSQL server that everybody on its socket may use as the user ``tester``.

    Attributes:
        folder: Where its socket is, which is the host for its clients.
        url: What SQLAlchemy connects to, with the driver psycopg.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        self.url = f"postgresql+psycopg://tester@/postgres?host={folder}"
        self._programs, self._data = programs, str(folder / "data")
        # It refuses to run as root.
        self._as: dict[str, Any] = {"user": _nobody()} if os.geteuid() == 0 else {}
        if self._as:
            os.chown(folder, self._as["user"], -1)
        self._process: Popen[str] | None = None

    def start(self) -> None:
        """Make the cluster, start the server, and wait until it answers."""
        make = [str(self._programs / "initdb"), "-D", self._data, "-U", "tester", "--auth=trust"]
        make += ["--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(make, stdout=DEVNULL, check=True, cwd=self.folder, **self._as)  # noqa: S603 (our own words)
        self._process, _ = started("PostgreSQL", self._launch, self._answers)

    def _launch(self) -> Popen[str]:
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [
            str(self._programs / "postgres"),
            "-D",
            self._data,
            "-k",
            str(self.folder),
            *options,
        ]
        return Popen(command, stderr=DEVNULL, text=True, cwd=self.folder, **self._as)  # noqa: S603 (as above)

    def _answers(self, process: Popen[str]) -> bool | None:
        import psycopg

        while process.poll() is None:
            with suppress(psycopg.OperationalError):
                psycopg.connect(host=str(self.folder), user="tester", dbname="postgres").close()
                return True
            time.sleep(0.01)
        return None

    def close(self) -> None:
        """End it at once, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()


@contextmanager
def serve_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server.

    Raises:
        ServerMissingError: There is no PostgreSQL.
    """
    programs = _programs()
    # The path of a Unix socket must be short, and pytest's own directories are not.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        server = PostgresServer(programs, Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.close()


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs; Debian does not put it on the PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: each.parent.name)
    if not folders:
        raise ServerMissingError("there is no PostgreSQL: initdb is neither on PATH nor Debian's")
    return folders[-1]


def _nobody() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_uid
