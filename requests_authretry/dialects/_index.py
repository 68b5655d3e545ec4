"""Which dialects concern which hosts; `tools/dialects.py` writes it from the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

EXACT: Final[Mapping[str, tuple[str, ...]]] = {
    "api.anthropic.com": ("anthropic",),
    "api.atlassian.com": ("jira",),
    "api.github.com": ("github",),
    "api.openai.com": ("openai",),
    "api.telegram.org": ("telegram",),
    "discord.com": ("discord",),
    "dod-graph.microsoft.us": ("microsoft-graph",),
    "gitlab.com": ("gitlab",),
    "graph.microsoft.com": ("microsoft-graph",),
    "graph.microsoft.us": ("microsoft-graph",),
    "microsoftgraph.chinacloudapi.cn": ("microsoft-graph",),
    "slack.com": ("slack",),
}
"""The names of dialects, by the hosts of their origins."""

SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "atlassian.net": ("jira",),
    "googleapis.com": ("google",),
    "my.salesforce.com": ("salesforce",),
    "myshopify.com": ("shopify",),
}
"""The names of dialects, by the names below which their hosts are."""
