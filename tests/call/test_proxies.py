"""Plain http is safe on this machine only, and a proxy is another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.auth import AuthBase

from requests_authretry import AuthRetryError, Settings, mount
from requests_authretry.oauth2 import Client, ClientCredentials, DeviceCode
from tests.oauth2.support import ACCESS, CLIENT_SECRET, gives
from tests.support.sessions import SECRET, real
from tests.support.wire import Wire, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest

LOOPBACK = "http://localhost:8080"
PROXIED = ["http://localhost:8080/x", "http://127.0.0.1:8080/x", "http://[::1]:8080/x"]


class Signature(AuthBase):
    """An auth that signs with a secret."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the signature."""
        request.headers["X-Signature"] = SECRET
        return request


CREDENTIALS: list[dict[str, Any]] = [{"token": SECRET}, {"auth": Signature()}]


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Set a proxy in the environment."""
    with Wire(otherwise=lambda _: answer(200, b'{"access_token": "planted"}')) as wire:
        monkeypatch.delenv("NO_PROXY")
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, wire.url)
        yield wire


def origin_of(url: str) -> str:
    """Return the URL without its path."""
    return url.removesuffix("/x")


@pytest.mark.parametrize("given", CREDENTIALS, ids=["token", "auth"])
@pytest.mark.parametrize("url", PROXIED)
def test_no_credential_goes_to_a_proxy_in_the_clear(
    url: str, given: dict[str, Any], proxy: Wire
) -> None:
    """A request to loopback through a proxy is not sent; the error names the way out."""
    with real(origins=[origin_of(url)], **given) as session:
        with pytest.raises(AuthRetryError, match=r"NO_PROXY, or take .*Settings\(allow_http"):
            session.get(url)
        with pytest.raises(AuthRetryError, match="not sent"):
            session.get(url, proxies={"all": proxy.url})
    assert proxy.arrived == []


@pytest.mark.parametrize("given", CREDENTIALS, ids=["token", "auth"])
def test_a_redirect_to_loopback(given: dict[str, Any], proxy: Wire) -> None:
    """A hop whose credential a proxy would see is not sent either."""
    moved = answer(302, b"", ("Location", f"{LOOPBACK}/x"))
    with Wire(moved) as server, real(origins=[LOOPBACK], **given) as session:
        session.trust_env = False
        session.proxies = {"http://localhost": proxy.url}
        with pytest.raises(AuthRetryError, match="NO_PROXY"):
            session.get(server.url)
    assert proxy.arrived == []


def test_without_a_credential_a_proxy_serves(proxy: Wire) -> None:
    """A request without our credential goes through the proxy, as in bare requests."""
    with real(token=SECRET, origins=["https://api.example.com"]) as session:
        assert session.get(f"{LOOPBACK}/x").status_code == 200
    with real(token=SECRET, origins=[LOOPBACK]) as session:
        mine = {"Authorization": "Bearer my-own"}
        assert session.get(f"{LOOPBACK}/x", headers=mine).status_code == 200
    assert [seen.headers["Authorization"] for seen in proxy.arrived] == [None, "Bearer my-own"]


def test_plain_http_that_is_allowed(proxy: Wire) -> None:
    """A user who sets ``allow_http`` accepts that the proxy sees the credential."""
    with real(token=SECRET, origins=[LOOPBACK], allow_http=True) as session:
        assert session.get(f"{LOOPBACK}/x").status_code == 200
    assert [seen.headers["Authorization"] for seen in proxy.arrived] == [f"Bearer {SECRET}"]


def test_past_the_proxy(proxy: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request without a proxy stays on this machine, and carries the token."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Wire(answer()) as server, real(token=SECRET, origins=[server.url[:-1]]) as session:
        assert session.get(server.url).status_code == 200
        assert server.arrived[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert proxy.arrived == []


ENDPOINTS: dict[str, Any] = {
    "token": lambda: ClientCredentials(Client("app", CLIENT_SECRET, token_url=f"{LOOPBACK}/t")),
    "form": lambda: ClientCredentials(
        Client("app", CLIENT_SECRET, token_url=f"{LOOPBACK}/t", auth="client_secret_post")
    ),
    "public": lambda: ClientCredentials(Client("app", token_url=f"{LOOPBACK}/t")),
    "discovery": lambda: ClientCredentials(Client("app", CLIENT_SECRET, issuer=LOOPBACK)),
    "device": lambda: DeviceCode(
        Client("app", token_url=f"{LOOPBACK}/t", device_url=f"{LOOPBACK}/d")
    ),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_authorization_server_behind_a_proxy(endpoint: str, proxy: Wire) -> None:
    """Neither a secret nor a metadata request is sent through the proxy unencrypted."""
    session = requests.Session()
    settings = Settings(token=ENDPOINTS[endpoint](), origins=["https://api.invalid"])
    mount(session, settings)
    with pytest.raises(AuthRetryError, match=r"not sent: http://localhost:8080.*Client\(allow"):
        session.get("https://api.invalid/x")
    assert proxy.arrived == []


def test_an_authorization_server_past_the_proxy(
    proxy: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http to this machine works without the proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    _, headers, body = gives()  # type: ignore[misc]
    with Wire(answer(200, body, *headers.items())) as login, Wire(answer()) as server:
        client = Client("app", CLIENT_SECRET, token_url=f"{login.url}t")
        with real(token=ClientCredentials(client), origins=[server.url[:-1]]) as session:
            assert session.get(server.url).status_code == 200
        assert server.arrived[0].headers["Authorization"] == f"Bearer {ACCESS}"
    assert proxy.arrived == []
