"""`from_credentials`: the credential objects of other libraries as token sources.

They are told apart by what they can do: none of those libraries is imported before an object of
its own is there.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from .._core.validation import ConfigurationError, collection, gathered, is_text, members, refuse
from ._clouds import AzureCredential, GoogleCredentials, MsalConfidential, MsalPublic
from ._sessions import AuthlibSession, OAuthlibSession

if TYPE_CHECKING:
    from collections.abc import Collection

    from .._protocols import TokenSource
    from ._wrapping import Wrapping

_SUPPORTED = (
    "it takes credentials of google-auth, credentials of azure-identity, applications of msal, and "
    "an OAuth2Session of requests-oauthlib or of Authlib"
)

_KINDS: tuple[type[Wrapping], ...] = (
    GoogleCredentials,
    MsalConfidential,
    MsalPublic,
    OAuthlibSession,
    AuthlibSession,
    AzureCredential,
)


def from_credentials(
    credentials: object, scopes: Collection[str] = (), *, store_key: str | None = None
) -> TokenSource:
    """A token source from a credential object of another library.

    The object goes on to do what it can do: it keeps its tokens, asks for new ones, and its own
    settings say how. These are known:

    * google-auth: ``google.auth.credentials.Credentials``, refreshed over a session of their own.
      Only their token is sent: the header of a quota project is left to the caller.
    * azure-identity: whatever has ``get_token(*scopes)``. Continuous access evaluation is switched
      on, and a claims challenge is handed on (learn.microsoft.com, "Claims challenges").
    * msal: ``ConfidentialClientApplication`` for itself, ``PublicClientApplication`` for the one
      user who has signed in; claims challenges as above.
    * requests-oauthlib: an ``OAuth2Session`` renews its token with ``auto_refresh_url``.
    * Authlib: an ``OAuth2Session`` renews its token with ``token_endpoint``, by its refresh token
      or by the grant ``client_credentials``.

    The sessions of the last two must not be the ones that the library is mounted on. A pickle of
    the source carries the object, as far as that can be pickled.

    Args:
        credentials: The object.
        scopes: What to ask for: required for azure-identity and msal; for google-auth where the
            credentials have none yet; the two sessions have their own.
        store_key: The name a store keeps its tokens under, for wherever two identities share a
            store; None: the origins they belong to.

    Raises:
        ConfigurationError: The object is of no known kind, or its scopes cannot work.
    """
    given = gathered(scopes)
    fault = collection("scopes", given) or members("scopes", given, is_text, "strings")
    refuse("from_credentials", [fault])
    source = _kind_of(credentials)(credentials, given)
    source.store_key = store_key or ""
    return source


def _kind_of(credentials: object) -> type[Wrapping]:
    name = type(credentials).__name__
    fits = (kind for kind in _KINDS if all(hasattr(credentials, mark) for mark in kind.marks))
    kind = next(fits, None)
    if isinstance(credentials, type):
        fault = f"{credentials.__name__} is a class: give an object of it"
    elif kind is None:
        fault = f"{name} is of no known kind: {_SUPPORTED}"
    elif any(inspect.iscoroutinefunction(getattr(credentials, mark)) for mark in kind.marks):
        fault = f"{name} is asynchronous: give the one of the same name that is not"
    else:
        return kind
    raise ConfigurationError("from_credentials", [fault])
