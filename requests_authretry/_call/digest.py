"""Digest authentication (RFC 7616), as `requests.auth.HTTPDigestAuth` computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from requests.auth import HTTPDigestAuth

from .outgoing import header_of, with_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from requests import PreparedRequest, Response

    from .._core.challenge import Challenge

_SCHEME = "Digest"
_NEEDED = {"realm", "nonce"}


def response_hooks(request: PreparedRequest) -> Sequence[object]:
    """Return the response hooks of a request."""
    hooks: Any = request.hooks
    listed = (hooks or {}).get("response") or ()
    return (listed,) if callable(listed) else listed


def digest_of(hooks: Iterable[object]) -> HTTPDigestAuth | None:
    """Return the Digest whose hooks these are, None if no hook is of one.

    It registers them when it signs a request, even where another signer has called it.
    """
    owners = (getattr(hook, "__self__", None) for hook in hooks)
    return next((owner for owner in owners if isinstance(owner, HTTPDigestAuth)), None)


def take_challenge(auth: HTTPDigestAuth, challenges: Sequence[Challenge]) -> Challenge | None:
    """Let the next requests of this thread be signed for the first challenge that can be.

    The nonce count of a nonce goes on if the server gives the same nonce again.

    Returns:
        That challenge; None if there is none, and all is as it was.
    """
    auth.init_per_thread_state()
    state: Any = auth._thread_local  # noqa: SLF001 (there is no other way in)
    kept = state.chal, state.last_nonce, state.nonce_count
    for challenge in challenges:
        params = dict(challenge.params)
        if not challenge.is_for(_SCHEME) or not params.keys() >= _NEEDED:
            continue
        # requests reads a list only if it has no blanks.
        if "auth" in [each.strip() for each in params.get("qop", "").lower().split(",")]:
            params["qop"] = "auth"
        state.chal = params
        count = state.nonce_count if params["nonce"] == state.last_nonce else 0
        # It returns None for algorithms that it does not know. This header is not sent.
        if auth.build_digest_header("GET", "https://example.com/") is not None:
            state.nonce_count = count
            return challenge
        state.chal, state.last_nonce, state.nonce_count = kept
    return None


def counting_retries(
    request: PreparedRequest, transmit: Callable[..., Response]
) -> Callable[..., Response]:
    """Return what sends the retries of a request, each with a nonce count of its own.

    Digest signs a request when requests prepares it. Servers refuse a nonce count that they have
    seen (RFC 7616 section 3.4), and may have seen that of an attempt that failed.

    Args:
        request: The caller's request.
        transmit: What has sent the first attempt. It is returned as it is for other requests.
    """
    auth = digest_of(response_hooks(request))
    if auth is None:
        return transmit

    def send(outgoing: PreparedRequest, **options: Any) -> Response:
        return transmit(_counted(auth, outgoing), **options)

    return send


def _counted(auth: HTTPDigestAuth, request: PreparedRequest) -> PreparedRequest:
    """Return a copy with the next nonce count; the request itself if it has another credential."""
    auth.init_per_thread_state()
    is_ours = str(header_of(request, "authorization")).startswith(f"{_SCHEME} ")
    # A request that another thread has prepared is signed for a challenge that only it knows.
    if not is_ours or not auth._thread_local.last_nonce:  # noqa: SLF001 (as above)
        return request
    header = auth.build_digest_header(request.method or "", request.url or "")
    return request if header is None else with_header(request, "Authorization", header)
