"""Two ways to add the library to a session of somebody else's."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from requests_authretry import Backoff, RetryPolicy, Settings, install, mount
from requests_authretry.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests


class Way(Protocol):
    """Adds the library, with these settings besides those of every test here."""

    def __call__(self, session: requests.Session, **settings: Any) -> None:
        """To this session, or to all."""


@pytest.fixture(params=["mounted", "installed"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """By `mount` on the session, or by `install`; without real waits."""
    retry = RetryPolicy(
        backoff=Backoff(initial=0.0, throttled_initial=0.0, unreachable_initial=0.0)
    )
    with ExitStack() as stack:

        def add(session: requests.Session, **settings: Any) -> None:
            chosen = Settings(**{"retry": retry, "clock": FakeClock(), **settings})
            how = mount(session, chosen) if request.param == "mounted" else install(chosen)
            stack.enter_context(how)

        yield add
