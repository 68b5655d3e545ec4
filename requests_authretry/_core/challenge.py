"""Reading `WWW-Authenticate`: what a server wants to see before it lets a request in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from .bounds import CHALLENGE_FIELD, CHALLENGES, ERROR_CODE, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_OWS = " \t"
_TCHARS = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_CONTROLS = r"\x00-\x08\x0a-\x1f\x7f"  # all but the tab
_QUOTED = rf'"((?:[^{_CONTROLS}"\\]|\\[^{_CONTROLS}])*)"'

# No pattern nests quantifiers, and what follows a repeat never starts with what the repeat takes:
# a failing match gives back each character at most once, so reading is linear in the input.
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"?|,', re.DOTALL)
_NAME = re.compile(rf"{_TCHARS}[ \t]*=")
_SCHEME = re.compile(rf"(?!{_NAME.pattern})({_TCHARS})(?![^ \t])")
_TOKEN68 = re.compile(r"[ \t]+([A-Za-z0-9._~+/-]+=*)")
_PARAM = re.compile(
    rf"[ \t]*({_TCHARS})[ \t]*=[ \t]*(?:({_TCHARS})|{_QUOTED})(?=\Z|[ \t]+{_NAME.pattern})"
)
_QUOTED_PAIR = re.compile(r"\\(.)")
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a `WWW-Authenticate` header (RFC 9110, 11.3). Immutable, thread-safe.

    Attributes:
        scheme: The authentication scheme as the server wrote it; compare it with `is_for`.
        params: The parameters, names in lower case, values unquoted; a read-only copy.
        token68: The opaque value that some schemes (Negotiate, NTLM) send in place of parameters.
    """

    scheme: str
    params: Mapping[str, str] = field(default_factory=dict, hash=False)
    token68: str | None = None

    def __post_init__(self) -> None:
        """Detach `params` from the caller's mapping and close it for writing."""
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))

    @property
    def error(self) -> str | None:
        """The `error` parameter (RFC 6750, 3.1), cut at a hundred characters, or None."""
        code = self.params.get("error")
        return code and code[:ERROR_CODE]

    def is_for(self, scheme: str) -> bool:
        """Tell whether this is a challenge for `scheme`, in whatever case (RFC 9110, 11.1)."""
        return self.scheme.lower() == scheme.lower()


@dataclass(frozen=True, slots=True)
class StepUp:
    """The stronger or fresher sign-in that a server demands (RFC 9470, 3). Immutable, thread-safe.

    Attributes:
        acr_values: The authentication contexts that the server accepts, separated by spaces and cut
            at a thousand characters; None if it named none.
        max_age: Seconds that may have passed since the user signed in; None if the server named no
            number of seconds.
    """

    acr_values: str | None = None
    max_age: int | None = None

    @classmethod
    def from_challenge(cls, challenge: Challenge) -> StepUp:
        """Read what a challenge with the error ``insufficient_user_authentication`` demands."""
        acr_values = challenge.params.get("acr_values")
        max_age = challenge.params.get("max_age", "")
        return cls(
            acr_values=acr_values and acr_values[:WORDS],
            max_age=int(max_age) if _SECONDS.fullmatch(max_age) else None,
        )


def parse_challenges(lines: Iterable[str]) -> tuple[Challenge, ...]:
    """Read the challenges of a response (RFC 9110, 11.6.1); never raises on any text.

    A fault costs the list member (the text between two commas) that it stands in, and no more:
    a member that opens a challenge still counts as that challenge, and parameters whose challenge
    cannot be told are dropped rather than given to a neighbour. A missing comma between two
    parameters is forgiven. A quoted string that is never closed ends with its line. Of a parameter
    given twice, the first value wins. The first `CHALLENGES` challenges within `CHALLENGE_FIELD`
    characters are read; of a challenge that goes beyond, what stands before the end. Takes time
    linear in the length of what is read.

    Args:
        lines: The field lines in the order received; several may have been joined by commas.

    Returns:
        The challenges, in the order received; empty when there are none.
    """
    found: list[Challenge] = []
    left = CHALLENGE_FIELD
    for line in lines:
        # A control character ends what is cut, so that no half of a value is taken for a whole one.
        found += _parse_line(line if len(line) <= left else line[:left] + "\0")
        left -= len(line) + 1  # a line without a character counts too
        if left <= 0 or len(found) >= CHALLENGES:
            break
    return tuple(found[:CHALLENGES])


def _parse_line(line: str) -> list[Challenge]:
    """Read the challenges of one line, with the parameters that each of them owns."""
    drafts: list[tuple[str, dict[str, str], str | None]] = []
    params: dict[str, str] = {}  # in no draft: takes up parameters that no challenge owns
    for member in filter(None, _members(line)):
        rest = 0
        if scheme := _SCHEME.match(member):
            if len(drafts) == CHALLENGES:
                break
            rest = scheme.end()
            token68 = _TOKEN68.fullmatch(member, rest)
            params = {}
            drafts.append((scheme[1], params, token68[1] if token68 else None))
        elif not _NAME.match(member):
            params = {}  # may have been meant as a challenge, which then owns what follows
        # Parameters are read from the left, as far as they can be understood.
        while found := _PARAM.match(member, rest):
            name, token, quoted = found.groups()
            params.setdefault(name.lower(), token or _QUOTED_PAIR.sub(r"\1", quoted))
            rest = found.end()
    return [Challenge(*draft) for draft in drafts]


def _members(line: str) -> Iterator[str]:
    """Cut a line at the commas that stand outside quoted strings."""
    start = 0
    for found in _STRING_OR_COMMA.finditer(line):
        if found[0] == ",":
            yield line[start : found.start()].strip(_OWS)
            start = found.end()
    yield line[start:].strip(_OWS)
