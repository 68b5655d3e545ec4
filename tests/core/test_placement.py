"""Placements: what they say of a token, and the URLs and cookies that carry one."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from requests_authretry import ConfigurationError, Cookie, Header, Query, Token
from requests_authretry._core.placement import (
    is_usual,
    parameter,
    with_cookie,
    with_parameter,
    without_parameter,
    without_values,
    written,
)

FAULTS: dict[str, tuple[Any, str]] = {
    "no name": (lambda: Header(""), "name must be the name of a header field"),
    "blank": (lambda: Header("X Token"), "name must be the name of a header field"),
    "line break": (lambda: Header("X\r\nHost"), "name must be the name of a header field"),
    "no text": (lambda: Header(None), "name must be the name of a header field"),  # type: ignore[arg-type]
    "cookie as a header": (lambda: Header("Cookie"), r"write Cookie\('session'\)"),
    "framing": (lambda: Header("content-length"), "says how the request is read"),
    "no mark": (lambda: Header("X-Key", "Token"), "must have {token} in it once"),
    "two marks": (lambda: Header("X-Key", "{token} {token}"), "must have {token} in it once"),
    "line break in the value": (lambda: Header("X-Key", "a\n{token}"), "must have {token} in it"),
    "value that is no text": (lambda: Header("X-Key", 1), "must have {token} in it once"),  # type: ignore[arg-type]
    "query": (lambda: Query(""), r"as Query\('api_key'\)"),
    "query with its marks": (lambda: Query("?api_key"), r"as Query\('api_key'\)"),
    "query behind another": (lambda: Query("&api_key"), r"as Query\('api_key'\)"),
    "query with a sign": (lambda: Query("api_key="), r"as Query\('api_key'\)"),
    "query that is no text": (lambda: Query(7), r"as Query\('api_key'\)"),  # type: ignore[arg-type]
    "cookie": (lambda: Cookie("a=b"), "name must be the name of a cookie"),
    "cookie that is no text": (lambda: Cookie(None), "name must be the name of a cookie"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("make", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_place_that_can_carry_no_token_is_refused(make: Any, fault: str) -> None:
    """The error says what to write."""
    with pytest.raises(ConfigurationError, match=fault):
        make()


TEXTS: dict[str, tuple[Any, str, str]] = {
    "bare": (Header("X-Auth-Token"), "abc", "abc"),
    "with a word": (Header("Authorization", "Token {token}"), "abc", "Token abc"),
    "in quotes": (Header("Authorization", 'Token token="{token}"'), "abc", 'Token token="abc"'),
    "query": (Query("key"), "a b&c", "a b&c"),
    "cookie": (Cookie("session"), "abc", "abc"),
    "cookie with a percent sign": (Cookie("session"), "s%3Aa.b%3D", "s%3Aa.b%3D"),
}


@pytest.mark.parametrize(("place", "value", "text"), TEXTS.values(), ids=TEXTS)
def test_a_place_says_the_token_and_reads_it_again(place: Any, value: str, text: str) -> None:
    """A token that existing code has put there is read as it was written."""
    assert place.text_of(Token(value)) == text
    assert place.token_of(text) == Token(value)


@pytest.mark.parametrize(
    "line",
    [
        "Header('X-Key')",
        "Header('Authorization', 'Bot {token}')",
        "Query('api_key')",
        "Cookie('session')",
    ],
)
def test_a_place_is_written_as_in_a_program(line: str) -> None:
    """What the line makes is written as the line again."""
    assert written(eval(line)) == line  # noqa: S307 (of this test)


@pytest.mark.parametrize(
    ("place", "scheme", "is_there"),
    [
        (Header("Authorization", "Bearer {token}"), "Bearer", True),
        (Header("authorization", "Bearer {token}"), "bearer", True),
        (Header("Authorization", "Bot {token}"), "Bearer", False),
        (Header("Authorization", "Bot {token}"), "Bot", True),
        (Header("Authorization"), "Bearer", False),
        (Header("X-Key", "Bearer {token}"), "Bearer", False),
        (Query("authorization"), "Bearer", False),
        (Cookie("authorization"), "Bearer", False),
    ],
)
def test_a_token_is_in_authorization_without_a_setting(
    place: Any, scheme: str, *, is_there: bool
) -> None:
    """There it has its scheme before it, in upper or lower case."""
    assert is_usual(place, scheme) is is_there


def test_another_form_holds_no_token() -> None:
    """A header with another word, or without a token, is not adopted."""
    place = Header("Authorization", "Token {token}")
    assert place.token_of("Bearer abc") is None
    assert place.token_of("Token ") is None
    assert Cookie("session").token_of('"abc"') == Token("abc")


URLS: dict[str, tuple[str, str]] = {
    "bare": ("https://a.test", "https://a.test?k=v%26+w"),
    "path": ("https://a.test/b", "https://a.test/b?k=v%26+w"),
    "question mark": ("https://a.test/b?", "https://a.test/b?k=v%26+w"),
    "query": ("https://a.test/b?c=1", "https://a.test/b?c=1&k=v%26+w"),
    "fragment": ("https://a.test/b#d?e", "https://a.test/b?k=v%26+w#d?e"),
    "another of its name": ("https://a.test/b?k=1&c=2&k=3", "https://a.test/b?c=2&k=v%26+w"),
    "only others of its name": ("https://a.test/b?k=1&k=3#d", "https://a.test/b?k=v%26+w#d"),
    "the URL of another server": (
        "https://a.test/b?u=https://b.test/c?k=1&d=%2F%3Fk%3D2&&e=+%20",
        "https://a.test/b?u=https://b.test/c?k=1&d=%2F%3Fk%3D2&&e=+%20&k=v%26+w",
    ),
    "names that are like it": ("https://a.test/?kk=1&K=2", "https://a.test/?kk=1&K=2&k=v%26+w"),
}


@pytest.mark.parametrize(("url", "expected"), URLS.values(), ids=URLS)
def test_a_url_gets_the_parameter_once(url: str, expected: str) -> None:
    """It is the last one of the query, percent-encoded, and in front of a fragment."""
    made = with_parameter(url, "k", "v& w")
    assert made == expected
    assert parameter(made, "k") == "v& w"
    assert with_parameter(made, "k", "v& w") == expected


BARE: dict[str, tuple[str, str]] = {
    "only one": ("/a?k=1", "/a"),
    "first": ("/a?k=1&b=2", "/a?b=2"),
    "middle": ("/a?b=2&k=1&c=3#d", "/a?b=2&c=3#d"),
    "last": ("/a?b=2&k=1#d", "/a?b=2#d"),
    "none": ("/a?b=2&", "/a?b=2&"),
    "fragment": ("/a#b=2&k=1", "/a#b=2"),
    "its name otherwise": ("/a?%6B=1&b=2&K=3", "/a?b=2"),
    "a URL inside": ("/a?next=/b?k=x%26y", "/a?next=/b"),
    "an encoded URL inside": (
        "https://b.test/?next=%2Fa%3Fc%3D%2B%26k%3Dx%2526y&b=%2F",
        "https://b.test/?next=%2Fa%3Fc%3D%2B&b=%2F",
    ),
    "a half encoded URL inside": ("/a?next=/b?k%3Dx&c=1", "/a?next=%2Fb&c=1"),
    "a URL inside of one inside": (
        "/a?next=%2Fb%3Fto%3D%252Fc%253Fk%253Dx&d=1",
        "/a?next=%2Fb%3Fto%3D%252Fc&d=1",
    ),
    "an encoded URL without it": ("/a?next=%2fb%3Fkk%3D1", "/a?next=%2fb%3Fkk%3D1"),
    "links": (
        '<https://a.test/?page=2&k=1>; rel="next", <https://a.test/?k=1>; rel="first"',
        '<https://a.test/?page=2>; rel="next", <https://a.test/>; rel="first"',
    ),
}


@pytest.mark.parametrize(("text", "expected"), BARE.values(), ids=BARE)
def test_a_url_loses_the_parameter(text: str, expected: str) -> None:
    """A redirect and a link lead on without the token that they repeat."""
    assert without_parameter(text, "k") == expected


def test_urls_inside_of_urls_are_followed_to_an_end() -> None:
    """A server that wraps a URL again and again makes no work without an end."""
    bare, text = "/a?b=1", "/a?b=1&k=x"
    for _ in range(4):
        bare, text = (f"/a?n={quote(url, safe='')}" for url in (bare, text))
        assert without_parameter(text, "k") == bare
    deeper = f"/a?n={quote(text, safe='')}"
    assert without_parameter(deeper, "k") == deeper


def test_values_are_hidden_in_messages() -> None:
    """The form of the URL stays, so that a person sees which request failed."""
    said = "Max retries exceeded with url: /a?b=2&api+key=s3cret&c=d (Caused by ...)"
    hidden = "Max retries exceeded with url: /a?b=2&api+key=***&c=d (Caused by ...)"
    assert without_values(said, ["api key"]) == hidden
    assert without_values("/a?k=1&key=2&api%20key=3", ["k", "api key"]) == (
        "/a?k=***&key=2&api%20key=***"
    )


def test_a_parameter_is_found_by_its_decoded_name() -> None:
    """The first one counts; the fragment is no query."""
    assert parameter("/a?b=2&api%5Fkey=x%20y&api_key=z", "api_key") == "x y"
    assert parameter("/a#?api_key=z", "api_key") is None


def test_a_cookie_takes_the_place_of_one_of_its_name() -> None:
    """The other cookies stay as they are."""
    assert with_cookie("", "s", "1") == "s=1"
    assert with_cookie("a=1; s=old; ss=2", "s", "new") == "a=1; ss=2; s=new"
    assert with_cookie('a="1;2";  b;s=old ; c=', "s", "new") == 'a="1;2";  b; c=; s=new'
    assert with_cookie("s=old; a=1;", "s", "new") == "a=1; s=new"


def test_a_cookie_has_no_character_that_ends_it() -> None:
    """A token with a semicolon or a blank adds no other cookie."""
    place = Cookie("session")
    text = place.text_of(Token('a;b", c\\'))
    assert text == "a%3Bb%22%2C%20c%5C"
    adopted = place.token_of(text)
    assert adopted is not None
    assert place.text_of(adopted) == text
