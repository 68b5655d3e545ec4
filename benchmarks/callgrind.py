"""Counts the instructions of a program with valgrind's callgrind, and serves what it asks for."""
# ruff: noqa: INP001, T201 (a part of the scripts beside it)

from __future__ import annotations

import os
import re
import socketserver
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def serve(handler: type[socketserver.StreamRequestHandler]) -> None:
    """Serve on a free port, and print which, until killed."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


@contextmanager
def serving(program: str) -> Iterator[str]:
    """Give the base URL of a server in a process of its own: the program with ``server``."""
    command = [sys.executable, program, "server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 (ours)
        assert process.stdout is not None  # noqa: S101 (for the type checker)
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def counted(valgrind: str, program: str, *arguments: object) -> int:
    """Return the instructions of one run: the program with ``client`` and the arguments.

    Raises:
        RuntimeError: valgrind could not run it to its end.
    """
    tool = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command = [*tool, sys.executable, program, "client", *map(str, arguments)]
    plain = {"PYTHONHASHSEED": "0", "NO_PROXY": "*", "NETRC": os.devnull}
    ran = subprocess.run(  # noqa: S603 (ours)
        command, env={**os.environ, **plain}, capture_output=True, text=True, check=False
    )
    found = re.search(r"refs: +([\d,]+)", ran.stderr)
    if ran.returncode or not found:
        raise RuntimeError(f"nothing was counted: {arguments[0]} ended with {ran.returncode}")
    return int(found[1].replace(",", ""))
