"""`Settings`: the one settings object."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from requests.auth import AuthBase

from ._clock import SystemClock
from ._core.adopt import AUTHORIZATION, adopt_fault, adopts
from ._core.arguments import checks_arguments
from ._core.copying import CopiedAsItself
from ._core.display import differences, shown
from ._core.headers.rate_limit_fields import RateLimits
from ._core.idle import MAX_IDLE
from ._core.origin import parse_origin
from ._core.placement import Cookie, Header, Placement, Query
from ._core.quota import RetryQuota
from ._core.retry import RetryPolicy
from ._core.token import Token
from ._core.unauthorized import ANY, SCHEME
from ._core.validation import (
    ConfigurationError,
    collection,
    flag,
    gathered,
    instance,
    quoted,
    refuse,
    seconds,
)
from ._credentials import Credentials
from ._per_identity import PerIdentity, SourceLike
from ._protocols import Clock, Store, clock_fault
from ._signers import signer_fault
from ._warnings import is_async, warn_of_async
from .dialects import dialects_fault, fixed_origins, named_alone

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Mapping

    from ._core.classify import Answer, Verdict
    from ._credentials import Held
    from ._events import Listener
    from .dialects import Dialect

TokenLike = SourceLike | PerIdentity
Timeout = float | tuple[float | None, float | None]

_NO_ORIGINS = (
    "origins are missing: without them the credentials would go to every host this session talks "
    "to, redirects included; name the origins they belong to: origins=['https://api.example.com']"
)


_NOT_FIXED = (
    "origins are missing: dialect {} has no fixed host ({}); name yours: "
    "origins=['https://api.example.com']"
)

_OF_SEVERAL = " (only a dialect that is named alone supplies its own)"

_STANDARD = Header("Authorization", "Bearer {token}")
"""The placement of dialects that needs no setting: the scheme of the token may be another one."""

_WAYS = {
    "retry": "write RetryPolicy(max_attempts=3), or RetryPolicy.from_urllib3(...) for the value of "
    "an adapter's max_retries",
    "limits": "write RateLimits(rates=[Rate(10, per=1.0)])",
    "quota": "write RetryQuota(capacity=500)",
}


_SOURCES = (
    "write from_credentials(...) for a credential object of another library, "
    "auth=HTTPBasicAuth(...) for a name and a password"
)


class Reader(Protocol):
    """Reads settings from a file or from variables: `_config` does.

    This module cannot import `_config`, which stands above it: a file may name a source of
    `requests_authretry.oauth2`, and such a source sends its token requests with `Settings`.
    """

    def load_file(self, path: str | os.PathLike[str]) -> Settings:
        """Load settings from a file, see `Settings.from_file`."""

    def load_env(self, environ: Mapping[str, str] | None = None) -> Settings:
        """Load settings from variables, see `Settings.from_env`."""


class _BesidesFields:
    """The attributes of `Settings` that are no fields: `fields`, `replace` and pickles omit them.

    ``_shared`` is where the module `_shared` keeps the state that sessions with one settings object
    share. It belongs to the object and not to a weak dictionary: the state refers to the settings,
    often through a token function, so that such a dictionary would keep both for ever. Here the
    garbage collector finds the circle.

    ``_import_reader`` and ``_find_credential`` are set by the package root, which stands above this
    module, the reader of settings files, and what renews tokens.
    """

    __slots__ = ("_shared",)
    _shared: dict[str, Any]
    _import_reader: ClassVar[Callable[[], Reader]]
    _find_credential: ClassVar[Callable[[Settings, str | None], Held]]


PARTS = {"retry": RetryPolicy, "limits": RateLimits, "quota": RetryQuota}
"""The records that the settings consist of."""


@checks_arguments(**PARTS)
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Settings(_BesidesFields, CopiedAsItself):
    """All settings. Immutable, validated when made, safe to share between threads.

    Sessions that are mounted with one settings object share its token, its quota and its store.

    Attributes:
        token: The credential: a str, a `Token`, a function without arguments that returns one of
            these, or a `TokenSource`. A function or source is asked when there is no token yet,
            shortly before the token expires, and when the server refuses it. For many users, a
            `PerIdentity`.
        origins: Where credentials may go: ``scheme://host[:port]``, compared exactly. Empty: to
            those of the dialect, where ``dialects`` names exactly one that has fixed hosts.
        token_in: Where in a request the token goes: a `Header`, a `Query` or a `Cookie`; None:
            where the API takes it, if ``dialects`` names exactly one, otherwise ``Authorization``,
            with the scheme of the token. Elsewhere a 401 refuses the token whatever schemes it
            names.
        retry: When a request is sent again, see `RetryPolicy`.
        limits: How to keep the rate limits of servers, see `RateLimits`.
        quota: What retries may cost, see `RetryQuota`.
        store: Where tokens are kept, shared by all settings that name the same store; None: in
            memory, for the sessions with this settings object.
        auth: A ``requests`` ``AuthBase`` applied again to every attempt that goes to one of the
            origins: ``HTTPBasicAuth``, ``HTTPDigestAuth``, signatures with a timestamp. NTLM and
            Kerberos sign in a connection, and belong in ``session.auth``.
        timeout: Seconds, or a pair (connect, read), used where the caller gave none.
        max_idle: Seconds. A POST, or another request that is not retried once lost, goes on no
            connection that was idle for longer: the server may be about to end it. None: on any.
        listeners: Functions that are called with each event, in the thread where it happens. One
            that raises, or is async, costs an `AuthRetryWarning`, and harms no call. It is told
            nothing of the calls that it makes itself.
        classify: A function that is given each `Answer` and says what it means, as a `Verdict`;
            None: what its status says. It is called in the thread of the call. One that raises
            costs an `AuthRetryWarning`, and counts as None.
        dialects: What is known of public APIs, see `Dialect`: ``"auto"``, the dialects that the
            library has for the origin of each request; names of these, or objects of `Dialect`,
            which hold at their own origins and at those of these settings, or at every origin where
            the settings name none; None: none. The classifier is asked first.
        allow_http: Whether an origin may be plain http, unencrypted, on another machine.
        adopt: What to take over from existing code: ``"authorization"``, the static header that it
            set becomes the first token, and is replaced once it is refused; ``"retries"``, the
            ``max_retries`` of a mounted adapter becomes the policy for requests through it. True:
            both.
        challenge: Which 401 refuses the token: ``"scheme"``, one that has no challenge, or one for
            the scheme of the token (RFC 9110 section 11.6.1); ``"any"``, also one that names only
            other schemes, as those of ServiceNow and Django REST framework may.
        observe: Whether to change nothing: each call goes out as it would without this library,
            and `explain`, listeners and log tell what would have been done. For a first look at an
            old code base.
        interactive: Whether a token function may ask a person, and so runs in the thread of the
            call, where Ctrl-C ends its question at once. None: in calls of the main thread, if
            standard input is a terminal or a notebook. True: in every call, and so do sources with
            a ``fetch``, unless their ``may_prompt`` is False. False: never.
        sites: Settings of their own for requests to their origins, in place of these; each origin
            belongs to one site.
        clock: Where time comes from; another one in tests, see `requests_authretry.testing`.

    Raises:
        ConfigurationError: A field cannot work; all faults are named together.
    """

    token: TokenLike | None = None
    origins: Collection[str] = ()
    token_in: Placement | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: RateLimits = field(default_factory=RateLimits)
    quota: RetryQuota = field(default_factory=RetryQuota)
    store: Store | None = None
    auth: AuthBase | None = None
    timeout: Timeout | None = None
    max_idle: float | None = MAX_IDLE
    listeners: Collection[Listener] = ()
    classify: Callable[[Answer], Verdict | None] | None = None
    dialects: Literal["auto"] | Collection[str | Dialect] | None = "auto"
    allow_http: bool = False
    adopt: bool | Collection[str] = False
    challenge: Literal["scheme", "any"] = "scheme"
    observe: bool = False
    interactive: bool | None = None
    sites: Collection[Settings] = ()
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        """Freeze the collections and refuse what cannot work, all faults together."""
        object.__setattr__(self, "_shared", {})
        given: Any = self  # as yet whatever the caller wrote
        object.__setattr__(self, "adopt", gathered(given.adopt))
        object.__setattr__(self, "dialects", gathered(given.dialects))
        faults: list[str | None] = []
        for name in ("origins", "listeners", "sites"):
            fault = collection(name, getattr(given, name))
            faults.append(fault)
            if fault is None:
                object.__setattr__(self, name, tuple(getattr(given, name)))
        if faults[0] is None:
            allow_http = given.allow_http is True
            parsed = [parse_origin(text, allow_http=allow_http) for text in given.origins]
            object.__setattr__(self, "origins", tuple(dict.fromkeys(map(str, parsed))))
            if given.token is not None or given.auth is not None:
                faults.append(self._supply())
            faults += [f"origins: {fault}" for fault in parsed if isinstance(fault, str)]
        if isinstance(given.token, str):
            try:
                object.__setattr__(self, "token", Token(given.token))
            except ConfigurationError as error:
                object.__setattr__(self, "token", None)
                faults.append(f"token: {', '.join(error.faults)}")
        refuse("Settings", [*faults, *_faults(self)])
        for listener in filter(is_async, self.listeners):
            warn_of_async(listener)

    def _supply(self) -> str | None:
        """Take what a credential needs from a dialect that is named alone, if it is not given.

        Returns:
            What is missing all the same, None if nothing is.
        """
        dialect = named_alone(self.dialects)
        place = None if dialect is None else dialect.placement
        is_elsewhere = self.token is not None and place not in {None, _STANDARD}
        # A token with a proof goes to `Authorization` in any case.
        if self.token_in is None and is_elsewhere and getattr(self.token, "prover", None) is None:
            object.__setattr__(self, "token_in", place)
        if self.origins:
            return None
        if dialect is None:
            is_one_of_several = isinstance(self.dialects, tuple) and len(self.dialects) > 1
            return _NO_ORIGINS + _OF_SEVERAL * is_one_of_several
        object.__setattr__(self, "origins", fixed_origins(dialect))
        hosts = ", ".join(dialect.origins)
        return None if self.origins else _NOT_FIXED.format(dialect.name, hosts)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Settings:
        """Read a TOML file: its keys are the fields, its ``[[site]]`` tables the `sites`.

        Args:
            path: The file. Paths in it start from its folder.

        Raises:
            ConfigurationError: The file cannot be read, or a setting in it cannot work; all faults
                are named together, each with its line.
        """
        return cls._import_reader().load_file(path)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read variables such as ``REQUESTS_AUTHRETRY_RETRY_MAX_ATTEMPTS=5``.

        A variable overrides the setting in the file that ``REQUESTS_AUTHRETRY_CONFIG`` names.

        Args:
            environ: The variables; None: those of the process.

        Raises:
            ConfigurationError: A variable or a setting in the file is unknown or cannot work; all
                faults are named together, each with its variable or line.
        """
        return cls._import_reader().load_env(environ)

    @property
    def credentials(self) -> Credentials:
        """The token of these settings, for a program to hold, see `Credentials`."""
        find = self.__class__._find_credential  # noqa: SLF001 (of this class)
        return Credentials(partial(find, self))

    def __repr__(self) -> str:
        """Show whether there is a token, and what else differs from the defaults; no secret."""
        # A text is still there while the settings are being made.
        token = "<set>" if isinstance(self.token, (str, Token)) else shown(self.token)
        others = (each for each in differences(self) if not each.startswith("token="))
        return f"{type(self).__name__}({', '.join([f'token={token}', *others])})"

    def __getstate__(self) -> dict[str, object]:
        """Pickle the fields, without the state that sessions share in this process."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Restore the fields; the sessions of this process share no state yet."""
        self.__dict__.update(state)
        object.__setattr__(self, "_shared", {})


def _faults(given: Any) -> Iterable[str | None]:
    yield token_fault(given.token)
    yield _placement_fault(given.token_in, given.token)
    for part, record in PARTS.items():
        yield instance(part, getattr(given, part), record, _WAYS[part])
    for name in ("token", "store", "auth"):
        if isinstance(value := getattr(given, name), type):
            yield f"{name} is the class {value.__name__}: give an object of it"
    if given.store is not None and not isinstance(given.store, Store):
        kind = type(given.store).__name__
        ways = "write FileStore('~/.my-app/tokens.json'), MemoryStore() or RedisStore(...)"
        yield f"store must have read, write, lock and push, which {kind} has not: {ways}"
    yield signer_fault(given.auth)
    yield _timeout_fault(given.timeout)
    yield None if given.max_idle is None else seconds("max_idle", given.max_idle)
    if isinstance(given.listeners, tuple) and not all(map(callable, given.listeners)):
        yield "listeners must all be callable: write the functions themselves, as [print]"
    yield _classify_fault(given.classify)
    yield dialects_fault(given.dialects)
    yield adopt_fault(given.adopt, has_token=given.token is not None) or _adopt_fault(given)
    yield flag("allow_http", given.allow_http)
    yield _challenge_fault(given.challenge)
    yield flag("observe", given.observe)
    if given.interactive is not None and not isinstance(given.interactive, bool):
        yield f"interactive must be True, False or None, not {quoted(given.interactive)}"
    if isinstance(given.limits, RateLimits):
        yield from _limits_faults(given.limits)
    if isinstance(given.sites, tuple):
        yield from _site_faults(given.sites)
    yield clock_fault(given.clock)


def _limits_faults(limits: RateLimits) -> Iterable[str]:
    if any(is_async(each.cost) for each in limits.rates):
        yield "limits.rates: a cost is an async function: give one that returns the number itself"
    if limits.identity is not None and is_async(limits.identity):
        yield "limits.identity is an async function: give one that returns the text itself"


def token_fault(token: object) -> str | None:
    """Return the fault of what stands in the place of a token or its source, otherwise None."""
    if token is None or isinstance(token, (Token, PerIdentity, type)):
        return None  # a class is refused as one
    name = type(token).__name__
    fetch = getattr(token, "fetch", token)
    if isinstance(token, AuthBase):
        return f"token is an AuthBase, {name}: write auth=... for it"
    if not callable(fetch):
        return f"token must be a str, a Token, a function or a TokenSource, not {name}: {_SOURCES}"
    if is_async(fetch):
        return "token is an async function: give one that returns the token itself"
    if not isinstance(getattr(token, "store_key", ""), str):
        return "token has a store_key that is no str"
    return _call_fault(fetch, is_source=fetch is not token)


def _adopt_fault(given: Any) -> str | None:
    if isinstance(given.token, PerIdentity) and adopts(given.adopt, AUTHORIZATION):
        return (
            "adopt: the header of existing code is one for all identities, and each would send it: "
            "leave it out, or write adopt=['retries']"
        )
    return None


def _placement_fault(token_in: object, token: object) -> str | None:
    if token_in is None:
        return None
    if not isinstance(token_in, (Header, Query, Cookie)):
        ways = "Header('X-Auth-Token'), Query('api_key') or Cookie('session')"
        return f"token_in must be {ways}, not {type(token_in).__name__}"
    if getattr(token, "prover", None) is not None:
        return "token_in: a token with a proof goes to Authorization (RFC 9449 section 7.1)"
    return None


def _call_fault(fetch: Callable[..., object], *, is_source: bool) -> str | None:
    """Return why a function or the ``fetch`` of a source cannot be called as they are."""
    try:
        signature(fetch).bind(*[None] * is_source)
    except ValueError:  # a function of C says nothing of its arguments
        return None
    except TypeError:
        if is_source:
            return "token has a fetch that takes no context: write def fetch(self, context)"
        return (
            "token is a function that needs arguments: give one that is called without any, or "
            "PerIdentity(function) for one that takes a user"
        )
    return None


def _challenge_fault(challenge: object) -> str | None:
    ways = f"'{SCHEME}' or '{ANY}'"
    if not isinstance(challenge, str):
        return f"challenge must be {ways}, not {type(challenge).__name__}"
    return None if challenge in {SCHEME, ANY} else f"challenge must be {ways}: {quoted(challenge)}"


def _classify_fault(classify: object) -> str | None:
    if classify is None:
        return None
    way = "write a function that takes an Answer and returns a Verdict or None"
    if not callable(classify) or isinstance(classify, type):
        kind = classify.__name__ if isinstance(classify, type) else type(classify).__name__
        return f"classify must be a function, not {kind}: {way}"
    if is_async(classify):
        return "classify is an async function: give one that returns the verdict itself"
    try:
        signature(classify).bind(None)
    except ValueError:  # as with `_call_fault`
        return None
    except TypeError:
        return f"classify is a function that cannot be called with one argument: {way}"
    return None


def _site_faults(sites: tuple[object, ...]) -> Iterable[str]:
    known: set[str] = set()
    for site in sites:
        if not isinstance(site, Settings):
            yield f"sites takes Settings, not {type(site).__name__}: write sites=[Settings(...)]"
            continue
        if site.sites:
            yield "sites: a site has no sites of its own"
        if not site.origins:
            yield "sites: a site needs origins: origins=['https://api.example.com']"
        both = known.intersection(site.origins)
        if both:
            yield f"sites: {', '.join(sorted(both))} is in two of them"
        known.update(site.origins)


def _timeout_fault(timeout: object) -> str | None:
    parts = timeout if isinstance(timeout, tuple) else (timeout,)
    if isinstance(timeout, tuple) and len(parts) != 2:  # noqa: PLR2004 (connect, read)
        return "timeout must be a number of seconds or a pair (connect, read)"
    if isinstance(timeout, list):
        return "timeout must be a number of seconds or a pair: write (connect, read), no list"
    given = (seconds("timeout", part, positive=True) for part in parts if part is not None)
    return next(filter(None, given), None)
