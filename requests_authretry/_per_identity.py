"""`PerIdentity`: one credential for each user of a program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING

from ._core.arguments import checks_arguments
from ._core.copying import CopiedAsItself
from ._core.display import ShownByDifference
from ._core.token import Token
from ._core.validation import quoted, refuse
from ._protocols import TokenSource
from ._warnings import is_async

if TYPE_CHECKING:
    from collections.abc import Iterable

SourceLike = str | Token | TokenSource | Callable[[], str | Token | None]
"""What gives the tokens of one identity."""

_WAY = "write PerIdentity(make_source), where make_source(identity) returns the source of one user"


@checks_arguments()
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PerIdentity(ShownByDifference, CopiedAsItself):
    """A credential for each identity, such as each user of a web application. Immutable.

    The calls in a block ``with acting_as(identity):`` send the token of that identity. Calls to the
    origins of the settings are refused outside of such a block::

        def make_source(identity):
            return RefreshToken(client, refresh_token_of(identity))

        mount(session, Settings(token=PerIdentity(make_source), origins=[...], store=...))

        with acting_as("alice"):
            session.get("https://api.example.com/orders")

    Each identity has a token, renewals and rate limits of its own. In a store the key of its token
    ends with a hash of the identity. No log, event or error shows an identity.

    Attributes:
        make_source: Returns the source of one identity: a str, a `Token`, a function without
            arguments, or a `TokenSource`. It is called in the thread of the call that needs it,
            perhaps by several threads at a time, and without a block of `acting_as`, `override`
            or `deadline` around it: at the first call of an identity; when the identity was dropped
            from memory; and when a renewal has failed, so that somebody who has signed in again
            gets their new source. Its `RefreshFailed` reaches the caller with its words; of another
            exception the caller reads the class.
        max_identities: How many identities are kept in memory: those that were used last. Those
            that calls or renewals are using are kept in any case. A token that was dropped is read
            from the store; where there is no store, the source is asked for a new one.

    Raises:
        ConfigurationError: A field cannot work.
    """

    make_source: Callable[[str], SourceLike]
    max_identities: int = 1000

    def __post_init__(self) -> None:
        """Refuse what cannot make sources."""
        refuse("PerIdentity", self._faults())

    def _faults(self) -> Iterable[str | None]:
        most: object = self.max_identities  # as yet whatever the caller wrote
        yield _fault_of(self.make_source)
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            yield f"max_identities must be a whole number above 0, not {quoted(most)}"


def _fault_of(make_source: object) -> str | None:
    if not callable(make_source):
        return f"make_source must be a function, not {type(make_source).__name__}: {_WAY}"
    if is_async(make_source):
        return "make_source is an async function: give one that returns the source itself"
    try:
        signature(make_source).bind("identity")
    except ValueError:  # a function of C says nothing of its arguments
        return None
    except TypeError:
        return f"make_source must take one argument, the identity: {_WAY}"
    return None
