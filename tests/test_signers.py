"""What cannot work as the `auth` of settings is refused when they are made, with the way out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth
from requests_ntlm import HttpNtlmAuth
from requests_toolbelt.auth.guess import GuessAuth, GuessProxyAuth
from requests_toolbelt.auth.http_proxy_digest import HTTPProxyDigestAuth

from requests_authretry import ConfigurationError, Settings, override
from requests_authretry._signers import signer_fault
from requests_authretry.oauth2 import Client, ClientCredentials

if TYPE_CHECKING:
    from requests import PreparedRequest

SECRET = "lovelace-4f1a"
ORIGINS = ["https://api.example.com"]
LOGIN = "https://login.example.com/token"


class Signs(AuthBase):
    """Signs each request."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign nothing."""
        return request


class Subclass(HttpNtlmAuth):
    """A company's own way to find the password."""


class Later:
    """Signs later."""

    async def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Return the request, later."""
        return request


def of(module: str, name: str) -> Any:
    """An object of a class of a package that need not be there."""
    return type(name, (Signs,), {"__module__": module})()


async def later(request: PreparedRequest) -> PreparedRequest:
    """Return the request, later."""
    return request


def sign(request: PreparedRequest) -> PreparedRequest:
    """Sign nothing."""
    return request


def nothing() -> None:
    """Take no request."""


def with_key(key: str, request: PreparedRequest) -> PreparedRequest:
    """Sign with a key."""
    request.headers["X-Key"] = key
    return request


GOOD: dict[str, Any] = {
    "Basic": HTTPBasicAuth("me", SECRET),
    "Digest": HTTPDigestAuth("me", SECRET),
    "a class": Signs(),
    "a function": sign,
    "a part of a function": partial(with_key, "key"),
    "a function of C": max,
    "a class whose package has a like name": of("requests_ntlm_free.auth", "Free"),
    "another class of the toolbelt": of("requests_toolbelt.auth.handler", "AuthHandler"),
    "signatures of AWS": of("requests_aws4auth.aws4auth", "AWS4Auth"),
}


@pytest.mark.parametrize("auth", GOOD.values(), ids=GOOD)
def test_signers_of_requests_are_taken(auth: Any) -> None:
    """Whatever signs a request by itself can be given."""
    assert Settings(auth=auth, origins=ORIGINS).auth is auth


ON_SESSION = "signs in by response hooks, and settings run none: write session.auth = "
PROXY = "origins would see the proxy's password: write it into session.proxies"
SOURCE = ClientCredentials(Client("a", SECRET, token_url=LOGIN))

BAD: dict[str, tuple[Any, str]] = {
    "NTLM": (HttpNtlmAuth("me", SECRET), f"HttpNtlmAuth, which {ON_SESSION}HttpNtlmAuth(...)"),
    "a subclass": (Subclass("me", SECRET), f"Subclass, which {ON_SESSION}Subclass(...)"),
    "Kerberos": (of("requests_kerberos.kerberos_", "HTTPKerberosAuth"), ON_SESSION),
    "GSSAPI": (of("requests_gssapi.gssapi_", "HTTPSPNEGOAuth"), ON_SESSION),
    "CredSSP": (of("requests_credssp.credssp", "HttpCredSSPAuth"), ON_SESSION),
    "Negotiate": (of("requests_negotiate_sspi.x", "HttpNegotiateAuth"), ON_SESSION),
    "guesses": (GuessAuth("me", SECRET), ON_SESSION),
    "guesses of a proxy": (GuessProxyAuth("me", SECRET, "me", SECRET), ON_SESSION),
    "a proxy": (HTTPProxyAuth("me", SECRET), f"auth is a HTTPProxyAuth, and {PROXY}"),
    "a proxy with Digest": (HTTPProxyDigestAuth("me", SECRET), PROXY),
    "an async function": (later, "auth is an async function, later: give one"),
    "an async object": (Later(), "auth is an async function, Later: give one"),
    "a function without an argument": (nothing, "with the request alone, and nothing takes other"),
    "a function with two": (with_key, "with the request alone, and with_key takes other arguments"),
    "a pair": (("me", SECRET), "not tuple: write HTTPBasicAuth(user, password), HTTPDigestAuth("),
    "a text": (SECRET, "auth must be an AuthBase, not str: write HTTPBasicAuth(user, password)"),
    "a source": (SOURCE, "not ClientCredentials: write HTTPBasicAuth(user, password), "),
    "a class": (HTTPDigestAuth, "auth is the class HTTPDigestAuth: give an object of it"),
}


@pytest.mark.parametrize(("auth", "said"), BAD.values(), ids=BAD)
def test_what_cannot_work_is_refused(auth: Any, said: str) -> None:
    """The error names the fault and the way out, alone and without a secret."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(auth=auth, origins=ORIGINS)
    assert said in str(caught.value)
    assert len(caught.value.faults) == 1
    assert SECRET not in str(caught.value)


def test_an_override_refuses_it_too() -> None:
    """A block cannot take what settings cannot."""
    with pytest.raises(ConfigurationError, match=r"session\.auth"), override(auth=BAD["NTLM"][0]):
        pass


def test_no_signer_is_no_fault() -> None:
    """Settings without an `auth` have nothing to refuse."""
    assert signer_fault(None) is None
