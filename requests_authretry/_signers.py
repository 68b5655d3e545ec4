"""What cannot work as the ``auth`` of settings, and what to write in its place."""

from __future__ import annotations

from inspect import signature
from typing import Any

from requests.auth import HTTPProxyAuth

from ._warnings import is_async, name_of

_ON_SESSIONS = (
    "requests_ntlm",
    "requests_ntlm2",
    "requests_kerberos",
    "requests_gssapi",
    "requests_credssp",
    "requests_negotiate",
    "requests_negotiate_sspi",
    "requests_toolbelt.auth.guess",
)
"""Modules and packages whose signers sign in by response hooks, most of them a connection."""

_FOR_PROXIES = ("requests_toolbelt.auth.http_proxy_digest",)


def signer_fault(auth: Any) -> str | None:
    """Return why an object cannot be the ``auth`` of settings; None if it can be, or is None."""
    if auth is None or isinstance(auth, type):
        return None  # a class is refused as one
    name = type(auth).__name__
    if not callable(auth):
        return (
            f"auth must be an AuthBase, not {name}: write HTTPBasicAuth(user, password), "
            "HTTPDigestAuth(user, password), or token=... for a token"
        )
    if isinstance(auth, HTTPProxyAuth) or _is_of(auth, _FOR_PROXIES):
        return (
            f"auth is a {name}, and origins would see the proxy's password: write it into "
            "session.proxies = {'https': 'http://user:password@proxy.example.com:3128'}"
        )
    if _is_of(auth, _ON_SESSIONS):
        return (
            f"auth is a {name}, which signs in by response hooks, and settings run none: write "
            f"session.auth = {name}(...), and leave auth out of Settings"
        )
    if is_async(auth):
        return f"auth is an async function, {name_of(auth)}: give one that returns the request"
    return _call_fault(auth)


def _is_of(auth: object, modules: tuple[str, ...]) -> bool:
    """Whether the class of an object, or one of its bases, comes from one of these modules."""
    names = [f"{kind.__module__}." for kind in type(auth).__mro__]
    return any(name.startswith(f"{module}.") for name in names for module in modules)


def _call_fault(auth: Any) -> str | None:
    try:
        signature(auth).bind(None)
    except ValueError:  # a function of C says nothing of its arguments
        return None
    except TypeError:
        return (
            f"auth is called with the request alone, and {name_of(auth)} takes other arguments: "
            "write def sign(request): ...; return request"
        )
    return None
