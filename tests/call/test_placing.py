"""Tokens in other places than Authorization: the same rules, and no URL that shows one."""

from __future__ import annotations

import logging
import pickle
import traceback
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import requests
from requests.adapters import HTTPAdapter

from requests_authretry import (
    AuthRetryAdapter,
    Cookie,
    Header,
    Query,
    Reason,
    RetryPolicy,
    Settings,
    Token,
    attempts,
    explain,
)
from requests_authretry._call.placing import hide_in_answer
from tests.support.scripted import Source
from tests.support.sessions import API, SECRET, Rig, raised, real, with_adapter
from tests.support.wire import Wire, answer, fin, says

if TYPE_CHECKING:
    from requests import PreparedRequest

ONCE = RetryPolicy(max_attempts=1)

PLACES: dict[str, Any] = {
    "header": Header("X-Auth-Token"),
    "word": Header("Authorization", "Token {token}"),
    "query": Query("api_key"),
    "cookie": Cookie("session"),
}


def rig(*script: Any, **settings: Any) -> Rig:
    """Make a session with a token for the API."""
    return Rig(*script, **({"token": SECRET, "origins": [API]} | settings))


def at(place: Any, request: PreparedRequest) -> str | None:
    """Return what stands in a place of a request."""
    if isinstance(place, Header):
        return cast("str | None", request.headers.get(place.name))
    if isinstance(place, Query):
        return (request.url or "").partition(f"{place.name}=")[2] or None
    cookies = cast("str", request.headers.get("Cookie", ""))
    return cookies.partition(f"{place.name}=")[2] or None


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_token_stands_in_its_place_alone(place: Any) -> None:
    """A header, a parameter or a cookie carries it; the caller's request and answer do not."""
    ours = rig(200, token_in=place)
    response = ours.get("/items?page=2", headers={"Cookie": "a=1"})
    [sent] = ours.inner.sent
    assert at(place, sent) == place.text_of(Token(SECRET))
    assert "a=1" in sent.headers["Cookie"]
    assert "page=2" in str(sent.url)
    assert response.url == f"{API}/items?page=2"
    assert SECRET not in str(dict(response.request.headers.lower_items()))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_401_renews_the_token_in_any_place(place: Any) -> None:
    """The replay carries the new token, whatever the challenge says."""
    script = [(401, {"WWW-Authenticate": 'Basic realm="a"'}), 200]
    ours = rig(*script, token=Source("old", "new"), token_in=place)
    assert ours.get().status_code == 200
    texts = [place.text_of(Token(value)) for value in ("old", "new")]
    assert [at(place, sent) for sent in ours.inner.sent] == texts


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_no_other_origin_gets_the_token(place: Any) -> None:
    """Neither a request nor a redirect carries it elsewhere."""
    ours = rig((302, {"Location": "https://other.example.com/b"}), 200, token_in=place)
    ours.get()
    first, second = ours.inner.sent
    assert at(place, first) is not None
    assert second.url == "https://other.example.com/b"
    assert at(place, second) is None


OWN: dict[str, tuple[Any, dict[str, Any]]] = {
    "header": (PLACES["header"], {"headers": {"x-auth-token": "my-own"}}),
    "word": (PLACES["word"], {"headers": {"Authorization": "Token my-own"}}),
    "query": (PLACES["query"], {"params": {"api_key": "my-own"}}),
    "cookie": (PLACES["cookie"], {"headers": {"Cookie": "session=my-own"}}),
    "cookie of the call": (PLACES["cookie"], {"cookies": {"session": "my-own"}}),
}


@pytest.mark.parametrize(("place", "options"), OWN.values(), ids=OWN)
def test_a_credential_that_the_caller_put_there_is_left_alone(
    place: Any, options: dict[str, Any]
) -> None:
    """It is sent as it is, a 401 to it renews nothing, and the record says why."""
    ours = rig(401, token_in=place)
    response = ours.get(**options)
    [sent] = ours.inner.sent
    assert "my-own" in str(at(place, sent))
    assert SECRET not in f"{sent.url} {list(map(str, sent.headers.values()))}"
    assert [one.reason for one in attempts(response)] == [Reason.OWN_CREDENTIAL]


@pytest.mark.parametrize(("place", "options"), OWN.values(), ids=OWN)
def test_a_credential_of_legacy_code_is_adopted(place: Any, options: dict[str, Any]) -> None:
    """It is the first token, and is replaced once it is refused."""
    settings = {"token": Source("new"), "token_in": place, "adopt": ["authorization"]}
    ours = rig(200, 401, 200, 200, **settings)
    assert [ours.get(**options).status_code for _ in range(3)] == [200, 200, 200]
    texts = [place.text_of(Token(value)) for value in ("my-own", "my-own", "new", "new")]
    assert [at(place, sent) for sent in ours.inner.sent] == texts


def test_another_header_of_the_caller_stays_beside_the_token() -> None:
    """An API key in a header of its own leaves the caller's Authorization alone."""
    ours = rig(200, token_in=Header("X-Auth-Token"))
    ours.get(headers={"Authorization": "Basic abc"})
    [sent] = ours.inner.sent
    assert sent.headers["Authorization"] == "Basic abc"
    assert sent.headers["X-Auth-Token"] == SECRET


def test_a_cookie_that_a_server_set_gives_way_to_the_token() -> None:
    """The session's cookie of that name is a server's, not the caller's."""
    ours = rig(200, token_in=Cookie("session"))
    cookie = requests.cookies.create_cookie("session", "theirs", domain="api.example.com")
    cookie.domain_specified = False  # as one of an answer without a Domain
    ours.session.cookies.set_cookie(cookie)
    ours.get()
    [sent] = ours.inner.sent
    assert sent.headers["Cookie"] == f"session={SECRET}"
    assert ours.session.cookies.get_dict() == {"session": "theirs"}


@pytest.mark.parametrize("status", [503, 429, 401])
def test_a_cookie_that_a_failed_answer_sets_does_not_take_the_place_of_the_token(
    status: int,
) -> None:
    """A 503 that begins a session of its own is retried with the token, and other cookies."""
    failed = answer(status, b"", ("Set-Cookie", "session=theirs"), ("Set-Cookie", "b=2"))
    with Wire(failed, answer()) as wire:
        settings: dict[str, Any] = {"token": Source("one", "two"), "origins": [wire.url]}
        with real(token_in=Cookie("session"), **settings) as session:
            session.get(f"{wire.url}/a", cookies={"a": "1"}).raise_for_status()
    sent = [arrived.headers["Cookie"] for arrived in wire.arrived]
    token = "two" if status == 401 else "one"
    assert sent == ["a=1; session=one", f"a=1; b=2; session={token}"]


ECHOES: dict[str, tuple[str, str]] = {
    "same origin": (f"/b?x=1&api_key={SECRET}", f"{API}/b?x=1"),
    "other origin": (
        f"https://other.example.com/b?api_key={SECRET}&x=1",
        "https://other.example.com/b?x=1",
    ),
    "sign-in page": (
        f"https://other.example.com/b?x=1&next=%2Fa%3Fapi_key%3D{SECRET}",
        "https://other.example.com/b?x=1&next=%2Fa",
    ),
}


@pytest.mark.parametrize(("location", "url"), ECHOES.values(), ids=ECHOES)
def test_a_redirect_that_repeats_the_token_loses_it(location: str, url: str) -> None:
    """A server that repeats the query in a redirect brings the token to no other origin."""
    ours = rig((302, {"Location": location}), 200, token_in=Query("api_key"))
    response = ours.get()
    assert SECRET not in response.history[0].headers["Location"]
    assert response.url == url
    assert (SECRET in str(ours.inner.sent[1].url)) is url.startswith(API)


def test_an_adapter_may_keep_headers_in_its_own_way() -> None:
    """What stands in ``raw.headers`` is changed only if it is a mapping."""
    response = requests.Response()
    response.headers["Location"] = f"/b?api_key={SECRET}"
    response.raw = SimpleNamespace(headers=[("Location", "/b")])
    hide_in_answer(Query("api_key"), f"{API}/a", response)
    assert response.headers["Location"] == "/b"
    assert response.raw.headers == [("Location", "/b")]


def test_a_link_that_repeats_the_token_leads_on() -> None:
    """The next page is asked with the token of the moment, whoever wrote the link."""
    link = f'<{API}/items?page=2&api_key={SECRET}>; rel="next"'
    ours = rig((200, {"Link": link}), 200, 200, token_in=Query("api_key"))
    response = ours.get("/items")
    assert response.links["next"]["url"] == f"{API}/items?page=2"
    ours.get(response.links["next"]["url"])
    ours.get(f"/items?page=3&api_key={SECRET}")  # a link in the body
    assert [at(PLACES["query"], sent) for sent in ours.inner.sent] == [SECRET] * 3


def test_a_link_with_an_old_token_is_asked_with_the_new_one() -> None:
    """A page that was written before a renewal repeats the token of that time."""
    script = [200, 401, 200, 200]
    ours = rig(*script, token=Source("old", "new"), token_in=Query("api_key"))
    link = f"{API}/items?page=2&api_key=old"
    assert [ours.get(url).status_code for url in ("/items", link, link)] == [200] * 3
    sent = [at(PLACES["query"], request) for request in ours.inner.sent]
    assert sent == ["old", "old", "new", "new"]


def test_no_exception_shows_a_token_in_a_query() -> None:
    """Messages of requests and urllib3 name the URL with the parameter's value hidden."""
    with Wire(*[says(end=fin)] * 8) as wire:
        url = wire.url
        with real(token=SECRET, origins=[url], token_in=Query("api_key")) as session:
            lost = raised(session, f"{url}/a?page=2")
    with real(token=SECRET, origins=[url], token_in=Query("api_key")) as session:
        refused = raised(session, f"{url}/a?page=2")
    for error in (lost, refused):
        said = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        assert SECRET not in f"{said} {error!r} {error.request and error.request.url!r}"
        assert SECRET not in str(explain(error))
        assert SECRET.encode() not in pickle.dumps(error)
    assert "/a?page=2&api_key=***" in str(refused)


class Translating(HTTPAdapter):
    """An inner adapter that raises an exception of its own while it handles another one."""

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Fail as many adapters do."""
        try:
            raise OSError(f"no answer from {request.url}")  # noqa: TRY301 (in one place)
        except OSError:
            raise requests.ConnectionError("lost")  # noqa: B904 (without the cause)


def test_an_exception_during_which_another_was_raised_shows_no_token_in_a_query() -> None:
    """A traceback shows both, the first one with the URL that was sent."""
    adapter = AuthRetryAdapter(
        Settings(token=SECRET, origins=[API], token_in=Query("api_key"), retry=ONCE), Translating()
    )
    with with_adapter(adapter) as session:
        error = raised(session, f"{API}/a")
    said = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert f"no answer from {API}/a?api_key=***" in said
    assert SECRET not in said


def test_urllib3_logs_no_token_in_a_query(caplog: pytest.LogCaptureFixture) -> None:
    """Its line for each request has the parameter without the value."""
    with Wire(answer(), answer(503), answer()) as wire, caplog.at_level(logging.DEBUG):
        with real(token=SECRET, origins=[wire.url], token_in=Query("api_key")) as session:
            session.get(f"{wire.url}/a").raise_for_status()
            session.get(f"{wire.url}/b")
        assert f"api_key={SECRET}" in str(wire.arrived[0].target)
    assert "api_key=***" in caplog.text
    assert SECRET not in caplog.text


def test_urllib3_logs_no_token_about_headers_that_it_cannot_parse(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another module of urllib3 writes that line, with the whole URL."""
    broken = says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nno field\r\n\r\n")
    caplog.set_level(logging.DEBUG)
    with (
        Wire(broken) as wire,
        real(token=SECRET, origins=[wire.url], token_in=Query("api_key")) as session,
    ):
        session.get(f"{wire.url}/a")
    assert "Failed to parse headers" in caplog.text
    assert SECRET not in caplog.text


def test_no_url_of_an_answer_shows_the_token() -> None:
    """A refresh to another page, and the fields that urllib3 keeps, name it no more."""
    fields = f"Refresh: 0; url=/b?api_key={SECRET}\r\nContent-Location: /a?api_key={SECRET}\r\n"
    head = f"HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"
    with (
        Wire(says(head.encode())) as wire,
        real(token=SECRET, origins=[wire.url], token_in=Query("api_key")) as session,
    ):
        response = session.get(f"{wire.url}/a")
    assert response.headers["Refresh"] == "0; url=/b"
    assert SECRET not in f"{response.headers!r} {dict(response.raw.headers)!r}"


def test_an_error_status_names_the_url_without_the_token() -> None:
    """`raise_for_status` writes the URL of the response into its message."""
    ours = rig(404, token_in=Query("api_key"))
    with pytest.raises(requests.HTTPError) as caught:
        ours.get("/a").raise_for_status()
    assert str(caught.value).endswith(f"for url: {API}/a")
