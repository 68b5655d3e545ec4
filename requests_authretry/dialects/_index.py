"""Which dialects concern which hosts; `tools/dialects.py` writes it from the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

EXACT: Final[Mapping[str, tuple[str, ...]]] = {
    "api.github.com": ("github",),
    "slack.com": ("slack",),
}
"""The names of dialects, by the hosts of their origins."""

SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {}
"""The names of dialects, by the names below which their hosts are."""
