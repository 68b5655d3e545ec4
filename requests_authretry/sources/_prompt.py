"""`Prompt`: asks a person for a user name and a password."""

from __future__ import annotations

import getpass
import sys
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

from .._core.arguments import checks_arguments
from .._core.token import Secret, Token
from .._core.validation import is_text, refuse
from .._errors import RefreshFailed
from .._locks import ForkSafeLock
from .._terminal import is_at_terminal, is_in_notebook

if TYPE_CHECKING:
    from .._protocols import FetchContext

_NOBODY = (
    "nobody can be asked for a password: standard input is no terminal, and this is no notebook. "
    "Read both from variables: Settings(auth=HTTPBasicAuth(os.environ['MY_USER'], "
    "os.environ['MY_PASSWORD'])); or give sources.Command a program that prints a token; or name a "
    "store in the settings, and sign in at a terminal once"
)

_one_at_a_time = ForkSafeLock()
"""Held while a person is asked: two questions on one terminal would mix."""


class SignedIn(NamedTuple):
    """What a person has answered.

    Attributes:
        username: The user name.
        password: The password; its repr and a pickle do not show it.
    """

    username: str
    password: Secret


@checks_arguments()
class Prompt:
    """A token source that asks a person for a user name and a password, without an echo.

    Its tokens are the credentials of HTTP Basic (RFC 7617). The person is asked when there is no
    token yet, and again when the server refuses it. In place of a user name, `Password` of
    `requests_authretry.oauth2` takes a `Prompt` as well.

    It asks at a terminal, or in the cell of a notebook. In the main thread Ctrl-C ends the question
    and the call at once. A question in another thread, or before another one is answered, waits for
    its turn.

    The answers are kept as other tokens are: in memory, or in the store that the settings name.
    The password is then in that store, from which whoever reads the store can read it:
    `requests_authretry.keyring` has one for passwords. Neither the source nor its repr nor a pickle
    has them. Safe to use from many threads.

    Args:
        username: The name of the user, who is asked for the password alone; None: asked as well.
        title: What the password is for, as the question names it; empty: nothing.
        store_key: The name under which a store keeps the answers; None: the origins that they are
            for.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    may_prompt: bool = True
    has_refresh_tokens: bool = False
    patience: float = 1800.0

    def __init__(
        self, username: str | None = None, *, title: str = "", store_key: str | None = None
    ) -> None:
        faults = []
        if username is not None and not _is_username(username):
            faults.append("username must be a non-empty str without a colon, or None to ask for it")
        if not _is_printable(title):
            faults.append("title must be a printable str")
        if store_key is not None and not is_text(store_key):
            faults.append("store_key must be a non-empty str or None")
        refuse("Prompt", faults)
        self.username: str | None = username
        self.title: str = title
        self.store_key: str = store_key or ""

    def ask(self) -> SignedIn:
        """Ask the person, and keep nothing of the answers.

        Returns:
            The user name and the password, a pair that ``auth`` of requests takes.

        Raises:
            RefreshFailed: There is no terminal and no notebook, or no answer came. The message
                names the way out.
            KeyboardInterrupt: The person has pressed Ctrl-C.
        """
        if not _can_ask():
            raise RefreshFailed(_NOBODY)
        for_what = f" for {self.title}" if self.title else ""
        with _one_at_a_time:
            try:
                username = self.username or _line(f"User name{for_what}: ").strip()
                if not _is_username(username):
                    raise RefreshFailed("the user name that was entered is empty, or has a colon")
                return SignedIn(
                    username, Secret(getpass.getpass(f"Password of {username}{for_what}: "))
                )
            except EOFError:
                raise RefreshFailed("the input ended before the question was answered") from None

    def fetch(self, context: FetchContext) -> Token:
        """Ask the person, and return the answers as a token for HTTP Basic.

        Raises:
            RefreshFailed: As `ask`.
        """
        if context.early:
            raise RefreshFailed("nobody is asked for a password before it is needed")
        if context.refused:
            print("The server refused these credentials.", file=sys.stderr)  # noqa: T201
        return Token(_basic(self.ask()), scheme="Basic")

    def __repr__(self) -> str:
        """Show who is asked for, and for what."""
        return f"Prompt({self.username!r}, title={self.title!r})"


def _can_ask() -> bool:
    """Whether there is a person to ask, and a way to read a password that is not shown."""
    # Elsewhere than at the standard input of the process, Windows has no way but an echo.
    is_shown = sys.platform == "win32" and sys.stdin is not sys.__stdin__
    return is_in_notebook() or (is_at_terminal() and not is_shown)


def _line(question: str) -> str:
    """Ask for a line. At a terminal the question goes to standard error: output may be piped."""
    if is_in_notebook():
        return input(question)
    print(question, end="", file=sys.stderr, flush=True)  # noqa: T201
    return input()


def _is_username(text: object) -> bool:
    """Whether a text can be a user name: in HTTP Basic the first colon ends it."""
    return is_text(text) and ":" not in text


def _is_printable(text: object) -> bool:
    return isinstance(text, str) and text.isprintable()


def _basic(answers: SignedIn) -> Secret:
    """Return the credentials of HTTP Basic, in UTF-8 (RFC 7617 section 2.1)."""
    return Secret(b64encode(":".join(answers).encode()).decode())
