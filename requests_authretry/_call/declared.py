"""What a request asks of the declared limits."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from .._admission.declared_limits import Demand
from .._core.origin import redacted
from .._core.validation import ConfigurationError, is_finite
from .._errors import AuthRetryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from .._admission.rate_limiter import RateLimiter
    from .._core.declared import Rate
    from .._core.target import Target
    from .._shared import SharedState

T = TypeVar("T")

_around: ContextVar[tuple[tuple[RateLimiter, Demand], ...]] = ContextVar(
    "requests_authretry attempts around a call", default=()
)
"""The attempts in which a call is made: by a token source, a signer or a body that is read."""


def inside(
    limiter: RateLimiter, demand: Demand, attempt: Callable[..., T], *arguments: object
) -> T:
    """Make an attempt, and let the calls that are made in it know that they are."""
    reset = _around.set((*_around.get(), (limiter, demand)))
    try:
        return attempt(*arguments)
    finally:
        _around.reset(reset)


def demand_of(shared: SharedState, request: PreparedRequest, target: Target) -> Demand:
    """Return what a request asks of the declared limits.

    A request that is sent in the midst of an attempt to the same origin, with the same credential,
    is part of this attempt: one attempt at a time would else wait for itself.

    Args:
        shared: What calls with the same settings share.
        request: The caller's request.
        target: Where it goes.

    Raises:
        ConfigurationError: The cost function of a rate returned no cost.
        AuthRetryError: The request costs more than a rate ever lets through.
        Exception: Whatever a cost function raises.
    """
    limits = shared.settings.limits
    path = _path_of(request.url or "")
    covering = (rate for rate in limits.rates if rate.covers(path))
    costs = ((rate, _cost(rate, request)) for rate in covering)
    concurrency = None if _is_part_of_another(shared.limiter, target) else limits.concurrency
    return Demand(target, tuple(pair for pair in costs if pair[1] > 0), concurrency)


def _is_part_of_another(limiter: RateLimiter, target: Target) -> bool:
    """Whether a request is sent in the midst of an attempt that counts as under way for it."""
    place = limiter, target.origin, target.credential
    return any(
        (its_limiter, demand.target.origin, demand.target.credential) == place
        # A renewal in the background takes the context with it, and may outlast the call.
        and demand.life.is_led()
        for its_limiter, demand in _around.get()
    )


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # requests refuses such a URL when it sends
        return ""


def _cost(rate: Rate, request: PreparedRequest) -> float:
    """Return what a request costs under a rate."""
    if rate.cost is None:
        return 1.0
    try:
        cost: object = rate.cost(request)
    except Exception as error:
        if hasattr(error, "add_note"):  # Python 3.11
            error.add_note(f"raised by the cost function of the declared limit of {rate}")
        raise
    if not is_finite(cost) or cost < 0:
        says = "cost must return a finite number of zero or more, and returned"
        what = cost if isinstance(cost, (int, float)) else type(cost).__name__
        raise ConfigurationError("Rate", [f"{says} {what}"])
    if cost > rate.most:
        name = "limit" if rate.burst is None else "burst"
        raise AuthRetryError(
            f"not sent: {request.method} {redacted(request.url)} costs {cost:g} units, and the "
            f"declared limit of {rate} never lets more than {rate.most:g} through at once: send a "
            f"smaller request, or declare a higher {name}",
            request=request,
        )
    return cost
