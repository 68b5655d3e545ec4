"""Arguments that a constructor or a function does not take: named with the nearest it does."""

from __future__ import annotations

from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypeVar

from .validation import ConfigurationError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Made = TypeVar("Made")
Function = TypeVar("Function", bound="Callable[..., Any]")

_OTHER_WORDS = {
    **dict.fromkeys(("access_token", "api_key", "bearer", "bearer_token"), "token"),
    **dict.fromkeys(("cookie", "cookies", "header", "params", "placement", "query"), "token_in"),
    **dict.fromkeys(("base_url", "domains", "host", "hosts", "url", "urls"), "origins"),
    **dict.fromkeys(("attempts", "max_retries", "max_tries", "total", "tries"), "max_attempts"),
    **dict.fromkeys(("callbacks", "hooks", "on_retry"), "listeners"),
    **dict.fromkeys(("status_codes", "status_forcelist"), "statuses"),
    **dict.fromkeys(("allowed_methods", "method_whitelist"), "methods"),
    **dict.fromkeys(("backoff_factor", "base_delay", "factor", "wait"), "initial"),
    **dict.fromkeys(("backoff_max", "max_wait"), "max_delay"),
    **dict.fromkeys(("max_time", "timeout", "total_timeout"), "deadline"),
    **dict.fromkeys(("max_connections", "max_concurrency", "parallel"), "concurrency"),
    **dict.fromkeys(("period", "seconds"), "per"),
    **dict.fromkeys(("calls", "max_calls", "requests"), "limit"),
    **dict.fromkeys(("audience", "resource"), "extra"),
    **dict.fromkeys(("client_secret", "password"), "secret"),
    **dict.fromkeys(("token_endpoint", "token_uri"), "token_url"),
    "expires_in": "expires_at",
}
"""What other libraries call a thing, and what it is called here."""

_OF_SESSION = frozenset(
    {"cert", "cookies", "headers", "params", "proxies", "stream", "trust_env", "verify"}
)
"""What a session of requests has for all of its requests, and so is no setting of ours."""

_parts: dict[object, Mapping[str, Any]] = {}
"""The records that fields of a class hold; in a list where the field holds a collection."""


def checks_arguments(**parts: Any) -> Callable[[type[Made]], type[Made]]:
    """Decorate a class, so that its constructor names what is wrong with the arguments.

    Python's own `TypeError` names the fault alone. The `ConfigurationError` in its place names the
    nearest argument as well, and the other faults of the object. What goes right costs nothing.

    Args:
        **parts: The classes of the records that arguments hold, so that a field of theirs that
            stands here is sent there. A list of one class stands for a collection of them.
    """

    def decorate(kind: type[Made]) -> type[Made]:
        _parts[kind] = parts
        construct = kind.__init__

        @wraps(construct)
        def checked(self: Any, *args: Any, **named: Any) -> None:
            name = type(self).__name__
            try:
                return construct(self, *args, **named)
            except ConfigurationError as error:
                fault = error
            except TypeError:
                faults = [*call_faults(construct, (self, *args), named, name, parts)]
                if not faults:
                    raise
                faults += _further_faults(construct, (self, *args), named)
                fault = ConfigurationError(name, faults)
            finally:
                del self, args, named  # a traceback shows a frame's variables: they may be secret
            raise fault.with_traceback(None)  # of the frames of the constructor too

        kind.__init__ = checked  # type: ignore[method-assign]
        return kind

    return decorate


def checks_call(**parts: Any) -> Callable[[Function], Function]:
    """Decorate a function, so that it names what is wrong with its arguments.

    Args:
        **parts: As those of `checks_arguments`.
    """

    def decorate(function: Function) -> Function:
        name: str = function.__name__

        @wraps(function)
        def checked(*args: Any, **named: Any) -> Any:
            try:
                return function(*args, **named)
            except ConfigurationError as error:
                fault = error
            except TypeError:
                faults = [*call_faults(function, args, named, name, parts)]
                if not faults:
                    raise
                fault = ConfigurationError(name, faults)
            finally:
                del args, named
            raise fault.with_traceback(None)

        return checked  # type: ignore[return-value]

    return decorate


def call_faults(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    where: str,
    parts: Mapping[str, Any],
) -> Iterator[str]:
    """Yield why a function cannot be called with these arguments; nothing if it can."""
    taken = signature(function).parameters.values()
    by_place = [one.name for one in taken if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
    names = [one.name for one in taken if one.kind is not Parameter.VAR_KEYWORD]
    unknown = [name for name in named if name not in names] if len(names) == len(taken) else []
    yield from unknown_faults(unknown, names, parts)
    shown = [name for name in names if name != "self"]
    if len(args) > len(by_place):
        most = len([name for name in by_place if name != "self"])
        others = f" with {', '.join(shown[most:])}" if len(names) == len(taken) else ""
        example = f"{where}({', '.join(shown)})"
        if len(shown) > most:
            example = f"{where}(name=...){others}"
        yield f"too many arguments without a name: write {example}"
    yield from (f"{name} is given twice" for name in by_place[: len(args)] if name in named)
    needed = [one.name for one in taken if one.default is one.empty and one.name in shown]
    given = {*by_place[: len(args)], *named}
    for name in needed:
        if name not in given and not unknown:  # one of these may be meant
            yield f"{name} is missing: write {where}({', '.join(needed)})"


def unknown_faults(
    names: Iterable[str], known: Iterable[str], parts: Mapping[str, Any]
) -> Iterator[str]:
    """Yield a fault for each unknown name, with the nearest known one.

    Args:
        names: The unknown names.
        known: The names that can be given.
        parts: As those of `checks_arguments`.
    """
    names = list(names)
    if not names:  # as each time but one
        return
    ways = {**_ways_into(parts), **{name: name for name in known if name != "self"}}
    own = [name for name, way in ways.items() if name == way]
    for name in names:
        word = name if name in ways else _OTHER_WORDS.get(name, name)
        near = word if word in ways else nearest(name, own) or nearest(name, ways)
        meant = [] if near is None else [ways[near]]
        meant += [f"session.{name}"] * (name in _OF_SESSION)
        if meant:
            yield f"{name} is unknown; did you mean {', or '.join(meant)}?"
        else:
            yield f"{name} is unknown; there are {', '.join(own)}"


def _ways_into(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that the parts take, each with how to write it."""
    ways: dict[str, str] = {}
    for field, part in parts.items():
        kind, opens, ends = (*part, "[", "]") if isinstance(part, list) else (part, "", "")
        for name in [*signature(kind).parameters]:
            ways.setdefault(name, f"{field}={opens}{kind.__name__}({name}=...){ends}")
        for name, way in _ways_into(_parts.get(kind, {})).items():
            ways.setdefault(name, f"{field}={opens}{kind.__name__}({way}){ends}")
    return ways


def _further_faults(
    construct: Callable[..., None], args: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the faults of the arguments that the constructor takes."""
    names = signature(construct).parameters
    try:
        construct(*args, **{name: value for name, value in named.items() if name in names})
    except ConfigurationError as error:
        return error.faults
    except TypeError:
        pass
    return ()
