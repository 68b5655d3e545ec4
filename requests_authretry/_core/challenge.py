"""Reading `WWW-Authenticate`: how a server wants requests to be authenticated."""

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

# No pattern nests quantifiers, and no repeat is followed by characters that it could take itself.
# So a failing match gives back each character at most once, and reading is linear in the input.
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
        params: The unquoted values of the parameters, by name in lower case; a read-only copy.
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
        """Whether this is a challenge for `scheme`, in upper or lower case (RFC 9110, 11.1)."""
        return self.scheme.lower() == scheme.lower()


@dataclass(frozen=True, slots=True)
class StepUp:
    """The stronger or fresher sign-in that a server demands (RFC 9470, 3). Immutable, thread-safe.

    Attributes:
        acr_values: The authentication contexts that the server accepts, separated by spaces and cut
            at a thousand characters; None if it named none.
        max_age: The most seconds that may have passed since the user signed in; None if the server
            named no number.
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

    A fault spoils only the list member (the text between two commas) that contains it:

    - A member that opens a challenge still counts as that challenge.
    - Parameters that cannot be assigned to a challenge are dropped, not given to a neighbour.
    - A missing comma between two parameters is forgiven.
    - A quoted string that is never closed ends with its line.
    - If a parameter is given twice, the first value counts.

    At most `CHALLENGES` challenges within the first `CHALLENGE_FIELD` characters are read. If a
    challenge goes beyond that end, the part before the end counts. Takes time linear in the number
    of characters that are read.

    Args:
        lines: The field lines in the order received; several may have been joined by commas.

    Returns:
        The challenges, in the order received; empty when there are none.
    """
    found: list[Challenge] = []
    left = CHALLENGE_FIELD
    for line in lines:
        # End a cut line with a control character, so that half a value never counts as a value.
        found += _parse_line(line if len(line) <= left else line[:left] + "\0")
        left -= len(line) + 1  # an empty line counts as one character
        if left <= 0 or len(found) >= CHALLENGES:
            break
    return tuple(found[:CHALLENGES])


def _parse_line(line: str) -> list[Challenge]:
    """Read the challenges of one line, each with its parameters."""
    drafts: list[tuple[str, dict[str, str], str | None]] = []
    params: dict[str, str] = {}  # in no draft: collects parameters without a challenge
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
            params = {}  # may be a broken challenge, which then owns the following parameters
        # Read parameters from the left, up to the first one that cannot be understood.
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
