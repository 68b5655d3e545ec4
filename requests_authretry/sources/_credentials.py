"""`from_credentials`: the credential objects of other libraries as token sources.

The kind of an object is found by its attributes, so that none of those libraries is imported before
a program uses it.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from .._core.arguments import checks_call
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


@checks_call()
def from_credentials(
    credentials: object, scopes: Collection[str] = (), *, store_key: str | None = None
) -> TokenSource:
    """Make a token source from a credential object of another library.

    The object itself keeps its tokens and asks for new ones, as its own settings say. These kinds
    are known:

    * google-auth: ``google.auth.credentials.Credentials``, refreshed over a session of their own.
      Only their token is sent: the header of a quota project is left to the caller.
    * azure-identity: any object with ``get_token(*scopes)``. Continuous access evaluation is
      switched on, and a claims challenge is passed to it (learn.microsoft.com, "Claims
      challenges").
    * msal: ``ConfidentialClientApplication`` for itself, ``PublicClientApplication`` for its one
      signed-in user; claims challenges as above.
    * requests-oauthlib: an ``OAuth2Session`` renews its token with ``auto_refresh_url``.
    * Authlib: an ``OAuth2Session`` renews its token with ``token_endpoint``, by its refresh token
      or by the grant ``client_credentials``.

    Do not mount the library on the sessions of the last two. A pickle of the source carries the
    object, if that can be pickled.

    Args:
        credentials: The object.
        scopes: The scopes to ask for: required for azure-identity and msal; for google-auth if the
            credentials have none yet; not for the two sessions, which have their own.
        store_key: The name under which a store keeps the tokens, needed if two identities share
            a store; None: the origins that the tokens are for.

    Raises:
        ConfigurationError: The kind of the object is not known, or its scopes cannot work.
    """
    given = gathered(scopes)
    fault = collection("scopes", given) or members("scopes", given, is_text, "strings")
    refuse("from_credentials", [fault])
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
        source = kind(credentials, given)
        source.store_key = store_key or ""
        return source
    raise ConfigurationError("from_credentials", [fault])
