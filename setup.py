"""The README as a package index shows it; all else is in pyproject.toml.

On an index a relative link leads nowhere. Here each one becomes an address of the project, at the
tag of this release: the page of an old release leads to the documents of that release.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup

TOP = Path(__file__).parent
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^]]*)\]\((?![a-z]+:|#)(?P<target>[^)]+)\)")


def setting(name: str) -> str:
    """Return a text of pyproject.toml; Python 3.10 has no reader of TOML."""
    (found,) = re.findall(
        rf'^{name} = "(.+)"$', (TOP / "pyproject.toml").read_text("utf-8"), re.MULTILINE
    )
    return str(found)


def absolute(page: str, source: str, tag: str) -> str:
    """Return a page whose relative links lead to the project's address, at a tag."""

    def link(found: re.Match[str]) -> str:
        kind = "raw" if found["picture"] else "blob"
        address = f"{source}/{kind}/{tag}/{found['target']}"
        return f"{found['picture']}[{found['text']}]({address})"

    return LINK.sub(link, page)


setup(
    long_description=absolute(
        (TOP / "README.md").read_text("utf-8"), setting("Source"), f"v{setting('version')}"
    ),
    long_description_content_type="text/markdown",
)
