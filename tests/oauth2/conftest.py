"""Fixtures of the tests of the OAuth 2 sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.oauth2.support import NO_BUNDLE, ended_renewals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The CAs of this machine do not win over those of a test, and no renewal outlives its test."""
    for name in NO_BUNDLE:
        monkeypatch.delenv(name, raising=False)
    yield
    ended_renewals()
