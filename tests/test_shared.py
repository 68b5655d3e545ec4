"""What the sessions with one settings object share: one state, as long as the object lives."""

from __future__ import annotations

import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from threading import Barrier
from typing import TYPE_CHECKING, Any

import requests

from requests_authretry import Settings, mount, override
from requests_authretry._shared import SharedState, derived
from requests_authretry.testing import ScriptedAdapter
from tests.support.scripted import ORIGIN, URL

if TYPE_CHECKING:
    from requests_authretry import FetchContext


def test_settings_that_say_the_same_share_nothing() -> None:
    """Two objects are two, whatever stands in them; a changed copy begins afresh."""
    one = Settings(token="tok", origins=[ORIGIN])
    two = Settings(token="tok", origins=[ORIGIN])
    states = {SharedState.of(settings) for settings in (one, two, replace(one))}
    assert len(states) == 3
    assert SharedState.of(one).quotas is not SharedState.of(two).quotas
    assert SharedState.of(one).tokens is not SharedState.of(two).tokens


def test_the_state_outlives_its_sessions() -> None:
    """A session mounted later finds the token and the quota of those that are gone."""
    settings = Settings(token="tok", origins=[ORIGIN])
    mount(requests.Session(), settings).unmount()
    before = weakref.ref(SharedState.of(settings))
    gc.collect()
    assert SharedState.of(settings) is before()


class Slow:
    """A token source that is looked at by as many threads at once as the barrier counts."""

    def __init__(self, parties: int) -> None:
        self._barrier = Barrier(parties)

    @property
    def prover(self) -> None:
        """None, but to all of them together."""
        self._barrier.wait(120)

    def fetch(self, context: FetchContext) -> str:
        """Never asked."""
        raise NotImplementedError(context)


def test_threads_that_come_at_once_get_one_state() -> None:
    """Of 200 threads that each begin to make the state, all go on with the same one."""
    settings = Settings(token=Slow(200), origins=[ORIGIN])
    with ThreadPoolExecutor(200) as threads:
        states = set(threads.map(SharedState.of, [settings] * 200))
    assert len(states) == 1


class Program:
    """An object that holds the settings, and whose methods the settings hold."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.settings = Settings(token=self.fetch, origins=[ORIGIN], listeners=[self.heard.append])

    def fetch(self) -> str:
        """A token."""
        return f"tok-{len(self.heard)}"


def test_settings_that_nobody_uses_any_more_are_collected() -> None:
    """Also where the token function belongs to an object that holds them, and after `override`."""
    program = Program()
    session, below = requests.Session(), ScriptedAdapter(200, 200)
    session.mount("https://", below)
    with mount(session, program.settings):
        session.get(URL)
        with override(timeout=3):
            session.get(URL)
    used: list[Any] = [program.settings, SharedState.of(program.settings)]
    gone = [weakref.ref(used.pop()), weakref.ref(used.pop())]
    del program, session, below
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_the_state_is_no_field() -> None:
    """Neither `fields`, `asdict` and `vars` nor a pickle have it; loaded settings begin afresh."""
    settings = Settings(timeout=3)
    state = SharedState.of(settings)
    names = {item.name for item in fields(settings)}
    assert set(asdict(settings)) == set(vars(settings)) == names
    loaded = pickle.loads(pickle.dumps(settings))  # noqa: S301 (our own)
    assert loaded.timeout == 3
    assert SharedState.of(loaded) is not state


def test_derived_settings_share_what_no_change_concerns() -> None:
    """Another timeout leaves token, quota and limits shared; another token has its own."""
    settings = Settings(token="tok", origins=[ORIGIN])
    base = SharedState.of(settings)
    same, other = (
        SharedState.of(derived(settings, **it)) for it in ({"timeout": 3}, {"token": "x"})
    )
    assert (same.tokens, same.quotas, same.sharing) == (base.tokens, base.quotas, base.sharing)
    assert other.tokens is not base.tokens
    assert (other.quotas, other.sharing) == (base.quotas, base.sharing)
