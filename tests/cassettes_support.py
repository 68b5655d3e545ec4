"""Recorded traffic: how it gets into ``cassettes/``, what never does, and how a leak is found.

A cassette holds real answers of httpbin behind the demo server, under a name without a port. What
no cassette can hold (HEAD on urllib3 2, generator bodies, timeouts, lost connections) is for the
tests in ``tests/live``.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus, unquote_to_bytes, urlsplit

import pytest
import requests
from betamax import BaseMatcher, Betamax
from betamax.serializers import JSONSerializer
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest, Response
    from urllib3.connectionpool import HTTPConnectionPool

HOME: Final = Path(__file__).parent.parent / "cassettes"

ORIGIN: Final = "https://httpbin.test"
"""Where recorded tests send their requests. Any other host reaches the same httpbin."""

SECRETS: Final = {"<PASSWORD>": "open-sesame-51c7e0"}
"""Secrets of the recorded tests, by the placeholder that stands for each in a cassette."""

HIDDEN: Final = "<HIDDEN>"

_ISSUED: Final = re.compile(r"(issued-\d+-)(?:[0-9a-f]{32}|x{32})")
_FRESH: Final = re.compile(rb"issued-\d+-[0-9a-f]{32}")
_BASIC: Final = re.compile(rb"(?<=Basic )[A-Za-z0-9+/=]+")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{8,}")


class Loopback(HTTPAdapter):
    """Sends every request to one server, whatever host its URL names; but to this machine, there.

    Args:
        target: The URL of the server.
    """

    def __init__(self, target: str) -> None:
        self.target, self.direct = target, HTTPAdapter()
        super().__init__()

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a copy with the headers of a proxy; the caller's request stays as it is."""
        forwarded = request.copy()
        url = urlsplit(request.url or "")
        if url.hostname == "127.0.0.1":
            return self.direct.send(request, *args, **kwargs)
        forwarded.headers["Host"] = url.netloc
        forwarded.headers["X-Forwarded-Proto"] = url.scheme
        # what encodings a client offers depends on what is installed beside it
        forwarded.headers["Accept-Encoding"] = "identity"
        response = super().send(forwarded, *args, **kwargs)
        response.request = request
        return response

    def get_connection_with_tls_context(self, *_: object, **__: object) -> HTTPConnectionPool:
        """Requests 2.32 and later ask here for a connection pool."""
        return self.poolmanager.connection_from_url(self.target)

    get_connection = get_connection_with_tls_context  # older ones ask here

    def close(self) -> None:
        """Close the connections to this machine, too."""
        self.direct.close()
        super().close()


class PrettyJSON(JSONSerializer):  # type: ignore[misc]  # betamax ships no types
    """Cassettes whose changes can be read line by line."""

    name = "pretty-json"

    def serialize(self, cassette_data: dict[str, Any]) -> str:
        """Return the text of a cassette."""
        return json.dumps(cassette_data, indent=2, sort_keys=True) + "\n"


class Authorization(BaseMatcher):  # type: ignore[misc]  # betamax ships no types
    """Tells requests apart by scheme and by the number of the issued token, not by secrets."""

    name = "authorization"

    def match(self, request: PreparedRequest, recorded_request: dict[str, Any]) -> bool:
        """Whether both carry the same kind of credentials, or none."""
        sent = request.headers.get("Authorization")
        text = sent.decode() if isinstance(sent, bytes) else sent
        recorded = CaseInsensitiveDict(recorded_request["headers"]).get("Authorization")
        return recorded == (None if text is None else [hide("Authorization", text)])


def hide(name: str, value: str) -> str:
    """Return a header's value without secrets; what is hidden already stays as it is."""
    match name.lower():
        case "authorization" | "proxy-authorization":
            scheme, space, credentials = value.partition(" ")
            issued = _ISSUED.fullmatch(credentials)
            return f"{scheme}{space}{_blank_issued(issued)}" if issued else _hidden(scheme, space)
        case "cookie":
            return re.sub(r"=[^;]+", f"={HIDDEN}", value)
        case "set-cookie":
            return re.sub(r"^([^=;]*=)[^;]+", rf"\g<1>{HIDDEN}", value)
        case _:
            return _ISSUED.sub(_blank_issued, value)


def _hidden(scheme: str, space: str) -> str:
    return f"{scheme} {HIDDEN}" if space else HIDDEN


def _blank_issued(issued: re.Match[str]) -> str:
    return issued[1] + "x" * 32


def blank(body: bytes) -> bytes:
    """Return a body without secrets, as long as it was: its Content-Length stays true."""
    for secret in SECRETS.values():
        for form in {secret, quote(secret), quote_plus(secret)}:
            body = body.replace(form.encode(), b"x" * len(form))
    body = _BASIC.sub(lambda found: b"x" * len(found[0]), body)
    return _FRESH.sub(lambda found: found[0][:-32] + b"x" * 32, body)


def scrub(interaction: Any, _cassette: object) -> None:
    """Hide the secrets of an interaction before it is recorded, where placeholders do not reach."""
    for message in (interaction.data["request"], interaction.data["response"]):
        for name, values in message["headers"].items():
            message["headers"][name] = [hide(name, value) for value in values]
        body = blank(base64.b64decode(message["body"]["base64_string"]))
        message["body"]["base64_string"] = base64.b64encode(body).decode()


Betamax.register_serializer(PrettyJSON)
Betamax.register_request_matcher(Authorization)
Betamax.configure().before_record(callback=scrub)


@contextmanager
def on_cassette(name: str, target: str | None) -> Iterator[requests.Session]:
    """Give a session that plays a cassette, or records it anew from a server.

    Args:
        name: The cassette, without its suffix. One test, one cassette.
        target: The base URL of the server to record from; None to replay.
    """
    path = HOME / f"{name}.json"
    if target is not None:
        path.unlink(missing_ok=True)
    elif not path.exists():
        pytest.fail(f"there is no cassette {name!r} yet: record it with  python -m pytest --record")
    session = requests.Session()
    if target is not None:
        session.mount("https://", Loopback(target))
        session.mount("http://", Loopback(target))
    tape = Betamax(session, cassette_library_dir=str(HOME)).use_cassette(
        name,
        record="none" if target is None else "once",
        serialize_with=PrettyJSON.name,
        match_requests_on=["method", "uri", Authorization.name],
        preserve_exact_body_bytes=True,
        placeholders=[{"placeholder": key, "replace": value} for key, value in SECRETS.items()],
    )
    interactions = tape.current_cassette.interactions
    with session, tape:
        yield session
    if target is None:
        unplayed = [each.data["request"]["uri"] for each in interactions if not each.used]
        assert not unplayed, f"cassette {name!r} has exchanges that were not asked for: {unplayed}"
    elif found := leaks(path):
        path.unlink()
        pytest.fail(f"cassette {name!r} is not kept, since it would tell: {', '.join(found)}")


def leaks(cassette: Path) -> list[str]:
    """Name the secrets in a cassette, however they are wrapped, without showing them."""
    data = cassette.read_bytes()
    found = {
        name for view in _views(data) for name, value in SECRETS.items() if value.encode() in view
    }
    found |= {"an issued token" for view in _views(data) if _FRESH.search(view)}
    for interaction in json.loads(data)["http_interactions"]:
        for part in ("request", "response"):
            found.update(_leaking_headers(interaction[part]["headers"]))
    return sorted(found)


def _leaking_headers(headers: dict[str, list[str]]) -> Iterator[str]:
    for name, values in headers.items():
        if any(value != hide(name, value) for value in values):
            yield f"the header {name}"
        if name.lower() == "content-encoding" and not {"gzip", "deflate"}.issuperset(values):
            yield f"perhaps, in a body that cannot be looked into: {values}"


def _views(data: bytes, depth: int = 4) -> Iterator[bytes]:
    """The data, and what is wrapped in it: percent-encoded, compressed, in base64, or all of it."""
    yield data
    if depth == 0:
        return
    if b"%" in data:
        yield unquote_to_bytes(data)
    with suppress(zlib.error):
        yield from _views(zlib.decompress(data, wbits=47), depth - 1)  # gzip or zlib, by its head
    for run in _BASE64.findall(data.translate(bytes.maketrans(b"-_", b"+/"))):
        with suppress(binascii.Error):
            yield from _views(base64.b64decode(run + b"=" * (-len(run) % 4)), depth - 1)
