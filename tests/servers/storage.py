"""Blob storage: Azurite on node, and the emulator of Google's."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from importlib import import_module
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING

from tests.servers import npm
from tests.servers.oidc import HERE, ServerMissingError
from tests.servers.starting import serving, started

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

    def launch() -> Popen[str]:
        command = ["node", "start.mjs"]  # looked for on PATH before
        return Popen(command, cwd=_AZURITE, stdin=PIPE, stdout=PIPE, text=True)  # noqa: S603 (our own words)

    process, url = started("Azurite", launch, _url)
    with process:
        try:
            yield url
        finally:
            process.kill()


def _url(process: Popen[str]) -> str | None:
    assert process.stdout is not None
    said = (line.rpartition(" listens on ")[2].strip() for line in process.stdout)
    return next((text for text in said if text.startswith("http://")), None)


@contextmanager
def serve_gcs() -> Iterator[str]:
    """Run PyPI's gcp-storage-emulator on a free port of 127.0.0.1, in memory, in this process.

    Raises:
        ImportError: It is not installed; it comes with the extra ``sdks``.
    """
    emulator = import_module("gcp_storage_emulator.server")
    storage = import_module("gcp_storage_emulator.storage").Storage(use_memory_fs=True)
    handler = partial(emulator.RequestHandler, storage)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"
