"""Blob storage: Azurite on node, and the emulator of Google's."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from importlib import import_module
from threading import Thread, Timer
from typing import TYPE_CHECKING

from tests.servers import npm
from tests.servers.oidc import HERE, ServerMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

_AZURITE = HERE / "azurite"


@contextmanager
def serve_azurite() -> Iterator[str]:
    """Run Azurite on a free port of 127.0.0.1, in memory, and give its base URL.

    Raises:
        ServerMissingError: There is no node or npm here, or it cannot be installed.
    """
    if missing := npm.missing(_AZURITE):
        raise ServerMissingError(missing)
    with subprocess.Popen(
        ["node", "start.mjs"],  # noqa: S607 (looked for on PATH before)
        cwd=_AZURITE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        watchdog = Timer(60, process.kill)
        watchdog.start()
        try:
            said = (line.rpartition(" listens on ")[2].strip() for line in process.stdout)
            url = next((text for text in said if text.startswith("http://")), None)
            watchdog.cancel()
            if url is None:
                raise RuntimeError("Azurite did not start: see stderr")
            yield url
        finally:
            watchdog.cancel()
            process.kill()


@contextmanager
def serve_gcs() -> Iterator[str]:
    """Run PyPI's gcp-storage-emulator on a free port of 127.0.0.1, in memory, in this process.

    Raises:
        ImportError: It is not installed; it comes with the extra ``sdks``.
    """
    emulator = import_module("gcp_storage_emulator.server")
    storage = import_module("gcp_storage_emulator.storage").Storage(use_memory_fs=True)
    handler = partial(emulator.RequestHandler, storage)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
