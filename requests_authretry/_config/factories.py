"""Making what a text or a table of the settings stands for: a token, its source, a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from .._core.token import Secret, Token
from .._core.validation import ConfigurationError
from ..sources import Command
from ..stores import FileStore, MemoryStore
from .secret_references import Reference, path_of
from .token_tables import CLIENT, COMMAND, DPOP, GRANTS, REFERENCE, STORE, Form
from .value_types import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Faults = list[tuple[str, str]]
    """For each fault the key in the table, "" for all of it, and the text behind its name."""

_OTHER_NAMES = {"client_secret": "secret", "client_key": "key"}
"""What `Client` calls some of the keys."""

_CHANGING = {"subject_token", "actor_token"}
"""The keys whose secrets are read again for each token request, unless they cannot change."""


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
        self._folder, self._environ, self._is_file = folder, environ, is_file

    def token(self, given: Any, faults: Faults) -> object:
        """Make a token or its source; None, and a fault, if that is impossible."""
        if isinstance(given, dict):
            return self._source(given, faults)
        if REFERENCE.fits(given):
            reference = self._reference(given)
            return None if self._secret(reference, "", faults) is None else reference
        try:
            return Token(given)
        except ConfigurationError as error:
            faults.append(("", _because(error)))
        return None

    def store(self, given: str, faults: Faults) -> object:
        """Make a store; None, and a fault, if that is impossible."""
        if given.startswith("env:"):
            within = self._secret(self._reference(given), "", faults)
            if within is None:
                return None
            if within.startswith("env:") or not STORE.fits(within):
                faults.append(("", f": what is in {given} must be {STORE.says}"))
                return None
            given = within
        elif self._is_file and _has_password(given):
            put = 'put it into a variable and write store = "env:NAME"'
            faults.append(("", f" has a password in it: {put}"))
            return None
        try:
            return self._opened(given)
        except (ConfigurationError, ImportError) as error:
            faults.append(("", _because(error)))
        except (OSError, RuntimeError, ValueError):
            faults.append(("", " names no place there can be"))
        return None

    def _opened(self, given: str) -> object:
        kind, _, rest = given.partition(":")
        if kind == "memory":
            return MemoryStore()
        if kind == "file":
            return FileStore(path_of(rest, self._folder))
        if kind == "keyring":
            from ..keyring import KeyringStore

            return KeyringStore(rest)
        from ..redis import RedisStore

        return RedisStore(given)

    def _reference(self, text: str) -> Reference:
        return Reference(text, self._folder, self._environ)

    def _secret(self, reference: Reference, key: str, faults: Faults) -> Secret | None:
        """Read a reference; None, and a fault, if it leads nowhere."""
        found = reference.found()
        if isinstance(found, Secret):
            return found
        faults.append((key, f": {found}"))
        return None

    def _source(self, table: Mapping[str, Any], faults: Faults) -> object:
        form = _form_of(table, faults)
        if form is None:
            return None
        keys = form.keys
        arguments: dict[str, Any] = {}
        for key, value in table.items():
            kind = keys.get(key)
            if kind is None:
                faults.append((key, f" {unknown(key, keys)}"))
            elif not kind.fits(value):
                faults.append((key, f" must be {kind.says}"))
            elif kind in (REFERENCE, DPOP) and not isinstance(value, bool):
                reference = self._reference(value)
                secret = self._secret(reference, key, faults)
                is_read_later = key in _CHANGING and not reference.is_fixed
                arguments[key] = reference.read if is_read_later else secret
            else:
                arguments[key] = kind.made(value)
        faults += [("", f" needs {key}") for key in form.required if key not in table]
        if faults:
            return None
        try:
            return _made(form, arguments)
        except (ConfigurationError, ImportError) as error:
            faults.append(("", _because(error)))
        return None


def _form_of(table: Mapping[str, Any], faults: Faults) -> Form | None:
    if "command" in table:
        return COMMAND
    grant, known = table.get("grant"), ", ".join(map(repr, GRANTS))
    if grant is None:
        faults.append(("", f" needs a command = [...] or a grant = {known}"))
    elif not isinstance(grant, str) or grant not in GRANTS:
        faults.append(("grant", f" must be one of {known}"))
    else:
        return GRANTS[grant]
    return None


def _made(form: Form, arguments: dict[str, Any]) -> object:
    """Make the source that a table describes.

    Raises:
        ConfigurationError: A value in the table cannot work.
        ImportError: The source needs an extra.
    """
    if form is COMMAND:
        return Command(arguments["command"], store_key=arguments.get("store_key"))
    from .. import oauth2

    about = {_OTHER_NAMES.get(key, key): arguments[key] for key in CLIENT if key in arguments}
    rest = {key: value for key, value in arguments.items() if key not in {*CLIENT, "grant"}}
    return getattr(oauth2, form.source)(oauth2.Client(**about), **rest)


def _because(error: ConfigurationError | ImportError) -> str:
    faults = error.faults if isinstance(error, ConfigurationError) else [str(error)]
    return f": {', '.join(faults)}"


def _has_password(url: str) -> bool:
    """Whether a URL holds a secret; one that cannot be read may."""
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        return True
