"""What a test needs of the operating system: without it, the test is skipped with the reason."""

from __future__ import annotations

import os

import pytest

_IS_WINDOWS = os.name == "nt"

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
pipes_with_names = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
permissions = pytest.mark.skipif(_IS_WINDOWS, reason="Windows has no permission bits and owners")
links = pytest.mark.skipif(_IS_WINDOWS, reason="on Windows a symbolic link needs a privilege")
scripts = pytest.mark.skipif(_IS_WINDOWS, reason="Windows runs no script by its first line")
signals = pytest.mark.skipif(_IS_WINDOWS, reason="Windows has no signals between processes")
posix_files = pytest.mark.skipif(_IS_WINDOWS, reason="needs the files and limits of POSIX")
servers = pytest.mark.skipif(_IS_WINDOWS, reason="the servers are started on POSIX systems alone")
