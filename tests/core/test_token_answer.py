"""What the answers of token endpoints mean: fields, types, ends, and refusals of a grant."""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.bounds import FIELD, JWT
from requests_authretry._core.headers.time_formats import LONGEST
from requests_authretry._core.token_answer import (
    GRANT_ENDED,
    end_of,
    is_good,
    number_of,
    read_fields,
    refuses_grant,
    scheme_of,
)

NOW = 1_800_000_000.0
DAY = 86_400.0


def jwt(claims: object, signature: str = "c2ln") -> str:
    """A token with these claims, which nobody has signed."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return f"eyJhbGciOiJub25lIn0.{urlsafe_b64encode(payload).decode().rstrip('=')}.{signature}"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"access_token": "a"}', {"access_token": "a"}),
        (b'{"access_token": "a", "name": "\xe4"}', {"access_token": "a", "name": "ä"}),
        (b"access_token=a&scope=repo%2Cgist", {"access_token": "a", "scope": "repo,gist"}),
        (b"access_token=a%20b+c\r\n", {"access_token": "a b c"}),
        (b"access_token=a&expires_in=&b=", {"access_token": "a"}),
        (b"access_token=a==", {"access_token": "a=="}),
        (b"access_token=a&access_token=b", {"access_token": "b"}),
        (b"", {}),
        (b"a-token-and-nothing-else", {}),
        (b"[1]", {}),
        (b'"access_token=a"', {}),
        (b'<a href="?access_token=a">', {}),
        (b"access_token=a b", {}),
        (b"access_token=a\n\nscope=b", {}),
        (b"access token=a", {}),
        (b"access_token=a&&scope=b", {}),
        (b"&access_token=a", {}),
        ("access_token=ä".encode(), {"access_token": "Ã¤"}),
        (b"&".join(b"a=1" for _ in range(100)), {"a": "1"}),
        (b"&".join(b"a=1" for _ in range(101)), {}),
    ],
)
def test_fields_are_those_of_a_json_object_or_a_form(body: bytes, fields: object) -> None:
    """``access_token=a&scope=b`` is read as a form; a page or a bare token has no fields."""
    assert read_fields(body, {}, strict=False) == fields


def test_a_strict_client_reads_no_form() -> None:
    """``access_token=a`` has no fields for a strict client, and JSON has."""
    assert read_fields(b"access_token=a", {}, strict=True) == {}
    assert read_fields(b'{"access_token": "\xe4"}', {}, strict=True) == {}
    assert read_fields(b'{"access_token": "a"}', {}, strict=True) == {"access_token": "a"}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("token", {"access_token": "t"}),
        ("data.token", {"access_token": "d"}),
        ("a.b", {"access_token": "dotted"}),
        ("data.deep.er", {"access_token": "x"}),
        ("data", {"access_token": {"token": "d", "deep": {"er": "x"}}}),
        ("absent", {}),
        ("data.absent", {}),
        ("token.absent", {}),
        ("null", {}),
        ("data.deep.er.more", {}),
    ],
)
def test_a_named_field_replaces_the_usual_one(path: str, found: dict[str, object]) -> None:
    """With ``{"access_token": "data.token"}`` the usual ``access_token`` is never taken."""
    answer = {
        "access_token": "of somebody else",
        "token": "t",
        "data": {"token": "d", "deep": {"er": "x"}},
        "a.b": "dotted",
        "a": {"b": "nested"},
        "null": None,
    }
    fields = read_fields(json.dumps(answer).encode(), {"access_token": path}, strict=False)
    assert {name: value for name, value in fields.items() if name == "access_token"} == found
    assert fields["token"] == "t"


def test_named_fields_of_a_form() -> None:
    """A form has names of its own as well: old Meta answers say ``expires``."""
    fields = read_fields(b"access_token=a&expires=60", {"expires_in": "expires"}, strict=False)
    assert (fields["access_token"], fields["expires_in"]) == ("a", "60")


@pytest.mark.parametrize(
    ("status", "fields", "lenient", "strict"),
    [
        (200, {"a": 1}, True, True),
        (201, {"a": 1}, True, False),
        (299, {"a": 1}, True, False),
        (300, {"a": 1}, False, False),
        (400, {"a": 1}, False, False),
        (199, {"a": 1}, False, False),
        (200, {}, False, False),
        (200, {"a": 1, "error": "e"}, False, False),
        (200, {"a": 1, "error": {"code": 1}}, False, False),
        (200, {"a": 1, "error": None}, True, False),
        (200, {"a": 1, "error": ""}, True, False),
        (200, {"a": 1, "error": 0}, True, False),
        (200, {"a": 1, "ok": False}, False, True),
        (200, {"a": 1, "ok": True}, True, True),
        (200, {"a": 1, "ok": None}, True, True),
    ],
)
def test_which_answers_are_good(
    status: int, fields: dict[str, Any], *, lenient: bool, strict: bool
) -> None:
    """A 201 with fields is good, a 200 with ``ok: false`` is not."""
    assert is_good(status, fields, strict=False) == lenient
    assert is_good(status, fields, strict=True) == strict


@pytest.mark.parametrize(
    ("token_type", "lenient", "strict"),
    [
        (None, "Bearer", "Bearer"),
        ("", "Bearer", "Bearer"),
        ("Bearer", "Bearer", "Bearer"),
        ("bEARER", "Bearer", "Bearer"),
        ("dpop", "DPoP", "DPoP"),
        (" bearer ", "Bearer", None),
        ("BearerToken", "Bearer", None),
        ("user", "Bearer", None),
        (["Bearer"], "Bearer", None),
        (5, "Bearer", None),
        ("mac", None, None),
        ("N_A", None, None),
        ("PoP", None, None),
    ],
)
def test_how_a_token_of_a_type_is_sent(
    token_type: object, lenient: str | None, strict: str | None
) -> None:
    """``BearerToken`` is sent as Bearer, ``mac`` is not sent."""
    assert scheme_of(token_type, strict=False) == lenient
    assert scheme_of(token_type, strict=True) == strict


@pytest.mark.parametrize(
    ("life", "end"),
    [
        (60, NOW + 60),
        (60.5, NOW + 60.5),
        ("60", NOW + 60),
        (" 60.5 ", NOW + 60.5),
        (2_147_483_647, NOW + 2_147_483_647),  # the largest whole number of many a database
        (LONGEST - 1, NOW + LONGEST - 1),
        (LONGEST, None),
        (NOW + 3600, NOW + 3600),  # the end in place of the life
        (str(int(NOW) + 3600), NOW + 3600),
        ((NOW + 3600) * 1000, NOW + 3600),  # the same in milliseconds
        (NOW - 3600, None),
        (NOW, None),
        (0, None),
        (-1, None),
        (True, None),
        (None, None),
        ("", None),
        ("-1", None),
        ("1h", None),
        (1e30, None),
        (10**400, None),
        (math.nan, None),
        (math.inf, None),
        ([60], None),
        ({}, None),
    ],
)
def test_an_end_after_a_life(life: object, end: float | None) -> None:
    """``expires_in`` counts from the request; an epoch near now is the end itself."""
    assert end_of({"expires_in": life}, NOW) == end


def test_a_life_where_the_clock_was_never_set() -> None:
    """An hour stays an hour on a machine that lives in 1970, though an epoch is near it."""
    assert end_of({"expires_in": 3600}, 60.0) == 3660.0


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        (NOW + DAY, NOW + DAY),
        (str(int(NOW + DAY)), NOW + DAY),
        ((NOW + DAY) * 1000, NOW + DAY),
        ("2027-01-16T08:00:00Z", NOW + DAY),
        ("2027-01-16T09:00:00.5+01:00", NOW + DAY + 0.5),
        ("Sat, 16 Jan 2027 08:00:00 GMT", NOW + DAY),
        (NOW, None),
        (NOW - 1, None),
        (3600, None),
        ("2020-01-01T00:00:00Z", None),
        ("soon", None),
        ("1" * (FIELD + 1), None),
        (NOW + 2 * LONGEST, None),
        (math.nan, None),
        (True, None),
        ([], None),
    ],
)
def test_an_end_that_is_a_moment(moment: object, end: float | None) -> None:
    """``expires_at`` is an epoch or a date; one that has passed says nothing."""
    assert end_of({"expires_at": moment}, NOW) == end


@pytest.mark.parametrize(
    ("claims", "end"),
    [
        ({"exp": NOW + 60}, NOW + 60),
        ({"exp": NOW + 60.5}, NOW + 60.5),
        ({"exp": NOW + 60, "iat": NOW}, NOW + 60),
        ({"exp": NOW + 360, "iat": NOW + 300}, NOW + 60),  # our clock is five minutes slow
        ({"exp": NOW + 60, "iat": NOW - 3600}, NOW + 60),  # given before
        ({"exp": NOW + 60, "iat": "then"}, NOW + 60),
        ({"exp": NOW + 60, "iat": NOW + 90}, NOW + 60),
        ({"exp": NOW - 1, "iat": NOW - 61}, None),
        ({"exp": str(NOW + 60)}, None),
        ({"exp": True}, None),
        ({"exp": 1e300}, None),
        ({"sub": "ada"}, None),
        ([NOW + 60], None),
        (b'{"exp": NaN}', None),
        (b"no claims", None),
        (b"\xff\xfe", None),
    ],
)
def test_the_end_that_a_jwt_claims(claims: object, end: float | None) -> None:
    """A JWT's ``exp`` is its end where the answer names none."""
    assert end_of({"access_token": jwt(claims)}, NOW) == end


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b",
        "a.aaaaa.c",  # no base64 has five characters
        "a..c",
        f"{jwt({'exp': NOW + 60})}.four.five",
        jwt({"exp": NOW + 60}, "s" * JWT),
        jwt({"exp": NOW + 60}).replace("eyJ", "ä"),
        5,
        None,
    ],
)
def test_a_token_that_claims_nothing(token: object) -> None:
    """A token that is opaque, encrypted or too long for a header says nothing of its end."""
    assert end_of({"access_token": token}, NOW) is None


def test_which_end_counts() -> None:
    """``expires_in`` comes before ``expires_at``, and that before a JWT's ``exp``."""
    fields = {
        "expires_in": 60,
        "expires_at": NOW + 120,
        "access_token": jwt({"exp": NOW + 180}),
    }
    assert end_of(fields, NOW) == NOW + 60
    assert end_of(fields | {"expires_in": -1}, NOW) == NOW + 120
    assert end_of(fields | {"expires_in": -1, "expires_at": "soon"}, NOW) == NOW + 180


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (5, 5.0),
        ("5", 5.0),
        ("0.5", 0.5),
        (False, None),
        ("x", None),
        (b"5", None),
        ("9" * 999, None),
        ("9" * (FIELD + 1), None),
    ],
)
def test_numbers(written: object, number: float | None) -> None:
    """Numbers may be texts of digits; a long text is none."""
    assert number_of(written) == number


NO_MORE = [400, 401, 403]


@pytest.mark.parametrize("status", NO_MORE)
@pytest.mark.parametrize(
    "code", [*GRANT_ENDED, "invalid_request", "unsupported_grant_type", "E1042", None, "", 5, {}]
)
def test_a_grant_is_refused_in_whatever_words(status: int, code: object) -> None:
    """A 400 ``invalid_request``, a 401 ``invalid_token``, a bare 403: sign in again."""
    assert refuses_grant(status, code)


@pytest.mark.parametrize("code", sorted(GRANT_ENDED))
@pytest.mark.parametrize("status", [200, 201, 404, 422])
def test_a_grant_that_is_refused_by_name(status: int, code: str) -> None:
    """GitHub answers ``bad_refresh_token`` with a 200: the code counts, not the status."""
    assert refuses_grant(status, code, asks_to_wait=True)
    assert not refuses_grant(status, "some_error")
    assert not refuses_grant(status, None)


@pytest.mark.parametrize("status", [*NO_MORE, 200])
@pytest.mark.parametrize(
    "code",
    [
        *("invalid_client", "unauthorized_client", "INVALID_CLIENT", "bad_client_secret"),
        *("incorrect_client_credentials", "invalid_scope", "invalid_target"),
        *("use_dpop_nonce", "invalid_dpop_proof", "server_error", "temporarily_unavailable"),
        *("slow_down", "ratelimited", "rate_limit_exceeded", "too_many_attempts"),
        *("TooManyRequestsException", "throttled", "quota_exceeded", "try_again_later"),
        *("server_busy", "overloaded", "internal_error", "InternalServerError"),
        *("request_timeout", "authorization_pending"),
    ],
)
def test_what_another_sign_in_does_not_cure(status: int, code: str) -> None:
    """``invalid_client`` is about the client, ``server_error`` passes: nobody signs in for them."""
    assert not refuses_grant(status, code)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("code", [None, "invalid_grant", "e"])
def test_a_server_in_trouble_refuses_nothing(status: int, code: str | None) -> None:
    """A 503 or 429 spends no sign-in, whatever stands in it."""
    assert not refuses_grant(status, code)


@pytest.mark.parametrize("status", NO_MORE)
def test_who_is_asked_to_wait_is_not_refused(status: int) -> None:
    """A 403 with ``Retry-After`` is about the rate of requests, not about the grant."""
    assert not refuses_grant(status, None, asks_to_wait=True)
    assert not refuses_grant(status, "e", asks_to_wait=True)


def test_a_client_that_is_asked_for_its_secret() -> None:
    """A bare 401 with ``WWW-Authenticate: Basic`` refuses the client (RFC 6749 section 5.2)."""
    assert not refuses_grant(401, None, challenge='basic realm="x"')
    assert not refuses_grant(401, None, challenge='Bearer, Basic realm="x"')
    assert refuses_grant(401, None, challenge='Bearer realm="a basic one"')
    assert refuses_grant(401, None, challenge='Bearer error="invalid_token"')
    assert refuses_grant(401, "invalid_token", challenge="Basic")
    assert refuses_grant(400, None, challenge="Basic")


NAMES = st.sampled_from(["access_token", "expires_in", "expires_at", "token_type", "error", "a.b"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner))


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, NAMES), st.booleans(), st.binary())
def test_no_answer_raises(
    fields: dict[str, Any],
    paths: dict[str, str],
    strict: bool,  # noqa: FBT001 (hypothesis gives it)
    body: bytes,
) -> None:
    """Whatever a server writes, the rules return values."""
    read_fields(body, paths, strict=strict)
    found = read_fields(json.dumps(fields).encode(), paths, strict=strict)
    end = end_of(found, NOW)
    assert end is None or NOW < end <= NOW + LONGEST
    assert scheme_of(found.get("token_type"), strict=strict) in {None, "Bearer", "DPoP"}
    assert is_good(200, found, strict=strict) in {True, False}
    assert refuses_grant(400, found.get("error")) in {True, False}
