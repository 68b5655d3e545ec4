"""The user's response hooks: all of them work, and see the final answer only."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import RefreshFailed, attempts
from requests_authretry._call.unauthorized import on_response
from requests_authretry.testing import FakeClock
from tests.support.scripted import EXPIRED, Source
from tests.support.sessions import API, Rig, raised, real
from tests.support.wire import PATIENCE, Wire, answer

if TYPE_CHECKING:
    import socket
    from threading import Event

    from requests_authretry.testing import Line
    from tests.support.wire import Action


class Seen:
    """A hook that records its arguments."""

    def __init__(self, replaced: requests.Response | None = None) -> None:
        """Return this answer in place of the received one."""
        self.statuses: list[int] = []
        self.options: list[set[str]] = []
        self._replaced = replaced

    def __call__(self, response: requests.Response, **options: Any) -> requests.Response | None:
        """Record the answer."""
        self.statuses.append(response.status_code)
        self.options.append(set(options))
        return self._replaced


def rig(*script: Any) -> Rig:
    """Make a session whose token is refused once."""
    return Rig(*script, token=Source("old", "new"), origins=[API])


HOOKS: dict[str, Any] = {
    "list": lambda hook: {"response": [hook]},
    "bare callable": lambda hook: {"response": hook},
    "tuple": lambda hook: {"response": (hook,)},
}


@pytest.mark.parametrize("shape", HOOKS.values(), ids=HOOKS)
@pytest.mark.parametrize("where", ["session", "call"])
def test_a_hook_sees_the_final_answer_once(shape: Any, where: str) -> None:
    """A hook of any kind sees neither failed attempts nor refused tokens."""
    seen, ours = Seen(), rig(503, EXPIRED, 429, 200)
    if where == "session":
        ours.session.hooks = shape(seen)
        response = ours.get()
    else:
        response = ours.get(hooks=shape(seen))
    assert (response.status_code, seen.statuses) == (200, [200])


def test_hooks_get_what_requests_gives_them() -> None:
    """The keyword arguments of a hook are those of bare requests."""
    with Wire(answer(), answer()) as wire, requests.Session() as bare, real() as session:
        usual, ours = Seen(), Seen()
        bare.get(wire.url, hooks={"response": usual})
        session.get(wire.url, hooks={"response": ours})
    assert ours.options == usual.options


def test_hooks_see_each_hop() -> None:
    """Hooks are called for each hop of a redirect, after our hook."""
    seen = Seen()
    ours = rig((302, {"Location": "/there"}), EXPIRED, 503, 200)
    ours.get(hooks={"response": seen})
    assert seen.statuses == [302, 200]


def test_hooks_of_a_call_stand_in_for_those_of_the_session() -> None:
    """A call's hooks replace those of the session, and our hook works all the same."""
    session_hook, call_hook, ours = Seen(), Seen(), rig(EXPIRED, 200)
    ours.session.hooks["response"].append(session_hook)
    ours.get(hooks={"response": call_hook})
    assert (session_hook.statuses, call_hook.statuses) == ([], [200])
    assert ours.session.hooks == {"response": [session_hook]}


@pytest.mark.parametrize("where", ["session", "call"])
def test_raise_for_status_as_a_hook(where: str) -> None:
    """A hook that raises for bad answers does not see answers that were retried."""

    def check(response: requests.Response, **_: Any) -> None:
        response.raise_for_status()

    ours = rig(503, EXPIRED, 200, 404)
    hooks: dict[str, Any] = {"response": [check]}
    if where == "session":
        ours.session.hooks, hooks = hooks, {}
    assert ours.get(hooks=hooks).status_code == 200
    with pytest.raises(requests.HTTPError, match="404"):
        ours.get(hooks=hooks)


@pytest.mark.parametrize("hooks", [{}, None, {"response": []}, {"response": None}])
def test_a_session_or_a_call_without_hooks(hooks: Any) -> None:
    """Our hook is there even if the caller removed all hooks."""
    ours = rig(EXPIRED, 200)
    if hooks != {"response": None}:  # which requests itself cannot merge
        ours.session.hooks = hooks
    request = ours.session.prepare_request(requests.Request("GET", API))
    if hooks is not None:
        request.hooks = hooks
    assert ours.session.send(request).status_code == 200


def test_a_request_whose_hooks_are_none() -> None:
    """A request with hooks set to None works, except that its 401 is handed out."""
    ours = rig((302, {"Location": "/there"}), 503, EXPIRED)
    request = ours.session.prepare_request(requests.Request("GET", API))
    request.hooks = None  # type: ignore[assignment]
    assert ours.session.send(request).status_code == 401
    assert len(ours.inner.sent) == 3


def test_a_request_prepared_without_the_session() -> None:
    """A 401 is answered although `Request.prepare` has no hooks of the session."""
    ours = rig(EXPIRED, 200)
    assert ours.session.send(requests.Request("GET", API).prepare()).status_code == 200
    assert ours.carried == ["Bearer old", "Bearer new"]


def test_our_hook_is_there_once() -> None:
    """Our hook is first and there once, however often a request is refused and redirected."""
    seen, source = Seen(), Source("one", "two", "three", "four")
    script: list[Line] = [EXPIRED, (302, {"Location": "/"}), 200]
    ours = Rig(*script * 3, token=source, origins=[API])
    request = requests.Request("GET", API, hooks={"response": seen}).prepare()
    for _ in range(3):
        assert ours.session.send(request).status_code == 200
    assert request.hooks == {"response": [on_response, seen]}
    assert seen.statuses == [302, 200] * 3


@pytest.mark.parametrize("shape", HOOKS.values(), ids=HOOKS)
def test_hooks_that_were_put_on_a_prepared_request(shape: Any) -> None:
    """Our hook is first again, whatever hooks were put before it or in its place."""
    early, late, source = Seen(), Seen(), Source("one", "two", "three", "four")
    script: list[Line] = [EXPIRED, 200]
    ours = Rig(*script * 3, token=source, origins=[API])
    request = ours.session.prepare_request(requests.Request("GET", API))
    request.hooks = shape(late)
    assert ours.session.send(request).status_code == 200
    request.hooks["response"].insert(0, early)
    assert ours.session.send(request).status_code == 200
    assert request.hooks == {"response": [on_response, early, late]}
    assert (early.statuses, late.statuses) == ([200], [200, 200])


def test_a_hook_may_put_another_answer_in_place() -> None:
    """The caller gets the answer that a user's hook returns."""
    other = requests.Response()
    other.status_code = 299
    ours = rig(EXPIRED, 200)
    assert ours.get(hooks={"response": Seen(other)}) is other


def test_a_hook_may_send_the_same_request_again() -> None:
    """A hook that sends a request, as the auth classes of requests do, makes a separate call."""

    def again(response: requests.Response, **options: Any) -> requests.Response | None:
        if response.status_code == 404:
            return response.connection.send(response.request.copy(), **options)
        return None

    response = rig(404, 503, 200).get(hooks={"response": again})
    assert [attempt.status for attempt in attempts(response)] == [503, 200]


def test_ours_is_inert_for_answers_of_others() -> None:
    """Our hook ignores answers without an adapter, as a test double or a cache may pass them."""
    foreign = requests.Response()
    foreign.status_code, foreign.elapsed = 401, timedelta(seconds=7)
    assert on_response(foreign, timeout=1) is None
    assert foreign.elapsed == timedelta(seconds=7)


def test_ours_may_be_called_twice() -> None:
    """A cache that dispatches hooks a second time starts no second renewal."""
    source = Source("old", "new", "newer")
    ours = Rig(EXPIRED, EXPIRED, 200, token=source, origins=[API])
    response = ours.get()
    assert response.status_code == 401
    assert on_response(response) is response
    assert (source.calls, len(ours.inner.sent)) == (2, 2)


def test_elapsed_is_the_time_of_the_last_attempt() -> None:
    """The `elapsed` excludes waits, renewals and failed attempts, and is not zero."""
    ours = rig((429, {"Retry-After": "30"}), EXPIRED, 200)
    assert ours.get().elapsed == timedelta(0)  # no time passes while a scripted answer comes
    clock = FakeClock()

    def after(seconds: float, status: int) -> Action:
        def act(connection: socket.socket, over: Event) -> bool:
            clock.advance(seconds)
            return answer(status)(connection, over)

        return act

    script, source = [after(20, 401), after(10, 503), after(7, 200)], Source("a", "b")
    with Wire(*script) as wire, real(token=source, origins=[wire.url], clock=clock) as session:
        response = session.get(wire.url, timeout=PATIENCE)
    assert response.elapsed == timedelta(seconds=7)
    assert attempts(response)[-1].elapsed == 7


def test_the_time_of_a_listener_is_not_in_elapsed() -> None:
    """The time of a slow listener at the end of a call is not in `elapsed`."""
    clock = FakeClock()

    def slow(_: object) -> None:
        clock.advance(7)

    ours = Rig((503, {"x-should-retry": "false"}), clock=clock, listeners=[slow])
    assert ours.get().elapsed == timedelta(0)


def test_a_renewal_that_fails_comes_before_any_hook() -> None:
    """No hook sees an answer if an exception is raised in its place."""
    seen, called = Seen(), []

    def source() -> str:
        called.append(1)
        if len(called) > 1:
            raise OSError("no token today")
        return "old"

    with Wire(answer(401)) as wire, real(token=source, origins=[wire.url]) as session:
        error = raised(session, wire.url, hooks={"response": seen})
    assert type(error) is RefreshFailed
    assert error.response is not None
    assert (error.response.status_code, seen.statuses) == (401, [])
