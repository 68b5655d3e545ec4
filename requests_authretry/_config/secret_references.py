"""Secrets that stand elsewhere: in a variable, a file or the keyring."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .._core.token import Secret
from .._errors import RefreshFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._protocols import FetchContext


class Reference:
    """A token source that reads a secret from its place each time it is asked.

    So it follows a file that is replaced from time to time, as the projected tokens of Kubernetes
    are: a refused token is replaced by the one in the file then. If that is the same, the source
    declines. Immutable and safe to share between threads.

    Args:
        text: ``env:NAME``, ``file:PATH`` (one line break at its end is not part of the secret) or
            ``keyring:SERVICE/NAME`` (needs the extra ``keyring``).
        folder: What a relative path starts from.
        environ: Where variables are, None for those of the process. Not part of a pickle.
    """

    is_kept_elsewhere = True
    """A store never holds these secrets, nor replaces them."""

    def __init__(
        self, text: str, folder: Path = Path(), environ: Mapping[str, str] | None = None
    ) -> None:
        self._text, self._folder, self._environ = text, folder, environ
        self._kind, _, self._name = text.partition(":")

    @property
    def is_fixed(self) -> bool:
        """Whether the secret stays what it is while the process lives."""
        return self._kind == "env"

    def read(self) -> Secret:
        """Return the secret as it is now.

        Raises:
            RefreshFailed: It is not there, cannot be read, or is empty.
        """
        found = self.found()
        if not isinstance(found, Secret):
            raise RefreshFailed(found)
        return found

    def fetch(self, context: FetchContext) -> str | None:
        """Return the secret as a token; None where it is the very one that was refused.

        Raises:
            RefreshFailed: As `read`.
        """
        found = self.read()
        stale = context.stale.value if context.refused and context.stale else None
        return None if found == stale else found

    def __repr__(self) -> str:
        """Return the reference, not the secret."""
        return f"Reference({self._text!r})"

    def __reduce__(self) -> tuple[type[Reference], tuple[str, Path]]:
        """Pickle the reference, not the secret; copies in memory are made in the same way."""
        return type(self), (self._text, self._folder)

    def found(self) -> Secret | str:
        """Return the secret, or why there is none; raise nothing, as a traceback has secrets."""
        found: Secret | str
        if self._kind == "file":
            found = self._in_file()
        elif self._kind == "keyring":
            found = self._in_keyring()
        else:
            environ = os.environ if self._environ is None else self._environ
            value = environ.get(self._name)
            found = f"the variable {self._name} is not set" if value is None else Secret(value)
        return found or f"{self._text} is empty"

    def _in_file(self) -> Secret | str:
        try:
            text = path_of(self._name, self._folder).read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            return f"{self._text} is not UTF-8"
        except OSError as error:
            return f"{self._text} cannot be read: {error.strerror}"
        except (ValueError, RuntimeError):
            return f"{self._text} is no path here"
        return Secret(text.removesuffix("\n").removesuffix("\r"))

    def _in_keyring(self) -> Secret | str:
        service, _, name = self._name.rpartition("/")
        try:
            import keyring
        except ImportError:
            return f"{self._text} needs keyring: pip install 'requests-authretry[keyring]'"
        try:
            found = keyring.get_password(service, name)
        except Exception as error:  # noqa: BLE001 (backends raise what they like)
            return f"{self._text} cannot be read: the keyring failed with {type(error).__name__}"
        return f"{self._text} is not in the keyring" if found is None else Secret(found)


def path_of(name: str, folder: Path) -> Path:
    """Return a path that the settings name: ``~`` is home, and a relative one starts in a folder.

    Raises:
        RuntimeError: The home directory is unknown.
    """
    return folder / Path(name).expanduser()
