"""Wrong uses: each is refused in words that name the fault and the way out.

`wrong_uses.txt` has each use, and what its author reads. After a change of the words, write it
anew and read the difference::

    python -m tests.test_wrong_uses
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import keyring
import pytest
import redis
import redis.asyncio
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth, HTTPProxyAuth
from requests_ntlm import HttpNtlmAuth
from urllib3.util import Retry

import requests_authretry
from requests_authretry import ConfigurationError, oauth2, sources, testing
from requests_authretry.keyring import KeyringStore
from requests_authretry.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests_authretry import FetchContext

TABLE: Final = Path(__file__).parent / "wrong_uses.txt"
SECRET: Final = "s3cret-of-the-user"
FEWEST: Final = 200
INDENT: Final = "    "


class Source:
    """A token source."""

    def fetch(self, context: FetchContext) -> str:
        """Return a token."""
        return f"{SECRET}{context.refused}"


class SourceWithoutContext:
    """A token source of another library."""

    def fetch(self) -> str:
        """Return a token."""
        return SECRET


async def later(*_: Any) -> str:
    """Return a token, later."""
    return SECRET


def names() -> dict[str, Any]:
    """Return what the uses in the table name."""
    public = [requests_authretry, oauth2, sources, testing]
    return {
        **{name: getattr(module, name) for module in public for name in module.__all__},
        "CLIENT": oauth2.Client("me", SECRET, issuer="https://login.example.com"),
        "HTTPAdapter": HTTPAdapter,
        "HTTPBasicAuth": HTTPBasicAuth,
        "HTTPProxyAuth": HTTPProxyAuth,
        "HttpNtlmAuth": HttpNtlmAuth,
        "KeyringStore": KeyringStore,
        "ORIGINS": ["https://api.example.com"],
        "RedisStore": RedisStore,
        "Retry": Retry,
        "SECRET": SECRET,
        "Source": Source,
        "SourceWithoutContext": SourceWithoutContext,
        "keyring": keyring,
        "later": later,
        "redis": redis,
        "requests": requests,
        "session": requests.Session(),
    }


def said_of(use: str) -> str:
    """Return what the author of a use reads: an error, or else a warning."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            made = eval(use, names())  # noqa: S307 (the table is ours)
            if use.startswith("override"):
                made.__enter__()
        except ConfigurationError as error:
            return str(error)
    return "; ".join(f"{each.category.__name__}: {each.message}" for each in warned) or "(nothing)"


def rows() -> Iterator[tuple[str, str]]:
    """Give each use of the table, and what it says of it."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    for use, said in zip(lines[::2], lines[1::2], strict=True):
        yield use, said.removeprefix(INDENT)


@pytest.mark.parametrize(("use", "said"), [pytest.param(*row, id=row[0]) for row in rows()])
def test_a_wrong_use_is_told_with_the_way_out(use: str, said: str) -> None:
    """``Settings(timout=3)`` is an error that says: did you mean timeout?"""
    told = said_of(use)
    assert told == said
    assert SECRET not in told


def test_the_table_is_whole() -> None:
    """Each use stands there once, and nothing that is silent or has no name."""
    table = list(rows())
    assert len({use for use, _ in table}) == len(table) >= FEWEST
    assert not [use for use, said in table if ": " not in said]


OVERRIDE = """
import warnings
from requests_authretry import install, override
{before}
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    for _ in range(2):
        with override(timeout=5):
            {within}
print([(each.category.__name__, str(each.message), each.lineno) for each in warned])
"""


def override_in_a_process(before: str = "", within: str = "pass") -> str:
    """Run a program that overrides, and return the warnings that it prints."""
    program = OVERRIDE.format(before=before, within=within)
    return subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout


def test_an_override_that_changes_no_call_warns_once() -> None:
    """In a process where nothing is mounted or installed; the line is that of the block."""
    told = override_in_a_process()
    assert told.count("AuthRetryWarning") == 1
    assert "Call mount(session) before, or install()" in told
    assert told.rstrip().endswith(", 8)]")


@pytest.mark.parametrize("where", ["before", "within"])
@pytest.mark.parametrize(
    "use",
    [
        "install()",
        "import requests, requests_authretry as r; r.mount(requests.Session())",
        "import requests_authretry as r; r.AuthRetryAdapter()",
    ],
)
def test_an_override_that_may_change_calls_does_not_warn(where: str, use: str) -> None:
    """Whether the session is mounted before the block or in it."""
    assert override_in_a_process(**{where: use}) == "[]\n"


if __name__ == "__main__":
    uses = [use for use, _ in rows()]
    text = "".join(f"{use}\n{INDENT}{said_of(use)}\n" for use in uses)
    TABLE.write_text(text, encoding="utf-8")
