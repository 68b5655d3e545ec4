"""The exit statuses of the command line, besides 0 for success and those of a program that runs."""

from __future__ import annotations

FAILED = 1
"""The command did its work, and the news is bad: a fault, an error, no answer."""

USAGE_ERROR = 2
"""The command could not begin: wrong arguments or settings. argparse exits with it as well."""

INTERRUPTED = 130
"""Somebody pressed Ctrl-C: 128 and the number of SIGINT, as shells report it."""

CLOSED_PIPE = 141
"""The reader of the output has gone: 128 and the number of SIGPIPE, as shells report it."""
