"""``python -m requests_authretry``: the command line."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main(program="python -m requests_authretry"))
