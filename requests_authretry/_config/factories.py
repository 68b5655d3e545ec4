"""What a text or a table of the settings stands for: a token source, a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from .._core.token import Secret, Token
from .._core.validation import ConfigurationError
from ..sources import Command
from ..stores import FileStore, MemoryStore
from .secret_references import Reference, path_of
from .token_tables import COMMAND, DPOP, GRANTS, REFERENCE, STORE, Form
from .value_types import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .value_types import Kind

    Say = Callable[[str, str], None]
    """Notes a fault: the key in the table, "" for all of it, and what goes on behind its name."""

_CLASSES = {
    "client_credentials": "ClientCredentials",
    "refresh_token": "RefreshToken",
    "password": "Password",
    "jwt_bearer": "JWTBearer",
    "token_exchange": "TokenExchange",
    "device_code": "DeviceCode",
}
_CLIENT = {
    "client_id": "client_id",
    "client_secret": "secret",
    "client_key": "key",
    "issuer": "issuer",
    "token_url": "token_url",
    "device_url": "device_url",
    "auth": "auth",
    "dpop": "dpop",
    "allow_http": "allow_http",
}
"""The arguments of `Client`, by their names in a ``[token]`` table."""

_CHANGING = {"subject_token", "actor_token"}
"""What is read anew for each token request."""


class Maker:
    """Makes the objects of one file, or of the environment.

    Args:
        folder: What relative paths start from.
        environ: Where variables are, None for those of the process.
        is_file: Whether the texts stand in a file, where no secret belongs.
    """

    def __init__(
        self, folder: Path, environ: Mapping[str, str] | None, *, is_file: bool = True
    ) -> None:
        """Nothing is made yet."""
        self._folder, self._environ, self._is_file = folder, environ, is_file

    def token(self, given: Any, say: Say) -> object:
        """A token or its source; None with a fault said where there can be none."""
        if isinstance(given, dict):
            return self._source(given, say)
        if REFERENCE.fits(given):
            read = self._read("", given, say)
            return read and read[0]
        try:
            return Token(given)
        except ConfigurationError as error:
            say("", f": {', '.join(error.faults)}")
        return None

    def store(self, given: str, say: Say) -> object:
        """A store; None with a fault said where there can be none."""
        if given.startswith("env:"):
            read = self._read("", given, say)
            if read is None:
                return None
            within = read[1]
            if within.startswith("env:") or not STORE.fits(within):
                say("", f": what is in {given} must be {STORE.says}")
                return None
            return self._opened(within, say)
        if self._is_file and _has_password(given):
            say("", ' has a password in it: put it into a variable and write store = "env:NAME"')
            return None
        return self._opened(given, say)

    def _opened(self, given: str, say: Say) -> object:
        kind, _, rest = given.partition(":")
        try:
            if kind == "memory":
                return MemoryStore()
            if kind == "file":
                return FileStore(path_of(rest, self._folder))
            if kind == "keyring":
                from ..keyring import KeyringStore

                return KeyringStore(rest)
            from ..redis import RedisStore

            return RedisStore(given)
        except (ConfigurationError, ImportError) as error:
            say("", f": {', '.join(getattr(error, 'faults', [str(error)]))}")
        except (OSError, RuntimeError, ValueError):
            say("", " names no place there can be")
        return None

    def _read(self, key: str, text: str, say: Say) -> tuple[Reference, Secret] | None:
        """A reference and what it leads to now."""
        reference = Reference(text, self._folder, self._environ)
        found = reference.found()
        if isinstance(found, Secret):
            return reference, found
        say(key, f": {found}")
        return None

    def _source(self, table: Mapping[str, Any], say: Say) -> object:
        form = _form_of(table, say)
        if form is None:
            return None
        faults: list[str] = []

        def say_on(key: str, text: str) -> None:
            faults.append(text)
            say(key, text)

        _check(table, form, say_on)
        fit = [key for key in table if key in form.keys and form.keys[key].fits(table[key])]
        plain = {key: self._plain(form.keys[key], key, table[key], say_on) for key in fit}
        if faults:
            return None
        try:
            return _made(plain)
        except (ConfigurationError, ImportError) as error:
            say("", f": {', '.join(getattr(error, 'faults', [str(error)]))}")
        return None

    def _plain(self, kind: Kind, key: str, value: Any, say: Say) -> Any:
        """What an argument is: a value as it stands, or the secret it refers to."""
        if kind not in (REFERENCE, DPOP) or isinstance(value, bool):
            return kind.made(value)
        read = self._read(key, value, say)
        if read is None:
            return None
        reference, secret = read
        return reference.read if key in _CHANGING and not reference.is_fixed else secret


def _form_of(table: Mapping[str, Any], say: Say) -> Form | None:
    if "command" in table:
        return COMMAND
    grant = table.get("grant")
    if grant is None:
        say("", " needs a command = [...] or a grant = " + ", ".join(map(repr, GRANTS)))
    elif not isinstance(grant, str) or grant not in GRANTS:
        say("grant", " must be one of " + ", ".join(map(repr, GRANTS)))
    else:
        return GRANTS[grant]
    return None


def _check(table: Mapping[str, Any], form: Form, say: Say) -> None:
    for key, value in table.items():
        kind = form.keys.get(key)
        if kind is None:
            say(key, f" {unknown(key, form.keys, ())}")
        elif not kind.fits(value):
            say(key, f" must be {kind.says}")
    for key in form.required:
        if key not in table:
            say("", f" needs {key}")


def _made(plain: Mapping[str, Any]) -> object:
    """The source that a table describes.

    Raises:
        ConfigurationError: What stands in it cannot work.
        ImportError: It needs an extra.
    """
    if "command" in plain:
        return Command(plain["command"], store_key=plain.get("store_key"))
    from .. import oauth2

    about = {name: plain[key] for key, name in _CLIENT.items() if key in plain}
    rest = {key: value for key, value in plain.items() if key not in {*_CLIENT, "grant"}}
    return getattr(oauth2, _CLASSES[plain["grant"]])(oauth2.Client(**about), **rest)


def _has_password(url: str) -> bool:
    """Whether a URL holds a secret; one that cannot be read may."""
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        return True
