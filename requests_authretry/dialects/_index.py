"""Which dialects concern which hosts; `tools/dialects.py` writes it from the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

EXACT: Final[Mapping[str, tuple[str, ...]]] = {
    "api.atlassian.com": ("jira",),
    "api.github.com": ("github",),
    "api.telegram.org": ("telegram",),
    "discord.com": ("discord",),
    "gitlab.com": ("gitlab",),
    "slack.com": ("slack",),
}
"""The names of dialects, by the hosts of their origins."""

SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "atlassian.net": ("jira",),
}
"""The names of dialects, by the names below which their hosts are."""
